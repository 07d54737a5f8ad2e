"""Label arrays into new segmentation nodes, and segments back onto a volume's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..errors import SemiSegError
from . import marks
from .classes import SegmentClass
from .geometry import copy_geometry, copy_transform, ijk_to_ras
from .reading import grid

_LABELMAP = "Binary labelmap"
_LATTICE_TOLERANCE = 0.01
"""Voxels by which a segment's grid may lie beside its volume's and still be the same grid."""


@dataclass(frozen=True)
class SegmentMask:
    """Where one segment lies on a volume's grid.

    Attributes:
        box: three slices into an array of the volume's shape ``(Z, Y, X)``.
        mask: bool array of the box's shape.
        resampled: the segment was drawn on another grid and brought over to the nearest voxel.
    """

    box: tuple[slice, slice, slice]
    mask: np.ndarray
    resampled: bool


def new_segmentation(source: Any, labels: np.ndarray, classes: Sequence[SegmentClass], name: str = "") -> Any:
    """Put a model's labels into the scene as a new segmentation of the source volume.

    Args:
        source: the volume node that was segmented; it stays as it is.
        labels: uint8 ``(Z, Y, X)``, or ``(Y, X)`` for a single slice, on the source's grid; 0 is background.
        classes: the class list; each becomes a segment, also where it has no voxel.
        name: of the new node; made unique. By default the source's name and "segmentation".

    Returns:
        The new ``vtkMRMLSegmentationNode``, its segments marked as a model's and "not started".

    Raises:
        ValueError: labels of another size or type, or with a value outside the class list.
    """
    labels = checked_labels(labels, grid(source), classes)
    scene = source.GetScene()
    node = scene.AddNewNodeByClass(
        "vtkMRMLSegmentationNode", scene.GenerateUniqueName(name or f"{source.GetName()} segmentation")
    )
    node.CreateDefaultDisplayNodes()
    copy_transform(source, node)
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), source.GetID())
    fill_segmentation(node, source, labels, classes)
    return node


def fill_segmentation(
    node: Any, source: Any, labels: np.ndarray, classes: Sequence[SegmentClass], crop: bool = True
) -> Any:
    """Give an empty segmentation node the segments of a label array, all in one shared layer.

    Args:
        node: ``vtkMRMLSegmentationNode`` without segments, in a scene or not.
        source: the volume whose geometry the labels have.
        labels: uint8 ``(Z, Y, X)``, as `checked_labels` returns it.
        classes: the class list.
        crop: keep the labels' bounding box only.

    Returns:
        The ``vtkOrientedImageData`` that the segments share.
    """
    node.SetReferenceImageGeometryParameterFromVolumeNode(source)
    image = oriented_image(source, labels, crop)
    for entry in classes:
        segment = slicer.vtkSegment()
        segment.SetName(entry.name)
        segment.SetColor(*entry.color)
        segment.SetLabelValue(entry.value)
        if entry.terminology:
            segment.SetTerminology(entry.terminology)
        segment.SetTag(marks.ORIGIN, marks.PREDICTION)
        slicer.vtkSlicerSegmentationsModuleLogic.SetSegmentStatus(
            segment, slicer.vtkSlicerSegmentationsModuleLogic.NotStarted
        )
        segment.AddRepresentation(_LABELMAP, image)
        node.GetSegmentation().AddSegment(segment, f"Segment_{entry.value}")
    return image


def oriented_image(source: Any, labels: np.ndarray, crop: bool = True) -> Any:
    """Return a label array as an oriented image on the grid of a volume.

    Args:
        source: volume node that gives the geometry.
        labels: uint8 ``(Z, Y, X)``.
        crop: keep only the bounding box of what is not 0; an empty array is never cropped.

    Returns:
        A new ``vtkOrientedImageData``.
    """
    box = _bounding_box(labels) if crop else None
    block = labels if box is None else labels[box]
    starts = (0, 0, 0) if box is None else tuple(part.start for part in box)
    image = slicer.vtkOrientedImageData()
    extent = [
        bound
        for start, size in zip(reversed(starts), reversed(block.shape), strict=True)
        for bound in (start, start + size - 1)
    ]
    image.SetExtent(*extent)
    copy_geometry(source, image)
    scalars = numpy_to_vtk(np.ascontiguousarray(block).ravel(), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    return image


def checked_labels(labels: np.ndarray, shape: tuple[int, int, int], classes: Sequence[SegmentClass]) -> np.ndarray:
    """Return labels as ``(Z, Y, X)`` after making sure that they are what the caller promised.

    Raises:
        ValueError: another size or type than promised, or a value outside the class list.
    """
    labels = labels[None] if labels.ndim == 2 else labels
    if labels.dtype != np.uint8 or labels.shape != shape:
        raise ValueError(f"labels must be uint8 {shape}, not {labels.dtype} {labels.shape}")
    allowed = {0, *(entry.value for entry in classes)}
    # The highest value alone settles the usual case much faster than looking at every one.
    if int(labels.max()) >= len(allowed) or allowed != set(range(len(allowed))):
        wrong = sorted({int(value) for value in np.unique(labels)} - allowed)
        if wrong:
            raise ValueError(f"label values outside the class list: {wrong}")
    return labels


def segment_mask(segmentation: Any, segment_id: str, volume: Any) -> SegmentMask | None:
    """Read one segment on the grid of a volume; neither node is changed.

    On the volume's own grid the segment is copied exactly; on another one, or under another parent transform,
    the nearest voxel counts.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        segment_id: one of its segments.
        volume: the volume node whose grid is meant.

    Returns:
        The mask within its box, None where the segment has no voxel on the grid.

    Raises:
        SemiSegError: the segment is stored as a surface, not as a label map.
    """
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation(_LABELMAP)
    if image is None:
        if not segmentation.GetSegmentation().ContainsRepresentation(_LABELMAP):
            raise SemiSegError(
                "no-labelmap",
                f'"{segmentation.GetName()}" holds surfaces, not label maps',
                "Make the binary labelmap its source representation in the Segmentations module",
                "scene",
            )
        return None
    if image.IsEmpty() or image.GetPointData().GetScalars() is None:
        return None
    shape = grid(volume)
    offset = _lattice_offset(segmentation, image, volume)
    if offset is None:
        image, offset = _resampled(segmentation, image, volume), (0, 0, 0)
        resampled = True
    else:
        resampled = False
    extent = image.GetExtent()
    x, y, z = image.GetDimensions()
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z, y, x)
    target, inner = [], []
    for axis in range(3):
        start = extent[2 * (2 - axis)] + offset[2 - axis]
        low, high = max(start, 0), min(start + values.shape[axis], shape[axis])
        if low >= high:
            return None
        target.append(slice(low, high))
        inner.append(slice(low - start, high - start))
    mask = values[tuple(inner)] == segment.GetLabelValue()
    if not mask.any():
        return None
    return SegmentMask((target[0], target[1], target[2]), mask, resampled)


def label_array(segmentation: Any, values: Mapping[str, int], volume: Any) -> np.ndarray:
    """Read segments into one label array on the grid of a volume.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        values: segment id to label value; where segments overlap the later one counts.
        volume: the volume node whose grid is meant.

    Returns:
        uint8 ``(Z, Y, X)``.

    Raises:
        SemiSegError: see `segment_mask`.
    """
    labels = np.zeros(grid(volume), dtype=np.uint8)
    for segment_id, value in values.items():
        found = segment_mask(segmentation, segment_id, volume)
        if found is not None:
            labels[found.box][found.mask] = value
    return labels


def _bounding_box(labels: np.ndarray) -> tuple[slice, slice, slice] | None:
    """Return the box around all voxels that are not 0, None for an empty array."""
    box = []
    for axis in range(3):
        used = np.flatnonzero(labels.any(axis=tuple(other for other in range(3) if other != axis)))
        if used.size == 0:
            return None
        box.append(slice(int(used[0]), int(used[-1]) + 1))
    return (box[0], box[1], box[2])


def _lattice_offset(segmentation: Any, image: Any, volume: Any) -> tuple[int, int, int] | None:
    """Return the whole-voxel shift (x, y, z) from a label map's indices to the volume's, or None."""
    if segmentation.GetParentTransformNode() is not volume.GetParentTransformNode():
        return None
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    world = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    to_volume = np.linalg.solve(ijk_to_ras(volume), world)
    offset = np.rint(to_volume[:3, 3])
    extent = image.GetExtent()
    corners = np.array([[extent[i], extent[2 + j], extent[4 + k], 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    moved = corners @ to_volume[:3].T
    if np.abs(moved - corners[:, :3] - offset).max() > _LATTICE_TOLERANCE:
        return None
    return (int(offset[0]), int(offset[1]), int(offset[2]))


def _resampled(segmentation: Any, image: Any, volume: Any) -> Any:
    """Return a label map brought onto the grid of a volume, nearest voxel, through the parent transforms."""
    reference = slicer.vtkOrientedImageData()
    z, y, x = grid(volume)
    reference.SetExtent(0, x - 1, 0, y - 1, 0, z - 1)
    copy_geometry(volume, reference)
    between = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        segmentation.GetParentTransformNode(), volume.GetParentTransformNode(), between
    )
    moved = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        image, reference, moved, False, False, between
    )
    return moved
