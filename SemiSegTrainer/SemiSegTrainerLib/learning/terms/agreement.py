"""Students follow pseudo-labels, or each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from ..sources import sharpened
from ..step import PseudoLabel, PseudoLabelSource, Step, TermValue, undecided_weight, zero_of


def soft_dice(p: Tensor, target: PseudoLabel, smooth: float = 1e-5) -> Tensor:
    """Squared soft Dice ``1 - (2 sum w p q + e) / (sum w (p^2 + q^2) + e)`` per class over the batch, then averaged.

    With squares it is lowest at p = q for soft q as well, so it is a consistency loss; with a linear denominator it
    would push p to hard values.

    Args:
        p: probabilities ``(N, C, *spatial)`` of the student.
        target: the pseudo-label q with its weight w.
        smooth: e.
    """
    w, q = target.weight.unsqueeze(1), target.probabilities
    axes = (0, *range(2, p.ndim))
    overlap = (w * p * q).sum(axes)
    size = (w * (p.square() + q.square())).sum(axes)
    return (1.0 - (2.0 * overlap + smooth) / (size + smooth)).mean()


def soft_cross_entropy(log_p: Tensor, target: PseudoLabel) -> Tensor:
    """Cross-entropy against soft targets, weighted mean over the voxels that count.

    Args:
        log_p: logarithms of the student's probabilities, ``(N, C, *spatial)``.
        target: the pseudo-label with its weight.
    """
    loss = -(target.probabilities * log_p).sum(dim=1)
    return (target.weight * loss).sum() / target.weight.sum().clamp_min(1e-6)


@dataclass(frozen=True)
class Following(ABC):
    """Every branch that has something to follow does so in a view; how is said by the terms that derive from this.

    Attributes:
        source: where the targets come from; a student whose target has no weight anywhere is left out.
        view: the view on which the student answers.
    """

    source: PseudoLabelSource
    view: str = "weak"

    @property
    def reads(self) -> frozenset[str]:
        """The student's view and what the source needs."""
        return self.source.reads | {self.view}

    def __call__(self, step: Step) -> TermValue:
        """Return the loss summed over the students that are taught; support in voxels of the one that has most."""
        losses, support = [], 0
        for student in range(len(step.students)):
            target = self.source(step, student, self.view)
            count = int((target.weight > 0).sum())
            if count:
                losses.append(self.loss(step, student, target))
                support = max(support, count)
        if not losses:
            return TermValue(zero_of(*(o[self.view].logits for o in step.students)), 0)
        return TermValue(torch.stack(losses).sum(), support)

    @abstractmethod
    def loss(self, step: Step, student: int, target: PseudoLabel) -> Tensor:
        """Return the loss of one student against its target, some of whose voxels count."""


@dataclass(frozen=True)
class CrossSupervision(Following):
    """Every branch follows what `source` says of an unlabelled view, by soft Dice and, if asked, cross-entropy.

    In system A the source is the other branch, in system B the consensus where it is reliable.

    Attributes:
        dice: weight of the squared soft Dice.
        cross_entropy: weight of the cross-entropy.
    """

    dice: float = 1.0
    cross_entropy: float = 0.0

    def loss(self, step: Step, student: int, target: PseudoLabel) -> Tensor:
        """Return the weighted sum of both."""
        parts = []
        if self.dice:
            parts.append(self.dice * soft_dice(step.probabilities(student, self.view), target))
        if self.cross_entropy:
            log_p = step.log_probabilities(student, self.view)
            parts.append(self.cross_entropy * soft_cross_entropy(log_p, target))
        return torch.stack(parts).sum()


@dataclass(frozen=True)
class SquaredConsistency(Following):
    """Every branch follows what `source` says of an unlabelled view: ``sum_v m_v 1/C sum_c (p_c - q_c)^2 / sum_v m_v``.

    q and m are the targets and their weight. The consistency of Tarvainen and Valpola, Mean teachers, NeurIPS 2017, and
    with certain voxels alone that of UA-MT.
    """

    def loss(self, step: Step, student: int, target: PseudoLabel) -> Tensor:
        """Return the mean square over the voxels that count."""
        errors = (step.probabilities(student, self.view) - target.probabilities).square().mean(dim=1)
        return (target.weight * errors).sum() / target.weight.sum()


@dataclass(frozen=True)
class RectifiedSupervision(Following):
    """A student follows a teacher's sharpened opinion, less where the two are far apart.

    ``mean_v [e^(-KL_v) CE(p, q_T) + beta KL_v]``, KL_v = KL(q || p), q_T = q^(1/T) renormalised: the softmax of the
    teacher's logits over T. The weight e^(-KL_v) is a number and not a way to lower the loss. Corrected form of the
    KL-rectified supervision of arXiv:2505.17690, where T had no effect and one branch always taught the other. In
    system B the source is the winner, which teaches the losers alone.

    Attributes:
        temperature: T.
        beta: weight of the divergence itself.
    """

    temperature: float = 0.5
    beta: float = 1.0

    def loss(self, step: Step, student: int, target: PseudoLabel) -> Tensor:
        """Return the mean over the voxels that count."""
        log_p, q = step.log_probabilities(student, self.view), target.probabilities
        divergence = torch.xlogy(q, q).sum(dim=1) - (q * log_p).sum(dim=1)
        entropy = -(sharpened(q, self.temperature) * log_p).sum(dim=1)
        rectified = (-divergence.detach()).exp() * entropy + self.beta * divergence
        return (target.weight * rectified).sum() / target.weight.sum()


@dataclass(frozen=True)
class CosineAgreement:
    """Branches point the same way: ``mean_v [1 - cos(p_i(v), p_j(v))]`` over pairs of branches, gradient to both.

    Attributes:
        view: whose undecided voxels count.
    """

    view: str = "weak"

    @property
    def reads(self) -> frozenset[str]:
        """The view on which branches agree."""
        return frozenset((self.view,))

    def __call__(self, step: Step) -> TermValue:
        """Return the mean over pairs; support in voxels."""
        weight = undecided_weight(step.views[self.view])
        support = int(weight.sum())
        p = [step.probabilities(k, self.view) for k in range(len(step.students))]
        pairs = list(combinations(range(len(p)), 2))
        if not support or not pairs:
            return TermValue(zero_of(*p), 0)
        squares = [q.square().sum(dim=1) for q in p]
        losses = [1.0 - (p[i] * p[j]).sum(dim=1) * (squares[i] * squares[j]).rsqrt() for i, j in pairs]
        return TermValue((weight * torch.stack(losses).mean(dim=0)).sum() / support, support)
