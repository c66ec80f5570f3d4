"""How the cost of embedding grows: time and memory for 1,000, 10,000 and 100,000 JPEG files.

    python benchmarks/embedding_cost.py [--out benchmarks/results/embedding_cost.json]

1,000 files of synthetic noise, 64 x 128, read as often as the size needs. Each size runs in a
process of its own. The network of `smoke` (narrow, 96 x 48) does all three, that of `hatcnn-plus`
the first two: the pipeline around the network is the same.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from hatcnn.benchmark.workers import peak_bytes
from hatcnn.files import write_json
from hatcnn.inference import Embedder
from hatcnn.models.build import build_model
from hatcnn.models.checkpoint import save_model
from hatcnn.training.recipes import recipe_named

RUNS = {"smoke": (1_000, 10_000, 100_000), "hatcnn-plus": (1_000, 10_000)}
FILES = 1_000


def measure(recipe: str, count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random = np.random.default_rng(0)
        paths = [folder / f"{i:04d}.jpg" for i in range(FILES)]
        for path in paths:
            coarse = random.integers(0, 255, (16, 8, 3), np.uint8)
            Image.fromarray(coarse).resize((64, 128), Image.Resampling.BICUBIC).save(path)
        torch.manual_seed(0)
        config = recipe_named(recipe).model
        save_model(folder / "model", config, build_model(config).state_dict(), card="")
        embedder = Embedder.load(folder / "model")
        embedder.embed(paths[:64])
        start = time.perf_counter()
        embedder.embed([paths[i % FILES] for i in range(count)]).save(folder / "embeddings.npz")
        seconds = time.perf_counter() - start
    return {
        "network": recipe,
        "pictures": count,
        "seconds": round(seconds, 2),
        "per_second": round(count / seconds, 1),
        "peak_gb": round(peak_bytes() / 1e9, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("RECIPE", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]))))
        return
    rows = []
    for recipe, count in ((name, count) for name, counts in RUNS.items() for count in counts):
        command = [sys.executable, __file__, "--one", recipe, str(count)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(output.stdout))
        print(rows[-1], flush=True)
    if options.out:
        write_json(
            options.out,
            {
                "command": "python benchmarks/embedding_cost.py",
                "date": datetime.date.today().isoformat(),
                "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
                "seed": 0,
                "rows": rows,
            },
        )


if __name__ == "__main__":
    main()
