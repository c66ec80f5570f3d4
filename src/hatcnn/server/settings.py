"""What the server allows: addresses, tokens, sizes, times, rates."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from hatcnn.errors import ConfigError
from hatcnn.server.tokens import Tokens

MOST_MAPPED = 5000
"""Entries of a map."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""How a browser or client on this machine spells it in ``Host``."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Limits of a server. The defaults suit one machine and a few dozen clients.

    Raises:
        ConfigError: for a limit below its least value, and for an address beyond this machine
            without a token.
    """

    host: str = "127.0.0.1"
    """Address to listen at."""
    port: int = 8000
    """0 takes a free one."""
    allowed_hosts: tuple[str, ...] = ()
    """Names by which clients may call the server, beside its address and this machine's names."""
    tokens: Tokens = field(default_factory=Tokens)
    """Who may ask; without tokens everybody who reaches the address."""
    read_only: bool = False
    """Refuse whatever changes the gallery."""

    max_upload_bytes: int = 32 * 2**20
    """Of one request's body."""
    max_held_bytes: int = 256 * 2**20
    """Of all bodies in memory at once."""
    max_pixels: int = 16_000_000
    """Width x height of a picture; a 4K frame has 8.3 million."""
    max_pictures: int = 32
    """In one request."""
    max_requests: int = 128
    """In hand at once; more get a 503."""
    max_waiting_pictures: int = 256
    """Uploaded and not yet embedded; more get a 503."""
    max_waiting_searches: int = 64
    """For the gallery; more get a 503."""
    requests_per_second: float = 200.0
    """Of one client, in the long run; more get a 429."""
    burst: int = 400
    """Requests that a client may make at once before that."""
    upload_seconds: float = 30.0
    """In which a request's body must have arrived."""
    request_seconds: float = 60.0
    """In which it must be answered, from its first byte."""
    stop_seconds: float = 30.0
    """For requests in hand when the server is told to stop."""

    max_batch: int = 32
    """Pictures of one forward pass."""
    max_wait_ms: float = 5.0
    """For which a batch that is not full waits for pictures that are being uploaded."""
    decode_threads: int = 2
    """That decode pictures."""
    search_threads: int = 2
    """That read the gallery."""
    map_pictures: int = 2000
    """Entries of the gallery's map, drawn at random; 2,000 take some ten seconds of one core."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 0 if name in ("port", "max_wait_ms") else 1
            if type(value) in (int, float) and not value >= least:
                raise ConfigError(f"{name} is {value}; expected at least {least}")
        if self.map_pictures > MOST_MAPPED:
            raise ConfigError(
                f"map_pictures is {self.map_pictures}; expected at most {MOST_MAPPED:,}: more take "
                "longer than a request may"
            )
        if not is_loopback(self.host) and not self.tokens:
            raise ConfigError(
                f"{self.host} can be reached from other machines: give a token with --token-file "
                "FILE or in HATCNN_TOKEN, or stay on this machine with --host 127.0.0.1"
            )

    def hosts(self) -> frozenset[str]:
        """Names that ``Host`` may hold, in lower case, without the port."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        return frozenset(name.lower() for name in (*LOOPBACK_NAMES, own, *self.allowed_hosts))


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone. A name other than localhost
    counts as one that others reach."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
