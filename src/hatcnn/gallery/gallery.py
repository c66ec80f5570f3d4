"""The gallery: pictures of people that can be searched, described and forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hatcnn.errors import EntryError, GalleryError
from hatcnn.evaluation.thresholds import Calibration
from hatcnn.gallery.adding import Batch, insert
from hatcnn.gallery.audit import Audit, audit_path
from hatcnn.gallery.checks import check_fits
from hatcnn.gallery.choosing import Choice
from hatcnn.gallery.forgetting import clean, purge
from hatcnn.gallery.indexing import refresh_index
from hatcnn.gallery.locking import locked
from hatcnn.gallery.matches import Added, Forgotten
from hatcnn.gallery.reading import Query, Readable, are_ids, fingerprint_of, spoken
from hatcnn.gallery.schema import (
    PerPicture,
    Precision,
    Time,
    table_schema,
)
from hatcnn.gallery.scores import Meaning
from hatcnn.gallery.store import Snapshot, Store, ensure_folder
from hatcnn.progress import progress

BATCH = 5_000
"""Entries of one commit."""


class Gallery(Readable):
    """Pictures of people in a folder or an object store; see `Gallery.open`.

    Several processes may use a gallery at once. A search sees one version of it from beginning to
    end; what `add` has returned is kept whatever happens after.
    """

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

    def acting_as(self, who: str) -> Gallery:
        """The same gallery, its table shared, with somebody else in its log.

        Args:
            who: in whose name the one returned searches and forgets.
        """
        return Gallery(self._store, Audit(self._audit.path, who), self._precision)

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
        index: bool = True,
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
            index: bring the index up to date where it lags. Whoever adds in many calls spares
                making it again and again, and calls `index` after the last.

        Raises:
            GalleryError: when the arrays do not fit together, a vector is not finite or comes
                from another network, or the gallery cannot be written. Nothing of the batch in
                hand is kept then; all before it is.
        """
        batch = Batch.of(
            people,
            camera=camera,
            seen_at=seen_at,
            identity=identity,
            tracklet=tracklet,
            tags=tags,
            pictures=pictures,
            thumbnails=thumbnails,
        )
        n, dimension = batch.vectors.shape
        model = model or fingerprint_of(people)
        snapshot = self._store.snapshot()
        if snapshot is None:
            with locked(self._store.folder, alone=False):
                snapshot = self._store.create(table_schema(dimension, self._precision, model))
        check_fits(snapshot, dimension, model, "add")
        added = 0
        with progress("adding", n, "entries") as advance:
            for rows in batch.rows(snapshot, batch_size):
                added += insert(self._store, rows)
                advance(len(rows))
        if index:
            self.index()
        return Added(added, n - added, tuple(batch.ids(snapshot)))

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
        calibration: Calibration | None = None,
        false_match_rate: float | None = None,
        dry_run: bool = False,
        confirm: Callable[[Forgotten], bool] | None = None,
    ) -> Forgotten:
        """Remove entries for good: vectors, attributes, thumbnails, older versions, index.

        What is given narrows the choice: entries must fit all of it. Whatever is found, the bytes
        of entries that an earlier call could not finish with are removed as well.

        Args:
            ids: of entries, or the beginnings of ids.
            where: a filter.
            tag: that entries bear.
            since, until: when they were seen, the first included, the last not.
            keep_days: only entries seen more than so many days ago; where that is unknown, added.
            person: a query, as for `search`; with `threshold` or `false_match_rate`.
            threshold: cosine similarity in [-1, 1] to the person from which an entry is meant.
            calibration, false_match_rate: the threshold as a share of pairs of different people,
                as for `search`.
            dry_run: say what would be removed and leave it.
            confirm: is shown what was found, and decides.

        Raises:
            GalleryError: when nothing says what to forget, or it cannot be done.
            EntryError: when the person's entries are not inside.
            FilterError: for a filter that cannot be read.
        """
        meaning = Meaning.of(calibration, false_match_rate)
        if meaning.lowest is not None:
            if threshold is not None:
                raise GalleryError("give a threshold or a false match rate, not both")
            threshold = meaning.lowest
        choice = Choice(
            ids=ids,
            where=where,
            tag=tag,
            since=since,
            until=until,
            keep_days=keep_days,
            person=None if person is None else spoken(person),
            threshold=threshold,
        )

        def find(snapshot: Snapshot) -> Forgotten:
            meaning.check(snapshot)
            question = None if person is None else self._question(snapshot, person, None)
            return choice.find(snapshot, question)

        if self._store.snapshot() is None:
            return Forgotten((), (), gone=True)
        asked = _asked_ids(person)
        try:
            found = self._with_snapshot(find)
        except EntryError:
            if not dry_run and asked:
                # Who was asked by may have gone when this was cut off: finish the work at least.
                purge(self._store, (), lambda _: None)
            raise
        if dry_run or confirm is not None:
            # Who is shown whom a picture looks like has searched.
            self._audit.write("find to forget", what=choice.to_json(), entries=len(found.ids))
        if dry_run or (confirm is not None and found.ids and not confirm(found)):
            return found
        # Those that were asked by go last, so that whoever is cut off can ask again.
        ids = sorted(found.ids, key=lambda entry: entry.startswith(asked))
        # On record before it happens, so that nothing disappears without a trace.
        self._audit.write("forget", what=choice.to_json(), entries=len(found.ids))
        with progress("forgetting", len(found.ids), "entries") as advance:
            purge(self._store, ids, advance)
        self._audit.write("forgotten", entries=len(found.ids))
        return Forgotten(found.ids, found.examples, gone=True)

    def index(self, *, on_cluster: bool = False) -> None:
        """Make the index where the gallery has become large; make it anew where it lags.

        Args:
            on_cluster: build it on the Ray cluster that this process has joined, whose machines
                must reach the gallery under the same name.

        Raises:
            ConfigError: when what building on a cluster needs is not installed.
            GalleryError: when it cannot be written.
        """
        # Nobody may take its unfinished files for a killed process's.
        with locked(self._store.folder, alone=False):
            refresh_index(self._store, on_cluster=on_cluster)

    def compact(self) -> None:
        """Merge small files, bring the index up to date and remove older versions."""
        with locked(self._store.folder, alone=True):
            if self._store.snapshot() is not None:
                clean(self._store)


def _asked_ids(person: Query) -> tuple[str, ...]:
    """Ids, or beginnings of them, by which a person was asked for; none for vectors."""
    if person is None or not are_ids(person):
        return ()
    return tuple(one.lower() for one in ([person] if isinstance(person, str) else person))
