"""``hatcnn train RECIPE --data ROOT --out RUN``: train a recipe, any field of it a flag."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from hatcnn.cli.source import Source
from hatcnn.datasets import hold_out
from hatcnn.errors import ConfigError
from hatcnn.training.recipe import Recipe
from hatcnn.training.recipes import RECIPES, recipe_named
from hatcnn.training.training import Machine, train


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Train a network; the flags of the recipe follow below."""

    data: str
    """Data set: a folder, a zip, a manifest, or 'synthetic'."""
    out: Path
    """Run folder, made when missing."""
    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    """Every field of the recipe."""
    source: Annotated[Source, tyro.conf.arg(name="")] = field(default_factory=Source)
    """How the data set is read."""
    hold_out: int = 0
    """Keep so many training identities back and evaluate on them instead of the test set."""
    resume: bool = False
    """Go on from the run folder's checkpoint, if it has one."""
    max_minutes: float | None = None
    """Stop cleanly after so many minutes; --resume goes on."""
    machine: Annotated[Machine, tyro.conf.arg(name="")] = field(default_factory=Machine)
    """Devices and machines."""


def main(arguments: list[str]) -> None:
    """Train the recipe that the first argument names."""
    if not arguments or arguments[0].startswith("-"):
        if arguments and arguments[0] not in ("-h", "--help"):
            raise ConfigError(f"name the recipe first; known: {', '.join(RECIPES)}")
        print("usage: hatcnn train RECIPE --data ROOT --out RUN [--resume] [--recipe.field value]")
        print(f"recipes: {', '.join(RECIPES)}; 'hatcnn train RECIPE --help' lists every field")
        return
    name, *flags = arguments
    base = recipe_named(name)
    options = tyro.cli(
        TrainOptions,
        prog=f"hatcnn train {name}",
        args=flags,
        default=TrainOptions(data=tyro.MISSING, out=tyro.MISSING, recipe=base),
        config=(tyro.conf.AvoidSubcommands,),
    )
    dataset = options.source.open(options.data)
    if options.hold_out:
        dataset = hold_out(dataset, options.hold_out)
    train(
        options.recipe,
        dataset,
        options.out,
        resume=options.resume,
        max_minutes=options.max_minutes,
        machine=options.machine,
    )
