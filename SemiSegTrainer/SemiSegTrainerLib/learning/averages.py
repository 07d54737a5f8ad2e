"""Weight averages of branches: the teachers, and what is saved at the end."""

from __future__ import annotations

import copy

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
