"""Which part of a large case a step looks at.

A patch of the labelled stream always holds decided voxels, however few slices of a volume are annotated: two in three
are centred on a segment, drawn evenly over the case's segments, the others on any decided voxel. A patch of the
unlabelled stream is centred on an undecided voxel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from SemiSegCervicalLib.engine.grid import Range, widened, within
from torch import Tensor

from .augment import voxel_lengths
from .seeds import mix_seed
from .targets import decided, known

# Voxel indices by what they are good for: "labelled", "unlabelled" and, per segment, "class-1" ...
Places = dict[str, Tensor]

# The warp turns, zooms and shifts a patch by less than this share of it: what it looks at lies within the cut, but for
# the outermost corners. A flat patch turns out of it farther: see `cut_sizes`.
_MARGIN = 0.3
_REMEMBERED = 20_000


def remember(possible: Tensor, classes: int, case: int) -> Places:
    """List the voxels of a case that patches may be centred on; of many a random part.

    Args:
        possible: class sets ``(*grid)``; 0 marks padding.
        classes: background included.
        case: index of the case, which seeds the choice.
    """
    flat = possible.flatten()

    def masks() -> Iterator[tuple[str, Tensor]]:
        for c in range(1, classes):  # one at a time: those of many segments of a large volume would fill the memory
            yield f"class-{c}", flat == 1 << c
        inside, single = flat != 0, decided(flat)
        labelled = single & inside
        # Sets may rule out a class without deciding for one.
        yield "labelled", labelled if bool(labelled.any()) else known(flat, classes)
        yield "unlabelled", ~single & inside

    found = {}
    for name, mask in masks():
        indices = torch.nonzero(mask).flatten()
        if len(indices) > _REMEMBERED:
            generator = torch.Generator().manual_seed(mix_seed("places", case, name))
            indices = indices[torch.randint(len(indices), (_REMEMBERED,), generator=generator)]
        if len(indices):
            found[name] = indices
    return found


def cut_sizes(patch: Sequence[int], rotation: float, spacing: Sequence[float] | None = None) -> tuple[int, ...]:
    """Return how large a cut is from which a patch is warped.

    A patch of 16 x 96 x 96 voxels that is turned by 10 degrees reaches 8 voxels beyond itself along its short axis:
    there the margin is the way of the farthest end of the longest axis.

    Args:
        patch: what the networks see.
        rotation: the warp's largest, degrees.
        spacing: of the voxels along each axis; None where it is unknown.
    """
    steps = voxel_lengths(patch, spacing)
    way = math.sin(math.radians(rotation)) * max(n * step for n, step in zip(patch, steps, strict=True))
    return tuple(
        2 * (math.ceil((n + way / step) / 2) if way / step > _MARGIN * n else round(n * (1 + _MARGIN) / 2))
        for n, step in zip(patch, steps, strict=True)
    )


def draw_block(
    places: Places,
    shape: Sequence[int],
    patch: Sequence[int],
    sides: Sequence[int],
    stream: str,
    generator: torch.Generator,
) -> list[Range]:
    """Draw where to cut a case.

    Args:
        places: of the case.
        shape: of the case.
        patch: what the networks see.
        sides: of the cut, see `cut_sizes`.
        stream: ``labelled`` or ``unlabelled``; the case must have voxels for it.
        generator: decides.

    Returns:
        A range per axis, larger than the patch by the margin that the warp needs, and maybe beyond the case.
    """
    segments = [name for name in places if name.startswith("class-")]
    name = stream
    if stream == "labelled" and segments and _below(3, generator) < 2:
        name = segments[_below(len(segments), generator)]
    voxel = int(places[name][_below(len(places[name]), generator)])
    position = []
    for n in reversed(shape):
        voxel, rest = divmod(voxel, n)
        position.append(rest)
    block = []
    for n, size, side, p in zip(shape, patch, sides, reversed(position), strict=True):
        # Anywhere in the middle half of the patch, so that the warp does not push it out.
        centre = p + _below(size // 2, generator) - size // 4
        # A patch that hangs over the border would show less of the case.
        centre = min(max(centre, size // 2), n - size + size // 2) if n >= size else n // 2
        block.append((centre - side // 2, centre - side // 2 + side))
    return block


def cut(case: Tensor, block: Sequence[Range]) -> Tensor:
    """Cut a block out of ``(..., *grid)``; 0 beyond it."""
    inside = within(block, case.shape[case.ndim - len(block) :])
    where: tuple[Any, ...] = (..., *(slice(*rows) for rows in inside))
    return widened(case[where], inside, block)


def _below(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=generator))
