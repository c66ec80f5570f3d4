"""What the network says of pictures: vectors, attributes, names; in memory and on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsIndex
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from hatcnn.errors import DataError
from hatcnn.files import atomic_path

Rows = SupportsIndex | slice | list[int] | npt.NDArray[np.integer] | npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What an `Embedder` says of pictures, in their order.

    ``people[0]``, ``people[2:5]``, ``people[[3, 1]]`` and ``people[mask]`` are embeddings of those
    pictures, the first of one picture; iterating gives one picture at a time.

    Attributes:
        vectors: (n, d) float32 of length 1: the inner product of two is their similarity.
        attributes: (n, 26) float32 probabilities in `hatcnn.attributes`' order; none where there
            are none to say.
        names: of the pictures, n of them.
        skipped: (name, reason) of the pictures that could not be read; a selection has none.
        flags: for each picture what is wrong with it, see `hatcnn.inference.quality`; none where
            nobody asked.
        fingerprint: of the model. Vectors of different models must not be compared.
    """

    vectors: npt.NDArray[np.float32]
    attributes: npt.NDArray[np.float32] | None
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    flags: tuple[tuple[str, ...], ...] | None = None
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Embeddings]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, rows: Rows) -> Embeddings:
        # Fancy indices as they are; a single one, negative ones too, through the list of rows.
        chosen = np.atleast_1d(np.arange(len(self))[rows])
        return Embeddings(
            vectors=self.vectors[chosen],
            attributes=None if self.attributes is None else self.attributes[chosen],
            names=tuple(self.names[i] for i in chosen),
            flags=None if self.flags is None else tuple(self.flags[i] for i in chosen),
            fingerprint=self.fingerprint,
        )

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` file.

        It holds ``vectors``, ``names``, ``fingerprint``, ``skipped`` (k, 2) and, where there are,
        ``attributes`` and ``flags``, those of a picture joined by commas.
        """
        arrays = {
            "vectors": self.vectors,
            "names": np.array(self.names, dtype=np.str_),
            "fingerprint": np.array(self.fingerprint),
            "skipped": np.array(self.skipped, dtype=np.str_).reshape(-1, 2),
        }
        if self.attributes is not None:
            arrays["attributes"] = self.attributes
        if self.flags is not None:
            arrays["flags"] = np.array([",".join(f) for f in self.flags], dtype=np.str_)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | Path) -> Embeddings:
        """Read what `save` wrote.

        Raises:
            DataError: when it is missing, or no such file.
        """
        try:
            with np.load(path, allow_pickle=False) as saved:
                arrays = dict(saved)
            embeddings = cls(
                vectors=arrays["vectors"],
                attributes=arrays.get("attributes"),
                names=tuple(arrays["names"].tolist()),
                flags=_flags(arrays.get("flags")),
                skipped=tuple((str(n), str(r)) for n, r in arrays.get("skipped", ())),
                fingerprint=str(arrays.get("fingerprint", "")),
            )
        except FileNotFoundError:
            raise DataError(f"no embeddings at {path}: write them with 'hatcnn embed'") from None
        except (OSError, ValueError, KeyError, TypeError, BadZipFile, EOFError) as error:
            raise DataError(f"{path} holds no embeddings ({error}): run 'hatcnn embed'") from None
        rows = {len(a) for a in (embeddings.vectors, embeddings.attributes, embeddings.flags)
                if a is not None}  # fmt: skip
        if embeddings.vectors.ndim != 2 or rows != {len(embeddings)}:
            raise DataError(f"{path} holds arrays that do not fit together: run 'hatcnn embed'")
        return embeddings


def _flags(joined: npt.NDArray[np.str_] | None) -> tuple[tuple[str, ...], ...] | None:
    if joined is None:
        return None
    return tuple(tuple(flags.split(",")) if flags else () for flags in joined.tolist())
