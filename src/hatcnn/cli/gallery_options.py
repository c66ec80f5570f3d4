"""What ``hatcnn gallery`` can be told: one class an action."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from hatcnn.gallery.schema import Precision


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every action takes."""

    gallery: Annotated[str, tyro.conf.Positional]
    """Folder of the gallery, or an object store's address such as s3://bucket/town."""
    audit: Path | None = None
    """Log of searches and deletions, where it does not lie in the gallery."""
    json: Path | None = None
    """Write everything to this file; - for standard output."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Options):
    """What actions on pictures take."""

    model: str | None = None
    """Model folder or name, for pictures."""
    backend: str = "auto"
    """What runs the network."""


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(ModelOptions):
    """What actions that compare people take."""

    calibration: str | None = None
    """What scores mean: a file of 'hatcnn calibrate', or the model folder or name that has one;
    that of --model unless said."""
    false_match_rate: float | None = None
    """Only scores that so large a share of pairs of different people reaches, such as 1e-3."""


@dataclass(frozen=True, kw_only=True)
class AddOptions(ModelOptions):
    """Add pictures or embeddings; what is inside already stays as it is."""

    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Files of 'hatcnn embed', pictures, or folders of pictures."""
    manifest: Path | None = None
    """CSV table with a column name and some of camera, seen_at, identity, tracklet, tags."""
    camera: str | None = None
    """Camera of the pictures for which the manifest names none."""
    seen_at: str | None = None
    """When they were seen, such as '2026-01-31 17:05' (UTC)."""
    identity: str | None = None
    """Who is in them."""
    tracklet: str | None = None
    """Run of pictures that they belong to."""
    tag: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A tag; may be given several times."""
    thumbnails: bool = False
    """Keep a small picture of each, to show with matches."""
    ray: str | None = None
    """Embed, and make the index, on the Ray cluster at this address; 'auto' for the one that this
    machine is in."""
    precision: Precision = "float16"
    """In which a new gallery stores vectors."""
    strict: bool = False
    """Stop at the first unreadable picture instead of skipping it."""


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Which of the entries are shown."""

    where: str | None = None
    """Filter, such as "backpack and upper = 'red' and camera != 3"."""
    top_k: int = 10
    """Entries to show."""
    offset: int = 0
    """Entries to leave out before them."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions(PageOptions, ScoreOptions):
    """Find the entries that look most like a person."""

    query: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Pictures of one person, a file of 'hatcnn embed', or ids of entries."""
    exclude_camera: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Leave this camera out; 'own' is that of the entry searched by. May be given again."""
    group_by: Literal["identity", "tracklet"] | None = None
    """Show only the best entry of each."""
    exact: bool = False
    """Compare with every entry, also in a large gallery."""
    rerank: int | None = None
    """Order so many of the nearest entries anew by whom they have for neighbours."""


@dataclass(frozen=True, kw_only=True)
class DescribeOptions(PageOptions, Options):
    """Find people by words."""

    words: Annotated[str, tyro.conf.Positional]
    """Such as "woman, red top, backpack"."""


@dataclass(frozen=True, kw_only=True)
class ForgetOptions(ScoreOptions):
    """Remove entries for good; shows them and asks first. All that is given must fit."""

    id: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """An entry; may be given several times."""
    where: str | None = None
    """Filter, such as "camera = 3 and seen_at < '2026-01-01'"."""
    tag: str | None = None
    """Tag that they bear."""
    since: str | None = None
    """Seen at this time or after."""
    until: str | None = None
    """Seen before this time."""
    keep_days: float | None = None
    """Only what was seen more than so many days ago (or added, where that is unknown)."""
    person: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Picture, file of 'hatcnn embed' or id of an entry of the person; with --threshold
    or --false-match-rate."""
    threshold: float | None = None
    """Similarity to the person, -1 to 1, from which an entry is removed."""
    yes: bool = False
    """Do not ask."""


@dataclass(frozen=True, kw_only=True)
class ListOptions(PageOptions, Options):
    """Show entries as they are stored."""


@dataclass(frozen=True, kw_only=True)
class StatsOptions(Options):
    """Counts, cameras, time span, space, and recall of the index."""


@dataclass(frozen=True, kw_only=True)
class CompactOptions(Options):
    """Merge small files, bring the index up to date, remove older versions."""


@dataclass(frozen=True, kw_only=True)
class IndexOptions(Options):
    """Bring the index of a large gallery up to date, as adding does when it ends."""

    ray: str | None = None
    """Build it on the Ray cluster at this address; 'auto' for the one that this machine is in."""
