"""From the network's output to what is ranked, and colour logits to a choice."""

from __future__ import annotations

import torch
from torch import Tensor

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


def with_other(logits: Tensor) -> Tensor:
    """(N, colours) to (N, 1 + colours): the implicit "other" first, with logit 0."""
    return torch.cat((logits.new_zeros(len(logits), 1), logits), dim=1)
