"""The gallery at size: adding, space, opening, searching, beside a flat FAISS index.

    hatcnn evaluate hatcnn-plus --data MARKET1501 --features market1501.npz
    python benchmarks/gallery_scale.py --features market1501.npz --entries 1000000 \\
        --json benchmarks/results/gallery_1000000.json

The entries are real vectors, extended by simulation as `benchmarks/crowd.py` says. Recall is
counted against the exact search. FAISS (pip install faiss-cpu) is measured where it is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crowd import Crowd, Vectors
from hatcnn.files import write_json
from hatcnn.gallery import Gallery
from hatcnn.gallery.filters import parse_filter
from hatcnn.gallery.indexing import nearest
from hatcnn.gallery.sql import to_sql

TENTH = "camera = 3"
"""Cameras are given out in turn: a tenth of the entries, of the near ones as of the far ones."""
PART = 20_000
FILLING = ("add_s", "index_s", "compact_s")


@dataclass(frozen=True)
class People:
    vectors: Vectors
    attributes: npt.NDArray[np.float32]
    names: tuple[str, ...]


def fill(gallery: Gallery, crowd: Crowd, entries: int) -> float:
    """Add everybody; the seconds it took, without those that making them takes."""
    spent = 0.0
    for at in range(0, entries, PART):
        stop = min(entries, at + PART)
        names = tuple(f"camera{i % 10}/{i:09}.jpg" for i in range(at, stop))
        people = People(*crowd.pictures(at, stop), names)
        camera = [i % 10 for i in range(at, stop)]
        seen = [1.7e9 + i for i in range(at, stop)]
        start = time.monotonic()
        gallery.add(people, camera=camera, seen_at=seen, batch_size=PART, index=False)
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


def searching(gallery: Gallery, queries: Vectors, where: str | None) -> dict[str, float]:
    """Median and 95th percentile in ms, and recall@10 against comparing all."""
    for query in queries[:10]:
        gallery.search(query, where=where)
    found, times = [], []
    for query in queries:
        start = time.monotonic()
        matches = gallery.search(query, where=where)
        times.append(1000 * (time.monotonic() - start))
        found.append({m.entry.id for m in matches})
    snapshot = gallery._store.snapshot()
    assert snapshot is not None
    sql = to_sql(parse_filter(where)) if where else None
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    shares = []
    for rows, ids in zip(nearest(snapshot, unit, 10, sql), found, strict=True):
        exact = {row["id"] for row in snapshot.take(rows, ["id"])}
        shares.append(len(exact & ids) / len(exact))
    return {
        "p50_ms": round(float(np.percentile(times, 50)), 2),
        "p95_ms": round(float(np.percentile(times, 95)), 2),
        "recall_at_10": round(float(np.mean(shares)), 4),
        "recall_at_10_real": round(float(np.mean(shares[::2])), 4),
    }


def flat_faiss(crowd: Crowd, entries: int, queries: Vectors) -> dict[str, float] | None:
    """The usual answer: all vectors in memory as float32, every one compared."""
    try:
        import faiss
    except ImportError:
        return None
    before = resident()
    index = faiss.IndexFlatIP(crowd.dimension)
    for at in range(0, entries, PART):
        index.add(crowd.pictures(at, min(entries, at + PART))[0])
    index.search(queries[:1], 10)
    held = resident() - before
    times = []
    for query in queries:
        start = time.monotonic()
        index.search(query[None], 10)
        times.append(1000 * (time.monotonic() - start))
    return {
        "threads": faiss.omp_get_max_threads(),
        "p50_ms": round(float(np.percentile(times, 50)), 2),
        "p95_ms": round(float(np.percentile(times, 95)), 2),
        "bytes_per_entry": round(held / entries),
    }


def resident() -> int:
    """Bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--features", type=Path, required=True, help="of hatcnn evaluate")
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, help="keep the gallery here; one that is full is not filled again"
    )
    parser.add_argument("--fill-only", action="store_true", help="search in another process")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    crowd = Crowd(options.features, options.entries, options.seed)
    queries = crowd.queries(options.queries)
    report: dict[str, Any] = {
        "entries": options.entries,
        "dimension": crowd.dimension,
        "real": min(len(crowd.real), options.entries),
        "seed": options.seed,
        "likeness": crowd.likeness(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "date": time.strftime("%Y-%m-%d"),
        "command": " ".join(["python", *sys.argv]),
    }

    def say(name: str, value: Any) -> None:
        report[name] = value
        print(f"{name}: {value}", flush=True)

    with tempfile.TemporaryDirectory() as place:
        folder = options.folder or Path(place) / "gallery"
        gallery = Gallery.open(folder)
        if len(gallery) < options.entries:
            spent = fill(gallery, crowd, options.entries)
            say("add_s", round(spent, 1))
            start = time.monotonic()
            gallery.index()
            say("index_s", round(time.monotonic() - start, 1))
            start = time.monotonic()
            gallery.compact()
            say("compact_s", round(time.monotonic() - start, 1))
        elif options.json and options.json.exists():
            earlier = json.loads(options.json.read_text())
            report |= {name: earlier[name] for name in FILLING if name in earlier}
        if options.json:
            write_json(options.json, report)
        if options.fill_only:
            return
        statistics = gallery.stats(recall_queries=0)
        say("index", statistics.index)
        say("bytes_per_entry", round(statistics.bytes_per_entry or 0))
        say("open_s", round(opening(folder), 3))
        say("search", searching(gallery, queries, None))
        say("search_tenth", searching(gallery, queries, TENTH))
    faiss = flat_faiss(crowd, options.entries, queries)
    if faiss is not None:
        say("flat_faiss", faiss)
    if options.json:
        write_json(options.json, report)


if __name__ == "__main__":
    main()
