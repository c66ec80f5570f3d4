"""Random crowds of Market-1501's size, and plain forms of what is done with vectors. No torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hatcnn.evaluation import Features

Floats = npt.NDArray[np.float32]

QUERIES, GALLERY, IDENTITIES = 3_368, 15_913, 751
_DIMENSIONS, _CAMERAS = 1_050, 6


def crowd(queries: int, gallery: int) -> tuple[Features, Features]:
    """Query and gallery of random unit vectors, seed 0; distractors in the gallery."""
    random = np.random.default_rng(0)

    def some(count: int, lowest_pid: int) -> Features:
        vectors = random.standard_normal((count, _DIMENSIONS), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        pids = random.integers(lowest_pid, IDENTITIES, count)
        camids = random.integers(1, _CAMERAS + 1, count)
        return Features(vectors, pids, camids, np.arange(count).astype(np.str_))

    return some(queries, 1), some(gallery, 0)


def plain_ranking(query: Features, gallery: Features) -> float:
    """Mean average precision, one query after the other."""
    precisions = []
    for vector, pid, camid in zip(query.vectors, query.pids, query.camids, strict=True):
        order = np.argsort(((gallery.vectors - vector) ** 2).sum(axis=1), kind="stable")
        keep = ~((gallery.pids[order] == pid) & (gallery.camids[order] == camid))
        match = (gallery.pids[order] == pid)[keep]
        if match.any():
            found = match.cumsum()
            precisions.append((found / np.arange(1, len(match) + 1))[match].mean())
    return float(np.mean(precisions))


def plain_search(query: Features, gallery: Features, k: int) -> None:
    """The k nearest, one query after the other."""
    for vector, pid, camid in zip(query.vectors, query.pids, query.camids, strict=True):
        distances = ((gallery.vectors - vector) ** 2).sum(axis=1)
        distances[(gallery.pids == pid) & (gallery.camids == camid)] = np.inf
        np.argsort(distances)[:k]


def plain_reranking(
    query: Floats, gallery: Floats, k1: int = 20, k2: int = 6, original: float = 0.3
) -> Floats:
    """k-reciprocal re-ranking on dense matrices, one picture after the other."""
    everyone = np.concatenate((query, gallery))
    squares = (everyone**2).sum(axis=1)
    distance = squares[:, None] + squares - 2 * everyone @ everyone.T
    distance /= distance.max(axis=1, keepdims=True)
    order = np.argsort(distance, axis=1)
    weights = np.zeros_like(distance)

    def reciprocal(i: int, k: int) -> set[int]:
        return {int(j) for j in order[i, : k + 1] if i in order[j, : k + 1]}

    for i in range(len(everyone)):
        own = reciprocal(i, k1)
        expanded = set(own)
        for candidate in own:
            theirs = reciprocal(candidate, round(k1 / 2))
            if len(theirs & own) > 2 / 3 * len(theirs):
                expanded |= theirs
        members = sorted(expanded)
        weights[i, members] = np.exp(-distance[i, members])
        weights[i] /= weights[i].sum()
    weights = np.stack([weights[near[:k2]].mean(axis=0) for near in order])
    result = np.empty((len(query), len(gallery)), np.float32)
    for i in range(len(query)):
        shared = np.minimum(weights[i], weights[len(query) :]).sum(axis=1)
        jaccard = 1 - shared / (2 - shared)
        result[i] = (1 - original) * jaccard + original * distance[i, len(query) :]
    return result
