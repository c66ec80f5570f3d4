"""Attribute logits to probabilities, in NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hatcnn.attributes import BINARY, LOWER_COLOURS, UPPER_COLOURS
from hatcnn.models.config import ColourModel

Floats = npt.NDArray[np.float32]


def attribute_probabilities(logits: Floats, colours: ColourModel) -> Floats:
    """Logits (n, 26) to probabilities (n, 26) float32.

    Independent: a sigmoid each. Exclusive: the colours of a group and an implicit "other", whose
    logit is 0, share one softmax, so the probabilities of a group sum to less than 1.
    """
    if colours == "independent":
        return _sigmoid(logits)
    probabilities = np.empty(logits.shape, np.float32)
    probabilities[:, BINARY] = _sigmoid(logits[:, BINARY])
    for group in (UPPER_COLOURS, LOWER_COLOURS):
        of_group = logits[:, group]
        # The largest logit, that of "other" included, leaves no exponential above 1.
        largest = np.maximum(of_group.max(axis=1, keepdims=True), 0)
        odds = np.exp(of_group - largest)
        probabilities[:, group] = odds / (np.exp(-largest) + odds.sum(axis=1, keepdims=True))
    return probabilities


def _sigmoid(logits: Floats) -> Floats:
    # Overflows nowhere, and keeps tiny probabilities apart, by which pictures may be ranked.
    return np.exp(-np.logaddexp(0, -logits))
