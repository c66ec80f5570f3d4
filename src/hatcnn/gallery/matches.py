"""What the gallery answers: entries, matches, and what was added or forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

SHORT_ID = 12
"""Digits of an id that tables show; as a name of an entry they are enough."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture in the gallery. What nobody recorded is none.

    Attributes:
        id: 32 hexadecimal digits, the same for the same content.
        name: of the picture when it was added.
        camera: its name.
        seen_at: when, in UTC.
        added_at: when it came into the gallery, in UTC.
        identity: of the person, where it is known.
        tracklet: of a run of pictures of one person by one camera.
        tags: free words.
    """

    id: str
    name: str | None
    camera: str | None
    seen_at: datetime | None
    added_at: datetime
    identity: str | None
    tracklet: str | None
    tags: tuple[str, ...]

    @classmethod
    def of(cls, row: dict[str, Any]) -> Entry:
        """From a row of the gallery's table."""
        return cls(**{**row, "tags": tuple(row["tags"])})

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON has them; times as ISO 8601."""
        return {
            "id": self.id,
            "name": self.name,
            "camera": self.camera,
            "seen_at": self.seen_at.isoformat() if self.seen_at else None,
            "added_at": self.added_at.isoformat(),
            "identity": self.identity,
            "tracklet": self.tracklet,
            "tags": list(self.tags),
        }

    def cells(self) -> tuple[str, ...]:
        """What a table shows of it."""
        seen = self.seen_at.isoformat(" ", "seconds").removesuffix("+00:00") if self.seen_at else ""
        person = self.identity or self.tracklet or ""
        tags = " ".join(self.tags)
        return self.id[:SHORT_ID], self.camera or "", seen, person, tags, self.name or ""


ENTRY_COLUMNS = ("id", "camera", "seen at (UTC)", "person", "tags", "name")
"""Headings of `Entry.cells`."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """Entries drawn at random, in the order in which they are stored.

    Attributes:
        entries: n of them.
        vectors: (n, d) float32 of length 1.
        of: entries in the gallery.
        version: of the gallery; see `Gallery.version`.
    """

    entries: tuple[Entry, ...]
    vectors: npt.NDArray[np.float32]
    of: int
    version: int


@dataclass(frozen=True, slots=True)
class Match:
    """An entry and how well it fits.

    Attributes:
        rank: from 1, over all pages.
        score: cosine similarity in [-1, 1]; for a description, a probability in [0, 1].
        entry: that fits.
        probability: in [0, 1], of the same person when that is as likely as not before looking;
            none without a calibration.
    """

    rank: int
    score: float
    entry: Entry
    probability: float | None = None

    def row(self) -> dict[str, Any]:
        """A flat dictionary, without a probability where there is none."""
        chance = {} if self.probability is None else {"probability": self.probability}
        return {"rank": self.rank, "score": self.score, **chance, **self.entry.to_json()}


@dataclass(frozen=True)
class Matches(Sequence[Match]):
    """What was found, best first.

    Attributes:
        matches: of this page.
        searched: entries in the gallery.
        exact: whether every entry was compared, rather than those an index proposed.
        reranked: how many of the nearest were ordered anew; 0 for none.
    """

    matches: tuple[Match, ...]
    searched: int
    exact: bool
    reranked: int = 0

    def __len__(self) -> int:
        return len(self.matches)

    def __getitem__(self, index: Any) -> Any:
        return self.matches[index]

    def __iter__(self) -> Iterator[Match]:
        return iter(self.matches)

    def rows(self) -> list[dict[str, Any]]:
        """One flat dictionary a match."""
        return [match.row() for match in self.matches]

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "searched": self.searched,
            "exact": self.exact,
            "reranked": self.reranked,
            "matches": self.rows(),
        }

    def __str__(self) -> str:
        cells = [
            (
                str(m.rank),
                f"{m.score:.4f}",
                "" if m.probability is None else f"{m.probability:.3f}",
                *m.entry.cells(),
            )
            for m in self.matches
        ]
        searched = f"{len(self)} of {self.searched:,} entries, {'exact' if self.exact else 'index'}"
        if self.reranked:
            searched += f", the nearest {self.reranked:,} re-ranked"
        headings = ("rank", "score", "probability", *ENTRY_COLUMNS)
        return f"{plain_table(headings, cells)}\n{searched}"


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """What `Gallery.search_many` found for one query, best first.

    Attributes:
        ids: (k,) of the entries.
        scores: (k,) float32 cosine similarities in [-1, 1].
        exact: whether every entry was compared.
    """

    ids: npt.NDArray[np.str_]
    scores: npt.NDArray[np.float32]
    exact: bool

    def __len__(self) -> int:
        return len(self.ids)


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


def plain_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under their headings, as wide as they need; those without any value are left out."""
    kept = [i for i in range(len(headings)) if not rows or any(row[i] for row in rows)]
    lines = [[headings[i] for i in kept], *([row[i] for i in kept] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(kept))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
