"""What a benchmark run found."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.table import Table

from hatcnn.benchmark.ceilings import Ceilings
from hatcnn.benchmark.traffic import Traffic
from hatcnn.benchmark.workers import Measured


@dataclass(frozen=True, kw_only=True)
class Row:
    """One form of one job.

    Attributes:
        job, form: which.
        plain: whether it is a plain form.
        unit: what is counted.
        per_second: units a second, median of the portions.
        ratio: to the fastest plain form of the same run; none without one.
        p50_ms, p99_ms: duration of a portion.
        peak_gb: largest resident size of its process.
        start_seconds: until the first portion was done.
        gflops: arithmetic at this rate, GFLOP/s; none where not counted.
        ceiling: that as a share of what the machine's products and convolutions reach.
        flops_per_byte: arithmetic over memory traffic, operation by operation; none likewise.
    """

    job: str
    form: str
    plain: bool
    unit: str
    per_second: float
    ratio: float | None
    p50_ms: float
    p99_ms: float
    peak_gb: float
    start_seconds: float
    gflops: float | None = None
    ceiling: float | None = None
    flops_per_byte: float | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """All rows of a run and where it was made."""

    rows: tuple[Row, ...]
    ceilings: Ceilings
    device: str

    def to_json(self) -> dict[str, Any]:
        """Rows, ceilings and the machine."""
        return {
            "date": datetime.date.today().isoformat(),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
            "device": self.device,
            "torch": torch.__version__,
            "ceilings": asdict(self.ceilings),
            "rows": [asdict(row) for row in self.rows],
        }

    def table(self) -> Table:
        """As a table for the terminal."""
        made = Table(title=f"hatcnn bench on {self.device}", title_justify="left")
        made.add_column("job")
        made.add_column("form")
        for column in ("a second", "ratio", "p50 ms", "peak GB", "start s", "GFLOP/s", "ceiling"):
            made.add_column(column, justify="right", no_wrap=True)
        job = ""
        for row in self.rows:
            if job and row.job != job:
                made.add_section()
            made.add_row(
                row.job if row.job != job else "",
                row.form,
                f"{row.per_second:,.1f} {row.unit}",
                _number(row.ratio, ".2f"),
                f"{row.p50_ms:,.1f}",
                f"{row.peak_gb:.2f}",
                f"{row.start_seconds:.1f}",
                _number(row.gflops, ",.0f"),
                _number(row.ceiling, ".0%"),
            )
            job = row.job
        return made


def rows_of(
    job: str, unit: str, measured: list[Measured], ceilings: Ceilings, traffic: dict[str, Traffic]
) -> list[Row]:
    """Rows of one job.

    Args:
        job: its name.
        unit: what its portions count.
        measured: its forms.
        ceilings: of the machine.
        traffic: per unit, of the networks that the forms name.
    """
    plain = [m.rate for m in measured if m.form.plain]
    rows = []
    for m in measured:
        gflops = ceiling = intensity = None
        if form := traffic.get(m.form.counted):
            gflops = m.rate * form.flops / 1e9
            limit = ceilings.compute(m.form.precision)
            ceiling = gflops / limit if limit else None
            if m.form.plain or m.form.precision == "bf16":
                # As they were counted; the same in another precision moves other numbers of bytes.
                intensity = form.flops / form.bytes
        rows.append(
            Row(
                job=job,
                form=m.form.name,
                plain=m.form.plain,
                unit=unit,
                per_second=m.rate,
                ratio=m.rate / max(plain) if plain else None,
                p50_ms=m.latency(0.5),
                p99_ms=m.latency(0.99),
                peak_gb=m.peak_bytes / 1e9,
                start_seconds=m.start_seconds,
                gflops=gflops,
                ceiling=ceiling,
                flops_per_byte=intensity,
            )
        )
    return rows


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
