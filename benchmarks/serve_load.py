"""Load a server on this machine, bounded, and hold it against the embedder alone.

    python benchmarks/serve_load.py --model hatcnn-plus --json benchmarks/results/serve_load.json

Three rounds: the embedder over the same picture files; so many clients that send as fast as they
are answered; more clients than the server takes, and then one client again. Pictures are of
synthetic people. Clients run in one process of their own, beside the server's.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import tyro

from hatcnn.cli.output import write_report
from hatcnn.datasets.synthetic import synthetic_people
from hatcnn.inference import Embedder

BOUNDARY = "hatcnn-serve-load"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to load."""

    model: str = "hatcnn-plus"
    """Model folder or name."""
    clients: int = 16
    """Below the limit."""
    pictures: int = 8
    """Of one request."""
    seconds: float = 15.0
    """Of each round."""
    flood: int = 160
    """Clients beyond the limit."""
    rounds: int = 2
    """How often the embedder and the server are measured, in turn; the median counts."""
    json: Path | None = None
    """Where to write the results."""


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_pictures(folder / "pictures", 256)
        alone, served = [], []
        for _ in range(options.rounds):
            alone.append(embedder_throughput(options, paths))
            with Server(options.model, folder / "gallery") as server:
                served.append(asyncio.run(load(server.address, paths, options, options.clients)))
        with Server(options.model, folder / "gallery") as server:
            beyond = asyncio.run(load(server.address, paths, options, options.flood))
            after = asyncio.run(load(server.address, paths, options, 1))
    median = statistics.median
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load_before": os.getloadavg()[0],
        "options": {k: v for k, v in asdict(options).items() if k != "json"},
        "embedder_pictures_per_s": alone,
        "served": served,
        "share": median(s["pictures_per_s"] for s in served) / median(alone),
        "beyond_limit": beyond,
        "one_client_after": after,
    }
    if not write_report(report, options.json):
        print(f"embedder alone   {median(alone):8.1f} pictures/s")
        for title, found in (("below the limit", served[-1]), ("beyond", beyond), ("after", after)):
            print(
                f"{title:<16} {found['pictures_per_s']:8.1f} pictures/s  p50 {found['p50_ms']:.0f} "
                f"ms  p99 {found['p99_ms']:.0f} ms  {found['statuses']}"
            )
        print(f"share of the embedder's own: {report['share']:.3f}")


def write_pictures(folder: Path, count: int) -> list[Path]:
    """JPEG files of synthetic people."""
    folder.mkdir(parents=True)
    crowd = synthetic_people(num_train_identities=32, num_test_identities=1, num_distractors=0)
    names = crowd.train.names[:count]
    paths = []
    for i, name in enumerate(names):
        path = folder / f"{i:04}.jpg"
        path.write_bytes(crowd.store.read(name))
        paths.append(path)
    return paths


def embedder_throughput(options: Options, paths: list[Path]) -> float:
    """Pictures a second of `Embedder.embed` over files."""
    embedder = Embedder.load(options.model)
    embedder.embed(paths[:64])
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < options.seconds:
        done += len(embedder.embed(paths))
    return done / (time.perf_counter() - began)


class Server:
    """``hatcnn serve`` in a process of its own, stopped at the end."""

    def __init__(self, model: str, gallery: Path, *arguments: str) -> None:
        self.command = [
            sys.executable, "-m", "hatcnn.cli.main", "serve", "--gallery", str(gallery),
            "--model", model, "--port", str(free_port()), *arguments,
        ]  # fmt: skip
        self.address = f"http://127.0.0.1:{self.command[self.command.index('--port') + 1]}"

    def __enter__(self) -> Server:
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(self.command, stdout=quiet, stderr=quiet)
        until = time.monotonic() + 120
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if httpx.get(f"{self.address}/v1/ready").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        self.process.kill()
        raise RuntimeError(f"the server did not start: {' '.join(self.command)}")

    def __exit__(self, *_error: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


async def load(address: str, paths: list[Path], options: Options, clients: int) -> dict[str, Any]:
    """Clients that ask, are answered, and ask again; those refused wait as they are told."""
    requests = [posted(body) for body in request_bodies(paths, options.pictures)]
    latencies: list[float] = []
    waits: list[float] = []
    statuses: Counter[str] = Counter()
    busy = network_seconds(httpx.get(f"{address}/v1/metrics").text)
    began = time.perf_counter()

    async def client(number: int) -> None:
        connection = Connection(address)
        at = number
        while time.perf_counter() - began < options.seconds:
            at += 1
            asked = time.perf_counter()
            try:
                status, retry_after = await connection.ask(requests[at % len(requests)])
            except (OSError, asyncio.IncompleteReadError) as error:
                statuses[type(error).__name__] += 1
                connection.close()
                continue
            statuses[str(status)] += 1
            if status == 200:
                latencies.append(time.perf_counter() - asked)
            else:
                waits.append(retry_after)
                left = began + options.seconds - time.perf_counter()
                await asyncio.sleep(max(0.0, min(retry_after, left)))
        connection.close()

    await asyncio.gather(*(client(i) for i in range(clients)))
    seconds = time.perf_counter() - began
    busy = network_seconds(httpx.get(f"{address}/v1/metrics").text) - busy
    ordered = sorted(latencies) or [float("nan")]
    return {
        "clients": clients,
        "pictures_per_s": len(latencies) * options.pictures / seconds,
        "network_busy": busy / seconds,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        "statuses": dict(statuses),
        "longest_retry_after_s": max(waits, default=None),
    }


class Connection:
    """HTTP at its plainest, kept open: what a client library spends, the server would lack."""

    def __init__(self, address: str) -> None:
        self.host, port = address.removeprefix("http://").split(":")
        self.port = int(port)
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> tuple[int, float]:
        """Status, and the seconds after which to ask again where it says so."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        await self.reader.readexactly(number_behind(b"content-length:", head))
        if b"\r\nconnection: close" in head:
            self.close()
        return int(head.split(b" ", 2)[1]), float(number_behind(b"retry-after:", head))

    def close(self) -> None:
        """The next question opens it again."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None


def number_behind(name: bytes, head: bytes) -> int:
    """Of a header in lower case; 0 without it."""
    found = re.search(rb"\r\n" + name + rb" *(\d+)", head)
    return int(found[1]) if found else 0


def posted(body: bytes) -> bytes:
    """A whole request with a form."""
    return (
        b"POST /v1/embed HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        + f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n".encode()
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def network_seconds(metrics: str) -> float:
    """That forward passes have taken so far, from the server's own count."""
    found = re.search(r"^hatcnn_forward_seconds_sum (\S+)", metrics, re.MULTILINE)
    assert found is not None
    return float(found[1])


def request_bodies(paths: list[Path], pictures: int) -> Iterator[bytes]:
    """Forms with so many pictures each; made once, for the clients share the server's cores."""
    for at in range(0, len(paths) - pictures + 1, pictures):
        parts = [
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="vectors"\r\n\r\n'
            "base64\r\n".encode()
        ]
        for path in paths[at : at + pictures]:
            head = f'form-data; name="pictures"; filename="{path.name}"'
            parts += [
                f"--{BOUNDARY}\r\nContent-Disposition: {head}\r\n\r\n".encode(),
                path.read_bytes(),
                b"\r\n",
            ]
        yield b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
