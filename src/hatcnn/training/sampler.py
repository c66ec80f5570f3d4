"""The order of pictures in an epoch: a pure function of the labels, the seed and the epoch.

Nothing is remembered between epochs, so a resumed run needs no sampler state, and every process
computes the same order and takes its share.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from hatcnn.errors import DataError
from hatcnn.training.recipe import Sampling

Indices = npt.NDArray[np.int64]


def epoch_batches(
    pids: npt.NDArray[np.int64], sampling: Sampling, *, seed: int, epoch: int
) -> list[Indices]:
    """Batches of one epoch.

    Free: every picture once in random order, the last incomplete batch dropped. With K pictures
    an identity: people in random order, each with K of their pictures that are drawn without
    repetition until all have been used; people with fewer than K pictures repeat some. An epoch
    has as many steps as a free one.

    Args:
        pids: (n,) identity of each picture.
        sampling: batch size and K.
        seed: of the run.
        epoch: from 0.

    Returns:
        Batches of ``batch_size`` indices; with K, the K pictures of a person are neighbours.

    Raises:
        DataError: when there are too few pictures or identities for one batch.
    """
    size, per_identity = sampling.batch_size, sampling.pictures_per_identity
    steps = len(pids) // size
    if steps == 0:
        raise DataError(
            f"{len(pids)} training pictures are fewer than one batch: "
            f"lower sampling.batch_size ({size})"
        )
    random = np.random.default_rng((seed, epoch))
    if not per_identity:
        return list(random.permutation(len(pids))[: steps * size].reshape(steps, size))
    people = size // per_identity
    identities = np.unique(pids)
    if len(identities) < people:
        raise DataError(
            f"{len(identities)} training identities are fewer than the {people} of one batch: "
            f"lower sampling.batch_size ({size})"
        )
    by_identity = [np.flatnonzero(pids == pid) for pid in identities]
    hands = [_Hand(pictures, random) for pictures in by_identity]
    order: list[int] = []
    batches = []
    for _ in range(steps):
        if len(order) < people:
            # A new round. Who still waits from the last one comes first, and again only after
            # this batch: no person is in it twice.
            round_ = random.permutation(len(hands)).tolist()
            soon = [i for i in round_ if i not in order][: people - len(order)]
            order += soon + [i for i in round_ if i not in soon]
        chosen, order = order[:people], order[people:]
        batches.append(np.concatenate([hands[i].draw(per_identity) for i in chosen]))
    return batches


class Orders:
    """`epoch_batches` of a run; while one epoch is trained, a thread draws the next one's.

    Args:
        pids, sampling, seed: see there.
    """

    def __init__(self, pids: npt.NDArray[np.int64], sampling: Sampling, *, seed: int) -> None:
        self._draw = partial(epoch_batches, pids, sampling, seed=seed)
        self._thread = ThreadPoolExecutor(1)
        self._drawn: dict[int, Future[list[Indices]]] = {}

    def __call__(self, epoch: int) -> list[Indices]:
        """Batches of an epoch, from 0."""
        wanted = self._drawn.get(epoch) or self._thread.submit(self._draw, epoch=epoch)
        self._drawn = {epoch + 1: self._thread.submit(self._draw, epoch=epoch + 1)}
        return wanted.result()


class _Hand:
    """One person's pictures, dealt without repetition until all have been used."""

    def __init__(self, pictures: Indices, random: np.random.Generator) -> None:
        self.pictures = pictures
        self.random = random
        self.left = pictures[:0]

    def draw(self, count: int) -> Indices:
        if len(self.left) < count:
            fresh = self.random.permutation(self.pictures)
            rest = fresh[~np.isin(fresh, self.left)]
            self.left = np.concatenate((self.left, rest))
            while len(self.left) < count:
                self.left = np.concatenate((self.left, self.random.permutation(self.pictures)))
        drawn, self.left = self.left[:count], self.left[count:]
        return drawn
