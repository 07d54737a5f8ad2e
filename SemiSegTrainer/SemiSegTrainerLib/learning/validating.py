"""A quick measurement of a run on its validation list while it goes on.

It is made on the network's grid, of a volume in the window that holds most, and of as many cases as cost little against
the training. What a finished model is worth is measured afterwards, on the images' own grids (see `evaluation`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.engine.grid import Range
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.engine.windows import plan_axes
from torch import Tensor

from ..news import Validated
from .data import read_case
from .patches import cut
from .preparation import Prepared
from .readers import opinion, readers
from .targets import absent, decided, known, membership, outlined

_MOST = 48  # cases, however fast: they are kept in memory
_LEAST = 2  # cases, however slow


@dataclass(frozen=True)
class Part:
    """What is looked at of a case in one pass: all of it where it is shown whole, else a window.

    Attributes:
        image: float32 ``(M, *size)``.
        possible: int32 class sets ``(*size)``; 0 marks padding.
        present: the modalities that the case has; None for all.
    """

    image: Tensor
    possible: Tensor
    present: tuple[int, ...] | None


class Validation:
    """Measures the branches of a run on a part of its validation list, always the same.

    Attributes:
        count: of how many cases; None until the first measurement settles it.
        seconds: what the last measurement took, reading excluded.
    """

    def __init__(self, run: Prepared, count: int | None = None) -> None:
        """Prepare; nothing is read yet.

        Args:
            run: with a validation list.
            count: what an earlier part of the run has settled.
        """
        self.run, self.count, self.seconds = run, count, 0.0
        # Those that are left out when time is short shall come from everywhere in the list.
        places = sorted(range(len(run.validation)), key=lambda i: i * 0.618034 % 1)
        self.entries = [run.validation[i] for i in places[:_MOST]]
        self._parts: list[Part | None] = []

    def _part(self, number: int) -> Part | None:
        """Return what is looked at of a case, read once; None where nothing of it is known."""
        if number == len(self._parts):
            run, entry = self.run, self.entries[number]
            image, possible = read_case(entry, run.spec, run.classes)
            if run.spec.sampling != "fit":
                block = _window(possible, run.spec, run.classes)
                if block is None:
                    self._parts.append(None)
                    return None
                image, possible = cut(image, block).clone(), cut(possible, block).clone()
            self._parts.append(Part(image, possible, entry.present))
        return self._parts[number]

    @torch.no_grad()
    def measure(self, branches: Sequence[Branch], iteration: int, seconds: float) -> Validated:
        """Measure.

        Args:
            branches: in evaluation mode, on the run's device.
            iteration: after how many iterations they are.
            seconds: what the first measurement may take; later ones look at as many cases as it did.
        """
        classes = self.run.classes
        # Voxels of both, of the reference, of what is found; and those of which somebody says that it is not there.
        sums = torch.zeros(4, classes, dtype=torch.int64)
        voxels = cases = looked = 0
        self.seconds = 0.0
        for number in range(len(self.entries))[: self.count]:
            looked, part = looked + 1, self._part(number)
            if part is None:
                continue
            begin = time.perf_counter()
            some, annotated = self._compare(branches, part)
            self.seconds += time.perf_counter() - begin
            sums += some
            voxels += annotated
            cases += 1
            if self.count is None and cases >= _LEAST and self.seconds > seconds:
                break
        self.count = looked
        both, reference, found, missing = (row.tolist() for row in sums)
        # Of a segment that nobody has outlined nothing is known but that it is not where others are.
        dice = tuple(
            2 * both[c] / (reference[c] + found[c]) if reference[c] + found[c] and reference[c] + missing[c] else None
            for c in range(1, classes)
        )
        there = [value for value in dice if value is not None]
        return Validated(iteration, dice, sum(there) / len(there) if there else None, voxels, cases)

    def _compare(self, branches: Sequence[Branch], part: Part) -> tuple[Tensor, int]:
        run, classes = self.run, self.run.classes
        asked = readers(branches, run.reads, classes, part.present)
        found = opinion(asked, part.image[None].to(run.device))[0].argmax(dim=0).cpu()
        sets, single = part.possible, decided(part.possible)
        inside = sets != 0
        member = membership(sets[None], classes)[0]
        sums = torch.zeros(4, classes, dtype=torch.int64)
        for c in range(1, classes):
            reference = single & member[c]
            predicted = (found == c) & inside & (reference | ~member[c])
            counted = reference & predicted, reference, predicted, absent(sets, c)
            sums[:, c] = torch.stack([where.sum() for where in counted])
        return sums, int(known(sets, classes).sum())


def _window(possible: Tensor, spec: InputSpec, classes: int) -> list[Range] | None:
    """Return the window of a case that holds most of what is outlined, then most of what is known; None without any.

    Args:
        possible: class sets of the whole case; 0 marks padding.
        spec: the model's input.
        classes: background included.
    """
    axes = plan_axes(possible.shape, spec.size, (0.0,) * possible.ndim)
    masks = outlined(possible), known(possible, classes)
    best: tuple[tuple[int, ...], list[Range]] | None = None
    for starts in product(*(axis.starts for axis in axes)):
        block = [(start, start + size) for start, size in zip(starts, spec.size, strict=True)]
        counts = tuple(int(cut(mask, block).sum()) for mask in masks)
        if counts[1] and (best is None or counts > best[0]):
            best = counts, block
    return best and best[1]
