"""Pictures on their way into the gallery: checked, identified, and written in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hatcnn.gallery.locking import locked
from hatcnn.gallery.schema import (
    Floats,
    PerPicture,
    checked_attributes,
    entry_ids,
    one_each,
    rows_of,
    tag_lists,
    texts,
    times,
    unit_vectors,
)
from hatcnn.gallery.store import Snapshot, Store


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures that fit together.

    Attributes:
        vectors: (n, d) float32 of length 1.
        attributes: (n, 26) probabilities, or none.
        pictures: bytes of n picture files, where they are at hand.
        columns: n values for some of the gallery's columns.
    """

    vectors: Floats
    attributes: Floats | None
    pictures: Sequence[bytes | None]
    columns: dict[str, Sequence[Any]]

    @classmethod
    def of(
        cls,
        people: Any,
        *,
        camera: PerPicture,
        seen_at: PerPicture,
        identity: PerPicture,
        tracklet: PerPicture,
        tags: PerPicture,
        pictures: PerPicture,
        thumbnails: PerPicture,
    ) -> Batch:
        """See `Gallery.add`.

        Raises:
            GalleryError: when something does not fit.
        """
        vectors = unit_vectors(people.vectors, what="add")
        n = len(vectors)
        columns: dict[str, Sequence[Any]] = {
            "name": texts(one_each(people.names, n, "names")),
            "camera": texts(one_each(camera, n, "camera")),
            "seen_at": times(one_each(seen_at, n, "seen_at"), "seen_at"),
            "identity": texts(one_each(identity, n, "identity")),
            "tracklet": texts(one_each(tracklet, n, "tracklet")),
            "tags": tag_lists(tags, n),
            "thumbnail": one_each(thumbnails, n, "thumbnails"),
        }
        attributes = checked_attributes(getattr(people, "attributes", None), n)
        return cls(vectors, attributes, one_each(pictures, n, "pictures"), columns)

    def stored(self, snapshot: Snapshot) -> npt.NDArray[Any]:
        """Vectors as the gallery's table keeps them."""
        return self.vectors.astype(snapshot.stored)

    def ids(self, snapshot: Snapshot) -> list[str]:
        """Of the entries in the gallery."""
        return entry_ids(self.stored(snapshot), self.pictures)

    def rows(self, snapshot: Snapshot, size: int) -> Iterator[pa.Table]:
        """Rows for the gallery's table, so many at a time."""
        stored, ids = self.stored(snapshot), self.ids(snapshot)
        for at in range(0, len(ids), size):
            part = slice(at, at + size)
            yield rows_of(
                snapshot.schema,
                ids[part],
                stored[part],
                None if self.attributes is None else self.attributes[part],
                {name: values[part] for name, values in self.columns.items()},
            )


def insert(store: Store, rows: pa.Table) -> int:
    """Add the rows whose id is new, the first of several with one id; how many those are."""
    _, first = np.unique(rows["id"].to_numpy(zero_copy_only=False), return_index=True)
    if len(first) < len(rows):
        rows = rows.take(np.sort(first))

    def change(table: Any) -> int:
        done = table.merge_insert("id").when_not_matched_insert_all().execute(rows)
        return int(done.num_inserted_rows)

    with locked(store.folder, alone=False):
        return store.commit(change)
