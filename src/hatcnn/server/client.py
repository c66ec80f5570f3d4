"""A client of about a page for a running server."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from hatcnn.errors import HatcnnError

Picture = str | Path | bytes
"""A file, or a file's bytes."""


class ServerError(HatcnnError):
    """The server answered with an error.

    Attributes:
        status: of HTTP.
        code: for programs.
        retry_after: seconds after which to try again; none where that would not help.
    """

    def __init__(self, response: httpx.Response) -> None:
        try:
            problem = response.json()
        except ValueError:
            problem = {}
        super().__init__(problem.get("message") or f"the server answered {response.status_code}")
        self.status = response.status_code
        self.code: str = problem.get("code", "error")
        wait = response.headers.get("Retry-After", "")
        self.retry_after = int(wait) if wait.isdigit() else None


class Client:
    """A server's gallery; answers are dictionaries as its OpenAPI schema says.

    Every method raises `ServerError` when the server refuses, and what httpx raises when it cannot
    be reached.

    Args:
        address: such as ``http://127.0.0.1:8000``.
        token: where the server asks for one.
        timeout_s: for an answer.
        options: of `httpx.Client`, such as ``verify``.
    """

    def __init__(
        self, address: str, *, token: str | None = None, timeout_s: float = 60, **options: Any
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(base_url=address, headers=headers, timeout=timeout_s, **options)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_error: object) -> None:
        self.http.close()

    def health(self) -> dict[str, Any]:
        """Whether the process is alive."""
        return self._json("GET", "/v1/health")

    def ready(self) -> dict[str, Any]:
        """Whether it can serve."""
        return self._json("GET", "/v1/ready")

    def model(self) -> dict[str, Any]:
        """The network and its card."""
        return self._json("GET", "/v1/model")

    def stats(self) -> dict[str, Any]:
        """The gallery in numbers."""
        return self._json("GET", "/v1/stats")

    def words(self) -> dict[str, Any]:
        """What can be filtered by of what people wear."""
        return self._json("GET", "/v1/words")

    def map(self) -> dict[str, Any]:
        """Some of the gallery in the plane, alike entries near each other."""
        return self._json("GET", "/v1/map")

    def metrics(self) -> str:
        """Counters in Prometheus' format."""
        return self._send("GET", "/v1/metrics").text

    def embed(self, pictures: Sequence[Picture]) -> dict[str, Any]:
        """Vectors, as arrays (d) float32, and attributes."""
        found = self._upload("/v1/embed", pictures, {"vectors": "base64"})
        for picture in found["pictures"]:
            picture["vector"] = np.frombuffer(base64.b64decode(picture["vector"]), "<f4")
        return found

    def attributes(self, pictures: Sequence[Picture]) -> dict[str, Any]:
        """What people wear."""
        return self._upload("/v1/attributes", pictures, {})

    def explain(self, pictures: Sequence[Picture], **form: Any) -> bytes:
        """A figure; with ``entry`` and ``kind``."""
        return self._upload_raw("/v1/explain", pictures, form).content

    def add(self, pictures: Sequence[Picture], **form: Any) -> dict[str, Any]:
        """Add pictures; with ``camera``, ``seen_at``, ``identity``, ``tracklet`` and ``tags``."""
        return self._upload("/v1/entries", pictures, form)

    def search(self, pictures: Sequence[Picture], **form: Any) -> dict[str, Any]:
        """Search by pictures of one person; with ``top_k``, ``offset``, ``where``,
        ``exclude_camera``, ``group_by`` and ``false_match_rate``."""
        return self._upload("/v1/search/picture", pictures, form)

    def search_entries(self, entries: Sequence[str], **question: Any) -> dict[str, Any]:
        """Search by entries inside."""
        return self._json("POST", "/v1/search/entry", {"entries": list(entries), **question})

    def describe(self, description: str, **question: Any) -> dict[str, Any]:
        """Search by words."""
        content = {"description": description, **question}
        return self._json("POST", "/v1/search/description", content)

    def entries(self, *, where: str | None = None, page: int = 100) -> Iterator[dict[str, Any]]:
        """All entries, fetched a page at a time."""
        offset: int | None = 0
        while offset is not None:
            asked = {"limit": page, "offset": offset, **({"where": where} if where else {})}
            found = self._send("GET", "/v1/entries", params=asked).json()
            yield from found["entries"]
            offset = found["next_offset"]

    def entry(self, entry: str) -> dict[str, Any]:
        """One entry."""
        return self._json("GET", f"/v1/entries/{entry}")

    def thumbnail(self, entry: str) -> bytes:
        """Its small picture."""
        return self._send("GET", f"/v1/entries/{entry}/thumbnail").content

    def forget_entry(self, entry: str) -> dict[str, Any]:
        """Forget one entry for good."""
        return self._json("DELETE", f"/v1/entries/{entry}")

    def find_to_forget(self, **question: Any) -> dict[str, Any]:
        """What would be forgotten, and a ``confirmation`` for `forget`."""
        return self._json("POST", "/v1/forget/find", question)

    def find_person_to_forget(
        self, pictures: Sequence[Picture], threshold: float | None = None, **form: Any
    ) -> dict[str, Any]:
        """Entries that look like a person, and a ``confirmation`` for `forget`; with ``where`` and,
        instead of a threshold, ``false_match_rate``."""
        form = {"threshold": threshold, **form}
        return self._upload("/v1/forget/find-by-picture", pictures, form)

    def forget(self, confirmation: str) -> dict[str, Any]:
        """Forget what was shown."""
        return self._json("POST", "/v1/forget", {"confirmation": confirmation})

    def _upload(self, path: str, pictures: Sequence[Picture], form: dict[str, Any]) -> Any:
        return self._upload_raw(path, pictures, form).json()

    def _upload_raw(
        self, path: str, pictures: Sequence[Picture], form: dict[str, Any]
    ) -> httpx.Response:
        data = {name: value for name, value in form.items() if value is not None}
        with ExitStack() as stack:
            files: list[Any] = []
            for picture in pictures:
                if isinstance(picture, bytes):
                    files.append(("pictures", ("picture", picture)))
                else:
                    file = stack.enter_context(Path(picture).open("rb"))
                    files.append(("pictures", (Path(picture).name, file)))
            return self._send("POST", path, files=files, data=data)

    def _json(self, method: str, path: str, content: Any = None) -> Any:
        return self._send(method, path, json=content).json()

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        response = self.http.request(method, path, **options)
        if not response.is_success:
            raise ServerError(response)
        return response
