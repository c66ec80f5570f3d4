"""Scores that mean something: probability of the same person, and thresholds by error rate.

A score is the cosine similarity of two pictures' vectors. How high it must be depends on the
network; a `Calibration` is fitted once on pictures whose people are known and goes with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hatcnn.errors import EvaluationError
from hatcnn.evaluation.distances import distance_blocks
from hatcnn.evaluation.features import Features
from hatcnn.files import write_json

_BINS = 8000
FALSE_MATCH_RATES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
"""At which thresholds are kept, as far as there are enough pairs of different people."""
_FEWEST_FALSE_MATCHES = 10
"""A rate is measured when it stands on so many pairs at least."""


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    """How often which score occurred, for pairs of one person and of two.

    Attributes:
        edges: (bins + 1,) from -1 to 1.
        same, different: (bins,) counts of pairs.
    """

    edges: npt.NDArray[np.float64]
    same: npt.NDArray[np.int64]
    different: npt.NDArray[np.int64]

    def coarse(self, bins: int) -> ScoreHistogram:
        """The same in fewer bins, a divisor of the number there are."""
        same, different = (c.reshape(bins, -1).sum(axis=1) for c in (self.same, self.different))
        return ScoreHistogram(self.edges[:: len(self.same) // bins], same, different)

    def equal_error(self) -> float:
        """The edge at which about as large a share of the same is missed as of the different
        passes."""
        errors = [1 - true - false for false, true in (match_rates(self, e) for e in self.edges)]
        return float(self.edges[np.argmin(np.abs(errors))])


def score_histogram(query: Features, gallery: Features) -> ScoreHistogram:
    """Scores of all pairs of a query and a gallery picture by another camera.

    Pairs by one camera are left out, as in ranking: they are easier than what is asked for.

    Args:
        query, gallery: who is in the pictures, and their identity vectors. Distractors (pid 0)
            are people of their own.
    """
    edges = np.linspace(-1, 1, _BINS + 1)
    same, different = np.zeros(_BINS, np.int64), np.zeros(_BINS, np.int64)
    for rows, distances in distance_blocks(query.vectors, gallery.vectors, "cosine"):
        scores = 1 - distances
        bins = np.clip(((scores + 1) * (_BINS / 2)).astype(np.int64), 0, _BINS - 1)
        other_camera = query.camids[rows, None] != gallery.camids
        match = (query.pids[rows, None] == gallery.pids) & (gallery.pids > 0)
        same += np.bincount(bins[other_camera & match], minlength=_BINS)
        different += np.bincount(bins[other_camera & ~match], minlength=_BINS)
    return ScoreHistogram(edges, same, different)


def halves(query: Features, gallery: Features) -> tuple[tuple[Features, Features], ...]:
    """Two data sets of one, none of whose people are in both: one to fit by, one to check by.

    People go by turns to the one and to the other, in the order of their numbers; so do
    distractors, each for itself.
    """
    people = np.unique(np.concatenate((query.pids, gallery.pids)))

    def second(features: Features) -> npt.NDArray[np.bool_]:
        turns = np.searchsorted(people, features.pids) % 2
        alone = features.pids == 0
        turns[alone] = np.arange(alone.sum()) % 2
        return turns.astype(bool)

    chosen = second(query), second(gallery)
    return (
        (query.take(~chosen[0]), gallery.take(~chosen[1])),
        (query.take(chosen[0]), gallery.take(chosen[1])),
    )


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a score means for one network.

    Attributes:
        slope, intercept: logit of the probability that two pictures show one person, when that
            is as likely as not beforehand: ``slope * score + intercept``.
        false_match_rates: measured share of pairs of different people whose score reaches the
            threshold of the same place, from high to low.
        thresholds: scores, from low to high.
        true_match_rates: likewise, of pairs of the same person.
        same_pairs, different_pairs: that all of this stands on.
        data: which pictures, in words.
        fingerprint: of the weights; empty where not known.
    """

    slope: float
    intercept: float
    false_match_rates: tuple[float, ...]
    thresholds: tuple[float, ...]
    true_match_rates: tuple[float, ...]
    same_pairs: int
    different_pairs: int
    data: str
    fingerprint: str = ""

    def probability(self, scores: npt.ArrayLike, *, prior: float = 0.5) -> npt.NDArray[np.float64]:
        """Probability that two pictures show the same person.

        Args:
            scores: cosine similarities, of any shape.
            prior: how likely that is before looking, in (0, 1). One candidate out of a gallery
                that holds the person once in 1,000 pictures has a prior of 0.001.

        Raises:
            EvaluationError: for a prior outside (0, 1).
        """
        if not 0 < prior < 1:
            raise EvaluationError(f"the prior must lie between 0 and 1, not be {prior}")
        logit = self.slope * np.asarray(scores, np.float64) + self.intercept
        logit += np.log(prior / (1 - prior))
        return 1 / (1 + np.exp(-np.clip(logit, -700, 700)))

    def threshold(self, false_match_rate: float) -> float:
        """Score that so large a share of pairs of different people reaches.

        Between measured rates it is interpolated, in the rate's logarithm.

        Raises:
            EvaluationError: for a rate outside of what was measured.
        """
        high, low = self.false_match_rates[0], self.false_match_rates[-1]
        if not low <= false_match_rate <= high:
            raise EvaluationError(
                f"a false match rate of {false_match_rate:g} was not measured: ask for one from "
                f"{low:g} to {high:g} ({self.different_pairs:,} pairs of different people)"
            )
        rates = -np.log(self.false_match_rates)
        return float(np.interp(-np.log(false_match_rate), rates, self.thresholds))

    def fits(self, fingerprint: str | None) -> bool:
        """Whether it may be of the network with this fingerprint; whoever does not say fits."""
        return not (self.fingerprint and fingerprint) or self.fingerprint == fingerprint

    def save(self, path: str | Path) -> None:
        """Write as JSON, atomically."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read what `save` wrote.

        Raises:
            EvaluationError: when the file is missing or no calibration.
        """
        try:
            content: dict[str, Any] = json.loads(Path(path).read_text())
            arguments: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
            return cls(**arguments)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise EvaluationError(f"{path} is no calibration: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def calibrate(histogram: ScoreHistogram, *, data: str, fingerprint: str = "") -> Calibration:
    """Fit a calibration.

    The probability is a logistic regression on the score (Platt, 1999) in which both kinds of
    pairs weigh the same, so that it stands for a prior of one half.

    Args:
        histogram: of pictures that the network was not trained on.
        data: which pictures, in words.
        fingerprint: of the weights.

    Raises:
        EvaluationError: when there are too few pairs of either kind.
    """
    same, different = int(histogram.same.sum()), int(histogram.different.sum())
    rates = [r for r in FALSE_MATCH_RATES if r * different >= _FEWEST_FALSE_MATCHES]
    if same < _FEWEST_FALSE_MATCHES or not rates:
        raise EvaluationError(
            f"{same} pairs of the same and {different} of different people by two cameras are too "
            "few to calibrate: it takes ten and a hundred"
        )
    slope, intercept = _logistic(histogram)
    thresholds = [_threshold(histogram, rate) for rate in rates]
    found = [match_rates(histogram, t) for t in thresholds]
    return Calibration(
        slope=slope,
        intercept=intercept,
        false_match_rates=tuple(f for f, _ in found),
        thresholds=tuple(thresholds),
        true_match_rates=tuple(t for _, t in found),
        same_pairs=same,
        different_pairs=different,
        data=data,
        fingerprint=fingerprint,
    )


def match_rates(histogram: ScoreHistogram, threshold: float) -> tuple[float, float]:
    """Shares of pairs of different people, and of the same, that reach a threshold.

    Returns:
        (false match rate, true match rate), to the width of a bin.
    """
    reached = histogram.edges[:-1] >= threshold - 1e-12
    return tuple(  # type: ignore[return-value]
        float(counts[reached].sum() / max(1, counts.sum()))
        for counts in (histogram.different, histogram.same)
    )


def calibration_error(
    calibration: Calibration, histogram: ScoreHistogram, *, bins: int = 10
) -> float:
    """How far probabilities are from frequencies: expected calibration error, in [0, 1].

    Both kinds of pairs weigh the same; pairs are grouped into `bins` of equal width in
    probability, and the groups' distances between mean probability and frequency are averaged by
    their weight.
    """
    centres = (histogram.edges[:-1] + histogram.edges[1:]) / 2
    probability = calibration.probability(centres)
    same = histogram.same / max(1, histogram.same.sum()) / 2
    different = histogram.different / max(1, histogram.different.sum()) / 2
    group = np.minimum((probability * bins).astype(int), bins - 1)
    said = np.bincount(group, (same + different) * probability, bins)
    was = np.bincount(group, same, bins)
    return float(np.abs(said - was).sum())


def _threshold(histogram: ScoreHistogram, rate: float) -> float:
    """The lowest edge that at most such a share of pairs of different people reaches."""
    reached = np.cumsum(histogram.different[::-1])[::-1] / histogram.different.sum()
    allowed = np.flatnonzero(reached <= rate)
    return float(histogram.edges[allowed[0]] if len(allowed) else histogram.edges[-1])


def _logistic(histogram: ScoreHistogram) -> tuple[float, float]:
    """Slope and intercept by Newton's method, on weighted bins."""
    centres = (histogram.edges[:-1] + histogram.edges[1:]) / 2
    counts = (histogram.same, histogram.different)
    weights: Sequence[npt.NDArray[np.float64]] = [c / c.sum() for c in counts]
    design = np.stack((centres, np.ones(_BINS)), axis=1)
    # Kinds that do not overlap would have an infinite slope; a tiny penalty keeps it finite.
    penalty = np.array([1e-6, 0.0])
    solution = np.zeros(2)
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ solution, -50, 50)))
        gradient = design.T @ (weights[0] * (1 - p) - weights[1] * p) - penalty * solution
        spread = (weights[0] + weights[1]) * np.maximum(p * (1 - p), 1e-12)
        hessian = design.T @ (design * spread[:, None]) + np.diag(penalty + 1e-12)
        step = np.linalg.solve(hessian, gradient)
        # Steps are bounded, so that far from the solution none overshoots.
        solution += step * min(1.0, 20 / max(1e-9, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-9:
            break
    return float(solution[0]), float(solution[1])
