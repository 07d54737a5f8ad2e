"""The network's grid of an image that is covered by windows: turned to a fixed orientation, resampled, and back.

Turning is a permutation and flips of array axes, so it is exact. Resampling is separable and linear, with a triangle as
wide as the coarser voxel (antialiasing), and can be asked for any block of rows: neither the resampled image nor the
resampled result has to exist as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import SemiSegError
from .image import Image
from .intensity import Standards, limit
from .schema import InputSpec

# Patient axes (R, A, S) towards which the array axes z, y, x of the network's grid run: superior, posterior, left.
_AXES = (2, 1, 0)
_SIGNS = (1.0, -1.0, -1.0)

# Of a resampled image; 32 GiB. A whole body at half a millimetre has a third of it.
_VOXELS_MOST = 2**33
# And of its longest side, where it was longer: there is nothing left to see.
_SIDE_LEAST = 8

Range = tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """How a source grid and a network grid belong together.

    Attributes:
        source: shape of the source.
        axes: axis a of the turned array is axis ``axes[a]`` of the source.
        flips: whether axis a of the turned array runs against the source.
        shape: shape of the network's grid, turned and resampled.
    """

    source: tuple[int, ...]
    axes: tuple[int, ...]
    flips: tuple[bool, ...]
    shape: tuple[int, ...]

    @property
    def turned(self) -> tuple[int, ...]:
        """Shape of the source once it is turned."""
        return tuple(self.source[a] for a in self.axes)

    def turn(self, array: np.ndarray) -> np.ndarray:
        """Return a view of an array ``(..., *source)`` in the network's orientation; writing to it writes through."""
        lead = array.ndim - len(self.source)
        view = array.transpose(*range(lead), *(lead + a for a in self.axes))
        return view[(..., *(slice(None, None, -1 if flip else None) for flip in self.flips))]


def plan_grid(image: Image, spec: InputSpec) -> Grid:
    """Lay the network's grid over an image.

    The resampled size is the nearest whole number of voxels of the pack's spacing. Without a spacing on either side the
    source's own voxels are kept.

    Args:
        image: the case; of as many dimensions as the pack reads.
        spec: the pack's input spec.

    Raises:
        SemiSegError: the image would become absurdly large or small, as one does whose spacing is in another unit.
    """
    dims = len(image.spatial_shape)
    axes, flips = closest_axes(image.affine) if dims == 3 else (tuple(range(dims)), (False,) * dims)
    turned = tuple(image.spatial_shape[a] for a in axes)
    shape = turned
    if spec.spacing is not None and image.spacing is not None:
        spacing = [image.spacing[a] for a in axes]
        shape = tuple(max(1, round(n * s / t)) for n, s, t in zip(turned, spacing, spec.spacing, strict=True))
        if math.prod(shape) > max(_VOXELS_MOST, math.prod(turned)) or max(shape) < _SIDE_LEAST <= max(turned):
            own, wanted, counts = (" x ".join(f"{n:g}" for n in numbers) for numbers in (spacing, spec.spacing, shape))
            raise SemiSegError(
                "absurd-spacing", f"Its voxels are {own} mm large; on the model's, {wanted} mm, it would have {counts}",
                "Correct its spacing, which has to be in mm (in a datalist: spacing)", "reading",
            )  # fmt: skip
    return Grid(image.spatial_shape, axes, flips, shape)


def closest_axes(affine: np.ndarray) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return the permutation and flips that turn an array ``(k, j, i)`` closest to superior, posterior, left.

    Args:
        affine: 4x4 IJK-to-RAS matrix.
    """
    cosines = np.asarray(affine)[:3, :3] / np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    by_axis = cosines[:, ::-1]  # column a: direction of array axis a
    axes, flips = [0, 0, 0], [False, False, False]
    left = np.abs(by_axis)
    # The clearest axis first, so that a volume tilted by 45 degrees still gets three different ones.
    for _ in range(3):
        patient, axis = np.unravel_index(int(np.argmax(left)), left.shape)
        target = _AXES.index(int(patient))
        axes[target] = int(axis)
        flips[target] = bool(by_axis[patient, axis] * _SIGNS[target] < 0)
        left[patient, :] = left[:, axis] = -1.0
    return tuple(axes), tuple(flips)


class NetworkView:
    """A source image as the network sees it, standardised and resampled block by block."""

    def __init__(self, image: Image, grid: Grid, spec: InputSpec) -> None:
        """Measure the image's mean and spread; nothing is copied.

        Args:
            image: the case.
            grid: from `plan_grid`.
            spec: the pack's input spec.
        """
        self.grid = grid
        self.array = grid.turn(image.array)
        self.standards = Standards(image.array, spec)

    def read(self, block: Sequence[Range]) -> Tensor:
        """Return float32 ``(M, *block)``; 0, the mean, where a block reaches beyond the grid."""
        inside = within(block, self.grid.shape)
        if any(a >= b for a, b in inside):
            return torch.zeros(len(self.array), *(b - a for a, b in block))
        weights = [
            interpolation(n, m, rows) for n, m, rows in zip(self.grid.turned, self.grid.shape, inside, strict=True)
        ]
        part = self.array[(slice(None), *(slice(first, last) for _, (first, last) in weights))]
        if min(part.strides) < 0:
            part = part.copy()  # to NumPy one row that runs backwards is contiguous, and PyTorch takes none
        tensor = limit(torch.from_numpy(np.ascontiguousarray(part)), self.standards.spec)
        for axis, (matrix, _) in enumerate(weights, start=1):
            tensor = along(tensor, matrix, axis)
        return widened(self.standards.apply(tensor), inside, block)

    def whole(self) -> Tensor:
        """Return the whole image on the network's grid, float32 ``(M, *grid.shape)``, contiguous."""
        # Where an axis was resampled and the last one was not, the axes lie in another order in memory.
        return self.read([(0, n) for n in self.grid.shape]).contiguous()


