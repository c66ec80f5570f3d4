"""A map of the gallery: a sample of it in the plane, made once for each version."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from hatcnn.gallery import Entry, Gallery
from hatcnn.server.batching import Floats
from hatcnn.visualize.arranging import FEWEST_TO_ARRANGE, Method, arrange

ITERATIONS = 500
"""Of t-SNE: enough for groups to part, and half the time of its usual number."""


@dataclass(frozen=True, eq=False)
class Map:
    """Where entries lie.

    Attributes:
        version: of the gallery.
        of: entries in the gallery.
        entries: n that were drawn from it.
        places: (n, 2) in [0, 1].
        method: that placed them; none where there are too few to place.
    """

    version: int
    of: int
    entries: tuple[Entry, ...]
    places: Floats
    method: Method | None

    @property
    def note(self) -> str | None:
        """What to know about it."""
        if self.method is None:
            return f"A map takes at least {FEWEST_TO_ARRANGE} entries."
        if self.method == "PCA":
            return (
                "Drawn by principal components, as scikit-learn is not installed. Groups part "
                'better by t-SNE: pip install "hatcnn[pictures]" where the server runs.'
            )
        return None


class Mapper:
    """Draws the map of a gallery and keeps the newest.

    Args:
        gallery: to draw.
        most: entries of a map.
    """

    def __init__(self, gallery: Gallery, most: int) -> None:
        self._gallery, self._most = gallery, most
        self._kept: Map | None = None
        self._lock = threading.Lock()

    def kept(self) -> Map | None:
        """The map of the gallery as it is now, where it has been drawn."""
        found = self._kept
        return found if found is not None and found.version == self._gallery.version else None

    def __call__(self) -> Map:
        """The map of the gallery as it is now. Takes seconds where it has not been drawn."""
        with self._lock:
            found = self.kept()
            if found is None:
                found = self._draw()
                # Who was forgotten meanwhile is not kept here either.
                self._kept = found if found.version == self._gallery.version else None
        return found

    def drop(self) -> None:
        """Keep nothing of a gallery that has changed."""
        self._kept = None

    def _draw(self) -> Map:
        sample = self._gallery.sample(self._most)
        if len(sample.entries) < FEWEST_TO_ARRANGE:
            empty = np.empty((0, 2), np.float32)
            return Map(sample.version, sample.of, (), empty, None)
        # One thread: whoever searches meanwhile is not to wait for the other cores.
        places, method = arrange(sample.vectors, iterations=ITERATIONS, threads=1)
        low, high = places.min(axis=0), places.max(axis=0)
        places = (places - low) / np.maximum(high - low, 1e-9)
        return Map(sample.version, sample.of, sample.entries, places, method)
