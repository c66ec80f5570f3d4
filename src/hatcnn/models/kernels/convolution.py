"""3x3 convolutions as a differentiable function, in float32; `winograd.cpp` says how."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hatcnn.models.kernels import tensors
from hatcnn.models.kernels.library import library
from hatcnn.models.kernels.tensors import address, dense, empty_like, kernel


def usable(x: Tensor, weight: Tensor, stride: tuple[int, ...], padding: object) -> bool:
    """Whether `convolve` takes this convolution, on this machine, now."""
    # First of all, so that a network being compiled never comes to the library.
    if not tensors.usable(x):
        return False
    compiled = library()
    return (
        compiled is not None
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and (weight.shape[2:], stride, padding) == ((3, 3), (1, 1), (1, 1))
        and not any(channels % compiled.conv3x3_multiple() for channels in weight.shape[:2])
    )


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """3x3 convolution, stride 1, zeros around, no bias.

    Transforming costs accuracy: values are off by up to 1e-5 of the largest, those of a sum taken
    directly by 1e-6.

    Args:
        x: (N, in, h, w).
        weight: (out, in, 3, 3).

    Returns:
        (N, out, h, w).
    """
    convolved: Tensor = _Convolve.apply(x, weight)  # type: ignore[no-untyped-call]
    return convolved


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x, weight = dense(x), dense(weight)
        ctx.save_for_backward(x, weight)
        y = empty_like(x, len(weight))
        _run("conv3x3", x, weight, y, weight)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        dy, dx, dweight = dense(gradient), None, None
        if ctx.needs_input_grad[0]:
            dx = torch.empty_like(x)
            _run("conv3x3_inputs", dy, weight, dx, weight)
        if ctx.needs_input_grad[1]:
            dweight = torch.empty_like(weight)
            _run("conv3x3_filters", x, dy, dweight, weight)
        return dx, dweight


def _run(name: str, pictures: Tensor, other: Tensor, target: Tensor, weight: Tensor) -> None:
    """Call a kernel that makes `target` of the other two."""
    n, _, h, w = pictures.shape
    run = kernel(name, pictures, other, flops=2 * n * h * w * weight.numel())
    sizes = (n, h, w, weight.shape[1], weight.shape[0])
    run(*map(ctypes.c_int64, (*map(address, (pictures, other, target)), *sizes)))
