"""CMC, mAP and mINP under the field's single-query protocol.

For each query, gallery pictures of the same person by the same camera are dropped; distractors
stay and never match. Average precision is taken over the whole ranking, not interpolated; a query
whose person is nowhere else in the gallery is left out and counted. Ties: pictures at the same
distance rank in the gallery's order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hatcnn.evaluation.distances import Blocks
from hatcnn.evaluation.features import Features, Floats, Integers

MAX_RANK = 50


@dataclass(frozen=True, eq=False)
class Ranking:
    """How well a gallery was ranked. Values are NaN when no query has a match.

    Attributes:
        cmc: (50,) share of the queries whose first match is at rank 1, 2, … or better.
        ap: (q,) average precision of each query; NaN without a match.
        inp: (q,) inverse negative penalty: matches / rank of the last match; likewise.
        first: (q,) rank of the first match, from 1; 0 without a match.
    """

    cmc: npt.NDArray[np.float64]
    ap: npt.NDArray[np.float64]
    inp: npt.NDArray[np.float64]
    first: Integers

    @property
    def matched(self) -> npt.NDArray[np.bool_]:
        """(q,) which queries have a match, and so count."""
        return self.first > 0

    @property
    def mAP(self) -> float:  # noqa: N802  the field's name
        """Mean average precision."""
        return _mean(self.ap)

    @property
    def mINP(self) -> float:  # noqa: N802  the field's name
        """Mean inverse negative penalty (Ye et al., 2021)."""
        return _mean(self.inp)

    def rank(self, k: int) -> float:
        """Rank-k: share of the queries with a match among the first k."""
        return float(self.cmc[k - 1])

    def of(self, chosen: npt.NDArray[np.bool_]) -> Ranking:
        """The same for some of the queries."""
        return _collect(self.ap[chosen], self.inp[chosen], self.first[chosen])

    def to_json(self) -> dict[str, Any]:
        """Rank-1, 5, 10, 20, mAP and mINP in per cent, and how many queries count."""
        values = {f"rank_{k}": self.rank(k) for k in (1, 5, 10, 20)}
        values |= {"mAP": self.mAP, "mINP": self.mINP}
        return {
            **{k: None if np.isnan(v) else round(100 * v, 4) for k, v in values.items()},
            "queries": int(self.matched.sum()),
            "queries_without_match": int((~self.matched).sum()),
        }

    def __str__(self) -> str:
        if not self.matched.any():
            return "undefined: no query has a match in the gallery"
        ranks = "  ".join(f"Rank-{k} {100 * self.rank(k):.1f}" for k in (1, 5, 10, 20))
        return f"{ranks}  mAP {100 * self.mAP:.1f}  mINP {100 * self.mINP:.1f}"


def rank(blocks: Blocks, query: Features, gallery: Features) -> Ranking:
    """Rank the gallery for every query.

    Args:
        blocks: distances, from `distance_blocks` or `reranked_blocks`; they are overwritten.
        query, gallery: who is in the pictures.
    """
    ap = np.full(len(query), np.nan)
    inp = np.full(len(query), np.nan)
    first = np.zeros(len(query), dtype=np.int64)
    for rows, distances in blocks:
        for i, row in zip(range(rows.start, rows.stop), distances, strict=True):
            same_person = np.flatnonzero(gallery.pids == query.pids[i])
            same_camera = gallery.camids[same_person] == query.camids[i]
            row[same_person[same_camera]] = np.inf
            matches = same_person[~same_camera]
            if query.pids[i] > 0 and len(matches):
                ranks = _ranks(row, matches)
                found = np.arange(1, len(ranks) + 1)
                ap[i] = (found / ranks).mean()
                inp[i] = len(ranks) / ranks[-1]
                first[i] = ranks[0]
    return _collect(ap, inp, first)


def top_k(blocks: Blocks, query: Features, gallery: Features, k: int) -> tuple[Integers, Floats]:
    """The k nearest gallery pictures of each query, under the same protocol and tie rule.

    Returns:
        Gallery rows (q, k) and distances (q, k), nearest first; row -1 and distance infinity
        where fewer than k pictures are left.
    """
    nearest = np.full((len(query), k), -1, dtype=np.int64)
    values = np.full((len(query), k), np.inf, dtype=np.float32)
    for rows, distances in blocks:
        for i, row in zip(range(rows.start, rows.stop), distances, strict=True):
            row[(gallery.pids == query.pids[i]) & (gallery.camids == query.camids[i])] = np.inf
            order = np.argsort(row, kind="stable")[:k]
            order = order[np.isfinite(row[order])]
            nearest[i, : len(order)] = order
            values[i, : len(order)] = row[order]
    return nearest, values


def _ranks(row: Floats, matches: Integers) -> Integers:
    """Ranks from 1, ascending, of the gallery rows `matches` when sorted by (distance, row)."""
    ordered = np.sort(row)
    distances = row[matches]
    closer = np.searchsorted(ordered, distances, side="left")
    tied = np.searchsorted(ordered, distances, side="right") - closer > 1
    for j in np.flatnonzero(tied):
        closer[j] += np.count_nonzero(row[: matches[j]] == distances[j])
    return np.sort(closer) + 1


def _collect(ap: npt.NDArray[np.float64], inp: npt.NDArray[np.float64], first: Integers) -> Ranking:
    reached = first[first > 0]
    cmc = np.full(MAX_RANK, np.nan)
    if len(reached):
        at_rank = np.bincount(np.minimum(reached, MAX_RANK + 1), minlength=MAX_RANK + 2)
        cmc = np.cumsum(at_rank[1 : MAX_RANK + 1]) / len(reached)
    return Ranking(cmc, ap, inp, first)


def _mean(values: npt.NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
