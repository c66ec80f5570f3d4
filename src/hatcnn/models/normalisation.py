"""Batch norm, fused with what stands around it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hatcnn.models.kernels import functions as kernels
from hatcnn.models.kernels.tensors import usable


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """Weight (out, in, k, k) and bias (out,) of a convolution and the batch norm after it in one.

    By running statistics, batch norm is one more factor and one more summand.
    """
    assert conv.bias is not None
    if norm is None:
        return conv.weight, conv.bias
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias + (conv.bias - norm.running_mean) * factor
    return conv.weight * factor[:, None, None, None], shift


def normalise_streams(
    inputs: Sequence[Tensor],
    norms: Sequence[nn.BatchNorm2d],
    hidden: Sequence[Tensor],
    *,
    relu: bool = True,
    groups: int = 1,
    joined: bool = True,
) -> list[Tensor]:
    """Normalise by the batch's statistics, keep the running ones, and cut off below zero.

    Args:
        inputs: outputs of convolutions without their biases: one (N, c_i, h, w) a stream, or one
            (N, at least the sum of c_i, h, w) for all.
        norms: of the streams, in training mode.
        hidden: biases (c_i,) of the convolutions. They move the running means and nothing else;
            their gradients are zero.
        relu: whether to cut off.
        groups: the input is so many batches, one after the other, each normalised by itself, and
            the running statistics see them in turn.
        joined: whether the streams leave as one tensor.

    Returns:
        One tensor, or one a stream. What a joined input has beyond the streams' channels leaves
        last, averaged over 3x3 neighbours (zeros outside count).
    """
    x = inputs[0]
    do = _by_kernels if usable(x) and x.shape[1] >= _FEWEST_CHANNELS else _by_torch
    outputs, mean, inverse = do(inputs, norms, hidden, relu, groups, joined)
    _track(norms, mean, inverse, hidden, x.numel() // x.shape[1] // groups)
    return outputs


_FEWEST_CHANNELS = 8
"""The kernels run along the channels; for fewer torch's own operations are faster."""


def _by_kernels(
    inputs: Sequence[Tensor],
    norms: Sequence[nn.BatchNorm2d],
    hidden: Sequence[Tensor],
    relu: bool,
    groups: int,
    joined: bool,
) -> tuple[list[Tensor], Tensor, Tensor]:
    parameters = kernels.Norms([n.weight for n in norms], [n.bias for n in norms], hidden)
    return kernels.norm_relu(
        inputs, parameters, norms[0].eps, relu=relu, groups=groups, joined=joined
    )


def _by_torch(
    inputs: Sequence[Tensor],
    norms: Sequence[nn.BatchNorm2d],
    hidden: Sequence[Tensor],
    relu: bool,
    groups: int,
    joined: bool,
) -> tuple[list[Tensor], Tensor, Tensor]:
    sizes = [norm.num_features for norm in norms]
    # Of the hidden bias optimisers and distributed training expect a gradient, if of zero.
    weights = [norm.weight + 0 * bias for norm, bias in zip(norms, hidden, strict=True)]
    biases: list[Tensor] = [norm.bias for norm in norms]
    streams, rest = list(inputs), []
    if len(inputs) == 1 and inputs[0].shape[1] > sizes[0]:
        # Streams that come joined are one: one reading of the input for all statistics.
        x, width = inputs[0], sum(sizes)
        if x.shape[1] > width:
            streams, rest = [x[:, :width]], [F.avg_pool2d(x[:, width:], 3, 1, 1)]
        weights, biases = [torch.cat(weights)], [torch.cat(biases)]
    outputs, means, inverses = [], [], []
    for x, weight, bias in zip(streams, weights, biases, strict=True):
        parts = []
        for part in x.chunk(groups) if groups > 1 else (x,):
            # A slice of the channels is no dense tensor, and batch norm is slow on those.
            part = part.contiguous(memory_format=torch.channels_last)
            y, mean, inverse = torch.native_batch_norm(
                part, weight, bias, None, None, True, 0.0, norms[0].eps
            )
            parts.append(y.relu_() if relu else y)
            means.append(mean)
            inverses.append(inverse)
        outputs.append(torch.cat(parts) if groups > 1 else parts[0])
    mean, inverse = (
        torch.stack([torch.cat(s[group::groups]) for group in range(groups)])
        for s in (means, inverses)
    )
    if joined:
        outputs = outputs if len(outputs) == 1 else [torch.cat(outputs, dim=1)]
    elif len(outputs) < len(sizes):
        outputs = list(outputs[0].split(sizes, dim=1))
    return outputs + rest, mean, inverse


@torch.no_grad()
def _track(
    norms: Sequence[nn.BatchNorm2d],
    mean: Tensor,
    inverse: Tensor,
    hidden: Sequence[Tensor],
    count: int,
) -> None:
    """Let the running statistics take in a batch, group by group.

    Args:
        norms: of the streams.
        mean, inverse: (groups, sum of c_i) mean and inverse deviation, without `hidden`.
        hidden: (c_i,) biases of the convolutions.
        count: values a channel and group.
    """
    sizes = [norm.num_features for norm in norms]
    variance = (inverse.pow(-2) - norms[0].eps) * (count / max(1, count - 1))
    shift = torch.cat(list(hidden))
    momentum = norms[0].momentum
    assert momentum is not None
    running = [
        [b for b in (getattr(norm, name) for norm in norms) if b is not None]
        for name in ("running_mean", "running_var")
    ]
    for of_mean, of_variance in zip(mean, variance, strict=True):
        for kept, new in zip(running, (of_mean + shift, of_variance), strict=True):
            torch._foreach_lerp_(kept, list(new.to(kept[0].dtype).split(sizes)), momentum)


def pool_maxima(x: Tensor) -> Tensor:
    """Maximum of 3x3 neighbours, stride 2, padding 1."""
    return kernels.max_pool(x) if usable(x) else F.max_pool2d(x, 3, 2, 1)


def track(norm: nn.BatchNorm2d, mean: Tensor, inverse: Tensor, bias: Tensor, count: int) -> None:
    """Let a norm's running statistics take in a batch.

    Args:
        norm: whose.
        mean, inverse: (c,) mean and inverse deviation of the batch, without `bias`.
        bias: (c,) of the convolution before.
        count: values a channel.
    """
    _track([norm], mean[None], inverse[None], [bias], count)
