"""What the machine can do at best: matrix products, convolutions, copies."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional as F

from hatcnn.devices import multiplies_bfloat16


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """Rates that no network can pass here.

    Attributes:
        matmul_fp32, matmul_bf16: GFLOP/s of a product of two matrices of 2,048; bfloat16's are 0
            on a device that only emulates it.
        conv_fp32, conv_bf16: GFLOP/s of a 3x3 convolution of 128 channels, channels last.
        copy: GB/s, read and written together, of a copy that fits no cache.
    """

    matmul_fp32: float
    matmul_bf16: float
    conv_fp32: float
    conv_bf16: float
    copy: float

    def compute(self, precision: str) -> float:
        """The higher of product and convolution at ``"fp32"`` or ``"bf16"``, GFLOP/s."""
        matmul: float = getattr(self, f"matmul_{precision}")
        conv: float = getattr(self, f"conv_{precision}")
        return max(matmul, conv)


def measure_ceilings(device: torch.device, *, seconds: float = 1.0) -> Ceilings:
    """Measure each for about so many seconds; the best repetition counts."""
    size, batch, channels, height, width = 2048, 16, 128, 40, 16
    rates = {"matmul_bf16": 0.0, "conv_bf16": 0.0}
    dtypes = {"fp32": torch.float32}
    # Emulated, a single product takes minutes.
    if multiplies_bfloat16(device):
        dtypes["bf16"] = torch.bfloat16
    for name, dtype in dtypes.items():
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        product = partial(torch.matmul, a, b)
        rates[f"matmul_{name}"] = 2 * size**3 / _best(product, seconds) / 1e9
        x = torch.randn(batch, channels, height, width, device=device, dtype=dtype)
        w = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype)
        x, w = (t.to(memory_format=torch.channels_last) for t in (x, w))
        convolution = partial(F.conv2d, x, w, padding=1)
        operations = 2 * 9 * channels * x.numel()
        rates[f"conv_{name}"] = operations / _best(convolution, seconds) / 1e9
    source = torch.randn(64 << 20, device=device)
    target = torch.empty_like(source)
    rates["copy"] = 8 * source.numel() / _best(lambda: target.copy_(source), seconds) / 1e9
    return Ceilings(**{name: round(rate, 1) for name, rate in rates.items()})


def _best(work: Callable[[], object], seconds: float) -> float:
    work()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        work()
        synchronise()
        best = min(best, time.perf_counter() - start)
    return best


def synchronise() -> None:
    """Wait until the device has done what it was told."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
