"""What is in the gallery: add, list, look at one, count."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from starlette.responses import Response

from hatcnn.server.observing import PREFIX
from hatcnn.server.refusals import Refusal, error_responses
from hatcnn.server.routes.operation import ServiceOf
from hatcnn.server.routes.pictures import Pictures, skipped
from hatcnn.server.schemas import (
    Added,
    Entries,
    Entry,
    EntryId,
    GalleryMap,
    Offset,
    Point,
    Statistics,
    Text,
    Where,
)
from hatcnn.server.service import who_asks
from hatcnn.server.uploads import UploadRoute, read_uploads

router = APIRouter(
    prefix=PREFIX, tags=["gallery"], route_class=UploadRoute, responses=error_responses(404, 409)
)
Who = Annotated[str, Depends(who_asks)]


@router.post("/entries", responses=error_responses(415))
async def add(
    pictures: Pictures,
    service: ServiceOf,
    who: Who,
    camera: Annotated[Text | None, Form(description="Of all pictures.")] = None,
    seen_at: Annotated[
        datetime | None, Form(description="When, ISO 8601; UTC unless it says otherwise.")
    ] = None,
    identity: Annotated[Text | None, Form(description="Who it is.")] = None,
    tracklet: Annotated[Text | None, Form(description="Of a run of pictures.")] = None,
    tags: Annotated[list[Text], Form(description="Free words.", max_length=20)] = [],  # noqa: B006
) -> Added:
    """Add pictures. They are on disk when the answer comes. Those that are inside already, by
    their bytes, stay as they are, so that what was cut off can be sent again."""
    service.check_writable()
    service.writing.check()
    uploaded = await service.uploaded(await read_uploads(pictures), thumbnails=True)
    people = uploaded.people
    if not len(people):
        return Added(added=0, present=0, ids=[], skipped=skipped(people))
    done = await service.write(
        who,
        lambda gallery: gallery.add(
            people,
            camera=camera,
            seen_at=seen_at,
            identity=identity,
            tracklet=tracklet,
            tags=[tag for tag in tags if tag],
            pictures=uploaded.pictures,
            thumbnails=uploaded.thumbnails,
        ),
    )
    return Added(
        added=done.added, present=done.present, ids=list(done.ids), skipped=skipped(people)
    )


@router.get("/entries")
async def entries(
    service: ServiceOf,
    who: Who,
    where: Annotated[Where, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Entries of this page.")] = 100,
    offset: Annotated[Offset, Query()] = 0,
) -> Entries:
    """Entries in the order in which they are stored, a page at a time."""
    # One more than asked for tells whether there is another page.
    found = await service.read(
        who, lambda gallery: gallery.entries(where=where, limit=limit + 1, offset=offset)
    )
    return Entries(
        entries=[Entry.model_validate(entry.to_json()) for entry in found[:limit]],
        next_offset=offset + limit if len(found) > limit else None,
    )


@router.get("/entries/{entry}")
async def entry(entry: EntryId, service: ServiceOf, who: Who) -> Entry:
    """One entry, by its whole id."""
    if len(entry) != 32:
        raise Refusal(404, "expected the whole id of an entry, 32 hexadecimal digits")
    found = await service.read(who, lambda gallery: gallery.entry(entry))
    return Entry.model_validate(found.to_json())


@router.get(
    "/entries/{entry}/thumbnail",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
    },
)
async def entry_thumbnail(entry: EntryId, service: ServiceOf) -> Response:
    """A small picture of an entry."""
    small = None
    if await service.reading.run(partial(len, service.gallery)):
        small = await service.reading.run(partial(service.gallery.thumbnail, entry))
    if small is None:
        raise Refusal(404, f"there is no thumbnail of {entry}")
    return Response(small, media_type="image/jpeg")


@router.get("/stats")
async def stats(service: ServiceOf, who: Who) -> Statistics:
    """The gallery in numbers."""
    found = await service.read(who, lambda gallery: gallery.stats(recall_queries=0))
    return Statistics.model_validate(found.to_json())


@router.get("/map")
async def gallery_map(service: ServiceOf) -> GalleryMap:
    """Some entries in the plane, alike ones near each other. Drawn anew when the gallery has
    changed, which takes seconds."""
    found = await service.map()
    places = found.places.astype(float).round(4).tolist()
    return GalleryMap(
        method=found.method,
        note=found.note,
        entries=found.of,
        points=[
            Point(id=e.id, x=x, y=y, camera=e.camera, seen_at=e.seen_at, identity=e.identity)
            for e, (x, y) in zip(found.entries, places, strict=True)
        ],
    )
