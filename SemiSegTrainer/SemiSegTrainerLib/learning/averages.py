"""Averages over iterations: of weights (the teachers, and what is saved at the end) and of labelled losses (roles)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
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
        move(self.model, branch, 1.0 - decay)


@torch.no_grad()
def move(average: nn.Module, branch: nn.Module, share: float) -> None:
    """Move an average's weights and buffers by a share of their distance towards a branch; 1 copies it."""
    mine, theirs = average.state_dict(), branch.state_dict()
    floats = [k for k, v in mine.items() if v.is_floating_point()]
    torch._foreach_lerp_([mine[k] for k in floats], [theirs[k].to(mine[k].dtype) for k in floats], share)
    for key in mine.keys() - set(floats):
        mine[key].copy_(theirs[key])


@dataclass(frozen=True)
class Best:
    """When a branch is a candidate for its best-model average, in shares of the run.

    Attributes:
        start: the first time, and
        end: the end of the time.
        every: how long from one candidate to the next.
        pool: how many of the best losses are remembered.
    """

    start: float
    end: float
    every: float
    pool: int


class BestAverage:
    """Average of a branch's best states, buffers included (Zhang et al., Medical Image Analysis 83, 2023).

    The losses of the best states are kept in a pool. Until it is full every candidate is copied. Then one whose loss l
    is below the pool's highest, h, takes its place and moves the average: ``a <- w a + (1 - w) b``, w = min(l / h,
    0.99). The source ranks by Dice on validation cases; here it is the smoothed labelled loss, so that no validation
    case has a say in what is then measured on it.
    """

    def __init__(self, branch: nn.Module, plan: Best) -> None:
        """Copy the branch; do this before a device wrapper goes around it."""
        self.model = copy.deepcopy(branch).eval().requires_grad_(False)
        self.plan = plan
        self.losses: list[float] = []
        self.seen = -1

    def consider(self, branch: nn.Module, progress: float, loss: float) -> None:
        """Take the branch in if it is time for a candidate and it is one of the best.

        Args:
            branch: as it is now.
            progress: share of the run that is done.
            loss: its smoothed labelled loss.
        """
        candidate = math.floor(progress / self.plan.every + 1e-9)
        if not self.plan.start <= progress < self.plan.end or candidate == self.seen:
            return
        self.seen = candidate
        if len(self.losses) < self.plan.pool:
            self.losses.append(loss)
            move(self.model, branch, 1.0)
            return
        highest = max(self.losses)
        if loss < highest:
            self.losses[self.losses.index(highest)] = loss
            move(self.model, branch, 1.0 - min(loss / highest, 0.99))

    def state(self) -> dict[str, Any]:
        """Return plain values and weights for a checkpoint."""
        return {"model": self.model.state_dict(), "losses": list(self.losses), "seen": self.seen}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.model.load_state_dict(state["model"])
        self.losses, self.seen = list(state["losses"]), state["seen"]


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
        self.weights = [0.0] * branches
        self.sums = [0.0] * branches

    def update(self, losses: Sequence[float]) -> None:
        """Take in one iteration's losses; NaN for a branch that saw nothing annotated in it."""
        for k, loss in enumerate(losses):
            if not math.isnan(loss):
                self.weights[k] = self.decay * self.weights[k] + 1.0
                self.sums[k] = self.decay * self.sums[k] + loss

    @property
    def values(self) -> tuple[float, ...]:
        """The smoothed loss of each branch; 0 for all before the first update, infinite for one that had none yet."""
        if not any(self.weights):
            return (0.0,) * len(self.sums)
        return tuple(s / w if w else math.inf for s, w in zip(self.sums, self.weights, strict=True))

    def state(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return {"weights": list(self.weights), "sums": list(self.sums)}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.weights, self.sums = list(state["weights"]), list(state["sums"])
