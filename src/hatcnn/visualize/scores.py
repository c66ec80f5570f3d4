"""Similarities of pictures of one person and of two, counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hatcnn.evaluation import Features, distance_blocks

_BINS = 200
"""Of 0.01 each."""


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """How often which similarity occurred.

    Attributes:
        edges: (bins + 1,) from -1 to 1.
        same, different: (bins,) pairs of pictures of one person and of two.
    """

    edges: npt.NDArray[np.float64]
    same: npt.NDArray[np.int64]
    different: npt.NDArray[np.int64]

    def passing(self, threshold: float) -> tuple[float, float]:
        """Shares of the same and of the different pairs from a threshold on, which is an edge."""
        first = int(np.searchsorted(self.edges, threshold))
        same, different = (
            float(counts[first:].sum() / max(1, counts.sum()))
            for counts in (self.same, self.different)
        )
        return same, different

    def equal_error(self) -> float:
        """The edge at which about as large a share of the same is missed as of the different
        passes."""
        errors = [(1 - same) - different for same, different in map(self.passing, self.edges)]
        return float(self.edges[np.argmin(np.abs(errors))])


def count_scores(query: Features, gallery: Features) -> ScoreCounts:
    """Cosine similarities of all pairs of a query and a gallery picture by another camera.

    Pairs by one camera are easier than what is asked for, and left out. Distractors are people of
    their own.
    """
    edges = np.linspace(-1, 1, _BINS + 1)
    same, different = np.zeros(_BINS, np.int64), np.zeros(_BINS, np.int64)
    for rows, distances in distance_blocks(query.vectors, gallery.vectors, "cosine"):
        bins = np.floor((2 - distances) * (_BINS / 2)).astype(np.int64).clip(0, _BINS - 1)
        other_camera = query.camids[rows, None] != gallery.camids
        match = query.pids[rows, None] == gallery.pids
        same += np.bincount(bins[other_camera & match], minlength=_BINS)
        different += np.bincount(bins[other_camera & ~match], minlength=_BINS)
    return ScoreCounts(edges, same, different)
