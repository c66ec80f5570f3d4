"""From the network's output to what is ranked, and colour logits to a choice."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

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


class Reduction(nn.Module):
    """Fewer numbers for almost the same inner products: a projection found after training.

    Its weight is a buffer, because nothing trains it.

    Args:
        in_features: length of `identity_vector`.
        out_features: length after it.
    """

    weight: Tensor

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(out_features, in_features))

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, in) of length sqrt(2) to (N, out) of the same length."""
        device = vectors.device.type
        # The last product decides every vector; bfloat16 would save nothing here.
        exact = (
            torch.autocast(device, enabled=False)
            if torch.is_autocast_enabled(device)
            else nullcontext()
        )
        with exact:
            reduced = vectors @ self.weight.T
        return reduced * (2**0.5 / reduced.norm(dim=1, keepdim=True).clamp_min(1e-12))


def with_other(logits: Tensor) -> Tensor:
    """(N, colours) to (N, 1 + colours): the implicit "other" first, with logit 0."""
    return torch.cat((logits.new_zeros(len(logits), 1), logits), dim=1)
