"""Harmonious attention: where to look softly (a weight everywhere) and hard (four regions).

Source: sections 3.1.2 and 3.1.3 of the paper, with the details of the published code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hatcnn.models.blocks import ConvBlock
from hatcnn.models.kernels import functions as kernels
from hatcnn.models.kernels.tensors import usable
from hatcnn.models.normalisation import fold, track

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

    def forward(self, pooled: Tensor) -> Tensor:
        """Global average (N, c) to weights (N, c)."""
        weights: Tensor = self.excite(self.squeeze(pooled[:, :, None, None]))
        return weights.flatten(1)


class SoftWeights(NamedTuple):
    """The weights of a feature map, in factors: ``sigmoid(spatial * channel + shift)``.

    Attributes:
        spatial: (N, 1, h, w).
        channel: (N, c).
        shift: (c,).
        relu: whether the sigmoid's input is cut off below zero.
    """

    spatial: Tensor
    channel: Tensor
    shift: Tensor
    relu: bool

    def map(self) -> Tensor:
        """(N, c, h, w), in (0, 1)."""
        channel, shift = (t.to(self.spatial.dtype) for t in (self.channel, self.shift))
        blended = self.spatial * channel[:, :, None, None] + shift[:, None, None]
        return torch.sigmoid(torch.relu(blended) if self.relu else blended)

    def times(self, x: Tensor) -> Tensor:
        """x (N, c, h, w), weighted."""
        if x.requires_grad and usable(x):
            return kernels.attend(x, *self[:3], relu=self.relu)
        return x * self.map().to(x.dtype)


class SoftAttention(nn.Module):
    """Spatial times channel attention, blended by a 1x1 block, through a sigmoid.

    The product of a map and a vector goes through the 1x1 convolution as the map times the
    convolved vector: no convolution over positions takes place, and the batch statistics of the
    result follow from those of its two factors.

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

    def forward(self, x: Tensor, pooled: Tensor) -> SoftWeights:
        """(N, c, h, w) and its global average (N, c) to the weights of x."""
        spatial = self.spatial(x)
        if self.blend.normalises:
            channel = F.linear(self.channel(pooled), self.blend.conv.weight.flatten(1))
            channel, shift = self._normalise(spatial, channel)
        else:
            weight, shift = fold(self.blend.conv, self.blend.norm)
            channel = F.linear(self.channel(pooled), weight.flatten(1))
        return SoftWeights(spatial, channel, shift, self.blend.relu)

    def _normalise(self, spatial: Tensor, channel: Tensor) -> tuple[Tensor, Tensor]:
        """Batch norm of the product, as a factor of `channel` (N, c) and a shift (c,)."""
        norm, bias = self.blend.norm, self.blend.conv.bias
        assert norm is not None
        assert bias is not None
        precise = torch.promote_types(spatial.dtype, torch.float32)
        positions, channel = spatial.flatten(1).to(precise), channel.to(precise)
        spread, level = torch.var_mean(positions, dim=1, keepdim=True, correction=0)
        products = level * channel
        mean = products.mean(dim=0)
        # Variance within pictures and between them.
        variance = (spread * channel.square() + (products - mean).square()).mean(dim=0)
        inverse = torch.rsqrt(variance + norm.eps)
        track(norm, mean, inverse, bias, spatial.numel())
        # The bias is hidden behind the mean, but optimisers expect a gradient of it.
        factor = (norm.weight + 0 * bias) * inverse
        return channel * factor, norm.bias - mean * factor


