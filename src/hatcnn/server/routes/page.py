"""The page: files that come with the package and ask the API like any other client."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from hatcnn.server.observing import PAGE

_FOLDER = Path(__file__).parent.parent / "page"
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}

router = APIRouter(include_in_schema=False)


def _offer(path: str, file: Path) -> None:
    # Read once: no request reaches the disk.
    content = file.read_bytes()

    async def answer() -> Response:
        return Response(content, media_type=f"{_KINDS[file.suffix]}; charset=utf-8")

    router.add_api_route(path, answer, methods=["GET"], name=file.name)


for _path, _name in PAGE.items():
    _offer(_path, _FOLDER / _name)
