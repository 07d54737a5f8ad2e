"""A quick measurement of a run on its validation list while it goes on.

It is made on the network's grid, of a volume in the windows that hold most, and of as many cases as cost little against
the training. What a finished model is worth is measured afterwards, on the images' own grids (see `evaluation`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.engine.grid import Range
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.engine.windows import plan_axis
from torch import Tensor

from ..news import Validated
from .data import read_case
from .patches import cut
from .preparation import Prepared
from .readers import opinion, readers
from .targets import decided, every_class, informative, membership

_MOST = 48  # parts of cases that are kept in memory
_WINDOWS_OF_A_CASE = 2
_LEAST = 2  # parts, however long they take


@dataclass(frozen=True)
class Part:
    """What is looked at in one pass: a case that is shown whole, or a window of one.

    Attributes:
        case: its number in the list.
        image: float32 ``(M, *size)``.
        possible: int32 class sets ``(*size)``; 0 marks padding.
        present: the modalities that the case has; None for all.
    """

    case: int
    image: Tensor
    possible: Tensor
    present: tuple[int, ...] | None


class Validation:
    """Measures the branches of a run on parts of its validation list, always the same ones."""

    def __init__(self, run: Prepared, count: int | None = None) -> None:
        """Read the parts.

        Args:
            run: with a validation list.
            count: how many parts an earlier part of the run has settled on; None settles with the first measurement.
        """
        self.run = run
        # Those that are left out when time is short shall come from everywhere in the list.
        entries = run.validation
        order = sorted(range(len(entries)), key=lambda i: i * 0.618034 % 1)[:_MOST]
        parts = [part for i in order for part in self._parts(i)]
        parts.sort(key=lambda part: part[0])
        self.parts = [part for _, part in parts][:_MOST]
        self.count = count

    def _parts(self, number: int) -> Iterator[tuple[int, Part]]:
        run, entry = self.run, self.run.validation[number]
        image, possible = read_case(entry, run.spec, run.classes)
        blocks = _windows(possible, run.spec, run.classes)
        for rank, block in enumerate(blocks):
            shown, known = (cut(maps, block).clone() if block else maps for maps in (image, possible))
            yield rank, Part(number, shown, known, entry.present)

    @torch.no_grad()
    def measure(self, branches: Sequence[Branch], iteration: int, seconds: float) -> Validated:
        """Measure.

        Args:
            branches: in evaluation mode, on the run's device.
            iteration: after how many iterations they are.
            seconds: what the first measurement may take; later ones look at as many parts as it did.
        """
        classes = self.run.classes
        sums = torch.zeros(3, classes, dtype=torch.int64)  # of both, of the reference, of what is found
        voxels, done = 0, 0
        begin = time.perf_counter()
        for done, part in enumerate(self.parts[: self.count], 1):
            some, known = self._compare(branches, part)
            sums += some
            voxels += known
            if self.count is None and done >= _LEAST and time.perf_counter() - begin > seconds:
                break
        self.count = done
        both, reference, found = (row.tolist() for row in sums)
        dice = tuple(
            2 * both[c] / (reference[c] + found[c]) if reference[c] + found[c] else None for c in range(1, classes)
        )
        there = [value for value in dice if value is not None]
        cases = len({part.case for part in self.parts[:done]})
        return Validated(iteration, dice, sum(there) / len(there) if there else None, voxels, cases)

    def _compare(self, branches: Sequence[Branch], part: Part) -> tuple[Tensor, int]:
        run, classes = self.run, self.run.classes
        asked = readers(branches, run.reads, classes, part.present)
        found = opinion(asked, part.image[None].to(run.device))[0].argmax(dim=0).cpu()
        sets, single = part.possible, decided(part.possible)
        inside = sets != 0
        member = membership(sets[None], classes)[0]
        sums = torch.zeros(3, classes, dtype=torch.int64)
        for c in range(1, classes):
            reference = single & member[c]
            predicted = (found == c) & inside & (reference | ~member[c])
            sums[:, c] = torch.stack([(reference & predicted).sum(), reference.sum(), predicted.sum()])
        return sums, int((inside & informative(sets, classes)).sum())


def _windows(possible: Tensor, spec: InputSpec, classes: int) -> list[list[Range]]:
    """Return the windows of a case that hold most of what is outlined, then most of what is known; whole: an empty one.

    Args:
        possible: class sets of the whole case; 0 marks padding.
        spec: the model's input.
        classes: background included.
    """
    if spec.sampling == "fit":
        return [[]]
    axes = [plan_axis(n, size, 0.0) for n, size in zip(possible.shape, spec.size, strict=True)]
    outlined = decided(possible) & (possible > 1)
    known = (possible != 0) & (possible != every_class(classes))
    ranked = []
    for starts in product(*(axis.starts for axis in axes)):
        block = [(start, start + size) for start, size in zip(starts, spec.size, strict=True)]
        counts = tuple(int(cut(mask, block).sum()) for mask in (outlined, known))
        if counts[1]:
            ranked.append((counts, block))
    ranked.sort(key=lambda pair: pair[0], reverse=True)
    return [block for _, block in ranked[:_WINDOWS_OF_A_CASE]]
