"""The one normalisation: packed pixels to network input, for training, evaluation and serving."""

from __future__ import annotations

import torch
from torch import Tensor

from hatcnn.images import MEAN, STD


def normalise(images: Tensor) -> Tensor:
    """(n, H, W, 3) uint8 to (n, 3, H, W) float32 with ImageNet's mean and deviation.

    The memory stays channels last, which the convolutions prefer.
    """
    mean = torch.tensor(MEAN, device=images.device) * 255
    std = torch.tensor(STD, device=images.device) * 255
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)
