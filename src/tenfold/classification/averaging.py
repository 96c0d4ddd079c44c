"""Averaging: a moving average of a classifier's weights, kept beside the training."""

from __future__ import annotations

import copy

import torch
from torch import nn


class MovingAverage:
    """Weights that follow the training's slowly: average <- decay x average + (1 - decay) x weights.

    Early on the decay is (1 + steps) / (10 + steps) where that is less, so that the start is soon forgotten. Running
    statistics are copied as they are.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, model: nn.Module, steps: int) -> None:
        """After a step; steps: finished ones, this one included."""
        decay = min(self.decay, (1 + steps) / (10 + steps))
        averages: list[torch.Tensor] = list(self.model.parameters())
        weights = [weight.detach() for weight in model.parameters()]
        torch._foreach_lerp_(averages, weights, 1 - decay)
        for average, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            average.copy_(buffer)
