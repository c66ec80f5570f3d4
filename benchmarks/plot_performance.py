"""Draw the pictures of docs/performance.md from the result files.

python benchmarks/plot_performance.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
ASSETS = ROOT / "docs" / "assets"

# Okabe and Ito's colours, which the colour-blind can tell apart.
BLUE, ORANGE, GREEN, BLACK = "#0072B2", "#D55E00", "#009E73", "#000000"


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return content


def save(figure: Figure, name: str) -> None:
    figure.tight_layout()
    for suffix in ("png", "svg"):
        # Without a date and with fixed ids, the same numbers give the same file.
        figure.savefig(ASSETS / f"{name}.{suffix}", dpi=160, metadata=_UNDATED[suffix])
    plt.close(figure)


_UNDATED: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None}}


def roofline() -> None:
    report = read("performance")
    ceilings = report["ceilings"]
    figure, axes = plt.subplots(figsize=(8, 5))
    intensity = np.geomspace(1, 200, 200)
    for precision, colour in (("fp32", BLUE), ("bf16", ORANGE)):
        compute = max(ceilings[f"matmul_{precision}"], ceilings[f"conv_{precision}"])
        label = {"fp32": "float32", "bf16": "bfloat16"}[precision]
        axes.plot(
            intensity, np.minimum(compute, ceilings["copy"] * intensity), color=colour, lw=1.5,
            label=f"ceiling, {label}: {compute:,.0f} GFLOP/s",
        )  # fmt: skip
    marks = {"train": "s", "embed": "o"}
    rows = [r for r in report["rows"] if r["job"] in marks and r["flops_per_byte"] is not None]
    height = np.inf
    for row in sorted(rows, key=lambda row: -row["gflops"]):
        axes.plot(
            row["flops_per_byte"], row["gflops"], marks[row["job"]], ms=8,
            color=ORANGE if "bf16" in row["form"] else BLUE, mfc="white" if row["plain"] else None,
        )  # fmt: skip
        # Labels of neighbours keep a line's distance.
        height = min(height / 1.13, row["gflops"])
        label = f"{row['job']}: {row['form']}"
        axes.text(1.08 * row["flops_per_byte"], height, label, fontsize=8, va="center")
    axes.set(
        xscale="log", yscale="log", xlabel="FLOP per byte moved, operation by operation",
        ylabel="GFLOP/s", title=f"Copy: {ceilings['copy']:,.1f} GB/s. Hollow: plain form.",
    )  # fmt: skip
    axes.grid(visible=True, which="both", lw=0.3)
    axes.legend(loc="lower right")
    save(figure, "roofline")


def scaling() -> None:
    embedding, evaluation = read("embedding_cost")["rows"], read("evaluation_cost")["rows"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2))
    for network, colour in (("smoke", GREEN), ("hatcnn-plus", ORANGE)):
        rows = [row for row in embedding if row["network"] == network]
        _growth(left, [r["pictures"] for r in rows], [r["seconds"] for r in rows], network, colour)
    left.set(xlabel="JPEG files", ylabel="seconds", title="Embedding, files to file")
    rows = [row for row in evaluation if row["what"] == "ranking"]
    sizes = [row["gallery"] for row in rows]
    _growth(right, sizes, [row["seconds"] for row in rows], "ours", ORANGE)
    _growth(right, sizes, [row["plain_seconds"] for row in rows], "plain loop", BLUE)
    right.set(xlabel="gallery pictures", title="Ranking 3,368 queries")
    for axes in (left, right):
        axes.set(xscale="log", yscale="log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(visible=True, which="both", lw=0.3)
        axes.legend()
    right.set_xticks(sizes, [f"{size:,}" for size in sizes])
    save(figure, "scaling")


def _growth(axes: Axes, sizes: list[int], seconds: list[float], label: str, colour: str) -> None:
    """Measured points, and a thin line of exact proportion through the first."""
    axes.plot(sizes, seconds, "o-", color=colour, label=label)
    proportional = [seconds[0] * size / sizes[0] for size in sizes]
    axes.plot(sizes, proportional, ":", color=BLACK, lw=1)


if __name__ == "__main__":
    mpl.rcParams["svg.hashsalt"] = "hatcnn"
    roofline()
    scaling()
