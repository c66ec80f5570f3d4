"""Scores over epochs, in a form that prints: colours the colour-blind can tell, and line styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hatcnn.visualize.figures import BLUE, ORANGE, save_both

_STYLES = ((BLUE, "o", "-"), (ORANGE, "s", "--"))


@dataclass(frozen=True)
class Curve:
    """One line of a figure.

    Attributes:
        label: in the legend.
        epochs: where it was measured.
        values: per cent, one list an epoch with one value a seed.
        published: where the paper's line ends; none draws nothing.
    """

    label: str
    epochs: Sequence[int]
    values: Sequence[Sequence[float]]
    published: float | None = None


def draw_curves(
    target: Path, curves: Sequence[Curve], *, title: str, y_label: str, caption: str
) -> list[Path]:
    """Draw one or two curves to ``target`` with .png and .svg; the same numbers, the same files.

    Means over seeds are lines, their range is a band, and the paper's last values are dotted.
    """
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for curve, (colour, marker, line) in zip(curves, _STYLES, strict=False):
        values = np.array(curve.values, dtype=float)
        axes.plot(
            curve.epochs, values.mean(axis=1), line, color=colour, marker=marker, ms=5,
            label=curve.label,
        )  # fmt: skip
        if values.shape[1] > 1:
            low, high = values.min(axis=1), values.max(axis=1)
            axes.fill_between(curve.epochs, low, high, color=colour, alpha=0.15, lw=0)
        if curve.published is not None:
            axes.axhline(
                curve.published, color=colour, lw=1, ls=":",
                label=f"the paper's end: {curve.label}, {curve.published}",
            )  # fmt: skip
    axes.set(xlabel="epochs", ylabel=y_label, ylim=(0, 100))
    axes.set_title(title, fontsize=11, loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, lw=0.3)
    # Below the axes, where it covers no line; by columns, each curve above the paper's end of it.
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, frameon=False)
    figure.supxlabel(caption, fontsize=7, color="#555555")
    return save_both(figure, target)
