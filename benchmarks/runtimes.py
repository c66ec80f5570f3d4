"""What runs the shipped network how fast, and how near to torch: every runtime and precision.

    python benchmarks/runtimes.py [--pictures FOLDER] [--out benchmarks/results/runtimes.json]

Exports are made here, calibrated and compared on the pictures (synthetic people without). Then all
take a batch of 32 in turn, so that what else the machine does hits all of them; the ratio to torch
in float32 is the median over rounds of the ratio within a round.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from hatcnn.datasets.synthetic import synthetic_people
from hatcnn.export import export_model
from hatcnn.files import write_json
from hatcnn.inference.backends import BATCH_SIZE, Backend, load_backend
from hatcnn.inference.forms import FormPrecision, Runtime
from hatcnn.inference.pictures import Pictures

MODEL = "hatcnn-plus"
EXPORTS: tuple[tuple[Runtime, FormPrecision], ...] = (
    ("onnx", "fp32"),
    ("onnx", "fp16"),
    ("onnx", "int8"),
    ("openvino", "fp32"),
    ("openvino", "fp16"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)
PLAIN = "torch, fp32"
ROUNDS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pictures: Pictures = options.pictures or _synthetic()
    with tempfile.TemporaryDirectory() as name:
        rows: dict[str, dict[str, Any]] = {PLAIN: {}, "torch, bf16": {}}
        backends = {
            PLAIN: load_backend(MODEL, backend="torch", precision="fp32"),
            "torch, bf16": load_backend(MODEL, backend="torch", precision="bf16"),
        }
        for to, precision in EXPORTS:
            folder = Path(name) / f"{to}-{precision}"
            exported = export_model(
                MODEL, to=to, precision=precision, out=folder, calibrate=pictures
            )
            label = f"{to}, {precision}"
            agreement = {
                k: round(v, 6) if isinstance(v, float) else v
                for k, v in exported.form.agreement.items()
            }
            rows[label] = {"megabytes": round(exported.megabytes, 1), **agreement}
            backends[label] = load_backend(folder, backend=to)
            print(label, rows[label], flush=True)
        for label, (ratio, milliseconds) in _times(backends).items():
            rows[label] |= {"ratio": round(ratio, 2), "milliseconds": round(milliseconds, 1)}
            print(f"{label}: {rows[label]['ratio']} times as fast, {milliseconds:.0f} ms")
    if options.out:
        write_json(
            options.out,
            {
                "command": "python benchmarks/runtimes.py --pictures FOLDER",
                "date": datetime.date.today().isoformat(),
                "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
                "seed": 0,
                "model": MODEL,
                "fingerprint": backends[PLAIN].fingerprint,
                "batch": BATCH_SIZE,
                "rounds": ROUNDS,
                "rows": rows,
            },
        )


def _times(backends: dict[str, Backend]) -> dict[str, tuple[float, float]]:
    """Speed in units of plain torch's, and milliseconds a batch, medians."""
    config = backends[PLAIN].config
    shape = (BATCH_SIZE, config.height, config.width, 3)
    pixels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    seconds: dict[str, list[float]] = {label: [] for label in backends}
    for backend in backends.values():
        backend(pixels)
    for _ in range(ROUNDS):
        for label, backend in backends.items():
            start = time.perf_counter()
            backend(pixels)
            seconds[label].append(time.perf_counter() - start)
    plain = np.array(seconds[PLAIN])
    return {
        label: (float(np.median(plain / taken)), 1000 * float(np.median(taken)))
        for label, taken in seconds.items()
    }


def _synthetic() -> list[bytes]:
    crowd = synthetic_people(num_train_identities=2, num_test_identities=40)
    return [crowd.store.read(name) for name in crowd.query.names]


if __name__ == "__main__":
    main()
