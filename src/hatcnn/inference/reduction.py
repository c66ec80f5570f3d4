"""Shorter vectors for almost the same inner products."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hatcnn.errors import ConfigError

Floats = npt.NDArray[np.float32]


def fit_reduction(vectors: Floats, dim: int) -> tuple[Floats, float]:
    """The projection to fewer numbers that keeps most of the vectors' length.

    Principal components without centring: what is ranked by is inner products, and no other
    projection to `dim` numbers keeps them as well (Eckart and Young, 1936).

    Args:
        vectors: (n, d), of pictures like those that will be embedded.
        dim: numbers wanted, fewer than d and at most n.

    Returns:
        (dim, d) orthonormal rows, the most telling first, and the share in [0, 1] of the squared
        length that they keep.

    Raises:
        ConfigError: when there are too few pictures or numbers for that.
    """
    count, length = vectors.shape
    if not 0 < dim < length:
        raise ConfigError(f"vectors of {length} numbers can be reduced to 1 to {length - 1}")
    if dim > count:
        raise ConfigError(f"{dim} numbers take at least {dim} training pictures, not {count}")
    exact = vectors.astype(np.float64)
    weights, directions = np.linalg.eigh(exact.T @ exact)
    kept = directions[:, ::-1][:, :dim].T
    return kept.astype(np.float32), float(weights[::-1][:dim].sum() / weights.sum())