class HardAttention(nn.Module):
    """Centres of the four regions, in image coordinates from -1 to 1.

    The weight starts at zero, so every picture starts with the same four strips.

    Args:
        channels: channels of the level.
        starts: bias of the four ty, before the tanh.
        reach: 0, as published, lets a region go anywhere. Trained fast, regions then run into the
            corners of the picture and stay there, where the tanh is flat and three quarters of a
            region are outside. A positive number keeps each centre so near, each way, to one of
            four strips that tile the picture; `starts` are not used then.
    """

    anchors: Tensor

    def __init__(
        self, channels: int, *, starts: Sequence[float] = PUBLISHED_STARTS, reach: float = 0.0
    ) -> None:
        super().__init__()
        self.reach = reach
        self.linear = nn.Linear(channels, 2 * NUM_REGIONS)
        nn.init.zeros_(self.linear.weight)
        bias = torch.tensor([[0.0, start] for start in starts]).flatten()
        with torch.no_grad():
            self.linear.bias.copy_(torch.zeros_like(bias) if reach else bias)
        anchors = torch.tensor([[0.0, y] for y in PUBLISHED_STARTS])
        self.register_buffer("anchors", anchors, persistent=False)

    def forward(self, pooled: Tensor) -> Tensor:
        """Global average (N, c) to (N, 4, 2): the (tx, ty) of each region, in (-1, 1)."""
        translation = torch.tanh(self.linear(pooled)).unflatten(1, (NUM_REGIONS, 2))
        return self.anchors + self.reach * translation if self.reach else translation


def sample_regions(
    x: Tensor, centres: Tensor, size: tuple[int, int], *, direct: bool = False
) -> Tensor:
    """Cut the four regions out of a feature map and bring them to one size.

    The published code samples each region at the feature map's full size and then shrinks it
    (bilinear, corners aligned). ``direct`` samples at the positions the shrinking would read:
    one interpolation instead of two, and not the same numbers.

    Regions are upright rectangles, so each of these interpolations is a matrix for the rows and
    one for the columns; both kinds of sampling are two matrix products.

    Args:
        x: (N, c, h, w) feature map.
        centres: (N, 4, 2) region centres (x, y) in [-1, 1]; parts outside the image read zero.
        size: (height, width) of a region in the result.
        direct: see above.

    Returns:
        (N, 4, c, height, width), channels last in memory.
    """
    height, width = size
    # Positions need more than the eight bits of bfloat16, whatever the precision around them.
    centres = centres.to(torch.promote_types(x.dtype, torch.float32))
    rows = _interpolation(centres[:, :, 1], REGION_HEIGHT, x.shape[2], height, direct).to(x.dtype)
    columns = _interpolation(centres[:, :, 0], 1.0, x.shape[3], width, direct).to(x.dtype)
    lines = x.permute(0, 2, 3, 1).flatten(2)
    cut = (
        (rows.flatten(1, 2) @ lines)
        .unflatten(1, (NUM_REGIONS, height))
        .unflatten(3, (-1, x.shape[1]))
    )
    return (columns[:, :, None] @ cut).permute(0, 1, 4, 2, 3)


def _interpolation(centres: Tensor, scale: float, length: int, steps: int, direct: bool) -> Tensor:
    """Matrices that read `steps` values of a region off a line of `length` pixels.

    Args:
        centres: (N, 4) of the regions, in [-1, 1].
        scale: length of a region as a share of the line.
        length, steps, direct: see `sample_regions`.

    Returns:
        (N, 4, steps, length); what lies outside the line has no weight.
    """
    # Pixel centres lie at odd multiples of 1 / length in [-1, 1] when corners are not aligned.
    places = torch.linspace(
        1 / length - 1,
        1 - 1 / length,
        steps if direct else length,
        dtype=centres.dtype,
        device=centres.device,
    )
    pixels = ((scale * places + centres[:, :, None] + 1) * length - 1) / 2
    weights = _hat(pixels, length)
    if direct:
        return weights
    shrunk = torch.linspace(0, length - 1, steps, dtype=centres.dtype, device=centres.device)
    return _hat(shrunk, length) @ weights


def _hat(positions: Tensor, length: int) -> Tensor:
    """(…, n) positions in pixels to weights (…, n, length) of linear interpolation."""
    pixels = torch.arange(length, dtype=positions.dtype, device=positions.device)
    return torch.relu(1 - (positions[..., None] - pixels).abs())
