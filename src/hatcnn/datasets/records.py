"""From rows about pictures of your own to a `Dataset`: numbers for names, and splits.

**Splits.** Where the owner gives none, half of the identities (drawn with a fixed seed) train and
the others test. Test pictures are divided like this: of every identity that at least two cameras
saw, each camera's first picture (by name) becomes a query if that camera has a second one; if no
camera has, the identity's very first picture does. Everything else is gallery, so every query has
a match by another camera, and identities that only one camera saw are in the gallery alone.

**Cameras.** The protocol ignores matches by the query's own camera. Where no camera is known, each
picture counts as taken by a camera of its own, so that no match is ignored.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hatcnn.attributes import NUM_ATTRIBUTES, UNKNOWN
from hatcnn.datasets.samples import DISTRACTOR, Dataset, Sample, Split, Store
from hatcnn.errors import DataError, nearest_names

SPLITS = ("train", "query", "gallery", "test")
_DISTRACTORS = ("0", "0000", "distractor")
_JUNK = ("-1", "junk")


@dataclass(frozen=True, slots=True)
class Record:
    """One picture as its owner describes it.

    Attributes:
        path: name in the store.
        identity: any text; ``0`` or ``distractor`` is nobody in particular, ``-1`` or ``junk``
            is left out.
        camera: any text; none when not known.
        split: train, query, gallery, or test (query and gallery are then chosen); none when the
            owner leaves it to us.
        attributes: 26 labels.
    """

    path: str
    identity: str
    camera: str | None = None
    split: str | None = None
    attributes: tuple[int, ...] = (UNKNOWN,) * NUM_ATTRIBUTES


def dataset_of(
    name: str, store: Store, records: Sequence[Record], left_out: dict[str, int] | None = None
) -> Dataset:
    """Number identities and cameras and make the splits.

    Identities that are all whole numbers above zero, which is the `DISTRACTOR`, keep them;
    otherwise they are numbered from 1 in natural order and their names kept in
    `Dataset.identity_names`.

    Raises:
        DataError: when there are no records, a split has an unknown name, or only some records
            have one.
    """
    if not records:
        raise DataError(f"{name} holds no pictures")
    kept = [r for r in records if r.identity not in _JUNK]
    left_out = dict(left_out or {})
    if len(kept) < len(records):
        left_out["junk"] = len(records) - len(kept)
    named = _with_splits(sorted(kept, key=lambda r: r.path))
    pids = _numbers({r.identity for r in named} - set(_DISTRACTORS), least=1)
    pids |= dict.fromkeys(_DISTRACTORS, DISTRACTOR)
    cameras = _numbers({r.camera for r in named if r.camera is not None}, least=0)
    own_camera = max(cameras.values(), default=0)
    samples: dict[str, list[Sample]] = {split: [] for split in SPLITS[:3]}
    for record in named:
        if record.camera is None:
            own_camera += 1
        camid = own_camera if record.camera is None else cameras[record.camera]
        assert record.split is not None
        samples[record.split].append(
            Sample(record.path, pids[record.identity], camid, record.attributes)
        )
    return Dataset(
        name,
        store,
        **{split: Split.of(members) for split, members in samples.items()},
        identity_names={n: text for text, n in pids.items() if n and str(n) != text},
        left_out=left_out,
    )


def _with_splits(records: list[Record]) -> list[Record]:
    for record in records:
        if record.split is not None and record.split not in SPLITS:
            raise DataError(
                f"{record.path} has split {record.split!r}{nearest_names(record.split, SPLITS)}"
            )
    without = [r for r in records if r.split is None]
    if without and len(without) < len(records):
        raise DataError(
            f"{without[0].path} has no split but others have: give all pictures one, or none"
        )
    if without:
        identities = sorted({r.identity for r in records} - set(_DISTRACTORS))
        order = np.random.default_rng(0).permutation(len(identities))
        training = {identities[i] for i in order[: (len(identities) + 1) // 2]}
        records = [replace(r, split="train" if r.identity in training else "test") for r in records]
    queries = choose_queries((r.path, r.identity, r.camera) for r in records if r.split == "test")
    return [
        replace(r, split="query" if r.path in queries else "gallery") if r.split == "test" else r
        for r in records
    ]


def choose_queries(pictures: Iterable[tuple[str, str, str | None]]) -> set[str]:
    """Which test pictures become queries: each has a match by another camera in the rest.

    Args:
        pictures: (path, identity, camera), sorted by path; without a camera a picture counts as
            taken by one of its own.

    Returns:
        Paths.
    """
    seen: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, identity, camera in pictures:
        if identity not in _DISTRACTORS:
            seen[identity][path if camera is None else camera].append(path)
    queries: set[str] = set()
    for cameras in seen.values():
        if len(cameras) < 2:
            continue
        firsts = [paths[0] for paths in cameras.values() if len(paths) > 1]
        queries.update(firsts or [next(iter(cameras.values()))[0]])
    return queries


def _numbers(texts: set[str], *, least: int) -> dict[str, int]:
    """Whole numbers from `least` on stay (0007 is 7); others count from 1 in natural order."""
    if all(re.fullmatch(r"[0-9]{1,15}", t) for t in texts):
        numbers = {t: int(t) for t in texts}
        if len(set(numbers.values())) == len(texts) and least <= min(
            numbers.values(), default=least
        ):
            return numbers
    return {t: n for n, t in enumerate(sorted(texts, key=_natural), start=1)}


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key under which "cam10" follows "cam9"."""
    return [
        (1, int(part), "") if part.isdecimal() else (0, 0, part)
        for part in re.split(r"([0-9]+)", text)
        if part
    ]
