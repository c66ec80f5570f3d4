"""Distances between queries and gallery, a block of queries at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from hatcnn.errors import EvaluationError, nearest_names
from hatcnn.evaluation.features import Floats

Distance = Literal["euclidean", "cosine", "manhattan", "chebyshev"]

Blocks = Iterator[tuple[slice, Floats]]
"""(rows of the query, their distances to the whole gallery), in order of the queries."""

_BLOCK_BYTES = 16 << 20
_MIN_ROWS = 64
"""Products of fewer rows would read the gallery more often than they compute."""


def distance_blocks(query: Floats, gallery: Floats, distance: Distance = "euclidean") -> Blocks:
    """Yield distances for as many queries at a time as fit a few dozen megabytes.

    Euclidean distances are yielded squared: the ranking is the same and the root is saved.

    Args:
        query: (q, d) float32.
        gallery: (g, d) float32.
        distance: one of the four that the paper names; cosine is 1 - cosine similarity.

    Raises:
        EvaluationError: for vectors of different length, or that are not finite.
    """
    if distance not in get_args(Distance):
        raise EvaluationError(
            f"unknown distance {distance!r}{nearest_names(distance, get_args(Distance))}"
        )
    _check(query, gallery)
    if distance == "cosine":
        query, gallery = _unit(query), _unit(gallery)
    rows = max(_MIN_ROWS, _BLOCK_BYTES // (4 * max(1, len(gallery))))
    squares = np.einsum("gd,gd->g", gallery, gallery)
    for start in range(0, len(query), rows):
        block = slice(start, min(start + rows, len(query)))
        if distance in ("euclidean", "cosine"):
            part = query[block]
            distances: Floats = part @ gallery.T
            distances *= -2
            distances += squares
            distances += np.einsum("qd,qd->q", part, part)[:, None]
            if distance == "cosine":
                distances *= 0.5
            yield block, distances
        else:
            yield block, _cdist(query[block], gallery, distance)


def _cdist(query: Floats, gallery: Floats, distance: str) -> Floats:
    from scipy.spatial.distance import cdist

    metric = {"manhattan": "cityblock", "chebyshev": "chebyshev"}[distance]
    return cdist(query, gallery, metric).astype(np.float32)


def _unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _check(query: Floats, gallery: Floats) -> None:
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
        raise EvaluationError(
            f"query vectors {query.shape} and gallery vectors {gallery.shape} must be two tables "
            "with as many columns: were they made by the same network?"
        )
    for side, vectors in (("query", query), ("gallery", gallery)):
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            raise EvaluationError(
                f"{side} vector {bad[0]} is not finite ({len(bad)} of {len(vectors)} are not)"
            )
