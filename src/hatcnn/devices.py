"""Devices, precision and processes: Lightning Fabric, under either of its package names."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
import warnings

import torch

try:
    from lightning_fabric import Fabric
except ImportError:  # the whole of Lightning carries the same Fabric inside
    from lightning.fabric import Fabric  # type: ignore[import-not-found,no-redef,unused-ignore]

__all__ = [
    "Fabric",
    "describe_device",
    "make_fabric",
    "multiplies_bfloat16",
    "supported_precision",
]


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    return False


def supported_precision(precision: str, accelerator: str = "auto") -> str:
    """`precision`, or what the device has in its place.

    Without instructions for bfloat16 torch emulates them, on CPUs and on older GPUs, and a training
    step takes several times as long as in float32. Of the mixed ones a CPU has bfloat16 alone.
    """
    if accelerator == "auto":
        # A torch built for GPUs names one as the current even where there is none.
        found = torch.accelerator.current_accelerator()
        accelerator = found.type if found and torch.accelerator.is_available() else "cpu"
    if precision == "32-true" or accelerator not in ("cpu", "cuda"):
        return precision
    if precision == "16-mixed" and accelerator == "cuda":
        return precision
    return "bf16-mixed" if multiplies_bfloat16(torch.device(accelerator)) else "32-true"


def describe_device(device: torch.device) -> str:
    """A device in words that tell why a run took as long as it did, such as "CPU (AVX2)"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    unit = "AMX" if torch.cpu._is_amx_tile_supported() else torch.backends.cpu.get_cpu_capability()
    return f"CPU ({unit})"


def make_fabric(
    *,
    precision: str = "32-true",
    accelerator: str = "auto",
    devices: int | str = "auto",
    num_nodes: int = 1,
) -> Fabric:
    """Join or start the processes of a run and return their common handle.

    Under torchrun the processes exist already and are joined; otherwise, with several devices,
    they are started here.

    Args:
        precision: ``"32-true"``, ``"bf16-mixed"`` or ``"16-mixed"``.
        accelerator: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        devices: how many a machine, or ``"auto"``: torchrun's, otherwise one.
        num_nodes: machines.
    """
    _keep_freed_memory()
    if devices == "auto":
        # Fabric's "auto" takes every GPU, and each of torchrun's processes for a run of its own.
        devices = 1
        if "TORCHELASTIC_RUN_ID" in os.environ:
            devices = int(os.environ["LOCAL_WORLD_SIZE"])
            num_nodes = int(os.environ["GROUP_WORLD_SIZE"])
    # It announces its mixed precision at every start.
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            precision=precision,  # type: ignore[arg-type]
        )
        fabric.launch()
    return fabric


def _keep_freed_memory() -> None:
    """Have the C library keep freed memory instead of returning it to the system.

    glibc maps every large tensor anew and unmaps it after, and the system clears each of its
    pages: a fifth of a training step. Other C libraries do not know these settings, nor need them.
    """
    if not sys.platform.startswith("linux"):
        return
    mmap_max, trim_threshold, top_pad = -4, -1, -2
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, -1)
        libc.mallopt(top_pad, 1 << 28)
