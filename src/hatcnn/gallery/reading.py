"""Asking a gallery: searches, descriptions, entries, and what is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from hatcnn.errors import GalleryError
from hatcnn.evaluation.thresholds import Calibration
from hatcnn.gallery import searching
from hatcnn.gallery.audit import Audit
from hatcnn.gallery.checks import check_fits, check_page
from hatcnn.gallery.descriptions import parse_description
from hatcnn.gallery.exact import Numbers
from hatcnn.gallery.filters import parse_filter
from hatcnn.gallery.matches import Entry, Matches, Ranked, Sampled
from hatcnn.gallery.reranking import check_rerank
from hatcnn.gallery.schema import (
    DESCRIPTION,
    Precision,
    one_each,
    unit_vectors,
)
from hatcnn.gallery.scores import Meaning
from hatcnn.gallery.sql import to_sql
from hatcnn.gallery.statistics import Statistics, measure
from hatcnn.gallery.store import Snapshot, Store

Query: TypeAlias = Any
"""Embeddings, vectors (n, d) or one vector (d), or ids of entries inside."""

_T = TypeVar("_T")


class Readable:
    """What can be asked of a gallery; each answer is of one version from beginning to end."""

    def __init__(self, store: Store, audit: Audit, precision: Precision) -> None:
        self._store = store
        self._audit = audit
        self._precision = precision

    def __len__(self) -> int:
        snapshot = self._store.snapshot()
        return snapshot.count if snapshot else 0

    @property
    def model(self) -> str | None:
        """Fingerprint of the network whose vectors are inside; none where it was not named."""
        snapshot = self._store.snapshot()
        return snapshot.model if snapshot else None

    @property
    def version(self) -> int:
        """Grows with every change; 0 before the first."""
        snapshot = self._store.snapshot()
        return snapshot.version if snapshot else 0

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
        calibration: Calibration | None = None,
        false_match_rate: float | None = None,
        rerank: int | None = None,
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
            calibration: of the network; every match then has a probability. It is that of two
                pictures which beforehand show the same person as likely as not (a prior of one
                half): a person who is once in 1,000 entries makes every single match less likely
                than it says. It was fitted on pairs of single pictures, so that for several
                pictures as one query it is approximate.
            false_match_rate: only matches with a score that so large a share of pairs of
                different people reaches, in (0, 1); with `calibration`.
            rerank: order so many of the nearest entries, from 1 to 10,000, anew by their
                k-reciprocal neighbours among them. Scores stay cosine similarities, and no longer
                fall from match to match. Needs SciPy.

        Raises:
            FilterError: for a filter that cannot be read.
            GalleryError: when nothing can be searched, or the vectors or the calibration are of
                another network.
            EvaluationError: for a false match rate that the calibration has not measured.
        """
        check_page(top_k, offset)
        check_rerank(rerank)
        meaning = Meaning.of(calibration, false_match_rate)
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
                meaning=meaning,
                rerank=rerank,
            )
        )
        self._audit.write(
            "search", query=spoken(query), where=where, matches=len(found), offset=offset
        )
        return found

    def search_many(
        self,
        people: Any,
        *,
        where: str | Sequence[str | None] | None = None,
        top_k: int | None = None,
        exact: bool | None = None,
        model: str | None = None,
    ) -> Iterator[Ranked]:
        """Rank the entries for many people in turn, on one version of the gallery.

        Unlike `search`, every vector is a query of its own, the answer has ids and scores only, and
        it may be the whole gallery.

        Args:
            people: embeddings or vectors (n, d).
            where: a filter for all, or one a query.
            top_k: entries of each answer, at least 1; none for all that pass.
            exact: compare with every entry, also where there is an index; an index proposes at
                most 1,000 entries.
            model: fingerprint of the network; ``people.fingerprint`` unless said.

        Returns:
            One answer a query, in order, each made when it is asked for.

        Raises:
            FilterError: for a filter that cannot be read.
            GalleryError: when nothing can be searched, or the vectors are of another network.
        """
        if top_k is not None and top_k < 1:
            raise GalleryError(f"asked for {top_k:,} entries; expected 1 or more")
        vectors = unit_vectors(_vectors(people), what="search")
        filters = [parse_filter(f) if f else None for f in one_each(where, len(vectors), "where")]
        snapshot = self._store.snapshot()
        if snapshot is None:
            raise GalleryError(f"the gallery {self._store.uri} is empty: add pictures first")
        check_fits(snapshot, vectors.shape[1], model or fingerprint_of(people), "search with")
        shown = where if where is None or isinstance(where, str) else f"{len(vectors)} filters"
        self._audit.write("search", query=f"{len(vectors)} people", where=shown, top_k=top_k)

        def answers() -> Iterator[Ranked]:
            with self._store.translated("read"):
                yield from searching.search_many(
                    snapshot, vectors, filters, top_k=top_k, exact=bool(exact)
                )

        return answers()

    def describe(
        self, text: str, *, top_k: int = 10, offset: int = 0, where: str | None = None
    ) -> Matches:
        """The entries that a description fits best, such as ``"woman, red top, backpack"``.

        The score is the product of the probabilities of what the description says.

        Raises:
            FilterError: for words that are not understood, with the nearest that are.
            GalleryError: when no entry has attributes.
        """
        check_page(top_k, offset)
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
        """Entries in the order in which they are stored, a page at a time.

        To choose by a filter is to search, and stands in the log.
        """
        check_page(limit, offset)
        condition = parse_filter(where) if where else None
        if self._store.snapshot() is None:
            return []

        def read(snapshot: Snapshot) -> list[Entry]:
            rows: Numbers
            if condition is None and snapshot.ids_fit_in_memory:
                rows = np.sort(snapshot.ids[1])
            else:
                where = to_sql(condition) if condition else None
                rows = snapshot.rows(["id"], where)["_rowid"].to_numpy().astype(np.int64)
            page = rows[offset : offset + limit]
            return [Entry.of(row) for row in snapshot.take(page, DESCRIPTION)]

        found = self._with_snapshot(read)
        if where:
            self._audit.write("list", where=where, matches=len(found), offset=offset)
        return found

    def entry(self, entry: str) -> Entry:
        """One entry, by its id or the beginning of it.

        Raises:
            EntryError: when there is none.
        """
        if self._store.snapshot() is None:
            raise searching.no_entry(entry)

        def read(snapshot: Snapshot) -> Entry:
            return Entry.of(snapshot.take(searching.find_ids(snapshot, [entry]), DESCRIPTION)[0])

        return self._with_snapshot(read)

    def sample(self, most: int, *, seed: int = 0) -> Sampled:
        """So many entries at random, or all of a smaller gallery, with their vectors.

        Args:
            most: entries, from 1 to 10,000.
            seed: of the draw; the same one draws the same entries of the same version.
        """
        check_page(most, 0)
        if self._store.snapshot() is None:
            return Sampled((), np.empty((0, 0), np.float32), 0, 0)

        def draw(snapshot: Snapshot) -> Sampled:
            rows = snapshot.rows(["id"], None)["_rowid"].to_numpy().astype(np.int64)
            if len(rows) > most:
                rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
            entries = tuple(Entry.of(row) for row in snapshot.take(rows, DESCRIPTION))
            return Sampled(entries, snapshot.vectors(rows), snapshot.count, snapshot.version)

        return self._with_snapshot(draw)

    def thumbnail(self, entry: str) -> bytes | None:
        """Bytes of an entry's thumbnail, by its id or the beginning of it; none without one."""
        return self._with_snapshot(
            lambda s: s.take(searching.find_ids(s, [entry]), ["thumbnail"])[0]["thumbnail"]
        )

    def stats(self, *, recall_queries: int = 50) -> Statistics:
        """Counts, cameras, time span, space, and how good the index is.

        Args:
            recall_queries: entries that are looked for to measure the index; 0 leaves it out.
        """
        snapshot = self._store.snapshot()
        with self._store.translated("read"):
            return measure(snapshot, self._store.bytes_on_disk(), recall_queries)

    def _question(self, snapshot: Snapshot, query: Query, model: str | None) -> searching.Question:
        """One vector for whatever was asked."""
        if are_ids(query):
            ids = [query] if isinstance(query, str) else query
            return searching.question_of_entries(snapshot, ids)
        vectors = unit_vectors(_vectors(query), what="search")
        check_fits(snapshot, vectors.shape[1], model or fingerprint_of(query), "search with")
        return searching.Question(searching.fused(vectors))

    def _with_snapshot(self, read: Callable[[Snapshot], _T]) -> _T:
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


def fingerprint_of(people: Any) -> str | None:
    """Of the network that made embeddings; none where they do not say."""
    return getattr(people, "fingerprint", None) or None


def _vectors(query: Query) -> Any:
    return getattr(query, "vectors", query)


def are_ids(query: Query) -> bool:
    """Whether a query is one or several ids, or beginnings of them."""
    return isinstance(query, Sequence) and all(isinstance(one, str) for one in query or [None])


def spoken(query: Query) -> str:
    """A query for the log: ids, or how many vectors; never a vector."""
    if are_ids(query):
        return query if isinstance(query, str) else " ".join(query)
    return f"{len(np.atleast_2d(_vectors(query)))} vectors"
