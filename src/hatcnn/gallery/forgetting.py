"""Taking entries out for good: their bytes leave the disk, not only the newest version.

LanceDB marks deleted rows and leaves their bytes in the file until it happens to rewrite it. Here
everything else is first moved out of the files that hold what is to be forgotten, step by step;
then the entries are deleted, which leaves those files empty and out of the newest version; then
every older version is removed with its files. Until the deletion the entries are visible, so
whoever is cut off finds them again and goes on. After it only the cleaning is left, which every
`forget` and `compact` does whether or not it finds anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hatcnn.gallery.indexing import drop_indices, refresh_index
from hatcnn.gallery.locking import locked
from hatcnn.gallery.sql import in_list
from hatcnn.gallery.store import Snapshot, Store

MOVED_AT_ONCE = 10_000
"""Rows of one commit, thumbnails included, which are held in memory."""
DELETED_AT_ONCE = 20_000


def purge(store: Store, ids: Sequence[str], advance: Callable[[int], None]) -> None:
    """Remove entries, and the bytes of whatever was removed before.

    Args:
        store: of the gallery.
        ids: of the entries.
        advance: is told how many of the entries are gone.
    """
    with locked(store.folder, alone=True):
        snapshot = store.snapshot()
        if snapshot is None:
            return
        if ids:
            # An index holds what its entries looked like, if coarsely.
            drop_indices(store)
            doomed = pa.array(ids, pa.string())
            for low, high in _files_with(snapshot, doomed):
                _move_others(store, low, high, doomed)
            for part in _parts(ids, DELETED_AT_ONCE):
                _delete(store, part)
                advance(len(part))
        clean(store)


def clean(store: Store) -> None:
    """Merge small files and remove every older version; the caller holds the lock alone."""
    # On an object store another machine may be writing what belongs to no version yet.
    store.optimize(keep_s=0, unreferenced=store.folder is not None)
    snapshot = store.snapshot()
    if snapshot is not None and snapshot.is_small:
        drop_indices(store)
    else:
        refresh_index(store)
    store.optimize(keep_s=0, unreferenced=store.folder is not None)


def _files_with(snapshot: Snapshot, doomed: pa.Array) -> list[tuple[int, int]]:
    """Ranges of row numbers, one for each of LanceDB's files that hold any of the entries.

    A row number is the file's number in its upper 32 bits and the row in the file below.
    """
    entries = snapshot.rows(["id"], None)
    numbers = entries.filter(pc.is_in(entries["id"], doomed))["_rowid"].to_numpy()
    files = np.unique(numbers.astype(np.int64) >> 32).tolist()
    return [(file << 32, (file + 1) << 32) for file in files]


def _move_others(store: Store, low: int, high: int, doomed: pa.Array) -> None:
    """Write the entries of a file that stay anew, in other files."""
    snapshot = store.snapshot()
    assert snapshot is not None
    entries = snapshot.rows(["id"], f"_rowid >= {low} and _rowid < {high}")
    staying = entries.filter(pc.invert(pc.is_in(entries["id"], doomed)))["_rowid"].to_pylist()
    for part in _parts(staying, MOVED_AT_ONCE):
        where = f"_rowid >= {part[0]} and _rowid <= {part[-1]}"
        rows = snapshot.rows(snapshot.schema.names, where)
        rows = rows.filter(pc.invert(pc.is_in(rows["id"], doomed))).drop_columns(["_rowid"])

        def change(table: Any, rows: pa.Table = rows) -> None:
            table.merge_insert("id").when_matched_update_all().execute(rows)

        store.commit(change)


def _delete(store: Store, ids: Sequence[str]) -> None:
    store.commit(lambda table: table.delete(in_list("id", ids)))


def _parts(values: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (values[at : at + size] for at in range(0, len(values), size))
