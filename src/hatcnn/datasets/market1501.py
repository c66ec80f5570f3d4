"""Market-1501 as published (Zheng et al., ICCV 2015), from its folder or straight from its zip.

File names read ``0002_c1s1_000451_03.jpg``: identity, camera, sequence, frame, box. Some end in
``.jpg.jpg``, and folders found in the wild hold a ``Thumbs.db``; names are therefore read from
their start, and anything that is no picture is passed over.
"""

from __future__ import annotations

import re
from pathlib import Path

from hatcnn.attributes import NUM_ATTRIBUTES, UNKNOWN
from hatcnn.datasets.market_attributes import Labels, find_labels, read_labels
from hatcnn.datasets.samples import Dataset, Sample, Split
from hatcnn.datasets.stores import FolderStore, ZipStore
from hatcnn.errors import DataError

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
_NAME = re.compile(r"(?P<pid>-1|\d{4})_c(?P<camid>\d)s\d.*\.jpg$")
_JUNK = -1


def is_market1501(root: Path) -> bool:
    """Whether `root` is a zip or folder that holds (in itself or one below) the training folder."""
    if root.suffix.lower() == ".zip":
        return True
    return any(root.glob(f"{FOLDERS['train']}")) or any(root.glob(f"*/{FOLDERS['train']}"))


def load_market1501(root: str | Path, attributes: str | Path | None = None) -> Dataset:
    """Read who is in which picture; the pictures themselves stay where they are.

    Junk (identity -1) is dropped and counted in `Dataset.left_out`; distractors (0000) stay in
    the gallery with pid 0.

    Args:
        root: the published folder, a folder that holds it, or the zip.
        attributes: the labels of Lin et al., ``market_attribute.mat``; when none are named they
            are looked for in and beside `root`. Identities without labels stay `UNKNOWN`.

    Raises:
        DataError: when something is missing or damaged.
    """
    root = Path(root)
    store = _open(root)
    names = store.names()
    labels_path = Path(attributes) if attributes else find_labels(root)
    labels = read_labels(labels_path) if labels_path else {}

    splits: dict[str, Split] = {}
    junk = 0
    for split, folder in FOLDERS.items():
        samples, dropped = _samples(names, folder, labels)
        if not samples:
            raise DataError(f"{folder} not found under {root}: pass the folder that holds it")
        splits[split] = Split.of(samples)
        junk += dropped
    return Dataset(
        "Market-1501",
        store,
        splits["train"],
        splits["query"],
        splits["gallery"],
        left_out={"junk": junk},
    )


def _open(root: Path) -> FolderStore | ZipStore:
    if root.is_file():
        store = ZipStore(root)
        for name in store.names():
            head, found, _ = name.partition(f"{FOLDERS['train']}/")
            if found:
                return ZipStore(root, head)
        raise DataError(f"{root} holds no folder {FOLDERS['train']}: is it Market-1501?")
    for folder in (root, *sorted(p for p in root.glob("*") if p.is_dir())):
        if (folder / FOLDERS["train"]).is_dir():
            return FolderStore(folder)
    raise DataError(f"{FOLDERS['train']} not found under {root}: pass the folder that holds it")


def _samples(names: list[str], folder: str, labels: Labels) -> tuple[list[Sample], int]:
    unknown = (UNKNOWN,) * NUM_ATTRIBUTES
    samples, junk = [], 0
    for name in names:
        if not name.startswith(f"{folder}/"):
            continue
        match = _NAME.match(name.rpartition("/")[2])
        if match is None:
            continue
        pid = int(match["pid"])
        if pid == _JUNK:
            junk += 1
        else:
            samples.append(Sample(name, pid, int(match["camid"]), labels.get(pid, unknown)))
    return samples, junk
