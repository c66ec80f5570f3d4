"""Pictures of your own in folders: a folder an identity, or a pattern for the file names."""

from __future__ import annotations

import re
from pathlib import Path

from hatcnn.datasets.records import SPLITS, Record, dataset_of
from hatcnn.datasets.samples import Dataset
from hatcnn.datasets.stores import FolderStore
from hatcnn.errors import ConfigError, DataError
from hatcnn.images import SUFFIXES


def load_folder(root: str | Path, pattern: str | None = None) -> Dataset:
    """Read who is in which picture from the names of folders or files.

    Without a pattern, the folder that a picture lies in is its identity:
    ``ROOT/anna/1.jpg``, or with splits ``ROOT/train/anna/1.jpg``. Cameras are then unknown.

    With a pattern, it is searched in each picture's path below `root`. Its named groups say who
    and where: ``pid`` (needed), ``camid`` and ``split``. ``(?P<pid>\\d+)_c(?P<camid>\\d)`` reads
    Market-1501's names. Pictures that it does not match are counted in `Dataset.left_out`.

    Raises:
        ConfigError: when the pattern is no regular expression or has no group ``pid``.
        DataError: when there are no pictures, or none matches.
    """
    root = Path(root)
    store = FolderStore(root)
    paths = [n for n in store.names() if n.lower().endswith(SUFFIXES)]
    if not paths:
        raise DataError(f"{root} holds no pictures ({', '.join(SUFFIXES)})")
    if pattern is None:
        records = [_by_folder(path, root) for path in paths]
        return dataset_of(root.name, store, records)
    expression = _compile(pattern)
    matched = [_by_pattern(path, match) for path in paths if (match := expression.search(path))]
    if not matched:
        raise DataError(
            f"the pattern {pattern!r} matches none of {len(paths)} pictures: {paths[0]}"
        )
    unmatched = len(paths) - len(matched)
    return dataset_of(
        root.name, store, matched, {"not matched by the pattern": unmatched} if unmatched else {}
    )


def _by_folder(path: str, root: Path) -> Record:
    *folders, _ = path.split("/")
    split = folders[0] if folders and folders[0] in SPLITS else None
    if len(folders) != (2 if split else 1):
        raise DataError(
            f"{root / path} is not in a folder of one identity: expected {root}/IDENTITY/PICTURE "
            f"or {root}/train/IDENTITY/PICTURE; or pass a pattern, or a manifest"
        )
    return Record(path, folders[-1], split=split)


def _by_pattern(path: str, match: re.Match[str]) -> Record:
    groups = match.groupdict()
    return Record(path, groups["pid"], groups.get("camid"), groups.get("split"))


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"the pattern {pattern!r} is no regular expression: {error}") from None
    if "pid" not in expression.groupindex:
        raise ConfigError(f"the pattern {pattern!r} has no group (?P<pid>…) for the identity")
    return expression
