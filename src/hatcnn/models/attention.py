"""Harmonious attention: where to look softly (a weight everywhere) and hard (four regions).

Source: sections 3.1.2 and 3.1.3 of the paper, with the details of the published code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hatcnn.models.blocks import ConvBlock

NUM_REGIONS = 4
REGION_HEIGHT = 0.25
"""A region is a quarter of the image high and all of it wide (s_h = 0.25, s_w = 1)."""

PUBLISHED_STARTS = (-0.75, -0.25, 0.25, 0.75)
"""Bias of the published regions, BEFORE the tanh: they start at -0.635, -0.245, 0.245, 0.635 and
so miss the top and bottom 5.75 % of the image, while neighbours overlap."""

TILING_STARTS = tuple(math.atanh(y) for y in PUBLISHED_STARTS)
"""Bias with which the tanh lands on -0.75 … 0.75, so that the four regions tile the image."""


class SpatialAttention(nn.Module):
    """One weight a position: mean over channels, half-size 3x3 block, back to size, 1x1 block."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = ConvBlock(1, 1, 3, stride=2, padding=1)
        self.scale = ConvBlock(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, c, h, w) to (N, 1, h, w)."""
        weights = self.reduce(x.mean(dim=1, keepdim=True))
        weights = F.interpolate(weights, x.shape[2:], mode="bilinear", align_corners=True)
        scaled: Tensor = self.scale(weights)
        return scaled


class ChannelAttention(nn.Module):
    """One weight a channel: global average, squeeze to a sixteenth, back."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.squeeze = ConvBlock(channels, channels // reduction, 1)
        self.excite = ConvBlock(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, c, h, w) to (N, c, 1, 1)."""
        weights: Tensor = self.excite(self.squeeze(x.mean(dim=(2, 3), keepdim=True)))
        return weights


class SoftAttention(nn.Module):
    """Spatial times channel attention, blended by a 1x1 block, through a sigmoid.

    Args:
        channels: channels of the level.
        suppressing: the published block ends in a ReLU, so its sigmoid lies in [0.5, 1) and can
            halve a feature but never remove it. True leaves the ReLU out: weights in (0, 1).
    """

    def __init__(self, channels: int, *, suppressing: bool = False) -> None:
        super().__init__()
        self.spatial = SpatialAttention()
        self.channel = ChannelAttention(channels)
        self.blend = ConvBlock(channels, channels, 1, relu=not suppressing)

    def forward(self, x: Tensor) -> Tensor:
        """(N, c, h, w) to weights of the same shape."""
        return torch.sigmoid(self.blend(self.spatial(x) * self.channel(x)))


class HardAttention(nn.Module):
    """Centres of the four regions, in image coordinates from -1 to 1.

    The weight starts at zero, so every picture starts with the same four strips.

    Args:
        channels: channels of the level.
        starts: bias of the four ty, before the tanh.
    """

    def __init__(self, channels: int, *, starts: Sequence[float] = PUBLISHED_STARTS) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, 2 * NUM_REGIONS)
        nn.init.zeros_(self.linear.weight)
        bias = torch.tensor([[0.0, start] for start in starts])
        with torch.no_grad():
            self.linear.bias.copy_(bias.flatten())

    def forward(self, x: Tensor) -> Tensor:
        """(N, c, h, w) to (N, 4, 2): the (tx, ty) of each region, in (-1, 1)."""
        translation = torch.tanh(self.linear(x.mean(dim=(2, 3))))
        return translation.unflatten(1, (NUM_REGIONS, 2))


def sample_regions(
    x: Tensor, centres: Tensor, size: tuple[int, int], *, direct: bool = False
) -> Tensor:
    """Cut the four regions out of a feature map and bring them to one size.

    The published code samples each region at the feature map's full size and then shrinks it
    (bilinear, corners aligned). ``direct`` samples at the positions the shrinking would read:
    one interpolation instead of two, several times cheaper, and not the same numbers.

    Args:
        x: (N, c, h, w) feature map.
        centres: (N, 4, 2) region centres (x, y) in [-1, 1]; parts outside the image read zero.
        size: (height, width) of a region in the result.
        direct: see above.

    Returns:
        (N, 4, c, height, width).
    """
    height, width = x.shape[2:]
    rows, columns = size if direct else (height, width)
    # Positions need more than the eight bits of bfloat16, whatever the precision around them.
    precise = torch.promote_types(x.dtype, torch.float32)
    centres, x = centres.to(precise), x.to(precise)
    # Pixel centres lie at odd multiples of 1 / size in [-1, 1] when corners are not aligned.
    down, across = (
        torch.linspace(1 / n - 1, 1 - 1 / n, steps, dtype=precise, device=x.device)
        for n, steps in ((height, rows), (width, columns))
    )
    grid_y = REGION_HEIGHT * down + centres[:, :, 1:]
    grid_x = across + centres[:, :, :1]
    grid = torch.stack(
        torch.broadcast_tensors(grid_x[:, :, None, :], grid_y[:, :, :, None]), dim=-1
    )
    # The four regions are sampled as one tall picture; with channels last in memory, taking it
    # apart again costs nothing.
    sampled = F.grid_sample(x, grid.flatten(1, 2), align_corners=False)
    regions = sampled.unflatten(2, (NUM_REGIONS, rows)).transpose(1, 2)
    if direct:
        return regions
    regions = F.interpolate(regions.flatten(0, 1), size, mode="bilinear", align_corners=True)
    return regions.unflatten(0, (-1, NUM_REGIONS))
