"""A run folder: what was asked for, what happened, and what resuming needs.

======================  ==========================================================
``recipe.json``         the resolved recipe and the data's fingerprint
``environment.json``    versions, device, commit
``metrics.jsonl``       one line an epoch, and one an evaluation
``tensorboard/``        the same to look at
``last.ckpt``           everything that resuming needs
``model/``              model folder with the weights that evaluation uses
======================  ==========================================================
"""

from __future__ import annotations

import json
import os
import pickle
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hatcnn import __version__
from hatcnn.errors import CheckpointError, ConfigError
from hatcnn.files import atomic_path, write_json
from hatcnn.models.checkpoint import load_model
from hatcnn.training.recipe import Recipe, differences

CHECKPOINT = "last.ckpt"


class RunFolder:
    """Reads and writes one run's files; every file is either old or new, never half.

    Args:
        path: made when missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoint_path = self.path / CHECKPOINT
        self.model_path = self.path / "model"
        self.metrics_path = self.path / "metrics.jsonl"
        self.tensorboard_path = self.path / "tensorboard"

    def begin(
        self,
        recipe: Recipe,
        dataset: str,
        fingerprint: str,
        *,
        device: str,
        precision: str,
        processes: int,
    ) -> None:
        """Write down what was asked for, and where and in what arithmetic it runs.

        What a run killed before its first checkpoint has left is forgotten.
        """
        self.metrics_path.unlink(missing_ok=True)
        write_json(
            self.path / "recipe.json",
            {"recipe": asdict(recipe), "dataset": dataset, "data": fingerprint},
        )
        write_json(
            self.path / "environment.json",
            {
                "hatcnn": __version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
                "platform": f"{platform.system()} {platform.machine()}",
                "device": device,
                "precision": precision,
                "processes": processes,
                "threads": torch.get_num_threads(),
                "commit": _commit(),
                "seed": recipe.seed,
            },
        )

    def _asked(self) -> dict[str, Any]:
        try:
            stored: dict[str, Any] = json.loads((self.path / "recipe.json").read_text())
            return stored
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.path} has no readable recipe.json: {error}") from None

    def reschedule(self, recipe: Recipe, step: int) -> None:
        """Write down that from `step` on the schedule has another length, if it has.

        ``recipe.json`` then says what the run goes on with, and under ``earlier_schedules`` how
        long the schedule was before, and up to which step.
        """
        stored = self._asked()
        if stored["recipe"]["epochs"] != recipe.epochs:
            earlier = {"epochs": stored["recipe"]["epochs"], "until_step": step}
            stored["earlier_schedules"] = [*stored.get("earlier_schedules", []), earlier]
            stored["recipe"]["epochs"] = recipe.epochs
            write_json(self.path / "recipe.json", stored)

    def check_same(self, recipe: Recipe, fingerprint: str) -> None:
        """Raise `ConfigError` when the folder's run had another recipe or other data.

        The length of the schedule may differ: time is what people run out of.
        """
        stored = self._asked()
        different = [
            f"{key} was {old}, now {new}"
            for key, (old, new) in differences(stored["recipe"], recipe).items()
            if key != "epochs"
        ]
        if stored["data"] != fingerprint:
            different.append("the training pictures differ")
        if different:
            raise ConfigError(
                f"cannot resume {self.path} with another recipe: {'; '.join(different)}"
            )

    def record(self, values: dict[str, Any]) -> None:
        """Append a line to the metrics."""
        with self.metrics_path.open("a") as file:
            file.write(json.dumps(values) + "\n")
            file.flush()
            # The checkpoint that follows is on the disk, and remembers how long this file is.
            os.fsync(file.fileno())

    def metrics_size(self) -> int:
        """Bytes of metrics so far; a checkpoint remembers them."""
        return self.metrics_path.stat().st_size if self.metrics_path.exists() else 0

    def truncate_metrics(self, size: int) -> None:
        """Forget the lines that a killed run wrote after its last checkpoint."""
        if self.metrics_path.exists():
            os.truncate(self.metrics_path, size)

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Write everything that resuming needs."""
        with atomic_path(self.checkpoint_path) as temporary:
            torch.save(state, temporary)

    def load_checkpoint(self) -> dict[str, Any]:
        """Read it back, tensors and plain values only.

        Raises:
            CheckpointError: when the file is damaged or holds anything else.
        """
        try:
            state: dict[str, Any] = torch.load(
                self.checkpoint_path, map_location="cpu", weights_only=True
            )
        except (RuntimeError, EOFError, ValueError, OSError, pickle.UnpicklingError) as error:
            raise CheckpointError(
                f"cannot read {self.checkpoint_path}: {error}; start again in another folder"
            ) from None
        return state


def evaluated_weights(source: str) -> dict[str, Tensor]:
    """The weights that evaluation uses, as a state dict.

    Args:
        source: a run folder, whose identity classifiers come along; a model folder, or the name
            of a model that comes with the package.

    Raises:
        CheckpointError: when there is neither, or it is broken.
    """
    run = RunFolder(source)
    if not run.checkpoint_path.exists():
        return load_model(source)[0].state_dict()
    state = run.load_checkpoint()
    weights: dict[str, Tensor] = state["average"] or state["network"]
    return weights


def _commit() -> str | None:
    """Commit of the checkout this package runs from, with ``+`` when it was changed since."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
