"""What a score means: the probability of the same person, and a threshold by error rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hatcnn.errors import GalleryError
from hatcnn.evaluation.thresholds import Calibration
from hatcnn.gallery.exact import Numbers
from hatcnn.gallery.schema import Floats
from hatcnn.gallery.store import Snapshot


@dataclass(frozen=True)
class Meaning:
    """How scores are read.

    Attributes:
        calibration: of the network whose vectors are compared; without one, scores have no
            probabilities.
        lowest: cosine similarity in [-1, 1] below which an entry is no match; none for any.
    """

    calibration: Calibration | None = None
    lowest: float | None = None

    @classmethod
    def of(cls, calibration: Calibration | None, false_match_rate: float | None) -> Meaning:
        """Turn a false match rate into the lowest score.

        Raises:
            GalleryError: for a rate without a calibration.
            EvaluationError: for a rate that the calibration has not measured.
        """
        if false_match_rate is None:
            return cls(calibration)
        if calibration is None:
            raise GalleryError(
                "a false match rate needs a calibration, which says at what score it is met: "
                "name one, or make one with 'hatcnn calibrate'"
            )
        return cls(calibration, calibration.threshold(false_match_rate))

    def check(self, snapshot: Snapshot) -> None:
        """Raise `GalleryError` when the calibration is of another network than the vectors."""
        of = self.calibration.fingerprint if self.calibration else ""
        if of and snapshot.model and of != snapshot.model:
            raise GalleryError(
                f"the calibration is of the model {of}, this gallery holds vectors of "
                f"{snapshot.model}: use that model's, or make it with 'hatcnn calibrate'"
            )

    def reached(self, rows: Numbers, scores: Floats) -> tuple[Numbers, Floats]:
        """The entries whose score is not too low."""
        if self.lowest is None:
            return rows, scores
        kept = scores >= self.lowest
        return rows[kept], scores[kept]

    def probabilities(self, scores: Floats) -> list[float | None]:
        """Of the same person, for a prior of one half; none without a calibration."""
        if self.calibration is None:
            return [None] * len(scores)
        return [float(p) for p in np.atleast_1d(self.calibration.probability(scores))]
