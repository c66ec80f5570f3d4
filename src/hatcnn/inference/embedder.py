"""Pictures of people in, embeddings and attributes out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from hatcnn import images
from hatcnn.attributes import NUM_ATTRIBUTES
from hatcnn.devices import Fabric, make_fabric
from hatcnn.errors import ImageError
from hatcnn.inference.extraction import BATCH_SIZE, embed_batch
from hatcnn.models.build import ModelConfig
from hatcnn.models.checkpoint import load_model
from hatcnn.models.embedding import attribute_probabilities
from hatcnn.models.hacnn import HACNN
from hatcnn.models.hatcnn import HATCNN


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What an `Embedder` says of pictures, in their order.

    Attributes:
        vectors: (n, d) float32 of length 1: the inner product of two is their similarity.
        attributes: (n, 26) float32 probabilities in `hatcnn.attributes`' order; none for a
            network without attributes.
        names: of the pictures, n of them.
        skipped: (name, reason) of the pictures that could not be read.
    """

    vectors: npt.NDArray[np.float32]
    attributes: npt.NDArray[np.float32] | None
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.names)


class Embedder:
    """A trained network, ready for pictures of any size.

    Args:
        network: in evaluation mode.
        config: it was built from.
        fabric: device and precision.
    """

    def __init__(self, network: HACNN | HATCNN, config: ModelConfig, fabric: Fabric) -> None:
        self.network, self.config, self.fabric = network, config, fabric
        network.to(fabric.device)

    @classmethod
    def load(cls, folder: str | Path, *, precision: str = "32-true") -> Embedder:
        """Read a model folder, such as ``RUN/model``.

        Raises:
            CheckpointError: when it is missing or broken.
        """
        network, config = load_model(folder)
        return cls(network, config, make_fabric(precision=precision, devices=1))

    def embed(self, paths: Iterable[str | Path], *, strict: bool = False) -> Embeddings:
        """Embed picture files.

        Args:
            paths: in any number; they are read batch by batch.
            strict: raise at the first unreadable picture instead of skipping it.

        Raises:
            ImageError: for an unreadable picture, when `strict`.
        """
        vectors = [torch.empty(0, 2 * self.config.feature_dim)]
        logits = [torch.empty(0, NUM_ATTRIBUTES)]
        names: list[str] = []
        skipped: list[tuple[str, str]] = []
        remaining = iter(paths)
        while chunk := list(itertools.islice(remaining, BATCH_SIZE)):
            pixels = []
            for path in chunk:
                try:
                    picture = images.load(path)
                except ImageError as error:
                    if strict:
                        raise
                    skipped.append((str(path), str(error)))
                else:
                    pixels.append(images.resize(picture, self.config.height, self.config.width))
                    names.append(str(path))
            if pixels:
                of_people, of_attributes = embed_batch(
                    self.fabric, self.network, self.config, np.stack(pixels)
                )
                vectors.append(torch.nn.functional.normalize(of_people))
                if of_attributes is not None:
                    logits.append(of_attributes)
        probabilities = None
        if self.config.attributes != "none":
            probabilities = attribute_probabilities(torch.cat(logits), self.config.colours).numpy()
        return Embeddings(torch.cat(vectors).numpy(), probabilities, tuple(names), tuple(skipped))
