"""Kill -9 a gallery's writer at random moments, and check what is left.

    python benchmarks/gallery_kill.py --rounds 50 --json benchmarks/results/gallery_kill.json

A round starts a process that adds, forgets or compacts, kills it at a random moment of the time
that an undisturbed one takes, and checks: the gallery opens, holds every acknowledged entry with
its vector and nothing twice; the job finishes when it is run again; of what was to be forgotten no
byte is left on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hatcnn.files import write_json
from hatcnn.gallery import Gallery

Job = Literal["add", "forget", "compact"]
JOBS: tuple[Job, ...] = ("add", "forget", "compact")
ENTRIES, DIMENSION, PART = 2000, 64, 100
FORGOTTEN = "camera = 1"


@dataclass(frozen=True)
class People:
    vectors: npt.NDArray[np.float32]
    names: tuple[str, ...]
    attributes: None = None


def people() -> People:
    made = np.random.default_rng(0).standard_normal((ENTRIES, DIMENSION)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return People(made, tuple(f"{i:05}.jpg" for i in range(ENTRIES)))


def cameras() -> list[int]:
    return [i % 10 for i in range(ENTRIES)]


def thumbnails() -> list[bytes]:
    made = np.random.default_rng(1)
    return [made.bytes(100) for _ in range(ENTRIES)]


def work(job: Job, folder: str) -> None:
    """What the process that is killed does; a line for everything that is acknowledged."""
    gallery = Gallery.open(folder)
    print("ready", flush=True)
    if job == "add":
        everyone, small = people(), thumbnails()
        for at in range(0, ENTRIES, PART):
            part = slice(at, at + PART)
            some = People(everyone.vectors[part], everyone.names[part])
            gallery.add(some, camera=cameras()[part], thumbnails=small[part])
            print(at + PART, flush=True)
    elif job == "forget":
        gallery.forget(where=FORGOTTEN)
    else:
        gallery.compact()
    print("done", flush=True)


def run(job: Job, folder: Path, kill_after_s: float | None) -> tuple[list[str], float]:
    """Lines that the process said after "ready", and the seconds until the last of them."""
    command = [sys.executable, str(Path(__file__).resolve()), "--work", job, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", f"{job} did not begin"
        start = last = time.monotonic()
        timer = threading.Timer(kill_after_s or 0, process.kill)
        if kill_after_s is not None:
            timer.start()
        said = []
        for line in process.stdout:
            said.append(line.strip())
            last = time.monotonic()
        timer.cancel()
    return said, last - start


def check_whole(folder: Path, job: Job, acknowledged: int) -> None:
    """Every entry that must be there is there once, with its own vector."""
    gallery = Gallery.open(folder)
    everyone = people()
    names = [entry.name for entry in gallery.entries(limit=10_000)]
    assert len(names) == len(set(names)), "an entry is there twice"
    row = {name: i for i, name in enumerate(everyone.names)}
    present = sorted(row[str(name)] for name in names)
    camera = np.array(cameras())
    needed = range(acknowledged) if job == "add" else np.flatnonzero(camera != 1).tolist()
    missing = set(needed) - set(present)
    assert not missing, f"{len(missing)} acknowledged entries are lost"
    for i in present[:: max(1, len(present) // 20)]:
        match = gallery.search(everyone.vectors[i], top_k=1)[0]
        assert match.entry.name == everyone.names[i], f"entry {i} has another vector"
        assert match.score > 0.999, f"entry {i} has another vector"


def check_finished(folder: Path, job: Job) -> None:
    """Run again, the job has done all of its work."""
    check_whole(folder, job, ENTRIES)
    left = [i for i, c in enumerate(cameras()) if job != "forget" or c != 1]
    assert len(Gallery.open(folder)) == len(left), "the job did not finish when run again"
    if job == "forget":
        gone = sorted(set(range(ENTRIES)) - set(left))
        assert not files_with(folder, needles(gone)), "bytes of the forgotten are left"


def needles(rows: list[int]) -> list[bytes]:
    """Vectors as they are stored, and thumbnails."""
    vectors, small = people().vectors.astype(np.float16), thumbnails()
    return [data for i in rows for data in (vectors[i].tobytes(), small[i])]


def files_with(folder: Path, wanted: list[bytes]) -> list[str]:
    files = [p for p in folder.rglob("*") if p.is_file()]
    held = [(str(p), p.read_bytes()) for p in files]
    return [name for name, data in held if any(needle in data for needle in wanted)]


def full_gallery(folder: Path) -> None:
    """All entries in many small files, as adding leaves them."""
    gallery = Gallery.open(folder)
    gallery.add(people(), camera=cameras(), thumbnails=thumbnails(), batch_size=PART)


def rounds(job: Job, number: int, folder: Path, seed: int) -> dict[str, Any]:
    """Kill and check so many times; what was met."""
    chance = random.Random(seed)
    template = folder / "template"
    if job == "add":
        Gallery.open(template)
    else:
        full_gallery(template)
    whole = folder / "whole"
    shutil.copytree(template, whole)
    _, duration = run(job, whole, None)
    killed = 0
    for _ in range(number):
        place = folder / "round"
        shutil.copytree(template, place)
        said, _ = run(job, place, chance.uniform(0, duration))
        killed += "done" not in said
        counts = [int(line) for line in said if line.isdigit()]
        check_whole(place, job, max(counts, default=0))
        again, _ = run(job, place, None)
        assert again[-1] == "done", f"{job} did not finish when run again"
        check_finished(place, job)
        shutil.rmtree(place)
    return {"rounds": number, "killed": killed, "undisturbed_s": round(duration, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", nargs=2, metavar=("JOB", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.work:
        work(*options.work)
        return
    report: dict[str, Any] = {
        "entries": ENTRIES,
        "seed": options.seed,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "date": time.strftime("%Y-%m-%d"),
    }
    for job in JOBS:
        with tempfile.TemporaryDirectory() as folder:
            report[job] = rounds(job, options.rounds, Path(folder), options.seed)
        print(job, json.dumps(report[job]), flush=True)
    if options.json:
        write_json(options.json, report)


if __name__ == "__main__":
    main()
