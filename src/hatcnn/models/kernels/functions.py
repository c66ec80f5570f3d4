"""The kernels as differentiable functions of tensors.

Tensors are (N, c, h, w), channels last in memory, float32, float64 or bfloat16; what is computed
from them is float32, and float64 of float64.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hatcnn.models.kernels.tensors import address, dense, empty_like, kernel

_Integer = ctypes.c_int64


class Norms(NamedTuple):
    """Parameters of the batch norms of several streams, (c_i,) each.

    Attributes:
        weights, biases: factors and summands after normalising.
        hidden: biases of the convolutions before, which the batch's mean hides: they take no
            part, and their gradient is zero.
    """

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    hidden: Sequence[Tensor]


def norm_relu(
    inputs: Sequence[Tensor],
    norms: Norms,
    epsilon: float,
    *,
    relu: bool = True,
    groups: int = 1,
    joined: bool = True,
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Batch norm by the batch's statistics, and the cut-off below zero, of several streams.

    Either the streams come apart and leave joined, which saves a concatenation, or they come
    joined, as one convolution made them, and leave apart. What a joined input has beyond the
    streams' channels leaves averaged over 3x3 neighbours instead (zeros outside count).

    Args:
        inputs: the streams (N, c_i, h, w), or one tensor (N, at least the sum of c_i, h, w).
        norms: of the streams.
        epsilon: added to the variance.
        relu: whether to cut off.
        groups: the pictures are so many batches of one size, each normalised by itself.
        joined: whether the streams leave as one tensor.

    Returns:
        One tensor (N, sum of c_i, h, w) or one a stream, with the averaged channels last; mean
        and inverse deviation, both (groups, sum of c_i) and without gradients.
    """
    parameters = (*norms.weights, *norms.biases, *norms.hidden)
    *outputs, mean, inverse = _NormRelu.apply(  # type: ignore[no-untyped-call]
        len(inputs), epsilon, relu, groups, joined, *inputs, *parameters
    )
    return outputs, mean, inverse


class _NormRelu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        count: int,
        epsilon: float,
        relu: bool,
        groups: int,
        joined: bool,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        inputs = [dense(x) for x in tensors[:count]]
        number = (len(tensors) - count) // 3
        real = torch.promote_types(inputs[0].dtype, torch.float32)
        parameters = [p.detach().to(real) for p in tensors[count : count + 2 * number]]
        sizes = [len(weight) for weight in parameters[:number]]
        width = sum(sizes)
        outputs = [empty_like(inputs[0], c) for c in ([width] if joined else sizes)]
        mean = torch.empty(groups, width, dtype=real)
        inverse = torch.empty_like(mean)
        run = kernel("norm_relu", *inputs, *inputs)
        for group in range(groups):
            streams, rows = _streams(
                sizes, group, groups, (inputs, outputs, None), parameters, (mean, inverse)
            )
            run(streams, number, rows, ctypes.c_double(epsilon), int(relu))
        rest = 0 if joined else inputs[0].shape[1] - width
        if rest:
            outputs.append(empty_like(inputs[0], rest))
            _average(inputs[0], width, outputs[-1], 0, rest)
        ctx.save_for_backward(*inputs, *parameters, mean, inverse)
        ctx.count, ctx.relu, ctx.groups, ctx.sizes, ctx.rest = count, relu, groups, sizes, rest
        ctx.types = [p.dtype for p in tensors[count:]]
        ctx.mark_non_differentiable(mean, inverse)
        return (*outputs, mean, inverse)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        *saved, mean, inverse = ctx.saved_tensors
        inputs, parameters = saved[: ctx.count], saved[ctx.count :]
        dy = [dense(g.to(inputs[0].dtype)) for g in gradients[:-2]]
        dx = [torch.empty_like(x) for x in inputs]
        of_streams = dy[:-1] if ctx.rest else dy
        statistics = (mean, inverse, torch.empty_like(mean), torch.empty_like(mean))
        run = kernel("norm_relu_backward", *inputs, *of_streams, *inputs, *of_streams)
        for group in range(ctx.groups):
            streams, rows = _streams(
                ctx.sizes, group, ctx.groups, (inputs, of_streams, dx), parameters, statistics
            )
            run(streams, len(ctx.sizes), rows, int(ctx.relu))
        if ctx.rest:
            _average(dy[-1], 0, dx[0], sum(ctx.sizes), ctx.rest)
        dweight, dbias = (total.sum(dim=0) for total in statistics[2:])
        totals = (dweight, dbias, torch.zeros_like(dbias))
        pieces = [piece for total in totals for piece in total.split(ctx.sizes)]
        of_parameters = [g.to(t) for g, t in zip(pieces, ctx.types, strict=True)]
        return (None, None, None, None, None, *dx, *of_parameters)


