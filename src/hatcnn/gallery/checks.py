"""What the gallery refuses before it begins."""

from __future__ import annotations

from hatcnn.errors import GalleryError
from hatcnn.gallery.store import Snapshot

LARGEST_PAGE = 10_000
"""Entries of one answer."""


def check_fits(snapshot: Snapshot, dimension: int, model: str | None, doing: str) -> None:
    """Raise `GalleryError` for vectors of another network than those inside."""
    if dimension != snapshot.dimension:
        raise GalleryError(
            f"cannot {doing} vectors of {dimension} numbers: this gallery holds vectors of "
            f"{snapshot.dimension}, of another network; use that one, or another gallery"
        )
    if model and snapshot.model and model != snapshot.model:
        raise GalleryError(
            f"cannot {doing} vectors of the model {model}: this gallery holds those of "
            f"{snapshot.model}, which are not comparable; use that model, or another gallery"
        )


def check_page(top_k: int, offset: int) -> None:
    """Raise `GalleryError` for a page that is empty, too large or before the beginning."""
    if not 1 <= top_k <= LARGEST_PAGE:
        raise GalleryError(
            f"asked for {top_k:,} entries; expected 1 to {LARGEST_PAGE:,} a page, "
            "and an offset for the pages after"
        )
    if offset < 0:
        raise GalleryError(f"the offset is {offset}; expected 0 or more")
