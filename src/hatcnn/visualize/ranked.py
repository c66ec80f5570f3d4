"""Ranked sheets: a query and what was found for it, right and wrong told apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hatcnn.evaluation import Features, distance_blocks, top_k
from hatcnn.images import Pixels
from hatcnn.visualize.figures import BLUE, GREY, ORANGE
from hatcnn.visualize.words import chance, short_words

Probability = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.floating]]
"""From similarities to probabilities that two pictures show one person, of any shape."""

# Of the sheet, in hundredths of an inch.
_HEIGHT, _WIDTH = 160, 80
_CELL, _MARGIN, _HEAD, _LINE = 100, 12, 18, 12.5
_MOST_WORDS = 4


@dataclass(frozen=True, eq=False, kw_only=True)
class Entry:
    """A picture of a ranked sheet, and what is written below it.

    Attributes:
        picture: (h, w, 3) uint8, of any size.
        correct: whether it shows the query's person; none where nobody knows, and for queries.
        similarity: to the query, cosine in [-1, 1].
        probability: that it shows the query's person, in (0, 1); none without a calibration.
        camera: that took it.
        time: when, in words.
        words: predicted attributes, short; the first four are shown.
    """

    picture: Pixels
    correct: bool | None = None
    similarity: float | None = None
    probability: float | None = None
    camera: int | str | None = None
    time: str | None = None
    words: Sequence[str] = ()

    def lines(self) -> list[str]:
        """What is written below the picture."""
        score = [] if self.similarity is None else [f"{self.similarity:.2f}"]
        score += [] if self.probability is None else [chance(self.probability)]
        facts = [] if self.camera is None else [f"camera {self.camera}"]
        facts += [] if self.time is None else [self.time]
        return [*([" · ".join(score)] if score else []), *facts, *self.words[:_MOST_WORDS]]


@dataclass(frozen=True, eq=False)
class RankedRow:
    """One query and its results, nearest first."""

    query: Entry
    results: Sequence[Entry]


def ranked_rows(
    query: Features,
    gallery: Features,
    query_images: Pixels,
    gallery_images: Pixels,
    chosen: Sequence[int] | npt.NDArray[np.int64],
    *,
    most: int = 8,
    probability: Probability | None = None,
) -> list[RankedRow]:
    """Some queries with what the identity vectors find for them, under the ranking's protocol.

    Args:
        query, gallery: what the network said, and who is in the pictures.
        query_images, gallery_images: (n, h, w, 3) uint8, one a row of the features.
        chosen: rows of the query.
        most: results a query.
        probability: of a similarity; none leaves probabilities out.
    """
    some = query.take(np.asarray(chosen, dtype=np.int64))
    blocks = distance_blocks(some.vectors, gallery.vectors, "cosine")
    nearest, distances = top_k(blocks, some, gallery, most)
    likely = probability(1 - distances) if probability else None

    def entry(features: Features, picture: Pixels, row: int, **more: Any) -> Entry:
        said = features.attribute_probabilities
        return Entry(
            picture=picture,
            camera=int(features.camids[row]),
            words=() if said is None else short_words(said[row]),
            **more,
        )

    return [
        RankedRow(
            entry(some, query_images[chosen[i]], i),
            [
                entry(
                    gallery,
                    gallery_images[g],
                    int(g),
                    correct=bool(gallery.pids[g] == some.pids[i]),
                    similarity=float(1 - distances[i, rank]),
                    probability=None if likely is None else float(likely[i, rank]),
                )
                for rank, g in enumerate(nearest[i])
                if g >= 0
            ],
        )
        for i in range(len(some))
    ]


def ranked_sheet(rows: Sequence[RankedRow], *, title: str = "") -> Figure:
    """Draw queries below each other, each with its results to the right, nearest first.

    A right result has a whole blue frame and a tick, a wrong one a broken orange frame and a
    cross, so that print without colour shows it too.
    """
    columns = 1 + max(len(row.results) for row in rows)
    heights = [
        _HEAD + _HEIGHT + 6 + _LINE * max(len(e.lines()) for e in (row.query, *row.results)) + 8
        for row in rows
    ]
    top, legend = (30 if title else _MARGIN), 26
    width = 2 * _MARGIN + columns * _CELL + _MARGIN - (_CELL - _WIDTH)
    height = top + sum(heights) + legend
    figure = Figure(figsize=(width / 100, height / 100))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.text(_MARGIN, 16, title, fontsize=10, fontweight="bold", va="center", parse_math=False)
    y: float = top
    for row, taken in zip(rows, heights, strict=True):
        _draw(axes, row.query, _MARGIN, y, "query")
        for rank, entry in enumerate(row.results, 1):
            # The query stands a little apart.
            _draw(axes, entry, 2 * _MARGIN + rank * _CELL, y, str(rank))
        y += taken
    if any(entry.correct is not None for row in rows for entry in row.results):
        _legend(axes, y)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    return figure


def _draw(axes: Axes, entry: Entry, x: float, y: float, head: str) -> None:
    if entry.correct is not None:
        head = f"{head}  {'✓' if entry.correct else '✗'}"
    colour = {True: BLUE, False: ORANGE, None: "black"}[entry.correct]
    axes.text(
        x + _WIDTH / 2, y + _HEAD / 2 - 2, head, fontsize=9, color=colour, fontweight="bold",
        ha="center", va="center",
    )  # fmt: skip
    y += _HEAD
    axes.imshow(
        entry.picture,
        interpolation="bicubic",
        extent=(x, x + _WIDTH, y + _HEIGHT, y),
        aspect="auto",
    )
    _frame(axes, x, y, _WIDTH, _HEIGHT, entry.correct)
    for i, line in enumerate(entry.lines()):
        axes.text(
            x + _WIDTH / 2, y + _HEIGHT + 8 + _LINE * (i + 0.5), line, fontsize=7.5, ha="center",
            va="center", parse_math=False,
        )  # fmt: skip


def _frame(
    axes: Axes, x: float, y: float, width: float, height: float, correct: bool | None
) -> None:
    colour, dash, line = {
        True: (BLUE, "-", 3.0),
        False: (ORANGE, (0, (3, 1.5)), 3.0),
        None: (GREY, "-", 0.8),
    }[correct]
    axes.add_patch(
        Rectangle((x, y), width, height, fill=False, ec=colour, ls=dash, lw=line, zorder=3)
    )


def _legend(axes: Axes, y: float) -> None:
    for x, correct, words in ((_MARGIN, True, "✓ same person"), (150, False, "✗ somebody else")):
        _frame(axes, x, y + 4, 20, 12, correct)
        axes.text(x + 28, y + 10, words, fontsize=8, va="center")
