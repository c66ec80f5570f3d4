"""The outermost layer: request ids, security headers, one log line a request, no lost error."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hatcnn.server.metrics import Metrics
from hatcnn.server.refusals import problem_response

log = logging.getLogger("hatcnn.server")

PREFIX = "/v1"
PAGE = {
    "/": "index.html",
    **{
        f"/page/{name}": name
        for name in ("style.css", "page.js", "api.js", "filters.js", "map.js", "picture.js")
    },
}
"""Paths of the page and the files behind them."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(slots=True)
class Visit:
    """What the layers know of a request; it lies in its scope under ``hatcnn``.

    Attributes:
        request_id: the client's own, where it sent a decent one.
        client: address.
        who: name of the token; ``anonymous`` where none is asked for.
        received: bytes of the body so far.
    """

    request_id: str
    client: str
    who: str = "anonymous"
    received: int = 0

    @property
    def spoken(self) -> str:
        """For the audit log."""
        return f"{self.who}@{self.client}"


class Observed:
    """ASGI middleware; see above.

    Args:
        app: what answers.
        metrics: to count in.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        client = (scope.get("client") or ("unknown", 0))[0]
        given = Headers(scope=scope).get("x-request-id", "")
        visit = Visit(given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex, client)
        scope["hatcnn"] = visit
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = visit.request_id
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                of_page = scope["path"] in PAGE
                headers["Content-Security-Policy"] = PAGE_POLICY if of_page else API_POLICY
                headers["Cache-Control"] = "no-cache" if of_page else "no-store"
            await send(message)

        self.metrics.in_hand.inc()
        try:
            await self.app(scope, receive, answer)
        except Exception:
            log.exception("unexpected", extra={"fields": {"request_id": visit.request_id}})
            if not status:
                said = "something went wrong here; the server's log knows this request by its id"
                await problem_response(500, said, visit.request_id)(scope, receive, answer)
        finally:
            self.metrics.in_hand.dec()
            self._note(scope, visit, status, time.perf_counter() - began)

    def _note(self, scope: Scope, visit: Visit, status: int, seconds: float) -> None:
        # The route, not the path: what a client makes up is no label and no log text.
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE") else "other"
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.latency.labels(route).observe(seconds)
        fields = {
            "request_id": visit.request_id, "client": visit.client, "who": visit.who,
            "method": method, "route": route, "status": status, "bytes": visit.received,
            "ms": round(1000 * seconds, 1),
        }  # fmt: skip
        log.info("request", extra={"fields": fields})


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_as_json(stream: TextIO | None = None) -> None:
    """Send the server's and uvicorn's logs to a stream, standard error unless said."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("hatcnn.server", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name != "uvicorn.error" else []
        logger.setLevel(logging.INFO if name == "hatcnn.server" else logging.WARNING)
        logger.propagate = name == "uvicorn.error"
