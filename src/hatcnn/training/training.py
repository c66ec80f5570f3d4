"""One training run from recipe and data set to a model folder: begin it, or go on with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hatcnn.datasets import Dataset
from hatcnn.devices import describe_device, make_fabric, supported_precision
from hatcnn.errors import ConfigError
from hatcnn.training.data import load_training_data
from hatcnn.training.recipe import Recipe, with_identities
from hatcnn.training.run_folder import RunFolder
from hatcnn.training.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a run may use."""

    accelerator: str = "auto"
    """auto, cpu, cuda or mps."""
    devices: str = "auto"
    """Devices a machine; auto takes one, or under torchrun its processes."""
    num_nodes: int = 1
    """Machines."""


def train(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    machine: Machine | None = None,
) -> bool:
    """Train a recipe and say how it ended.

    Args:
        recipe: its number of identities is filled in from the data.
        dataset: evaluated on its query and gallery, where it has them.
        out: run folder, made when missing.
        resume: go on from the folder's checkpoint, if it has one.
        max_minutes: stop cleanly after so many.
        machine: what to use; none takes one device, the best there is.

    Returns:
        Whether the schedule has ended.

    Raises:
        ConfigError: when the folder holds a run and `resume` is false, or the run had another
            recipe or other pictures.
        TrainingError: when the loss is not finite.
    """
    machine = machine or Machine()
    run = RunFolder(out)
    exists = run.checkpoint_path.exists()
    if exists and not resume:
        raise ConfigError(f"{out} already holds a run: add --resume, or name another folder")
    data = load_training_data(dataset, recipe.model)
    recipe = with_identities(recipe, data.num_identities)
    precision = supported_precision(recipe.precision, machine.accelerator)
    fabric = make_fabric(
        precision=precision,
        accelerator=machine.accelerator,
        devices=int(machine.devices) if machine.devices.isdigit() else machine.devices,
        num_nodes=machine.num_nodes,
    )
    if exists:
        run.check_same(recipe, data.fingerprint)
    elif fabric.is_global_zero:
        run.begin(
            recipe,
            dataset.name,
            data.fingerprint,
            device=describe_device(fabric.device),
            precision=precision,
            processes=fabric.world_size,
        )
    if fabric.is_global_zero:
        if precision != recipe.precision:
            words = "float32" if precision == "32-true" else "bfloat16"
            device = "CPU" if fabric.device.type == "cpu" else "GPU"
            print(f"this {device} has no instructions for {recipe.precision}: training in {words}")
        for packed in (data.train, data.query, data.gallery):
            for name, reason in packed.skipped if packed else ():
                print(f"skipped {name}: {reason}")
    fabric.barrier()
    trainer = Trainer(recipe, data, run, fabric)
    if exists:
        trainer.resume()
    finished = trainer.fit(max_minutes)
    if fabric.is_global_zero:
        if finished:
            print(f"done: {run.model_path} holds the network")
        else:
            print(
                f"stopped after {trainer.at.epoch} of {recipe.epochs} epochs and "
                f"{trainer.at.position} steps; the same command with --resume goes on"
            )
    return finished
