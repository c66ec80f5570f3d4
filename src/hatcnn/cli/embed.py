"""``hatcnn embed IMAGES... --model MODEL --out FILE.npz``: pictures to vectors and attributes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from hatcnn.cli.output import check_writable, write_report
from hatcnn.errors import ConfigError
from hatcnn.inference.backends import BackendName, Precision
from hatcnn.inference.distributed import connect, embed_on_cluster, joined
from hatcnn.inference.embedder import Embedder
from hatcnn.inference.pictures import find_files
from hatcnn.models.folder import find_model


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """Embed pictures of people and write the vectors to a file."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Pictures, folders of them, or patterns in quotes."""
    model: str
    """Model folder, such as RUN/model, or the name of a model that comes with the package."""
    out: Path
    """The .npz file to write: vectors, names, attributes, the model's fingerprint."""
    backend: BackendName = "auto"
    """What runs the network; auto is torch on a GPU, else OpenVINO where it is installed, else
    ONNX Runtime where the model was exported for it, else torch."""
    precision: Precision = "auto"
    """Arithmetic of the network; auto is what an export was made for, else bfloat16 where the
    hardware has it."""
    predict_attributes: bool = True
    """Predict attributes too; a network with a branch of its own for them is nearly twice as fast
    without."""
    quality: bool = False
    """Flag pictures that are small, dark, uniform or of no person's shape."""
    ray: str | None = None
    """Embed on the Ray cluster at this address; 'auto' for the one that this machine is in,
    'local' for this machine alone. All need the model and the pictures under the same paths."""
    strict: bool = False
    """Stop at the first unreadable picture instead of skipping it."""
    json: Path | None = None
    """Write counts, skipped and flagged pictures to this file; - for standard output."""


def main(arguments: list[str]) -> None:
    """Embed the pictures that the first arguments name."""
    options = tyro.cli(EmbedOptions, prog="hatcnn embed", args=arguments)
    # Before hours of work, not after.
    check_writable(options.out)
    files = find_files(options.images)
    load = partial(
        Embedder.load,
        options.model,
        backend=options.backend,
        precision=options.precision,
        attributes=options.predict_attributes,
    )
    if options.ray:
        find_model(options.model)
        connect(options.ray)
        # Ray starts one worker a core.
        load = partial(load, workers=1, threads=1)
        parts = embed_on_cluster(load, files, quality=options.quality, strict=options.strict)
        people = joined([part for part, _ in parts])
    else:
        people = load().embed(files, quality=options.quality, strict=options.strict)
    try:
        people.save(options.out)
    except OSError as error:
        raise ConfigError(f"cannot write {options.out}: {error.strerror}") from None
    report = {
        "out": str(options.out),
        "pictures": len(people),
        "dimensions": people.vectors.shape[1],
        "fingerprint": people.fingerprint,
        "skipped": [{"name": n, "reason": r} for n, r in people.skipped],
    }
    flagged = [(n, f) for n, f in zip(people.names, people.flags or (), strict=False) if f]
    if people.flags is not None:
        report["flagged"] = [{"name": n, "flags": list(f)} for n, f in flagged]
    if write_report(report, options.json):
        return
    for name, reason in people.skipped:
        print(f"skipped {name}: {reason}")
    for name, flags in flagged:
        print(f"flagged {name}: {', '.join(flags)}")
    print(f"{options.out}: {len(people)} vectors of {people.vectors.shape[1]} numbers")
