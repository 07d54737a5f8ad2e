"""What voxels are contrasted with: another branch's vectors, of this step and of those before, all detached."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .grids import at_centres
from .sources import likeliest
from .step import PseudoLabelSource, Step
from .targets import decided, membership


@dataclass(frozen=True)
class VoxelKeys:
    """What a student's voxels are compared with.

    Attributes:
        positives: unit vectors ``(N, E, *coarse)``: the same places in another branch.
        bank: by class, unit vectors ``(K, E)`` of that branch's voxels; what this step added comes first.
    """

    positives: Tensor
    bank: tuple[Tensor, ...]


@dataclass(frozen=True)
class VoxelBank:
    """The next branch's voxels in the undisturbed view, and by class those of the steps before.

    A student is compared with one other branch alone, for the positive as for the negatives: told apart by the branch
    that they come from, they would be told apart without a look at the image. With one branch it is the branch itself.

    Attributes:
        source: classes of the unlabelled voxels, and by its weight which of them are reliable; only these are kept.
        view: the unlabelled view that the other branch looks at; its geometry must be the student view's.
        labelled: the view whose annotated voxels are kept as well, in the class that is annotated.
        size: vectors kept of a class.
        fresh: at most so many of them are exchanged in a step, drawn at random.
    """

    source: PseudoLabelSource
    view: str = "weak"
    labelled: str = "labelled"
    size: int = 512
    fresh: int = 64

    @property
    def reads(self) -> frozenset[str]:
        """Both views, the projected voxels, and what the source needs."""
        return self.source.reads | {self.view, self.labelled, "voxels"}

    def __call__(self, step: Step, student: int, view: str) -> VoxelKeys:
        """Return what voxels of branch `student` in `view` are compared with."""
        other = (student + 1) % len(step.students)
        voxels = step.students[other][self.view].voxels
        assert voxels is not None
        shown = step.views[view].mixing
        positives = voxels.detach()
        if shown is not None:
            positives = replace(shown, mask=at_centres(shown.mask, voxels.shape[2:]))(positives)
        return VoxelKeys(positives, self._bank(step, student, other))

    def remember(self, step: Step) -> dict[str, Tensor]:
        """Return the bank of every branch, by class, as the next step is to find it."""
        return {
            self._entry(student, c): kept
            for student in range(len(step.students))
            for c, kept in enumerate(self._bank(step, student, (student + 1) % len(step.students)))
        }

    def _entry(self, student: int, c: int) -> str:
        return f"voxels of class {c} for branch {student}"

    def _bank(self, step: Step, student: int, other: int) -> tuple[Tensor, ...]:
        return step.once((self, student, "bank"), lambda: self._exchanged(step, student, other))

    def _exchanged(self, step: Step, student: int, other: int) -> tuple[Tensor, ...]:
        vectors, classes = self._known(step, student, other)
        kept = []
        for c in range(step.classes):
            mine = (classes == c).nonzero()[:, 0]
            order = torch.randperm(len(mine), generator=step.generator("bank", student, c))[: self.fresh]
            parts = [vectors[mine[order.to(mine.device)]]]
            entry = self._entry(student, c)
            if entry in step.memory:
                parts.append(step.memory[entry])
            kept.append(torch.cat(parts)[: self.size])
        return tuple(kept)

    def _known(self, step: Step, student: int, other: int) -> tuple[Tensor, Tensor]:
        """Vectors ``(K, E)`` and classes of the other branch's reliable and annotated voxels."""
        target = self.source(step, student, self.view)
        vectors, classes = [], []
        for view in (self.view, self.labelled):
            voxels = step.students[other][view].voxels
            assert voxels is not None
            grid = voxels.shape[2:]
            if view == self.view:
                known = at_centres(target.weight, grid) > 0
                labels = likeliest(at_centres(target.probabilities, grid))
            else:
                labels, known = annotated(at_centres(step.views[view].possible, grid), step.classes)
            vectors.append(voxels.detach().movedim(1, -1)[known])
            classes.append(labels[known])
        return torch.cat(vectors), torch.cat(classes)


def annotated(possible: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Class indices ``(N, *spatial)`` of class sets, and the bool map of where they mean anything: are decided."""
    return likeliest(membership(possible, classes).to(torch.float32)), decided(possible)
