"""The learning rate as a pure function of progress, so that resuming cannot lose it."""

from __future__ import annotations

import math

from hatcnn.training.recipe import Optimiser


def learning_rate(optimiser: Optimiser, step: int, total_steps: int) -> float:
    """Learning rate of a step.

    Args:
        optimiser: highest rate, schedule, warm-up.
        step: from 0.
        total_steps: of the whole schedule.
    """
    progress = step / total_steps
    warmup = optimiser.warmup
    if progress < warmup:
        return optimiser.lr * (step + 1) / (warmup * total_steps + 1)
    if optimiser.schedule == "cosine":
        return optimiser.lr * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) / 2
    # A hair of slack: milestones are shares like 150 / 240, and the step that reaches one counts.
    passed = sum(progress >= milestone - 1e-9 for milestone in optimiser.milestones)
    return optimiser.lr * 0.1**passed
