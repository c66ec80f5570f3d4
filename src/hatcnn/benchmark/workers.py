"""Run several forms of one job in turn, each in a process of its own.

In turn, because what else the machine does changes from minute to minute and should hit all forms
alike; in processes of their own, so that each one's peak memory is its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hatcnn.errors import HatcnnError

Work = Callable[[], int]
"""Does one portion of a job and returns how many units (pictures, queries) that was."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way to do a job.

    Attributes:
        name: as the table says it.
        prepare: makes the work; called in the worker, and must be a function that a fresh
            process can import.
        arguments: of `prepare`.
        plain: whether ours are compared with it.
        precision: arithmetic, for the ceiling it is held against.
        counted: name of the network whose arithmetic it does; empty where none was counted.
    """

    name: str
    prepare: Callable[..., Work]
    arguments: tuple[Any, ...] = ()
    plain: bool = False
    precision: str = "fp32"
    counted: str = ""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a form did.

    Attributes:
        form: which.
        seconds: of each portion.
        units: of each portion.
        start_seconds: from the start of `prepare` to the end of the first portion.
        peak_bytes: largest resident size of the process.
    """

    form: Form
    seconds: tuple[float, ...]
    units: int
    start_seconds: float
    peak_bytes: int

    @property
    def rate(self) -> float:
        """Units a second in the median portion."""
        return self.units / statistics.median(self.seconds)

    def latency(self, share: float) -> float:
        """Milliseconds that this share of the portions did not exceed."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run_in_turn(forms: Sequence[Form], *, seconds: float, rounds: int) -> list[Measured]:
    """Measure all forms.

    Args:
        forms: of one job.
        seconds: for each form in all, start-up apart; every form does at least one portion a
            round.
        rounds: how often the forms take turns.

    Raises:
        HatcnnError: when a form fails; the message is its own.
    """
    context = multiprocessing.get_context("spawn")
    workers = []
    for form in forms:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, form), daemon=True)
        process.start()
        # Or nobody would notice that the process has died.
        theirs.close()
        started = _receive(ours, form)
        workers.append((form, process, ours, started))
    portions: list[list[float]] = [[] for _ in forms]
    units = [0] * len(forms)
    for _ in range(rounds):
        for i, (form, _process, connection, _started) in enumerate(workers):
            times, units[i] = _ask(connection, form, seconds / rounds)
            portions[i] += times
            # Threads of the numerical libraries spin for a moment before they sleep.
            time.sleep(0.3)
    measured = []
    for i, (form, process, connection, started) in enumerate(workers):
        peak = _ask(connection, form, None)
        process.join()
        measured.append(
            Measured(
                form=form,
                seconds=tuple(portions[i]),
                units=units[i],
                start_seconds=started,
                peak_bytes=peak,
            )
        )
    return measured


def peak_bytes() -> int:
    """Largest resident size of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux's other answer, getrusage, begins with the parent's peak.
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _ask(connection: Connection, form: Form, seconds: float | None) -> Any:
    """Portions for so many seconds, or none and the peak of memory."""
    # To a process that has died; receiving says so.
    with contextlib.suppress(OSError):
        connection.send(seconds)
    return _receive(connection, form)


def _receive(connection: Connection, form: Form) -> Any:
    try:
        answer = connection.recv()
    except (EOFError, OSError):
        raise HatcnnError(f"{form.name}: the process died, perhaps for want of memory") from None
    if isinstance(answer, Exception):
        raise HatcnnError(f"{form.name}: {answer}") from answer
    return answer


def _work(connection: Connection, form: Form) -> None:
    try:
        start = time.perf_counter()
        work = form.prepare(*form.arguments)
        work()
        connection.send(time.perf_counter() - start)
        while (budget := connection.recv()) is not None:
            times: list[float] = []
            while not times or sum(times) < budget:
                start = time.perf_counter()
                units = work()
                times.append(time.perf_counter() - start)
            connection.send((times, units))
        connection.send(peak_bytes())
    except Exception as error:
        connection.send(error)
