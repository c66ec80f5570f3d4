"""``hatcnn reproduce RUNS --out DIR``: the paper's table and figures from finished runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hatcnn.experiments import published
from hatcnn.experiments.reproduction import (
    IDENTITY,
    JOINT,
    Score,
    Series,
    findings,
    series_by_recipe,
    table_1,
)
from hatcnn.experiments.runs import find_runs
from hatcnn.files import write_text
from hatcnn.visualize.curves import Curve, draw_curves


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """Write Table 1 and Figures 2, 3 and 4 of the paper with our measurements beside its own."""

    runs: Annotated[Path, tyro.conf.Positional]
    """Folder with run folders in it, at any depth."""
    out: Path
    """Folder for README.md and the figures as PNG and SVG."""


def main(arguments: list[str]) -> None:
    """Write the reproduction."""
    options = tyro.cli(ReproduceOptions, prog="hatcnn reproduce", args=arguments)
    runs = find_runs(options.runs)
    found = series_by_recipe(runs)
    used = {run.path for series in found.values() for run in series.runs}
    figures = "\n".join(_figures(found, options.out))
    report = "\n".join(
        (
            "# The paper's results, measured again",
            "",
            "Market-1501, single query, no re-ranking, per cent. Several seeds are a mean ± their "
            "standard deviation. A schedule shorter than the paper's 240 epochs shows how far one "
            "gets in it, not where the method ends.",
            "",
            "## Table 1",
            "",
            table_1(found),
            "",
            figures,
            "## Where we find what the paper found, and where not",
            "",
            *(f"- {words}" for words in findings(found)),
            "",
        )
    )
    write_text(options.out / "README.md", report)
    print(report)
    print(f"written: {options.out}; {len(used)} of {len(runs)} runs used")


def _figures(found: dict[str, Series], out: Path) -> list[str]:
    """Draw what can be drawn; Markdown that shows it, or says what is missing."""
    hat, joint = found.get("hatcnn-paper"), found.get("hatcnn-local-joint")
    both = published.WITH_ATTRIBUTES, published.WITHOUT_ATTRIBUTES
    return [
        _figure(
            out / "figure-2",
            "Figure 2: mAP with and without attributes in the ranking",
            hat,
            [("with attributes", JOINT, "mAP", both[0].mAP),
             ("without", IDENTITY, "mAP", both[1].mAP)],
            "mAP, %", "hatcnn-paper",
        ),
        _figure(
            out / "figure-3",
            "Figure 3: Rank-1 with and without attributes in the ranking",
            hat,
            [("with attributes", JOINT, "rank_1", both[0].rank_1),
             ("without", IDENTITY, "rank_1", both[1].rank_1)],
            "Rank-1, %", "hatcnn-paper",
        ),
        _figure(
            out / "figure-4",
            "Figure 4: the local branch predicts identities and attributes",
            joint,
            [("Rank-1", IDENTITY, "rank_1", published.LOCAL_JOINT.rank_1),
             ("mAP", IDENTITY, "mAP", published.LOCAL_JOINT.mAP)],
            "%", "hatcnn-local-joint",
        ),
    ]  # fmt: skip


def _figure(
    target: Path,
    title: str,
    series: Series | None,
    lines: list[tuple[str, str, Score, float]],
    y_label: str,
    recipe: str,
) -> str:
    if series is None:
        return f"## {title}\n\nNot drawn: no finished run of {recipe} on the test set.\n"
    curves = [
        Curve(label, *series.curve(ranking, score), published=end)
        for label, ranking, score, end in lines
    ]
    draw_curves(target, curves, title=title, y_label=y_label, caption=f"ours: {series.label}")
    return f"## {title}\n\n![{title}]({target.name}.png)\n\nOurs: {series.label}.\n"
