"""What each position adds to a score, exactly.

Behind its last maps the network is simple: averages over positions, one linear layer, a batch norm
by fixed statistics and a cut-off at zero. With the zeros of the cut-off held where they are, that
is linear, so a score is the sum of gradient times value over all that goes into it:

- the maps, by position;
- the linear layer's bias less batch norm's running mean. It cancels what the average training
  picture has, and is split evenly over the positions: one counts for how it differs from average;
- the biases of the batch norm and of what follows, which no position has a part in: the constant.

Nothing is estimated, and nothing is what is left over: the sum is a check.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hatcnn.models.attention import REGION_HEIGHT
from hatcnn.models.blocks import AttributeHead, FeatureHead


def contributions(
    score: Tensor,
    row: int,
    leaves: Sequence[Tensor],
    head: FeatureHead | AttributeHead,
    bias: Tensor | None = None,
) -> tuple[list[Tensor], Tensor]:
    """Take a score apart, as the top of this file says.

    Args:
        score: a number that was computed from the maps by the head.
        row: of the picture.
        leaves: maps (N, c, h, w) or (N, 4, c, h, w), each of whose h x w is averaged.
        head: its linear layer and its batch norm, in evaluation mode.
        bias: of a classifier behind the head.

    Returns:
        By position, (h, w) or (4, h, w) float64 a leaf; the constant.
    """
    linear, norm = head.linear, head.norm
    assert norm.running_mean is not None
    biases = [norm.bias] if bias is None else [norm.bias, bias]
    of_linear, *gradients = torch.autograd.grad(
        score, [linear.bias, *biases, *leaves], retain_graph=True
    )
    average = _product(of_linear, linear.bias - norm.running_mean)
    constant = torch.stack([_product(g, b) for g, b in zip(gradients, biases, strict=False)]).sum()
    parts = [
        (gradient[row].double() * leaf[row].detach().double()).sum(dim=-3)
        for gradient, leaf in zip(gradients[len(biases) :], leaves, strict=True)
    ]
    maps = sum(part[..., 0, 0].numel() for part in parts)
    return [part + average / (maps * part.shape[-2] * part.shape[-1]) for part in parts], constant


def _product(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() * b.detach().double()).sum()


def place_regions(maps: Tensor, centres: Tensor, height: int, width: int) -> Tensor:
    """Lay the regions' maps on the picture, each where its region was cut out; overlaps add up.

    Args:
        maps: (N, 4, h, w).
        centres: (N, 4, 2) centres (x, y) in [-1, 1].
        height, width: of the picture.

    Returns:
        (N, height, width); a region that lies inside the picture keeps its sum.
    """
    box_height = round(REGION_HEIGHT * height)
    placed = torch.zeros(len(maps), 3 * height, 3 * width)
    boxes = spread(maps.flatten(0, 1), box_height, width).unflatten(0, maps.shape[:2])
    for i, picture in enumerate(centres):
        for k, (x, y) in enumerate(picture.tolist()):
            # The picture lies in the middle of a canvas three times as large.
            top = height + round((y + 1 - REGION_HEIGHT) * height / 2)
            left = width + round(x * width / 2)
            placed[i, top : top + box_height, left : left + width] += boxes[i, k]
    return placed[:, height : 2 * height, width : 2 * width]


def spread(maps: Tensor, height: int, width: int) -> Tensor:
    """(N, h, w) to (N, height, width), interpolated; a whole multiple of h and w keeps the sum."""
    h, w = maps.shape[1:]
    fine = F.interpolate(maps[:, None], (height, width), mode="bilinear", align_corners=False)
    return fine[:, 0] * (h * w / (height * width))
