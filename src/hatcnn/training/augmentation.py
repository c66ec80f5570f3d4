"""Random changes of a whole batch at once, each picture its own, on the network's device."""

from __future__ import annotations

import torch
from torch import Tensor

from hatcnn.models.preprocessing import normalise
from hatcnn.training.recipe import Augmentation


class Augment:
    """From packed uint8 pictures to normalised network input.

    The random numbers of a step are a pure function of (seed, step): drawn for the whole batch,
    of which each process takes its rows, so that they depend neither on how many processes run
    nor on what ran before.

    Args:
        config: what to change.
        seed: of the run.
    """

    def __init__(self, config: Augmentation, *, seed: int) -> None:
        self.config = config
        self.seed = seed

    def __call__(self, images: Tensor, step: int, *, rows: slice, batch_size: int) -> Tensor:
        """Augment and normalise.

        Args:
            images: (n, H, W, 3) uint8, rows ``rows`` of the step's batch.
            step: number of the step since the start of training.
            rows: which pictures of the batch these are.
            batch_size: pictures in the step's whole batch.

        Returns:
            (n, 3, H, W) float32, channels last in memory.
        """
        config = self.config
        generator = torch.Generator().manual_seed((self.seed << 32) + step)
        # One row of uniform numbers a picture, whatever is switched on: switching one change off
        # leaves the others as they were.
        uniform = torch.rand(batch_size, 8, generator=generator)[rows]
        uniform = uniform.to(images.device, non_blocking=True)
        height, width = images.shape[1:3]

        shift_y = _integer(uniform[:, 0], -config.shift[0], config.shift[0])
        shift_x = _integer(uniform[:, 1], -config.shift[1], config.shift[1])
        y = torch.arange(height, device=images.device) + shift_y[:, None]
        x = torch.arange(width, device=images.device) + shift_x[:, None]
        inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
        flipped = uniform[:, 2, None] < config.flip
        columns = torch.where(flipped, width - 1 - x, x).clamp(0, width - 1)
        picture = torch.arange(len(images), device=images.device)[:, None, None]
        moved = images[picture, y.clamp(0, height - 1)[:, :, None], columns[:, None, :]]
        moved = moved * inside[..., None]

        normalised = normalise(moved)
        if config.erase:
            normalised = normalised.masked_fill(self._erased(uniform, height, width), 0.0)
        return normalised

    def _erased(self, uniform: Tensor, height: int, width: int) -> Tensor:
        """(n, 1, H, W) true inside each picture's erased rectangle."""
        low, high = self.config.erase_area
        area = (low + uniform[:, 4] * (high - low)) * height * width
        # Between 3:1 lying and 3:1 standing, evenly in the logarithm.
        aspect = 3.0 ** (2 * uniform[:, 5] - 1)
        tall = (area * aspect).sqrt().clamp(max=height)
        wide = (area / aspect).sqrt().clamp(max=width)
        top = uniform[:, 6] * (height - tall)
        left = uniform[:, 7] * (width - wide)
        y = torch.arange(height, device=uniform.device)
        x = torch.arange(width, device=uniform.device)
        in_rows = (y >= top[:, None]) & (y < (top + tall)[:, None])
        in_columns = (x >= left[:, None]) & (x < (left + wide)[:, None])
        chosen = (uniform[:, 3] < self.config.erase)[:, None, None]
        return (chosen & in_rows[:, :, None] & in_columns[:, None, :])[:, None]


def _integer(uniform: Tensor, low: int, high: int) -> Tensor:
    """Uniform numbers in [0, 1) to integers in [low, high]."""
    return (low + (uniform * (high - low + 1)).floor()).long()
