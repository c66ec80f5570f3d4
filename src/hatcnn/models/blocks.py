"""The convolution blocks that every branch is built of.

Shapes are (N, channels, height, width). A level of ``c`` channels is an `InceptionA` that keeps
the grid, followed by an `InceptionB` that halves it.

The blocks are written for speed; ``tests/oracles/network.py`` says the same plainly. Time goes
into memory traffic more than into arithmetic, so:

- streams that read the same input are one convolution;
- averaging is linear and comes after the 1x1 convolution, on a fraction of the channels;
- a convolution's bias cannot be seen behind the batch's mean, so training leaves it out of the
  convolution and adds it to the running mean;
- at test time batch norm is folded into the convolution.

A block's input may hold several groups of pictures, one after the other along the first
dimension, each normalised by its own statistics in training: the four regions of a local stream.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hatcnn.models.normalisation import batch_norm_relu, fold


class ConvBlock(nn.Module):
    """Convolution with bias, batch norm and, unless told otherwise, ReLU.

    Attributes:
        norm: none once `folded` has put it into the convolution.
    """

    norm: nn.BatchNorm2d | None

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
        self.relu = relu

    def forward(self, x: Tensor, groups: int = 1) -> Tensor:
        """(N, in, h, w) to (N, out, h', w')."""
        (convolved,) = convolve(x, (self,))
        return self.activate(convolved, groups)

    @property
    def normalises(self) -> bool:
        """Whether the batch's own statistics are used, as in training."""
        return self.norm is not None and self.norm.training

    def activate(self, convolved: Tensor, groups: int = 1) -> Tensor:
        """What follows the convolution; (N, out, h', w') from `convolve` to the same shape."""
        if self.norm is not None and self.norm.training:
            return batch_norm_relu(convolved, self.norm, self.conv.bias, self.relu, groups)
        return torch.relu(convolved) if self.relu else convolved


def convolve(
    x: Tensor, blocks: Sequence[ConvBlock], *, averaged: ConvBlock | None = None
) -> tuple[Tensor, ...]:
    """The convolutions of blocks that read the same input: in training, as one.

    At test time each is by itself: a convolution that has batch norm folded in takes the ReLU
    along too, and taking one large result apart costs more than reading the input again.

    Args:
        x: (N, in, h, w).
        blocks: alike but for their weights and numbers of channels.
        averaged: one more, 1x1, whose input is first averaged over 3x3 neighbours (zeros outside
            the grid count). In training the averaging is done on its output.

    Returns:
        The blocks' outputs, that of `averaged` last, ready for `ConvBlock.activate`.
    """
    if not blocks[0].normalises:
        outputs = [_convolve_folded(x, block) for block in blocks]
        if averaged:
            outputs.append(_convolve_folded(F.avg_pool2d(x, 3, 1, 1), averaged))
        return tuple(outputs)
    every = (*blocks, averaged) if averaged else tuple(blocks)
    conv = blocks[0].conv
    if len(every) == 1:
        return (F.conv2d(x, conv.weight, None, conv.stride, conv.padding),)
    weight = torch.cat([block.conv.weight for block in every])
    together = F.conv2d(x, weight, None, conv.stride, conv.padding)
    outputs = list(together.split([block.conv.out_channels for block in every], dim=1))
    if averaged:
        outputs[-1] = F.avg_pool2d(outputs[-1], 3, 1, 1)
    return tuple(outputs)


def folded(network: nn.Module) -> nn.Module:
    """A copy for inference whose convolutions have taken in their batch norms."""
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for block in network.modules():
        if isinstance(block, ConvBlock):
            weight, bias = fold(block.conv, block.norm)
            layout = torch.channels_last
            block.conv.weight = nn.Parameter(weight.contiguous(memory_format=layout), False)
            block.conv.bias = nn.Parameter(bias, False)
            block.norm = None
    return network


def _convolve_folded(x: Tensor, block: ConvBlock) -> Tensor:
    weight, shift = fold(block.conv, block.norm)
    return F.conv2d(x, weight, shift, block.conv.stride, block.conv.padding)


def _blocks(stream: nn.Sequential) -> list[ConvBlock]:
    return [module for module in stream if isinstance(module, ConvBlock)]


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

    def forward(self, x: Tensor, groups: int = 1) -> Tensor:
        """(N, in, h, w) to (N, out, h, w)."""
        streams = [_blocks(s) for s in (self.stream1, self.stream2, self.stream3)]
        (last,) = _blocks(self.stream4)
        *reduced, averaged = convolve(x, [first for first, _ in streams], averaged=last)
        outputs = [
            second(first.activate(convolved, groups), groups)
            for (first, second), convolved in zip(streams, reduced, strict=True)
        ]
        return torch.cat((*outputs, last.activate(averaged, groups)), dim=1)


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

    def forward(self, x: Tensor, groups: int = 1) -> Tensor:
        """(N, in, h, w) to (N, out, ceil(h / 2), ceil(w / 2))."""
        first1, last1 = _blocks(self.stream1)
        first2, middle2, last2 = _blocks(self.stream2)
        (last3,) = _blocks(self.stream3)
        reduced1, reduced2 = convolve(x, (first1, first2))
        outputs = (
            last1(first1.activate(reduced1, groups), groups),
            last2(middle2(first2.activate(reduced2, groups), groups), groups),
            last3(F.max_pool2d(x, 3, 2, 1), groups),
        )
        return torch.cat(outputs, dim=1)


class AttributeHead(nn.Module):
    """From pooled channels to attribute logits: linear, batch norm, ReLU, linear.

    Args:
        in_features: pooled channels.
        width: length of the hidden vector.
        num_attributes: outputs.
    """

    def __init__(self, in_features: int, width: int, num_attributes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, width)
        self.norm = nn.BatchNorm1d(width)
        self.classifier = nn.Linear(width, num_attributes)

    def forward(self, pooled: Tensor) -> Tensor:
        """(N, in) to logits (N, attributes)."""
        logits: Tensor = self.classifier(torch.relu(self.norm(self.linear(pooled))))
        return logits


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
