"""People enough to fill a large gallery: real vectors, extended by simulation.

No data set has a million pictures of people, so the gallery pictures of a real one come first, and
people drawn from what they have in common follow:

- a person is a draw from the normal distribution with the mean and the covariance of the real
  people's centres, so that directions in which real people differ little are as narrow here;
- a picture is a person and the difference of pictures from their person's centre: of two real
  pictures, chosen anew each time, added and divided by the square root of 2, which keeps the
  covariance of such differences and repeats none;
- both parts of a vector, global and local, are brought to length 1, as the network does.

Half of the queries are real query pictures, half new pictures of simulated people. `likeness` says
how near simulated people come to real ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hatcnn.evaluation import Features
from hatcnn.evaluation.features import load_features

PICTURES_EACH = 16
"""Pictures of a simulated person, on average; real people have 17 in Market-1501's gallery."""

Vectors = npt.NDArray[np.float32]


class Crowd:
    """Pictures of people, any range of which can be made again.

    Args:
        features: file of `hatcnn evaluate --features`, with queries and a gallery.
        entries: pictures in all, the real ones among them.
        seed: of everything drawn.
    """

    def __init__(self, features: Path, entries: int, seed: int) -> None:
        self.asked, self.real = load_features(features)
        self.dimension = self.real.vectors.shape[1]
        self.seed = seed
        centres, self.differences = _parts(self.real)
        self.mean = centres.mean(axis=0)
        _, sizes, directions = np.linalg.svd(centres - self.mean, full_matrices=False)
        sizes = sizes / np.sqrt(len(centres) - 1)
        random = np.random.default_rng(seed)
        drawn = random.standard_normal((max(1, entries // PICTURES_EACH), len(sizes)), np.float32)
        self.people = drawn @ (sizes[:, None] * directions).astype(np.float32) + self.mean

    def pictures(self, start: int, stop: int) -> tuple[Vectors, npt.NDArray[np.float32]]:
        """Vectors and attribute probabilities of entries, the real ones first."""
        end = min(stop, len(self.real))
        real = slice(start, end) if start < end else slice(0)
        made = self.simulated(stop - max(start, end), start)
        random = np.random.default_rng([self.seed, start, 2])
        chances = self.real.attribute_probabilities
        assert chances is not None
        others = chances[random.integers(0, len(chances), len(made))]
        return (
            np.concatenate([self.real.vectors[real], made]),
            np.concatenate([chances[real], others]),
        )

    def queries(self, number: int) -> Vectors:
        """Half real, half simulated, in turn; none of them is an entry."""
        random = np.random.default_rng([self.seed, 3])
        real = self.asked.vectors[random.permutation(len(self.asked))[: (number + 1) // 2]]
        made = self.simulated(number // 2, -1)
        found = np.empty((number, self.dimension), np.float32)
        found[::2], found[1::2] = real, made
        return found

    def simulated(self, number: int, start: int) -> Vectors:
        random = np.random.default_rng([self.seed, start + 1, 1])
        persons = self.people[random.integers(0, len(self.people), number)]
        one, other = random.integers(0, len(self.differences), (2, number))
        return _unit(persons + (self.differences[one] + self.differences[other]) / np.sqrt(2))

    def likeness(self, pictures: int = 4000) -> dict[str, Any]:
        """Cosine similarities of real and of as many simulated pictures.

        Of a person's two pictures, of two persons' (quantiles of each), and of a picture's nearest
        among those of other persons.
        """
        random = np.random.default_rng([self.seed, 4])
        known = np.flatnonzero(self.real.pids > 0)
        some = random.permutation(known)[:pictures]
        people = random.permutation(len(self.people))[: max(1, len(some) // PICTURES_EACH)]
        pids = np.repeat(people, PICTURES_EACH)
        one, other = random.integers(0, len(self.differences), (2, len(pids)))
        made = _unit(
            self.people[pids] + (self.differences[one] + self.differences[other]) / np.sqrt(2)
        )
        return {
            "real": _similarities(_unit(self.real.vectors[some]), self.real.pids[some]),
            "simulated": _similarities(made, pids),
        }


def _parts(real: Features) -> tuple[Vectors, Vectors]:
    """Centres of the real people, and how each of their pictures differs from its own."""
    pids, row, count = np.unique(real.pids, return_inverse=True, return_counts=True)
    centres = np.zeros((len(pids), real.vectors.shape[1]), np.float32)
    np.add.at(centres, row, real.vectors)
    centres /= count[:, None]
    # Identity 0 is nobody; whoever has one picture does not differ from it.
    known = (pids > 0) & (count > 1)
    # Pictures lie nearer to a centre that they are part of.
    missing = np.sqrt(count / np.maximum(count - 1, 1))[row]
    differences = (real.vectors - centres[row]) * missing[:, None].astype(np.float32)
    return centres[known], differences[known[row]]


def _unit(vectors: Vectors) -> Vectors:
    """Both halves of length 1."""
    halves = vectors.reshape(-1, 2, vectors.shape[1] // 2)
    halves = halves / np.linalg.norm(halves, axis=2, keepdims=True)
    return np.asarray(halves.reshape(vectors.shape), np.float32)


def _similarities(vectors: Vectors, pids: npt.NDArray[Any]) -> dict[str, list[float]]:
    scores = vectors @ vectors.T / 2
    same = pids[:, None] == pids
    others = np.where(same, -1, scores).max(axis=1)
    np.fill_diagonal(same, False)
    off = ~np.eye(len(pids), dtype=bool) & (pids[:, None] != pids)
    return {
        name: [round(float(q), 3) for q in np.quantile(values, (0.05, 0.5, 0.95))]
        for name, values in (
            ("same", scores[same]),
            ("different", scores[off]),
            ("nearest_other", others),
        )
    }
