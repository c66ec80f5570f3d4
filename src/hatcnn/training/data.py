"""A data set as training sees it: packed pixels, classes from 0, labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hatcnn.datasets.pack import PackedSplit, pack
from hatcnn.datasets.samples import Dataset
from hatcnn.errors import DataError
from hatcnn.models.build import ModelConfig


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What the trainer needs of a data set.

    Attributes:
        train: packed training pictures.
        classes: (n,) int64 classes of the training identities, from 0.
        attributes: (n, 26) int8 labels.
        num_identities: how many classes.
        query, gallery: packed, or none where there is nothing to evaluate on.
        fingerprint: of the training pictures and who they show.
    """

    train: PackedSplit
    classes: Tensor
    attributes: Tensor
    num_identities: int
    query: PackedSplit | None
    gallery: PackedSplit | None
    fingerprint: str


def load_training_data(dataset: Dataset, model: ModelConfig) -> TrainingData:
    """Pack a data set's splits at the network's input size.

    Raises:
        DataError: when there are fewer than two training identities.
    """
    train, query, gallery = (
        pack(dataset.store, split, model.height, model.width) if len(split) else None
        for split in (dataset.train, dataset.query, dataset.gallery)
    )
    if train is None or len(np.unique(train.split.pids)) < 2:
        raise DataError(f"{dataset.name} has fewer than two training identities")
    identities, classes = np.unique(train.split.pids, return_inverse=True)
    digest = hashlib.sha256(train.path.stem.encode())
    digest.update(train.split.pids.tobytes() + train.split.attributes.tobytes())
    return TrainingData(
        train=train,
        classes=torch.from_numpy(classes),
        attributes=torch.from_numpy(train.split.attributes),
        num_identities=len(identities),
        query=query,
        gallery=gallery,
        fingerprint=digest.hexdigest()[:16],
    )
