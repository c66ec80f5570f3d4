"""Average over a picture and its mirror image."""

from __future__ import annotations

import numpy as np

from hatcnn.inference.backends import Backend, Floats, Pixels


class FlipAveraged:
    """A `Backend` that sees every picture twice, as it is and mirrored.

    Args:
        backend: runs the network.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.config, self.fingerprint = backend.config, backend.fingerprint

    def __call__(self, images: Pixels) -> tuple[Floats, Floats | None]:
        """See `Backend`; logits are means too."""
        vectors, logits = self.backend(images)
        mirrored, mirrored_logits = self.backend(images[:, :, ::-1])
        # Each half has a length of its own, see `hatcnn.models.embedding`.
        halves = (vectors + mirrored).reshape(len(vectors), 1 if self.config.reduced_dim else 2, -1)
        length = np.sqrt(np.float32(2 / halves.shape[1]))
        halves *= length / np.maximum(np.linalg.norm(halves, axis=2, keepdims=True), 1e-12)
        averaged: Floats = halves.reshape(vectors.shape)
        if logits is None or mirrored_logits is None:
            return averaged, None
        return averaged, np.float32(0.5) * (logits + mirrored_logits)
