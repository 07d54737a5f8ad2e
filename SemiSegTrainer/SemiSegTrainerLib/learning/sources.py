"""Where pseudo-labels and prototypes come from. What leaves this file is detached: the stop-gradient is here alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from SemiSegCervicalLib.engine.postprocess import clean
from SemiSegCervicalLib.engine.schema import PostProcess
from SemiSegCervicalLib.engine.uncertainty import entropy
from torch import Tensor
from torch.nn import functional

from .reliability import Certain, ClassWise
from .step import PseudoLabel, Step, View, undecided_weight
from .targets import project


@dataclass(frozen=True)
class Peer:
    """The other branch's opinion of the same image.

    With two branches it is the other one; with more, the mean of all others; with one, the branch's own teacher.

    Attributes:
        view: the view that the peer looks at; its geometry must be the student view's.
        averaged: ask the peer's weight average (EMA teacher) instead of its live weights.
        threshold: voxels whose largest probability is below are ignored; 0 keeps all. A pair is of images and volumes.
        sharpen: temperature T of ``p^(1/T)``, renormalised; 1 leaves the probabilities soft, 0 takes the argmax.
        own: ask the branch's own teacher as well and take the mean: the ensemble teaches both.
    """

    view: str = "weak"
    averaged: bool = False
    threshold: float | tuple[float, float] = 0.0
    sharpen: float = 1.0
    own: bool = False

    @property
    def reads(self) -> frozenset[str]:
        """The weight averages, or the view that the peer looks at."""
        return frozenset(("teachers" if self.averaged else self.view,))

    def __call__(self, step: Step, student: int, view: str) -> PseudoLabel:
        """Return the peers' mean for the student's view, projected onto what is annotated."""
        return step.once((self, student, view), lambda: self._label(step, student, view))

    def _label(self, step: Step, student: int, view: str) -> PseudoLabel:
        opinions = self._opinions(step)
        chosen = [o for k, o in enumerate(opinions) if self.own or k != student] or opinions
        mean = torch.stack(chosen).mean(dim=0)
        least = self.threshold[mean.ndim - 4] if isinstance(self.threshold, tuple) else self.threshold
        return _shown(step.views[view], _opinion(step.views[self.view], mean, least), self.sharpen)

    def _opinions(self, step: Step) -> list[Tensor]:
        if self.averaged:
            return [t[self.view] for t in step.teachers]
        return [step.probabilities(k, self.view).detach() for k in range(len(step.students))]


@dataclass(frozen=True)
class Own:
    """The branch's own opinion of another view of the same image: what a method of a single network learns from.

    Attributes:
        view: the view that the branch, or its teacher, looks at; its geometry must be the student view's.
        averaged: ask the branch's weight average (EMA teacher) instead of its live weights.
        threshold: voxels whose largest probability is below are ignored; 0 keeps all.
        certain: keeps the voxels that the teacher's Monte Carlo passes agree on; None keeps all.
        sharpen: temperature T of ``p^(1/T)``, renormalised; 1 leaves the probabilities soft, 0 takes the argmax.
        largest: ignore what lies apart from the largest component of its segment; for segments in one piece.
    """

    view: str = "weak"
    averaged: bool = True
    threshold: float = 0.0
    certain: Certain | None = None
    sharpen: float = 1.0
    largest: bool = False

    @property
    def reads(self) -> frozenset[str]:
        """The weight averages or the view that the branch looks at, and the passes."""
        return frozenset(("teachers" if self.averaged else self.view, *(("passes",) if self.certain else ())))

    def __call__(self, step: Step, student: int, view: str) -> PseudoLabel:
        """Return the branch's own opinion for its student view, projected onto what is annotated."""
        # Two views may follow the same opinion; what lies apart in it is looked for once.
        target = step.once((self, student), lambda: self._label(step, student))
        return _shown(step.views[view], target, self.sharpen)

    def _label(self, step: Step, student: int) -> PseudoLabel:
        seen = step.views[self.view]
        p = step.teachers[student][self.view] if self.averaged else step.probabilities(student, self.view).detach()
        target = _opinion(seen, p, self.threshold)
        weight = target.weight
        if self.certain is not None:
            weight = weight * self.certain(_finite(step.passes[student][self.view]), step.progress)
        if self.largest:
            weight = weight * _in_one_piece(likeliest(target.probabilities))
        return PseudoLabel(target.probabilities, weight)


