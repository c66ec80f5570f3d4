"""Who gets in: host, origin, token, rate, size, time; before anything of a body is read."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hatcnn.server.metrics import Metrics
from hatcnn.server.observing import PAGE, Visit
from hatcnn.server.refusals import Busy, Refusal, problem_response
from hatcnn.server.settings import Settings

OPEN = ("/v1/health", "/v1/ready", *PAGE)
"""Paths that need no token and may be linked to from anywhere: they tell nothing."""
JSON_BYTES = 256 * 2**10
"""Largest body that is no form."""
CLIENTS = 10_000
"""Whose rates are remembered."""
DRAINED_BYTES, DRAINED_S = 8 * 2**20, 1.0
GUESSES_PER_SECOND, GUESSES_AT_ONCE = 0.2, 10
"""Wrong tokens that an address may send."""


class Rate:
    """Token buckets by client, the least recently seen forgotten first.

    Args:
        per_second: calls in the long run.
        burst: calls at once.
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self.per_second, self.burst = per_second, burst
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, *, take: int = 1) -> float:
        """Take a call from a client's bucket; seconds until it may, 0 when it just did."""
        now = time.monotonic()
        left, last = self._clients.pop(client, (float(self.burst), now))
        left = min(float(self.burst), left + (now - last) * self.per_second)
        allowed = left >= 1
        self._clients[client] = (left - take if allowed else left, now)
        if len(self._clients) > CLIENTS:
            self._clients.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self.per_second


class Guard:
    """ASGI middleware; see above.

    Args:
        app: what answers.
        settings: limits.
        metrics: to count in.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self._hosts = settings.hosts()
        self._rate = Rate(settings.requests_per_second, settings.burst)
        self._guesses = Rate(GUESSES_PER_SECOND, GUESSES_AT_ONCE)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._in_hand = self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit: Visit = scope["hatcnn"]
        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            self._check_site(scope["path"], headers)
            self._check_token(scope["path"], headers, visit)
            self._check_rate(visit)
            limit = self._body_limit(headers)
            if self._in_hand >= self.settings.max_requests:
                raise Busy("requests")
        except Refusal as refusal:
            self._count(refusal)
            await _refuse(refusal, scope, receive, send)
            return
        self._in_hand += 1
        try:
            await self._admit(scope, receive, send, limit)
        finally:
            self._in_hand -= 1
            self._hold(-visit.received)

    async def _admit(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        visit: Visit = scope["hatcnn"]
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settings.upload_seconds
        # A request without a body has nothing that could come late.
        complete = scope["method"] in ("GET", "HEAD")
        started = False

        async def receive_within_limits() -> Message:
            nonlocal complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                seconds = self.settings.upload_seconds
                raise self._count(
                    Refusal(408, f"the body did not arrive within {seconds:g} s")
                ) from None
            if message["type"] == "http.request":
                complete = not message.get("more_body", False)
                size = len(message.get("body", b""))
                visit.received += size
                self._hold(size)
                if visit.received > limit:
                    raise self._count(_too_large(limit))
                if self._held > self.settings.max_held_bytes:
                    raise self._count(Busy("uploads"))
            return message

        async def answer(message: Message) -> None:
            nonlocal started
            if not complete and message["type"] == "http.response.start":
                # What is left of the body is nothing that a next request could begin with.
                MutableHeaders(scope=message)["Connection"] = "close"
                await _drain(receive)
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self.settings.request_seconds):
                await self.app(scope, receive_within_limits, answer)
        except TimeoutError:
            seconds = self.settings.request_seconds
            refusal = Refusal(504, f"not answered within {seconds:g} s: ask for less, or again")
            self._count(refusal)
            if not started:
                await _refuse(refusal, scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        """Against names that others have made to mean this address."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _name(hosts[0]) not in self._hosts:
            raise Refusal(421, "not called by a name that this server has: see --allow-host")

    def _check_site(self, path: str, headers: Headers) -> None:
        """Against pages of other sites, which make a browser ask in its user's name."""
        if path in OPEN:
            return
        origin = headers.get("origin")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") or (
            origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower()
        ):
            raise Refusal(403, "another site must not ask in your name")

    def _check_token(self, path: str, headers: Headers, visit: Visit) -> None:
        if not self.settings.tokens or path in OPEN:
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refusal(401, "send a token: Authorization: Bearer TOKEN")
        name = self.settings.tokens.name_of(token.strip())
        # Who guesses must not keep those out who share the address, nor learn of a right guess
        # while it has to wait.
        if name is None or (visit.client, name) not in self._known:
            wait = self._guesses.wait(visit.client, take=int(name is None))
            if wait:
                raise Refusal(429, "too many wrong tokens", retry_after=int(wait) + 1)
            if name is None:
                raise Refusal(401, "that token is not known here")
            self._known[visit.client, name] = None
            if len(self._known) > CLIENTS:
                self._known.popitem(last=False)
        visit.who = name

    def _check_rate(self, visit: Visit) -> None:
        wait = self._rate.wait(visit.spoken)
        if wait:
            raise Refusal(429, "too many requests: slow down", retry_after=int(wait) + 1)

    def _body_limit(self, headers: Headers) -> int:
        form = headers.get("content-type", "").lower().startswith("multipart/")
        limit = self.settings.max_upload_bytes if form else JSON_BYTES
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise Refusal(400, "Content-Length is no number")
        if int(length) > limit:
            raise _too_large(limit)
        return limit

    def _hold(self, size: int) -> None:
        self._held += size
        self.metrics.held_bytes.set(self._held)

    def _count(self, refusal: Refusal) -> Refusal:
        if refusal.status_code not in (401, 403):
            self.metrics.refused.labels(str(refusal.status_code)).inc()
        return refusal


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    visit: Visit = scope["hatcnn"]
    headers = dict(refusal.headers or {})
    headers["Connection"] = "close"
    await _drain(receive)
    response = problem_response(refusal.status_code, refusal.detail, visit.request_id, headers)
    await response(scope, receive, send)


async def _drain(receive: Receive) -> None:
    """Throw away some of what is left of a body: a connection that is closed on a client that is
    still sending takes the answer with it."""
    left = DRAINED_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAINED_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"larger than the {limit:,} bytes that this server takes at once")


def _name(host: str) -> str:
    """``Host`` without its port, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.partition(":")[0]
