"""The convolution blocks that every branch is built of.

Shapes are (N, channels, height, width). A level of ``c`` channels is an `InceptionA` that keeps
the grid, followed by an `InceptionB` that halves it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Convolution with bias, batch norm and, unless told otherwise, ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=padding)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) to (N, out, h', w')."""
        activated: Tensor = self.activation(self.norm(self.conv(x)))
        return activated


def _pointwise(in_channels: int, out_channels: int) -> ConvBlock:
    return ConvBlock(in_channels, out_channels, 1)


def _spatial(channels: int, *, stride: int = 1) -> ConvBlock:
    return ConvBlock(channels, channels, 3, stride=stride, padding=1)


class InceptionA(nn.Module):
    """Four streams of a quarter of the channels each; the grid stays.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, a multiple of 4.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        quarter = out_channels // 4
        self.stream1 = nn.Sequential(_pointwise(in_channels, quarter), _spatial(quarter))
        self.stream2 = nn.Sequential(_pointwise(in_channels, quarter), _spatial(quarter))
        self.stream3 = nn.Sequential(_pointwise(in_channels, quarter), _spatial(quarter))
        self.stream4 = nn.Sequential(nn.AvgPool2d(3, 1, 1), _pointwise(in_channels, quarter))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) to (N, out, h, w)."""
        streams = (self.stream1(x), self.stream2(x), self.stream3(x), self.stream4(x))
        return torch.cat(streams, dim=1)


class InceptionB(nn.Module):
    """Three streams of a quarter, a quarter and a half of the channels; the grid is halved.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, a multiple of 4.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        quarter = out_channels // 4
        self.stream1 = nn.Sequential(_pointwise(in_channels, quarter), _spatial(quarter, stride=2))
        self.stream2 = nn.Sequential(
            _pointwise(in_channels, quarter), _spatial(quarter), _spatial(quarter, stride=2)
        )
        self.stream3 = nn.Sequential(nn.MaxPool2d(3, 2, 1), _pointwise(in_channels, 2 * quarter))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) to (N, out, ceil(h / 2), ceil(w / 2))."""
        return torch.cat((self.stream1(x), self.stream2(x), self.stream3(x)), dim=1)


class FeatureHead(nn.Module):
    """From pooled channels to the vector that describes the person, and to identity logits.

    The published head is linear, batch norm, ReLU; metric losses and the classifier both see its
    output. With ``bn_neck`` (Luo et al., 2019) there is no ReLU: metric losses see the vector
    before the batch norm, the classifier (then without bias) and the ranking the one after it.

    Args:
        in_features: pooled channels.
        out_features: length of the feature.
        num_identities: outputs of the classifier; 0 builds none.
        bn_neck: see above.
    """

    def __init__(
        self, in_features: int, out_features: int, num_identities: int, *, bn_neck: bool = False
    ) -> None:
        super().__init__()
        self.bn_neck = bn_neck
        self.linear = nn.Linear(in_features, out_features)
        self.norm = nn.BatchNorm1d(out_features)
        self.classifier = (
            nn.Linear(out_features, num_identities, bias=not bn_neck) if num_identities else None
        )

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(N, in) to (feature for ranking, feature for metric losses), both (N, out)."""
        projected = self.linear(pooled)
        normalised = self.norm(projected)
        if self.bn_neck:
            return normalised, projected
        feature = torch.relu(normalised)
        return feature, feature

    def classify(self, feature: Tensor) -> Tensor | None:
        """(N, out) to identity logits (N, identities); none without a classifier."""
        return None if self.classifier is None else self.classifier(feature)
