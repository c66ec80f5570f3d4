"""The one place that knows sizes: `ModelConfig` in, network out."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from hatcnn.attributes import NUM_ATTRIBUTES
from hatcnn.models.attention import (
    NUM_REGIONS,
    PUBLISHED_STARTS,
    TILING_STARTS,
    HardAttention,
    SoftAttention,
)
from hatcnn.models.blocks import (
    AttributeGate,
    AttributeHead,
    ConvBlock,
    FeatureHead,
    InceptionA,
    InceptionB,
)
from hatcnn.models.config import AttributeScheme, ColourModel, ModelConfig
from hatcnn.models.embedding import Reduction
from hatcnn.models.hacnn import HACNN, Level, LocalStream
from hatcnn.models.hatcnn import HATCNN, AttributeNetwork

__all__ = ["AttributeScheme", "ColourModel", "ModelConfig", "build_model"]


def build_model(config: ModelConfig) -> HACNN | HATCNN:
    """Build a network with fresh weights (PyTorch's default initialisation, as published)."""
    hacnn = _build_hacnn(config)
    if config.attributes != "separate":
        return hacnn
    body = nn.Sequential(_stem(config), *(_body(i, c) for i, c in _widths(config)))
    return HATCNN(
        hacnn,
        AttributeNetwork(body, config.channels[-1], config.attribute_dim, NUM_ATTRIBUTES),
    )


def _build_hacnn(config: ModelConfig) -> HACNN:
    levels = [
        Level(
            _body(width, channels),
            SoftAttention(channels, suppressing=config.suppressing_attention),
            HardAttention(
                channels,
                starts=TILING_STARTS if config.tiling_regions else PUBLISHED_STARTS,
                reach=config.region_reach,
            ),
            LocalStream(
                InceptionB(width, channels), shared_statistics=config.shared_region_statistics
            ),
            region_size=region_size,
            direct_sampling=config.direct_sampling,
        )
        for (width, channels), region_size in zip(_widths(config), config.region_sizes, strict=True)
    ]
    local_identities = 0 if config.attributes == "local-only" else config.num_identities
    last, dim = config.channels[-1], config.feature_dim
    return HACNN(
        _stem(config),
        levels,
        FeatureHead(last, dim, config.num_identities, bn_neck=config.bn_neck),
        FeatureHead(NUM_REGIONS * last, dim, local_identities, bn_neck=config.bn_neck),
        attribute_classifier=(
            nn.Linear(dim, NUM_ATTRIBUTES) if config.attributes.startswith("local") else None
        ),
        attribute_head=(
            AttributeHead((1 + NUM_REGIONS) * last, config.attribute_dim, NUM_ATTRIBUTES)
            if config.attributes == "shared"
            else None
        ),
        attribute_gate=AttributeGate(NUM_ATTRIBUTES, 2 * dim) if config.attribute_gate else None,
        reduction=Reduction(2 * dim, config.reduced_dim) if config.reduced_dim else None,
    )


def _widths(config: ModelConfig) -> list[tuple[int, int]]:
    return list(pairwise((config.stem_channels, *config.channels)))


def _stem(config: ModelConfig) -> ConvBlock:
    return ConvBlock(3, config.stem_channels, 3, stride=2, padding=1)


def _body(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        InceptionA(in_channels, out_channels), InceptionB(out_channels, out_channels)
    )
