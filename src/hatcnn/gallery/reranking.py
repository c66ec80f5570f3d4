"""Re-ranking of the nearest entries by their k-reciprocal neighbours."""

from __future__ import annotations

import numpy as np

from hatcnn.errors import GalleryError
from hatcnn.evaluation.reranking import reranked_blocks
from hatcnn.gallery.exact import Numbers
from hatcnn.gallery.schema import Floats
from hatcnn.gallery.store import Snapshot

MOST_RERANKED = 10_000
"""Everything among the entries is compared with everything."""


def check_rerank(count: int | None) -> None:
    """Raise `GalleryError` for a number of entries that cannot be re-ranked."""
    if count is not None and not 1 <= count <= MOST_RERANKED:
        raise GalleryError(
            f"asked to re-rank {count:,} entries; expected 1 to {MOST_RERANKED:,} of the nearest"
        )


def reranked(
    snapshot: Snapshot, query: Floats, rows: Numbers, scores: Floats, count: int
) -> tuple[Numbers, Floats]:
    """Order the first `count` entries anew; those after them stay where they are.

    Neighbours are looked for among these entries and the query only (Zhong et al., CVPR 2017,
    with the constants of `hatcnn.evaluation.reranking`). Ties keep the order of the scores.

    Args:
        snapshot: that holds the entries.
        query: (d) float32 of length 1.
        rows, scores: row numbers (n) and cosine similarities (n), best first.
        count: entries to re-rank.

    Raises:
        GalleryError: when SciPy is not installed.
    """
    if min(count, len(rows)) < 2:
        return rows, scores
    try:
        ((_, distances),) = reranked_blocks(query[None], snapshot.vectors(rows[:count]))
    except ModuleNotFoundError:
        raise GalleryError("re-ranking needs scipy: pip install scipy") from None
    order = np.arange(len(rows))
    order[:count] = np.argsort(distances[0], kind="stable")
    return rows[order], scores[order]
