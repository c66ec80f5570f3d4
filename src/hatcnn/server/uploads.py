"""Uploads, read as they arrive, in memory, and never further than the limits."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from fastapi import Request, UploadFile
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from hatcnn.server.decoding import Upload, label
from hatcnn.server.refusals import Refusal

MAX_FIELDS = 50
"""Fields of a form that are no files."""
MAX_FIELD_BYTES = 64 * 2**10


class _InMemory(MultiPartParser):
    # Nobody's picture is left in a temporary file; the size of the whole body is bounded already.
    spool_max_size = 2**62


class UploadRequest(Request):
    """A request whose form is read by `_InMemory`."""

    async def form(self, **_limits: Any) -> FormData:  # type: ignore[override]
        """The form.

        Raises:
            Refusal: 415 when it is no form, 400 when it is broken, 413 when it holds too much,
                503 when too many pictures are waiting.
        """
        kind = self.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if kind != "multipart/form-data":
            raise Refusal(415, "expected a form: multipart/form-data")
        service = self.app.state.service
        # Before megabytes are read in vain.
        service.batcher.check()
        limit = service.settings.max_pictures
        stream: AsyncGenerator[bytes, None] = self.stream()
        try:
            async with aclosing(stream):
                parser = _InMemory(
                    self.headers, stream,
                    max_files=limit, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES,
                )  # fmt: skip
                return await parser.parse()
        except MultiPartException as error:
            if error.message.startswith("Too many files"):
                raise Refusal(413, f"at most {limit} pictures in one request") from None
            raise Refusal(400, f"broken form: {error.message}") from None


class UploadRoute(APIRoute):
    """A route that takes an `UploadRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given the other request."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await handle(UploadRequest(request.scope, request.receive))

        return handler


async def read_uploads(files: list[UploadFile]) -> list[Upload]:
    """Bytes and labels of files."""
    return [Upload(label(f.filename, i), await f.read()) for i, f in enumerate(files)]
