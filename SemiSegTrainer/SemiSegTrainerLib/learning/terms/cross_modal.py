"""Networks of different modalities teach each other: by the areas that they draw, by voxels, and by soft labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import Tensor

from ..step import PseudoLabel, PseudoLabelSource, Rows, Step, TermValue, undecided_weight, zero_of
from .agreement import soft_cross_entropy, soft_dice


def area_similarity(maps: Tensor, smooth: float = 1e-6) -> Tensor:
    """Soft Dice of every map with every other: ``S_ab = (2 sum z_a z_b + e) / (sum z_a^2 + sum z_b^2 + e)``.

    Args:
        maps: ``(n, ...)``, probabilities.
        smooth: e.

    Returns:
        ``(n, n)`` in [0, 1].
    """
    flat = maps.flatten(1)
    sizes = flat.square().sum(dim=1)
    return (2.0 * flat @ flat.T + smooth) / (sizes[:, None] + sizes[None, :] + smooth)


def cut_cells(maps: Tensor, cells: int) -> Tensor:
    """Cut the last three axes of ``(N, K, Z, Y, X)`` into `cells` parts each: ``(N * cells^3, K, z, y, x)``.

    Sides that `cells` does not divide lose their last rows.
    """
    sides = [n // cells for n in maps.shape[2:]]
    for axis, side in enumerate(sides, start=2):
        maps = maps.narrow(axis, 0, side * cells)
    n, k = maps.shape[:2]
    split = maps.reshape(n, k, cells, sides[0], cells, sides[1], cells, sides[2])
    return split.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(n * cells**3, k, *sides)


@dataclass(frozen=True)
class AreaContrast:
    """Two networks draw the same area in the same image, and other areas in other images.

    ``-log e^(S_a+ / T) / (e^(S_a+ / T) + sum_b e^(S_ab / T))`` of every map a, in the mean; a+ is the map of the same
    image by the other network, b runs over the maps of both networks for other images, S is `area_similarity` of the
    foreground. With T = 1 and nothing excluded it is the area-similarity contrast of Zhang et al. (Medical Image
    Analysis 83, 2023), whose value hardly moves: S lies between 0 and 1. Two images are no negatives of each other if
    they are of one patient or sequence, or if what both networks together draw in them is alike; two maps that are both
    empty neither. A map without a negative, or empty with its positive, has nothing to say.

    Attributes:
        temperature: T.
        alike: similarity from which images are no negatives, by the detached mean of the two maps; None for the
            source's loss: nothing is excluded.
        cells: volumes are cut into so many parts a side, each an image of its own; 1 leaves them whole.
    """

    temperature: float = 0.1
    alike: float | None = 0.5
    cells: int = 2

    def __call__(self, first: Tensor, second: Tensor, groups: Tensor, inside: Tensor) -> tuple[Tensor, int]:
        """Return the loss and the number of maps that it rests on; 0, connected, without any.

        Args:
            first: ``(N, C, *spatial)``, probabilities of one network.
            second: the same images by the other one; what is detached is not moved.
            groups: ``(N,)``: rows of equal numbers are of one patient or sequence.
            inside: bool ``(N, *spatial)``: what lies beyond the image belongs to no area.
        """
        shown = inside.unsqueeze(1).to(first.dtype)
        maps = [p[:, 1:] * shown for p in (first, second)]
        if inside.ndim == 4 and self.cells > 1:
            maps = [cut_cells(p, self.cells) for p in maps]
            shown = cut_cells(shown, self.cells)
            groups = groups.repeat_interleave(self.cells**3)
        n = len(groups)
        excluded, silent = self._excluded(maps, groups, shown)
        own = torch.eye(2 * n, dtype=torch.bool, device=first.device)
        positive = own.roll(n, dims=1)
        counted = (~(excluded | own | positive)).any(dim=1) & ~silent
        support = int(counted.sum())
        if not support:
            return zero_of(*maps), 0
        similarity = area_similarity(torch.cat(maps)) / self.temperature
        logits = similarity.masked_fill((excluded | own) & ~positive, -torch.inf)
        places = (torch.arange(2 * n, device=first.device) + n) % (2 * n)
        return torch.nn.functional.cross_entropy(logits[counted], places[counted]), support

    def _excluded(self, maps: Sequence[Tensor], groups: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Return which pairs of maps are no negatives, ``(2n, 2n)``, and which maps say nothing, ``(2n,)``."""
        nowhere = (shown.flatten(1).amax(dim=1) == 0).repeat(2)
        if self.alike is None:
            return nowhere[:, None] | nowhere[None, :], nowhere
        detached = torch.cat([m.detach() for m in maps])
        n = len(groups)
        alike = area_similarity((detached[:n] + detached[n:]) / 2) >= self.alike
        apart = (alike | (groups[:, None] == groups[None, :])).repeat(2, 2)
        empty = detached.sum(dim=1).flatten(1).amax(dim=1) < 0.5
        return apart | (empty[:, None] & empty[None, :]), nowhere | (empty & empty.roll(n))