def _streams(
    sizes: Sequence[int],
    group: int,
    groups: int,
    tensors: Sequence[Sequence[Tensor] | None],
    parameters: Sequence[Tensor],
    statistics: Sequence[Tensor],
) -> tuple[ctypes.Array[_Integer], _Integer]:
    """What `kernels.cpp` calls streams, of one group, and the number of rows in it.

    Args:
        sizes: channels of the streams.
        group, groups: which of how many.
        tensors: x, y and dx, each in one tensor a stream or one tensor for all; none for no dx.
        parameters: weights, then biases, of the streams.
        statistics: (groups, sum of sizes): mean, inverse and, for gradients, two more.
    """
    first = tensors[0][0]  # type: ignore[index]
    rows = first.numel() // first.shape[1] // groups
    fields: list[int] = []
    offset = 0
    for stream, channels in enumerate(sizes):
        for several in tensors:
            if several is None:
                fields += (0, 0)
                continue
            apart = len(several) == len(sizes)
            tensor = several[stream if apart else 0]
            width = tensor.shape[1]
            fields += (address(tensor, group * rows * width + (0 if apart else offset)), width)
        fields.append(channels)
        fields += (address(parameters[stream]), address(parameters[stream + len(sizes)]))
        at = [address(s, group * sum(sizes) + offset) for s in statistics]
        fields += at + [0] * (4 - len(at))
        offset += channels
    return (_Integer * len(fields))(*fields), _Integer(rows)


def max_pool(x: Tensor) -> Tensor:
    """Maximum of 3x3 neighbours, stride 2, padding 1: (N, c, h, w) to (N, c, ⌈h/2⌉, ⌈w/2⌉)."""
    pooled: Tensor = _MaxPool.apply(x)  # type: ignore[no-untyped-call]
    return pooled


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = dense(x)
        n, c, h, w = x.shape
        shape = (n, c, (h + 1) // 2, (w + 1) // 2)
        y = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
        winner = torch.empty(shape, dtype=torch.uint8, memory_format=torch.channels_last)
        kernel("max_pool", x)(*map(_Integer, (address(x), address(y), address(winner), n, h, w, c)))
        ctx.save_for_backward(winner)
        ctx.shape = x.shape
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (winner,) = ctx.saved_tensors
        dy = dense(gradient)
        n, c, h, w = ctx.shape
        dx = torch.empty(ctx.shape, dtype=dy.dtype, memory_format=torch.channels_last)
        kernel("max_pool_backward", dy, winner)(
            *map(_Integer, (address(dy), address(winner), address(dx), n, h, w, c))
        )
        return dx


def attend(x: Tensor, spatial: Tensor, channel: Tensor, shift: Tensor, *, relu: bool) -> Tensor:
    """``x * sigmoid(spatial * channel + shift)``, if `relu` with the sigmoid's input cut off.

    Args:
        x: (N, c, h, w).
        spatial: (N, 1, h, w).
        channel: (N, c).
        shift: (c,).
        relu: whether to cut off below zero before the sigmoid.
    """
    attended: Tensor = _Attend.apply(x, spatial, channel, shift, relu)  # type: ignore[no-untyped-call]
    return attended


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, spatial: Tensor, channel: Tensor, shift: Tensor, relu: bool
    ) -> Tensor:
        x = dense(x)
        real = torch.promote_types(x.dtype, torch.float32)
        tensors = (
            x,
            spatial.to(x.dtype).contiguous(),
            channel.to(real).contiguous(),
            shift.to(real),
        )
        y = torch.empty_like(x)
        ctx.sizes = (len(x), x.shape[2] * x.shape[3], x.shape[1], int(relu))
        kernel("attend", x)(*map(_Integer, (*map(address, tensors), address(y), *ctx.sizes)))
        ctx.save_for_backward(*tensors)
        ctx.types = [t.dtype for t in (spatial, channel, shift)]
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        tensors = ctx.saved_tensors
        x, spatial, channel, _ = tensors
        dy = dense(gradient.to(x.dtype))
        targets = (*map(torch.empty_like, (x, spatial, channel, channel)),)
        places = map(address, (*tensors, dy, *targets))
        kernel("attend_backward", x, dy)(*map(_Integer, (*places, *ctx.sizes)))
        dx, *others = targets
        others[2] = others[2].sum(dim=0)
        return (dx, *(g.to(t) for g, t in zip(others, ctx.types, strict=True)), None)


def _average(source: Tensor, start: int, target: Tensor, at: int, channels: int) -> None:
    """Average `channels` of `source` from `start` on over 3x3 neighbours into `target`."""
    n, source_width, h, w = source.shape
    places = (address(source, start), source_width, address(target, at), target.shape[1])
    kernel("average_pool", source)(*map(_Integer, (*places, n, h, w, channels)))
