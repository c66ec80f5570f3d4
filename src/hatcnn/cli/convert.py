"""``hatcnn convert CHECKPOINT OUT``: an existing checkpoint to a model folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hatcnn.errors import ConfigError
from hatcnn.models.build import build_model
from hatcnn.models.checkpoint import save_model
from hatcnn.models.conversion import convert_checkpoint


@dataclass(frozen=True)
class ConvertOptions:
    """Convert a HA-CNN or HAT-CNN checkpoint (.pth, .pth.tar); no code in it is run."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """The file."""
    out: Annotated[Path, tyro.conf.Positional]
    """Model folder, made when missing."""


def main(arguments: list[str]) -> None:
    """Convert the checkpoint that the first argument names."""
    options = tyro.cli(ConvertOptions, prog="hatcnn convert", args=arguments)
    if (options.out / "config.json").exists():
        raise ConfigError(f"{options.out} already holds a model: name another folder")
    config, state = convert_checkpoint(options.checkpoint)
    kind = "HA-CNN" if config.attributes == "none" else "HAT-CNN"
    card = (
        f"# {kind}, converted\n\n"
        f"Converted from the checkpoint `{options.checkpoint.name}`, which was trained elsewhere; "
        "its terms and those of its training pictures apply. No scores were measured here: "
        "`hatcnn evaluate` measures them.\n"
    )
    save_model(options.out, config, state, card=card)
    parameters = sum(
        p.numel() for name, p in build_model(config).named_parameters() if "classifier" not in name
    )
    print(f"{kind}, {parameters / 1e6:.2f} M parameters without classifiers: {options.out}")
