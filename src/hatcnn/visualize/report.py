"""The report of an evaluation: pictures in a folder, and one page that a supervisor can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from hatcnn import __version__
from hatcnn.errors import EvaluationError
from hatcnn.evaluation import Calibration, Evaluation, Features, Group, score_histogram
from hatcnn.evaluation.thresholds import ScoreHistogram
from hatcnn.images import Pixels
from hatcnn.visualize.charts import (
    attribute_chart,
    camera_chart,
    gallery_map,
    score_chart,
    training_chart,
)
from hatcnn.visualize.explained import comparison_figure
from hatcnn.visualize.figures import save_both
from hatcnn.visualize.page import Page
from hatcnn.visualize.plain import CAVEATS, percent, ranking_words, threshold_words
from hatcnn.visualize.ranked import Entry, Probability, ranked_rows, ranked_sheet

if TYPE_CHECKING:  # It imports torch, which a report does not need.
    from hatcnn.inference.explanation import Explainer

PAGE = "report.html"
_QUERIES = 4
"""In each ranked sheet."""
_FEWEST_PEOPLE = 20
"""In a group whose scores say something."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Measured:
    """What a report tells of.

    Attributes:
        model, data: in words.
        evaluation: of the features.
        query, gallery: what the network said, and who is in the pictures.
        query_images, gallery_images: (n, h, w, 3) uint8, one a row of the features.
        skipped: (name, reason) of the pictures that could not be read.
        calibration: of the model; without one, results have no probabilities.
        explainer: of the network, which needs torch; none leaves explanations out.
        epochs, evaluations: of the run that made the network, as in `training_chart`; empty where
            it is not known.
    """

    model: str
    data: str
    evaluation: Evaluation
    query: Features
    gallery: Features
    query_images: Pixels
    gallery_images: Pixels
    skipped: Sequence[tuple[str, str]] = ()
    calibration: Calibration | None = None
    explainer: Explainer | None = None
    epochs: Sequence[Mapping[str, Any]] = ()
    evaluations: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)


def write_pictures(measured: Measured, folder: Path) -> Path:
    """Draw every picture there are numbers for, as PNG and SVG, and the page with all of them.

    Returns:
        The page, ``report.html``, which holds its pictures and can be moved alone.

    Raises:
        ConfigError: when the folder cannot be written.
    """
    return _Writer(measured, folder).write()


