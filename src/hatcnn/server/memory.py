"""Memory that the C library would keep after large pictures, given back to the system."""

from __future__ import annotations

import asyncio
import ctypes
from typing import Any

EVERY_S = 15.0
LARGE_BYTES = 2**20
_M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""


def keep_large_blocks_apart() -> bool:
    """Have every block of 1 MiB and more mapped by itself, so that freeing it gives it back.

    glibc means to, but each such block that is freed raises its limit, up to 32 MiB: pixels of
    later pictures go into the heaps of the decoding threads, which small blocks behind them keep
    from shrinking. Memory then wanders upwards with the largest pictures that met. Setting the
    limit, to whatever value, ends its rising. It holds for the whole process.

    Returns:
        Whether it was done; only glibc knows it.
    """
    mallopt: Any = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES) == 1


async def give_back_regularly() -> None:
    """Give back what lies free at the ends of heaps, until cancelled; does nothing where the C
    library is not glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(EVERY_S)
        await asyncio.to_thread(trim, 0)
