"""``hatcnn export MODEL --to onnx|openvino``: a network for other runtimes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hatcnn.cli.output import check_writable, write_report
from hatcnn.errors import ConfigError
from hatcnn.export import export_model
from hatcnn.inference.forms import FormPrecision, Runtime


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Export a network, check it against torch and refuse it where they disagree."""

    model: Annotated[str, tyro.conf.Positional]
    """Model folder, such as RUN/model, or the name of a model that comes with the package."""
    to: Runtime
    """Runtime to export for."""
    precision: FormPrecision = "fp32"
    """fp16 stores weights in half the bytes; bf16 (OpenVINO) multiplies in bfloat16 where the CPU
    does; int8 convolves integers and needs pictures to calibrate with."""
    calibrate: tuple[Path, ...] = ()
    """Pictures, or folders of them, to find int8 ranges by and to compare with torch on; without,
    synthetic people are compared on."""
    out: Path | None = None
    """Folder to write to; without, the model folder."""
    predict_attributes: bool = True
    """Export attributes too; a HAT-CNN without them is nearly twice as fast."""
    json: Path | None = None
    """Write what was done and measured to this file; - for standard output."""


def main(arguments: list[str]) -> None:
    """Export the model that the first argument names."""
    options = tyro.cli(ExportOptions, prog="hatcnn export", args=arguments)
    if options.out:
        check_writable(options.out / "file")
    try:
        exported = export_model(
            options.model,
            to=options.to,
            precision=options.precision,
            out=options.out,
            calibrate=options.calibrate or None,
            attributes=options.predict_attributes,
        )
    except OSError as error:
        raise ConfigError(f"cannot write the export: {error}") from None
    form, agreement = exported.form, exported.agreement
    report = {
        "out": str(form.graph),
        "megabytes": round(exported.megabytes, 3),
        "skipped": [{"name": n, "reason": r} for n, r in exported.skipped],
        **form.to_json(),
    }
    if write_report(report, options.json):
        return
    for name, reason in exported.skipped:
        print(f"skipped {name}: {reason}")
    print(f"{form.graph}: {form.precision}, {exported.megabytes:.1f} MB")
    print(f"against torch in fp32, {agreement.pictures} pictures ({agreement.source}):")
    print(f"  {agreement.words()}")
