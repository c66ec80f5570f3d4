"""A moving average of the weights, which is evaluated and saved in their place."""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightAverage:
    """Exponential moving average of a network's parameters and running statistics.

    Early on the decay is lower, ``(1 + t) / (10 + t)`` after t updates, so that the average does
    not remember the random start.

    Args:
        network: the network in training, on its device; the average starts as its copy.
        decay: share of the average that stays at each update.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        # Looked up once: walking both networks takes a good part of a GPU's step.
        ours, theirs = self.network.state_dict(), network.state_dict()
        real = [name for name, tensor in ours.items() if tensor.is_floating_point()]
        rest = [name for name in ours if name not in real]
        self._averaged = [ours[n] for n in real], [theirs[n] for n in real]
        self._copied = [ours[n] for n in rest], [theirs[n] for n in rest]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the network's weights after `step` earlier updates."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(*self._averaged, 1 - decay)
        if self._copied[0]:
            torch._foreach_copy_(*self._copied)