def within(block: Sequence[Range], shape: Sequence[int]) -> list[Range]:
    """Return the part of a block that lies on a grid; a range of it is empty or turned where nothing does."""
    return [(max(0, a), min(n, b)) for (a, b), n in zip(block, shape, strict=True)]


def widened(part: Tensor, inside: Sequence[Range], block: Sequence[Range]) -> Tensor:
    """Return a whole block ``(..., *block)`` of which only a part ``(..., *inside)`` is there; the rest is 0."""
    margins = [m for (a, b), (c, d) in zip(reversed(block), reversed(inside), strict=True) for m in (c - a, b - d)]
    return torch.nn.functional.pad(part, margins) if any(margins) else part


def labels_to_grid(possible: np.ndarray, grid: Grid, nothing: int) -> Tensor:
    """Bring a map of class sets onto the network's grid, so that no new set can appear and no annotation is lost.

    Args:
        possible: int ``(*source)``, a bit mask per voxel.
        grid: from `plan_grid`.
        nothing: the mask that says nothing (every class).

    Returns:
        int32 ``(*grid.shape)``.
    """
    return nearest_sets(np.ascontiguousarray(grid.turn(possible)).astype(np.int32), grid.shape, nothing)


def nearest_sets(possible: np.ndarray, shape: Sequence[int], nothing: int) -> Tensor:
    """Resample class sets: the nearest voxel's, or where that one says nothing the nearest within the new voxel.

    Taking every other slice of a volume in which every other slice is annotated would keep all or none of it, and a
    thin stroke would fall between the samples: so voxels that say something go before those that do not.

    Args:
        possible: int32 ``(*old)``.
        shape: the new shape.
        nothing: the mask that says nothing.

    Returns:
        int32 ``(*shape)``.
    """
    sets = torch.from_numpy(np.ascontiguousarray(possible))
    for axis, m in enumerate(shape):
        n = sets.shape[axis]
        centres = (torch.arange(m, dtype=torch.float64) + 0.5) * n / m
        nearest = centres.floor().long().clamp_(max=n - 1)
        result = sets.index_select(axis, nearest)
        reach = math.ceil(n / m / 2)
        for offset in (o * sign for o in range(1, reach + 1) for sign in (-1, 1)):
            candidate = nearest + offset
            # Its centre lies within the new voxel.
            covered = ((candidate + 0.5 - centres).abs() <= n / m / 2) & (candidate >= 0) & (candidate < n)
            if not bool(covered.any()):
                continue
            other = sets.index_select(axis, candidate.clamp(0, n - 1))
            column = covered.view(*(-1 if a == axis else 1 for a in range(sets.ndim)))
            result = torch.where((result == nothing) & column, other, result)
        sets = result
    return sets


def interpolation(n: int, m: int, rows: Range) -> tuple[Tensor | None, Range]:
    """Return the weights that make rows of a grid of m voxels from one of n voxels over the same extent.

    Args:
        n: voxels of the old grid.
        m: voxels of the new one.
        rows: which of the new ones, ``(first, last + 1)``.

    Returns:
        ``(new rows, old rows)`` float32, None where the grids are equal, and the range of old rows that it reads.
    """
    if n == m:
        return None, rows
    first, last = reach(n, m, rows)
    scale = n / m
    width = max(1.0, scale)
    centres = (torch.arange(*rows, dtype=torch.float64) + 0.5) * scale - 0.5
    distance = (torch.arange(first, last, dtype=torch.float64)[None] - centres[:, None]).abs()
    # Beyond the border the edge voxel goes on: a centre out there takes all from it.
    clamped = (torch.arange(first, last, dtype=torch.float64)[None] - centres.clamp(0, n - 1)[:, None]).abs()
    weights = (1 - torch.minimum(distance, clamped) / width).clamp_min(0)
    return (weights / weights.sum(dim=1, keepdim=True)).float(), (first, last)


def reach(n: int, m: int, rows: Range) -> Range:
    """Return the old rows that `interpolation` reads; its arguments."""
    if n == m:
        return rows
    scale = n / m
    width = max(1.0, scale)
    first, last = ((row + 0.5) * scale - 0.5 for row in (rows[0], rows[1] - 1))
    return min(max(0, math.floor(first - width) + 1), n - 1), max(min(n, math.ceil(last + width)), 1)


def along(tensor: Tensor, matrix: Tensor | None, axis: int) -> Tensor:
    """Multiply one axis of a tensor by a matrix ``(new, old)``; None leaves it as it is."""
    if matrix is None:
        return tensor
    return torch.tensordot(tensor, matrix.to(tensor.device), dims=([axis], [1])).movedim(-1, axis)
