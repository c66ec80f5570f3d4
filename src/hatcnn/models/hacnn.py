"""HA-CNN: a global branch under soft attention, four local streams fed by hard attention.

Source: section 3.1 of the paper. Sizes are in `hatcnn.models.build`; this file knows none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hatcnn.models.attention import (
    NUM_REGIONS,
    HardAttention,
    SoftAttention,
    SoftWeights,
    sample_regions,
)
from hatcnn.models.blocks import FeatureHead


class Attention(NamedTuple):
    """What one level attended to.

    Attributes:
        soft: (N, c, h, w) weights in (0, 1).
        centres: (N, 4, 2) centres (x, y) of the regions, in (-1, 1).
    """

    soft: Tensor
    centres: Tensor


class Output(NamedTuple):
    """What the network says of a batch.

    Attributes:
        global_feature, local_feature: (N, d) features for ranking, not normalised.
        attribute_logits: (N, 26), or none where the network predicts no attributes.
        global_metric, local_metric: (N, d) features for metric losses.
        global_logits, local_logits: (N, identities) in training mode; none at test time, or
            where the branch has no classifier.
        attention: one entry a level when asked for, else empty.
    """

    global_feature: Tensor
    local_feature: Tensor
    attribute_logits: Tensor | None
    global_metric: Tensor
    local_metric: Tensor
    global_logits: Tensor | None
    local_logits: Tensor | None
    attention: tuple[Attention, ...]


class LocalStream(nn.Module):
    """One block whose weights the four regions share.

    Args:
        block: (N, c, h, w) to (N, c', h', w').
        shared_statistics: the published code passes the regions one after the other, so in
            training each is normalised by its own batch statistics. True normalises the four
            together: fewer, larger operations. At test time there is no difference.
    """

    def __init__(self, block: nn.Module, *, shared_statistics: bool = False) -> None:
        super().__init__()
        self.block = block
        self.shared_statistics = shared_statistics

    def forward(self, regions: Tensor) -> Tensor:
        """(N, 4, c, h, w) to (N, 4, c', h', w')."""
        if self.training and not self.shared_statistics:
            by_region: Tensor = self.block(regions.transpose(0, 1).flatten(0, 1), NUM_REGIONS)
            return by_region.unflatten(0, (NUM_REGIONS, -1)).transpose(0, 1)
        together: Tensor = self.block(regions.flatten(0, 1))
        return together.unflatten(0, regions.shape[:2])


class Level(nn.Module):
    """One level of both branches.

    The local streams read the level's INPUT at the places this level's hard attention names and
    add the local output of the level before (the cross-attention interaction of section 3.1.4).

    Args:
        body: the global branch's blocks.
        soft: weights of the body's output.
        hard: centres of the four regions, read off the body's output.
        local: the block shared by the regions.
        region_size: (height, width) of a region when it enters ``local``.
        direct_sampling: see `sample_regions`.
    """

    def __init__(
        self,
        body: nn.Module,
        soft: SoftAttention,
        hard: HardAttention,
        local: LocalStream,
        *,
        region_size: tuple[int, int],
        direct_sampling: bool = False,
    ) -> None:
        super().__init__()
        self.body = body
        self.soft = soft
        self.hard = hard
        self.local = local
        self.region_size = region_size
        self.direct_sampling = direct_sampling

    def forward(
        self, x: Tensor, local: Tensor | None
    ) -> tuple[Tensor, Tensor, tuple[SoftWeights, Tensor]]:
        """Attended global map (N, c, h', w'), local maps (N, 4, c, h'', w''), both attentions."""
        features = self.body(x)
        pooled = features.mean(dim=(2, 3))
        soft, centres = self.soft(features, pooled), self.hard(pooled)
        regions = sample_regions(x, centres, self.region_size, direct=self.direct_sampling)
        if local is not None:
            regions = regions + local
        return soft.times(features), self.local(regions), (soft, centres)


class HACNN(nn.Module):
    """Harmonious Attention CNN, alone or with attributes learned by its local branch.

    Args:
        stem: (N, 3, H, W) to the first level's input.
        levels: from fine to coarse.
        global_head: from the last level's channels.
        local_head: from four times the last level's channels.
        attribute_classifier: local feature to 26 logits, for the two schemes in which the local
            branch predicts attributes; none otherwise.
        attribute_head: from five times the last level's channels, those of the global branch and
            of the four regions, to 26 logits, for the shared scheme; none otherwise.
        attribute_gate: from the head's logits to a factor for each number of both features; none
            leaves them as they are.
        reduction: of the vector made of both features, for whoever makes it; the network itself
            does not call it.
    """

    def __init__(
        self,
        stem: nn.Module,
        levels: Sequence[Level],
        global_head: FeatureHead,
        local_head: FeatureHead,
        attribute_classifier: nn.Module | None = None,
        attribute_head: nn.Module | None = None,
        attribute_gate: nn.Module | None = None,
        reduction: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.levels = nn.ModuleList(levels)
        self.global_head = global_head
        self.local_head = local_head
        self.attribute_classifier = attribute_classifier
        self.attribute_head = attribute_head
        self.attribute_gate = attribute_gate
        self.reduction = reduction

    def forward(self, images: Tensor, *, with_attention: bool = False) -> Output:
        """Normalised images (N, 3, H, W) to an `Output`."""
        x = self.stem(images)
        local: Tensor | None = None
        seen: list[tuple[SoftWeights, Tensor]] = []
        for level in self.levels:
            x, local, attention = level(x, local)
            seen.append(attention)
        assert local is not None
        global_pooled, local_pooled = x.mean(dim=(2, 3)), local.mean(dim=(3, 4)).flatten(1)
        global_feature, global_metric = self.global_head(global_pooled)
        local_feature, local_metric = self.local_head(local_pooled)
        attribute_logits: Tensor | None = None
        if self.attribute_classifier:
            attribute_logits = self.attribute_classifier(local_feature)
        if self.attribute_head:
            attribute_logits = self.attribute_head(torch.cat((global_pooled, local_pooled), dim=1))
        if self.attribute_gate:
            of_global, of_local = self.attribute_gate(attribute_logits).chunk(2, dim=1)
            global_feature, global_metric = global_feature * of_global, global_metric * of_global
            local_feature, local_metric = local_feature * of_local, local_metric * of_local
        return Output(
            global_feature=global_feature,
            local_feature=local_feature,
            attribute_logits=attribute_logits,
            global_metric=global_metric,
            local_metric=local_metric,
            global_logits=self.global_head.classify(global_feature) if self.training else None,
            local_logits=self.local_head.classify(local_feature) if self.training else None,
            attention=tuple(Attention(s.map(), c) for s, c in seen) if with_attention else (),
        )
