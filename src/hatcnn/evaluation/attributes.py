"""How well attributes are predicted, with the line that guessing reaches beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hatcnn.attributes import NAMES, UNKNOWN
from hatcnn.evaluation.features import Floats


@dataclass(frozen=True)
class AttributeScore:
    """One attribute. Scores are shares in [0, 1]; none where the labels do not define them.

    Attributes:
        name: of the attribute.
        positives, negatives: labelled pictures.
        accuracy: at a threshold of 0.5; undefined without labelled pictures.
        majority: accuracy of always guessing the commoner label of these pictures.
        balanced_accuracy: mean of the true positive and the true negative rate (mA); undefined
            without positives or without negatives.
        f1: of the positive label; undefined without positives.
        average_precision: of the ranking by probability; undefined without positives or without
            negatives.
    """

    name: str
    positives: int
    negatives: int
    accuracy: float | None
    majority: float | None
    balanced_accuracy: float | None
    f1: float | None
    average_precision: float | None


@dataclass(frozen=True)
class AttributeScores:
    """All attributes; means are over those for which a score is defined.

    Attributes:
        attributes: in the order of `hatcnn.attributes`.
    """

    attributes: tuple[AttributeScore, ...]

    def mean(self, score: str) -> tuple[float | None, int]:
        """Mean of a score by its field name, and over how many attributes it was taken."""
        values = [v for a in self.attributes if (v := getattr(a, score)) is not None]
        return (float(np.mean(values)) if values else None), len(values)

    def to_json(self) -> dict[str, Any]:
        """Means with their counts, and every attribute."""
        scores = ("accuracy", "majority", "balanced_accuracy", "f1", "average_precision")
        means = {}
        for score in scores:
            value, count = self.mean(score)
            means[score] = {"mean": value, "defined_for": count}
        return {"means": means, "attributes": [asdict(a) for a in self.attributes]}


def score_attributes(probabilities: Floats, labels: npt.NDArray[np.int8]) -> AttributeScores:
    """Score predictions against labels.

    Args:
        probabilities: (n, 26) in [0, 1].
        labels: (n, 26): 0, 1 or `UNKNOWN`, which takes no part.
    """
    return AttributeScores(
        tuple(
            _score(name, probabilities[known, i], labels[known, i] == 1)
            for i, name in enumerate(NAMES)
            for known in (labels[:, i] != UNKNOWN,)
        )
    )


def _score(name: str, probability: Floats, truth: npt.NDArray[np.bool_]) -> AttributeScore:
    positives, negatives = int(truth.sum()), int((~truth).sum())
    said = probability > 0.5
    hits = int((said & truth).sum())
    rejections = int((~said & ~truth).sum())
    total = positives + negatives
    both = positives > 0 and negatives > 0
    return AttributeScore(
        name=name,
        positives=positives,
        negatives=negatives,
        accuracy=(hits + rejections) / total if total else None,
        majority=max(positives, negatives) / total if total else None,
        balanced_accuracy=(hits / positives + rejections / negatives) / 2 if both else None,
        f1=2 * hits / (positives + int(said.sum())) if positives else None,
        average_precision=_average_precision(probability, truth) if both else None,
    )


def _average_precision(probability: Floats, truth: npt.NDArray[np.bool_]) -> float:
    """Precision at each threshold, weighted by the recall gained there; ties share a threshold."""
    order = np.argsort(-probability, kind="stable")
    ordered, found = probability[order], np.cumsum(truth[order])
    last_of_tie = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    precision = found[last_of_tie] / (last_of_tie + 1)
    gained = np.diff(found[last_of_tie], prepend=0)
    return float((precision * gained).sum() / truth.sum())
