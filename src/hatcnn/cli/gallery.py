"""``hatcnn gallery add | search | describe | forget | list | stats | index | compact``."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tyro

from hatcnn.cli.gallery_inputs import (
    Manifest,
    cluster_embedder,
    find_calibration,
    in_parts,
    load_embedder,
)
from hatcnn.cli.gallery_options import (
    AddOptions,
    CompactOptions,
    DescribeOptions,
    ForgetOptions,
    IndexOptions,
    ListOptions,
    ModelOptions,
    Options,
    SearchOptions,
    StatsOptions,
)
from hatcnn.cli.output import write_report
from hatcnn.errors import ConfigError, nearest_names
from hatcnn.gallery import Forgotten, Gallery
from hatcnn.gallery.matches import ENTRY_COLUMNS, plain_table
from hatcnn.gallery.thumbnails import thumbnail
from hatcnn.inference.distributed import connect, embed_on_cluster
from hatcnn.inference.embeddings import Embeddings
from hatcnn.inference.pictures import find_files


def main(arguments: list[str]) -> None:
    """Run the action that the first argument names."""
    actions: dict[str, tuple[type[Options], Callable[[Any], None]]] = {
        "add": (AddOptions, _add),
        "search": (SearchOptions, _search),
        "describe": (DescribeOptions, _describe),
        "forget": (ForgetOptions, _forget),
        "list": (ListOptions, _list),
        "stats": (StatsOptions, _stats),
        "index": (IndexOptions, _index),
        "compact": (CompactOptions, _compact),
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: hatcnn gallery {' | '.join(actions)} GALLERY ...")
        return
    action, *rest = arguments
    if action not in actions:
        raise ConfigError(f"unknown action {action!r}{nearest_names(action, actions)}")
    options, run = actions[action]
    run(tyro.cli(options, prog=f"hatcnn gallery {action}", args=rest))


def _open(options: Options) -> Gallery:
    return Gallery.open(options.gallery, create=False, audit=options.audit)


def _add(options: AddOptions) -> None:
    manifest = Manifest(options.manifest) if options.manifest else None
    files = [path for path in options.inputs if path.suffix == ".npz"]
    pictures = find_files([path for path in options.inputs if path.suffix != ".npz"])
    if not files and not pictures:
        raise ConfigError("nothing to add: name pictures, folders or files of 'hatcnn embed'")
    parts = _embedded(pictures, options) if pictures else iter(())
    gallery = Gallery.open(options.gallery, precision=options.precision, audit=options.audit)
    fixed = {
        "camera": options.camera,
        "seen_at": options.seen_at,
        "identity": options.identity,
        "tracklet": options.tracklet,
        "tags": list(options.tag),
    }
    added = present = 0
    skipped: list[tuple[str, str]] = []

    def put(people: Any, data: Sequence[bytes] | None) -> None:
        nonlocal added, present
        about = manifest.about(people.names, fixed) if manifest else fixed
        small = None
        if options.thumbnails:
            # Not `data`, by which an entry is known again: the vectors alone must stay the same.
            files = data or [_read(name) for name in people.names]
            small = [thumbnail(f, n) for f, n in zip(files, people.names, strict=True)]
        done = gallery.add(people, pictures=data, thumbnails=small, index=False, **about)
        added += done.added
        present += done.present

    for file in files:
        put(Embeddings.load(file), None)
    for people, data in parts:
        skipped += people.skipped
        if len(people):
            put(people, data)
    # Once, however many parts there were.
    gallery.index(on_cluster=options.ray is not None)
    report = {
        "gallery": options.gallery,
        "added": added,
        "present": present,
        "entries": len(gallery),
        "skipped": [{"name": n, "reason": r} for n, r in skipped],
    }
    if write_report(report, options.json):
        return
    for name, reason in skipped:
        print(f"skipped {name}: {reason}")
    print(
        f"{options.gallery}: {added:,} added, {present:,} already there, {len(gallery):,} entries"
    )


def _embedded(
    pictures: Sequence[Path], options: AddOptions
) -> Iterator[tuple[Embeddings, list[bytes]]]:
    """Embeddings and files of parts of the pictures; the network is ready when this returns."""
    if options.ray:
        load = cluster_embedder(options.model, backend=options.backend, address=options.ray)
        return embed_on_cluster(load, pictures, strict=options.strict, with_bytes=True)
    embedder = load_embedder(options.model, backend=options.backend)
    found = (embedder.embed(part, strict=options.strict) for part in in_parts(pictures))
    return ((people, [_read(name) for name in people.names]) for people in found)


def _search(options: SearchOptions) -> None:
    calibration = find_calibration(options.calibration, options.model)
    query = _asked(options.query, options)
    gallery = _open(options)
    own = "own" in options.exclude_camera
    if own and len(options.exclude_camera) > 1:
        raise ConfigError("--exclude-camera takes 'own' or names, not both")
    found = gallery.search(
        query(),
        top_k=options.top_k,
        offset=options.offset,
        where=options.where,
        exclude_camera=True if own else options.exclude_camera,
        group_by=options.group_by,
        exact=options.exact,
        calibration=calibration,
        false_match_rate=options.false_match_rate,
        rerank=options.rerank,
    )
    if not write_report(found.to_json(), options.json):
        print(found)


def _describe(options: DescribeOptions) -> None:
    found = _open(options).describe(
        options.words, top_k=options.top_k, offset=options.offset, where=options.where
    )
    if not write_report(found.to_json(), options.json):
        print(found)


def _forget(options: ForgetOptions) -> None:
    person = _asked(options.person, options) if options.person else None
    gallery = _open(options)
    done = gallery.forget(
        ids=options.id,
        where=options.where,
        tag=options.tag,
        since=options.since,
        until=options.until,
        keep_days=options.keep_days,
        person=person() if person else None,
        threshold=options.threshold,
        calibration=find_calibration(options.calibration, options.model) if person else None,
        false_match_rate=options.false_match_rate,
        confirm=lambda found: _agreed(found, options),
    )
    if not done.gone:
        raise ConfigError("nothing was forgotten")
    if not write_report(done.to_json(), options.json):
        print(f"{options.gallery}: {len(done.ids):,} forgotten, {len(gallery):,} entries left")


def _list(options: ListOptions) -> None:
    found = _open(options).entries(where=options.where, limit=options.top_k, offset=options.offset)
    if not write_report({"entries": [entry.to_json() for entry in found]}, options.json):
        print(plain_table(ENTRY_COLUMNS, [entry.cells() for entry in found]))


def _stats(options: StatsOptions) -> None:
    found = _open(options).stats()
    if not write_report(found.to_json(), options.json):
        print(found)


def _index(options: IndexOptions) -> None:
    gallery = _open(options)
    if options.ray:
        connect(options.ray)
    gallery.index(on_cluster=options.ray is not None)
    found = gallery.stats()
    if not write_report(found.to_json(), options.json):
        print(f"{options.gallery}: {found.found_by()}")


def _compact(options: CompactOptions) -> None:
    gallery = _open(options)
    gallery.compact()
    found = gallery.stats(recall_queries=0)
    if not write_report(found.to_json(), options.json):
        print(f"{options.gallery}: {found.entries:,} entries, {found.bytes_on_disk or 0:,} bytes")


def _asked(given: Sequence[str], options: ModelOptions) -> Callable[[], Any]:
    """What makes ids, or vectors from files and pictures; the network is ready before."""
    if not given:
        raise ConfigError("search for what? Name pictures, a file of 'hatcnn embed' or an id")
    if len(given) == 1 and given[0].endswith(".npz"):
        people = Embeddings.load(Path(given[0]))
        return lambda: people
    if all(re.fullmatch("[0-9a-f]{4,32}", text) and not Path(text).exists() for text in given):
        return lambda: list(given)
    paths = find_files([Path(text) for text in given])
    embedder = load_embedder(options.model, backend=options.backend)
    return lambda: embedder.embed(paths, strict=True)


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the picture {name}: {error.strerror}") from None


def _agreed(found: Forgotten, options: ForgetOptions) -> bool:
    """Show what would be forgotten, and ask unless ``--yes`` has said so."""
    if str(options.json) != "-":
        print(plain_table(ENTRY_COLUMNS, [entry.cells() for entry in found.examples]))
        if len(found.ids) > len(found.examples):
            print(f"… and {len(found.ids) - len(found.examples):,} more")
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(f"{len(found.ids):,} entries would be forgotten: add --yes to do it")
    answer = input(f"Forget {len(found.ids):,} entries for good? [y/N] ")
    return answer.strip().lower() in ("y", "yes")
