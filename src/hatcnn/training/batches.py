"""From indices to what the network reads: pixels, augmented on the device, and labels."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from hatcnn.training.augmentation import Augment
from hatcnn.training.data import TrainingData
from hatcnn.training.recipe import Recipe
from hatcnn.training.sampler import Indices


class Batches:
    """Makes the batches of a run.

    On a GPU the pixels of the whole data set are kept there as bytes (0.4 GB for Market-1501),
    so that no step waits for the host. On a CPU they are read from the memory-mapped pack.

    Args:
        data: packed pictures and labels.
        recipe: batch size, augmentation and seed.
        device: where the network is.

    Attributes:
        seconds: spent here so far, while the network waited.
    """

    def __init__(self, data: TrainingData, recipe: Recipe, device: torch.device) -> None:
        self._packed = data.train.images
        self._pixels = (
            None if device.type == "cpu" else torch.from_numpy(np.array(self._packed)).to(device)
        )
        self._classes = data.classes.to(device)
        self._attributes = data.attributes.to(device)
        self._augment = Augment(recipe.augmentation, seed=recipe.seed)
        self._batch_size = recipe.sampling.batch_size
        self._device = device
        self.seconds = 0.0

    def __call__(self, indices: Indices, step: int, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Images (n, 3, H, W), classes (n,) and attribute labels (n, 26).

        Args:
            indices: of the pictures, (n,).
            step: of the run, which decides their augmentation.
            rows: which rows of the step's batch these are.
        """
        start = time.perf_counter()
        chosen = torch.from_numpy(indices).to(self._device, non_blocking=True)
        if self._pixels is None:
            images = torch.from_numpy(self._packed[indices])
        else:
            images = self._pixels[chosen]
        images = self._augment(images, step, rows=rows, batch_size=self._batch_size)
        batch = images, self._classes[chosen], self._attributes[chosen]
        self.seconds += time.perf_counter() - start
        return batch
