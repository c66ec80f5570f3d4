"""Figures of `hatcnn.inference.explanation`: one picture, and a pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hatcnn.attributes import ATTRIBUTES
from hatcnn.visualize import panels
from hatcnn.visualize.figures import BLUE, GREY, ORANGE
from hatcnn.visualize.words import chance, short_name

if TYPE_CHECKING:  # It imports torch; drawing needs none.
    from hatcnn.inference.explanation import Comparison, Explanation, Side

_COLUMNS = 7
_MOST_ATTRIBUTES = 2 * _COLUMNS


def likely_attributes(explanation: Explanation, most: int = _MOST_ATTRIBUTES) -> tuple[int, ...]:
    """Columns of the attributes that the picture is said to have, the surest first."""
    if explanation.probabilities is None:
        return ()
    order = np.argsort(-explanation.probabilities, kind="stable")
    return tuple(int(i) for i in order[:most] if explanation.probabilities[i] > 0.5)


def explanation_figure(
    explanation: Explanation, *, title: str = "", attributes: Sequence[int] | None = None
) -> Figure:
    """What the network saw in one picture.

    First row: soft attention and the four regions of each level. Below: where each attribute was
    seen.

    Args:
        explanation: from an `Explainer`.
        title: above all.
        attributes: columns to show; none shows those that the picture is said to have.
    """
    shown = likely_attributes(explanation) if attributes is None else tuple(attributes)
    rows = 1 + -(-len(shown) // _COLUMNS)
    row_height = 1.17 * _height(explanation) + 0.55
    figure = Figure(figsize=(1.25 * _COLUMNS, row_height * rows + 0.6), layout="constrained")
    figure.suptitle(title, fontsize=9, parse_math=False)
    grid = figure.add_gridspec(rows, _COLUMNS)
    pixels = panels.shrunk(explanation.picture)
    panels.picture(figure.add_subplot(grid[0, 0]), pixels, "picture")
    for i, level in enumerate(explanation.levels):
        panels.heat(figure.add_subplot(grid[0, 1 + i]), pixels, level.soft, f"attention {i + 1}")
        panels.regions(
            figure.add_subplot(grid[0, 4 + i]), pixels, level.centres, f"regions {i + 1}"
        )
    if not shown or explanation.attribute_maps is None or explanation.probabilities is None:
        return figure
    for n, column in enumerate(shown):
        values = explanation.attribute_maps[column]
        panels.signed_heat(
            figure.add_subplot(grid[1 + n // _COLUMNS, n % _COLUMNS]),
            pixels,
            values,
            short_name(ATTRIBUTES[column]),
            note=f"{chance(float(explanation.probabilities[column]))} likely",
            largest=float(np.abs(values).max()),
        )
    figure.supxlabel(
        "Attributes: blue in a solid line speaks for it, orange in a dashed line against it.",
        fontsize=8,
    )
    return figure


def comparison_figure(
    comparison: Comparison,
    *,
    captions: tuple[str, str] = ("first picture", "second picture"),
    title: str = "",
) -> Figure:
    """What makes two pictures alike: where, by which branch, and which attributes agree.

    Args:
        comparison: from an `Explainer`.
        captions: of the two pictures.
        title: before the similarity.
    """
    of_attributes = comparison.attribute_shares is not None
    tallest = max(_height(seen) for seen in (comparison.first, comparison.second))
    heights = 1.0 * tallest + 0.7, 3.9
    figure = Figure(figsize=(8.75, sum(heights)), layout="constrained")
    score = f"similarity {comparison.similarity:.3f}"
    figure.suptitle(
        f"{title}: {score}" if title else score.capitalize(), fontsize=11, fontweight="bold"
    )
    top, bottom = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    both = top.subfigures(1, 2, wspace=0.04, squeeze=False)[0]
    largest = max(float(np.abs(side.global_map).max()) for side in comparison.sides)
    for half, seen, side, caption in zip(
        both, (comparison.first, comparison.second), comparison.sides, captions, strict=True
    ):
        _side(half, seen, side, caption, largest)
    charts = bottom.subplots(1, 2 if of_attributes else 1, squeeze=False)[0]
    _share_bars(charts[0], comparison)
    if of_attributes:
        _attribute_bars(charts[1], comparison)
    return figure


def _height(seen: Explanation) -> float:
    """Of a panel, in its widths; pictures of odd shapes get a panel of a person's."""
    return min(3.0, max(1.0, panels.aspect(seen.picture)))