class _Writer:
    def __init__(self, measured: Measured, folder: Path) -> None:
        self.m, self.folder = measured, folder
        self.page = Page(f"How well {measured.model} finds people in {measured.data}")

    @cached_property
    def counts(self) -> ScoreHistogram:
        """Of all pairs by two cameras; minutes of a large gallery."""
        return score_histogram(self.m.query, self.m.gallery)

    def write(self) -> Path:
        self._in_short()
        if self.m.evaluation.rankings["identity"].matched.any():
            self._examples()
            self._scores()
        self._attributes()
        self._groups()
        self._map()
        self._training()
        self._end()
        path = self.folder / PAGE
        self.page.write(path)
        return path

    def _draw(self, name: str, figure: Figure, words: str) -> None:
        png, _ = save_both(figure, self.folder / f"{name}.png")
        self.page.picture(png, words)

    def _in_short(self) -> None:
        m = self.m
        rankings = m.evaluation.rankings
        people = len(np.unique(m.query.pids))
        self.page.text(
            f"{len(m.query):,} pictures of {people:,} people were searched for among "
            f"{len(m.gallery):,} pictures of a gallery. A picture that the same camera took of the "
            "same person does not count: the question is whether other cameras' pictures are found."
        )
        self.page.points(ranking_words(rankings["identity"]))
        self.page.note(CAVEATS[0])
        self.page.table(
            ("ranked by", "Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "queries"),
            [
                (
                    name,
                    *(percent(r.rank(k)) for k in (1, 5, 10)),
                    percent(r.mAP),
                    percent(r.mINP),
                    f"{r.matched.sum():,}",
                )
                for name, r in rankings.items()
            ],
        )
        self.page.text(
            "Per cent. Rank-k: searches that put a right picture among the first k. mAP: how near "
            "the front all right pictures come; 100 is all of them first. mINP: likewise for the "
            "right picture that is hardest to find."
        )

    def _examples(self) -> None:
        m = self.m
        self.page.heading("Searches, good and bad")
        self.page.text(
            "Left the picture searched for, right of it what was found by identity, most similar "
            "first. A whole blue frame and a tick: the same person. A broken orange frame and a "
            "cross: somebody else. "
            "Below: similarity, camera, and what the network takes the person to wear."
        )
        probability = self._probability()
        ap = m.evaluation.rankings["identity"].ap
        found: list[tuple[Entry, Entry]] = []
        for name, words, chosen in examples(ap, m.query.pids):
            rows = ranked_rows(
                m.query,
                m.gallery,
                m.query_images,
                m.gallery_images,
                chosen,
                probability=probability,
            )
            self._draw(f"ranked-{name}", ranked_sheet(rows, title=words), words)
            found += [(row.query, row.results[0]) for row in rows if row.results]
        self._reasons(found)

    def _probability(self) -> Probability | None:
        """Of pairs of these pictures, most of which show two people; the page is told so."""
        counts, calibration = self.counts, self.m.calibration
        same = int(counts.same.sum())
        if calibration is None or not same or not counts.different.sum():
            return None
        pairs = same + int(counts.different.sum())
        self.page.text(
            "Beside the similarity: how likely two pictures this much alike are to show one "
            f"person, where 1 pair in {pairs / same:,.0f} does, as in this gallery. It knows "
            "nothing of what else speaks for or against."
        )
        return partial(calibration.probability, prior=same / pairs)

    def _reasons(self, found: Sequence[tuple[Entry, Entry]]) -> None:
        """Why a right picture came first, and why a wrong one did: the last of each, as these are
        the least easy."""
        explainer = self.m.explainer
        if explainer is None:
            return
        self.page.heading("Why")
        self.page.text(
            "Soft attention shows where the network looks at all, a region what its local branch "
            "cuts out. Blue in a solid line: what made two pictures more alike. Orange in a dashed "
            "line: what made them less alike. The shares add up to the similarity."
        )
        for correct, name, words in (
            (True, "why-right", "Why the right person came first"),
            (False, "why-wrong", "Why somebody else came first"),
        ):
            pairs = [pair for pair in found if pair[1].correct is correct]
            if pairs:
                query, first = pairs[-1]
                try:
                    comparison = explainer.compare(query.picture, first.picture)
                except EvaluationError:  # a feature of zeros, which is like nothing
                    continue
                figure = comparison_figure(
                    comparison,
                    captions=(f"query, camera {query.camera}", f"found, camera {first.camera}"),
                    title=words,
                )
                self._draw(name, figure, words)

    def _scores(self) -> None:
        counts = self.counts.coarse(200)
        if not counts.same.sum() or not counts.different.sum():
            return
        self.page.heading("How similar pictures are")
        threshold = counts.equal_error()
        figure = score_chart(
            counts.edges, counts.same, counts.different, threshold, reason="both errors alike"
        )
        self._draw("scores", figure, "Similarities of the same person and of different people")
        self.page.text(threshold_words(counts, threshold, len(self.m.gallery)))

    def _attributes(self) -> None:
        scores = self.m.evaluation.attributes
        if scores is None:
            return
        self.page.heading("What people wear")
        self._draw("attributes", attribute_chart(scores), "Scores of every attribute")
        balanced, count = scores.mean("balanced_accuracy")
        self.page.text(
            "Accuracy alone deceives: where few people have an attribute, never predicting it is "
            "nearly always right (the grey bars). Balanced accuracy counts those who have it and "
            "those who do not alike, and guessing reaches 50"
            + ("." if balanced is None else f"; the mean over {count} is {percent(balanced)}.")
        )

    def _groups(self) -> None:
        by_camera, by_attribute = self.m.evaluation.by_camera, self.m.evaluation.by_attribute
        if by_camera:
            self.page.heading("By cameras")
            self._draw("cameras", camera_chart(by_camera), "Rank-1 by pair of cameras")
            self._table(by_camera, "All pairs of cameras, query → gallery")
        if by_attribute:
            self.page.heading("For whom")
            self.page.text(
                "The same searches by what the person searched for wears, the worst first. Groups "
                f"of fewer than {_FEWEST_PEOPLE} people say little."
            )
            large = [g for g in by_attribute if g.identities >= _FEWEST_PEOPLE]
            worst = sorted(large, key=lambda g: g.ranking.mAP)
            self._table(worst[:6])
            self._table(by_attribute, "All groups")

    def _table(self, groups: Sequence[Group], folded: str = "") -> None:
        if groups:
            self.page.table(
                ("group", "queries", "people", "Rank-1", "mAP"),
                [
                    (
                        g.name,
                        f"{g.queries:,}",
                        f"{g.identities:,}",
                        percent(g.ranking.rank(1)),
                        percent(g.ranking.mAP),
                    )
                    for g in groups
                ],
                folded=folded,
            )

    def _map(self) -> None:
        figure = gallery_map(self.m.gallery.vectors, self.m.gallery.pids)
        if figure is not None:
            self.page.heading("A map of the gallery")
            self._draw("map", figure, "Pictures of the gallery, alike ones near each other")
            self.page.text(
                "Made by t-SNE, which keeps neighbours together. Distances between groups, and "
                "their sizes, mean nothing."
            )

    def _training(self) -> None:
        if self.m.epochs:
            self.page.heading("Training")
            figure = training_chart(self.m.epochs, self.m.evaluations)
            self._draw("training", figure, "Losses and scores over the epochs of training")

    def _end(self) -> None:
        if self.m.skipped:
            self.page.heading("Pictures that could not be read")
            self.page.table(("name", "reason"), self.m.skipped)
        self.page.heading("Before you rely on it")
        self.page.points(CAVEATS[1:])
        self.page.text(f"Written by hatcnn {__version__}.")


def examples(
    ap: npt.NDArray[np.float64], pids: npt.NDArray[np.int64], most: int = _QUERIES
) -> list[tuple[str, str, list[int]]]:
    """Queries to show: the best found, the middling and the worst, of each kind other people.

    Args:
        ap: (q,) average precision, NaN without a match.
        pids: (q,) who each query shows.
        most: queries of each kind.

    Returns:
        (name, words, rows of the query) of each kind that is left: no query is shown twice.
    """
    best_first = [int(i) for i in np.argsort(-ap, kind="stable") if not np.isnan(ap[i])]
    middle = len(best_first) // 2
    middling = [
        best_first[k] for k in sorted(range(len(best_first)), key=lambda k: abs(k - middle))
    ]
    orders = {"best": best_first, "worst": best_first[::-1], "middling": middling}
    chosen: dict[str, list[int]] = {}
    shown: set[int] = set()
    for name, order in orders.items():
        chosen[name] = _of_different_people([row for row in order if row not in shown], pids, most)
        shown.update(chosen[name])
    words = {
        "best": "Searches that went best",
        "middling": "Searches in the middle",
        "worst": "Searches that went worst",
    }
    return [(name, said, chosen[name]) for name, said in words.items() if chosen[name]]


def _of_different_people(order: Sequence[int], pids: npt.NDArray[np.int64], most: int) -> list[int]:
    chosen: dict[int, int] = {}
    for row in order:
        chosen.setdefault(int(pids[row]), row)
        if len(chosen) == most:
            break
    return list(chosen.values())
