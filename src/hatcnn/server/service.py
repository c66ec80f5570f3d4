"""The work behind the routes: pictures through the network, calls to the gallery."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fastapi import Request

from hatcnn.errors import GalleryError, ImageError
from hatcnn.gallery import Gallery
from hatcnn.inference.embeddings import Embeddings
from hatcnn.server.batching import Batcher
from hatcnn.server.decoding import TOGETHER, Decoded, Upload, decode, decode_each
from hatcnn.server.explaining import Reasons
from hatcnn.server.mapping import Map, Mapper
from hatcnn.server.metrics import Metrics
from hatcnn.server.network import Network
from hatcnn.server.pools import Pool
from hatcnn.server.refusals import Refusal
from hatcnn.server.settings import Settings

CONFIRM_WITHIN_S = 600
CONFIRMATIONS = 100
CONFIRMED_ENTRIES = 1_000_000
"""Questions that wait for a confirmation, and the entries of them all, at 90 bytes each: the oldest
are dropped for another. The newest is kept whatever its size."""

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Uploaded:
    """Pictures that were read, with what `Gallery.add` keeps of their files; n of each.

    Attributes:
        people: what the network says of them; the unreadable are in ``people.skipped``.
        pictures: bytes of the files.
        thumbnails: bytes of small ones, where they were wanted.
    """

    people: Embeddings
    pictures: tuple[bytes, ...]
    thumbnails: tuple[bytes | None, ...]


class Service:
    """One gallery and one network, for many clients.

    Args:
        gallery: to search.
        embedder: a `hatcnn.Embedder`.
        settings: limits.
        model: name or folder the embedder was loaded from; for the card and for explanations.

    Raises:
        GalleryError: when the gallery holds vectors of another network.
    """

    def __init__(
        self, gallery: Gallery, embedder: Any, settings: Settings, model: str | Path | None
    ) -> None:
        self.gallery, self.settings = gallery, settings
        self.network = Network(embedder)
        _check_same_network(gallery, self.network)
        self.metrics = Metrics()
        self.reasons = Reasons(model, self.network.fingerprint)
        self.batcher = Batcher(
            self.network,
            max_batch=settings.max_batch,
            max_wait_s=settings.max_wait_ms / 1000,
            max_waiting=settings.max_waiting_pictures,
        )
        self.batcher.on_batch = self.metrics.batch
        self.metrics.waiting.set_function(lambda: self.batcher.announced)
        waiting = settings.max_waiting_searches
        self.decoding = Pool(
            "pictures", threads=settings.decode_threads, waiting=settings.max_waiting_pictures
        )
        self.reading = Pool("searches", threads=settings.search_threads, waiting=waiting)
        # One writer: commits in turn are quicker than commits that meet and are tried again.
        self.writing = Pool("changes", threads=1, waiting=waiting)
        self.explaining = Pool("explanations", threads=1, waiting=4)
        self.mapper = Mapper(gallery, settings.map_pictures)
        self.mapping = Pool("maps", threads=1, waiting=4)
        self.ready = False
        self._confirmations: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()

    async def start(self) -> None:
        """Make ready: the first pass through a network is slow, and nobody should wait for it."""
        self.batcher.start()
        warm_up = partial(self.network.warm_up, self.settings.max_batch)
        self.batcher.seconds_each = await self.decoding.run(warm_up)
        self.ready = True

    async def stop(self) -> None:
        """Finish what was taken; what was acknowledged is on disk before and after."""
        self.ready = False
        pools = (self.decoding, self.explaining, self.mapping, self.reading, self.writing)
        await asyncio.gather(*(asyncio.to_thread(pool.close) for pool in pools))
        await self.batcher.close()

    async def people(self, uploads: Sequence[Upload]) -> Embeddings:
        """Embed pictures; the unreadable are skipped and named.

        Raises:
            Busy: when too much is waiting.
        """
        return (await self.uploaded(uploads)).people

    async def uploaded(self, uploads: Sequence[Upload], *, thumbnails: bool = False) -> Uploaded:
        """Embed pictures and keep their bytes.

        Raises:
            Busy: when too much is waiting.
        """
        config, limits = self.network.config, self.settings
        with self.batcher.announce(len(uploads)):
            one = partial(
                decode, height=config.height, width=config.width, max_pixels=limits.max_pixels,
                with_thumbnail=thumbnails,
            )  # fmt: skip
            parts = await asyncio.gather(
                *(
                    self.decoding.run(partial(decode_each, uploads[at : at + TOGETHER], one))
                    for at in range(0, len(uploads), TOGETHER)
                ),
                return_exceptions=True,
            )
            found: list[Decoded | ImageError] = []
            for part in parts:
                if isinstance(part, BaseException):
                    raise part
                found += part
            readable: list[tuple[Upload, Decoded]] = []
            skipped: list[tuple[str, str]] = []
            for upload, decoded in zip(uploads, found, strict=True):
                if isinstance(decoded, ImageError):
                    skipped.append((upload.name, str(decoded)))
                else:
                    readable.append((upload, decoded))
            self.metrics.unreadable.inc(len(skipped))
            rows = await self.batcher([decoded.pixels for _, decoded in readable])
        vectors = np.array([v for v, _ in rows], np.float32).reshape(-1, self.network.dimension)
        attributes = (
            np.array([a for _, a in rows], np.float32) if self.network.has_attributes else None
        )
        return Uploaded(
            Embeddings(
                vectors,
                attributes if rows else None,
                tuple(upload.name for upload, _ in readable),
                tuple(skipped),
                fingerprint=self.network.fingerprint or "",
            ),
            tuple(upload.data for upload, _ in readable),
            tuple(decoded.thumbnail for _, decoded in readable),
        )

    async def person(self, uploads: Sequence[Upload]) -> Embeddings:
        """Embed pictures of one person, of which at least one must be readable.

        Raises:
            Refusal: 422 when none is.
        """
        people = await self.people(uploads)
        if not len(people):
            raise Refusal(422, "; ".join(reason for _, reason in people.skipped))
        return people

    async def read(self, who: str, work: Callable[[Gallery], _T]) -> _T:
        """Ask the gallery in somebody's name."""
        return await self.reading.run(partial(work, self.gallery.acting_as(who)))

    async def write(self, who: str, work: Callable[[Gallery], _T]) -> _T:
        """Change the gallery in somebody's name.

        Raises:
            Refusal: 403 for a server that only reads.
        """
        self.check_writable()
        done = await self.writing.run(partial(work, self.gallery.acting_as(who)))
        self.mapper.drop()
        return done

    def check_writable(self) -> None:
        """Raise `Refusal` for a server that only reads."""
        if self.settings.read_only:
            raise Refusal(403, "this server only reads its gallery")

    async def map(self) -> Map:
        """The gallery's map, drawn where it has changed.

        Raises:
            Busy: when too many wait for one that is being drawn.
        """
        kept = await self.reading.run(self.mapper.kept)
        return kept if kept is not None else await self.mapping.run(self.mapper)

    def meaning(self, false_match_rate: float | None) -> dict[str, Any]:
        """How scores are read, as `Gallery.search` and `Gallery.forget` take it.

        Raises:
            Refusal: 501 for a rate where the model has no calibration.
        """
        calibration = self.reasons.calibration
        if false_match_rate is not None and calibration is None:
            raise Refusal(
                501, "a false match rate needs a calibration, and this server's model has none: "
                "'hatcnn calibrate' makes one"
            )  # fmt: skip
        return {"calibration": calibration, "false_match_rate": false_match_rate}

    def ask_confirmation(self, ids: Sequence[str]) -> str:
        """A token by which these entries, and no others, can be forgotten for a while."""
        token = secrets.token_urlsafe(24)
        kept, now = self._confirmations, time.monotonic()
        kept[token] = (now + CONFIRM_WITHIN_S, tuple(ids))
        while len(kept) > 1:
            until, _ = next(iter(kept.values()))
            entries = sum(len(ids) for _, ids in kept.values())
            if until > now and len(kept) <= CONFIRMATIONS and entries <= CONFIRMED_ENTRIES:
                break
            kept.popitem(last=False)
        return token

    def confirmed(self, token: str) -> tuple[str, ...]:
        """The entries of a confirmation.

        Raises:
            Refusal: 409 when there is none.
        """
        until, ids = self._confirmations.get(token, (0.0, ()))
        if time.monotonic() > until:
            raise Refusal(409, "that confirmation is unknown, used or too old: ask anew")
        return ids

    def use_up(self, token: str) -> None:
        """A confirmation is good for once."""
        self._confirmations.pop(token, None)


async def service_of(request: Request) -> Service:
    """For routes; a plain function would be called in a thread, which costs more than it does."""
    service: Service = request.app.state.service
    return service


async def who_asks(request: Request) -> str:
    """Token's name and address, for the gallery's log."""
    return str(request.scope["hatcnn"].spoken)


def _check_same_network(gallery: Gallery, network: Network) -> None:
    inside = gallery.stats(recall_queries=0)
    if inside.dimension not in (None, network.dimension):
        raise GalleryError(
            f"the gallery holds vectors of {inside.dimension} numbers and the model makes "
            f"{network.dimension}: name the model that filled it with --model"
        )
    if inside.model and network.fingerprint and inside.model != network.fingerprint:
        raise GalleryError(
            f"the gallery holds vectors of the model {inside.model}, not of {network.fingerprint}: "
            "name the model that filled it with --model"
        )
