"""``hatcnn tune MODEL --data ROOT --hold-out N``: the attributes' weight, without test people."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from hatcnn.cli.evaluate import packed_pictures
from hatcnn.cli.output import check_writable, json_file, write_report
from hatcnn.cli.source import Source
from hatcnn.cli.tables import console, percent, table
from hatcnn.datasets import hold_out
from hatcnn.devices import make_fabric
from hatcnn.errors import ConfigError
from hatcnn.evaluation import distance_blocks, embedding, rank
from hatcnn.experiments.runs import read_run
from hatcnn.inference.backends import load_backend
from hatcnn.inference.extraction import extract
from hatcnn.models.folder import find_model


@dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """Rank held-out training identities with one weight of the attributes after another."""

    model: Annotated[Path, tyro.conf.Positional]
    """Model folder of a run that was trained with --hold-out."""
    data: str
    """The data set it was trained on."""
    source: Annotated[Source, tyro.conf.arg(name="")] = field(default_factory=Source)
    """How the data set is read."""
    hold_out: int
    """As in its training."""
    weights: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)
    """Factors of the attributes in the squared distance; 0 is always tried."""
    json: Path | None = None
    """Write everything to this file; - for standard output."""


def main(arguments: list[str]) -> None:
    """Choose a weight for the network that the first argument names."""
    options = tyro.cli(TuneOptions, prog="hatcnn tune", args=arguments)
    if any(weight <= 0 for weight in options.weights):
        raise ConfigError("weights must be above 0; 0 is tried anyway")
    if target := json_file(options.json):
        check_writable(target)
    dataset = hold_out(options.source.open(options.data), options.hold_out)
    folder = find_model(options.model).parent
    if (folder / "recipe.json").exists() and (trained_on := read_run(folder).dataset) != (
        dataset.name
    ):
        raise ConfigError(
            f"{options.model} was trained on {trained_on}, not on {dataset.name}: "
            "people it has seen would choose the weight"
        )
    fabric = make_fabric(devices=1)
    backend = load_backend(options.model, fabric=fabric)
    if backend.config.attributes == "none":
        raise ConfigError(f"{options.model} predicts no attributes: there is no weight to choose")
    query, gallery = (extract(backend, p, fabric) for p in packed_pictures(backend, dataset))
    rankings = {
        weight: rank(
            distance_blocks(embedding(query, weight), embedding(gallery, weight)), query, gallery
        )
        for weight in sorted({0.0, *options.weights})
    }
    best = max(rankings, key=lambda weight: rankings[weight].mAP)
    report = {
        "model": str(options.model),
        "data": dataset.name,
        "pictures": {"query": len(query), "gallery": len(gallery)},
        "weights": [{"weight": w, **r.to_json()} for w, r in rankings.items()],
        "best": best,
    }
    if write_report(report, options.json):
        return
    made = table(dataset.name, "attribute weight", "Rank-1", "mAP")
    for weight, ranking in rankings.items():
        made.add_row(f"{weight:g}", percent(ranking.rank(1)), percent(ranking.mAP))
    console.print(made)
    print(f"best by mAP: {best:g}; 'hatcnn evaluate --attribute-weight {best:g}' ranks with it")
