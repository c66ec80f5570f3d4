"""The gallery: pictures of people that can be searched, described and forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from hatcnn.errors import GalleryError
from hatcnn.gallery import searching
from hatcnn.gallery.audit import Audit, audit_path
from hatcnn.gallery.descriptions import parse_description
from hatcnn.gallery.filters import And, Compare, Filter, OneOf, parse_filter
from hatcnn.gallery.forgetting import clean, purge
from hatcnn.gallery.indexing import refresh_index
from hatcnn.gallery.locking import locked
from hatcnn.gallery.matches import Entry, Matches
from hatcnn.gallery.schema import (
    DESCRIPTION,
    PerPicture,
    Precision,
    Time,
    checked_attributes,
    entry_ids,
    moment,
    one_each,
    rows_of,
    table_schema,
    tag_lists,
    texts,
    times,
    unit_vectors,
)
from hatcnn.gallery.sql import to_sql
from hatcnn.gallery.statistics import Statistics, measure
from hatcnn.gallery.store import Snapshot, Store, ensure_folder
from hatcnn.progress import progress

Query: TypeAlias = Any
"""Embeddings, vectors (n, d) or one vector (d), or ids of entries inside."""

BATCH = 5_000
"""Entries of one commit."""
LARGEST_TOP_K = 10_000
"""Matches of one page."""


@dataclass(frozen=True, slots=True)
class Added:
    """What `Gallery.add` did.

    Attributes:
        added: entries that are new.
        present: entries that were there before, by their content, and stay as they were.
        ids: of all of them, in the order of the pictures.
    """

    added: int
    present: int
    ids: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Counts and ids."""
        return {"added": self.added, "present": self.present, "ids": list(self.ids)}

    def __str__(self) -> str:
        return f"{self.added:,} added, {self.present:,} already there"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What `Gallery.forget` found, and whether it is gone.

    Attributes:
        ids: of the entries.
        examples: the first few of them.
        gone: whether they were removed; not in a dry run.
    """

    ids: tuple[str, ...]
    examples: tuple[Entry, ...]
    gone: bool

    def to_json(self) -> dict[str, Any]:
        """Ids and whether they are gone."""
        return {"entries": len(self.ids), "gone": self.gone, "ids": list(self.ids)}


class Gallery:
    """Pictures of people in a folder or an object store; see `Gallery.open`.

    Several processes may use a gallery at once. A search sees one version of it from beginning to
    end; what `add` has returned is kept whatever happens after.
    """

    def __init__(self, store: Store, audit: Audit, precision: Precision) -> None:
        self._store = store
        self._audit = audit
        self._precision = precision

    @classmethod
    def open(
        cls,
        uri: str | Path,
        *,
        create: bool = True,
        precision: Precision = "float16",
        audit: str | Path | None = None,
        who: str | None = None,
        storage_options: dict[str, str] | None = None,
    ) -> Gallery:
        """Open a gallery, or make an empty one.

        Args:
            uri: a folder, or an object store's address such as ``s3://bucket/town``.
            create: make the folder when it is missing.
            precision: in which a new gallery stores vectors; float16 takes half the space.
            audit: the log of searches and deletions; ``audit.jsonl`` in the folder unless said,
                and in the user's state folder for an object store.
            who: stands in the log; the user of the system unless said.
            storage_options: of the object store, as LanceDB takes them.

        Raises:
            GalleryError: when there is no gallery, or it is damaged or something else.
        """
        if "://" not in str(uri):
            ensure_folder(Path(uri), create=create)
        store = Store(uri, storage_options)
        path = Path(audit) if audit else audit_path(store.folder, store.uri)
        gallery = cls(store, Audit(path, who), precision)
        if store.snapshot() is None and not create:
            raise GalleryError(f"no gallery at {uri}: 'hatcnn gallery add' makes one")
        return gallery

    def __len__(self) -> int:
        snapshot = self._store.snapshot()
        return snapshot.count if snapshot else 0

    @property
    def model(self) -> str | None:
        """Fingerprint of the network whose vectors are inside; none where it was not named."""
        snapshot = self._store.snapshot()
        return snapshot.model if snapshot else None

    def add(
        self,
        people: Any,
        *,
        camera: PerPicture = None,
        seen_at: PerPicture = None,
        identity: PerPicture = None,
        tracklet: PerPicture = None,
        tags: PerPicture = None,
        pictures: Sequence[bytes | None] | None = None,
        thumbnails: Sequence[bytes | None] | None = None,
        model: str | None = None,
        batch_size: int = BATCH,
    ) -> Added:
        """Add pictures; those that are inside already stay as they are.

        Each batch is kept once it is written: whoever is cut off adds the same again.

        Args:
            people: what an `Embedder` returned, or anything with ``vectors`` (n, d), ``names`` and
                ``attributes`` (n, 26) or none.
            camera, identity, tracklet: one for all, or one a picture; none or empty: unknown.
            seen_at: `datetime`, ISO 8601 text (UTC unless it says otherwise) or seconds since 1970.
            tags: one or several for all, or a list a picture.
            pictures: bytes of the picture files, by which the same picture is known again.
            thumbnails: bytes of small pictures to show.
            model: fingerprint of the network; ``people.fingerprint`` unless said.
            batch_size: entries of one commit.

        Raises:
            GalleryError: when the arrays do not fit together, a vector is not finite or comes
                from another network, or the gallery cannot be written. Nothing of the batch in
                hand is kept then; all before it is.
        """
        vectors = unit_vectors(people.vectors, what="add")
        n, dimension = vectors.shape
        attributes = checked_attributes(getattr(people, "attributes", None), n)
        columns: dict[str, Sequence[Any]] = {
            "name": texts(one_each(people.names, n, "names")),
            "camera": texts(one_each(camera, n, "camera")),
            "seen_at": times(one_each(seen_at, n, "seen_at"), "seen_at"),
            "identity": texts(one_each(identity, n, "identity")),
            "tracklet": texts(one_each(tracklet, n, "tracklet")),
            "tags": tag_lists(tags, n),
            "thumbnail": one_each(thumbnails, n, "thumbnails"),
        }
        model = model or _fingerprint(people)
        snapshot = self._store.snapshot()
        if snapshot is None:
            with locked(self._store.folder, alone=False):
                schema = table_schema(dimension, self._precision, model)
                snapshot = self._store.create(schema)
        _check_fits(snapshot, dimension, model, "add")
        stored = vectors.astype(snapshot.stored)
        ids = entry_ids(stored, one_each(pictures, n, "pictures"))
        added = 0
        with progress("adding", n, "entries") as advance:
            for at in range(0, n, batch_size):
                part = slice(at, at + batch_size)
                rows = rows_of(
                    snapshot.schema,
                    ids[part],
                    stored[part],
                    None if attributes is None else attributes[part],
                    {name: values[part] for name, values in columns.items()},
                )
                added += self._insert(rows)
                advance(len(rows))
        refresh_index(self._store)
        return Added(added, n - added, tuple(ids))

    def _insert(self, rows: pa.Table) -> int:
        """Add the rows whose id is new; the first of several with one id."""
        ids = rows["id"].to_pylist()
        first = {entry: row for row, entry in reversed(list(enumerate(ids)))}
        if len(first) < len(ids):
            rows = rows.take(sorted(first.values()))

        def change(table: Any) -> int:
            done = table.merge_insert("id").when_not_matched_insert_all().execute(rows)
            return int(done.num_inserted_rows)

        with locked(self._store.folder, alone=False):
            return self._store.commit(change)

    def search(
        self,
        query: Query,
        *,
        top_k: int = 10,
        offset: int = 0,
        where: str | None = None,
        exclude_camera: str | int | Iterable[str | int] | Literal[True] | None = None,
        group_by: Literal["identity", "tracklet"] | None = None,
        exact: bool | None = None,
        model: str | None = None,
    ) -> Matches:
        """The entries that look most like a person.

        Args:
            query: embeddings, a vector (d) or several (n, d) of one person, whose mean is looked
                for; or the id of an entry inside or several, which are then not among the matches.
            top_k: matches to return, from 1 to 10,000.
            offset: matches to leave out before, for the next page.
            where: a filter, such as ``backpack and upper = 'red'``; see `hatcnn.gallery.filters`.
            exclude_camera: one or several whose entries are left out; `True` for those of the
                entries that were given by id.
            group_by: only the best entry of each identity or tracklet; entries without one
                stand for themselves.
            exact: compare with every entry; small galleries always do, large ones ask their
                index unless this is true.
            model: fingerprint of the network; ``query.fingerprint`` unless said.

        Raises:
            FilterError: for a filter that cannot be read.
            GalleryError: when nothing can be searched, or the vectors are of another network.
        """
        _check_page(top_k, offset)
        condition = parse_filter(where) if where else None
        found = self._with_snapshot(
            lambda snapshot: searching.search(
                snapshot,
                self._question(snapshot, query, model),
                top_k=top_k,
                offset=offset,
                where=condition,
                exclude_camera=exclude_camera,
                group_by=group_by,
                exact=bool(exact),
            )
        )
        self._audit.write(
            "search", query=_spoken(query), where=where, matches=len(found), offset=offset
        )
        return found

    def describe(
        self, text: str, *, top_k: int = 10, offset: int = 0, where: str | None = None
    ) -> Matches:
        """The entries that a description fits best, such as ``"woman, red top, backpack"``.

        The score is the product of the probabilities of what the description says.

        Raises:
            FilterError: for words that are not understood, with the nearest that are.
            GalleryError: when no entry has attributes.
        """
        _check_page(top_k, offset)
        traits = parse_description(text)
        condition = parse_filter(where) if where else None
        found = self._with_snapshot(
            lambda snapshot: searching.describe(
                snapshot, traits, top_k=top_k, offset=offset, where=condition
            )
        )
        self._audit.write("describe", query=text, where=where, matches=len(found), offset=offset)
        return found

    def entries(
        self, *, where: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[Entry]:
        """Entries in the order in which they are stored, a page at a time."""
        _check_page(limit, offset)
        condition = parse_filter(where) if where else None
        if self._store.snapshot() is None:
            return []

        def read(snapshot: Snapshot) -> list[Entry]:
            rows = snapshot.rows(["id"], to_sql(condition) if condition else None)
            page = rows["_rowid"].to_numpy().astype(np.int64)[offset : offset + limit]
            return [Entry.of(row) for row in snapshot.take(page, DESCRIPTION)]

        return self._with_snapshot(read)

    def thumbnail(self, entry: str) -> bytes | None:
        """Bytes of an entry's thumbnail, by its id or the beginning of it; none without one."""
        return self._with_snapshot(
            lambda s: s.take(searching.find_ids(s, [entry]), ["thumbnail"])[0]["thumbnail"]
        )

    def forget(
        self,
        *,
        ids: Sequence[str] = (),
        where: str | None = None,
        tag: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        keep_days: float | None = None,
        person: Query = None,
        threshold: float | None = None,
        dry_run: bool = False,
    ) -> Forgotten:
        """Remove entries for good: vectors, attributes, thumbnails, older versions, index.

        What is given narrows the choice: entries must fit all of it.

        Args:
            ids: of entries, or the beginnings of ids.
            where: a filter.
            tag: that entries bear.
            since, until: when they were seen, the first included, the last not.
            keep_days: only entries seen more than so many days ago; where that is unknown, added.
            person: a query, as for `search`; with `threshold`.
            threshold: cosine similarity in [-1, 1] to the person from which an entry is meant.
            dry_run: say what would be removed and leave it.

        Raises:
            GalleryError: when nothing says what to forget.
        """
        condition = _what_to_forget(where, tag, since, until, keep_days)
        if not (ids or condition.parts or person is not None):
            raise GalleryError("say what to forget: ids, a filter, a tag, a time or a person")
        if (person is None) != (threshold is None):
            raise GalleryError("to forget a person, give both the person and a threshold")
        if threshold is not None and not -1 <= threshold <= 1:
            raise GalleryError(f"the threshold is {threshold}; expected a similarity from -1 to 1")

        def find(snapshot: Snapshot) -> tuple[tuple[str, ...], tuple[Entry, ...]]:
            parts: list[Filter] = [*condition.parts]
            if ids:
                parts.append(OneOf("id", tuple(searching.full_ids(snapshot, ids))))
            sql = to_sql(And(tuple(parts))) if parts else None
            rows = snapshot.rows(["id"], sql)
            if person is not None and threshold is not None:
                question = self._question(snapshot, person, None)
                rows = searching.alike(snapshot, rows, question, threshold, sql)
            first = rows["_rowid"].to_numpy().astype(np.int64)[:10]
            examples = tuple(Entry.of(row) for row in snapshot.take(first, DESCRIPTION))
            return tuple(rows["id"].to_pylist()), examples

        found: tuple[str, ...] = ()
        examples: tuple[Entry, ...] = ()
        if self._store.snapshot() is not None:
            found, examples = self._with_snapshot(find)
        if not dry_run:
            # On record before it happens, so that nothing disappears without a trace.
            said = {
                "ids": list(ids) or None,
                "where": where,
                "tag": tag,
                "since": str(since) if since is not None else None,
                "until": str(until) if until is not None else None,
                "keep_days": keep_days,
                "person": None if person is None else _spoken(person),
                "threshold": threshold,
            }
            said = {name: value for name, value in said.items() if value is not None}
            self._audit.write("forget", what=said, entries=len(found))
            with progress("forgetting", len(found), "entries") as advance:
                purge(self._store, found, advance)
            self._audit.write("forgotten", entries=len(found))
        return Forgotten(found, examples, gone=not dry_run)

    def compact(self) -> None:
        """Merge small files, bring the index up to date and remove older versions."""
        with locked(self._store.folder, alone=True):
            if self._store.snapshot() is not None:
                clean(self._store)

    def stats(self, *, recall_queries: int = 50) -> Statistics:
        """Counts, cameras, time span, space, and how good the index is.

        Args:
            recall_queries: entries that are looked for to measure the index; 0 leaves it out.
        """
        snapshot = self._store.snapshot()
        with self._store.translated("read"):
            return measure(snapshot, self._store.bytes_on_disk(), recall_queries)

    def _question(
        self, snapshot: Snapshot, query: Query, model: str | None
    ) -> searching.Question:
        """One vector for whatever was asked."""
        if isinstance(query, str):
            query = [query]
        if isinstance(query, Sequence) and query and all(isinstance(q, str) for q in query):
            return searching.question_of_entries(snapshot, query)
        vectors = unit_vectors(getattr(query, "vectors", query), what="search")
        _check_fits(snapshot, vectors.shape[1], model or _fingerprint(query), "search with")
        return searching.Question(searching.fused(vectors))

    def _with_snapshot(self, read: Any) -> Any:
        """Read from the newest version; once more where it was cleaned away meanwhile."""
        for attempt in (1, 2, 3):
            snapshot = self._store.snapshot()
            if snapshot is None:
                raise GalleryError(f"the gallery {self._store.uri} is empty: add pictures first")
            try:
                with self._store.translated("read"):
                    return read(snapshot)
            except (GalleryError, KeyError):
                newest = self._store.snapshot()
                if attempt == 3 or newest is None or newest.version == snapshot.version:
                    raise
        raise AssertionError("unreachable")


