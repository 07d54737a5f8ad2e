"""How a weight changes over a run. All depend on the share of the run that is done, so any budget keeps the shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """A weight as a function of progress."""

    def __call__(self, progress: float) -> float:
        """Return the weight at `progress`, 0 at the first iteration and 1 at the end."""


@dataclass(frozen=True)
class Constant:
    """The same weight throughout."""

    value: float

    def __call__(self, progress: float) -> float:
        """Return `value`."""
        return self.value


@dataclass(frozen=True)
class SigmoidRamp:
    """``value * exp(-5 (1 - t)^2)`` with t rising from 0 at `start` to 1 at `end`; 0 before `start`.

    Source: Laine and Aila, Temporal ensembling, ICLR 2017; at its start it is e^-5, not 0.
    """

    value: float
    end: float
    start: float = 0.0

    def __call__(self, progress: float) -> float:
        """Return the ramped weight."""
        if progress < self.start:
            return 0.0
        t = 1.0 if self.end <= self.start else min(1.0, (progress - self.start) / (self.end - self.start))
        return self.value * math.exp(-5.0 * (1.0 - t) ** 2)


@dataclass(frozen=True)
class Stage:
    """A weight that exists only in one stage of the run, ``start <= progress < end``; outside its term is not computed.

    Attributes:
        weight: within the stage, a function of the progress of the whole run.
        start: share of the run at which the stage begins.
        end: share of the run at which it is over; above 1 it lasts to the end.
    """

    weight: Schedule
    start: float = 0.0
    end: float = 2.0

    def covers(self, progress: float) -> bool:
        """Say whether the run is in this stage."""
        return self.start <= progress < self.end

    def __call__(self, progress: float) -> float:
        """Return the weight, 0 outside the stage."""
        return self.weight(progress) if self.covers(progress) else 0.0


def polynomial_decay(progress: float, power: float = 0.9) -> float:
    """Return the factor of the learning rate: ``(1 - progress)^power``."""
    return (1.0 - min(1.0, progress)) ** power