def groups_of(step: Step, view: str) -> Tensor:
    """Return of which patient or sequence the rows of a view are, ``(N,)``."""
    cases = step.views[view].cases
    return cases if step.groups is None else step.groups[cases]


def _silent(step: Step, view: str) -> Tensor:
    """Return 0 connected to what every student says of the rows that it can read."""
    return zero_of(*(o[view].logits[step.rows(view, k)] for k, o in enumerate(step.students)))


@dataclass(frozen=True)
class MutualAreas:
    """`AreaContrast` between all pairs of branches, gradient to both of a pair; a row needs the modalities of both.

    Attributes:
        contrast: the loss of a pair.
        view: the unlabelled view.
    """

    contrast: AreaContrast = field(default_factory=AreaContrast)
    view: str = "weak"

    @property
    def reads(self) -> frozenset[str]:
        """The view."""
        return frozenset((self.view,))

    def __call__(self, step: Step) -> TermValue:
        """Return the mean over the pairs that have support; support in maps."""
        losses, support = [], 0
        for i, j in combinations(range(len(step.students)), 2):
            rows = step.rows(self.view, i, j)
            p, q = (step.probabilities(k, self.view)[rows] for k in (i, j))
            loss, count = self.contrast(p, q, groups_of(step, self.view)[rows], step.views[self.view].inside[rows])
            if count:
                losses.append(loss)
                support += count
        return TermValue(torch.stack(losses).mean() if losses else _silent(step, self.view), support)


@dataclass(frozen=True)
class CrossModalAgreement:
    """Branches of different modalities give a voxel the same probabilities: ``mean_v 1/2 sum_c (p_ic - p_jc)^2``.

    With two classes this is the mean squared difference of the foreground's probability.

    Attributes:
        view: whose undecided voxels count.
    """

    view: str = "weak"

    @property
    def reads(self) -> frozenset[str]:
        """The view."""
        return frozenset((self.view,))

    def __call__(self, step: Step) -> TermValue:
        """Return the mean over the pairs that have support; support in voxels."""
        weight, losses, support = undecided_weight(step.views[self.view]), [], 0
        for i, j in combinations(range(len(step.students)), 2):
            rows = step.rows(self.view, i, j)
            count = int(weight[rows].sum())
            if count:
                p, q = (step.probabilities(k, self.view)[rows] for k in (i, j))
                losses.append(0.5 * (weight[rows] * (p - q).square().sum(dim=1)).sum() / count)
                support += count
        return TermValue(torch.stack(losses).mean() if losses else _silent(step, self.view), support)


@dataclass(frozen=True)
class SoftRelearning:
    """Students learn an unlabelled view anew from soft labels, whole areas included (PReL of Zhang et al., 2023).

    ``a ASC(q, p) + (1 - a) (b CE(p, q) + d D(p, q))``, D the squared soft Dice of the foreground, ASC `AreaContrast`
    with its gradient to the student alone. Targets without weight are left out.

    Attributes:
        source: says the soft labels q.
        contrast: the loss of areas.
        view: the view on which the student answers.
        area: a.
        cross_entropy: b.
        dice: d.
    """

    source: PseudoLabelSource
    contrast: AreaContrast = field(default_factory=AreaContrast)
    view: str = "weak"
    area: float = 0.1
    cross_entropy: float = 0.5
    dice: float = 0.5

    @property
    def reads(self) -> frozenset[str]:
        """The student's view and what the source needs."""
        return self.source.reads | {self.view}

    def __call__(self, step: Step) -> TermValue:
        """Return the loss summed over the students that are taught; support in their voxels."""
        losses, support = [], 0
        for student in range(len(step.students)):
            target = self.source(step, student, self.view)
            rows = _taught(target, step.rows(self.view, student))
            if len(rows):
                losses.append(
                    self._loss(step, student, PseudoLabel(target.probabilities[rows], target.weight[rows]), rows)
                )
                support += int((target.weight[rows] > 0).sum())
        return TermValue(torch.stack(losses).sum() if losses else _silent(step, self.view), support)

    def _loss(self, step: Step, student: int, target: PseudoLabel, rows: Tensor) -> Tensor:
        log_p, p = (f(student, self.view)[rows] for f in (step.log_probabilities, step.probabilities))
        foreground = PseudoLabel(target.probabilities[:, 1:], target.weight)
        voxels = self.cross_entropy * soft_cross_entropy(log_p, target) + self.dice * soft_dice(p[:, 1:], foreground)
        inside = step.views[self.view].inside[rows]
        areas, _ = self.contrast(target.probabilities, p, groups_of(step, self.view)[rows], inside)
        return self.area * areas + (1.0 - self.area) * voxels


def _taught(target: PseudoLabel, rows: Rows) -> Tensor:
    """Return the rows that are both readable and taught."""
    readable = torch.zeros(len(target.weight), dtype=torch.bool, device=target.weight.device)
    readable[rows] = True
    return (readable & (target.weight.flatten(1) > 0).any(dim=1)).nonzero().flatten()