def _fingerprint(people: Any) -> str | None:
    return getattr(people, "fingerprint", None)


def _check_fits(snapshot: Snapshot, dimension: int, model: str | None, doing: str) -> None:
    if dimension != snapshot.dimension:
        raise GalleryError(
            f"cannot {doing} vectors of {dimension} numbers: this gallery holds vectors of "
            f"{snapshot.dimension}, of another network; use that one, or another gallery"
        )
    if model and snapshot.model and model != snapshot.model:
        raise GalleryError(
            f"cannot {doing} vectors of the model {model}: this gallery holds those of "
            f"{snapshot.model}, which are not comparable; use that model, or another gallery"
        )


def _check_page(top_k: int, offset: int) -> None:
    if not 1 <= top_k <= LARGEST_TOP_K:
        raise GalleryError(
            f"asked for {top_k:,} entries; expected 1 to {LARGEST_TOP_K:,} a page, "
            "and an offset for the pages after"
        )
    if offset < 0:
        raise GalleryError(f"the offset is {offset}; expected 0 or more")


def _what_to_forget(
    where: str | None,
    tag: str | None,
    since: Time | None,
    until: Time | None,
    keep_days: float | None,
) -> And:
    parts: list[Filter] = []
    if where:
        parts.append(parse_filter(where))
    if tag:
        parts.append(Compare("tags", "=", tag))
    if since is not None:
        parts.append(Compare("seen_at", ">=", moment(since, "since")))
    if until is not None:
        parts.append(Compare("seen_at", "<", moment(until, "until")))
    if keep_days is not None:
        if not keep_days >= 0:
            raise GalleryError(f"keep_days is {keep_days}; expected 0 or more")
        before = datetime.now(UTC) - timedelta(days=keep_days)
        parts.append(Compare("coalesce(seen_at, added_at)", "<", before))
    return And(tuple(parts))


def _spoken(query: Query) -> str | list[str]:
    """A query for the log: ids, or how many vectors; never a vector."""
    if isinstance(query, str):
        return [query]
    if isinstance(query, Sequence) and all(isinstance(q, str) for q in query):
        return list(query)
    shape = np.shape(getattr(query, "vectors", query))
    return f"{shape[0] if len(shape) == 2 else 1} vectors"
