"""The one normalisation: packed pixels to network input, for training, evaluation and serving."""

from __future__ import annotations

import torch
from torch import Tensor

from hatcnn.images import MEAN, STD


def normalise(images: Tensor) -> Tensor:
    """(n, H, W, 3) uint8 to (n, 3, H, W) float32 with ImageNet's mean and deviation.

    The memory stays channels last, which the convolutions prefer.
    """
    # Not made on the device: that would wait for all it has to do.
    mean, std = (
        (255 * torch.tensor(values)).to(images.device, non_blocking=True) for values in (MEAN, STD)
    )
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)
