"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), sparse.

Pictures that are among each other's nearest are likely the same person. Each picture is described
by weights on its k-reciprocal neighbours (section 3.3 of that paper), and pictures are compared by
the Jaccard distance of those weights, mixed with the original distance. As in the authors'
implementation, queries and gallery are one set, distances are squared Euclidean, divided by the
largest of their row, and a picture counts among its own neighbours.

Nothing of size all x all is kept: distances come in blocks, neighbours and weights are sparse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hatcnn.evaluation.distances import Blocks, distance_blocks
from hatcnn.evaluation.features import Floats, Integers

if TYPE_CHECKING:
    from scipy.sparse import csr_array


_QUERIES_AT_ONCE = 32
_PICTURES_AT_ONCE = 4096


def reranked_blocks(
    query: Floats, gallery: Floats, *, k1: int = 20, k2: int = 6, original: float = 0.3
) -> Blocks:
    """Yield re-ranked distances of blocks of queries to the whole gallery, in [0, 1].

    Args:
        query: (q, d) float32.
        gallery: (g, d) float32.
        k1: neighbours that may be reciprocal.
        k2: neighbours whose weights are averaged (local query expansion); 1 averages none.
        original: share of the original distance in the result (lambda).
    """
    everyone = np.concatenate((query, gallery))
    k1, k2 = min(k1, len(everyone) - 1), min(k2, len(everyone))
    nearest, largest = _nearest(everyone, max(k1 + 1, k2))
    weights = _weights(everyone, nearest, largest, k1)
    if k2 > 1:
        weights = _averaged(weights, nearest[:, :k2])
    by_neighbour = weights.tocsc()
    for rows, distances in distance_blocks(query, gallery):
        np.maximum(distances, 0, out=distances)
        distances /= largest[rows, None]
        for start in range(rows.start, rows.stop, _QUERIES_AT_ONCE):
            some = slice(start, min(start + _QUERIES_AT_ONCE, rows.stop))
            shared = _shared_weight(weights, by_neighbour, some)[:, len(query) :]
            part = distances[some.start - rows.start : some.stop - rows.start]
            part *= original
            part += (1 - original) * (1 - shared / (2 - shared))
        yield rows, distances


def _nearest(everyone: Floats, count: int) -> tuple[Integers, Floats]:
    """Each picture's nearest, itself among them, (n, count); and its largest distance, (n,)."""
    nearest = np.empty((len(everyone), count), dtype=np.int64)
    largest = np.empty(len(everyone), dtype=np.float32)
    for rows, distances in distance_blocks(everyone, everyone):
        largest[rows] = np.maximum(distances.max(axis=1), 1e-12)
        part = np.argpartition(distances, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distances, part, axis=1), axis=1, kind="stable")
        nearest[rows] = np.take_along_axis(part, order, axis=1)
    return nearest, largest


def _reciprocal(nearest: Integers, k: int) -> csr_array:
    """(n, n) with a 1 where each of two is among the other's k + 1 nearest."""
    from scipy.sparse import csr_array

    forward = nearest[:, : k + 1]
    mutual = np.empty(forward.shape, dtype=bool)
    for start in range(0, len(forward), _PICTURES_AT_ONCE):
        some = slice(start, start + _PICTURES_AT_ONCE)
        itself = np.arange(len(forward))[some, None, None]
        mutual[some] = (forward[forward[some]] == itself).any(axis=2)
    starts = np.concatenate(([0], np.cumsum(mutual.sum(axis=1))))
    ones = np.ones(starts[-1], dtype=np.float32)
    return csr_array((ones, forward[mutual], starts), shape=(len(nearest),) * 2)


def _weights(everyone: Floats, nearest: Integers, largest: Floats, k1: int) -> csr_array:
    """Weights on the expanded k-reciprocal neighbours: exp(-distance), summing to 1 a row."""
    from scipy.sparse import csr_array

    own = _reciprocal(nearest, k1)
    half = _reciprocal(nearest, round(k1 / 2))
    # A neighbour's own neighbours join when more than two thirds are shared.
    joining = (own @ half.T).multiply(own).tocoo()
    enough = joining.data > 2 / 3 * half.sum(axis=1)[joining.col]
    ones = np.ones(enough.sum(), dtype=np.float32)
    joining = csr_array((ones, (joining.row[enough], joining.col[enough])), shape=own.shape)
    expanded = (own + joining @ half).tocsr()
    expanded.sort_indices()
    row = np.repeat(np.arange(len(everyone)), np.diff(expanded.indptr))
    values = expanded.data
    for start in range(0, len(row), _PICTURES_AT_ONCE):
        some = slice(start, start + _PICTURES_AT_ONCE)
        apart = everyone[expanded.indices[some]] - everyone[row[some]]
        values[some] = np.exp(-np.einsum("pd,pd->p", apart, apart) / largest[row[some]])
    # Of many equal pictures some are not among their own nearest, and have no neighbours at all.
    totals = np.bincount(row, values, minlength=len(everyone)).astype(np.float32)
    values /= totals[row]
    return expanded


def _averaged(weights: csr_array, nearest: Integers) -> csr_array:
    """Each picture's weights become the mean of its nearest pictures' weights."""
    from scipy.sparse import csr_array

    count, k2 = nearest.shape
    share = np.full(count * k2, 1 / k2, dtype=np.float32)
    mean = csr_array((share, nearest.ravel(), np.arange(0, count * k2 + 1, k2)), (count, count))
    return (mean @ weights).tocsr()


def _shared_weight(weights: csr_array, by_neighbour: csr_array, rows: slice) -> Floats:
    """Sum over neighbours of the smaller of two pictures' weights, (rows, n)."""
    mine = weights[rows]
    picture = np.repeat(np.arange(mine.shape[0]), np.diff(mine.indptr))
    starts, stops = by_neighbour.indptr[mine.indices], by_neighbour.indptr[mine.indices + 1]
    lengths = stops - starts
    # Positions of all entries of those columns, without a loop over them.
    offsets = np.repeat(starts - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
    entries = np.arange(lengths.sum()) + offsets
    smaller = np.minimum(np.repeat(mine.data, lengths), by_neighbour.data[entries])
    pairs = np.repeat(picture * weights.shape[0], lengths) + by_neighbour.indices[entries]
    sums = np.bincount(pairs, weights=smaller, minlength=mine.shape[0] * weights.shape[0])
    return sums.astype(np.float32).reshape(mine.shape[0], -1)
