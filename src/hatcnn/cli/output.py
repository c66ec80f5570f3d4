"""Reports as JSON: to a file beside the tables, or alone on standard output."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hatcnn.errors import ConfigError
from hatcnn.files import write_json


def write_report(report: dict[str, Any], target: Path | None) -> bool:
    """Write a report where ``--json`` asked for it.

    Returns:
        Whether it went to standard output, where nothing else should then be printed.
    """
    if target is None:
        return False
    if str(target) == "-":
        print(json.dumps(report, indent=2))
        return True
    try:
        write_json(target, report)
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}") from None
    return False


def json_file(target: Path | None) -> Path | None:
    """The file that ``--json`` names; none for standard output."""
    return None if target is None or str(target) == "-" else target


def check_writable(target: Path) -> None:
    """Raise `ConfigError` when a file could not be written at `target`."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}") from None
    if target.is_dir():
        raise ConfigError(f"cannot write {target}: it is a folder")
