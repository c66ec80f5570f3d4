"""``hatcnn evaluate MODEL --data ROOT``: rank a gallery and report how well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hatcnn.cli.output import write_report
from hatcnn.cli.tables import print_evaluation
from hatcnn.datasets import Dataset, open_dataset, pack
from hatcnn.devices import Fabric, make_fabric
from hatcnn.errors import DataError
from hatcnn.evaluation import Distance, Features, evaluate, save_features
from hatcnn.inference.backends import Backend, BackendName, Precision, load_backend
from hatcnn.inference.extraction import extract


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Rank a data set's gallery for its queries."""

    model: Annotated[Path, tyro.conf.Positional]
    """Model folder, such as RUN/model."""
    data: str
    """Data set: a folder, a zip, a manifest, or 'synthetic'."""
    attributes: Path | None = None
    """Market-1501's market_attribute.mat, where it does not lie beside the pictures."""
    pattern: str | None = None
    """Regular expression for file names, with groups pid and camid."""
    attribute_weight: float = 1.0
    """Factor of the attributes in the squared distance; 0 ranks by identity alone."""
    distance: Distance = "euclidean"
    """Distance that ranks."""
    rerank: bool = False
    """Also re-rank by k-reciprocal neighbours."""
    json: Path | None = None
    """Write everything to this file; - for standard output."""
    features: Path | None = None
    """Write all vectors and labels to this .npz file, from which the scores can be recomputed."""
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
    fabric = make_fabric(accelerator=options.accelerator)
    backend = load_backend(
        options.model, backend=options.backend, precision=options.precision, fabric=fabric
    )
    dataset = open_dataset(options.data, attributes=options.attributes, pattern=options.pattern)
    query, gallery, skipped = features_of(backend, dataset, fabric, strict=options.strict)
    if not fabric.is_global_zero:
        return
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
        **result.to_json(),
        "skipped": [{"name": n, "reason": r} for n, r in skipped],
    }
    if write_report(report, options.json):
        return
    print_evaluation(result, title=f"{options.model} on {dataset.name}")
    for name, reason in skipped:
        print(f"skipped {name}: {reason}")


def features_of(
    backend: Backend, dataset: Dataset, fabric: Fabric, *, strict: bool = False
) -> tuple[Features, Features, list[tuple[str, str]]]:
    """Features of query and gallery, and (name, reason) of the pictures that were skipped.

    Raises:
        DataError: when the data set has no query or no gallery.
    """
    config = backend.config
    skipped: list[tuple[str, str]] = []
    features: list[Features] = []
    for name, split in (("query", dataset.query), ("gallery", dataset.gallery)):
        if not len(split):
            raise DataError(f"{dataset.name} has no {name} pictures: there is nothing to rank")
        packed = pack(dataset.store, split, config.height, config.width, strict=strict)
        skipped += packed.skipped
        features.append(extract(backend, packed, fabric))
    query, gallery = features
    return query, gallery, skipped
