"""Where a volume's voxels lie: matrices, spacing, calibration, and handing a geometry on without loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import slicer
import vtk

from ..formats import PICTURES
from . import marks

Calibration = Literal["yes", "no", "unknown"]

_PRINTED = (".jpg", ".jpeg", ".tif", ".tiff")
"""Pictures that say how large they would be printed, which Slicer takes for the size of what they show."""
_SCREENS = (25.4 / 72, 25.4 / 96)
"""Pixels in mm at the two resolutions that programs write into a picture when they know of none."""


def ijk_to_ras(volume: Any) -> np.ndarray:
    """Return a volume's own IJK-to-RAS matrix, float64 ``(4, 4)``, mm; parent transforms are not applied."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def array_spacing(volume: Any) -> tuple[float, float, float]:
    """Return the voxel size in mm in array order, ``(z, y, x)``."""
    x, y, z = volume.GetSpacing()
    return (z, y, x)


def in_world(volume: Any, point: Sequence[float]) -> tuple[float, float, float]:
    """Return where a volume's parent transform puts a point of it, mm."""
    transform = volume.GetParentTransformNode()
    if transform is None:
        return (float(point[0]), float(point[1]), float(point[2]))
    to_world = vtk.vtkGeneralTransform()
    transform.GetTransformToWorld(to_world)
    x, y, z = to_world.TransformPoint([float(value) for value in point])
    return (x, y, z)


def across_slices(volume: Any) -> np.ndarray:
    """Return the direction at a right angle to a volume's slices, a unit vector in world; parents are applied.

    Under a transform that bends, it is that in the middle of the volume.
    """
    matrix = ijk_to_ras(volume)
    middle = [(size - 1) / 2 for size in volume.GetImageData().GetDimensions()]
    start, row, column = (
        np.array(in_world(volume, (matrix @ [middle[0] + i, middle[1] + j, middle[2], 1])[:3]))
        for i, j in ((0, 0), (1, 0), (0, 1))
    )
    across = np.cross(row - start, column - start)
    return across / np.linalg.norm(across)


def copy_geometry(source: Any, target: Any) -> None:
    """Give a volume or an oriented image exactly the geometry of a volume node.

    Spacing, origin and directions are handed on as they are: a matrix would be taken apart and put together again,
    which costs the last digits.

    Args:
        source: ``vtkMRMLVolumeNode``.
        target: ``vtkMRMLVolumeNode`` or ``vtkOrientedImageData``.
    """
    directions = [[0.0] * 3 for _ in range(3)]
    source.GetIJKToRASDirections(directions)
    target.SetSpacing(source.GetSpacing())
    target.SetOrigin(source.GetOrigin())
    if isinstance(target, slicer.vtkOrientedImageData):
        target.SetDirections(directions)
    else:
        target.SetIJKToRASDirections(directions)


def copy_transform(source: Any, target: Any) -> None:
    """Put a new node under the same parent transform as its source, so that it lies on top of it."""
    target.SetAndObserveTransformNodeID(source.GetTransformNodeID())


def calibration(volume: Any, sequence: Any = None) -> Calibration:
    """Say whether a volume's spacing is a size in mm that may be measured with.

    Uncalibrated ultrasound comes in silently with 1 mm voxels, or as a picture with the size at which it would be
    printed. So: the user's own word counts first (`marks.CALIBRATED`); a size for printing is none, also where the
    scene was saved since and no longer tells that it was a picture; any other in-plane spacing than exactly 1 mm was
    written by somebody who knew it; at exactly 1 mm a picture file, a colour image and a DICOM cine are uncalibrated,
    and of anything else nobody can tell.

    Args:
        volume: ``vtkMRMLVolumeNode``; for cine the item or the shown proxy.
        sequence: the sequence that the volume is an item of, if any.

    Returns:
        "yes", "no" or "unknown".
    """
    for node in (volume, sequence):
        said = node.GetAttribute(marks.CALIBRATED) if node is not None else None
        if said in ("yes", "no"):
            return "yes" if said == "yes" else "no"
    storages = [node.GetStorageNode() for node in (volume, sequence) if node is not None]
    # Cloned in the module Data, a volume has its file's name with this word behind it.
    files = [(s.GetFileName() or "").lower().replace(" copy", "") for s in storages if s is not None]
    in_plane = volume.GetSpacing()[:2]
    printed = any(name.endswith(_PRINTED) for name in files)
    if printed or any(np.allclose(in_plane, pixel, rtol=1e-6) for pixel in _SCREENS):
        return "no"
    if in_plane != (1.0, 1.0):
        return "yes"
    if any(name.endswith(PICTURES) for name in files):
        return "no"
    if volume.IsA("vtkMRMLVectorVolumeNode"):
        return "no"
    dicom = any(node is not None and node.GetAttribute("DICOM.instanceUIDs") for node in (volume, sequence))
    return "no" if dicom and sequence is not None else "unknown"


def overlap(first: Any, second: Any) -> bool:
    """Return whether two volumes lie in the same place: what is drawn in one is then seen over the other."""
    bounds = []
    for volume in (first, second):
        found = [0.0] * 6
        volume.GetRASBounds(found)
        bounds.append(found)
    a, b = bounds
    return all(a[axis] <= b[axis + 1] and b[axis] <= a[axis + 1] for axis in (0, 2, 4))
