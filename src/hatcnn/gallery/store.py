"""The gallery's table on LanceDB: opening, one version to read from, commits, what went wrong."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hatcnn.errors import GalleryError
from hatcnn.gallery.audit import AUDIT_FILE
from hatcnn.gallery.exact import Block, Numbers, unit
from hatcnn.gallery.schema import FORMAT, Floats

TABLE = "people"
VECTOR_INDEX = "vector_idx"
EXACT_BYTES = 128 * 2**20
"""Vectors as float32 up to this size are kept in memory: 32,768 of 1,024 numbers."""
IDS_IN_MEMORY = 1_000_000
"""Entries up to which ids are kept in memory once one has been looked for."""
ATTEMPTS = 20
"""How often a commit that met another is tried."""

_T = TypeVar("_T")


class Snapshot:
    """One version of the table, which does not change while it is read.

    Args:
        table: LanceDB's, at that version.
    """

    def __init__(self, table: Any) -> None:
        self.table = table
        self.version: int = table.version
        self.schema: pa.Schema = table.schema
        vector = self.schema.field("vector").type
        self.dimension: int = vector.list_size
        self.stored = np.dtype(vector.value_type.to_pandas_dtype())
        metadata = self.schema.metadata or {}
        self.model: str | None = metadata.get(b"hatcnn.model", b"").decode() or None
        self.format = metadata.get(b"hatcnn.format", b"").decode()

    @cached_property
    def count(self) -> int:
        """Entries."""
        return int(self.table.count_rows())

    @cached_property
    def has_index(self) -> bool:
        """Whether there is an index of the vectors, however far it lags."""
        return self.table.index_stats(VECTOR_INDEX) is not None

    @cached_property
    def in_memory(self) -> tuple[Numbers, Floats]:
        """Row numbers, in order, and all vectors (n, d) float32; for small galleries."""
        blocks = list(self.stream(None))
        if not blocks:
            return np.empty(0, np.int64), np.empty((0, self.dimension), np.float32)
        rows = np.concatenate([b[0] for b in blocks])
        order = np.argsort(rows)
        return rows[order], np.concatenate([b[1] for b in blocks])[order]

    @cached_property
    def ids(self) -> tuple[npt.NDArray[np.bytes_], Numbers]:
        """Whole ids in order, and the row number of each; see `ids_fit_in_memory`."""
        found = self._scan(["id"], None).to_arrow()
        ids = np.array(found["id"].to_pylist(), "S32")
        order = np.argsort(ids)
        return ids[order], found["_rowid"].to_numpy().astype(np.int64)[order]

    @property
    def ids_fit_in_memory(self) -> bool:
        """Whether ids are looked up in memory, which takes 40 bytes an entry, not on disk."""
        return self.count <= IDS_IN_MEMORY

    @property
    def is_small(self) -> bool:
        """Whether all vectors are kept in memory."""
        return self.count * self.dimension * 4 <= EXACT_BYTES

    def stream(self, where: str | None) -> Iterator[Block]:
        """Row numbers and vectors of the entries that pass, from disk."""
        query = self._scan(["vector"], where)
        for batch in query.to_batches():
            vectors = batch["vector"].flatten().to_numpy().reshape(-1, self.dimension)
            yield batch["_rowid"].to_numpy().astype(np.int64), unit(vectors)

    def rows(self, columns: list[str], where: str | None) -> pa.Table:
        """Columns of the entries that pass, and ``_rowid``, ordered by it."""
        found = self._scan(columns, where).to_arrow()
        return found.sort_by("_rowid")

    def take(self, rows: Numbers, columns: list[str]) -> list[dict[str, Any]]:
        """Columns of the entries with these row numbers, in this order."""
        if not len(rows):
            return []
        query = self.table.take_row_ids(rows.tolist()).select(columns).with_row_id()
        found = {row.pop("_rowid"): row for row in query.to_arrow().to_pylist()}
        return [found[row] for row in rows.tolist()]

    def vectors(self, rows: Numbers) -> Floats:
        """Vectors (n, d) float32 of length 1 of the entries with these row numbers, in order."""
        if self.is_small:
            numbers, vectors = self.in_memory
            return vectors[np.searchsorted(numbers, rows)]
        query = self.table.take_row_ids(rows.tolist()).select(["vector"]).with_row_id()
        found = query.to_arrow()
        numbers = found["_rowid"].to_numpy().astype(np.int64)
        vectors = found["vector"].combine_chunks().flatten().to_numpy()
        order = np.argsort(numbers)
        place = order[np.searchsorted(numbers, rows, sorter=order)]
        return unit(vectors.reshape(-1, self.dimension)[place])

    def _scan(self, columns: list[str], where: str | None) -> Any:
        query = self.table.search().select(columns).with_row_id(True).limit(None)
        return query.where(where) if where else query


class Store:
    """A folder or object store with a table in it, or where one will be.

    Args:
        uri: folder, or an object store's address such as ``s3://bucket/town``.
        storage_options: of the object store, as LanceDB takes them.
    """

    def __init__(self, uri: str | Path, storage_options: dict[str, str] | None) -> None:
        self.uri = str(uri)
        self.folder = None if "://" in self.uri else Path(uri)
        self.storage_options = storage_options
        # It takes a second to import, which 'hatcnn gallery --help' need not wait for.
        import lancedb

        with self.translated("open"):
            self.connection = lancedb.connect(self.uri, storage_options=storage_options)
        self._snapshot: Snapshot | None = None

    def snapshot(self) -> Snapshot | None:
        """The newest version; none before the first entry.

        Raises:
            GalleryError: when the table is damaged or was written by a newer hatcnn.
        """
        with self.translated("open"):
            try:
                table = self.connection.open_table(TABLE)
            except (FileNotFoundError, ValueError) as error:
                if "not found" not in str(error):
                    raise
                return None
            found = self._snapshot
            if found is None or found.version != table.version:
                self._snapshot = found = Snapshot(table)
        if found.format != FORMAT:
            raise GalleryError(
                f"{self.uri} is no gallery that this hatcnn reads (its format is "
                f"{found.format or 'not named'!r}, expected {FORMAT!r})"
            )
        return found

    def create(self, schema: pa.Schema) -> Snapshot:
        """Make the table unless another process just has."""
        with self.translated("make"):
            try:
                self.connection.create_table(TABLE, schema=schema)
            except ValueError as error:
                if "already exists" not in str(error):
                    raise
        found = self.snapshot()
        assert found is not None
        return found

    def commit(self, change: Callable[[Any], _T]) -> _T:
        """Apply a change to the newest version, again when another process was quicker.

        Raises:
            GalleryError: when it cannot be written.
        """
        with self.translated("write"):
            for attempt in range(ATTEMPTS):
                try:
                    return change(self.connection.open_table(TABLE))
                except (RuntimeError, OSError, ValueError) as error:
                    if not _is_conflict(error) or attempt == ATTEMPTS - 1:
                        raise
                    time.sleep(random.uniform(0, 0.05 * 2 ** min(attempt, 5)))
        raise AssertionError("unreachable")

    def optimize(self, *, keep_s: float, unreferenced: bool) -> None:
        """Merge small files, bring the index up to date, remove older versions.

        Args:
            keep_s: seconds for which an older version stays.
            unreferenced: also remove files that belong to no version at all, such as those of a
                killed process. Nobody else may be writing.
        """

        def change(table: Any) -> None:
            with warnings.catch_warnings():
                # Readers of a removed version begin again with the newest.
                warnings.simplefilter("ignore", UserWarning)
                table.optimize(
                    cleanup_older_than=timedelta(seconds=keep_s), delete_unverified=unreferenced
                )

        self.commit(change)

    def bytes_on_disk(self) -> int | None:
        """Of all files of the table; none on an object store."""
        if self.folder is None:
            return None
        files = (self.folder / f"{TABLE}.lance").rglob("*")
        return sum(f.stat().st_size for f in files if f.is_file())

    @contextlib.contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Turn what LanceDB and the system raise into `GalleryError`."""
        try:
            yield
        except (OSError, RuntimeError, ValueError, pa.ArrowException) as error:
            if isinstance(error, ValueError) and "lance" not in str(error).lower():
                # A mistake of ours, which is to keep its traceback.
                raise
            raise GalleryError(self._explained(doing, error)) from error

    def _explained(self, doing: str, error: Exception) -> str:
        lines = [line for line in str(error).splitlines() if line.strip()]
        # Where in the library's own source it happened helps nobody here.
        said = re.sub(r",? ?/\S+\.rs:\d+(:\d+)?", "", lines[0] if lines else repr(error))[:300]
        start = f"cannot {doing} the gallery {self.uri}"
        text = str(error).lower()
        if any(words in text for words in ("no space left", "os error 28", "quota exceeded")):
            free = f" ({shutil.disk_usage(self.folder).free:,} bytes free)" if self.folder else ""
            return f"{start}: the disk is full{free}; what was acknowledged is kept"
        if "file too large" in text:
            return f"{start}: its files may not grow any larger; what was acknowledged is kept"
        if any(words in text for words in ("permission denied", "read-only file system")):
            return f"{start}: it may not be written to ({said})"
        if any(words in text for words in _SIGNS_OF_DAMAGE):
            return f"{start}: it is damaged ({said}); restore it from a backup"
        return f"{start}: {said}"


