"""Contrast at two scales: voxels against a bank of other classes' voxels, and patches of a grid against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from SemiSegCervicalLib.engine.uncertainty import entropy
from torch import Tensor
from torch.nn import functional

from ..banks import VoxelBank, VoxelKeys, annotated
from ..grids import at_centres, patch_numbers
from ..sources import likeliest
from ..step import PseudoLabelSource, Step, TermValue, zero_of


def hard_and_random(difficulty: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Choose `count` of some values, or all where there are no more: half the highest, half at random from the others.

    Args:
        difficulty: ``(P,)``.
        count: how many.
        generator: of the random half, on the CPU.

    Returns:
        Their indices, each at most once.
    """
    if len(difficulty) <= count:
        return torch.arange(len(difficulty), device=difficulty.device)
    order = difficulty.argsort(descending=True)
    hard, others = order[: count // 2], order[count // 2 :]
    drawn = torch.randperm(len(others), generator=generator)[: count - len(hard)]
    return torch.cat([hard, others[drawn.to(others.device)]])


@dataclass(frozen=True)
class PixelContrast:
    """A voxel is known in another branch's undisturbed view, among voxels of other classes.

    ``-log e^(a k / T) / (e^(a k / T) + sum_n e^(a n / T))``, a = a projected voxel of the student's view, k = the same
    place in the other branch, n = vectors of the bank of other classes than a's. Of every class equally many anchors,
    half of them where the branch is least sure of its answer, half at random.

    Attributes:
        source: classes of the anchors; only voxels with weight are anchors.
        bank: the other branch's voxels.
        view: the student's view.
        anchors: of a class, over the whole batch, at most.
        negatives: of an anchor, at most.
        temperature: T.
    """

    source: PseudoLabelSource
    bank: VoxelBank
    view: str = "strong"
    anchors: int = 64
    negatives: int = 512
    temperature: float = 0.1

    @property
    def reads(self) -> frozenset[str]:
        """The student's view, the projected voxels, and what source and bank need."""
        return self.source.reads | self.bank.reads | {self.view, "voxels"}

    def __call__(self, step: Step) -> TermValue:
        """Return the loss summed over branches; support in anchors of the branch that has most."""
        losses, support = [], 0
        for student in range(len(step.students)):
            loss, count = self._loss(step, student)
            support = max(support, count)
            losses.append(loss)
        return TermValue(torch.stack(losses).sum(), support)

    def remember(self, step: Step) -> dict[str, Tensor]:
        """Hand the bank on."""
        return self.bank.remember(step)

    def _loss(self, step: Step, student: int) -> tuple[Tensor, int]:
        voxels = step.students[student][self.view].voxels
        assert voxels is not None
        grid = voxels.shape[2:]
        target, keys = self.source(step, student, self.view), self.bank(step, student, self.view)
        labels = likeliest(at_centres(target.probabilities, grid)).flatten()
        reliable = at_centres(target.weight, grid).flatten() > 0
        # A NaN is no anchor; it stays in the loss, which stops the run by the term's name.
        p = torch.nan_to_num(at_centres(step.probabilities(student, self.view).detach(), grid), nan=1.0 / step.classes)
        unsure = entropy(p).flatten()
        flat, positives = voxels.movedim(1, -1).flatten(0, -2), keys.positives.movedim(1, -1).flatten(0, -2)
        losses = []
        for c in range(step.classes):
            negatives = self._negatives(step, student, keys, c)
            places = (reliable & (labels == c)).nonzero()[:, 0]
            if not len(places) or not len(negatives):
                continue
            places = places[hard_and_random(unsure[places], self.anchors, step.generator("anchors", student, c))]
            anchors = flat[places]
            alike = (anchors * positives[places]).sum(dim=1, keepdim=True)
            similarity = torch.cat([alike, anchors @ negatives.T], dim=1) / self.temperature
            losses.append(-similarity.log_softmax(dim=1)[:, 0])
        if not losses:
            return zero_of(voxels), 0
        each = torch.cat(losses)
        return each.mean(), len(each)

    def _negatives(self, step: Step, student: int, keys: VoxelKeys, c: int) -> Tensor:
        others = torch.cat([vectors for k, vectors in enumerate(keys.bank) if k != c])
        if len(others) <= self.negatives:
            return others
        drawn = torch.randperm(len(others), generator=step.generator("negatives", student, c))[: self.negatives]
        return others[drawn.to(others.device)]


def supervised_contrast(vectors: Tensor, classes: Tensor, temperature: float) -> tuple[Tensor, int]:
    """Vectors of a class come together, away from those of other classes.

    ``-1/|P(i)| sum_{p in P(i)} log e^(z_i z_p / T) / sum_{a != i} e^(z_i z_a / T)``, P(i) = the others of i's class
    (Khosla et al., Supervised contrastive learning, NeurIPS 2020); mean over the i that have a positive and a negative.

    Args:
        vectors: unit vectors ``(P, E)``.
        classes: ``(P,)``.
        temperature: T.

    Returns:
        The loss, 0 and connected where no i has both, and the number of the i that have.
    """
    own = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    same = classes[:, None] == classes[None, :]
    positives = same & ~own
    anchors = positives.any(dim=1) & (~same).any(dim=1)
    support = int(anchors.sum())
    if not support:
        return zero_of(vectors), 0
    log_p = (vectors @ vectors.T / temperature).masked_fill(own, -torch.inf).log_softmax(dim=1)
    each = -torch.where(positives, log_p, 0.0).sum(dim=1) / positives.sum(dim=1).clamp_min(1)
    return each[anchors].mean(), support


@dataclass(frozen=True)
class PatchContrast:
    """Patches of a grid that show the same class come together, in every branch, over all images of the batch.

    A patch's vector is the mean of its known voxels' vectors, weighted by reliability. It shows background where at
    most a share `background` of what is known of it is of any segment, a segment where the largest one covers at least
    a share `segment`; others, on an outline, are left out, as are those of which less than a share `known` is known.

    Attributes:
        source: classes and reliability of the unlabelled voxels.
        view: the student's unlabelled view.
        labelled: the view whose annotated voxels are known.
        patches: along each axis, of an image and of a volume.
        background: largest share of segments in a patch of background.
        segment: least share of a segment in a patch of its own.
        known: least share of reliable or annotated voxels in any patch.
        temperature: of the contrast.
    """

    source: PseudoLabelSource
    view: str = "strong"
    labelled: str = "labelled"
    patches: tuple[tuple[int, ...], tuple[int, ...]] = ((4, 4), (2, 4, 4))
    background: float = 0.05
    segment: float = 0.5
    known: float = 0.5
    temperature: float = 0.1

    @property
    def reads(self) -> frozenset[str]:
        """Both views, the projected voxels, and what the source needs."""
        return self.source.reads | {self.view, self.labelled, "voxels"}

    def __call__(self, step: Step) -> TermValue:
        """Return the loss summed over branches; support in patches of a branch that have partner and rival."""
        losses, support = [], 0
        for student, outputs in enumerate(step.students):
            parts, maps = [], []
            for view in (self.view, self.labelled):
                voxels = outputs[view].voxels
                assert voxels is not None
                maps.append(voxels)
                labels, weight = self._known(step, student, view, voxels)
                parts.append(self._patches(voxels, labels, weight, step.classes))
            vectors, classes = (torch.cat(both) for both in zip(*parts, strict=True))
            loss, count = supervised_contrast(vectors, classes, self.temperature)
            support = max(support, count)
            # A NaN where nothing is reliable is in no patch, yet would be in the gradient, where it has no name.
            losses.append(loss + zero_of(*maps))
        return TermValue(torch.stack(losses).sum(), support)

    def _known(self, step: Step, student: int, view: str, voxels: Tensor) -> tuple[Tensor, Tensor]:
        grid = voxels.shape[2:]
        if view == self.labelled:
            labels, known = annotated(at_centres(step.views[view].possible, grid), step.classes)
            return labels, known.to(voxels.dtype)
        target = self.source(step, student, view)
        return likeliest(at_centres(target.probabilities, grid)), at_centres(target.weight, grid)

    def _patches(self, voxels: Tensor, labels: Tensor, weight: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Vectors ``(P, E)`` and classes of the patches that show one."""
        grid = tuple(voxels.shape[2:])
        patches = self.patches[len(grid) - 2]
        numbers = patch_numbers(grid, patches).flatten().to(voxels.device)
        belongs = functional.one_hot(numbers, math.prod(patches)).to(voxels.dtype)
        weight = weight.flatten(1)
        known = (weight > 0).to(voxels.dtype)
        size = (known @ belongs).clamp_min(1.0)
        kinds = functional.one_hot(labels.flatten(1), classes).to(voxels.dtype) * known.unsqueeze(-1)
        shares = torch.einsum("npc,pk->nkc", kinds, belongs) / size.unsqueeze(-1)
        segment, shown = shares[..., 1:].max(dim=-1)
        empty = shares[..., 1:].sum(dim=-1) <= self.background
        clear = empty | (segment >= self.segment)
        used = clear & (known @ belongs > 0) & (known @ belongs >= self.known * belongs.sum(dim=0))
        sums = torch.einsum("nep,pk->nke", voxels.flatten(2) * weight.unsqueeze(1), belongs)
        return functional.normalize(sums[used], dim=1), torch.where(empty, 0, shown + 1)[used]
