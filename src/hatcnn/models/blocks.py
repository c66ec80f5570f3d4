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

from hatcnn.models.kernels import convolution
from hatcnn.models.normalisation import fold, normalise_streams, pool_maxima


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
        if not self.normalises:
            convolved = _convolve_folded(x, self)
            return torch.relu(convolved) if self.relu else convolved
        return leave((self.convolve(x),), (self,), groups)

    @property
    def normalises(self) -> bool:
        """Whether the batch's own statistics are used, as in training."""
        return self.norm is not None and self.norm.training

    def convolve(self, x: Tensor) -> Tensor:
        """The convolution alone, without its bias, for `leave`."""
        conv = self.conv
        if convolution.usable(x, conv.weight, conv.stride, conv.padding):
            return convolution.convolve(x, conv.weight)
        return F.conv2d(x, conv.weight, None, conv.stride, conv.padding)


def enter(
    x: Tensor, blocks: Sequence[ConvBlock], groups: int = 1, *, averaged: ConvBlock | None = None
) -> list[Tensor]:
    """Blocks that read the same input, in training: their convolutions are one.

    Args:
        x: (N, in, h, w).
        blocks: alike but for their weights and numbers of channels.
        groups: see the top of this file.
        averaged: one more, 1x1, whose input is to be averaged over 3x3 neighbours (zeros outside
            the grid count). The averaging is done on its output.

    Returns:
        The blocks' outputs; last, for `leave`, the convolution alone of `averaged`.
    """
    every = (*blocks, averaged) if averaged else tuple(blocks)
    conv = blocks[0].conv
    weight = torch.cat([block.conv.weight for block in every])
    together = F.conv2d(x, weight, None, conv.stride, conv.padding)
    norms, biases = _norms(blocks)
    return normalise_streams([together], norms, biases, groups=groups, joined=False)


def leave(convolved: Sequence[Tensor], blocks: Sequence[ConvBlock], groups: int = 1) -> Tensor:
    """What follows the convolutions of the blocks, in training, with the results side by side."""
    norms, biases = _norms(blocks)
    (together,) = normalise_streams(convolved, norms, biases, relu=blocks[0].relu, groups=groups)
    return together


def _norms(blocks: Sequence[ConvBlock]) -> tuple[list[nn.BatchNorm2d], list[Tensor]]:
    norms = [block.norm for block in blocks if block.norm is not None]
    biases = [block.conv.bias for block in blocks if block.conv.bias is not None]
    return norms, biases


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
        if not self.stream1[0].normalises:
            streams = (self.stream1, self.stream2, self.stream3, self.stream4)
            return torch.cat([stream(x) for stream in streams], dim=1)
        first, second = zip(*map(_blocks, (self.stream1, self.stream2, self.stream3)), strict=True)
        (last,) = _blocks(self.stream4)
        *reduced, averaged = enter(x, first, groups, averaged=last)
        convolved = [block.convolve(r) for block, r in zip(second, reduced, strict=True)]
        return leave((*convolved, averaged), (*second, last), groups)


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
        if not self.stream1[0].normalises:
            streams = (self.stream1, self.stream2, self.stream3)
            return torch.cat([stream(x) for stream in streams], dim=1)
        first1, last1 = _blocks(self.stream1)
        first2, middle2, last2 = _blocks(self.stream2)
        (last3,) = _blocks(self.stream3)
        reduced1, reduced2 = enter(x, (first1, first2), groups)
        inputs = (reduced1, middle2(reduced2, groups), pool_maxima(x))
        lasts = (last1, last2, last3)
        convolved = [block.convolve(i) for block, i in zip(lasts, inputs, strict=True)]
        return leave(convolved, lasts, groups)


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


class AttributeGate(nn.Module):
    """What the person wears decides which numbers of the features count.

    The probabilities are taken as they are: identities do not train the attributes through them,
    and with the gate held where it is the features stay linear behind their cut-off.

    Args:
        num_attributes: probabilities in.
        out_features: factors out.
    """

    def __init__(self, num_attributes: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_attributes, out_features)
        # All factors are 1 at the start, so that training begins with the network without a gate.
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, logits: Tensor) -> Tensor:
        """(N, attributes) to factors (N, out) in (0, 2)."""
        return 2 * torch.sigmoid(self.linear(torch.sigmoid(logits.detach())))


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