def _side(figure: Figure, seen: Explanation, side: Side, caption: str, largest: float) -> None:
    figure.suptitle(caption, fontsize=8.5, parse_math=False)
    row = figure.subplots(1, 4)
    pixels = panels.shrunk(seen.picture)
    last = seen.levels[-1]
    panels.picture(row[0], pixels, "picture")
    panels.heat(row[1], pixels, last.soft, "attention 3")
    panels.signed_heat(
        row[2], pixels, side.global_map, "alike here",
        note=f"global {side.global_map.sum():+.3f}", largest=largest,
    )  # fmt: skip
    a, b, c, d = (f"{k + 1}: {v:+.3f}" for k, v in enumerate(side.region_maps.sum(axis=(1, 2))))
    panels.regions(row[3], pixels, last.centres, "regions 3", note=f"{a}  {b}\n{c}  {d}")


def _share_bars(axes: Axes, comparison: Comparison) -> None:
    names = {
        "global": "global branch",
        "constant": "constant: an\naverage picture",
        "attributes": f"attributes (weight {comparison.attribute_weight:g})",
    }
    labels = [names.get(name, name) for name in comparison.shares]
    values = [*comparison.shares.values(), comparison.similarity]
    bars = axes.barh(
        [*labels, "similarity"], values, height=0.65, color=[*map(_colour, values[:-1]), GREY]
    )
    _bar_labels(axes, values, "{:+.3f}")
    for bar, value in zip(bars, values, strict=True):
        bar.set_hatch("" if value >= 0 else "///")
    axes.axhline(len(labels) - 0.5, color="black", lw=0.6)
    axes.set_title("What the similarity is made of: shares add up", fontsize=9, loc="left")


def _attribute_bars(axes: Axes, comparison: Comparison) -> None:
    """The twelve products that matter most, with what is said of either picture."""
    shares = comparison.attribute_shares
    first, second = comparison.first.probabilities, comparison.second.probabilities
    assert shares is not None
    assert first is not None
    assert second is not None
    chosen = sorted(np.argsort(-np.abs(shares), kind="stable")[:12], key=lambda i: -shares[i])
    labels = [_said(i, float(first[i]), float(second[i])) for i in chosen]
    values = [float(shares[i]) for i in chosen]
    bars = axes.barh(labels, values, height=0.65, color=[*map(_colour, values)])
    for bar, value in zip(bars, values, strict=True):
        bar.set_hatch("" if value >= 0 else "///")
    _bar_labels(axes, values, "{:+.2f}")
    axes.set_title(
        "Attributes: agree (right), differ (left)\n"
        f"% in first | second; all 26 sum to {float(shares.sum()):+.2f}",
        fontsize=9, loc="left",
    )  # fmt: skip


def _said(column: int, first: float, second: float) -> str:
    """What is said of both; what neither has is named as a lack."""
    attribute = ATTRIBUTES[column]
    name = short_name(attribute)
    if max(first, second) < 0.5:
        name = attribute.absent or f"no {name}"
    return f"{name}  {100 * first:.0f} | {100 * second:.0f} %"


def _colour(value: float) -> str:
    return BLUE if value >= 0 else ORANGE


def _bar_labels(axes: Axes, values: Sequence[float], form: str) -> None:
    span = max(0.0, *values) - min(0.0, *values) or 1.0
    for i, exact in enumerate(values):
        value = round(exact, 3) + 0.0  # No "-0.000".
        axes.text(
            value + (0.015 if value >= 0 else -0.015) * span, i, form.format(value),
            ha="left" if value >= 0 else "right", va="center", fontsize=7.5,
        )  # fmt: skip
    low, high = min(0.0, *values), max(0.0, *values)
    axes.set_xlim(low - (0.2 * span if low < 0 else 0), high + 0.2 * span)
    axes.invert_yaxis()
    # More numbers, with their signs and decimals, run into each other.
    axes.locator_params(axis="x", nbins=5)
    axes.axvline(0, color="black", lw=0.8)
    axes.tick_params(labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.spines[["left", "top", "right"]].set_visible(False)
