"""One lock for a gallery's folder: many add, or one removes files.

LanceDB settles writers among themselves by trying again, so adding needs no order. Removing files
that no version refers to does: the files of a batch that another process is about to commit look
the same as those that a killed process left. Object stores have no such lock; there such files
stay until they are a week old.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from hatcnn.errors import GalleryError

LOCK_FILE = ".lock"
PATIENCE_S = 120.0
"""How long one process waits for another."""


@contextlib.contextmanager
def locked(folder: Path | None, *, alone: bool, patience_s: float | None = None) -> Iterator[None]:
    """Hold the gallery's lock; the system gives it back when the process dies.

    Args:
        folder: of the gallery; without one, on an object store, there is no lock.
        alone: keep out every other writer, not only those that want to be alone.
        patience_s: seconds to wait; `PATIENCE_S` unless said.

    Raises:
        GalleryError: when the folder cannot be written, or another process keeps the lock.
    """
    if folder is None:
        yield
        return
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise GalleryError(
            f"cannot write in the gallery {folder}: {error.strerror}; nothing was changed"
        ) from None
    patience = PATIENCE_S if patience_s is None else patience_s
    try:
        _wait(descriptor, folder, fcntl.LOCK_EX if alone else fcntl.LOCK_SH, patience)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, folder: Path, kind: int, patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise GalleryError(f"cannot lock the gallery {folder}: {error.strerror}") from None
            if time.monotonic() > until:
                raise GalleryError(
                    f"the gallery {folder} is locked: another process has been writing to it for "
                    f"{patience_s:.0f} s; try again when it has finished. Nothing was changed"
                ) from None
            time.sleep(0.05)
        else:
            return
