"""Pictures of your own, described by a CSV or Parquet table; and such a table from any data set."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatcnn.attributes import NAMES, UNKNOWN
from hatcnn.datasets.records import Record, dataset_of
from hatcnn.datasets.samples import Dataset
from hatcnn.datasets.stores import FolderStore
from hatcnn.errors import DataError
from hatcnn.files import write_text
from hatcnn.progress import progress

MANIFESTS = ("manifest.csv", "manifest.parquet")
_LABELS = {"0": 0, "1": 1, "false": 0, "true": 1, "": UNKNOWN}


def load_manifest(path: str | Path) -> Dataset:
    """Read a table with one row a picture.

    ================  =================================================================
    ``path``          needed: of the picture, relative to the table
    ``pid``           needed: identity, any text
    ``camid``         camera, any text; empty when not known
    ``split``         train, query, gallery or test; for all pictures or for none
    attribute names   ``backpack``, ``upred``, …: 0, 1, or empty when not known
    ================  =================================================================

    Other columns are ignored.

    Raises:
        DataError: when the table is missing or damaged, a needed column is missing, a picture is
            listed twice, or a label is none.
    """
    path = Path(path)
    rows = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    if not rows:
        raise DataError(f"{path} lists no pictures")
    for column in ("path", "pid"):
        if column not in rows[0]:
            raise DataError(
                f"{path} has no column {column!r}; its columns are {', '.join(rows[0])}"
            )
    first_row: dict[str, int] = {}
    # People count the header as row 1.
    for number, row in enumerate(rows, start=2):
        for column in ("path", "pid"):
            if not row[column]:
                raise DataError(f"{path}, row {number}: {column} is empty")
        earlier = first_row.setdefault(row["path"], number)
        if earlier != number:
            raise DataError(
                f"{path}, row {number}: {row['path']} is already in row {earlier}; "
                "list each picture once"
            )
    records = [
        Record(
            row["path"],
            row["pid"],
            row.get("camid") or None,
            row.get("split") or None,
            tuple(_label(row, name, f"{path}, row {number}") for name in NAMES),
        )
        for number, row in enumerate(rows, start=2)
    ]
    return dataset_of(
        path.stem if path.name not in MANIFESTS else path.parent.name,
        FolderStore(path.parent),
        records,
    )


def write_dataset(dataset: Dataset, folder: str | Path) -> Path:
    """Write any data set as a folder of pictures with a ``manifest.csv``.

    The manifest comes last and makes the folder a data set: what was cut short is none.

    Returns:
        Path of the manifest.
    """
    folder = Path(folder)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("path", "pid", "camid", "split", *NAMES))
    total = sum(map(len, dataset.splits().values()))
    with progress("writing", total, "pictures") as advance:
        for split, samples in dataset.splits().items():
            for sample in samples:
                picture = folder / sample.name
                picture.parent.mkdir(parents=True, exist_ok=True)
                picture.write_bytes(dataset.store.read(sample.name))
                labels = ("" if label == UNKNOWN else label for label in sample.attributes)
                writer.writerow((sample.name, sample.pid, sample.camid, split, *labels))
                advance(1)
    write_text(folder / MANIFESTS[0], table.getvalue())
    return folder / MANIFESTS[0]


def _read_csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="", restval="", strict=True)
            return [{k: v for k, v in row.items() if k} for row in reader]
    except FileNotFoundError:
        raise DataError(f"no manifest at {path}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV table in UTF-8: {error}") from None


def _read_parquet(path: Path) -> list[dict[str, str]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise DataError(f'reading {path} needs pyarrow: pip install "hatcnn[train]"') from None
    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except FileNotFoundError:
        raise DataError(f"no manifest at {path}") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is no Parquet table: {error}") from None
    return [{k: _text(v) for k, v in row.items()} for row in rows]


def _text(value: Any) -> str:
    if value is None or value != value:  # a missing number is NaN, which differs from itself
        return ""
    if isinstance(value, float) and value.is_integer():
        # A column of whole numbers with gaps arrives as floating point.
        return str(int(value))
    return str(value)


def _label(row: Mapping[str, str], name: str, where: str) -> int:
    text = row.get(name, "").strip().lower()
    if text not in _LABELS:
        raise DataError(f"{where}: {name} is {text!r}, expected 0, 1 or nothing")
    return _LABELS[text]
