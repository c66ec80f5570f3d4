"""The attribute labels of Market-1501 (Lin et al., Pattern Recognition 2019)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hatcnn.attributes import NAMES
from hatcnn.errors import DataError

FILE = "market_attribute.mat"

Labels = dict[int, tuple[int, ...]]
"""Identity to 26 labels, each 0 or 1."""


def find_labels(root: Path) -> Path | None:
    """The label file in or beside `root`; none when there is none."""
    for folder in (root, root.parent):
        if (folder / FILE).is_file():
            return folder / FILE
    return None


def read_labels(path: str | Path) -> Labels:
    """Read the label file, one row an identity of train and test.

    The file's train and test structures list their fields in different orders, so fields are
    found by name. Its values are 1 and 2; ours are 0 and 1.

    Raises:
        DataError: when the file is missing, no such file, or lacks a field.
    """
    path = Path(path)
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError:
        raise DataError(f'reading {path} needs SciPy: pip install "hatcnn[train]"') from None
    if not path.is_file():
        raise DataError(f"no attribute labels at {path}")
    try:
        root = loadmat(path, squeeze_me=True, struct_as_record=False)["market_attribute"]
        labels: Labels = {}
        for part in (root.train, root.test):
            columns = [np.atleast_1d(getattr(part, name)).astype(int) - 1 for name in NAMES]
            for row, pid in enumerate(np.atleast_1d(part.image_index)):
                labels[int(pid)] = tuple(int(column[row]) for column in columns)
    except (KeyError, AttributeError, ValueError, TypeError, MatReadError) as error:
        raise DataError(f"{path} is not the published {FILE}: {error}") from None
    if any(value not in (0, 1) for row in labels.values() for value in row):
        raise DataError(f"{path} holds labels other than 1 and 2")
    return labels