def _opinion(seen: View, p: Tensor, threshold: float) -> PseudoLabel:
    """Project probabilities for a view onto what is annotated; what is decided or not sure enough has no weight."""
    projected = project(p, seen.possible)
    weight = undecided_weight(seen)
    if threshold > 0:
        weight = weight * (projected.amax(dim=1) >= threshold)
    return PseudoLabel(projected, weight)


def _shown(view: View, target: PseudoLabel, sharpen: float) -> PseudoLabel:
    """Sharpen a target (0: argmax) and put it where the student's view shows it."""
    p = hard(target.probabilities) if sharpen == 0.0 else sharpened(target.probabilities, sharpen)
    return PseudoLabel(view.mixed(p), view.mixed(target.weight))


def _finite(p: Tensor) -> Tensor:
    """Let a NaN teach nobody; it stays in the student's own loss, which stops the run by the term's name."""
    return torch.nan_to_num(p, nan=1.0 / p.shape[1])


def _in_one_piece(labels: Tensor) -> Tensor:
    """Bool map: background, and of every class in an image ``(N, *spatial)`` its largest component."""
    rows = [clean(row, PostProcess(largest_component=True)) == row for row in labels.cpu().numpy()]
    return torch.from_numpy(np.stack(rows)).to(labels.device)


@dataclass(frozen=True)
class Consensus:
    """What all branches together say of the student's own view, as hard labels, where that is reliable.

    Attributes:
        reliable: chooses the voxels; the others are ignored.
    """

    reliable: ClassWise = field(default_factory=ClassWise)

    @property
    def reads(self) -> frozenset[str]:
        """Nothing but the student's view."""
        return frozenset()

    def __call__(self, step: Step, student: int, view: str) -> PseudoLabel:
        """Return the labels and the reliable voxels, the same for every student."""
        return step.once((self, view), lambda: self._label(step, view))

    def _label(self, step: Step, view: str) -> PseudoLabel:
        seen = step.views[view]
        opinions = [step.probabilities(k, view).detach() for k in range(len(step.students))]
        mean = project(torch.stack(opinions).mean(dim=0), seen.possible)
        mean = _finite(mean)
        labels = likeliest(mean)
        reliable = self.reliable(mean, labels, undecided_weight(seen) > 0, step.progress)
        return PseudoLabel(one_hot(labels, step.classes), reliable.to(torch.float32))


@dataclass(frozen=True)
class Winner:
    """The branch that does better on what is annotated teaches the others; nobody teaches it."""

    @property
    def reads(self) -> frozenset[str]:
        """Nothing but the student's view."""
        return frozenset()

    def __call__(self, step: Step, student: int, view: str) -> PseudoLabel:
        """Return the winner's probabilities for the student's own view; the winner itself is to ignore all of them."""
        seen = step.views[view]
        p = step.once((self, view), lambda: project(step.probabilities(step.winner, view).detach(), seen.possible))
        weight = undecided_weight(seen)
        return PseudoLabel(p, weight if student != step.winner else torch.zeros_like(weight))


