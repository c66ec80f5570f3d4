"""``hatcnn train RECIPE --data ROOT --out RUN``: train a recipe, any field of it a flag."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hatcnn.datasets import hold_out, open_dataset
from hatcnn.devices import make_fabric
from hatcnn.errors import ConfigError
from hatcnn.training.data import load_training_data
from hatcnn.training.recipe import Recipe, with_identities
from hatcnn.training.recipes import RECIPES, recipe_named
from hatcnn.training.run_folder import RunFolder
from hatcnn.training.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Train a network; the flags of the recipe follow below."""

    data: str
    """Data set: a folder, a zip, a manifest, or 'synthetic'."""
    out: Path
    """Run folder, made when missing."""
    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    """Every field of the recipe."""
    attributes: Path | None = None
    """Market-1501's market_attribute.mat, where it does not lie beside the pictures."""
    pattern: str | None = None
    """Regular expression for file names, with groups pid and camid."""
    hold_out: int = 0
    """Keep so many training identities back and evaluate on them instead of the test set."""
    resume: bool = False
    """Go on from the run folder's checkpoint, if it has one."""
    max_minutes: float | None = None
    """Stop cleanly after so many minutes; --resume goes on."""
    accelerator: str = "auto"
    """auto, cpu, cuda or mps."""
    devices: str = "auto"
    """Devices a machine; under torchrun its processes are used."""
    num_nodes: int = 1
    """Machines."""


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
    train(options)


def train(options: TrainOptions) -> None:
    """Carry out what the options ask for."""
    run = RunFolder(options.out)
    exists = run.checkpoint_path.exists()
    if exists and not options.resume:
        raise ConfigError(
            f"{options.out} already holds a run: add --resume, or name another folder"
        )
    dataset = open_dataset(options.data, attributes=options.attributes, pattern=options.pattern)
    if options.hold_out:
        dataset = hold_out(dataset, options.hold_out)
    data = load_training_data(dataset, options.recipe.model)
    recipe = with_identities(options.recipe, data.num_identities)
    fabric = make_fabric(
        precision=recipe.precision,
        accelerator=options.accelerator,
        devices=int(options.devices) if options.devices.isdigit() else options.devices,
        num_nodes=options.num_nodes,
    )
    if exists:
        run.check_same(recipe, data.fingerprint)
    elif fabric.is_global_zero:
        run.begin(recipe, data.fingerprint, device=str(fabric.device), processes=fabric.world_size)
    if fabric.is_global_zero:
        for packed in (data.train, data.query, data.gallery):
            for name, reason in packed.skipped if packed else ():
                print(f"skipped {name}: {reason}")
    fabric.barrier()
    trainer = Trainer(recipe, data, run, fabric)
    if exists:
        trainer.resume()
    finished = trainer.fit(options.max_minutes)
    if fabric.is_global_zero:
        if finished:
            print(f"done: {run.model_path} holds the network")
        else:
            print(
                f"stopped after {trainer.at.epoch} of {recipe.epochs} epochs and "
                f"{trainer.at.position} steps; the same command with --resume goes on"
            )
