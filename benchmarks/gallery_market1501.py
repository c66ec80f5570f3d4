"""Market-1501 through the gallery: the numbers of `evaluate`, by searching.

    python benchmarks/gallery_market1501.py ROOT --json benchmarks/results/gallery_market1501.json

The gallery's pictures are added with their identity and camera; each query is searched for under a
filter that leaves out entries of the same identity by the same camera, which is the protocol. The
whole ranking gives Rank-1 and mAP in the exact search. The index proposes 1,000 entries at most;
matches beyond count as never found. So small a gallery has no index by itself: it is made to have
one by lowering the size up to which vectors are kept in memory.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hatcnn.datasets import DISTRACTOR, open_dataset, pack
from hatcnn.evaluation import Features, evaluate
from hatcnn.files import write_json
from hatcnn.gallery import Gallery, Ranked, store
from hatcnn.inference.backends import load_backend
from hatcnn.inference.embeddings import Embeddings
from hatcnn.inference.extraction import extract

BY_INDEX = 1000
"""Entries that the index proposes for a query."""


def quarter(pids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Rows of every fourth person, and of every fourth picture that shows none of the queried."""
    people = np.unique(pids[pids != DISTRACTOR])[::4]
    others = np.flatnonzero(pids == DISTRACTOR)[::4]
    return np.sort(np.concatenate((np.flatnonzero(np.isin(pids, people)), others)))


def embedded(root: str, model: str, *, whole: bool = True) -> tuple[Features, Features, str]:
    """Query and gallery as `hatcnn evaluate` embeds them, and the model's fingerprint.

    Args:
        root: of the data.
        model: folder or name.
        whole: all of both, or their `quarter`.
    """
    dataset, backend = open_dataset(root), load_backend(model)
    size = backend.config.height, backend.config.width
    query, gallery = (
        extract(
            backend, pack(dataset.store, split if whole else split.take(quarter(split.pids)), *size)
        )
        for split in (dataset.query, dataset.gallery)
    )
    return query, gallery, backend.fingerprint


def people(features: Features, fingerprint: str) -> Embeddings:
    return Embeddings(
        features.vectors,
        features.attribute_probabilities,
        tuple(features.names.tolist()),
        fingerprint=fingerprint,
    )


def filled(folder: Path, features: Features, fingerprint: str, precision: Any) -> Gallery:
    gallery = Gallery.open(folder, precision=precision)
    done = gallery.add(
        people(features, fingerprint),
        identity=features.pids.tolist(),
        camera=features.camids.tolist(),
    )
    if done.added != len(features):
        print(f"{len(features) - done.added} entries have the vector of another", file=sys.stderr)
    return gallery


def protocol(query: Features) -> list[str]:
    """For each query the filter that leaves out its person by its own camera."""
    return [
        f"not (identity = '{pid}' and camera = '{camera}')"
        for pid, camera in zip(query.pids, query.camids, strict=True)
    ]


def scores(answers: Iterable[Ranked], identity: dict[str, int], query: Features,
           gallery: Features) -> dict[str, float]:  # fmt: skip
    """Rank-1 and mAP in per cent, straight from their definitions."""
    first, precision = [], []
    for pid, camera, answer in zip(query.pids, query.camids, answers, strict=True):
        there = np.array([identity[entry] for entry in answer.ids])
        ranks = 1 + np.flatnonzero(there == pid)
        matches = int(((gallery.pids == pid) & (gallery.camids != camera)).sum())
        if matches:
            first.append(len(ranks) > 0 and ranks[0] == 1)
            precision.append((np.arange(1, len(ranks) + 1) / ranks).sum() / matches)
    return {"rank_1": 100 * float(np.mean(first)), "mAP": 100 * float(np.mean(precision))}


def compare(
    query: Features, gallery: Features, fingerprint: str, folder: Path
) -> dict[str, dict[str, float]]:
    """Rank-1 and mAP by `evaluate`, by exact search and through the index."""
    report = evaluate(query, gallery, attribute_weight=0, groups=False).to_json()
    expected = report["rankings"]["identity"]
    found = {"evaluate": {name: expected[name] for name in ("rank_1", "mAP")}}
    asked, filters = people(query, fingerprint), protocol(query)
    in_memory = store.EXACT_BYTES
    for name, precision, limit, top_k in (
        ("exact, float32", "float32", in_memory, None),
        ("exact, float16", "float16", in_memory, None),
        ("index, float16", "float16", 0, BY_INDEX),
    ):
        store.EXACT_BYTES = limit
        try:
            start = time.perf_counter()
            town = filled(folder / name, gallery, fingerprint, precision)
            added = time.perf_counter()
            # An entry's identity by its id; without pictures, ids come from vectors.
            rows = [town.entries(limit=10_000, offset=at) for at in range(0, len(town), 10_000)]
            identity = {e.id: int(e.identity or 0) for page in rows for e in page}
            start_search = time.perf_counter()
            answers = list_checked(
                town.search_many(asked, where=filters, top_k=top_k), exact=top_k is None
            )
            found[name] = {
                **scores(answers, identity, query, gallery),
                "entries": len(town),
                "add_s": round(added - start, 1),
                "search_and_score_s": round(time.perf_counter() - start_search, 1),
            }
        finally:
            store.EXACT_BYTES = in_memory
        print(name, found[name], flush=True)
    return found


def list_checked(answers: Iterable[Ranked], *, exact: bool) -> Iterable[Ranked]:
    """The same, one by one; stops where they were not found as they were meant to be."""
    for answer in answers:
        if answer.exact != exact:
            raise SystemExit(f"expected exact={exact}")
        yield answer


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", nargs="?", default=os.environ.get("HATCNN_MARKET1501"))
    parser.add_argument("--model", default="hatcnn-plus")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not options.root:
        parser.error("name Market-1501's folder")
    start = time.perf_counter()
    query, gallery, fingerprint = embedded(options.root, options.model)
    embedding_s = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        found = compare(query, gallery, fingerprint, Path(folder))
    report = {
        "command": "python benchmarks/gallery_market1501.py ROOT --json "
        "benchmarks/results/gallery_market1501.json",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "model": options.model,
        "fingerprint": fingerprint,
        "pictures": {"query": len(query), "gallery": len(gallery)},
        "embedding_s": round(embedding_s, 1),
        "ranked": found,
    }
    if options.json:
        write_json(options.json, report)


if __name__ == "__main__":
    main()
