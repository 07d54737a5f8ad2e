"""Students follow pseudo-labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..step import PseudoLabel, PseudoLabelSource, Step, TermValue, zero_of


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


def soft_cross_entropy(logits: Tensor, target: PseudoLabel) -> Tensor:
    """Cross-entropy against soft targets, weighted mean over the voxels that count."""
    loss = -(target.probabilities * logits.float().log_softmax(dim=1)).sum(dim=1)
    return (target.weight * loss).sum() / target.weight.sum().clamp_min(1e-6)


@dataclass(frozen=True)
class CrossSupervision:
    """Every branch follows what `source` says of an unlabelled view, by soft Dice and, if asked, cross-entropy.

    Attributes:
        source: where the targets come from (system A: the other branch).
        view: the view on which the student answers.
        dice: weight of the squared soft Dice.
        cross_entropy: weight of the cross-entropy.
    """

    source: PseudoLabelSource
    view: str = "weak"
    dice: float = 1.0
    cross_entropy: float = 0.0

    def __call__(self, step: Step) -> TermValue:
        """Return the loss summed over branches; support in voxels of one branch."""
        total, support = None, 0
        for student, outputs in enumerate(step.students):
            logits = outputs[self.view].logits
            target = self.source(step, student, self.view)
            support = int((target.weight > 0).sum())
            loss = zero_of(logits)
            if support and self.dice:
                loss = loss + self.dice * soft_dice(logits.float().softmax(dim=1), target)
            if support and self.cross_entropy:
                loss = loss + self.cross_entropy * soft_cross_entropy(logits, target)
            total = loss if total is None else total + loss
        assert total is not None
        return TermValue(torch.as_tensor(total), support)
