"""What a training step takes on this machine: operation by operation, and compiled.

    python benchmarks/training_step.py --data ROOT --height 256 --width 128 --json FILE

Steps are the trainer's own, on the data set's pictures. `host` is how long the program takes to
hand a step over without waiting for the device: where that is as long as the step, the device
waits for the program.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from hatcnn.benchmark.ceilings import measure_ceilings, synchronise
from hatcnn.datasets import open_dataset
from hatcnn.devices import describe_device, make_fabric, supported_precision
from hatcnn.files import write_json
from hatcnn.training.data import TrainingData, load_training_data
from hatcnn.training.recipe import Recipe, with_identities
from hatcnn.training.recipes import RECIPES, recipe_named
from hatcnn.training.run_folder import RunFolder
from hatcnn.training.trainer import Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="hatcnn-plus", choices=sorted(RECIPES))
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--height", type=int, default=160)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    recipe = recipe_named(options.recipe)
    size = {"height": options.height, "width": options.width}
    recipe = replace(recipe, model=replace(recipe.model, **size))
    data = load_training_data(open_dataset(options.data), recipe.model)
    recipe = with_identities(recipe, data.num_identities)
    device = make_fabric(devices=1).device
    result: dict[str, Any] = {
        "recipe": recipe.name,
        **size,
        "batch_size": recipe.sampling.batch_size,
        "precision": supported_precision(recipe.precision),
        "device": describe_device(device),
        "torch": torch.__version__,
        "ceilings": asdict(measure_ceilings(device)),
        "operation by operation": timed(replace(recipe, compile="never"), data, options.steps),
        "compiled": timed(replace(recipe, compile="always"), data, options.steps),
    }
    for name, value in result.items():
        print(f"{name:24}{value}")
    if options.json:
        write_json(options.json, result)


def timed(recipe: Recipe, data: TrainingData, steps: int) -> dict[str, Any]:
    """Milliseconds of a step, and the mean losses of the first four, which all forms share."""
    fabric = make_fabric(precision=supported_precision(recipe.precision), devices=1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(recipe, data, RunFolder(folder), fabric)
        trainer.wrapped.train()
        batches = trainer.orders(0)

        def seconds(count: int) -> tuple[float, float]:
            """Of so many steps, and of handing them over."""
            synchronise()
            start = time.perf_counter()
            for _ in range(count):
                trainer._step(batches[trainer.at.step % len(batches)])
                trainer.at.advance()
            handed = time.perf_counter() - start
            synchronise()
            return time.perf_counter() - start, handed

        first, _ = seconds(4)
        losses = {name: round(float(total) / 4, 4) for name, total in trainer.sums.items()}
        seconds(3)
        step, host = (1000 * taken / steps for taken in seconds(steps))
    return {
        "step_ms": round(step, 2),
        "host_ms": round(host, 2),
        "images_per_second": round(1000 * recipe.sampling.batch_size / step, 1),
        "first_four_steps_s": round(first, 1),
        "losses": losses,
    }


if __name__ == "__main__":
    main()
