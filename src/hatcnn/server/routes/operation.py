"""Health, readiness, the model's card, metrics."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from hatcnn import __version__
from hatcnn.attributes import NAMES
from hatcnn.gallery.words import CHOICES
from hatcnn.server.observing import PREFIX
from hatcnn.server.refusals import Refusal, error_responses
from hatcnn.server.schemas import (
    CalibrationCard,
    Choice,
    ErrorRates,
    Health,
    ModelCard,
    Option,
    Readiness,
    Vocabulary,
)
from hatcnn.server.service import Service, service_of

router = APIRouter(prefix=PREFIX, tags=["operation"], responses=error_responses())
ServiceOf = Annotated[Service, Depends(service_of)]


@router.get("/health")
async def health() -> Health:
    """Whether the process is alive. Needs no token."""
    return Health(version=__version__)


@router.get("/ready")
async def ready(service: ServiceOf) -> Readiness:
    """Whether requests can be served: the network has run once and the gallery can be read.
    Needs no token."""
    if not service.ready:
        raise Refusal(503, "starting or stopping", retry_after=1)
    # How many people are inside is told only to whom a token lets in.
    await service.reading.run(partial(len, service.gallery))
    return Readiness(read_only=service.settings.read_only)


@router.get("/model")
async def model(service: ServiceOf) -> ModelCard:
    """The network behind the vectors, and its card."""
    network = service.network
    return ModelCard(
        name=service.reasons.name,
        fingerprint=network.fingerprint,
        dimension=network.dimension,
        height=network.config.height,
        width=network.config.width,
        attributes=list(NAMES) if network.has_attributes else [],
        card=await service.reading.run(lambda: service.reasons.card),
        calibration=_calibration_card(service),
    )


@router.get("/words")
async def words(service: ServiceOf) -> Vocabulary:
    """What can be filtered by of what people wear, in words and as filters."""
    choices = CHOICES if service.network.has_attributes else ()
    return Vocabulary(
        choices=[
            Choice(name=c.name, options=[Option(words=w, where=f) for w, f in c.options])
            for c in choices
        ]
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(service: ServiceOf) -> Response:
    """Counters, in Prometheus' text format."""
    service.metrics.entries.set(await service.reading.run(partial(len, service.gallery)))
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _calibration_card(service: Service) -> CalibrationCard | None:
    found = service.reasons.calibration
    if found is None:
        return None
    measured = zip(found.thresholds, found.false_match_rates, found.true_match_rates, strict=True)
    return CalibrationCard(
        data=found.data,
        same_pairs=found.same_pairs,
        different_pairs=found.different_pairs,
        rates=[
            ErrorRates(threshold=t, false_match_rate=f, true_match_rate=m) for t, f, m in measured
        ],
    )
