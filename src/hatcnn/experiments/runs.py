"""Runs, finished or not, read back from their folders. No torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hatcnn.errors import ExperimentError


@dataclass(frozen=True)
class Run:
    """What a run folder says.

    Attributes:
        path: of the folder.
        recipe: the resolved recipe, as written.
        dataset: what it trained and was evaluated on, in words; none in folders that do not say.
        environment: versions, device, commit, seed.
        epochs: one record an epoch: losses, rate, seconds.
        evaluations: by the number of epochs done.
    """

    path: Path
    recipe: dict[str, Any]
    dataset: str | None
    environment: dict[str, Any]
    epochs: tuple[dict[str, Any], ...]
    evaluations: dict[int, dict[str, Any]]

    @property
    def name(self) -> str:
        """The recipe's."""
        return str(self.recipe["name"])

    @property
    def finished(self) -> bool:
        """Whether the last epoch of its schedule was evaluated."""
        return self.recipe["epochs"] in self.evaluations

    @property
    def seconds(self) -> float:
        """Spent in training steps."""
        return float(sum(record["seconds"] for record in self.epochs))

    @property
    def device(self) -> str:
        """It ran on, and in what arithmetic where the folder says so."""
        known = (self.environment.get(key) for key in ("device", "precision"))
        return ", ".join(str(value) for value in known if value)

    @property
    def last(self) -> dict[str, Any]:
        """The latest evaluation."""
        return self.evaluations[max(self.evaluations)]


def read_run(folder: str | Path) -> Run:
    """Read one run folder.

    Raises:
        ExperimentError: when the folder holds no run, or a file of it is broken.
    """
    folder = Path(folder)
    try:
        asked = json.loads((folder / "recipe.json").read_text())
        environment = json.loads((folder / "environment.json").read_text())
        metrics = folder / "metrics.jsonl"
        lines = metrics.read_text().splitlines() if metrics.exists() else []
        records = [json.loads(line) for line in lines]
        return Run(
            path=folder,
            recipe=asked["recipe"],
            dataset=asked.get("dataset"),
            environment=environment,
            epochs=tuple(r for r in records if "evaluation" not in r),
            evaluations={r["epoch"]: r["evaluation"] for r in records if "evaluation" in r},
        )
    except FileNotFoundError as error:
        raise ExperimentError(f"{folder} holds no run: {error.filename} is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExperimentError(f"cannot read the run in {folder}: {error!r}") from None


def find_runs(root: str | Path) -> list[Run]:
    """All runs in a folder and the folders below it, by path.

    Raises:
        ExperimentError: when there is no such folder, or a run in it cannot be read.
    """
    root = Path(root)
    if not root.is_dir():
        raise ExperimentError(f"{root} is no folder: pass the one that holds the runs")
    return [read_run(path.parent) for path in sorted(root.rglob("recipe.json"))]
