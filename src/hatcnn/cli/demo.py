"""``hatcnn demo``: the main job, small, on synthetic people, end to end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro

from hatcnn.cli.data import print_counts
from hatcnn.cli.tables import attribute_table, console, percent, table
from hatcnn.datasets import Dataset, open_dataset, pack
from hatcnn.datasets.inspection import inspect_dataset
from hatcnn.devices import make_fabric
from hatcnn.errors import ConfigError
from hatcnn.evaluation import Evaluation, Features, evaluate
from hatcnn.gallery import Gallery
from hatcnn.gallery.thumbnails import thumbnail
from hatcnn.inference.backends import load_backend
from hatcnn.inference.embeddings import Embeddings
from hatcnn.inference.extraction import extract
from hatcnn.inference.torch_backend import TorchBackend
from hatcnn.models.build import build_model
from hatcnn.training.recipes import recipe_named
from hatcnn.training.training import train
from hatcnn.visualize.figures import save
from hatcnn.visualize.ranked import ranked_rows, ranked_sheet


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Train and evaluate on synthetic people: minutes on two cores, no download."""

    out: Path = Path("demo")
    """Folder for the run and the picture."""
    recipe: str = "smoke"
    """Recipe to train."""


def main(arguments: list[str]) -> None:
    """Show the data, the network before and after training, attributes, and ranked results."""
    options = tyro.cli(DemoOptions, prog="hatcnn demo", args=arguments)
    run, people = options.out / "run", options.out / "gallery"
    for made in (run, people):
        if made.exists():
            raise ConfigError(f"{made} exists: remove it, or name another folder with --out")
    start = time.perf_counter()
    recipe = recipe_named(options.recipe)
    dataset = open_dataset("synthetic")
    print_counts(inspect_dataset(dataset))

    fabric = make_fabric(precision=recipe.precision)
    packed = [
        pack(dataset.store, split, recipe.model.height, recipe.model.width)
        for split in (dataset.query, dataset.gallery)
    ]

    torch.manual_seed(recipe.seed)
    untrained = TorchBackend(build_model(recipe.model).eval(), recipe.model, fabric)
    query, gallery = (extract(untrained, p) for p in packed)
    before = evaluate(query, gallery, groups=False)

    train(recipe, dataset, run)
    trained = load_backend(run / "model", precision="fp32")
    query, gallery = (extract(trained, p) for p in packed)
    after = evaluate(query, gallery, groups=False)

    _print_scores(before, after)
    if after.attributes:
        console.print(attribute_table(after.attributes))
    picture = options.out / "ranked.png"
    # Four queries, a page's worth, evenly spaced, with their eight nearest gallery pictures.
    chosen = np.linspace(0, len(query) - 1, 4).astype(np.int64)
    of_query, of_gallery = packed
    rows = ranked_rows(query, gallery, of_query.images, of_gallery.images, chosen)
    save(ranked_sheet(rows), picture)
    _fill(people, gallery, dataset, trained.fingerprint)
    print(
        f"ranked results: {picture}\ntrained network: {run / 'model'}\n"
        f"curves: tensorboard --logdir {run}\n"
        f"a page to search in: hatcnn serve --gallery {people} --model {run / 'model'}\n"
        f"{time.perf_counter() - start:.0f} seconds in all"
    )


def _fill(target: Path, seen: Features, dataset: Dataset, fingerprint: str) -> None:
    """A gallery of the data set's gallery, with small pictures to show."""
    names = tuple(map(str, seen.names))
    # Both halves have length 1.
    vectors = seen.vectors / np.float32(np.sqrt(2))
    people = Embeddings(vectors, seen.attribute_probabilities, names, fingerprint=fingerprint)
    files = [dataset.store.read(name) for name in names]
    Gallery.open(target).add(
        people,
        camera=seen.camids.tolist(),
        pictures=files,
        thumbnails=[thumbnail(file) for file in files],
    )


def _print_scores(before: Evaluation, after: Evaluation) -> None:
    scores = table("ranking", "network", "ranked by", "Rank-1", "Rank-5", "mAP", "mINP")
    for network, result in (("untrained", before), ("trained", after)):
        for name, ranking in result.rankings.items():
            values = (ranking.rank(1), ranking.rank(5), ranking.mAP, ranking.mINP)
            scores.add_row(network, name, *map(percent, values))
    console.print(scores)
