"""What our 3x3 convolution gives in float32 training on a CPU, beside torch's own.

    python benchmarks/convolution.py [--out benchmarks/results/convolution.json]

Each convolution of `hatcnn-plus` that ours takes, batch 64, forward and with all gradients; then
whole training steps with and without it. The two take turns, and the median of each counts.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from hatcnn.benchmark.jobs import training_step
from hatcnn.devices import describe_device
from hatcnn.files import write_json
from hatcnn.models.kernels import convolution
from hatcnn.training.recipes import recipe_named

BATCH = 64
Shape = tuple[int, ...]


def in_turn(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Milliseconds of each work, the median of the rounds."""
    taken: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    for _ in range(rounds):
        for work, times in zip(works, taken, strict=True):
            start = time.perf_counter()
            work()
            times.append(1000 * (time.perf_counter() - start))
    return [median(times) for times in taken]


def compared(theirs: float, ours: float, **what: Any) -> dict[str, Any]:
    ratio = round(theirs / ours, 2)
    row = {**what, "torch_ms": round(theirs, 1), "ours_ms": round(ours, 1), "ratio": ratio}
    print(row, flush=True)
    return row


def one(x_shape: Shape, weight_shape: Shape, count: int) -> list[dict[str, Any]]:
    """One size of convolution, forward and with gradients."""

    def made(shape: Shape) -> Tensor:
        return torch.randn(shape).contiguous(memory_format=torch.channels_last).requires_grad_()

    x, weight = made(x_shape), made(weight_shape)
    torch_s: Callable[[], Tensor] = lambda: F.conv2d(x, weight, None, 1, 1)  # noqa: E731
    ours: Callable[[], Tensor] = lambda: convolution.convolve(x, weight)  # noqa: E731
    dy = torch.randn_like(torch_s())
    rows = []
    for what, works in (
        ("forward", (torch_s, ours)),
        (
            "forward and gradients",
            tuple(lambda f=f: torch.autograd.grad(f(), (x, weight), dy) for f in (torch_s, ours)),
        ),
    ):
        times = in_turn(works, rounds=9)
        rows.append(compared(*times, what=what, x=x_shape, filters=weight_shape, in_step=count))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    recipe = replace(recipe_named("hatcnn-plus"), precision="32-true")
    step = training_step(recipe, BATCH, plain=False)
    sizes: Counter[tuple[Shape, Shape]] = Counter()
    convolve = convolution.convolve

    def noted(x: Tensor, weight: Tensor) -> Tensor:
        sizes[tuple(x.shape), tuple(weight.shape)] += 1
        return convolve(x, weight)

    with patch.object(convolution, "convolve", noted):
        step()
    if not sizes:
        raise SystemExit("this machine has no kernels: install a C++ compiler")

    def without() -> object:
        with patch.object(convolution, "usable", lambda *_: False):
            return step()

    rows = [row for (x, weight), count in sizes.items() for row in one(x, weight, count)]
    rows.append(compared(*in_turn((without, step), rounds=15), what="training step, hatcnn-plus"))
    if options.out:
        result = {
            "command": "python benchmarks/convolution.py",
            "date": datetime.date.today().isoformat(),
            "machine": f"{platform.machine()}, {describe_device(torch.device('cpu'))}",
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "batch": BATCH,
            "rows": rows,
        }
        write_json(options.out, result)


if __name__ == "__main__":
    main()
