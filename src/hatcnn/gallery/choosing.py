"""Which entries are to be forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from hatcnn.errors import GalleryError
from hatcnn.gallery.filters import And, Compare, Filter, Known, Not, OneOf, Or, parse_filter
from hatcnn.gallery.matches import Entry, Forgotten
from hatcnn.gallery.schema import DESCRIPTION, Time, moment
from hatcnn.gallery.searching import Question, alike, full_ids
from hatcnn.gallery.sql import to_sql
from hatcnn.gallery.store import Snapshot

EXAMPLES = 10
"""Entries that are shown before they are removed."""
MOST_DAYS = 500_000
"""Calendars here begin in the year 1."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What entries must fit, all of it; see `Gallery.forget`.

    Raises:
        GalleryError: when nothing is said, or something impossible.
        FilterError: for a filter that cannot be read.
    """

    ids: Sequence[str]
    where: str | None
    tag: str | None
    since: Time | None
    until: Time | None
    keep_days: float | None
    threshold: float | None
    person: str | None
    """A query as the log words it."""

    def __post_init__(self) -> None:
        if not any(value not in (None, (), [], "") for value in vars(self).values()):
            raise GalleryError("say what to forget: ids, a filter, a tag, a time or a person")
        if (self.person is None) != (self.threshold is None):
            raise GalleryError(
                "to forget a person, give both the person and a threshold or false match rate"
            )
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise GalleryError(
                f"the threshold is {self.threshold}; expected a similarity from -1 to 1"
            )
        if self.keep_days is not None and not 0 <= self.keep_days <= MOST_DAYS:
            raise GalleryError(
                f"the days to keep are {self.keep_days}; expected from 0 to {MOST_DAYS:,}"
            )
        self._conditions()

    def find(self, snapshot: Snapshot, question: Question | None) -> Forgotten:
        """The entries that fit.

        Args:
            snapshot: in which to look.
            question: the person, where one was given.
        """
        parts = self._conditions()
        if self.ids:
            # Those that are gone already are no mistake: the call may be a second one.
            parts.append(OneOf("id", tuple(full_ids(snapshot, self.ids))))
        sql = to_sql(And(tuple(parts))) if parts else None
        rows = snapshot.rows(["id"], sql)
        if question is not None and self.threshold is not None:
            rows = alike(snapshot, rows, question, self.threshold, sql)
        first = rows["_rowid"].to_numpy().astype(np.int64)[:EXAMPLES]
        examples = tuple(Entry.of(row) for row in snapshot.take(first, DESCRIPTION))
        return Forgotten(tuple(rows["id"].to_pylist()), examples, gone=False)

    def to_json(self) -> dict[str, Any]:
        """What was said, for the log."""
        said = {name: value for name, value in vars(self).items() if value not in (None, (), [])}
        if self.ids:
            said["ids"] = [*self.ids[:EXAMPLES], *(["…"] if len(self.ids) > EXAMPLES else [])]
        return {n: str(v) if isinstance(v, datetime) else v for n, v in said.items()}

    def _conditions(self) -> list[Filter]:
        parts: list[Filter] = []
        if self.where:
            parts.append(parse_filter(self.where))
        if self.tag:
            parts.append(Compare("tags", "=", self.tag))
        if self.since is not None:
            parts.append(Compare("seen_at", ">=", moment(self.since, "since")))
        if self.until is not None:
            parts.append(Compare("seen_at", "<", moment(self.until, "until")))
        if self.keep_days is not None:
            before = datetime.now(UTC) - timedelta(days=self.keep_days)
            seen = Compare("seen_at", "<", before)
            added = And((Not(Known("seen_at")), Compare("added_at", "<", before)))
            parts.append(Or((seen, added)))
        return parts
