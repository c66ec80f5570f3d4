"""``hatcnn bench [JOBS...]``: speed and memory, ours and plain, beside the machine's ceilings."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, get_args

import torch
import tyro

from hatcnn.benchmark.ceilings import measure_ceilings
from hatcnn.benchmark.jobs import Job, embedding_batch, forms, training_step
from hatcnn.benchmark.plain import source_tree
from hatcnn.benchmark.report import Report, Row, rows_of
from hatcnn.benchmark.traffic import Traffic, count_traffic
from hatcnn.benchmark.workers import run_in_turn
from hatcnn.cli.output import check_writable, write_report
from hatcnn.cli.tables import console
from hatcnn.devices import make_fabric
from hatcnn.errors import ConfigError
from hatcnn.training.recipes import recipe_named

_UNITS: dict[Job, str] = {
    "train": "images",
    "embed": "images",
    "latency": "images",
    "files": "files",
    "evaluate": "queries",
    "rerank": "queries",
    "search": "queries",
}


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Measure plain forms and ours in turn, each in a process of its own."""

    jobs: Annotated[tuple[Job, ...], tyro.conf.Positional] = ()
    """Which; none means all."""
    seconds: float = 10.0
    """Time for each form of each job, start-up apart; one portion a round is done in any case."""
    rounds: int = 3
    """How often the forms of a job take turns."""
    json: Path | None = None
    """Write everything to this file; - for standard output."""


def main(arguments: list[str]) -> None:
    """Measure the jobs that the arguments name."""
    options = tyro.cli(BenchOptions, prog="hatcnn bench", args=arguments)
    if options.rounds < 1 or options.seconds <= 0:
        raise ConfigError("--rounds and --seconds must be positive")
    if options.json and str(options.json) != "-":
        check_writable(options.json)
    if not source_tree():
        print("plain forms are part of the source tree: only ours are measured", file=sys.stderr)
    device = make_fabric(devices=1).device
    ceilings = measure_ceilings(device)
    rows: list[Row] = []
    for job in options.jobs or get_args(Job):
        print(f"measuring {job}", file=sys.stderr, flush=True)
        measured = run_in_turn(forms(job), seconds=options.seconds, rounds=options.rounds)
        rows += rows_of(job, _UNITS[job], measured, ceilings, _traffic(job))
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    report = Report(rows=tuple(rows), ceilings=ceilings, device=name)
    if write_report({"command": "hatcnn bench", **report.to_json()}, options.json):
        return
    console.print(report.table())
    print(
        f"ceilings: matrix product {ceilings.matmul_fp32:,.0f} GFLOP/s in float32 and "
        f"{ceilings.matmul_bf16:,.0f} in bfloat16, convolution {ceilings.conv_fp32:,.0f} and "
        f"{ceilings.conv_bf16:,.0f}, copy {ceilings.copy:,.1f} GB/s"
    )


def _traffic(job: Job) -> dict[str, Traffic]:
    """Arithmetic and memory traffic of one picture, for the jobs that run the network.

    In bfloat16, but for the plain form.
    """
    if job not in ("train", "embed", "latency", "files") or not source_tree():
        return {}
    count = 16
    paper, plus = recipe_named("hatcnn-paper"), recipe_named("hatcnn-plus")
    if job == "train":
        ours = [replace(paper, precision="bf16-mixed"), plus]
        work = {r.name: training_step(r, count, plain=False) for r in ours}
        work["plain"] = training_step(paper, count, plain=True)
    else:
        work = {r.name: embedding_batch(r.model, count, plain=False) for r in (paper, plus)}
        work["plain"] = embedding_batch(paper.model, count, plain=True)
    found = {name: count_traffic(step) for name, step in work.items()}
    return {name: Traffic(t.flops // count, t.bytes // count) for name, t in found.items()}
