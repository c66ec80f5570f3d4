"""The plain network, trained and run as a first script would.

It is an oracle of the tests and only there in a source tree.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

import hatcnn
from hatcnn.images import MEAN, STD
from hatcnn.inference.backends import Floats, Pixels
from hatcnn.models.build import ModelConfig
from hatcnn.models.embedding import identity_vector
from hatcnn.training.losses import losses
from hatcnn.training.recipe import Recipe


def source_tree() -> Path | None:
    """The clone that this package was installed from in editable mode; none for a wheel."""
    root = Path(hatcnn.__file__).resolve().parents[2]
    return root if (root / "tests" / "oracles").is_dir() else None


def oracle(name: str) -> ModuleType:
    """A module of ``tests/oracles``; only where `source_tree` finds it."""
    root = str(source_tree())
    if root not in sys.path:
        sys.path.insert(0, root)
    return importlib.import_module(f"tests.oracles.{name}")


class PlainBackend:
    """The plain network with fresh weights, in float32, fed as a first script would."""

    fingerprint = ""

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self.network = oracle("network").build_plain(config).eval()

    @torch.inference_mode()
    def __call__(self, images: Pixels) -> tuple[Floats, Floats | None]:
        """See `hatcnn.inference.backends.Backend`."""
        mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)
        normalised = ((images / np.float32(255)) - mean) / std
        output = self.network(torch.from_numpy(normalised.transpose(0, 3, 1, 2).copy()))
        return identity_vector(output).numpy(), output.attribute_logits.numpy()


def plain_training_step(recipe: Recipe, batch_size: int) -> Callable[[], int]:
    """One step in float32 with the settings that everything comes with."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = oracle("network").build_plain(recipe.model).to(device).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    images = torch.randn(batch_size, 3, recipe.model.height, recipe.model.width, device=device)
    classes = (torch.arange(batch_size, device=device) // 4) % recipe.model.num_identities
    labels = torch.randint(0, 2, (batch_size, 26), device=device)

    def step() -> int:
        terms = losses(network(images), classes, labels, recipe.loss, recipe.model.colours)
        terms["total"].backward()
        optimiser.step()
        optimiser.zero_grad()
        float(terms["total"].detach())
        return batch_size

    return step
