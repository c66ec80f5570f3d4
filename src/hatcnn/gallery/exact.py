"""Exact search: every entry compared, block by block, in float32."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hatcnn.gallery.schema import Floats

Numbers: TypeAlias = npt.NDArray[np.int64]
Block: TypeAlias = tuple[Numbers, Floats]
"""Row numbers (n) and their vectors (n, d) of length 1."""

BLOCK = 8192
"""Rows that are compared at a time."""


def unit(vectors: npt.NDArray[Any]) -> Floats:
    """(n, d) as float32 of length 1, which what was rounded to float16 no longer is exactly."""
    numbers = vectors.astype(np.float32)
    numbers /= np.sqrt(np.einsum("nd,nd->n", numbers, numbers))[:, None]
    return numbers


def scored(blocks: Iterable[Block], query: Floats) -> Iterator[tuple[Numbers, Floats]]:
    """Row numbers and cosine similarities in [-1, 1] of every block.

    Args:
        blocks: of vectors.
        query: (d) float32 of length 1.
    """
    for rows, vectors in blocks:
        yield rows, np.clip(vectors @ query, -1, 1)


def best(parts: Iterable[tuple[Numbers, Floats]], k: int) -> tuple[Numbers, Floats]:
    """The k highest scores, best first, ties by row number.

    Never holds more than a block and twice k.
    """
    rows, scores = np.empty(0, np.int64), np.empty(0, np.float32)
    for more_rows, more_scores in parts:
        if len(rows) == k and k:
            # Rows come in any order, so a tie with the worst may still belong inside.
            promising = more_scores >= scores[-1]
            more_rows, more_scores = more_rows[promising], more_scores[promising]
        rows = np.concatenate([rows, more_rows])
        scores = np.concatenate([scores, more_scores])
        if len(rows) > k > 0:
            kept = scores >= np.partition(scores, -k)[-k]
            rows, scores = rows[kept], scores[kept]
        order = np.lexsort((rows, -scores))[:k]
        rows, scores = rows[order], scores[order]
    return rows, scores
