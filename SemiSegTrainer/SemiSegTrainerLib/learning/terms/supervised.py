"""What the annotations say: cross-entropy and Dice on set-valued targets, and where the branches differ from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..step import Step, TermValue, zero_of
from ..targets import decided, informative, membership


def set_cross_entropy(log_p: Tensor, possible: Tensor) -> tuple[Tensor, int]:
    """Negative log of the probability that falls into the set of possible classes.

    ``-(1/|V|) sum_{v in V} log sum_{c in S(v)} p_c(v)``, V = voxels where S rules something out. It is plain
    cross-entropy for sets of one class, cross-entropy with an ignore index for "every class", and the marginal loss of
    Shi et al. (Medical Image Analysis 2021) for unfinished segments.

    Args:
        log_p: logarithms of probabilities, ``(N, C, *spatial)``.
        possible: masks ``(N, *spatial)``.

    Returns:
        The mean over V (0, connected, where V is empty) and the size of V.
    """
    classes = log_p.shape[1]
    useful = informative(possible, classes)
    support = int(useful.sum())
    if not support:
        return zero_of(log_p), 0
    inside = log_p.masked_fill(~membership(possible, classes), -torch.inf).logsumexp(dim=1)
    return -torch.where(useful, inside, 0.0).sum() / support, support


def set_dice(p: Tensor, possible: Tensor, smooth: float = 1e-5) -> Tensor:
    """Soft Dice loss over voxels whose membership is decided, per class over the whole batch, then averaged.

    ``D_c = 1 - (2 sum a_c p_c y_c + e) / (sum a_c (p_c + y_c) + e)`` with a_c = 1 where membership in c is decided:
    S = {c}, or c not in S. Classes without a decided member in the batch are left out: a Dice of nothing teaches
    nothing.

    Args:
        p: probabilities ``(N, C, *spatial)``.
        possible: masks ``(N, *spatial)``.
        smooth: e.

    Returns:
        The mean over the classes with members; 0, connected, where there is none.
    """
    member = membership(possible, p.shape[1])
    y = (member & decided(possible).unsqueeze(1)).to(p.dtype)
    known = torch.maximum(y, (~member).to(p.dtype))
    axes = (0, *range(2, p.ndim))
    overlap, size, members = (known * p * y).sum(axes), (known * (p + y)).sum(axes), y.sum(axes)
    there = members > 0
    if not bool(there.any()):
        return zero_of(p)
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

    @property
    def reads(self) -> frozenset[str]:
        """The views on which annotations count."""
        return frozenset(self.views)

    def __call__(self, step: Step) -> TermValue:
        """Return the loss summed over branches, and of each; support in voxels of one branch."""
        losses, supports = [], []
        for student in range(len(step.students)):
            parts, support = [], 0
            for name in self.views:
                rows = step.rows(name, student)
                possible = step.views[name].possible[rows]
                entropy, count = set_cross_entropy(step.log_probabilities(student, name)[rows], possible)
                dice = set_dice(step.probabilities(student, name)[rows], possible)
                parts.append((entropy + self.dice * dice) / (1.0 + self.dice))
                support += count
            losses.append(torch.stack(parts).sum())
            supports.append(support)
        each = torch.stack(losses)
        known = torch.tensor(supports, device=each.device) > 0
        return TermValue(each.sum(), max(supports), torch.where(known, each.detach(), torch.nan))


@dataclass(frozen=True)
class Mistakes:
    """Where the branches are sure of different segments, one of them errs: there each moves to the annotation.

    ``M_k = sum_v m(v) 1/2 sum_c (p_kc(v) - y_c(v))^2 / sum_v m(v)``, m(v) = 1 where the confident labels (the argmax
    where its probability reaches `confidence` and it is a segment, else none) are not the same in all branches. With
    one segment this is the XOR of the confident masks and ``(p_k - y)^2`` of Wang et al., MCF, CVPR 2023; with
    several, it is the union of the XORs of all segments.

    Attributes:
        view: whose decided voxels are looked at.
        confidence: least probability of a confident label.
    """

    view: str = "labelled"
    confidence: float = 0.6

    @property
    def reads(self) -> frozenset[str]:
        """The view whose annotations are compared."""
        return frozenset((self.view,))

    def __call__(self, step: Step) -> TermValue:
        """Return the loss summed over branches; support in voxels at which they differ."""
        seen = step.views[self.view]
        p = [step.probabilities(k, self.view) for k in range(len(step.students))]
        sure = [_confident(q, self.confidence) for q in p]
        differ = torch.stack([s != sure[0] for s in sure]).any(dim=0) & decided(seen.possible) & seen.inside
        support = int(differ.sum())
        if not support:
            return TermValue(zero_of(*p), 0)
        # Mistakes are few: to pick them out costs less than to carry every voxel along.
        where = differ.nonzero(as_tuple=True)
        y = membership(seen.possible[where].unsqueeze(0), step.classes)[0].T.to(p[0].dtype)
        errors = [(q.movedim(1, -1)[where] - y).square().sum() for q in p]
        return TermValue(0.5 * torch.stack(errors).sum() / support, support)


def _confident(p: Tensor, confidence: float) -> Tensor:
    highest, label = p.detach().max(dim=1)
    return torch.where(highest >= confidence, label, 0)
