"""Arrays into images a little at a time, so that a large result does not hold up the application.

Nothing is in the scene before the end of such a function: one that is closed on the way leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

from ..pieces import Pieces

PIECE_BYTES = 4 << 20


def slabs(array: np.ndarray) -> Iterator[slice]:
    """Cut an array along its first axis into slabs of at most `PIECE_BYTES`, though of one plane at least."""
    planes = max(1, PIECE_BYTES // max(1, array[:1].nbytes))
    for first in range(0, len(array), planes):
        yield slice(first, min(first + planes, len(array)))


def allocated(image: Any, dtype: np.dtype | type = np.uint8) -> np.ndarray:
    """Give an image voxels, their values not yet set.

    Args:
        image: ``vtkImageData`` whose extent is set.
        dtype: of the voxels.

    Returns:
        A view of the voxels, ``(Z, Y, X)``.
    """
    image.AllocateScalars(get_vtk_array_type(dtype), 1)
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
