"""What each position adds to a score, exactly.

Behind its last maps the network is simple: averages over positions, one linear layer, a batch norm
by fixed statistics and a cut-off at zero. With the zeros of the cut-off held where they are, that
is linear, so a score is the sum over positions of gradient times value, plus what depends on no
position. Of the latter, batch norm's mean, which is what the average training picture has, is
taken off at all positions alike: a position counts for how it differs from the average one. Batch
norm's own bias and the classifier's stay a constant. Nothing is estimated.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hatcnn.models.attention import REGION_HEIGHT


def positions(
    score: Tensor, row: int, leaves: Sequence[Tensor], constants: Sequence[Tensor]
) -> list[Tensor]:
    """What each position adds to a score, as the top of this file says.

    Args:
        score: a number, linear in the maps by which it was computed and in the constants.
        row: of the picture.
        leaves: maps (N, c, h, w) or (N, 4, c, h, w), each of whose h x w is averaged.
        constants: that stay out of the positions.

    Returns:
        (h, w) or (4, h, w) float64 a leaf.
    """
    gradients = torch.autograd.grad(score, [*leaves, *constants], retain_graph=True)
    parts = [
        (gradient[row].double() * leaf[row].detach().double()).sum(dim=-3)
        for gradient, leaf in zip(gradients, leaves, strict=False)
    ]
    constant = sum(
        (gradient.double() * value.detach().double()).sum()
        for gradient, value in zip(gradients[len(leaves) :], constants, strict=True)
    )
    average = score.detach().double() - sum(part.sum() for part in parts) - constant
    maps = sum(part[..., 0, 0].numel() for part in parts)
    return [part + average / (maps * part.shape[-2] * part.shape[-1]) for part in parts]


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
