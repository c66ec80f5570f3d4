"""The HTTP app: routes, layers, beginning and end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from hatcnn import __version__
from hatcnn.gallery import Gallery
from hatcnn.server import refusals
from hatcnn.server.guard import Guard
from hatcnn.server.observing import Observed
from hatcnn.server.routes import entries, forget, operation, page, pictures, search
from hatcnn.server.service import Service
from hatcnn.server.settings import Settings

DESCRIPTION = """\
A gallery of people that can be searched by picture and by words, and can forget.

Errors all look alike: `code` for programs, `message` for people, `request_id` for the log. After a
429 or 503 wait for the seconds that `Retry-After` says. Send `Authorization: Bearer TOKEN` where
the server has tokens.
"""


def create_app(
    gallery: Gallery,
    embedder: Any,
    settings: Settings | None = None,
    *,
    model: str | Path | None = None,
) -> FastAPI:
    """An ASGI app over a gallery; the API is under ``/v1``, the page at ``/``.

    Args:
        gallery: to search and, unless it is read-only, to change.
        embedder: a `hatcnn.Embedder` whose vectors the gallery holds.
        settings: limits; the defaults unless said.
        model: name or folder that the embedder was loaded from: for its card, its calibration and
            explanations, which are not to be had without.

    Raises:
        GalleryError: when the gallery holds vectors of another network.
    """
    settings = settings or Settings()
    service = Service(gallery, embedder, settings, model)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="hatcnn",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        # Nothing about requests leaves the process.
        telemetry={
            "tracing": False, "metrics": False, "logs": False, "operation_spans": False,
            "auto_configure": False,
        },
    )  # fmt: skip
    app.state.service = service
    refusals.install(app)
    for module in (operation, pictures, entries, search, forget, page):
        app.include_router(module.router)
    # The last one added is the outermost.
    app.add_middleware(Guard, settings=settings, metrics=service.metrics)
    app.add_middleware(Observed, metrics=service.metrics)
    return app
