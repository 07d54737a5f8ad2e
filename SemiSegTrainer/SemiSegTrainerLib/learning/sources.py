"""Where pseudo-labels come from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .step import PseudoLabel, Step, undecided_weight
from .targets import project


@dataclass(frozen=True)
class Peer:
    """The other branch's opinion of the same image.

    With two branches it is the other one; with more, the mean of all others; with one, the branch's own teacher.

    Attributes:
        view: the view that the peer looks at; its geometry must be the student view's.
        averaged: ask the peer's weight average (EMA teacher) instead of its live weights.
        threshold: voxels whose largest probability is below are ignored; 0 keeps all.
        sharpen: temperature T of ``p^(1/T)``, renormalised; 1 leaves the probabilities soft, 0 takes the argmax.
        own: ask the branch's own teacher as well and take the mean: the ensemble teaches both.
    """

    view: str = "weak"
    averaged: bool = False
    threshold: float = 0.0
    sharpen: float = 1.0
    own: bool = False

    def __call__(self, step: Step, student: int, view: str) -> PseudoLabel:
        """Return the peers' mean for the student's view, projected onto what is annotated."""
        opinions = self._opinions(step)
        chosen = [o for k, o in enumerate(opinions) if self.own or k != student] or opinions
        mean = torch.stack(chosen).mean(dim=0)
        seen = step.views[self.view]
        projected = project(mean, seen.possible)
        weight = undecided_weight(seen)
        if self.threshold > 0:
            weight = weight * (projected.amax(dim=1) >= self.threshold)
        shown = step.views[view]
        return PseudoLabel(shown.mixed(self._sharpened(projected)), shown.mixed(weight))

    def _opinions(self, step: Step) -> list[Tensor]:
        if self.averaged:
            return [t[self.view] for t in step.teachers]
        return [s[self.view].logits.detach().float().softmax(dim=1) for s in step.students]

    def _sharpened(self, p: Tensor) -> Tensor:
        if self.sharpen == 1.0:
            return p
        if self.sharpen == 0.0:
            return torch.nn.functional.one_hot(p.argmax(dim=1), p.shape[1]).movedim(-1, 1).to(p.dtype)
        powered = p.pow(1.0 / self.sharpen)
        return powered / powered.sum(dim=1, keepdim=True).clamp_min(1e-9)
