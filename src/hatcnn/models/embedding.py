"""From the network's output to what is ranked: unit parts, and attribute probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from hatcnn.attributes import BINARY, LOWER_COLOURS, UPPER_COLOURS
from hatcnn.models.build import ColourModel
from hatcnn.models.hacnn import Output


def identity_vector(output: Output, epsilon: float = 0.0) -> Tensor:
    """Global and local feature, each divided by its L2 norm, side by side.

    Args:
        output: of the network.
        epsilon: smallest norm divided by. With the published 0, an all-zero feature, which a
            ReLU can produce, becomes NaN.

    Returns:
        (N, 2 d) float32.
    """
    parts = (output.global_feature.float(), output.local_feature.float())
    return torch.cat(
        [part / part.norm(dim=1, keepdim=True).clamp_min(epsilon) for part in parts], dim=1
    )


def attribute_probabilities(logits: Tensor, colours: ColourModel) -> Tensor:
    """Logits (N, 26) to probabilities (N, 26).

    Independent: a sigmoid each. Exclusive: the colours of a group and an implicit "other", whose
    logit is 0, share one softmax, so the probabilities of a group sum to less than 1.
    """
    logits = logits.float()
    if colours == "independent":
        return torch.sigmoid(logits)
    probabilities = torch.empty_like(logits)
    probabilities[:, BINARY] = torch.sigmoid(logits[:, BINARY])
    for group in (UPPER_COLOURS, LOWER_COLOURS):
        probabilities[:, group] = torch.softmax(with_other(logits[:, group]), dim=1)[:, 1:]
    return probabilities


def with_other(logits: Tensor) -> Tensor:
    """(N, colours) to (N, 1 + colours): the implicit "other" first, with logit 0."""
    return torch.cat((logits.new_zeros(len(logits), 1), logits), dim=1)
