"""What ranking costs: time and memory at 1, 4 and 16 times Market-1501's gallery.

    python benchmarks/evaluation_cost.py [--out benchmarks/results/evaluation_cost.json]

Random unit vectors of 1,050 dimensions, 3,368 queries, 15,913 gallery pictures times the factor.
Each size runs in a process of its own, so that its peak memory is its own. Beside it, in the same
run, a plain version (one query after the other: distances, argsort, the protocol with NumPy) on
some of the queries, as a ratio. Times on shared machines wander; the ratio wanders less.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from hatcnn.benchmark.arrays import GALLERY, QUERIES, crowd, plain_ranking
from hatcnn.evaluation import distance_blocks, rank, reranked_blocks
from hatcnn.files import write_json

PLAIN_QUERIES = 60


def measure(factor: int, *, rerank: bool) -> dict[str, Any]:
    query, gallery = crowd(QUERIES, GALLERY * factor)
    start = time.perf_counter()
    blocks = reranked_blocks if rerank else distance_blocks
    ranking = rank(blocks(query.vectors, gallery.vectors), query, gallery)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {
        "what": "re-ranking" if rerank else "ranking",
        "gallery": len(gallery),
        "seconds": round(seconds, 2),
        "peak_gb": round(peak * (1 if sys.platform == "darwin" else 1024) / 1e9, 2),
        "mAP": ranking.mAP,
    }
    if not rerank:
        some = query.take(np.arange(PLAIN_QUERIES))
        start = time.perf_counter()
        expected = plain_ranking(some, gallery)
        plain_seconds = (time.perf_counter() - start) * QUERIES / PLAIN_QUERIES
        ours = rank(distance_blocks(some.vectors, gallery.vectors), some, gallery).mAP
        assert abs(ours - expected) < 1e-6, "the plain version disagrees"
        result |= {"plain_seconds": round(plain_seconds, 1), "ratio": plain_seconds / seconds}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rerank", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, rerank=options.rerank)))
        return
    rows = []
    for arguments in (["--one", "1"], ["--one", "4"], ["--one", "16"], ["--one", "1", "--rerank"]):
        output = subprocess.run(
            [sys.executable, __file__, *arguments], check=True, capture_output=True, text=True
        )
        rows.append(json.loads(output.stdout))
        print(rows[-1], flush=True)
    if options.out:
        write_json(
            options.out,
            {
                "command": "python benchmarks/evaluation_cost.py",
                "date": datetime.date.today().isoformat(),
                "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
                "numpy": np.__version__,
                "seed": 0,
                "queries": QUERIES,
                "rows": rows,
            },
        )


if __name__ == "__main__":
    main()
