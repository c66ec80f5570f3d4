"""``hatcnn data inspect | pack | synthesize``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from hatcnn.cli.output import write_report
from hatcnn.cli.source import Source
from hatcnn.cli.tables import console, table
from hatcnn.datasets import pack
from hatcnn.datasets.inspection import Inspection, inspect_dataset
from hatcnn.datasets.manifest import write_dataset
from hatcnn.datasets.synthetic import synthetic_people
from hatcnn.errors import ConfigError, nearest_names


@dataclass(frozen=True, kw_only=True)
class _Options:
    root: Annotated[str, tyro.conf.Positional]
    """Data set: a folder, a zip, a manifest, or 'synthetic'."""
    source: Annotated[Source, tyro.conf.arg(name="")] = field(default_factory=Source)
    """How the data set is read."""
    json: Path | None = None
    """Write everything to this file; - for standard output."""


@dataclass(frozen=True, kw_only=True)
class InspectOptions(_Options):
    """Count what a data set holds and name every problem."""


@dataclass(frozen=True, kw_only=True)
class PackOptions(_Options):
    """Decode every picture once into memory-mapped files that later runs reuse."""

    height: int = 160
    """Of the network's input, pixels."""
    width: int = 64
    """Of the network's input, pixels."""
    strict: bool = False
    """Stop at the first unreadable picture instead of skipping it."""


@dataclass(frozen=True, kw_only=True)
class SynthesizeOptions:
    """Write the synthetic people as PNG files with a manifest."""

    out: Annotated[Path, tyro.conf.Positional]
    """Folder, made when missing."""
    seed: int = 0
    """Of people, cameras and pictures."""


def main(arguments: list[str]) -> None:
    """Run the action that the first argument names."""
    actions = {"inspect": _inspect, "pack": _pack, "synthesize": _synthesize}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: hatcnn data {' | '.join(actions)} ...")
        return
    action, *rest = arguments
    if action not in actions:
        raise ConfigError(f"unknown action {action!r}{nearest_names(action, actions)}")
    actions[action](rest)


def _inspect(arguments: list[str]) -> None:
    options = tyro.cli(InspectOptions, prog="hatcnn data inspect", args=arguments)
    found = inspect_dataset(options.source.open(options.root))
    if not write_report(found.to_json(), options.json):
        _print(found)


def _pack(arguments: list[str]) -> None:
    options = tyro.cli(PackOptions, prog="hatcnn data pack", args=arguments)
    if min(options.height, options.width) < 1:
        raise ConfigError("height and width must be at least 1")
    dataset = options.source.open(options.root)
    packed = {
        name: pack(dataset.store, split, options.height, options.width, strict=options.strict)
        for name, split in dataset.splits().items()
        if len(split)
    }
    report = {
        name: {
            "pictures": len(p.split),
            "path": str(p.path),
            "bytes": p.path.stat().st_size,
            "skipped": [{"name": n, "reason": r} for n, r in p.skipped],
        }
        for name, p in packed.items()
    }
    if write_report(report, options.json):
        return
    made = table(f"{dataset.name}, packed", "split", "pictures", "skipped", "MB", "file")
    for name, p in packed.items():
        size = f"{p.path.stat().st_size / 1e6:.0f}"
        made.add_row(name, str(len(p.split)), str(len(p.skipped)), size, str(p.path))
    console.print(made)
    for p in packed.values():
        for name, reason in p.skipped:
            console.print(f"skipped {name}: {reason}", markup=False, highlight=False)


def _synthesize(arguments: list[str]) -> None:
    options = tyro.cli(SynthesizeOptions, prog="hatcnn data synthesize", args=arguments)
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise ConfigError(f"{options.out} is no empty folder: name another")
    print(f"wrote {write_dataset(synthetic_people(seed=options.seed), options.out)}")


def print_counts(found: Inspection) -> None:
    """Table of the splits."""
    counts = table(
        found.name, "split", "pictures", "identities", "cameras", "distractors", "labelled"
    )
    for s in found.splits:
        numbers = (s.pictures, s.identities, s.cameras, s.distractors, s.labelled)
        counts.add_row(s.name, *(f"{n:,}" for n in numbers))
    for kind, number in found.left_out.items():
        counts.add_row(f"left out: {kind}", f"{number:,}")
    console.print(counts)


def _print(found: Inspection) -> None:
    print_counts(found)
    all_cameras = sorted({c for s in found.splits for c in s.by_camera})
    if len(all_cameras) <= 20:
        cameras = table("pictures by camera", "camera", *(s.name for s in found.splits))
        for camera in all_cameras:
            cameras.add_row(str(camera), *(f"{s.by_camera.get(camera, 0):,}" for s in found.splits))
        console.print(cameras)

    if any(a.labelled_pictures for half in found.attributes.values() for a in half):
        columns = [f"{half} {unit}" for half in found.attributes for unit in ("people", "pictures")]
        attributes = table("attributes present", "attribute", *columns)
        for row in zip(*found.attributes.values(), strict=True):
            cells = (
                f"{number:,} ({100 * number / known:.1f} %)" if known else "–"
                for a in row
                for number, known in (
                    (a.identities, a.labelled_identities),
                    (a.pictures, a.labelled_pictures),
                )
            )
            attributes.add_row(row[0].name, *cells)
        console.print(attributes)

    sizes = table("picture sizes", "width x height", "pictures")
    for (width, height), number in found.sizes[:10]:
        sizes.add_row(f"{width} x {height}", f"{number:,}")
    if len(found.sizes) > 10:
        rest = sum(number for _, number in found.sizes[10:])
        sizes.add_row(f"{len(found.sizes) - 10} other sizes", f"{rest:,}")
    console.print(sizes)

    if not found.problems:
        console.print("no problems found")
    for problem in found.problems:
        word = "note" if problem.harmless else "PROBLEM"
        more = ", …" if problem.count > len(problem.examples) else ""
        console.print(
            f"{word}: {problem.count:,} {problem.kind}: {', '.join(problem.examples)}{more}",
            markup=False,
            highlight=False,
        )
