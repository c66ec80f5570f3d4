"""Where pictures come from: files, folders, patterns, bytes, Pillow pictures, arrays."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from hatcnn import images
from hatcnn.errors import ConfigError
from hatcnn.images import Pixels

Picture = str | Path | bytes | Image.Image | npt.NDArray[np.uint8]
"""A file, a folder, a pattern such as ``crops/**/*.jpg``; a file's bytes; a Pillow picture; an
array (H, W, 3) uint8, RGB."""
Pictures = Picture | Iterable[Picture | tuple[str, Picture]]
"""One or many, where a pair gives a picture its name."""


def expand(pictures: Pictures) -> Iterator[tuple[str, Picture]]:
    """Name and source of each picture, in order, with folders and patterns taken apart.

    A file is named by its path; what has no name is called ``picture 0`` and so on, by its place.

    Raises:
        ConfigError: for a folder or pattern without pictures, and for what is no picture at all.
    """
    for place, given in enumerate(_listed(pictures)):
        if isinstance(given, tuple):
            yield given
        elif isinstance(given, (str, Path)):
            yield from ((str(path), path) for path in _files(given))
        elif isinstance(given, (bytes, Image.Image, np.ndarray)):
            yield f"picture {place}", given
        else:
            raise ConfigError(
                f"picture {place} is a {type(given).__name__}; expected a path, bytes, "
                "a Pillow picture or an array"
            )


def find_files(paths: Iterable[str | Path]) -> list[Path]:
    """The picture files that paths, folders and patterns name, in order.

    Raises:
        ConfigError: when there is nothing at a path, or no picture in a folder or for a pattern.
    """
    found = [path for given in paths for path in _files(given)]
    for path in found:
        if not path.exists():
            raise ConfigError(f"no picture at {path}")
    return found


def read(name: str, picture: Picture) -> Pixels:
    """Pixels (H, W, 3) of one picture.

    Raises:
        ImageError: when it cannot be read, see `hatcnn.images`.
    """
    if isinstance(picture, bytes):
        return images.decode(picture, name)
    if isinstance(picture, Image.Image):
        return images.from_pillow(picture, name)
    if isinstance(picture, np.ndarray):
        return images.from_array(picture, name)
    return images.load(picture)


def _listed(pictures: Pictures) -> Iterable[Any]:
    if isinstance(pictures, np.ndarray) and pictures.ndim > 3:
        return list(pictures)
    if isinstance(pictures, (str, Path, bytes, Image.Image, np.ndarray)):
        return (pictures,)
    return pictures


def _files(path: str | Path) -> list[Path]:
    path, text = Path(path), str(path)
    if path.is_dir():
        # Folders inside folders too.
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in images.SUFFIXES)
        if not found:
            raise ConfigError(f"no pictures in {path} ({', '.join(images.SUFFIXES)})")
        return found
    if path.exists() or not glob.has_magic(text):
        return [path]
    # Path.glob would need absolute patterns taken apart.
    paths = map(Path, glob.glob(text, recursive=True))  # noqa: PTH207
    matches = sorted(p for p in paths if p.is_file())
    if not matches:
        raise ConfigError(f"no pictures match {path}")
    return matches
