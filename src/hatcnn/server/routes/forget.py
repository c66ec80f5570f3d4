"""Take people out of the gallery: one entry at once, several after they have been shown."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form

from hatcnn import gallery as galleries
from hatcnn.server.observing import PREFIX
from hatcnn.server.refusals import Refusal, error_responses
from hatcnn.server.routes.entries import Who
from hatcnn.server.routes.operation import ServiceOf
from hatcnn.server.routes.pictures import Pictures
from hatcnn.server.schemas import (
    Candidates,
    Confirmation,
    Entry,
    EntryId,
    FalseMatchRate,
    FindToForget,
    Forgotten,
    Where,
)
from hatcnn.server.service import CONFIRM_WITHIN_S, Service
from hatcnn.server.uploads import UploadRoute, read_uploads

IDS = 1000
"""Listed in an answer."""

router = APIRouter(
    prefix=PREFIX, tags=["forget"], route_class=UploadRoute,
    responses=error_responses(404, 409, 415, 501),
)  # fmt: skip


@router.delete("/entries/{entry}")
async def forget_entry(entry: EntryId, service: ServiceOf, who: Who) -> Forgotten:
    """Forget one entry for good, by its whole id."""
    if len(entry) != 32:
        raise Refusal(404, "expected the whole id of an entry, 32 hexadecimal digits")
    return await _forget(service, who, (entry.lower(),))


@router.post("/forget/find")
async def find(question: FindToForget, service: ServiceOf, who: Who) -> Candidates:
    """What would be forgotten, and a confirmation with which to do it."""
    given = {
        **question.model_dump(exclude={"person", "false_match_rate"}),
        "person": question.person or None,
        **service.meaning(question.false_match_rate),
    }
    return await _candidates(service, who, given)


@router.post("/forget/find-by-picture")
async def find_by_picture(
    pictures: Pictures,
    service: ServiceOf,
    who: Who,
    threshold: Annotated[
        float | None, Form(ge=-1, le=1, description="Similarity from which an entry is meant.")
    ] = None,
    false_match_rate: Annotated[FalseMatchRate, Form()] = None,
    where: Annotated[Where, Form()] = None,
) -> Candidates:
    """Entries that look like the person in the pictures, by a threshold or a false match rate, and
    a confirmation to forget them."""
    service.check_writable()
    meaning = service.meaning(false_match_rate)
    people = await service.person(await read_uploads(pictures))
    return await _candidates(
        service, who, {"person": people, "threshold": threshold, "where": where, **meaning}
    )


@router.post("/forget")
async def forget(confirmation: Confirmation, service: ServiceOf, who: Who) -> Forgotten:
    """Forget what was shown, and only that, for good."""
    service.check_writable()
    token = confirmation.confirmation
    done = await _forget(service, who, service.confirmed(token))
    # Not before: whoever was told to try again can.
    service.use_up(token)
    return done


async def _candidates(service: Service, who: str, given: dict[str, Any]) -> Candidates:
    service.check_writable()
    found = await service.read(who, lambda gallery: gallery.forget(**given, dry_run=True))
    return Candidates(
        count=len(found.ids),
        examples=[Entry.model_validate(entry.to_json()) for entry in found.examples],
        ids=list(found.ids[:IDS]),
        confirmation=service.ask_confirmation(found.ids) if found.ids else None,
        expires_in_s=CONFIRM_WITHIN_S,
    )


async def _forget(service: Service, who: str, ids: tuple[str, ...]) -> Forgotten:
    def change(gallery: galleries.Gallery) -> galleries.Forgotten:
        return gallery.forget(ids=ids)

    done = await service.write(who, change)
    if not done.ids:
        raise Refusal(404, "there is no such entry: it may have been forgotten before")
    return Forgotten(count=len(done.ids), ids=list(done.ids[:IDS]))
