"""What is in a gallery, what it takes, and how good its index is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow.compute as pc

from hatcnn.gallery.indexing import index_statistics, measure_recall
from hatcnn.gallery.matches import plain_table
from hatcnn.gallery.store import Snapshot

RECALL_AT = 10


@dataclass(frozen=True)
class Statistics:
    """A gallery in numbers.

    Attributes:
        entries: in it.
        with_attributes, with_thumbnail: entries that have them.
        cameras: entries by camera; None for an unknown one.
        identities, tracklets: how many different ones are named.
        first_seen, last_seen: of the times that are known, in UTC.
        dimension: numbers of a vector; none in an empty gallery.
        precision: in which they are stored.
        model: fingerprint of the network; none where it was not named.
        bytes_on_disk: of the table; none on an object store.
        index: ``exact`` without one, else its kind.
        indexed: entries that the index holds.
        recall_at_10: mean share of the ten nearest that the index finds; none without one.
    """

    entries: int
    with_attributes: int
    with_thumbnail: int
    cameras: dict[str | None, int]
    identities: int
    tracklets: int
    first_seen: datetime | None
    last_seen: datetime | None
    dimension: int | None
    precision: str | None
    model: str | None
    bytes_on_disk: int | None
    index: str
    indexed: int
    recall_at_10: float | None

    @property
    def bytes_per_entry(self) -> float | None:
        """Space of an entry, everything counted."""
        if self.bytes_on_disk is None or not self.entries:
            return None
        return self.bytes_on_disk / self.entries

    def to_json(self) -> dict[str, Any]:
        """All of it; times as ISO 8601, the unknown camera as an empty name."""
        return {
            **asdict(self),
            "cameras": {camera or "": count for camera, count in self.cameras.items()},
            "first_seen": self.first_seen.isoformat() if self.first_seen else None,
            "last_seen": self.last_seen.isoformat() if self.last_seen else None,
            "bytes_per_entry": self.bytes_per_entry,
        }

    def __str__(self) -> str:
        span = (
            f"{self.first_seen:%Y-%m-%d %H:%M} to {self.last_seen:%Y-%m-%d %H:%M} UTC"
            if self.first_seen and self.last_seen
            else "unknown"
        )
        cameras = ", ".join(f"{c or 'unknown'} ({n:,})" for c, n in self.cameras.items())
        rows = [
            ("entries", f"{self.entries:,}"),
            ("with attributes", f"{self.with_attributes:,}"),
            ("with thumbnail", f"{self.with_thumbnail:,}"),
            ("cameras", cameras or "none"),
            ("identities", f"{self.identities:,}"),
            ("tracklets", f"{self.tracklets:,}"),
            ("seen", span),
            (
                "vectors",
                f"{self.dimension} numbers, {self.precision}" if self.dimension else "none",
            ),
            ("model", self.model or "not named"),
        ]
        if self.bytes_per_entry is not None:
            size = f"{self.bytes_on_disk:,} bytes, {self.bytes_per_entry:,.0f} an entry"
            rows.append(("on disk", size))
        rows.append(("search", self.found_by()))
        return plain_table(("gallery", ""), rows)

    def found_by(self) -> str:
        """How entries are found, in words."""
        recall = "" if self.recall_at_10 is None else f", recall@10 {self.recall_at_10:.3f}"
        held = f", {self.indexed:,} entries" if self.index != "exact" else ""
        return f"{self.index}{held}{recall}"


def measure(snapshot: Snapshot | None, size: int | None, recall_queries: int) -> Statistics:
    """Count and measure.

    Args:
        snapshot: none for an empty gallery.
        size: bytes on disk.
        recall_queries: entries that are looked for to measure the index; 0 leaves it out.
    """
    if snapshot is None:
        return Statistics(
            0, 0, 0, {}, 0, 0, None, None, None, None, None, size, "exact", 0, None
        )  # fmt: skip
    columns = snapshot.rows(["camera", "identity", "tracklet", "seen_at"], None)
    counted = columns["camera"].value_counts().to_pylist()
    cameras = {row["values"]: row["counts"] for row in counted}
    span = pc.min_max(columns["seen_at"]).as_py()
    index = index_statistics(snapshot)
    return Statistics(
        entries=snapshot.count,
        with_attributes=snapshot.table.count_rows("gender is not null"),
        with_thumbnail=snapshot.table.count_rows("thumbnail is not null"),
        cameras=dict(sorted(cameras.items(), key=lambda item: (item[0] is None, item[0]))),
        identities=pc.count_distinct(columns["identity"]).as_py(),
        tracklets=pc.count_distinct(columns["tracklet"]).as_py(),
        first_seen=span["min"],
        last_seen=span["max"],
        dimension=snapshot.dimension,
        precision=str(snapshot.stored),
        model=snapshot.model,
        bytes_on_disk=size,
        index=index.index_type if index else "exact",
        indexed=index.num_indexed_rows if index else 0,
        recall_at_10=measure_recall(snapshot, recall_queries, RECALL_AT)
        if recall_queries
        else None,
    )
