"""What decides a network's shape and arithmetic; readable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hatcnn.errors import ConfigError

AttributeScheme = Literal["none", "separate", "shared", "local-joint", "local-only"]
ColourModel = Literal["independent", "exclusive"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that decides the network's shape and arithmetic.

    Defaults are the published HAT-CNN. Each quirk of the published code is a field of its own.
    """

    num_identities: int = 0
    """Identities of the classifiers, filled in from the data; 0 builds none (test time)."""
    attributes: AttributeScheme = "separate"
    """Who predicts attributes: nobody (HA-CNN), a network of its own (HAT-CNN), the local branch
    beside identities (the paper's Figure 4), the local branch instead of identities, or (shared,
    ours) a small head on what both branches pooled, which costs nothing."""
    height: int = 160
    """Height of the input, pixels."""
    width: int = 64
    """Width of the input, pixels."""
    channels: tuple[int, int, int] = (128, 256, 384)
    """Channels of the three levels, multiples of 16."""
    stem_channels: int = 32
    """Channels of the stem."""
    feature_dim: int = 512
    """Length of the global and of the local feature."""
    attribute_gate: bool = False
    """Multiply both features by factors in (0, 2) that are read off the attributes'
    probabilities; for the shared scheme."""
    attribute_dim: int = 100
    """Hidden width of the attribute network."""
    suppressing_attention: bool = False
    """Leave out the ReLU before the soft attention's sigmoid, which keeps it in [0.5, 1)."""
    tiling_regions: bool = False
    """Start the regions so that they tile the image, instead of missing its top and bottom."""
    region_reach: float = 0.0
    """How far a region's centre may move, each way, from the strip of the picture it starts at, in
    coordinates in which the picture is 2 high; 0 lets it go anywhere, as published."""
    direct_sampling: bool = False
    """Sample regions straight into their small grid, instead of at full size and then shrunk."""
    shared_region_statistics: bool = False
    """Normalise the four regions by common batch statistics in training, instead of one by one."""
    bn_neck: bool = False
    """Metric losses before, classifier and ranking after a batch norm; no ReLU on features."""
    norm_epsilon: float = 0.0
    """Smallest L2 norm that features are divided by. The published 0 makes an all-zero feature
    NaN."""
    reduced_dim: int = 0
    """Length of the vector after the projection that ``hatcnn reduce`` fits, up to twice
    `feature_dim`; 0 keeps both features side by side."""
    colours: ColourModel = "independent"
    """How attribute logits read: 26 sigmoids, or colours as one choice among each group and an
    implicit "other" whose logit is 0."""

    def __post_init__(self) -> None:
        if any(c <= 0 or c % 16 for c in self.channels):
            raise ConfigError(f"channels must be positive multiples of 16, not {self.channels}")
        if not 0 <= self.region_reach <= 1:
            raise ConfigError(f"region_reach must be from 0 to 1, not {self.region_reach}")
        if self.attribute_gate and self.attributes != "shared":
            raise ConfigError(f"attribute_gate needs attributes shared, not {self.attributes}")
        if not 0 <= self.reduced_dim <= 2 * self.feature_dim:
            raise ConfigError(
                f"reduced_dim must be from 0 to {2 * self.feature_dim}, not {self.reduced_dim}"
            )
        if self.height < 32 or self.width < 32 or self.height % 16 or self.width % 16:
            raise ConfigError(
                f"input height and width must be multiples of 16 and at least 32, "
                f"not {self.height} x {self.width}"
            )

    @property
    def vector_dim(self) -> int:
        """Length of the identity vector."""
        return self.reduced_dim or 2 * self.feature_dim

    @property
    def region_sizes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of a region at each level; 24 x 28, 12 x 14, 6 x 7 for 160 x 64."""
        height, width = round(6 * self.height / 160), round(7 * self.width / 64)
        return tuple((height * scale, width * scale) for scale in (4, 2, 1))
