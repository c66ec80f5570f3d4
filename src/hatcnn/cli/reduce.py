"""``hatcnn reduce MODEL OUT --data ROOT``: shorter vectors, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from hatcnn.cli.evaluate import packed_pictures
from hatcnn.cli.output import write_report
from hatcnn.cli.source import Source
from hatcnn.cli.tables import console, percent, table
from hatcnn.datasets import pack
from hatcnn.datasets.pack import PackedSplit
from hatcnn.devices import Fabric, make_fabric
from hatcnn.errors import ConfigError
from hatcnn.evaluation import Evaluation, evaluate
from hatcnn.inference.backends import Backend, load_backend
from hatcnn.inference.extraction import extract
from hatcnn.inference.reduction import fit_reduction
from hatcnn.models.checkpoint import load_model, save_model
from hatcnn.models.folder import find_model


@dataclass(frozen=True, kw_only=True)
class ReduceOptions:
    """Fit a projection to fewer numbers on the training pictures and keep it with the network."""

    model: Annotated[Path, tyro.conf.Positional]
    """Model folder, such as RUN/model, or the name of a model that comes with the package."""
    out: Annotated[Path, tyro.conf.Positional]
    """Model folder for the network with the projection, made when missing."""
    data: str
    """Data set: the projection is fitted on its training pictures, its test pictures tell the
    cost."""
    source: Annotated[Source, tyro.conf.arg(name="")] = field(default_factory=Source)
    """How the data set is read."""
    dim: int = 256
    """Numbers in a vector afterwards."""
    json: Path | None = None
    """Write both evaluations to this file; - for standard output."""


def main(arguments: list[str]) -> None:
    """Reduce the network that the first argument names."""
    options = tyro.cli(ReduceOptions, prog="hatcnn reduce", args=arguments)
    if (options.out / "config.json").exists():
        raise ConfigError(f"{options.out} already holds a model: name another folder")
    network, config = load_model(options.model)
    if config.reduced_dim:
        raise ConfigError(f"{options.model} is reduced already: reduce the model it was made from")
    reduced = replace(config, reduced_dim=options.dim)
    fabric = make_fabric(devices=1)
    dataset = options.source.open(options.data)
    backend = load_backend(options.model, fabric=fabric)
    # A data set without test pictures is told before anything is written.
    packs = packed_pictures(backend, dataset)
    train = pack(dataset.store, dataset.train, config.height, config.width)
    projection, kept = fit_reduction(extract(backend, train, fabric).vectors, options.dim)
    part = "identity." if config.attributes == "separate" else ""
    state = {**network.state_dict(), f"{part}reduction.weight": torch.from_numpy(projection)}
    card = _CARD.format(
        name=find_model(options.model).name, dim=options.dim, full=config.vector_dim,
        data=dataset.name, kept=kept,
    )  # fmt: skip
    save_model(options.out, reduced, state, card=card)
    before = _evaluation(backend, packs, fabric)
    after = _evaluation(load_backend(options.out, fabric=fabric), packs, fabric)
    report = {
        "model": str(options.model),
        "data": dataset.name,
        "dimensions": {"before": config.vector_dim, "after": options.dim},
        "kept": kept,
        "before": before.to_json(),
        "after": after.to_json(),
    }
    if write_report(report, options.json):
        return
    made = table(f"{options.model} on {dataset.name}", "numbers", "ranking", "Rank-1", "mAP")
    for numbers, result in ((config.vector_dim, before), (options.dim, after)):
        for ranked_by, ranking in result.rankings.items():
            made.add_row(str(numbers), ranked_by, percent(ranking.rank(1)), percent(ranking.mAP))
    console.print(made)
    print(f"{kept:.1%} of the squared length kept: {options.out}")


def _evaluation(backend: Backend, packs: Sequence[PackedSplit], fabric: Fabric) -> Evaluation:
    query, gallery = (extract(backend, packed, fabric) for packed in packs)
    return evaluate(query, gallery, groups=False)


_CARD = """# {name}, reduced

`{name}` with vectors of {dim} numbers instead of {full}: a projection fitted on the training
pictures of {data}, which keeps {kept:.1%} of their squared length. Its terms, and those of its
training pictures, apply. A calibration of the original does not hold here: `hatcnn calibrate`
fits one.
"""
