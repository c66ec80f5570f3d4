"""Decode a split once, into one memory-mapped file that every later run reuses."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hatcnn import images
from hatcnn.datasets.samples import Split, Store
from hatcnn.errors import DataError, HatcnnError, ImageError
from hatcnn.files import atomic_path, cache_dir, write_json
from hatcnn.progress import progress

_VERSION = 1
"""Raised whenever decoding or resizing changes, so that old packs are not taken for new ones."""
_CHUNK = 512


@dataclass(frozen=True, eq=False)
class PackedSplit:
    """A split with its pixels.

    Attributes:
        split: the pictures that could be read.
        images: (n, H, W, 3) uint8 RGB, memory-mapped; row i belongs to ``split[i]``.
        skipped: (name, reason) of the pictures that could not be read.
        path: the file.
    """

    split: Split
    images: npt.NDArray[np.uint8]
    skipped: tuple[tuple[str, str], ...]
    path: Path


def pack(
    store: Store, split: Split, height: int, width: int, *, strict: bool = False
) -> PackedSplit:
    """Decode and resize a split's pictures, or reuse the file of an earlier call.

    The file lies in the cache folder (``HATCNN_CACHE``) under a name made of its content: the
    bytes of the pictures, their order and the size. It is written beside and renamed, so several
    processes may pack the same split at once.

    Args:
        store: where the bytes come from.
        split: which pictures, in which order.
        height, width: of the result, pixels.
        strict: raise at the first unreadable picture instead of skipping it.

    Raises:
        ImageError, DataError: for an unreadable picture, when `strict`.
        DataError: when no picture can be read or the file cannot be written.
    """
    path = cache_dir() / "packs" / f"{_key(store, split, height, width)}.npy"
    report = path.with_suffix(".json")
    if not _is_complete(path, report, len(split), height, width):
        try:
            _write(path, report, store, split, height, width)
        except OSError as error:
            raise DataError(
                f"cannot write the pack {path}: {error.strerror}; set HATCNN_CACHE to a folder "
                "with more room"
            ) from None
    skipped = tuple((n, r) for n, r in json.loads(report.read_text())["skipped"])
    if skipped and strict:
        raise ImageError(skipped[0][1])
    if len(skipped) == len(split) and len(split):
        raise DataError(f"none of {len(split)} pictures can be read; the first: {skipped[0][1]}")
    unreadable = {name for name, _ in skipped}
    readable = [i for i, name in enumerate(split.names) if name not in unreadable]
    pixels = np.load(path, mmap_mode="r") if len(split) else np.empty((0, height, width, 3), "u1")
    return PackedSplit(split.take(readable), pixels, skipped, path)


def _key(store: Store, split: Split, height: int, width: int) -> str:
    digest = hashlib.sha256(f"{_VERSION} {height} {width}".encode())
    for _, data in _read(store, split.names):
        digest.update(hashlib.sha256(data if isinstance(data, bytes) else b"").digest())
    for name in split.names:
        digest.update(name.encode() + b"\0")
    return digest.hexdigest()[:32]


def _read(store: Store, names: tuple[str, ...]) -> Iterator[tuple[str, bytes | HatcnnError]]:
    def read(name: str) -> bytes | HatcnnError:
        try:
            return store.read(name)
        except HatcnnError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        for start in range(0, len(names), _CHUNK):
            chunk = names[start : start + _CHUNK]
            yield from zip(chunk, pool.map(read, chunk), strict=True)


def _is_complete(path: Path, report: Path, pictures: int, height: int, width: int) -> bool:
    try:
        skipped = json.loads(report.read_text())["skipped"]
        shape = np.load(path, mmap_mode="r").shape if pictures > len(skipped) else None
    except (OSError, ValueError, KeyError, EOFError):
        return False
    return shape is None or shape == (pictures - len(skipped), height, width, 3)


def _write(path: Path, report: Path, store: Store, split: Split, height: int, width: int) -> None:
    def decode(item: tuple[str, bytes | HatcnnError]) -> images.Pixels | HatcnnError:
        name, data = item
        try:
            if isinstance(data, HatcnnError):
                raise data
            return images.resize(images.decode(data, name), height, width)
        except HatcnnError as error:
            return error

    skipped = []
    with atomic_path(path) as temporary, ThreadPoolExecutor(4) as pool:
        # The number of readable pictures is known only at the end: write the rows raw after room
        # for the header, and the header last.
        header = _header((len(split), height, width, 3))
        with temporary.open("wb") as file, progress("decoding", len(split), "pictures") as advance:
            file.write(header)
            items = _read(store, split.names)
            while chunk := list(itertools.islice(items, _CHUNK)):
                for (name, _), pixels in zip(chunk, pool.map(decode, chunk), strict=True):
                    if isinstance(pixels, HatcnnError):
                        skipped.append((name, str(pixels)))
                    else:
                        file.write(pixels.tobytes())
                advance(len(chunk))
            file.seek(0)
            file.write(_header((len(split) - len(skipped), height, width, 3)))
    write_json(report, {"skipped": skipped})


def _header(shape: tuple[int, ...]) -> bytes:
    """Header of a ``.npy`` file of uint8, always 128 bytes long."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"
