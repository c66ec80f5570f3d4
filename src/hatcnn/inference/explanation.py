"""Why the network says what it says: where it looked, and what a similarity is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hatcnn.errors import EvaluationError
from hatcnn.images import Pixels, resize
from hatcnn.inference.contributions import contributions, place_regions, spread
from hatcnn.inference.probabilities import attribute_probabilities
from hatcnn.models.attention import NUM_REGIONS
from hatcnn.models.blocks import AttributeHead, FeatureHead
from hatcnn.models.build import ModelConfig
from hatcnn.models.checkpoint import load_model
from hatcnn.models.hacnn import HACNN, Output
from hatcnn.models.hatcnn import HATCNN
from hatcnn.models.preprocessing import normalise

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LevelSeen:
    """What one level attended to.

    Attributes:
        soft: (h, w) soft attention in (0, 1), mean over channels.
        centres: (4, 2) centres (x, y) of the regions in (-1, 1), see `hatcnn.models.attention`.
    """

    soft: Floats
    centres: Floats


@dataclass(frozen=True, eq=False)
class Explanation:
    """What the network saw in one picture.

    Attributes:
        picture: (h, w, 3) as it was given, of any size.
        levels: from fine to coarse.
        probabilities: (26,) of the attributes, in [0, 1]; none where none are predicted.
        attribute_maps: (26, H, W) in the network's input size: how much each place adds to the
            attribute's logit, beyond the average picture. A region's map lies where the LAST
            level cut the region out, although it has also taken in what the earlier levels cut;
            what lies outside the picture is lost. None where no attributes are predicted.
    """

    picture: Pixels
    levels: tuple[LevelSeen, ...]
    probabilities: Floats | None
    attribute_maps: Floats | None


@dataclass(frozen=True, eq=False)
class Side:
    """What one picture of a pair adds to their similarity.

    Attributes:
        global_map: (h, w) by position of the global branch's last map.
        region_maps: (4, h, w) by region, and by position within its last map.
    """

    global_map: Floats
    region_maps: Floats


@dataclass(frozen=True, eq=False)
class Comparison:
    """What makes two pictures alike.

    The similarity is ``(cos(g, g') + cos(l, l') + W cos(z, z')) / (2 + W)``: global features,
    local features, attribute logits and the attributes' weight W. With W = 0 it is the inner
    product of the unit vectors that `hatcnn.Embedder` gives.

    The cosine of a branch is bilinear, so either picture's feature can be taken apart while the
    other's stays whole, by position, as `hatcnn.inference.contributions` says. A share is the mean
    of both ways. The attributes' cosine is the sum of 26 products.

    Attributes:
        first, second: what was seen in each picture.
        similarity: in [-1, 1].
        attribute_weight: W; 0 when the attributes take no part.
        shares: by name: ``global``, ``region 1`` to ``region 4``, ``attributes`` where they take
            part, and ``constant``, batch norm's bias: what an average picture would share.
            Their sum is `similarity`.
        sides: of each picture. The mean over both of all of a map is the share of that name.
        attribute_shares: (26,) products whose sum is the cosine of the attribute logits; none
            where none are predicted.
    """

    first: Explanation
    second: Explanation
    similarity: float
    attribute_weight: float
    shares: dict[str, float]
    sides: tuple[Side, Side]
    attribute_shares: Floats | None


@dataclass(frozen=True, eq=False)
class _Pass:
    """One forward pass whose last maps are leaves of the gradient's graph.

    Attributes:
        output: of the network.
        global_map: (N, c, h, w).
        region_maps: (N, 4, c, h, w).
        attribute_map: (N, c, h, w) of the attributes' own network, where there is one.
    """

    output: Output
    global_map: Tensor
    region_maps: Tensor
    attribute_map: Tensor | None


class Explainer:
    """A network that shows its reasons. It runs by torch, in float32, on the CPU.

    Args:
        network: from `build_model`; it is taken, not copied, and put into evaluation mode.
        config: it was built from.
    """

    def __init__(self, network: HACNN | HATCNN, config: ModelConfig) -> None:
        self.network = network.eval().requires_grad_(False)
        self.config = config
        self._identity = network.identity if isinstance(network, HATCNN) else network
        if self._identity.reduction is not None:
            raise EvaluationError(
                "reduced vectors have no global and local part to explain: explain the model that "
                "this one was reduced from"
            )
        behind: list[nn.Module | None] = [
            self._identity.global_head,
            self._identity.local_head,
            self._identity.attribute_head,
            self._identity.attribute_classifier,
        ]
        if isinstance(network, HATCNN):
            head = network.attributes
            behind += [head.linear, head.norm, head.classifier]
        for module in behind:
            # Gradients end at the last maps; only what lies behind them has any.
            if module is not None:
                module.requires_grad_()

    @classmethod
    def load(cls, folder: str | Path) -> Explainer:
        """Read a model folder, or one that comes with the package by its name.

        Raises:
            CheckpointError: when it is missing or broken.
        """
        return cls(*load_model(folder))

    def explain(self, picture: Pixels) -> Explanation:
        """What the network sees in a picture (h, w, 3) uint8 of any size."""
        return self._explanations([picture], self._run([picture]))[0]

    def compare(
        self, first: Pixels, second: Pixels, *, attribute_weight: float = 0.0
    ) -> Comparison:
        """What makes two pictures alike.

        Args:
            first, second: (h, w, 3) uint8, of any size.
            attribute_weight: as in `hatcnn.evaluation.embedding`.

        Raises:
            EvaluationError: for a negative weight, a weight where no attributes are predicted, or
                a feature that is all zero, whose similarity to anything is undefined.
        """
        if attribute_weight < 0:
            raise EvaluationError(
                f"the attribute weight must be at least 0, not {attribute_weight}"
            )
        if attribute_weight and self.config.attributes == "none":
            raise EvaluationError("this network predicts no attributes: compare with weight 0")
        seen = self._run([first, second])
        output = seen.output
        scale = 1 / (2 + attribute_weight)
        identity = self._identity
        alike_global, global_maps, constant = _shares(
            output.global_feature, seen.global_map, identity.global_head, scale
        )
        alike_local, region_maps, local_constant = _shares(
            output.local_feature, seen.region_maps, identity.local_head, scale
        )
        of_attributes = None
        if output.attribute_logits is not None:
            a, b = _unit(output.attribute_logits.double())
            of_attributes = a * b
        shares = {"global": global_maps.sum().item() / 2}
        by_region = region_maps.sum(dim=(0, 2, 3)) / 2
        shares |= {f"region {k + 1}": by_region[k].item() for k in range(NUM_REGIONS)}
        similarity = alike_global + alike_local
        if attribute_weight and of_attributes is not None:
            shares["attributes"] = attribute_weight * scale * of_attributes.sum().item()
            similarity += shares["attributes"]
        shares["constant"] = constant + local_constant
        pictures = self._explanations([first, second], seen)
        return Comparison(
            first=pictures[0],
            second=pictures[1],
            similarity=similarity,
            attribute_weight=attribute_weight,
            shares=shares,
            sides=(
                Side(_array(global_maps[0]), _array(region_maps[0])),
                Side(_array(global_maps[1]), _array(region_maps[1])),
            ),
            attribute_shares=None if of_attributes is None else _array(of_attributes),
        )

    def _run(self, pictures: Sequence[Pixels]) -> _Pass:
        height, width = self.config.height, self.config.width
        pixels = np.stack([resize(picture, height, width) for picture in pictures])
        maps: dict[str, Tensor] = {}

        def leaf(name: str, value: Tensor) -> Tensor:
            maps[name] = value.detach().requires_grad_()
            return maps[name]

        def of_level(_: Any, __: Any, result: tuple[Tensor, Tensor, Any]) -> tuple[Any, ...]:
            return leaf("global", result[0]), leaf("regions", result[1]), result[2]

        def of_attributes(_: Any, __: Any, result: Tensor) -> Tensor:
            return leaf("attributes", result)

        hooks = [self._identity.levels[-1].register_forward_hook(of_level)]
        if isinstance(self.network, HATCNN):
            hooks.append(self.network.attributes.body.register_forward_hook(of_attributes))
        try:
            output = self.network(normalise(torch.from_numpy(pixels)), with_attention=True)
        finally:
            for hook in hooks:
                hook.remove()
        return _Pass(output, maps["global"], maps["regions"], maps.get("attributes"))

    def _explanations(self, pictures: Sequence[Pixels], seen: _Pass) -> list[Explanation]:
        probabilities = maps = None
        if seen.output.attribute_logits is not None:
            logits = seen.output.attribute_logits.detach()
            probabilities = attribute_probabilities(_array(logits), self.config.colours)
            maps = _array(self._attribute_maps(seen))
        attention = [
            (_array(level.soft.mean(dim=1)), _array(level.centres))
            for level in seen.output.attention
        ]
        return [
            Explanation(
                picture=picture,
                levels=tuple(LevelSeen(soft[i], centres[i]) for soft, centres in attention),
                probabilities=None if probabilities is None else probabilities[i],
                attribute_maps=None if maps is None else maps[i],
            )
            for i, picture in enumerate(pictures)
        ]

    def _attribute_maps(self, seen: _Pass) -> Tensor:
        """(N, 26, H, W): what each place adds to each logit, whichever maps the logits read."""
        logits = seen.output.attribute_logits
        assert logits is not None
        size = self.config.height, self.config.width
        centres = seen.output.attention[-1].centres.detach()
        leaves, head, bias = self._attribute_path(seen)
        placed = torch.zeros(*logits.shape, *size)
        for row, column in np.ndindex(*logits.shape):
            parts, _ = contributions(logits[row, column], row, leaves, head, bias)
            for part in parts:
                maps = part.float()[None]
                placed[row, column] += (
                    spread(maps, *size)
                    if maps.ndim == 3
                    else place_regions(maps, centres[row : row + 1], *size)
                )[0]
        return placed

    def _attribute_path(
        self, seen: _Pass
    ) -> tuple[list[Tensor], FeatureHead | AttributeHead, Tensor]:
        """The maps that the attribute logits come from, the head on the way, and the last bias."""
        identity = self._identity
        if isinstance(self.network, HATCNN):
            assert seen.attribute_map is not None
            own = self.network.attributes
            return [seen.attribute_map], own, own.classifier.bias
        shared, joint = identity.attribute_head, identity.attribute_classifier
        if isinstance(shared, AttributeHead):
            return [seen.global_map, seen.region_maps], shared, shared.classifier.bias
        assert isinstance(joint, nn.Linear)
        return [seen.region_maps], identity.local_head, joint.bias


def _shares(
    feature: Tensor, leaf: Tensor, head: FeatureHead, scale: float
) -> tuple[float, Tensor, float]:
    """A branch's part of the similarity, and each position's part of that, from either side.

    Args:
        feature: (2, d), computed from `leaf` by `head`.
        leaf: (2, …, c, h, w).
        head: of the branch.
        scale: of the branch's cosine.

    Returns:
        Scaled cosine; (2, …, h, w) scaled shares; the scaled constant, mean of both sides.
    """
    norms, unit = feature.detach().norm(dim=1), _unit(feature)
    sides = [contributions(feature[i] @ unit[1 - i] / norms[i], i, [leaf], head) for i in range(2)]
    cosine = (unit[0].double() @ unit[1].double()).item()
    maps = torch.stack([part for (part,), _ in sides])
    constant = sum(constant.item() for _, constant in sides) / 2
    return scale * cosine, scale * maps, scale * constant


def _unit(vectors: Tensor) -> Tensor:
    vectors = vectors.detach()
    norms = vectors.norm(dim=1, keepdim=True)
    for which, norm in zip(("first", "second"), norms, strict=True):
        if not norm.item() > 0:
            raise EvaluationError(
                f"the network's feature of the {which} picture is all zero: its similarity to "
                "anything is undefined"
            )
    return vectors / norms


def _array(values: Tensor) -> Floats:
    return values.detach().float().numpy()
