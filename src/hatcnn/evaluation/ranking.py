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
        person, camera = query.pids[rows, None], query.camids[rows, None]
        same_person = gallery.pids == person
        same_camera = gallery.camids == camera
        distances[same_person & same_camera] = np.inf
        row, column = np.nonzero(same_person & ~same_camera & (person > 0))
        if not len(row):
            continue
        ranks = _ranks(distances, row, column)
        ranks = ranks[np.lexsort((ranks, row))]
        matched, starts, counts = np.unique(row, return_index=True, return_counts=True)
        found = np.arange(1, len(row) + 1) - np.repeat(starts, counts)
        matched += rows.start
        ap[matched] = np.add.reduceat(found / ranks, starts) / counts
        inp[matched] = counts / ranks[starts + counts - 1]
        first[matched] = ranks[starts]
    return _collect(ap, inp, first)


def top_k(blocks: Blocks, query: Features, gallery: Features, k: int) -> tuple[Integers, Floats]:
    """The k nearest gallery pictures of each query, under the same protocol and tie rule.

    Returns:
        Gallery rows (q, k) and distances (q, k), nearest first; row -1 and distance infinity
        where fewer than k pictures are left.
    """
    nearest = np.full((len(query), k), -1, dtype=np.int64)
    values = np.full((len(query), k), np.inf, dtype=np.float32)
    wanted = min(k, len(gallery))
    if not wanted:
        return nearest, values
    for rows, distances in blocks:
        own = gallery.pids == query.pids[rows, None]
        own &= gallery.camids == query.camids[rows, None]
        distances[own] = np.inf
        chosen = _smallest(distances, wanted)
        near = np.take_along_axis(distances, chosen, axis=1)
        order = np.argsort(near, axis=1, kind="stable")
        chosen = np.take_along_axis(chosen, order, axis=1)
        near = np.take_along_axis(near, order, axis=1)
        nearest[rows, :wanted] = np.where(np.isfinite(near), chosen, -1)
        values[rows, :wanted] = near
    return nearest, values


def _smallest(distances: Floats, k: int) -> Integers:
    """Columns, ascending, of the k smallest of each row; among equals the first."""
    limit = np.partition(distances, k - 1, axis=1)[:, k - 1, None]
    below = distances < limit
    at_limit = distances == limit
    missing = k - below.sum(axis=1, keepdims=True)
    at_limit &= at_limit.cumsum(axis=1, dtype=np.int32) <= missing
    return np.nonzero(below | at_limit)[1].reshape(len(distances), k)


def _ranks(distances: Floats, row: Integers, column: Integers) -> Integers:
    """Ranks from 1 of entries (row, column) when each row is sorted by (distance, column)."""
    ordered = np.sort(distances, axis=1)
    values = distances[row, column]
    closer = _count(ordered, row, values, np.less)
    tied = _count(ordered, row, values, np.less_equal) - closer > 1
    for j in np.flatnonzero(tied):
        closer[j] += np.count_nonzero(distances[row[j], : column[j]] == values[j])
    return closer + 1


def _count(ordered: Floats, row: Integers, values: Floats, comparison: np.ufunc) -> Integers:
    """How many of the ascending ``ordered[row]`` compare so with `values`: a binary search each,
    all in step."""
    low = np.zeros(len(row), dtype=np.int64)
    high = np.full(len(row), ordered.shape[1])
    for _ in range(ordered.shape[1].bit_length()):
        middle = (low + high) // 2
        below = comparison(ordered[row, np.minimum(middle, ordered.shape[1] - 1)], values)
        below &= low < high
        low = np.where(below, middle + 1, low)
        high = np.where(below, high, middle)
    return low


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
