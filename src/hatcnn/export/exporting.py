"""From a model folder to a form for another runtime, checked before it is kept."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper

from hatcnn import images
from hatcnn.datasets.synthetic import synthetic_people
from hatcnn.devices import make_fabric
from hatcnn.errors import ConfigError, ExportError, ImageError
from hatcnn.export.agreement import Agreement, compare
from hatcnn.export.graphs import halve, share, to_onnx
from hatcnn.export.quantisation import quantise_onnx, quantise_openvino
from hatcnn.files import atomic_path, write_json, write_text
from hatcnn.inference.backends import Backend, Pixels
from hatcnn.inference.forms import (
    GRAPHS,
    PREPROCESSING,
    Form,
    FormPrecision,
    Runtime,
    description_path,
    file_hash,
)
from hatcnn.inference.pictures import Picture, Pictures, expand, read
from hatcnn.inference.torch_backend import TorchBackend
from hatcnn.models.checkpoint import load_model
from hatcnn.models.config import ModelConfig
from hatcnn.models.folder import CARD, WEIGHTS, config_to_json, find_model, fingerprint

MOST_TO_JUDGE = 96
"""Pictures that torch and the export are compared on."""
MOST_TO_CALIBRATE = 288
"""Pictures that an int8 export finds its ranges by; more change them little."""
FEWEST_TO_CALIBRATE = 16
"""Readable pictures that are needed for int8; a quarter of them judges instead."""


@dataclass(frozen=True)
class Exported:
    """An export that was kept.

    Attributes:
        form: what was written.
        agreement: with torch.
        skipped: (name, reason) of pictures that could not be read.
    """

    form: Form
    agreement: Agreement
    skipped: tuple[tuple[str, str], ...]

    @property
    def megabytes(self) -> float:
        """Size of the form's own files, 10^6 bytes; a shared weights file does not count."""
        names = [name for name in self.form.files if name != WEIGHTS]
        return sum((self.form.folder / name).stat().st_size for name in names) / 1e6


def export_model(
    model: str | Path,
    *,
    to: Runtime,
    precision: FormPrecision = "fp32",
    out: str | Path | None = None,
    calibrate: Pictures | None = None,
    attributes: bool = True,
) -> Exported:
    """Export a model folder's network for another runtime.

    The network is exported into a temporary folder, run beside torch, and moved to its place when
    they agree. Exported to ONNX in fp32 beside its weights, the graph reads them from there.

    Args:
        model: a model folder, or the name of a model that comes with the package.
        to: the runtime.
        precision: see `hatcnn.inference.forms.Form`; what is offered depends on the runtime.
        out: folder to write to; none for the model folder.
        calibrate: pictures to find int8 ranges by, and to compare with torch on; none compares on
            synthetic people.
        attributes: False leaves out attributes and what computes them.

    Raises:
        ConfigError: for a precision that the runtime does not offer, or too few pictures.
        CheckpointError: when the model folder is missing or broken.
        ExportError: when the exported network disagrees with torch.
    """
    _check_options(to, precision, calibrate)
    folder = find_model(model)
    out = Path(out) if out else folder
    network, config = load_model(folder)
    attributes = attributes and config.attributes != "none"
    shared = to == "onnx" and precision == "fp32" and out.resolve() == folder.resolve()
    pictures = _pictures(calibrate, config, precision)
    out.mkdir(parents=True, exist_ok=True)
    # A hidden folder inside, so that files can be renamed into place.
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as name:
        temporary = Path(name)
        graph = to_onnx(network, config, attributes=attributes)
        form = Form(
            runtime=to,
            precision=precision,
            config=config if attributes else replace(config, attributes="none"),
            fingerprint=fingerprint(folder, config),
            folder=temporary,
            agreement={},
            files={},
        )
        if shared:
            (temporary / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes())
            share(graph, temporary / WEIGHTS)
        _write(graph, form, pictures.calibrating)
        reference = TorchBackend(
            network, config, make_fabric(accelerator="cpu", devices=1), attributes=attributes
        )
        agreement = _judge(form, reference, pictures)
        files = {p.name: file_hash(p) for p in sorted(temporary.iterdir())}
        for file in files:
            if file != WEIGHTS:
                with atomic_path(out / file) as beside:
                    beside.write_bytes((temporary / file).read_bytes())
    if not (out / CARD).exists() and (folder / CARD).exists():
        # The terms of its training pictures go with a model.
        write_text(out / CARD, (folder / CARD).read_text())
    form = replace(form, folder=out, agreement=agreement.to_json(), files=files)
    write_json(description_path(out, to), form.to_json())
    return Exported(form, agreement, pictures.skipped)


