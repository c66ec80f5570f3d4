"""``hatcnn calibrate MODEL --data ROOT``: what scores mean, fitted on known people."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from hatcnn.cli.evaluate import packed_pictures
from hatcnn.cli.output import check_writable, write_report
from hatcnn.cli.source import Source
from hatcnn.cli.tables import console, table
from hatcnn.devices import make_fabric
from hatcnn.evaluation.thresholds import (
    Calibration,
    calibrate,
    calibration_error,
    halves,
    match_rates,
    score_histogram,
)
from hatcnn.inference.backends import load_backend
from hatcnn.inference.extraction import extract
from hatcnn.models.folder import CALIBRATION, find_model


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions:
    """Fit scores to probabilities on half of a data set's test people, and check on the others."""

    model: Annotated[Path, tyro.conf.Positional]
    """Model folder, such as RUN/model."""
    data: str
    """Data set whose test people the network was not trained on."""
    source: Annotated[Source, tyro.conf.arg(name="")] = field(default_factory=Source)
    """How the data set is read."""
    out: Path | None = None
    """Where to write; none writes calibration.json into the model folder, where it is looked
    for."""
    json: Path | None = None
    """Write the calibration and what the other half says of it to this file; - for standard
    output."""


def main(arguments: list[str]) -> None:
    """Calibrate the network that the first argument names."""
    options = tyro.cli(CalibrateOptions, prog="hatcnn calibrate", args=arguments)
    out = options.out or find_model(options.model) / CALIBRATION
    check_writable(out)
    fabric = make_fabric(devices=1)
    dataset = options.source.open(options.data)
    backend = load_backend(options.model, fabric=fabric)
    query, gallery = (extract(backend, p, fabric) for p in packed_pictures(backend, dataset))
    fitted_on, checked_on = (score_histogram(*half) for half in halves(query, gallery))
    calibration = calibrate(
        fitted_on,
        data=f"every other test person of {dataset.name}",
        fingerprint=backend.fingerprint,
    )
    calibration.save(out)
    checks = [
        (rate, threshold, *match_rates(checked_on, threshold))
        for rate, threshold in zip(
            calibration.false_match_rates, calibration.thresholds, strict=True
        )
    ]
    error = calibration_error(calibration, checked_on)
    report = {
        "calibration": calibration.to_json(),
        "other_half": {
            "calibration_error": error,
            "rates": [
                {"threshold": t, "false_match_rate": f, "true_match_rate": m}
                for _, t, f, m in checks
            ],
        },
    }
    if write_report(report, options.json):
        return
    _print(calibration, checks, error)
    print(f"written: {out}")


def _print(
    calibration: Calibration, checks: list[tuple[float, float, float, float]], error: float
) -> None:
    made = table(
        "thresholds, and what they do on the other half of the people",
        "false matches", "score", "probability", "false matches there", "true matches there",
    )  # fmt: skip
    for rate, threshold, false, true in checks:
        made.add_row(
            f"{rate:.1e}", f"{threshold:.3f}", f"{float(calibration.probability(threshold)):.3f}",
            f"{false:.1e}", f"{true:.1%}",
        )  # fmt: skip
    console.print(made)
    print(
        f"probability (both equally likely before) = 1 / (1 + exp(-({calibration.slope:.2f} x "
        f"score {calibration.intercept:+.2f}))); calibration error there {error:.3f}"
    )
