"""What ``hatcnn gallery`` reads: pictures, and a table of who is in them."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hatcnn.errors import ConfigError, DataError, nearest_names
from hatcnn.evaluation.thresholds import Calibration
from hatcnn.inference.distributed import connect
from hatcnn.models.folder import CALIBRATION, find_model

PICTURES_AT_ONCE = 2000
"""Pictures that are embedded before they are added, and kept whatever happens after."""
ABOUT = ("camera", "seen_at", "identity", "tracklet", "tags")
"""Columns of a manifest beside ``name``."""


def load_embedder(model: str | None, *, backend: str, workers: int = 0, threads: int = 0) -> Any:
    """The network that embeds pictures; only then are the libraries that run it needed.

    Args:
        model: folder or name.
        backend, workers, threads: see `Embedder.load`.

    Raises:
        ConfigError: when no model is named.
    """
    if model is None:
        raise ConfigError("pictures need a network: add --model MODEL, or embed them first")
    from hatcnn.inference import Embedder

    return Embedder.load(model, backend=backend, workers=workers, threads=threads)  # type: ignore[arg-type]


def cluster_embedder(model: str | None, *, backend: str, address: str) -> Callable[[], Any]:
    """What makes the network in a worker of the Ray cluster, which is joined.

    Raises:
        ConfigError: when no model is named, or the cluster cannot be reached.
        CheckpointError: when the model is missing.
    """
    if model is None:
        raise ConfigError("pictures need a network: add --model MODEL, or embed them first")
    find_model(model)
    connect(address)
    # Ray starts one worker a core.
    return partial(load_embedder, model, backend=backend, workers=1, threads=1)


def find_calibration(given: str | None, model: str | None) -> Calibration | None:
    """What scores mean: as it was named, or as it lies in the model's folder.

    Args:
        given: a file, or a model folder or name.
        model: folder or name of the model, whose calibration is taken where it has one.

    Raises:
        EvaluationError: when what was named is no calibration.
        CheckpointError: for a model that is missing.
    """
    if given is not None:
        path = Path(given)
        return Calibration.load(path if path.is_file() else find_model(given) / CALIBRATION)
    if model is None:
        return None
    path = find_model(model) / CALIBRATION
    return Calibration.load(path) if path.exists() else None


def in_parts(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """So many paths at once that little is lost when the work is cut off."""
    return (paths[at : at + PICTURES_AT_ONCE] for at in range(0, len(paths), PICTURES_AT_ONCE))


_SURPLUS = ""
"""Key of the cells beyond the last column."""


class Manifest:
    """A CSV table with a row for every picture.

    Args:
        path: of the table, with the column ``name`` (a path as it was embedded, relative to the
            table, or only the file's name) and some of `ABOUT`; tags are set apart by semicolons.

    Raises:
        DataError: when it cannot be read, has no column ``name`` or an unknown one, or names a
            picture twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, str]] = {}
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, restkey=_SURPLUS, restval="", strict=True)
                columns = reader.fieldnames or ()
                self._check(columns)
                for number, row in enumerate(reader, start=2):
                    if any(row.get(_SURPLUS, ())):
                        raise DataError(
                            f"{path}, row {number} has more cells than the table has columns: set "
                            "tags apart by semicolons"
                        )
                    if self.rows.setdefault(row["name"], row) is not row:
                        raise DataError(f"{path}, row {number}: {row['name']} is listed twice")
        except FileNotFoundError:
            raise DataError(f"no manifest at {path}") from None
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} is no CSV table in UTF-8: {error}") from None

    def about(self, names: Sequence[str], defaults: dict[str, Any]) -> dict[str, list[Any]]:
        """Columns for `Gallery.add`, one value a picture; empty cells take the default.

        Raises:
            DataError: when a picture has no row.
        """
        rows = [self._row(name) for name in names]
        columns: dict[str, list[Any]] = {}
        for column in ABOUT:
            columns[column] = [row.get(column) or defaults.get(column) for row in rows]
        columns["tags"] = [
            [tag.strip() for tag in re.split(";", value) if tag.strip()]
            if isinstance(value, str)
            else value
            for value in columns["tags"]
        ]
        return columns

    def _row(self, name: str) -> dict[str, str]:
        spellings = [name, Path(name).name]
        if Path(name).is_relative_to(self.path.parent):
            spellings.insert(1, str(Path(name).relative_to(self.path.parent)))
        for spelling in spellings:
            if spelling in self.rows:
                return self.rows[spelling]
        raise DataError(f"{self.path} has no row for {name}; nothing of this part was added")

    def _check(self, columns: Sequence[str]) -> None:
        if "name" not in columns:
            found = ", ".join(columns) or "none"
            raise DataError(f"{self.path} has no column 'name'; its columns are {found}")
        for column in columns:
            if column != "name" and column not in ABOUT:
                raise DataError(
                    f"{self.path}: unknown column {column!r}{nearest_names(column, ABOUT)}"
                )
