"""How far rounding alone takes two runs of one recipe apart in their first steps.

    python benchmarks/rounding.py --data ROOT --json benchmarks/results/rounding.json

The published HA-CNN on a CPU in float32, with the package's kernels and without: the first step's
gradient beside that of float64, and the losses of the first five steps.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from hatcnn.datasets import open_dataset
from hatcnn.devices import describe_device, make_fabric
from hatcnn.files import write_json
from hatcnn.models.kernels.library import library
from hatcnn.training.data import TrainingData, load_training_data
from hatcnn.training.losses import losses
from hatcnn.training.recipe import Recipe, with_identities
from hatcnn.training.recipes import recipe_named
from hatcnn.training.run_folder import RunFolder
from hatcnn.training.trainer import Trainer

STEPS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    recipe = recipe_named("hacnn-paper")
    data = load_training_data(open_dataset(options.data), recipe.model)
    recipe = with_identities(recipe, data.num_identities)
    result: dict[str, object] = {
        "command": "python benchmarks/rounding.py --data ROOT",
        "recipe": recipe.name,
        "seed": recipe.seed,
        "device": describe_device(torch.device("cpu")),
        "torch": torch.__version__,
        **{
            f"{name} kernels": first_steps(recipe, data, kernels=name == "with")
            for name in ("with", "without")
        },
    }
    for name, value in result.items():
        print(f"{name:16} {value}")
    if options.json:
        write_json(options.json, result)


def first_steps(recipe: Recipe, data: TrainingData, *, kernels: bool) -> dict[str, object]:
    """Relative error of the first gradient, and each step's loss."""
    os.environ["HATCNN_KERNELS"] = "on" if kernels else "off"
    library.cache_clear()
    with tempfile.TemporaryDirectory() as folder:
        fabric = make_fabric(accelerator="cpu", devices=1)
        trainer = Trainer(recipe, data, RunFolder(folder), fabric)
    trainer.wrapped.train()
    batches = trainer.orders(0)
    images, classes, attributes = trainer.batches(batches[0], 0, slice(0, len(batches[0])))

    def gradient(dtype: torch.dtype) -> Tensor:
        network: nn.Module = copy.deepcopy(trainer.network).to(dtype)
        output = network(images.to(dtype))
        losses(output, classes, attributes, recipe.loss, recipe.model.colours)["total"].backward()
        return torch.cat([p.grad.double().flatten() for p in network.parameters()])  # type: ignore[union-attr]

    exact, rounded = gradient(torch.float64), gradient(torch.float32)
    totals = [0.0]
    for batch in batches[:STEPS]:
        trainer._step(batch)
        trainer.at.advance()
        totals.append(float(trainer.sums["total"]))
    return {
        "gradient_error": float((rounded - exact).norm() / exact.norm()),
        "losses": [round(b - a, 5) for a, b in itertools.pairwise(totals)],
    }


if __name__ == "__main__":
    main()