_SIGNS_OF_DAMAGE = (
    "fill whole buffer",
    "too small",
    "not found",
    "no such file",
    "magic",
    "corrupt",
)


def ensure_folder(folder: Path, *, create: bool) -> None:
    """Check that a folder is a gallery, or make one.

    Raises:
        GalleryError: when there is none and none is to be made, or something else is there.
    """
    try:
        if folder.is_dir():
            _check_is_gallery(folder)
        elif folder.exists():
            raise GalleryError(f"{folder} is a file; expected the folder of a gallery")
        elif not create:
            raise GalleryError(f"no gallery at {folder}: 'hatcnn gallery add' makes one")
        else:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GalleryError(f"cannot open the gallery {folder}: {error.strerror}") from None


def _check_is_gallery(folder: Path) -> None:
    table = folder / f"{TABLE}.lance"
    others = [p.name for p in folder.iterdir() if not p.name.startswith(".")]
    if others and not table.is_dir() and AUDIT_FILE not in others:
        raise GalleryError(
            f"{folder} is no gallery: it holds {', '.join(sorted(others)[:3])}; name a gallery "
            "or an empty folder"
        )
    # Entries come after the first version: whoever made the table and was cut off left none.
    has_entries = any((table / "data").glob("*.lance"))
    if has_entries and not any((table / "_versions").glob("*.manifest")):
        raise GalleryError(
            f"the gallery {folder} is damaged: it has entries and no list of them "
            f"({table.name}/_versions is empty); restore it from a backup"
        )


def _is_conflict(error: Exception) -> bool:
    text = str(error).lower()
    return any(w in text for w in ("conflict", "concurrent", "retry", "contention"))
