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
        network: the network in training; the average starts as its copy.
        decay: share of the average that stays at each update.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step` earlier updates."""
        decay = min(self.decay, (1 + step) / (10 + step))
        state = network.state_dict()
        averages, currents = [], []
        for name, average in self.network.state_dict().items():
            if average.is_floating_point():
                averages.append(average)
                currents.append(state[name])
            else:
                average.copy_(state[name])
        torch._foreach_lerp_(averages, currents, 1 - decay)
