"""What the server answers when it does not do what it was asked: one form for every error."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from hatcnn.errors import EntryError, HatcnnError
from hatcnn.server.schemas import Problem

log = logging.getLogger("hatcnn.server")

LONGEST_RETRY_S = 10
"""That a client whose pictures had no place is told to wait."""
CODES = {
    400: "bad_request",
    401: "no_token",
    403: "forbidden",
    404: "not_found",
    405: "no_such_method",
    408: "too_slow",
    409: "conflict",
    413: "too_large",
    415: "wrong_type",
    421: "wrong_host",
    422: "invalid",
    429: "too_many_requests",
    500: "internal",
    501: "not_available",
    503: "busy",
    504: "took_too_long",
}


class Refusal(HTTPException):
    """An answer that is an error.

    Args:
        status: of HTTP.
        message: for people; says what to do.
        retry_after: seconds after which to try again.
    """

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="hatcnn"'
        super().__init__(status, message, headers)


class Busy(Refusal):
    """Too much is waiting already; 503."""

    def __init__(self, what: str, retry_after: int = 1) -> None:
        message = f"too many {what} are waiting: try again in {retry_after} s"
        super().__init__(503, message, retry_after=retry_after)


def problem_response(
    status: int, message: str, request_id: str, headers: dict[str, str] | None = None
) -> Response:
    """The body of every error."""
    content = {
        "code": CODES.get(status, "error"), "message": message, "request_id": request_id,
    }  # fmt: skip
    return JSONResponse(content, status, headers)


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: what each of these statuses means.

    Those that any request can meet are always among them.
    """
    always = (400, 401, 403, 408, 413, 421, 422, 429, 500, 503, 504)
    retry = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return {
        status: {
            "model": Problem,
            "description": CODES[status].replace("_", " ").capitalize(),
            **({"headers": retry} if status in (429, 503) else {}),
        }
        for status in sorted({*always, *statuses})
    }


def install(app: FastAPI) -> None:
    """Make the app answer every error as a `Problem`."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HatcnnError, _mendable)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers) if error.headers else None
    return problem_response(error.status_code, str(error.detail), _id(request), headers)


def _invalid(request: Request, error: Exception) -> Response:
    """Which fields are wrong; what they held stays out, it may be a picture's bytes."""
    assert isinstance(error, RequestValidationError)
    said = [
        f"{'.'.join(str(part) for part in one['loc'][1:]) or one['loc'][0]}: {one['msg']}"
        for one in error.errors()[:10]
    ]
    return problem_response(422, "; ".join(said), _id(request))


def _mendable(request: Request, error: Exception) -> Response:
    """Errors of the library: mostly what was asked, sometimes the state of the disk."""
    text = str(error)
    if isinstance(error, EntryError):
        return problem_response(404, text, _id(request))
    if text.startswith("the gallery ") and " is empty: " in text:
        return problem_response(409, "the gallery is empty: add pictures first", _id(request))
    of_disk = (
        error.__cause__ is not None
        or text.startswith(("cannot write", "cannot lock"))
        or " is locked: " in text
    )
    if not of_disk:
        return problem_response(422, text, _id(request))
    # It names folders, which are nobody's business out there.
    log.error("gallery", extra={"fields": {"request_id": _id(request), "error": text}})
    message = "the gallery cannot do that now; the server's log says why"
    return problem_response(503, message, _id(request), {"Retry-After": "5"})


def _id(request: Request) -> str:
    return str(request.scope["hatcnn"].request_id)
