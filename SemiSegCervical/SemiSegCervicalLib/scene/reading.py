"""Images of the scene as arrays: volumes, single pictures, colour, stacks whose slices are frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from ..errors import SemiSegError
from .geometry import Calibration, array_spacing, calibration, ijk_to_ras

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class SceneImage:
    """One image of the scene on its own grid.

    Attributes:
        array: float32 ``(M, Y, X)`` for a single slice or frame, ``(M, Z, Y, X)`` for a volume; M is 1.
        spacing: voxel size in mm, ``(y, x)`` or ``(z, y, x)``; None where the source is known to be
            uncalibrated.
        affine: IJK-to-RAS matrix, float64 ``(4, 4)``.
        from_rgb: the source is a colour image and was turned into grey (luma, ITU-R BT.601).
        calibrated: "yes", "no" or "unknown" (`geometry.calibration`).
    """

    array: np.ndarray
    spacing: tuple[float, ...] | None
    affine: np.ndarray
    from_rgb: bool
    calibrated: Calibration


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


def grey(volume: Any, planes: slice = slice(None)) -> np.ndarray:
    """Return a volume's intensities as a float32 copy ``(Z, Y, X)``; colour becomes luma, alpha is ignored.

    Args:
        volume: the volume node.
        planes: these slices only (first array axis).

    Raises:
        SemiSegError: the volume is empty, or its voxels are neither grey nor colour.
    """
    grid(volume)
    voxels = slicer.util.arrayFromVolume(volume)
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


def read_volume(volume: Any, sequence: Any = None) -> SceneImage:
    """Read a volume node; its voxels are copied, the node stays as it is.

    Args:
        volume: ``vtkMRMLScalarVolumeNode`` or ``vtkMRMLVectorVolumeNode``, also an item of a sequence.
        sequence: the sequence that it is an item of, which may know more about its calibration.

    Returns:
        The image, two-dimensional when the volume has one slice.

    Raises:
        SemiSegError: see `grey`.
    """
    voxels = grey(volume)
    flat = voxels.shape[0] == 1
    calibrated = calibration(volume, sequence)
    spacing = array_spacing(volume)[1 if flat else 0 :]
    return SceneImage(
        array=voxels if flat else voxels[None],
        spacing=None if calibrated == "no" else spacing,
        affine=ijk_to_ras(volume),
        from_rgb=is_color(volume),
        calibrated=calibrated,
    )
