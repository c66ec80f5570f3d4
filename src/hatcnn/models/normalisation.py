"""Batch norm, fused with what stands around it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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


def batch_norm_relu(
    x: Tensor, norm: nn.BatchNorm2d, bias: Tensor | None, relu: bool, groups: int = 1
) -> Tensor:
    """Normalise by the batch's statistics, keep the running ones, and cut off below zero.

    Args:
        x: (N, c, h, w), output of a convolution without its bias.
        norm: in training mode.
        bias: (c,) of the convolution. It moves the running mean and nothing else; its gradient
            is zero.
        relu: whether to cut off.
        groups: x is so many batches, one after the other, each normalised by itself, and the
            running statistics see them in turn.
    """
    weight = visible(norm.weight, bias)
    outputs = []
    for part in x.chunk(groups) if groups > 1 else (x,):
        # A slice of the channels is no dense tensor, and batch norm is slow on those.
        part = part.contiguous(memory_format=torch.channels_last)
        y, mean, inverse = torch.native_batch_norm(
            part, weight, norm.bias, None, None, True, 0.0, norm.eps
        )
        track(norm, mean, inverse, bias, part.numel() // part.shape[1])
        outputs.append(y.relu_() if relu else y)
    return torch.cat(outputs) if groups > 1 else outputs[0]


def visible(weight: Tensor, bias: Tensor | None) -> Tensor:
    """`weight`, with a gradient of zero for `bias` instead of none.

    Optimisers and distributed training expect a gradient of every parameter.
    """
    return weight if bias is None else weight + 0 * bias


@torch.no_grad()
def track(
    norm: nn.BatchNorm2d, mean: Tensor, inverse: Tensor, bias: Tensor | None, count: int
) -> None:
    """Let the running statistics take in a batch.

    Args:
        norm: whose.
        mean, inverse: (c,) mean and inverse deviation of the batch, without `bias`.
        bias: (c,) of the convolution.
        count: values a channel.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    unbiased = (inverse.pow(-2) - norm.eps) * (count / max(1, count - 1))
    norm.running_mean.lerp_(
        (mean if bias is None else mean + bias).to(norm.running_mean), norm.momentum
    )
    norm.running_var.lerp_(unbiased.to(norm.running_var), norm.momentum)
