"""Contrast of whole images between branches, and of voxels against what stands for their class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..grids import at_centres
from ..sources import class_prototypes, likeliest, one_hot
from ..step import PseudoLabelSource, Step, TermValue, undecided_weight, zero_of
from ..targets import decided, membership


def info_nce(anchors: Tensor, keys: Tensor, same: Tensor, temperature: float) -> Tensor:
    """InfoNCE of each anchor: its key (row i) against all keys of other images.

    ``-log exp(a_i k_i / T) / (exp(a_i k_i / T) + sum_{j: not same(i,j)} exp(a_i k_j / T))``

    Args:
        anchors: unit vectors ``(N, E)``.
        keys: unit vectors ``(N, E)``; row i is the positive of anchor i.
        same: bool ``(N, N)``: rows i and j show the same image; such pairs are no negatives.
        temperature: T.

    Returns:
        The mean over anchors.
    """
    similarity = anchors @ keys.T / temperature
    own = torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)
    logits = similarity.masked_fill(same & ~own, -torch.inf)
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(anchors), device=anchors.device))


@dataclass(frozen=True)
class ImageContrast:
    """The branches should know an image by its deep features.

    The positive is the same image in the other branch, negatives are all other images. Corrected form of system A's
    contrast (arXiv:2503.17057), whose public code evaluates to exactly 0: both directions, all images of the batch,
    gradient to both branches through a projector each. A row that CutMix has changed counts as the image that the most
    of it shows, its own; the image in the box is still one of the others.

    Attributes:
        views: the views whose images take part.
        temperature: of InfoNCE.
    """

    views: tuple[str, ...] = ("labelled", "weak")
    temperature: float = 0.07

    @property
    def reads(self) -> frozenset[str]:
        """The views, and the projected images."""
        return frozenset((*self.views, "embedding"))

    def __call__(self, step: Step) -> TermValue:
        """Return half the sum over ordered pairs of branches; support = images with at least one negative."""
        cases = torch.cat([step.views[v].cases for v in self.views])
        embeddings = [torch.cat([o[v].embedding for v in self.views]) for o in step.students]  # type: ignore[misc]
        same = cases[:, None] == cases[None, :]
        support = int((~same).any(dim=1).sum())
        total = zero_of(*embeddings)
        if not support or len(embeddings) < 2:
            return TermValue(total, 0)
        for i, anchors in enumerate(embeddings):
            for j, keys in enumerate(embeddings):
                if i != j:
                    total = total + 0.5 * info_nce(anchors, keys, same, self.temperature)
        return TermValue(total, support)


@dataclass(frozen=True)
class PrototypeContrast:
    """Unreliable voxels go to the prototype of their class, and away from those of the others.

    ``-log softmax_c(f(v) mu_c / T)`` at the voxel's label c, f = the branch's projected voxel, mu_c = the mean
    direction of the class's reliable and annotated voxels. Every class counts equally, however many voxels it has.
    Corrected form of the prototype contrast of arXiv:2505.17690, which drew the prototypes of different classes
    together and reached no weight.

    Attributes:
        source: labels, and by its weight which voxels are reliable; the undecided ones without weight are drawn.
        view: the unlabelled view.
        labelled: the view whose annotated voxels stand for their class as well.
        temperature: T.
    """

    source: PseudoLabelSource
    view: str = "weak"
    labelled: str = "labelled"
    temperature: float = 0.1

    @property
    def reads(self) -> frozenset[str]:
        """Both views, the projected voxels, and what the source needs."""
        return self.source.reads | {self.view, self.labelled, "voxels"}

    def __call__(self, step: Step) -> TermValue:
        """Return the loss summed over branches; support in drawn voxels of one branch."""
        losses, support = [], 0
        for student, outputs in enumerate(step.students):
            voxels, known = outputs[self.view].voxels, outputs[self.labelled].voxels
            assert voxels is not None
            assert known is not None
            loss, support = self._loss(step, student, voxels, known)
            losses.append(loss)
        return TermValue(torch.stack(losses).sum(), support)

    def _loss(self, step: Step, student: int, voxels: Tensor, known: Tensor) -> tuple[Tensor, int]:
        target, seen = self.source(step, student, self.view), step.views[self.view]
        grid = voxels.shape[2:]
        labels = one_hot(likeliest(at_centres(target.probabilities, grid)), step.classes)
        reliable = at_centres(target.weight, grid).unsqueeze(1) > 0
        possible = at_centres(step.views[self.labelled].possible, known.shape[2:])
        annotated = membership(possible, step.classes) & decided(possible).unsqueeze(1)
        prototypes, there = class_prototypes([(voxels, labels * reliable), (known, annotated.to(labels.dtype))])
        undecided = at_centres(undecided_weight(seen), grid).unsqueeze(1) > 0
        drawn = labels * (undecided & ~reliable) * there.view(1, -1, *(1,) * len(grid))
        counts = drawn.sum((0, *range(2, drawn.ndim)))
        support = int(counts.sum() * (there.sum() > 1))
        if not support:
            return zero_of(voxels), 0
        similarity = (prototypes @ voxels.flatten(2)).view_as(labels) / self.temperature
        # Far below every similarity, and finite: a class without a prototype takes no probability.
        absent = (~there).to(similarity.dtype) * -1e4
        log_p = (similarity + absent.view(1, -1, *(1,) * len(grid))).log_softmax(dim=1)
        each = -(drawn * log_p).sum((0, *range(2, drawn.ndim))) / counts.clamp_min(1.0)
        return each.sum() / (counts > 0).sum(), support
