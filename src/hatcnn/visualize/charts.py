"""Charts of measurements: attributes, scores, cameras, training, and a map of a gallery."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hatcnn.attributes import ATTRIBUTES, column
from hatcnn.evaluation import AttributeScores, Group
from hatcnn.visualize.arranging import FEWEST_TO_ARRANGE, arrange
from hatcnn.visualize.figures import BLUE, GREY, MARKERS, OKABE_ITO, ORANGE
from hatcnn.visualize.words import short_name


def attribute_chart(scores: AttributeScores) -> Figure:
    """Every attribute: accuracy beside the majority line, balanced accuracy and F1, per cent.

    The majority line is what always guessing the commoner label reaches in accuracy; guessing
    reaches 50 in balanced accuracy. What the labels do not define is not drawn, and says so.
    """
    figure = Figure(figsize=(7.0, 8.2), layout="constrained")
    axes = figure.add_subplot()
    rows = np.arange(len(scores.attributes))

    def values(score: str) -> npt.NDArray[np.float64]:
        found = [getattr(a, score) for a in scores.attributes]
        return np.array([np.nan if v is None else 100 * v for v in found])

    axes.barh(
        rows, values("majority"), height=0.72, color="#D9D9D9",
        label="always guessing the commoner label (accuracy)",
    )  # fmt: skip
    for score, words, marker, colour, size in (
        ("accuracy", "accuracy", "|", "black", 11),
        ("balanced_accuracy", "balanced accuracy; guessing reaches 50", "o", BLUE, 6),
        ("f1", "F1", "s", ORANGE, 5),
    ):
        axes.plot(
            values(score), rows, ls="none", label=words, marker=marker, color=colour, ms=size,
            mew=2, mfc="white" if score == "f1" else colour, clip_on=False,
        )  # fmt: skip
    for row, attribute in enumerate(scores.attributes):
        if attribute.balanced_accuracy is None:
            if not attribute.positives + attribute.negatives:
                lack = "nobody is labelled"
            else:
                lack = "everybody has it" if attribute.positives else "nobody has it"
            axes.text(3, row, f"undefined: {lack}", fontsize=7.5, va="center")
    axes.axvline(50, color=GREY, lw=0.8, ls=":")
    names = [
        f"{short_name(ATTRIBUTES[column(a.name)])}  ({a.positives})" for a in scores.attributes
    ]
    axes.set_yticks(rows, names, fontsize=8)
    axes.set(xlim=(0, 102), ylim=(len(rows) - 0.4, -0.6), xlabel="per cent")
    axes.set_title("Attributes, and in how many pictures each is present", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0, pad=9)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def score_chart(
    edges: npt.NDArray[np.float64],
    same: npt.NDArray[np.int64],
    different: npt.NDArray[np.int64],
    threshold: float,
    *,
    reason: str,
) -> Figure:
    """How similar pictures of the same person and of different people are.

    Args:
        edges: (bins + 1,) of the similarity, ascending.
        same, different: (bins,) pairs of pictures.
        threshold: similarity from which two pictures would be called the same person.
        reason: for that threshold, short.
    """
    figure = Figure(figsize=(7.0, 3.8), layout="constrained")
    axes = figure.add_subplot()
    for counts, words, colour, hatch in (
        (different, f"different people ({different.sum():,} pairs)", ORANGE, "///"),
        (same, f"same person ({same.sum():,} pairs)", BLUE, ""),
    ):
        axes.stairs(
            100 * counts / max(1, counts.sum()), edges, fill=True, facecolor=colour, alpha=0.35,
            hatch=hatch, edgecolor=colour,
        )  # fmt: skip
        axes.stairs(
            100 * counts / max(1, counts.sum()), edges, color=colour, lw=1.6, label=words,
            ls="--" if hatch else "-",
        )  # fmt: skip
    axes.axvline(threshold, color="black", lw=1.2, label=f"threshold {threshold:.2f}: {reason}")
    occupied = np.flatnonzero(same + different)
    if len(occupied):
        axes.set_xlim(edges[occupied[0]], edges[occupied[-1] + 1])
    axes.set(xlabel="similarity", ylabel="share of the pairs, per cent")
    axes.set_ylim(0, axes.get_ylim()[1])
    axes.set_title("How similar pictures are", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def camera_chart(groups: Sequence[Group]) -> Figure:
    """Rank-1 by camera of the query (rows) and of the gallery (columns), per cent.

    Args:
        groups: `hatcnn.evaluation.Evaluation.by_camera`.
    """
    pairs = [tuple(group.name.split(" → ")) for group in groups]
    cameras = sorted({camera for pair in pairs for camera in pair}, key=int)
    table = np.full((len(cameras), len(cameras)), np.nan)
    for (query, gallery), group in zip(pairs, groups, strict=True):
        table[cameras.index(query), cameras.index(gallery)] = 100 * group.ranking.rank(1)
    # Wide enough for the title.
    side = max(3.2, 0.5 * len(cameras) + 1.2)
    figure = Figure(figsize=(side, side + 0.1), layout="constrained")
    axes = figure.add_subplot()
    # From the worst pair on, so that differences show; the numbers say how large they are.
    low = 0.0 if np.isnan(table).all() else min(90.0, float(np.nanmin(table)))
    axes.imshow(table, cmap="cividis", vmin=low, vmax=100)
    for (row, place), value in np.ndenumerate(table):
        axes.text(
            place, row, "–" if np.isnan(value) else f"{value:.0f}", ha="center", va="center",
            color="white" if value < (low + 100) / 2 else "black", fontsize=9,
        )  # fmt: skip
    ticks = range(len(cameras))
    axes.set_xticks(ticks, cameras)
    axes.set_yticks(ticks, cameras)
    axes.tick_params(length=0)
    axes.set(xlabel="camera of the gallery", ylabel="camera of the query")
    axes.set_title("Rank-1 by cameras, per cent", fontsize=10, loc="left")
    return figure


def training_chart(
    epochs: Sequence[Mapping[str, Any]], evaluations: Mapping[int, Mapping[str, Any]]
) -> Figure:
    """Losses over the epochs and, where there were several evaluations, mAP and Rank-1.

    Args:
        epochs: records of a run's ``metrics.jsonl``: ``epoch`` and ``loss/…``.
        evaluations: `hatcnn.evaluation.Evaluation.to_json` by epochs done.
    """
    both = len(evaluations) > 1
    figure = Figure(figsize=(8.0, 3.6) if both else (5.0, 3.6), layout="constrained")
    charts = figure.subplots(1, 2 if both else 1, squeeze=False)[0]
    names = sorted({key for record in epochs for key in record if key.startswith("loss/")})
    at = [record["epoch"] for record in epochs]
    lines = {n.removeprefix("loss/"): [r.get(n, np.nan) for r in epochs] for n in names}
    _lines(charts[0], at, lines, "loss", "Losses")
    if both:
        done = sorted(evaluations)
        rankings = list(evaluations[done[-1]]["rankings"])
        scores = {
            f"{words}, {name}": [evaluations[e]["rankings"][name][score] for e in done]
            for name in rankings
            for score, words in (("mAP", "mAP"), ("rank_1", "Rank-1"))
        }
        # Rankings often differ by less than a line's width: the second lets the first be seen.
        second = {label for label in scores if not label.endswith(f", {rankings[0]}")}
        _lines(charts[1], done, scores, "per cent", "Evaluation", over=second)
        charts[1].set_ylim(0, 100)
    return figure


def _lines(
    axes: Axes,
    at: Sequence[int],
    lines: Mapping[str, Sequence[float]],
    y_label: str,
    title: str,
    *,
    over: Collection[str] = (),
) -> None:
    for i, (name, values) in enumerate(lines.items()):
        colour, marker = OKABE_ITO[i % len(OKABE_ITO)], MARKERS[i % len(MARKERS)]
        every = max(1, len(at) // 8)
        look: dict[str, Any] = (
            {"ls": ":", "ms": 9, "mfc": "none"} if name in over else {"ls": "-", "ms": 5}
        )
        axes.plot(at, values, color=colour, marker=marker, markevery=every, label=name, **look)
    axes.set(xlabel="epochs", ylabel=y_label)
    axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=10, loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, lw=0.3)
    axes.legend(fontsize=8)


def gallery_map(
    vectors: npt.NDArray[np.float32], pids: npt.NDArray[np.int64], *, most: int = 600, seed: int = 0
) -> Figure | None:
    """A sample of a gallery in two dimensions by t-SNE: alike pictures lie together.

    The seven people with most pictures in the sample stand out; the others are dots.

    Args:
        vectors: (n, d).
        pids: (n,) identities; distractors (0) are left out.
        most: pictures in the sample, of people drawn at random, each with all of their pictures.
        seed: of the draw and of the arrangement.

    Returns:
        The figure; none where there are too few pictures to arrange.
    """
    people = np.random.default_rng(seed).permutation(np.unique(pids[pids > 0]))
    rows = [np.flatnonzero(pids == pid) for pid in people[:most]]
    chosen = np.concatenate(rows)[:most] if rows else np.empty(0, np.int64)
    vectors, pids = vectors[chosen], pids[chosen]
    if len(pids) < FEWEST_TO_ARRANGE:
        return None
    places, _ = arrange(vectors, seed=seed)
    figure = Figure(figsize=(7.0, 5.6), layout="constrained")
    axes = figure.add_subplot()
    known, counts = np.unique(pids, return_counts=True)
    shown = known[np.argsort(-counts, kind="stable")][: len(OKABE_ITO)]
    others = ~np.isin(pids, shown)
    axes.scatter(places[others, 0], places[others, 1], s=9, color="#BBBBBB", lw=0, label="others")
    for pid, colour, marker in zip(shown, OKABE_ITO, MARKERS, strict=False):
        x, y = places[pids == pid].T
        axes.scatter(x, y, s=34, color=colour, marker=marker, label=f"person {pid} ({len(x)})")
    axes.set(xticks=[], yticks=[])
    axes.set_title(
        f"{len(pids)} pictures of the gallery: what lies together looks alike to the network",
        fontsize=10, loc="left",
    )  # fmt: skip
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure
