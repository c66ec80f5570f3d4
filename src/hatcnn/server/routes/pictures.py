"""What the network says of uploaded pictures; nothing is kept."""

from __future__ import annotations

import base64
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, File, Form, UploadFile
from starlette.responses import Response

from hatcnn.inference.embeddings import Embeddings
from hatcnn.server.batching import Floats
from hatcnn.server.explaining import ImageKind
from hatcnn.server.observing import PREFIX
from hatcnn.server.refusals import Refusal, error_responses
from hatcnn.server.routes.operation import ServiceOf
from hatcnn.server.schemas import (
    Described,
    Embedded,
    EntryId,
    PictureAttributes,
    PictureEmbedding,
    Skipped,
    probabilities,
)
from hatcnn.server.uploads import UploadRoute, read_uploads

router = APIRouter(
    prefix=PREFIX, tags=["pictures"], route_class=UploadRoute, responses=error_responses(415, 501)
)
Pictures = Annotated[
    list[UploadFile],
    File(description="JPEG, PNG, WebP, BMP, TIFF or GIF; each shows one person.", min_length=1),
]


@router.post("/embed")
async def embed(
    pictures: Pictures,
    service: ServiceOf,
    vectors: Annotated[
        Literal["numbers", "base64"], Form(description="How vectors are written.")
    ] = "numbers",
) -> Embedded:
    """Vectors and attributes of pictures. Those that cannot be read are skipped and named."""
    people = await service.people(await read_uploads(pictures))
    return Embedded(
        fingerprint=people.fingerprint,
        pictures=[
            PictureEmbedding(
                name=name,
                attributes=probabilities(_row(people, i)),
                vector=_base64(vector) if vectors == "base64" else vector.tolist(),
            )
            for i, (name, vector) in enumerate(zip(people.names, people.vectors, strict=True))
        ],
        skipped=skipped(people),
    )


@router.post("/attributes")
async def attributes(pictures: Pictures, service: ServiceOf) -> Described:
    """What the people in pictures wear."""
    people = await service.people(await read_uploads(pictures))
    return Described(
        pictures=[
            PictureAttributes(name=name, attributes=probabilities(_row(people, i)))
            for i, name in enumerate(people.names)
        ],
        skipped=skipped(people),
    )


@router.post(
    "/explain",
    response_class=Response,
    responses={
        200: {
            "description": "A figure.",
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("image/png", "image/svg+xml")
            },
        },
        **error_responses(404, 415, 501),
    },
)
async def explain(
    pictures: Pictures,
    service: ServiceOf,
    entry: Annotated[
        EntryId | None, Form(description="Entry whose thumbnail is the second picture.")
    ] = None,
    kind: Annotated[ImageKind, Form(description="Of the figure.")] = "png",
) -> Response:
    """A figure of where the network looked in one picture, or of what makes two alike."""
    service.reasons.check()
    uploads = [(upload.name, upload.data) for upload in await read_uploads(pictures)]
    if entry is not None:
        small = await service.reading.run(partial(service.gallery.thumbnail, entry))
        if small is None:
            raise Refusal(404, f"the entry {entry} has no thumbnail to compare with")
        uploads.append((entry, small))
    if len(uploads) > 2:
        raise Refusal(422, "explain takes one picture or two")
    figure = await service.explaining.run(
        partial(service.reasons.draw, uploads, kind, service.settings.max_pixels)
    )
    media = "image/png" if kind == "png" else "image/svg+xml"
    return Response(figure, media_type=media)


def skipped(people: Embeddings) -> list[Skipped]:
    """Pictures that could not be read."""
    return [Skipped(name=name, reason=reason) for name, reason in people.skipped]


def _base64(vector: Floats) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _row(people: Embeddings, i: int) -> object:
    return None if people.attributes is None else people.attributes[i]
