"""Pictures of people in, embeddings and attributes out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from hatcnn import images
from hatcnn.attributes import NUM_ATTRIBUTES
from hatcnn.errors import ImageError
from hatcnn.files import atomic_path
from hatcnn.inference.backends import (
    BATCH_SIZE,
    Backend,
    BackendName,
    Pixels,
    Precision,
    load_backend,
)
from hatcnn.models.embedding import attribute_probabilities
from hatcnn.progress import progress


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What an `Embedder` says of pictures, in their order.

    Attributes:
        vectors: (n, d) float32 of length 1: the inner product of two is their similarity.
        attributes: (n, 26) float32 probabilities in `hatcnn.attributes`' order; none where there
            are none to say.
        names: of the pictures, n of them.
        skipped: (name, reason) of the pictures that could not be read.
    """

    vectors: npt.NDArray[np.float32]
    attributes: npt.NDArray[np.float32] | None
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.names)

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` file: ``vectors``, ``names`` and, where there are, ``attributes``."""
        arrays = {"vectors": self.vectors, "names": np.array(self.names, dtype=np.str_)}
        if self.attributes is not None:
            arrays["attributes"] = self.attributes
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]


class Embedder:
    """A trained network, ready for pictures of any size.

    Args:
        backend: what runs it.
        workers: threads that decode pictures while the network runs.
    """

    def __init__(self, backend: Backend, *, workers: int | None = None) -> None:
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
    ) -> Embedder:
        """Read a model folder, such as ``RUN/model``; see `load_backend`.

        Raises:
            CheckpointError: when it is missing or broken.
            ConfigError: when the back end is not installed.
        """
        return cls(
            load_backend(folder, backend=backend, precision=precision, attributes=attributes)
        )

    def embed(self, paths: Iterable[str | Path], *, strict: bool = False) -> Embeddings:
        """Embed picture files.

        Args:
            paths: in any number; they are read as they are needed.
            strict: raise at the first unreadable picture instead of skipping it.

        Raises:
            ImageError: for an unreadable picture, when `strict`.
        """
        config = self.backend.config
        vectors = [np.empty((0, 2 * config.feature_dim), np.float32)]
        logits = [np.empty((0, NUM_ATTRIBUTES), np.float32)]
        names: list[str] = []
        skipped: list[tuple[str, str]] = []
        total = len(paths) if isinstance(paths, (list, tuple)) else None
        with progress("embedding", total, "pictures") as advance:
            for batch, batch_names in self._batches(paths, skipped, strict):
                of_people, of_attributes = self.backend(batch)
                vectors.append(of_people)
                if of_attributes is not None:
                    logits.append(of_attributes)
                names += batch_names
                advance(len(batch))
        # Both halves have length 1.
        unit = np.concatenate(vectors) / np.float32(np.sqrt(2))
        probabilities = None
        if config.attributes != "none":
            together = torch.from_numpy(np.concatenate(logits))
            probabilities = attribute_probabilities(together, config.colours).numpy()
        return Embeddings(unit, probabilities, tuple(names), tuple(skipped))

    def _batches(
        self, paths: Iterable[str | Path], skipped: list[tuple[str, str]], strict: bool
    ) -> Iterator[tuple[Pixels, list[str]]]:
        """Full batches of readable pictures, in order; the unreadable are added to `skipped`."""
        pixels: list[Pixels] = []
        names: list[str] = []
        remaining = iter(paths)
        pool = ThreadPoolExecutor(self.workers)
        try:
            # Enough in hand that the network never waits, and no more: there may be millions.
            waiting: deque[tuple[str, Future[Pixels]]] = deque()
            while True:
                for path in islice(remaining, 3 * BATCH_SIZE - len(waiting)):
                    waiting.append((str(path), pool.submit(self._load, path)))
                if not waiting:
                    break
                name, future = waiting.popleft()
                try:
                    pixels.append(future.result())
                    names.append(name)
                except ImageError as error:
                    if strict:
                        raise
                    skipped.append((name, str(error)))
                if len(pixels) == BATCH_SIZE:
                    yield np.stack(pixels), names
                    pixels, names = [], []
            if pixels:
                yield np.stack(pixels), names
        finally:
            pool.shutdown(cancel_futures=True)

    def _load(self, path: str | Path) -> Pixels:
        config = self.backend.config
        return images.resize(images.load(path), config.height, config.width)
