"""``hatcnn embed IMAGES... --model MODEL --out FILE.npz``: pictures to vectors and attributes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hatcnn import images
from hatcnn.cli.output import check_writable, write_report
from hatcnn.errors import ConfigError
from hatcnn.inference.backends import BackendName, Precision
from hatcnn.inference.embedder import Embedder


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """Embed pictures of people and write the vectors to a file."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Pictures, or folders of them."""
    model: Path
    """Model folder, such as RUN/model."""
    out: Path
    """The .npz file to write: vectors, names and attributes."""
    backend: BackendName = "auto"
    """What runs the network; auto is torch on a GPU, else OpenVINO where it is installed."""
    precision: Precision = "auto"
    """Arithmetic of the network; auto is bfloat16 where the hardware has it."""
    predict_attributes: bool = True
    """Predict attributes too; without them it is nearly twice as fast."""
    strict: bool = False
    """Stop at the first unreadable picture instead of skipping it."""
    json: Path | None = None
    """Write counts and skipped pictures to this file; - for standard output."""


def main(arguments: list[str]) -> None:
    """Embed the pictures that the first arguments name."""
    options = tyro.cli(EmbedOptions, prog="hatcnn embed", args=arguments)
    # Before hours of work, not after.
    check_writable(options.out)
    paths = [found for path in options.images for found in _pictures(path)]
    embedder = Embedder.load(
        options.model,
        backend=options.backend,
        precision=options.precision,
        attributes=options.predict_attributes,
    )
    people = embedder.embed(paths, strict=options.strict)
    try:
        people.save(options.out)
    except OSError as error:
        raise ConfigError(f"cannot write {options.out}: {error.strerror}") from None
    report = {
        "out": str(options.out),
        "pictures": len(people),
        "dimensions": people.vectors.shape[1],
        "skipped": [{"name": n, "reason": r} for n, r in people.skipped],
    }
    if write_report(report, options.json):
        return
    for name, reason in people.skipped:
        print(f"skipped {name}: {reason}")
    print(f"{options.out}: {len(people)} vectors of {people.vectors.shape[1]} numbers")


def _pictures(path: Path) -> list[Path]:
    """A picture, or all pictures of a folder and the folders in it, by name."""
    if not path.is_dir():
        if not path.exists():
            raise ConfigError(f"no picture at {path}")
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in images.SUFFIXES)
    if not found:
        raise ConfigError(f"no pictures in {path} ({', '.join(images.SUFFIXES)})")
    return found
