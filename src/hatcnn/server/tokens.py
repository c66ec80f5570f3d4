"""Who may ask: tokens by name, kept as hashes and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from hatcnn.errors import ConfigError

VARIABLE = "HATCNN_TOKEN"
"""Environment variable with one token, whose name is then ``default``."""
SHORTEST = 16
"""Characters of a token."""


class Tokens:
    """Named tokens.

    Args:
        by_name: the token of each name. The tokens themselves are not kept.

    Raises:
        ConfigError: for a name or token that cannot be used. The message never holds the token.
    """

    def __init__(self, by_name: Mapping[str, str] | None = None) -> None:
        self._hashes: dict[str, bytes] = {}
        for name, token in (by_name or {}).items():
            if not re.fullmatch(r"[\w.-]{1,64}", name):
                raise ConfigError("a token's name may hold letters, digits, '.', '_' and '-' only")
            if not re.fullmatch(rf"[!-~]{{{SHORTEST},256}}", token):
                raise ConfigError(
                    f"the token of {name} must have {SHORTEST} to 256 printable ASCII characters "
                    "without spaces: make one with 'openssl rand -hex 32'"
                )
            self._hashes[name] = _hash(token)

    def __len__(self) -> int:
        return len(self._hashes)

    def name_of(self, presented: str) -> str | None:
        """Name of a token; none for a wrong one. Takes as long for any."""
        found = None
        given = _hash(presented)
        for name, expected in self._hashes.items():
            if hmac.compare_digest(given, expected):
                found = name
        return found


def read_tokens(path: Path | None) -> Tokens:
    """Tokens from a file and from the environment.

    Args:
        path: of a file with one ``NAME TOKEN`` or ``TOKEN`` a line; ``#`` begins a remark.

    Raises:
        ConfigError: when the file cannot be read, may be read by others, or holds no token.
    """
    found: dict[str, str] = {}
    if path is not None:
        for line in _private_text(path).splitlines():
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) > 2:
                raise ConfigError(f"{path}: expected 'NAME TOKEN' or 'TOKEN' a line")
            name = words[0] if len(words) == 2 else "default"
            if name in found:
                raise ConfigError(f"{path} names {name} twice")
            found[name] = words[-1]
        if not found:
            raise ConfigError(f"{path} holds no token")
    if token := os.environ.get(VARIABLE):
        found.setdefault("default", token)
    return Tokens(found)


def _private_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(f"others may read {path}: run 'chmod 600 {path}'")
            return file.read(2**20)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the token file {path}: {error}") from None


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
