"""Who is in which picture: `Sample`, `Split`, `Dataset`, and where the bytes come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hatcnn.attributes import NUM_ATTRIBUTES, UNKNOWN

DISTRACTOR = 0
"""The pid of gallery pictures that show none of the queried people. Real identities are >= 1."""


class Store(Protocol):
    """Where the encoded bytes of a data set's pictures come from: a folder, a zip, a renderer."""

    def read(self, name: str) -> bytes:
        """Return the encoded picture (JPEG, PNG, …); raise `DataError` if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture of one person.

    Attributes:
        name: the picture's name in the data set's store, unique within the data set.
        pid: identity, >= 1, or `DISTRACTOR`.
        camid: camera number, >= 0.
        attributes: 26 labels, each 0, 1 or `UNKNOWN`.
    """

    name: str
    pid: int
    camid: int
    attributes: tuple[int, ...] = (UNKNOWN,) * NUM_ATTRIBUTES


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures that are used together: train, query or gallery. Arrays, one entry a picture.

    Attributes:
        names: (n,) picture names in the store.
        pids: (n,) int64 identities, >= 1, or `DISTRACTOR`.
        camids: (n,) int64 cameras, >= 0.
        attributes: (n, 26) int8 labels: 0, 1 or `UNKNOWN`.
    """

    names: tuple[str, ...]
    pids: npt.NDArray[np.int64]
    camids: npt.NDArray[np.int64]
    attributes: npt.NDArray[np.int8]

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Split:
        """Collect samples, in the order given; none gives an empty split."""
        return cls(
            names=tuple(s.name for s in samples),
            pids=np.array([s.pid for s in samples], dtype=np.int64),
            camids=np.array([s.camid for s in samples], dtype=np.int64),
            attributes=np.array([s.attributes for s in samples], dtype=np.int8).reshape(
                len(samples), NUM_ATTRIBUTES
            ),
        )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        return Sample(
            self.names[index],
            int(self.pids[index]),
            int(self.camids[index]),
            tuple(self.attributes[index].tolist()),
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def take(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Split:
        """The split that holds the pictures at `indices`, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Split(
            tuple(self.names[i] for i in chosen),
            self.pids[chosen],
            self.camids[chosen],
            self.attributes[chosen],
        )

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """(n,) whether at least one attribute of the picture is known."""
        return (self.attributes != UNKNOWN).any(axis=1)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: three splits over one store.

    Attributes:
        name: for people, e.g. ``"Market-1501"``.
        store: where the bytes of each picture come from.
        train, query, gallery: the splits. Query pictures are not in the gallery.
        identity_names: the owner's name of each pid, where it was no number.
        left_out: what was left out on purpose, and how many: ``{"junk": 3819}``.
    """

    name: str
    store: Store
    train: Split
    query: Split
    gallery: Split
    identity_names: dict[int, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def splits(self) -> dict[str, Split]:
        """The three splits by name, in the order train, query, gallery."""
        return {"train": self.train, "query": self.query, "gallery": self.gallery}
