"""Requests to stop: signals that end the step in hand instead of the process."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Yield a list to which the first SIGTERM, SIGUSR1 or Ctrl-C is added; a second acts."""
    requested: list[int] = []
    signals = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    old = {s: signal.getsignal(s) for s in signals}

    def restore() -> None:
        for number, handler in old.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        requested.append(number)
        restore()

    for number in signals:
        signal.signal(number, note)
    try:
        yield requested
    finally:
        restore()
