"""What the annotations say: cross-entropy and Dice on set-valued targets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..step import Step, TermValue, zero_of
from ..targets import decided, informative, membership


def set_cross_entropy(logits: Tensor, possible: Tensor) -> tuple[Tensor, int]:
    """Negative log of the probability that falls into the set of possible classes.

    ``-(1/|V|) sum_{v in V} log sum_{c in S(v)} p_c(v)``, V = voxels where S rules something out. It is plain
    cross-entropy for sets of one class, cross-entropy with an ignore index for "every class", and the marginal loss of
    Shi et al. (Medical Image Analysis 2021) for unfinished segments.

    Args:
        logits: ``(N, C, *spatial)``.
        possible: masks ``(N, *spatial)``.

    Returns:
        The mean over V (0, connected, where V is empty) and the size of V.
    """
    classes = logits.shape[1]
    useful = informative(possible, classes)
    support = int(useful.sum())
    if not support:
        return zero_of(logits), 0
    log_p = logits.float().log_softmax(dim=1)
    inside = log_p.masked_fill(~membership(possible, classes), -torch.inf).logsumexp(dim=1)
    return -torch.where(useful, inside, 0.0).sum() / support, support


def set_dice(logits: Tensor, possible: Tensor, smooth: float = 1e-5) -> Tensor:
    """Soft Dice loss over voxels whose membership is decided, per class over the whole batch, then averaged.

    ``D_c = 1 - (2 sum a_c p_c y_c + e) / (sum a_c (p_c + y_c) + e)`` with a_c = 1 where membership in c is decided:
    S = {c}, or c not in S. Classes without a decided member in the batch are left out: a Dice of nothing teaches
    nothing.

    Args:
        logits: ``(N, C, *spatial)``.
        possible: masks ``(N, *spatial)``.
        smooth: e.

    Returns:
        The mean over the classes with members; 0, connected, where there is none.
    """
    classes = logits.shape[1]
    p = logits.float().softmax(dim=1)
    member = membership(possible, classes)
    y = (member & decided(possible).unsqueeze(1)).to(p.dtype)
    known = torch.maximum(y, (~member).to(p.dtype))
    axes = (0, *range(2, p.ndim))
    overlap, size, members = (known * p * y).sum(axes), (known * (p + y)).sum(axes), y.sum(axes)
    there = members > 0
    if not bool(there.any()):
        return zero_of(logits)
    loss = 1.0 - (2.0 * overlap + smooth) / (size + smooth)
    return torch.where(there, loss, 0.0).sum() / there.sum()


@dataclass(frozen=True)
class Supervised:
    """``(CE + Dice) / 2`` on what is annotated, for every branch and every listed view.

    Attributes:
        views: the views on which annotations count.
        dice: weight of Dice against cross-entropy; lower it where only scribbles exist.
    """

    views: tuple[str, ...] = ("labelled",)
    dice: float = 1.0

    def __call__(self, step: Step) -> TermValue:
        """Return the loss summed over branches; support in voxels of one branch."""
        total, support = None, 0
        for outputs in step.students:
            support = 0
            for name in self.views:
                possible = step.views[name].possible
                entropy, count = set_cross_entropy(outputs[name].logits, possible)
                loss = (entropy + self.dice * set_dice(outputs[name].logits, possible)) / (1.0 + self.dice)
                total = loss if total is None else total + loss
                support += count
        assert total is not None
        return TermValue(total, support)
