"""uvicorn around the app: connections that say nothing are closed, and stopping takes its time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import warnings
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hatcnn.server.memory import keep_large_blocks_apart
from hatcnn.server.observing import log_as_json
from hatcnn.server.refusals import LONGEST_RETRY_S
from hatcnn.server.settings import Settings

HEADER_SECONDS = 10.0
"""In which the head of a request must have arrived."""
HEADER_BYTES = 64 * 2**10
KEEP_ALIVE_S = 2 * LONGEST_RETRY_S
"""For which a connection may say nothing between requests: longer than a client is told to wait,
or it would close just as that client asks again."""


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 that waits for a request's head so long and no longer."""

    _deadline: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self._wait_for_head()

    def on_message_begin(self) -> None:
        """Start it anew for another request of the connection."""
        super().on_message_begin()
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        """Stop it."""
        self._stop_clock()
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Count the head's bytes."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEADER_BYTES:
                self._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave no clock behind."""
        self._stop_clock()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._stop_clock()
        self._in_head, self._head_bytes = True, 0
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def make_server(
    app: FastAPI, settings: Settings, *, certificate: Path | None = None, key: Path | None = None
) -> uvicorn.Server:
    """A uvicorn server around an app.

    Args:
        app: from `create_app`.
        settings: the same.
        certificate, key: PEM files, for HTTPS.
    """
    files: dict[str, Any] = {}
    if certificate is not None:
        files = {"ssl_certfile": certificate, "ssl_keyfile": key}
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=PatientProtocol,
        ws="none",
        # What a client says of itself and of proxies is not believed.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        # Connections, most of them idle; requests are counted by the guard.
        limit_concurrency=4 * settings.max_requests + 64,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.stop_seconds),
        **files,
    )
    return uvicorn.Server(config)


def serve(server: uvicorn.Server, listening: socket.socket | None = None) -> None:
    """Serve until told to stop (SIGINT, SIGTERM), then finish what is in hand.

    Args:
        server: from `make_server`.
        listening: bound already; none where the server is to bind to its address.
    """
    log_as_json()
    keep_large_blocks_apart()
    # Pillow words every oddity of a broken file anew, and Python remembers each wording.
    warnings.filterwarnings("ignore", module="PIL")
    # What the libraries have made lives to the end: no need to look through it again and again.
    gc.collect()
    gc.freeze()
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening] if listening else None)
