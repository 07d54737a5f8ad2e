"""Images of the scene as arrays: volumes, single pictures, colour, stacks whose slices are frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from vtk.util.numpy_support import vtk_to_numpy

from ..errors import SemiSegError

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


def grid(volume: Any) -> tuple[int, int, int]:
    """Return a volume's size in array order, ``(Z, Y, X)``.

    Raises:
        SemiSegError: the volume holds no voxels.
    """
    image = volume.GetImageData() if volume is not None else None
    if image is None or min(image.GetDimensions()) < 1 or image.GetPointData().GetScalars() is None:
        name = volume.GetName() if volume is not None else ""
        raise SemiSegError(
            "empty-volume",
            f'"{name}" holds no image' if name else "No image was given",
            "Choose a volume that is loaded",
            "reading",
        )
    x, y, z = image.GetDimensions()
    return (z, y, x)


def is_color(volume: Any) -> bool:
    """Return whether a volume has colour voxels (three components, or four with alpha)."""
    image = volume.GetImageData()
    return image is not None and image.GetNumberOfScalarComponents() in (3, 4)


def voxels_of(volume: Any) -> np.ndarray:
    """Return a view of a volume's voxels, ``(Z, Y, X)``, with a last axis where each holds several numbers.

    Of any class: extensions have some of their own, such as streamed ultrasound, which Slicer's own function refuses.
    """
    scalars = volume.GetImageData().GetPointData().GetScalars()
    count = scalars.GetNumberOfComponents()
    voxels: np.ndarray = vtk_to_numpy(scalars).reshape(*grid(volume), *((count,) if count > 1 else ()))
    return voxels


def grey(volume: Any, planes: slice = slice(None)) -> np.ndarray:
    """Return a volume's intensities as a float32 copy ``(Z, Y, X)``; colour becomes luma, alpha is ignored.

    Args:
        volume: the volume node.
        planes: these slices only (first array axis).

    Raises:
        SemiSegError: the volume is empty, or its voxels are neither grey nor colour.
    """
    grid(volume)
    voxels = voxels_of(volume)
    if voxels.ndim == 3:
        return np.array(voxels[planes], dtype=np.float32)
    if voxels.ndim == 4 and voxels.shape[-1] in (3, 4):
        return luma(voxels[planes])
    raise SemiSegError(
        "bad-components",
        f'The voxels of "{volume.GetName()}" are neither grey nor colour (shape {voxels.shape})',
        "Choose a scalar or an RGB volume",
        "reading",
    )


def luma(voxels: np.ndarray) -> np.ndarray:
    """Return colour voxels ``(..., 3)`` or, with alpha, ``(..., 4)`` as grey ones, float32 ``(...)``."""
    return voxels[..., :3].astype(np.float32) @ _LUMA
