"""Exported forms of a model: which files a folder holds for which runtime, and whether they fit.

A form is one graph file, and the file of its weights where it has one, beside a JSON that says
what they are: ``onnx.json`` or ``openvino.json``. The JSON is written last and holds the hashes of
the files, so a form that was half written, changed by hand, or made from weights that have been
replaced since is found out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from hatcnn.errors import CheckpointError
from hatcnn.models.config import ModelConfig
from hatcnn.models.folder import (
    WEIGHTS,
    config_to_json,
    fingerprint,
    parse_config,
    read_config,
)

Runtime = Literal["onnx", "openvino"]
FormPrecision = Literal["fp32", "fp16", "bf16", "int8"]

GRAPHS: dict[Runtime, str] = {"onnx": "model.onnx", "openvino": "model.xml"}
"""Names of the graph files."""

PREPROCESSING = (
    "The graph takes uint8 RGB pixels (n, height, width, 3) of the network's input size, resized "
    "bilinearly with antialiasing, and normalises them itself: do not scale or normalise before."
)


@dataclass(frozen=True, kw_only=True)
class Form:
    """A model exported for a runtime.

    Attributes:
        runtime: that it is for.
        precision: "fp16" stores weights in half precision, "bf16" multiplies in bfloat16 where
            the hardware does, "int8" convolves 8-bit integers.
        config: of the network; its attributes are "none" where the graph leaves them out.
        fingerprint: of the model it was made from.
        folder: where it lies.
        agreement: with torch when it was made, see `hatcnn.export.agreement`.
        files: names of its files and the SHA-256 of their content.
    """

    runtime: Runtime
    precision: FormPrecision
    config: ModelConfig
    fingerprint: str
    folder: Path
    agreement: dict[str, Any]
    files: dict[str, str]

    @property
    def graph(self) -> Path:
        """The graph file."""
        return self.folder / GRAPHS[self.runtime]

    def to_json(self) -> dict[str, Any]:
        """What `find_form` reads."""
        return {
            "runtime": self.runtime,
            "precision": self.precision,
            "fingerprint": self.fingerprint,
            "preprocessing": PREPROCESSING,
            "config": config_to_json(self.config),
            "agreement": self.agreement,
            "files": self.files,
        }


def description_path(folder: Path, runtime: Runtime) -> Path:
    """Where the JSON of a form lies."""
    return folder / f"{runtime}.json"


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_form(folder: Path, runtime: Runtime) -> Form | None:
    """The form that a folder holds for a runtime; none where it holds none.

    Raises:
        CheckpointError: when its files are missing or are not those that it was made with, or the
            folder holds other weights by now.
    """
    path = description_path(folder, runtime)
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text())
        form = Form(
            runtime=runtime,
            precision=values["precision"],
            config=parse_config(values["config"], source=str(path)),
            fingerprint=str(values["fingerprint"]),
            folder=folder,
            agreement=dict(values["agreement"]),
            files=dict(values["files"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} describes no exported model ({error!r})") from None
    if form.precision not in get_args(FormPrecision) or GRAPHS[runtime] not in form.files:
        raise CheckpointError(f"{path} describes no exported model that we know")
    for name, expected in form.files.items():
        try:
            found = file_hash(folder / name)
        except OSError as error:
            raise CheckpointError(f"cannot read {folder / name}: {error.strerror}") from None
        if found != expected:
            raise _stale(folder / name, path)
    # A graph that has its own copy of the weights does not notice that they were replaced.
    copied = WEIGHTS not in form.files and (folder / WEIGHTS).exists()
    if copied and fingerprint(folder, read_config(folder)) != form.fingerprint:
        raise _stale(folder / WEIGHTS, path)
    return form


def _stale(file: Path, description: Path) -> CheckpointError:
    return CheckpointError(
        f"{file} is not the file that {description.name} was written for: run 'hatcnn export' again"
    )
