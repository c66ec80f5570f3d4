"""Find people by picture, by an entry inside, by words. Every search is in the audit log."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form

from hatcnn import gallery as galleries
from hatcnn.server.observing import PREFIX
from hatcnn.server.refusals import Refusal, error_responses
from hatcnn.server.routes.entries import Who
from hatcnn.server.routes.operation import ServiceOf
from hatcnn.server.routes.pictures import Pictures
from hatcnn.server.schemas import (
    FalseMatchRate,
    Match,
    Matches,
    Offset,
    SearchByDescription,
    SearchByEntry,
    Text,
    TopK,
    Where,
)
from hatcnn.server.service import Service
from hatcnn.server.uploads import UploadRoute, read_uploads

router = APIRouter(
    prefix=f"{PREFIX}/search", tags=["search"], route_class=UploadRoute,
    responses=error_responses(404, 409, 415, 501),
)  # fmt: skip


@router.post("/picture")
async def by_picture(
    pictures: Pictures,
    service: ServiceOf,
    who: Who,
    top_k: Annotated[TopK, Form()] = 10,
    offset: Annotated[Offset, Form()] = 0,
    where: Annotated[Where, Form()] = None,
    exclude_camera: Annotated[
        list[Text], Form(description="Cameras whose entries are left out.", max_length=100)
    ] = [],  # noqa: B006
    group_by: Annotated[
        Literal["identity", "tracklet"] | None, Form(description="Only the best entry of each.")
    ] = None,
    false_match_rate: Annotated[FalseMatchRate, Form()] = None,
) -> Matches:
    """The entries that look most like the person in the pictures, who is the same in all."""
    meaning = service.meaning(false_match_rate)
    service.reading.check()
    people = await service.person(await read_uploads(pictures))
    return await _ask(
        service,
        who,
        lambda gallery: gallery.search(
            people,
            top_k=top_k + 1,
            offset=offset,
            where=where,
            exclude_camera=exclude_camera or None,
            group_by=group_by,
            **meaning,
        ),
        top_k,
    )


@router.post("/entry")
async def by_entry(question: SearchByEntry, service: ServiceOf, who: Who) -> Matches:
    """The entries that look most like the person of entries inside, which are left out."""
    if question.exclude_own_camera and question.exclude_camera:
        raise Refusal(422, "exclude_own_camera and exclude_camera: give one of them")
    meaning = service.meaning(question.false_match_rate)
    return await _ask(
        service,
        who,
        lambda gallery: gallery.search(
            question.entries,
            top_k=question.top_k + 1,
            offset=question.offset,
            where=question.where,
            exclude_camera=question.exclude_own_camera or question.exclude_camera or None,
            group_by=question.group_by,
            **meaning,
        ),
        question.top_k,
    )


@router.post("/description")
async def by_description(question: SearchByDescription, service: ServiceOf, who: Who) -> Matches:
    """The entries that a description fits best."""
    return await _ask(
        service,
        who,
        lambda gallery: gallery.describe(
            question.description,
            top_k=question.top_k + 1,
            offset=question.offset,
            where=question.where,
        ),
        question.top_k,
        score_is_probability=True,
    )


async def _ask(
    service: Service, who: str, search: Any, top_k: int, *, score_is_probability: bool = False
) -> Matches:
    """Search, having asked for one match more than wanted, which tells of another page."""

    def unless_empty(gallery: galleries.Gallery) -> galleries.Matches:
        if not len(gallery):
            return galleries.Matches((), searched=0, exact=True)
        return search(gallery)

    found = await service.read(who, unless_empty)
    matches = [
        Match.model_validate(
            {
                "rank": match.rank,
                "score": match.score,
                "probability": match.score if score_is_probability else match.probability,
                **match.entry.to_json(),
            }
        )
        for match in found[:top_k]
    ]
    return Matches(
        searched=found.searched,
        exact=found.exact,
        matches=matches,
        next_offset=matches[-1].rank if len(found) > top_k else None,
    )
