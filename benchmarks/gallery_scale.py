"""The gallery at size: adding, space, opening, searching, beside a flat FAISS index.

    python benchmarks/gallery_scale.py --entries 1000000 --json benchmarks/results/gallery_1m.json

The people are simulated, because no data set has so many: each person is a random direction in
1,024 dimensions, which two persons share little of; each of their pictures, 16 on average, is that
direction with noise, so that pictures of one person have a cosine similarity of about 0.7 and of
two persons of about 0 with the spread of 1 / sqrt(intrinsic dimensions). Directions are drawn in 96
intrinsic dimensions, which is harder than directions in 1,024, where everybody is far from
everybody. A query is a new picture of a person inside. Recall is counted against the exact search.

FAISS (pip install faiss-cpu) is measured where it is installed.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hatcnn.attributes import NUM_ATTRIBUTES
from hatcnn.files import write_json
from hatcnn.gallery import Gallery, Matches

DIMENSION, INTRINSIC, PICTURES_EACH, ALIKE = 1024, 96, 16, 0.7
TENTH = "camera = 3"
PART = 20_000

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class People:
    vectors: Vectors
    attributes: npt.NDArray[np.float32]
    names: tuple[str, ...]


class Crowd:
    """Pictures of people, any range of which can be made again."""

    def __init__(self, entries: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.seed = seed
        self.persons = max(1, entries // PICTURES_EACH)
        basis, _ = np.linalg.qr(random.standard_normal((DIMENSION, INTRINSIC)))
        self.basis = basis.T.astype(np.float32)
        self.directions = _unit(random.standard_normal((self.persons, INTRINSIC)))

    def pictures(self, start: int, stop: int, *, queries: bool = False) -> Vectors:
        random = np.random.default_rng([self.seed, start, queries])
        persons = random.integers(0, self.persons, stop - start)
        person = self.directions[persons]
        # Two pictures of similarity ALIKE share that much of their squared length.
        noise = _unit(random.standard_normal(person.shape))
        seen = np.sqrt(ALIKE) * person + np.sqrt(1 - ALIKE) * noise
        return _unit(seen.astype(np.float32) @ self.basis)


def _unit(vectors: npt.NDArray[Any]) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / lengths, np.float32)


def fill(gallery: Gallery, crowd: Crowd, entries: int) -> float:
    """Add everybody; the seconds it took, without those that making them takes."""
    spent = 0.0
    for at in range(0, entries, PART):
        stop = min(entries, at + PART)
        n = stop - at
        chances = np.random.default_rng(at).random((n, NUM_ATTRIBUTES)).astype(np.float32)
        names = tuple(f"camera{i % 10}/{i:09}.jpg" for i in range(at, stop))
        people = People(crowd.pictures(at, stop), chances, names)
        camera = [i % 10 for i in range(at, stop)]
        seen = [1.7e9 + i for i in range(at, stop)]
        start = time.monotonic()
        gallery.add(people, camera=camera, seen_at=seen, batch_size=PART)
        spent += time.monotonic() - start
    return spent


def opening(folder: Path) -> float:
    """Seconds from nothing to the first count, in a process of its own, imports left out."""
    script = (
        "import sys, time, lancedb; from hatcnn.gallery import Gallery; start = time.monotonic();"
        "len(Gallery.open(sys.argv[1], create=False)); print(time.monotonic() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def searching(
    gallery: Gallery, queries: Vectors, exact_queries: int, **options: Any
) -> dict[str, float]:
    """Median and 95th percentile in ms, and recall@10 against the exact search."""

    def timed(search: Callable[[Vectors], Matches]) -> tuple[list[list[str]], list[float]]:
        names, times = [], []
        for query in queries:
            start = time.monotonic()
            found = search(query)
            times.append(1000 * (time.monotonic() - start))
            names.append([m.entry.id for m in found])
        return names, times

    gallery.search(queries[0], **options)
    found, times = timed(lambda query: gallery.search(query, **options))
    shares = []
    for query, names in zip(queries[:exact_queries], found, strict=False):
        exact = [m.entry.id for m in gallery.search(query, exact=True, **options)]
        shares.append(len(set(exact) & set(names)) / len(exact))
    return {
        "p50_ms": round(float(np.percentile(times, 50)), 2),
        "p95_ms": round(float(np.percentile(times, 95)), 2),
        "recall_at_10": round(float(np.mean(shares)), 4),
    }


def flat_faiss(crowd: Crowd, entries: int, queries: Vectors) -> dict[str, float] | None:
    """The usual answer: all vectors in memory, every one compared."""
    try:
        import faiss
    except ImportError:
        return None
    index = faiss.IndexFlatIP(DIMENSION)
    for at in range(0, entries, PART):
        index.add(crowd.pictures(at, min(entries, at + PART)))
    times = []
    for query in queries:
        start = time.monotonic()
        index.search(query[None], 10)
        times.append(1000 * (time.monotonic() - start))
    return {
        "p50_ms": round(float(np.percentile(times, 50)), 2),
        "p95_ms": round(float(np.percentile(times, 95)), 2),
        "bytes_per_entry": 4.0 * DIMENSION,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--exact-queries", type=int, default=30, help="for recall")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keep the gallery here")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    crowd = Crowd(options.entries, options.seed)
    queries = crowd.pictures(0, options.queries, queries=True)
    report: dict[str, Any] = {
        "entries": options.entries,
        "dimension": DIMENSION,
        "seed": options.seed,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "date": time.strftime("%Y-%m-%d"),
        "command": " ".join(["python", *sys.argv]),
    }

    def say(name: str, value: Any) -> None:
        report[name] = value
        print(f"{name}: {value}", flush=True)

    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place) / "gallery"
        gallery = Gallery.open(folder)
        spent = fill(gallery, crowd, options.entries)
        say("add_s", round(spent, 1))
        say("added_per_s", round(options.entries / spent))
        start = time.monotonic()
        gallery.compact()
        say("compact_s", round(time.monotonic() - start, 1))
        statistics = gallery.stats(recall_queries=0)
        say("index", statistics.index)
        say("bytes_per_entry", round(statistics.bytes_per_entry or 0))
        say("open_s", round(opening(folder), 3))
        say("search", searching(gallery, queries, options.exact_queries))
        say("search_tenth", searching(gallery, queries, options.exact_queries, where=TENTH))
    faiss = flat_faiss(crowd, options.entries, queries)
    if faiss is not None:
        say("flat_faiss", faiss)
    if options.json:
        write_json(options.json, report)


if __name__ == "__main__":
    main()
