"""Send broken pictures to a server, thousands of them, and watch its memory.

    python -m benchmarks.serve_fuzz --model hatcnn-plus --pictures 20000

Every answer must be a 200 that accounts for every picture. The server's resident memory is noted
at every tenth of the way.
"""

from __future__ import annotations

import io
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import tyro
from benchmarks.serve_load import Server
from PIL import Image

from hatcnn.cli.output import write_report

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
            if number % max(1, requests // 10) == 0:
                memory.append(resident_bytes(server.process.pid))
    report = {
        "pictures": read + skipped,
        "read": read,
        "skipped": skipped,
        "resident_bytes": memory,
        "seconds": time.perf_counter() - began,
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