def _check_options(to: Runtime, precision: FormPrecision, calibrate: Pictures | None) -> None:
    if to == "onnx" and precision == "bf16":
        raise ConfigError(
            "ONNX Runtime convolves no bfloat16 on CPUs: export fp32, fp16 or int8, "
            "or use --to openvino"
        )
    if precision == "int8" and calibrate is None:
        raise ConfigError(
            "int8 needs pictures to calibrate with: pass --calibrate and some hundred of your own, "
            "from the cameras that it will see"
        )
    if to == "openvino" and importlib.util.find_spec("openvino") is None:
        raise ConfigError('OpenVINO is not installed: pip install "hatcnn[openvino]"')
    if to == "openvino" and precision == "int8" and importlib.util.find_spec("nncf") is None:
        raise ConfigError('NNCF is not installed: pip install "hatcnn[openvino-int8]"')


class _Pictures(NamedTuple):
    """Pictures (n, H, W, 3) of the network's input size.

    Attributes:
        calibrating: that int8 finds its ranges by.
        judging: that the export and torch are compared on.
        source: where they came from, in words.
        skipped: (name, reason) of the unreadable.
    """

    calibrating: Pixels
    judging: Pixels
    source: str
    skipped: tuple[tuple[str, str], ...]


def _pictures(given: Pictures | None, config: ModelConfig, precision: FormPrecision) -> _Pictures:
    if given is None:
        source = "synthetic people"
        crowd = synthetic_people(num_train_identities=2, num_test_identities=10)
        named: list[tuple[str, Picture]] = [(n, crowd.store.read(n)) for n in crowd.query.names]
    else:
        source, named = "given pictures", list(expand(given))
    # Spread over all of them: neighbours are often of the same person.
    most = MOST_TO_JUDGE + (MOST_TO_CALIBRATE if precision == "int8" else 0)
    readable, skipped = [], []
    for name, picture in named[:: -(-len(named) // most) or 1]:
        try:
            readable.append(images.resize(read(name, picture), config.height, config.width))
        except ImageError as error:
            skipped.append((name, str(error)))
    if not readable:
        reason = f": {skipped[0][1]}" if skipped else ""
        raise ConfigError(f"none of {len(skipped)} pictures can be read{reason}")
    pixels = np.stack(readable)
    if precision != "int8":
        return _Pictures(pixels[:0], pixels, source, tuple(skipped))
    if len(pixels) < FEWEST_TO_CALIBRATE:
        raise ConfigError(
            f"{len(pixels)} readable pictures are too few to calibrate with: "
            f"pass at least {FEWEST_TO_CALIBRATE}"
        )
    # What has set the ranges says too little about other pictures.
    judges = np.arange(len(pixels)) % 4 == 0
    return _Pictures(pixels[~judges], pixels[judges], source, tuple(skipped))


def _write(graph: onnx.ModelProto, form: Form, calibrating: Pixels) -> None:
    """Write the graph in the form's precision, for its runtime, into its folder."""
    if form.precision == "int8" and form.runtime == "onnx":
        graph = quantise_onnx(graph, form.folder, calibrating)
    if form.precision != "fp32":
        # Beside integers too: fully connected layers are half of the bytes.
        halve(graph)
    helper.set_model_props(graph, _properties(form))
    path = form.folder / GRAPHS["onnx"]
    onnx.save(graph, path)
    if form.runtime == "onnx":
        return
    import openvino

    model = openvino.Core().read_model(path)
    if form.precision == "int8":
        model = quantise_openvino(model, calibrating)
    for name, value in _properties(form).items():
        model.set_rt_info(value, ["hatcnn", name])
    # Its own compression would halve constants that need their digits, such as positions.
    openvino.save_model(model, form.graph, compress_to_fp16=False)
    del model  # it maps the file
    path.unlink()


def _properties(form: Form) -> dict[str, str]:
    """What strangers to this package should find inside the file."""
    return {
        "model": "hatcnn",
        "fingerprint": form.fingerprint,
        "precision": form.precision,
        "preprocessing": PREPROCESSING,
        "config": json.dumps(config_to_json(form.config)),
    }


def _judge(form: Form, reference: Backend, pictures: _Pictures) -> Agreement:
    """Load the form as it will be loaded, and compare.

    Raises:
        ExportError: when it does not run, or disagrees.
    """
    exported: Backend
    try:
        if form.runtime == "onnx":
            from hatcnn.inference.onnx_backend import ONNXBackend

            exported = ONNXBackend.from_form(form)
        else:
            from hatcnn.inference.openvino_backend import OpenVINOBackend

            exported = OpenVINOBackend.from_form(form)
        agreement = compare(exported, reference, pictures.judging, pictures.source)
    except Exception as error:  # runtimes raise what they like
        raise ExportError(f"the exported network cannot be run: {error}") from error
    agreement.check(form.precision)
    return agreement
