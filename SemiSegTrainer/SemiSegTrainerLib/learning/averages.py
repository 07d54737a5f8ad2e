"""Averages over iterations: of weights (the teachers, and what is saved at the end) and of labelled losses (roles)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


class WeightAverage:
    """Exponential moving average of a branch, buffers included.

    Early on the decay is ``(1 + t) / (10 + t)``, so that the random start is forgotten at once.
    """

    def __init__(self, branch: nn.Module, decay: float) -> None:
        """Copy the branch; do this before a device wrapper goes around it."""
        self.model = copy.deepcopy(branch).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, branch: nn.Module, iteration: int) -> None:
        """Move towards `branch` after iteration `iteration` (0, 1, ...)."""
        decay = min(self.decay, (1 + iteration) / (10 + iteration))
        mine, theirs = self.model.state_dict(), branch.state_dict()
        floats = [k for k, v in mine.items() if v.is_floating_point()]
        torch._foreach_lerp_([mine[k] for k in floats], [theirs[k].to(mine[k].dtype) for k in floats], 1.0 - decay)
        for key in mine.keys() - set(floats):
            mine[key].copy_(theirs[key])


class SmoothedLosses:
    """The labelled loss of each branch, smoothed over iterations: state of a run, behind winner and losers.

    Two crops a step make the winner of a single step a matter of chance; a time constant of 50 steps does not. The
    values are weighted means of what was seen, so that the zero it starts from has no weight.
    """

    def __init__(self, branches: int, decay: float = 0.98) -> None:
        """Start without any loss.

        Args:
            branches: how many.
            decay: weight of the past at each update; 1 / (1 - decay) is the time constant in iterations.
        """
        self.decay = decay
        self.weight = 0.0
        self.sums = [0.0] * branches

    def update(self, losses: Sequence[float]) -> None:
        """Take in one iteration's losses."""
        self.weight = self.decay * self.weight + 1.0
        self.sums = [self.decay * s + loss for s, loss in zip(self.sums, losses, strict=True)]

    @property
    def values(self) -> tuple[float, ...]:
        """The smoothed loss of each branch; 0 for all before the first update."""
        return tuple(s / self.weight if self.weight else 0.0 for s in self.sums)

    def state(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return {"weight": self.weight, "sums": list(self.sums)}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.weight, self.sums = state["weight"], list(state["sums"])
