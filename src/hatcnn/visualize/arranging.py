"""Places in the plane for vectors, so that alike ones lie together; without matplotlib."""

from __future__ import annotations

import importlib.util
from contextlib import nullcontext
from typing import Literal

import numpy as np
import numpy.typing as npt

Method = Literal["t-SNE", "PCA"]
FEWEST_TO_ARRANGE = 8
"""Vectors below which there is nothing to arrange."""


def arrange(
    vectors: npt.NDArray[np.float32],
    *,
    seed: int = 0,
    iterations: int = 1000,
    threads: int | None = None,
) -> tuple[npt.NDArray[np.float32], Method]:
    """Places by t-SNE or, where scikit-learn is not installed or all vectors are one, by principal
    components.

    Args:
        vectors: (n, d); at least `FEWEST_TO_ARRANGE`.
        seed: of the arrangement.
        iterations: of t-SNE, at least 250.
        threads: that it may use; all cores unless said.

    Returns:
        Places (n, 2), and how they were found.
    """
    # t-SNE of equal vectors divides zero by zero, and scikit-learn's ends the process over it.
    if importlib.util.find_spec("sklearn") is None or not np.ptp(vectors, axis=0).any():
        return principal_components(vectors), "PCA"
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    method = TSNE(
        perplexity=perplexity, init="pca", random_state=seed, max_iter=iterations, n_jobs=threads
    )
    with nullcontext() if threads is None else threadpool_limits(threads):
        return np.asarray(method.fit_transform(vectors), np.float32), "t-SNE"


def principal_components(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(n, 2) of (n, d): where vectors lie along the two directions in which they differ most."""
    centred = vectors - vectors.mean(axis=0)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    places = left[:, :2] * lengths[:2]
    # The decomposition leaves signs open; equal input is to give equal places.
    largest = np.abs(places).argmax(axis=0)
    return np.asarray(places * np.where(places[largest, [0, 1]] < 0, -1, 1), np.float32)
