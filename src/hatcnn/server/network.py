"""The embedder's network, given pixels instead of files."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from hatcnn.images import Pixels
from hatcnn.inference.probabilities import attribute_probabilities
from hatcnn.server.batching import Floats


class Network:
    """What a batch is run by.

    Args:
        embedder: a `hatcnn.Embedder`.
    """

    def __init__(self, embedder: Any) -> None:
        self.backend = embedder.backend
        self.config = self.backend.config
        self.dimension: int = self.config.vector_dim
        self.has_attributes: bool = self.config.attributes != "none"
        self.fingerprint: str | None = getattr(self.backend, "fingerprint", None) or None

    def __call__(self, pixels: Pixels) -> tuple[Floats, Floats | None]:
        """(n, H, W, 3) of the network's size to unit vectors (n, d) and probabilities (n, 26)."""
        vectors, logits = self.backend(pixels)
        # Both halves have length 1.
        unit = np.asarray(vectors / np.float32(np.sqrt(2)), np.float32)
        if logits is None or not self.has_attributes:
            return unit, None
        return unit, attribute_probabilities(logits, self.config.colours)

    def warm_up(self, batch: int) -> float:
        """Run twice, for the first time takes longer than ever after; seconds a picture."""
        pixels = np.zeros((batch, self.config.height, self.config.width, 3), np.uint8)
        self(pixels)
        began = time.perf_counter()
        self(pixels)
        return (time.perf_counter() - began) / batch
