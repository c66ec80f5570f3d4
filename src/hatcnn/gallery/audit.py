"""Who searched and who deleted, one JSON object a line; no pictures and no vectors."""

from __future__ import annotations

import errno
import getpass
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hatcnn.errors import GalleryError

AUDIT_FILE = "audit.jsonl"


class Audit:
    """A log that is only ever appended to.

    Args:
        path: of the file; made with its folder at the first line.
        who: that acts; the user of the system unless said.
    """

    def __init__(self, path: Path, who: str | None = None) -> None:
        self.path = path
        self.who = who or _user()

    def write(self, action: str, **details: Any) -> None:
        """Append one line; it is on disk when this returns.

        Raises:
            GalleryError: when it cannot be written. What is not on record must not happen.
        """
        record = {"at": datetime.now(UTC).isoformat(), "who": self.who, "action": action}
        line = json.dumps({**record, **details}, ensure_ascii=False) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One write to a file opened for appending: lines of several processes do not mix.
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
            try:
                data = line.encode()
                if os.write(descriptor, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise GalleryError(
                f"cannot write the audit log {self.path}: {error.strerror}; searches and "
                "deletions are recorded there: name another file with audit=…, --audit"
            ) from None


def audit_path(folder: Path | None, uri: str) -> Path:
    """Where a gallery's log lies: in its folder; of an object store, in the user's state folder."""
    if folder is not None:
        return folder / AUDIT_FILE
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    name = "".join(c if c.isalnum() else "-" for c in uri).strip("-")
    return Path(base) / "hatcnn" / f"{name}.{AUDIT_FILE}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
