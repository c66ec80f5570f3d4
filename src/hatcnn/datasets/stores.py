"""Where the bytes of pictures come from: a folder or a zip file."""

from __future__ import annotations

import threading
import zipfile
import zlib
from pathlib import Path

from hatcnn.errors import DataError


class FolderStore:
    """Pictures in a folder; a name is the path below it.

    Args:
        root: the folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def names(self) -> list[str]:
        """Every file below the folder, sorted."""
        return sorted(
            p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file()
        )

    def read(self, name: str) -> bytes:
        """Bytes of one file; `DataError` when it cannot be read."""
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {self.root / name}: {error.strerror}") from None


class ZipStore:
    """Pictures in a zip file, read in place; a name is the path below `prefix`.

    Args:
        path: the zip file.
        prefix: folder inside it, ``""`` or ending in a slash.

    Raises:
        DataError: when the file is missing, no zip, or cut short.
    """

    def __init__(self, path: str | Path, prefix: str = "") -> None:
        self.path = Path(path)
        self.prefix = prefix
        try:
            self._zip = zipfile.ZipFile(self.path)
        except FileNotFoundError:
            raise DataError(f"no file at {self.path}") from None
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(
                f"{self.path} is no complete zip file ({error}): it may have been cut short while "
                "copying; fetch it again"
            ) from None
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Every file below the prefix, sorted."""
        start = len(self.prefix)
        return sorted(
            n[start:]
            for n in self._zip.namelist()
            if n.startswith(self.prefix) and not n.endswith("/")
        )

    def read(self, name: str) -> bytes:
        """Bytes of one member; `DataError` when it is missing or damaged."""
        try:
            with self._lock:
                return self._zip.read(self.prefix + name)
        except KeyError:
            raise DataError(f"{self.path} holds no {self.prefix + name}") from None
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as error:
            raise DataError(f"{self.prefix + name} in {self.path} is damaged: {error}") from None

    def __reduce__(self) -> tuple[type[ZipStore], tuple[Path, str]]:
        # Another process opens the file itself.
        return ZipStore, (self.path, self.prefix)
