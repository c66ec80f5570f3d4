"""A plan: recipes, what is changed of them, and seeds, in one TOML file.

title = "What each part is worth"
hold_out = 100                 # training identities kept back to choose by; 0: the test set
flags = "--epochs 3"           # of every experiment, as `hatcnn train` takes them
seeds = [0]

[[experiment]]
name = "no triplets"
recipe = "hatcnn-plus"
flags = "--loss.triplet-weight 0"
seeds = [0, 1, 2]              # in place of the plan's; without any, the recipe's
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from hatcnn.errors import ExperimentError, nearest_names
from hatcnn.training.recipe import Recipe
from hatcnn.training.recipes import recipe_named

_PLAN_KEYS = {"title": str, "hold_out": int, "flags": str, "seeds": list, "experiment": list}
_EXPERIMENT_KEYS = {"name": str, "recipe": str, "flags": str, "seeds": list, "words": str}


@dataclass(frozen=True)
class Experiment:
    """One line of the results: a recipe, trained once a seed.

    Attributes:
        name: of its folder and in the table.
        words: what it is about, in a few words.
        recipe: resolved, but for seed and identities.
        flags: what differs from the named recipe, the plan's and then its own, as typed.
        seeds: at least one.
    """

    name: str
    words: str
    recipe: Recipe
    flags: str
    seeds: tuple[int, ...]

    def runs(self, root: Path) -> list[tuple[Path, Recipe]]:
        """Folder and recipe of each seed's run."""
        folder = root / self.name.replace(" ", "-")
        return [(folder / f"seed-{seed}", replace(self.recipe, seed=seed)) for seed in self.seeds]


@dataclass(frozen=True)
class Plan:
    """Experiments that can be compared: same data, and the same budget unless a line says more."""

    title: str
    hold_out: int
    experiments: tuple[Experiment, ...]


def read_plan(path: str | Path) -> Plan:
    """Read a plan and check all of it, so that nothing stops after hours for a slip of the pen.

    Raises:
        ExperimentError: for a file that is no plan, naming the key.
        ConfigError: for an unknown recipe or an impossible value.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise ExperimentError(f"cannot read {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError(f"{path} is no TOML: {error}") from None
    _check(content, _PLAN_KEYS, str(path))
    if not content.get("experiment"):
        raise ExperimentError(f"{path} holds no [[experiment]]")
    experiments = tuple(_experiment(entry, content, path) for entry in content["experiment"])
    names = [experiment.name for experiment in experiments]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ExperimentError(f"{path}: two experiments are called {twice[0]!r}")
    return Plan(content.get("title", path.stem), content.get("hold_out", 0), experiments)


def _experiment(entry: dict[str, Any], plan: dict[str, Any], path: Path) -> Experiment:
    _check(entry, _EXPERIMENT_KEYS, f"{path}, [[experiment]] {entry.get('name', '')!r}")
    if "name" not in entry or "recipe" not in entry:
        raise ExperimentError(f"{path}: every [[experiment]] needs a name and a recipe")
    flags = f"{plan.get('flags', '')} {entry.get('flags', '')}".strip()
    recipe = tyro.cli(
        Recipe,
        prog=f"{path}, {entry['name']}",
        args=shlex.split(flags),
        default=recipe_named(entry["recipe"]),
        config=(tyro.conf.AvoidSubcommands,),
    )
    seeds = tuple(entry.get("seeds", plan.get("seeds", [recipe.seed])))
    if not seeds or not all(isinstance(seed, int) for seed in seeds):
        raise ExperimentError(f"{path}, {entry['name']!r}: seeds must be whole numbers")
    return Experiment(entry["name"], entry.get("words", ""), recipe, flags, seeds)


def _check(content: dict[str, Any], known: Mapping[str, type], where: str) -> None:
    for key, value in content.items():
        if key not in known:
            raise ExperimentError(f"{where}: unknown key {key!r}{nearest_names(key, known)}")
        if not isinstance(value, known[key]):
            raise ExperimentError(f"{where}: {key} must be of type {known[key].__name__}")
