"""Send broken pictures to a server, thousands of them, and watch its memory.

    python benchmarks/serve_fuzz.py --model hatcnn-plus --pictures 20000

Every answer must be a 200 that accounts for every picture. The server's resident memory is noted
before, a hundred times on the way, and when it has been left alone for a while.
"""

from __future__ import annotations

import io
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import tyro
from PIL import Image

from hatcnn.cli.output import write_report
from serve_load import Server

SAMPLES = 100
QUIET_S = 20.0
KINDS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much to send."""

    model: str = "hatcnn-plus"
    """Model folder or name."""
    pictures: int = 20_000
    """In all."""
    seed: int = 0
    """Of the damage."""
    json: Path | None = None
    """Where to write the results."""


def main() -> None:
    """Send and print."""
    options = tyro.cli(Options)
    random = np.random.default_rng(options.seed)
    whole = [picture(random, kind) for kind in KINDS]
    read = skipped = 0
    memory: list[int] = []
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(options.model, Path(folder) / "gallery") as server,
        httpx.Client(base_url=server.address, timeout=60) as http,
    ):
        requests = options.pictures // 32
        for number in range(requests):
            files = [("pictures", ("x", broken(random, whole))) for _ in range(32)]
            answer = http.post("/v1/attributes", files=files)
            if answer.status_code == 429:
                time.sleep(1)
                continue
            answer.raise_for_status()
            found = answer.json()
            assert len(found["pictures"]) + len(found["skipped"]) == 32
            read += len(found["pictures"])
            skipped += len(found["skipped"])
            if number % max(1, requests // SAMPLES) == 0:
                memory.append(resident_bytes(server.process.pid))
        seconds = time.perf_counter() - began
        time.sleep(QUIET_S)
        after = resident_bytes(server.process.pid)
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "pictures": read + skipped,
        "read": read,
        "skipped": skipped,
        "resident_bytes": memory,
        "resident_bytes_median_by_quarter": [
            int(np.median(part)) for part in np.array_split(memory[1:], 4)
        ],
        "resident_bytes_highest": max(memory),
        "resident_bytes_after": after,
        "seconds": seconds,
        "seed": options.seed,
    }
    if not write_report(report, options.json):
        print("\n".join(f"{name:<30} {value}" for name, value in report.items()))


def picture(random: np.random.Generator, kind: str) -> bytes:
    """A small picture file."""
    file = io.BytesIO()
    Image.fromarray(random.integers(0, 255, (64, 32, 3), np.uint8)).save(file, kind)
    return file.getvalue()


def broken(random: np.random.Generator, whole: list[bytes]) -> bytes:
    """One of the files with bytes changed and, mostly, cut short."""
    data = bytearray(whole[random.integers(len(whole))])
    for _ in range(random.integers(1, 30)):
        # Most of what matters stands at the beginning.
        reach = len(data) if random.random() < 0.3 else 64
        data[random.integers(reach)] = random.integers(256)
    return bytes(data if random.random() < 0.3 else data[: random.integers(1, len(data) + 1)])


def resident_bytes(pid: int) -> int:
    """Memory of a process; Linux only."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
