"""Pictures of people in, embeddings and attributes out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hatcnn import images
from hatcnn.attributes import NUM_ATTRIBUTES
from hatcnn.errors import ImageError
from hatcnn.inference.backends import (
    BATCH_SIZE,
    Backend,
    BackendName,
    Pixels,
    Precision,
    load_backend,
)
from hatcnn.inference.embeddings import Embeddings
from hatcnn.inference.pictures import Picture, Pictures, expand, read
from hatcnn.inference.probabilities import attribute_probabilities
from hatcnn.inference.quality import QualityLimits, quality_flags
from hatcnn.progress import progress


class _Decoded(NamedTuple):
    pixels: Pixels
    flags: tuple[str, ...]


class Embedder:
    """A trained network, ready for pictures of any size.

    Args:
        backend: what runs it.
        workers: threads that decode pictures while the network runs; 0 for as many as cores, up
            to 8.
    """

    def __init__(self, backend: Backend, *, workers: int = 0) -> None:
        self.backend = backend
        self.workers = workers or min(8, os.cpu_count() or 1)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        backend: BackendName = "auto",
        precision: Precision = "auto",
        attributes: bool = True,
        workers: int = 0,
        threads: int = 0,
    ) -> Embedder:
        """Read a model folder, such as ``RUN/model``, or a model that comes with the package.

        See `load_backend` for the arguments.

        Raises:
            CheckpointError: when it is missing or broken.
            ConfigError: when the back end is not installed, or has nothing in the folder to run.
        """
        loaded = load_backend(
            folder, backend=backend, precision=precision, attributes=attributes, threads=threads
        )
        return cls(loaded, workers=workers)

    def embed(
        self,
        pictures: Pictures,
        *,
        quality: bool | QualityLimits = False,
        strict: bool = False,
    ) -> Embeddings:
        """Embed pictures; their order is kept.

        Args:
            pictures: one or any number of files, folders, patterns, bytes, Pillow pictures and
                arrays (H, W, 3) uint8, mixed at will; see `hatcnn.inference.pictures`. An
                iterator is read as its pictures are needed.
            quality: flag pictures that say little of a person; True for the usual limits.
            strict: raise at the first unreadable picture instead of skipping it.

        Raises:
            ImageError: for an unreadable picture, when `strict`.
            ConfigError: for a folder or a pattern without pictures.
        """
        config = self.backend.config
        limits = QualityLimits() if quality is True else quality or None
        vectors = [np.empty((0, config.vector_dim), np.float32)]
        logits = [np.empty((0, NUM_ATTRIBUTES), np.float32)]
        names: list[str] = []
        flags: list[tuple[str, ...]] = []
        skipped: list[tuple[str, str]] = []
        named: Iterable[tuple[str, Picture]] = expand(pictures)
        total = None
        if isinstance(pictures, (str, Path, list, tuple)):
            # Nothing is decoded by this; other iterables may make their pictures as they go.
            named = list(named)
            total = len(named)
        with progress("embedding", total, "pictures") as advance:
            for batch_names, batch in self._batches(named, limits, skipped, strict):
                of_people, of_attributes = self.backend(np.stack([b.pixels for b in batch]))
                vectors.append(of_people)
                if of_attributes is not None:
                    logits.append(of_attributes)
                names += batch_names
                flags += [b.flags for b in batch]
                advance(len(batch))
        has_attributes = config.attributes != "none"
        return Embeddings(
            # Both halves have length 1.
            vectors=np.concatenate(vectors) / np.float32(np.sqrt(2)),
            attributes=(
                attribute_probabilities(np.concatenate(logits), config.colours)
                if has_attributes
                else None
            ),
            names=tuple(names),
            flags=tuple(flags) if limits else None,
            skipped=tuple(skipped),
            fingerprint=self.backend.fingerprint,
        )

    def _batches(
        self,
        named: Iterable[tuple[str, Picture]],
        limits: QualityLimits | None,
        skipped: list[tuple[str, str]],
        strict: bool,
    ) -> Iterator[tuple[list[str], list[_Decoded]]]:
        """Full batches of readable pictures, in order; the unreadable are added to `skipped`."""
        batch: list[_Decoded] = []
        names: list[str] = []
        remaining = iter(named)
        pool = ThreadPoolExecutor(self.workers)
        try:
            # Enough in hand that the network never waits, and no more: there may be millions.
            waiting: deque[tuple[str, Future[_Decoded]]] = deque()
            while True:
                for name, picture in islice(remaining, 3 * BATCH_SIZE - len(waiting)):
                    waiting.append((name, pool.submit(self._decode, name, picture, limits)))
                if not waiting:
                    break
                name, future = waiting.popleft()
                try:
                    batch.append(future.result())
                    names.append(name)
                except ImageError as error:
                    if strict:
                        raise
                    skipped.append((name, str(error)))
                if len(batch) == BATCH_SIZE:
                    yield names, batch
                    batch, names = [], []
            if batch:
                yield names, batch
        finally:
            pool.shutdown(cancel_futures=True)

    def _decode(self, name: str, picture: Picture, limits: QualityLimits | None) -> _Decoded:
        config = self.backend.config
        pixels = read(name, picture)
        resized = images.resize(pixels, config.height, config.width)
        height, width = pixels.shape[:2]
        return _Decoded(resized, quality_flags(height, width, resized, limits) if limits else ())