@dataclass(frozen=True)
class Strongest:
    """Of the branches that can read a row, the weight average of the strongest says soft labels for it.

    Attributes:
        learners: ``others``: whom the strongest teaches; ``itself``: the branch whose own average it is.
        teacher: index of the branch that counts as the strongest, -1 the last; None: the one with the lowest smoothed
            labelled loss.
        view: the view that the teachers look at; its geometry must be the student view's.
        passes: how many passes of the teacher are averaged: the first and the method's Monte Carlo passes, or just 1.
        certain: a voxel counts by ``1 - H(q) / log C``.
    """

    learners: Literal["others", "itself"] = "others"
    teacher: int | None = None
    view: str = "weak"
    passes: int = 1
    certain: bool = False

    @property
    def reads(self) -> frozenset[str]:
        """The weight averages, and their further passes."""
        return frozenset(("teachers", *(("passes",) if self.passes > 1 else ())))

    def __call__(self, step: Step, student: int, view: str) -> PseudoLabel:
        """Return the strongest's probabilities; rows that the student is not to learn from it have no weight."""
        key = ("strongest", self.teacher, self.view, self.passes)
        p, taught_by = step.once(key, lambda: self._strongest(step))
        seen, shown = step.views[self.view], step.views[view]
        mine = (taught_by == student) if self.learners == "itself" else (taught_by != student) & (taught_by >= 0)
        weight = undecided_weight(seen) * mine.view(-1, *(1,) * (seen.inside.ndim - 1))
        if self.certain:
            weight = weight * (1.0 - entropy(p, checked=False))
        return PseudoLabel(shown.mixed(p), shown.mixed(weight))

    def _strongest(self, step: Step) -> tuple[Tensor, Tensor]:
        """Return probabilities ``(N, C, *spatial)``, 0 in rows without a teacher, and each row's teacher, -1: none."""
        count, seen = len(step.teachers), step.views[self.view]
        losses = step.labelled_losses or (0.0,) * count
        order = sorted(range(count), key=losses.__getitem__) if self.teacher is None else [self.teacher % count]
        p = torch.zeros_like(step.teachers[0][self.view])
        taught_by = torch.full((len(p),), -1, device=p.device)
        for k in reversed(order):
            rows = step.rows(self.view, k)
            said = step.teachers[k][self.view]
            if self.passes > 1:
                said = (said + (self.passes - 1) * step.passes[k][self.view]) / self.passes
            p[rows], taught_by[rows] = said[rows], k
        return project(p, seen.possible), taught_by


def class_prototypes(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Mean direction of each class's vectors, detached: prototypes are where vectors go, they do not come to them.

    Args:
        parts: unit vectors ``(N, E, *spatial)``, each with ``(N, C, *spatial)``, 1 where a voxel stands for the class.

    Returns:
        Unit vectors ``(C, E)``, zero without members, and bool ``(C,)``: the class has members.
    """
    sums = [(m.flatten(2) @ v.detach().flatten(2).transpose(1, 2)).sum(dim=0) for v, m in parts]
    there = torch.stack([m.flatten(2).amax(dim=(0, 2)) > 0 for _, m in parts]).any(dim=0)
    return functional.normalize(torch.stack(sums).sum(dim=0), dim=1), there


def sharpened(p: Tensor, temperature: float) -> Tensor:
    """``p^(1/T)``, renormalised over the classes: the softmax of logits divided by T."""
    if temperature == 1.0:
        return p
    powered = p.pow(1.0 / temperature)
    return powered / powered.sum(dim=1, keepdim=True).clamp_min(1e-9)


def hard(p: Tensor) -> Tensor:
    """Put all of the probability on the likeliest class."""
    return one_hot(likeliest(p), p.shape[1]).to(p.dtype)


def likeliest(p: Tensor) -> Tensor:
    """Class of the highest probability: what argmax says; on a CPU ten times as fast over an axis that is not last."""
    return p.max(dim=1).indices


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Turn class indices ``(N, *spatial)`` into float32 maps ``(N, C, *spatial)``."""
    maps = torch.zeros((labels.shape[0], classes, *labels.shape[1:]), device=labels.device)
    return maps.scatter_(1, labels.unsqueeze(1), 1.0)
