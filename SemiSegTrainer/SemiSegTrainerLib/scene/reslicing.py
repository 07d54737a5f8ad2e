"""The voxels of a case's images on one grid: as they are stored where they lie on it, else brought over to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from SemiSegCervicalLib.scene.geometry import ijk_to_ras
from SemiSegCervicalLib.scene.reading import grey, grid, is_color, luma, voxels_of
from vtk.util.numpy_support import vtk_to_numpy

_SAME_VOXEL = 0.01
"""Voxels by which two grids may differ and still be the same one."""


def planes_of(volume: Any, first: int, last: int) -> np.ndarray:
    """Return planes of a volume ``(planes, Y, X)``: its numbers as they are stored, colour as grey.

    Raises:
        SemiSegError: it holds no image, or not any more.
    """
    grid(volume)
    if volume.GetImageData().GetNumberOfScalarComponents() != 1:
        return grey(volume, slice(first, last))
    return voxels_of(volume)[first:last]


def same_grid(volume: Any, other: Any) -> bool:
    """Return whether two volumes have the same voxels in the same places; of single pictures, as many."""
    if grid(volume) != grid(other):
        return False
    if grid(volume)[0] == 1:
        return True
    if volume.GetParentTransformNode() is not other.GetParentTransformNode():
        return False
    corners = np.array([[x, y, z, 1.0] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * [*grid(volume)[::-1], 1]
    there = np.linalg.solve(ijk_to_ras(other), ijk_to_ras(volume) @ corners.T).T
    return bool(np.abs(there - corners).max() <= _SAME_VOXEL)


def resliced_planes(volume: Any, reference: Any, first: int, last: int) -> np.ndarray:
    """Return an image on planes of another one's grid, ``(planes, Y, X)``, interpolated linearly.

    Parent transforms are applied; voxels beyond the image have its lowest value.

    Args:
        volume: the image.
        reference: the volume whose grid is meant.
        first: plane of the reference's last axis (k).
        last: the one after the last plane.
    """
    _, y, x = grid(reference)
    there = vtk.vtkGeneralTransform()
    there.PostMultiply()
    matrix = vtk.vtkMatrix4x4()
    reference.GetIJKToRASMatrix(matrix)
    there.Concatenate(matrix)
    between = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        reference.GetParentTransformNode(), volume.GetParentTransformNode(), between
    )
    there.Concatenate(between)
    back = vtk.vtkMatrix4x4()
    volume.GetRASToIJKMatrix(back)
    there.Concatenate(back)
    image = volume.GetImageData()
    cut = vtk.vtkImageReslice()
    cut.SetInputData(image)
    cut.SetResliceTransform(there)
    cut.SetOutputSpacing(1, 1, 1)
    cut.SetOutputOrigin(0, 0, 0)
    cut.SetOutputExtent(0, x - 1, 0, y - 1, first, last - 1)
    cut.SetInterpolationModeToLinear()
    cut.SetBackgroundLevel(image.GetScalarRange()[0])
    cut.Update()
    values = vtk_to_numpy(cut.GetOutput().GetPointData().GetScalars())
    if is_color(volume):
        return luma(values.reshape(last - first, y, x, -1))
    return values.reshape(last - first, y, x)
