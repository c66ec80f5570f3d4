"""Where a run stands, and how long its steps take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Position:
    """What a checkpoint keeps beside weights and optimiser.

    Attributes:
        epoch: finished epochs.
        position: finished steps of the epoch in hand.
        step: finished steps in all.
        timed, seconds: timed steps of the epoch in hand and how long they took. The first step of
            a process is not timed: it warms up.
        waited: seconds of those in which the network waited for its batch.
        evaluated: epoch of the last evaluation, -1 before the first.
        sums: of the epoch's losses.
        scores: the latest evaluation, as printed.
    """

    epoch: int = 0
    position: int = 0
    step: int = 0
    timed: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    evaluated: int = -1
    sums: dict[str, float] = field(default_factory=dict)
    scores: str = ""

    def advance(self) -> None:
        """One more step is done."""
        self.position += 1
        self.step += 1

    def time(self, seconds: float, waited: float) -> None:
        """Count how long a step took, and its batch."""
        self.timed += 1
        self.seconds += seconds
        self.waited += waited

    def speed(self, batch_size: int) -> dict[str, Any]:
        """The epoch's rate, its timed seconds and the share of them spent waiting for data."""
        return {
            "images_per_second": round(self.timed * batch_size / self.seconds, 2)
            if self.timed
            else None,
            "seconds": round(self.seconds, 2),
            "waiting_for_data": round(self.waited / self.seconds, 5) if self.timed else None,
        }

    def end_epoch(self) -> None:
        """Begin the next one."""
        self.epoch += 1
        self.position = self.timed = 0
        self.seconds = self.waited = 0.0
        self.sums = {}
