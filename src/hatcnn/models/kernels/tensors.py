"""Between tensors and the compiled library: layout, addresses, and which kernel takes what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hatcnn.models.kernels.library import library

_NAMES = {torch.bfloat16: "bfloat16", torch.float32: "float32", torch.float64: "float64"}

observers: list[Callable[[Sequence[Tensor], int], None]] = []
"""Called with the tensors that a kernel reads, as often as it reads them, and with the
multiplications and additions of the product or convolution that it is, done directly. What it
writes comes from `torch.empty` and can be seen there."""


def usable(x: Tensor) -> bool:
    """Whether the kernels take this tensor, on this machine, now."""
    if x.device.type != "cpu" or x.dtype not in _NAMES or torch.compiler.is_compiling():
        return False
    compiled = library()
    # Without OpenMP they have one thread, where torch's own operations have all.
    return compiled is not None and compiled.kernel_threads() >= torch.get_num_threads()


def kernel(name: str, *reads: Tensor, flops: int = 0) -> Any:
    """The kernel for tensors of the first one's type, about to read these."""
    for observe in observers:
        observe(reads, flops)
    return getattr(library(), f"{name}_{_NAMES[reads[0].dtype]}")


def dense(x: Tensor) -> Tensor:
    """Channels last in memory."""
    return x.contiguous(memory_format=torch.channels_last)


def empty_like(x: Tensor, channels: int) -> Tensor:
    """A tensor for as many pictures and positions, channels last."""
    n, _, h, w = x.shape
    return torch.empty((n, channels, h, w), dtype=x.dtype, memory_format=torch.channels_last)


def address(x: Tensor, offset: int = 0) -> int:
    """Of an element."""
    return x.data_ptr() + offset * x.element_size()
