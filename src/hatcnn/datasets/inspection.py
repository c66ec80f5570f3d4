"""What a data set holds, and everything that is wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hatcnn.attributes import LOWER_COLOURS, NAMES, UPPER_COLOURS
from hatcnn.datasets.samples import DISTRACTOR, Dataset, Split
from hatcnn.errors import HatcnnError
from hatcnn.images import decode
from hatcnn.progress import progress

_EXAMPLES = 3


@dataclass(frozen=True)
class SplitCounts:
    """Counts of one split. `identities` leaves distractors out; `by_camera` counts pictures."""

    name: str
    pictures: int
    identities: int
    cameras: int
    distractors: int
    labelled: int
    by_camera: dict[int, int]


@dataclass(frozen=True)
class AttributeCount:
    """How often an attribute is present, among labelled identities and pictures of one half."""

    name: str
    identities: int
    labelled_identities: int
    pictures: int
    labelled_pictures: int


@dataclass(frozen=True)
class Problem:
    """Something worth knowing.

    Attributes:
        kind: what it is, in words.
        count: how often.
        examples: a few places.
        harmless: true for what is as expected in some data sets and only good to know.
    """

    kind: str
    count: int
    examples: tuple[str, ...]
    harmless: bool = False


@dataclass(frozen=True)
class Inspection:
    """What `inspect_dataset` found.

    Attributes:
        name: of the data set.
        splits: counts of train, query and gallery.
        left_out: what reading left out on purpose, such as junk.
        attributes: by half, ``"train"`` and ``"test"``.
        sizes: (width, height) and how many pictures have it, commonest first.
        problems: worst first; empty when nothing was found.
    """

    name: str
    splits: tuple[SplitCounts, ...]
    left_out: dict[str, int]
    attributes: dict[str, tuple[AttributeCount, ...]]
    sizes: tuple[tuple[tuple[int, int], int], ...]
    problems: tuple[Problem, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


def inspect_dataset(dataset: Dataset) -> Inspection:
    """Read every picture and every label of a data set."""
    sizes, problems = _pictures(dataset)
    problems += _identities(dataset)
    halves = {
        "train": dataset.train,
        "test": _joined(dataset.query, dataset.gallery),
    }
    attributes = {half: _attribute_counts(split) for half, split in halves.items()}
    problems += _labels(halves, attributes)
    problems.sort(key=lambda p: p.harmless)
    return Inspection(
        name=dataset.name,
        splits=tuple(_counts(name, split) for name, split in dataset.splits().items()),
        left_out=dataset.left_out,
        attributes=attributes,
        sizes=tuple(sizes.most_common()),
        problems=tuple(problems),
    )


def _counts(name: str, split: Split) -> SplitCounts:
    cameras, pictures = np.unique(split.camids, return_counts=True)
    return SplitCounts(
        name=name,
        pictures=len(split),
        identities=len(np.unique(split.pids[split.pids != DISTRACTOR])),
        cameras=len(cameras),
        distractors=int((split.pids == DISTRACTOR).sum()),
        labelled=int(split.labelled.sum()),
        by_camera=dict(zip(cameras.tolist(), pictures.tolist(), strict=True)),
    )


def _pictures(dataset: Dataset) -> tuple[Counter[tuple[int, int]], list[Problem]]:
    """Sizes of all pictures; the unreadable and those whose bytes occur twice."""

    def look(name: str) -> tuple[bytes, tuple[int, int] | HatcnnError]:
        try:
            data = dataset.store.read(name)
        except HatcnnError as error:
            return b"", error
        digest = hashlib.sha256(data).digest()
        try:
            height, width, _ = decode(data, name).shape
        except HatcnnError as error:
            return digest, error
        return digest, (width, height)

    sizes: Counter[tuple[int, int]] = Counter()
    unreadable: list[str] = []
    same_bytes: dict[bytes, list[tuple[str, str]]] = defaultdict(list)
    total = sum(map(len, dataset.splits().values()))
    with ThreadPoolExecutor(4) as pool, progress("reading", total, "pictures") as advance:
        for split, samples in dataset.splits().items():
            for name, (digest, size) in zip(
                samples.names, pool.map(look, samples.names), strict=True
            ):
                if isinstance(size, HatcnnError):
                    unreadable.append(str(size))
                else:
                    sizes[size] += 1
                if digest:
                    same_bytes[digest].append((split, name))
                advance(1)
    twice = [places for places in same_bytes.values() if len(places) > 1]
    across = [p for p in twice if len({split for split, _ in p}) > 1]
    within = [p for p in twice if len({split for split, _ in p}) == 1]
    return sizes, [
        *_problem("unreadable pictures", unreadable),
        *_problem("pictures whose bytes occur in several splits", map(_places, across)),
        *_problem("pictures whose bytes occur twice in a split", map(_places, within)),
    ]


def _identities(dataset: Dataset) -> list[Problem]:
    train = set(dataset.train.pids.tolist()) - {DISTRACTOR}
    test = {*dataset.query.pids.tolist(), *dataset.gallery.pids.tolist()} - {DISTRACTOR}
    cameras: dict[int, set[int]] = defaultdict(set)
    for pid, camid in zip(dataset.gallery.pids, dataset.gallery.camids, strict=True):
        cameras[int(pid)].add(int(camid))
    unmatched = [s.name for s in dataset.query if not cameras[s.pid] - {s.camid}]
    train_cameras: dict[int, set[int]] = defaultdict(set)
    for sample in dataset.train:
        train_cameras[sample.pid].add(sample.camid)
    lonely = [pid for pid, seen in train_cameras.items() if len(seen) == 1]
    everyone = set(dataset.query.names) & set(dataset.gallery.names)
    return [
        *_problem("identities in both train and test", sorted(train & test)),
        *_problem("queries without a match by another camera in the gallery", unmatched),
        *_problem("pictures in both query and gallery", sorted(everyone)),
        *_problem("distractors among the queries", _where(dataset.query, DISTRACTOR)),
        *_problem("training identities seen by one camera only", sorted(lonely), harmless=True),
    ]


def _labels(
    halves: dict[str, Split], attributes: dict[str, tuple[AttributeCount, ...]]
) -> list[Problem]:
    problems: list[Problem] = []
    for half, split in halves.items():
        real = split.pids != DISTRACTOR
        if not (split.labelled & real).any():
            if real.any():
                problems += _problem(f"no attribute labels in {half}", [half], harmless=True)
            continue
        unlabelled = np.unique(split.pids[real & ~split.labelled])
        problems += _problem(f"{half} identities without attribute labels", unlabelled.tolist())
        for group, words in ((UPPER_COLOURS, "upper"), (LOWER_COLOURS, "lower")):
            colours = (split.attributes[:, group] == 1).sum(axis=1)
            several = np.unique(split.pids[colours > 1])
            none = np.unique(split.pids[split.labelled & (colours == 0)])
            problems += _problem(
                f"{half} identities with several {words} colours", several.tolist()
            )
            problems += _problem(
                f"{half} identities with no {words} colour (an implicit 'other')",
                none.tolist(),
                harmless=True,
            )
        rare = [a.name for a in attributes[half] if a.identities == 0]
        problems += _problem(f"attributes that nobody has in {half}", rare, harmless=True)
        once = [a.name for a in attributes[half] if a.identities == 1]
        problems += _problem(f"attributes that one identity has in {half}", once, harmless=True)
    return problems


def _attribute_counts(split: Split) -> tuple[AttributeCount, ...]:
    counts = []
    for column, name in enumerate(NAMES):
        labels = split.attributes[:, column]
        present, known = labels == 1, labels >= 0
        counts.append(
            AttributeCount(
                name,
                len(np.unique(split.pids[present])),
                len(np.unique(split.pids[known])),
                int(present.sum()),
                int(known.sum()),
            )
        )
    return tuple(counts)


def _joined(first: Split, second: Split) -> Split:
    return Split.of([*first, *second])


def _where(split: Split, pid: int) -> list[str]:
    return [split.names[i] for i in np.flatnonzero(split.pids == pid)]


def _places(places: list[tuple[str, str]]) -> str:
    return " = ".join(name for _, name in places)


def _problem(kind: str, found: Any, *, harmless: bool = False) -> list[Problem]:
    """One problem, or none when nothing was found."""
    examples = [str(f) for f in found]
    if not examples:
        return []
    return [Problem(kind, len(examples), tuple(examples[:_EXAMPLES]), harmless)]
