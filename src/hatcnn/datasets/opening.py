"""One way in: recognise what kind of data set a path is."""

from __future__ import annotations

from pathlib import Path

from hatcnn.datasets.folder import load_folder
from hatcnn.datasets.manifest import MANIFESTS, load_manifest
from hatcnn.datasets.market1501 import is_market1501, load_market1501
from hatcnn.datasets.samples import Dataset
from hatcnn.datasets.synthetic import synthetic_people
from hatcnn.errors import DataError

SYNTHETIC = "synthetic"


def open_dataset(
    root: str | Path, *, attributes: str | Path | None = None, pattern: str | None = None
) -> Dataset:
    """Open a data set of any kind that we know.

    ============================================  ======================================
    the word ``synthetic``                        `synthetic_people`
    a zip, or a folder with bounding_box_train    `load_market1501`
    a ``.csv`` or ``.parquet`` file, or a folder  `load_manifest`
    with a ``manifest.csv`` or ``.parquet``
    any other folder                              `load_folder`
    ============================================  ======================================

    Args:
        root: see above.
        attributes: Market-1501's label file, where it does not lie beside the pictures.
        pattern: regular expression for the file names of a folder, see `load_folder`.

    Raises:
        DataError: when there is nothing at `root`, or what is there is not complete.
    """
    if str(root) == SYNTHETIC:
        return synthetic_people()
    root = Path(root)
    if not root.exists():
        raise DataError(
            f"no data at {root}: pass a folder, a zip, a manifest, or the word {SYNTHETIC!r}"
        )
    if root.suffix.lower() in (".csv", ".parquet"):
        return load_manifest(root)
    if pattern is None and is_market1501(root):
        return load_market1501(root, attributes)
    if root.is_file():
        raise DataError(f"{root} is no zip, CSV or Parquet file")
    for name in MANIFESTS:
        if pattern is None and (root / name).is_file():
            return load_manifest(root / name)
    return load_folder(root, pattern)
