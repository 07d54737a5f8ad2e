"""Arrays into images a little at a time, so that a large result does not hold up the application.

A function that ends in ``_in_pieces`` is a generator: what stands between two ``yield`` takes a few milliseconds, and
what it returns is the result (``node = yield from ...``). Nothing is in the scene before its end: one that is closed
on the way leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

T = TypeVar("T")
Pieces = Generator[None, None, T]
PIECE_BYTES = 4 << 20


def whole(pieces: Pieces[T]) -> T:
    """Do all of it at once, and return its result."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            result: T = end.value
            return result


def slabs(array: np.ndarray) -> Iterator[slice]:
    """Cut an array along its first axis into slabs of at most `PIECE_BYTES`, though of one plane at least."""
    planes = max(1, PIECE_BYTES // max(1, array[:1].nbytes))
    for first in range(0, len(array), planes):
        yield slice(first, min(first + planes, len(array)))


def allocated(image: Any) -> np.ndarray:
    """Give an image uint8 voxels, their values not yet set.

    Args:
        image: ``vtkImageData`` whose extent is set.

    Returns:
        A view of the voxels, ``(Z, Y, X)``.
    """
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    scalars = image.GetPointData().GetScalars()
    scalars.SetName("ImageScalars")
    x, y, z = image.GetDimensions()
    view: np.ndarray = vtk_to_numpy(scalars).reshape(z, y, x)
    return view


def copy_in_pieces(values: np.ndarray, target: np.ndarray) -> Pieces[None]:
    """Copy one array into another of its shape."""
    for slab in slabs(values):
        np.copyto(target[slab], values[slab])
        yield
