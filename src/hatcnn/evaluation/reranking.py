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
        for i, row in zip(range(rows.start, rows.stop), distances, strict=True):
            shared = _shared_weight(weights, by_neighbour, i)[len(query) :]
            row *= original
            row += (1 - original) * (1 - shared / (2 - shared))
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


def _reciprocal(nearest: Integers, k: int) -> list[Integers]:
    """Of each picture, those of its k + 1 nearest that have it among their k + 1 nearest."""
    forward = nearest[:, : k + 1]
    mutual = (forward[forward] == np.arange(len(nearest))[:, None, None]).any(axis=2)
    return [row[keep] for row, keep in zip(forward, mutual, strict=True)]


def _weights(everyone: Floats, nearest: Integers, largest: Floats, k1: int) -> csr_array:
    """Weights on the expanded k-reciprocal neighbours: exp(-distance), summing to 1 a row."""
    from scipy.sparse import csr_array

    neighbours = _reciprocal(nearest, k1)
    half = _reciprocal(nearest, round(k1 / 2))
    expanded = []
    for own in neighbours:
        parts = [own]
        for candidate in own:
            theirs = half[candidate]
            # A neighbour's own neighbours join when more than two thirds are shared.
            if np.isin(theirs, own).sum() > 2 / 3 * len(theirs):
                parts.append(theirs)
        expanded.append(np.unique(np.concatenate(parts)))
    starts = np.concatenate(([0], np.cumsum([len(e) for e in expanded])))
    values = np.empty(starts[-1], dtype=np.float32)
    for i, own in enumerate(expanded):
        distance = ((everyone[own] - everyone[i]) ** 2).sum(axis=1) / largest[i]
        weight = np.exp(-distance)
        values[starts[i] : starts[i + 1]] = weight / weight.sum()
    return csr_array((values, np.concatenate(expanded), starts), shape=(len(everyone),) * 2)


def _averaged(weights: csr_array, nearest: Integers) -> csr_array:
    """Each picture's weights become the mean of its nearest pictures' weights."""
    from scipy.sparse import csr_array

    count, k2 = nearest.shape
    share = np.full(count * k2, 1 / k2, dtype=np.float32)
    mean = csr_array((share, nearest.ravel(), np.arange(0, count * k2 + 1, k2)), (count, count))
    return (mean @ weights).tocsr()


def _shared_weight(weights: csr_array, by_neighbour: csr_array, i: int) -> Floats:
    """Sum over neighbours of the smaller of picture i's and every picture's weight, (n,)."""
    mine = slice(weights.indptr[i], weights.indptr[i + 1])
    columns, values = weights.indices[mine], weights.data[mine]
    starts, stops = by_neighbour.indptr[columns], by_neighbour.indptr[columns + 1]
    lengths = stops - starts
    # Positions of all entries of those columns, without a loop over them.
    offsets = np.repeat(starts - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
    entries = np.arange(lengths.sum()) + offsets
    smaller = np.minimum(np.repeat(values, lengths), by_neighbour.data[entries])
    return np.bincount(
        by_neighbour.indices[entries], weights=smaller, minlength=weights.shape[0]
    ).astype(np.float32)
