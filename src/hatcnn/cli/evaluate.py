"""``hatcnn evaluate MODEL --data ROOT``: rank a gallery and report how well."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from hatcnn.cli.output import check_writable, json_file, write_report
from hatcnn.cli.source import Source
from hatcnn.cli.tables import print_evaluation
from hatcnn.datasets import Dataset, pack
from hatcnn.datasets.pack import PackedSplit
from hatcnn.devices import make_fabric
from hatcnn.errors import CheckpointError, ConfigError, DataError, EvaluationError
from hatcnn.evaluation import Distance, Evaluation, Features, evaluate, save_features
from hatcnn.evaluation.thresholds import Calibration
from hatcnn.experiments.runs import Run, read_run
from hatcnn.inference.backends import Backend, BackendName, Precision, load_backend
from hatcnn.inference.extraction import extract
from hatcnn.inference.flipping import FlipAveraged
from hatcnn.models.folder import CALIBRATION, find_model

if TYPE_CHECKING:  # It imports torch's part of the library only where something is drawn.
    from hatcnn.inference.explanation import Explainer


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Rank a data set's gallery for its queries."""

    model: Annotated[Path, tyro.conf.Positional]
    """Model folder, such as RUN/model."""
    data: str
    """Data set: a folder, a zip, a manifest, or 'synthetic'."""
    source: Annotated[Source, tyro.conf.arg(name="")] = field(default_factory=Source)
    """How the data set is read."""
    attribute_weight: float = 1.0
    """Factor of the attributes in the squared distance; 0 ranks by identity alone."""
    distance: Distance = "euclidean"
    """Distance that ranks."""
    rerank: bool = False
    """Also re-rank by k-reciprocal neighbours."""
    flip_averaging: bool = False
    """Embed every picture twice, as it is and mirrored, and take the mean."""
    json: Path | None = None
    """Write everything to this file; - for standard output."""
    features: Path | None = None
    """Write all vectors and labels to this .npz file, from which the scores can be recomputed."""
    report: Path | None = None
    """Draw every picture into this folder, and report.html, one file with all of them."""
    strict: bool = False
    """Stop at the first unreadable picture instead of skipping it."""
    backend: BackendName = "auto"
    """What runs the network; auto is torch on a GPU, else OpenVINO where it is installed."""
    precision: Precision = "auto"
    """Arithmetic of the network; auto is bfloat16 where the hardware has it."""
    accelerator: str = "auto"
    """auto, cpu, cuda or mps."""


def main(arguments: list[str]) -> None:
    """Evaluate the network that the first argument names."""
    options = tyro.cli(EvaluateOptions, prog="hatcnn evaluate", args=arguments)
    # Before hours of work, not after.
    for target in (options.features, json_file(options.json)):
        if target:
            check_writable(target)
    if options.report:
        check_writable(options.report / "report.html")
        _check_drawing()
    run = _training_run(options.model) if options.report else None
    explainer = _explainer(options.model) if options.report else None
    fabric = make_fabric(accelerator=options.accelerator)
    backend = load_backend(
        options.model, backend=options.backend, precision=options.precision, fabric=fabric
    )
    if options.flip_averaging:
        backend = FlipAveraged(backend)
    dataset = options.source.open(options.data)
    packs = packed_pictures(backend, dataset, strict=options.strict)
    features = [extract(backend, packed, fabric) for packed in packs]
    if not fabric.is_global_zero:
        return
    query, gallery = features
    skipped = [entry for packed in packs for entry in packed.skipped]
    if options.features:
        save_features(options.features, query, gallery)
    result = evaluate(
        query,
        gallery,
        attribute_weight=options.attribute_weight,
        distance=options.distance,
        rerank=options.rerank,
    )
    report = {
        "model": str(options.model),
        "data": dataset.name,
        "pictures": {"query": len(query), "gallery": len(gallery)},
        "backend": options.backend,
        "precision": options.precision,
        "flip_averaging": options.flip_averaging,
        **result.to_json(),
        "skipped": [{"name": n, "reason": r} for n, r in skipped],
        "report": str(options.report / "report.html") if options.report else None,
    }
    alone = write_report(report, options.json)
    if not alone:
        flips = ", averaged over flips" if options.flip_averaging else ""
        print_evaluation(result, title=f"{options.model} on {dataset.name}{flips}")
        for name, reason in skipped:
            print(f"skipped {name}: {reason}")
    if options.report:
        fitted = None
        if not options.flip_averaging:  # which gives other similarities
            fitted = _calibration(options.model, backend.fingerprint)
        page = _draw(
            options.report,
            options.model,
            dataset.name,
            result,
            features,
            packs,
            run,
            calibration=fitted,
            explainer=explainer,
        )
        if not alone:
            print(f"report: {page}")


def packed_pictures(
    backend: Backend, dataset: Dataset, *, strict: bool = False
) -> tuple[PackedSplit, PackedSplit]:
    """Query and gallery, at the network's input size.

    Raises:
        DataError: when the data set has none of either.
    """
    config = backend.config
    for name, split in (("query", dataset.query), ("gallery", dataset.gallery)):
        if not len(split):
            raise DataError(f"{dataset.name} has no {name} pictures: there is nothing to rank")
    query, gallery = (
        pack(dataset.store, split, config.height, config.width, strict=strict)
        for split in (dataset.query, dataset.gallery)
    )
    return query, gallery


def _check_drawing() -> None:
    for library in ("matplotlib", "sklearn"):
        if importlib.util.find_spec(library) is None:
            raise ConfigError(
                f'--report needs {library}, which is not installed: pip install "hatcnn[pictures]"'
            )


def _training_run(model: Path) -> Run | None:
    """The run that made a model: told of in its folder, or in the run's that it still lies in."""
    folder = find_model(model)
    found = [place for place in (folder, folder.parent) if (place / "recipe.json").exists()]
    return read_run(found[0]) if found else None


def _explainer(model: Path) -> Explainer | None:
    """What says why; none, and a word about it, for reduced and for exported models."""
    from hatcnn.inference.explanation import Explainer

    try:
        return Explainer.load(model)
    except (EvaluationError, CheckpointError) as error:
        print(f"the report will not say why: {error}", file=sys.stderr)
        return None


def _calibration(model: Path, fingerprint: str) -> Calibration | None:
    """The model's own, unless its weights were trained further since."""
    path = find_model(model) / CALIBRATION
    if not path.exists():
        return None
    found = Calibration.load(path)
    if not found.fits(fingerprint):
        words = f"{path} was fitted to other weights and is left out: run 'hatcnn calibrate' again"
        print(words, file=sys.stderr)
        return None
    return found


def _draw(
    target: Path,
    model: Path,
    data: str,
    result: Evaluation,
    features: Sequence[Features],
    packs: Sequence[PackedSplit],
    run: Run | None,
    *,
    calibration: Calibration | None,
    explainer: Explainer | None,
) -> Path:
    # What draws comes with an extra.
    from hatcnn.visualize.report import Measured, write_pictures

    query, gallery = features
    measured = Measured(
        model=str(model),
        data=data,
        evaluation=result,
        query=query,
        gallery=gallery,
        query_images=packs[0].images,
        gallery_images=packs[1].images,
        skipped=[row for packed in packs for row in packed.skipped],
        calibration=calibration,
        explainer=explainer,
        epochs=run.epochs if run else (),
        evaluations=run.evaluations if run else {},
    )
    return write_pictures(measured, target)
