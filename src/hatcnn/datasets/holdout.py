"""Training identities kept back, so that choices need not be made on the test set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hatcnn.datasets.records import choose_queries
from hatcnn.datasets.samples import Dataset
from hatcnn.errors import DataError

_HELD_OUT = " training identities held out"


def held_out(identities: int) -> str:
    """What the name of a data set ends with, so many of whose identities were kept back."""
    return f", {identities}{_HELD_OUT}" if identities else ""


def holds_out(name: str, identities: int) -> bool:
    """Whether a data set of this name has so many identities kept back; 0: none."""
    return name.endswith(held_out(identities)) and bool(identities) == name.endswith(_HELD_OUT)


def hold_out(dataset: Dataset, identities: int, *, seed: int = 0) -> Dataset:
    """Keep training identities back and make query and gallery of them.

    Queries are the first picture of each of their cameras, by the rule for data sets that come
    without splits; every query has a match by another camera.

    Args:
        dataset: its test pictures are not touched.
        identities: how many to keep back.
        seed: of the choice.

    Raises:
        DataError: when there are not so many, or fewer than two would be left to train on.
    """
    train = dataset.train
    people = np.unique(train.pids)
    if not 0 < identities <= len(people) - 2:
        raise DataError(
            f"cannot hold out {identities} of {len(people)} training identities: "
            f"choose between 1 and {max(0, len(people) - 2)}"
        )
    chosen = np.random.default_rng(seed).choice(people, identities, replace=False)
    held = np.flatnonzero(np.isin(train.pids, chosen))
    pictures = sorted((train.names[i], str(train.pids[i]), str(train.camids[i])) for i in held)
    queries = choose_queries(pictures)
    is_query = np.array([train.names[i] in queries for i in held], dtype=bool)
    return replace(
        dataset,
        name=dataset.name + held_out(identities),
        train=train.take(np.setdiff1d(np.arange(len(train)), held)),
        query=train.take(held[is_query]),
        gallery=train.take(held[~is_query]),
    )
