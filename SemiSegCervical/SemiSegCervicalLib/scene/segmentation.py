"""Label arrays into new segmentation nodes, and segments back onto a volume's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ..errors import SemiSegError
from ..pieces import Pieces, whole
from . import marks
from .classes import SegmentClass
from .geometry import copy_geometry, copy_transform, ijk_to_ras
from .pieces import allocated, copy_in_pieces, slabs
from .reading import grid

LABELMAP = "Binary labelmap"
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
    return whole(segmentation_in_pieces(source, labels, classes, name))


def segmentation_in_pieces(
    source: Any, labels: np.ndarray, classes: Sequence[SegmentClass], name: str = "", replace: Any = None
) -> Pieces[Any]:
    """Do what `new_segmentation` does, in pieces.

    Args:
        source: see `new_segmentation`, as the others.
        labels: also a memory map.
        classes: the class list.
        name: of a new node.
        replace: a segmentation node whose segments give way to the result, instead of a new one; where it is removed
            meanwhile there is a new one.
    """
    image = yield from oriented_image_in_pieces(source, checked_shape(labels, grid(source)), classes)
    scene = source.GetScene()
    node = replace
    if node is None or node.GetScene() is not scene:
        node = scene.AddNewNodeByClass(
            "vtkMRMLSegmentationNode", scene.GenerateUniqueName(name or f"{source.GetName()} segmentation")
        )
    replace_segments(node, source, image, classes)
    return node


def replace_segments(node: Any, source: Any, image: Any, classes: Sequence[SegmentClass]) -> None:
    """Let the segments of a segmentation node of the scene give way to those of a result.

    Args:
        node: ``vtkMRMLSegmentationNode``.
        source: the volume that was segmented.
        image: the labels, as `oriented_image` makes them.
        classes: the class list.
    """
    was_modifying = node.StartModify()
    node.GetSegmentation().RemoveAllSegments()
    # The node may have held surfaces, and only what is the source is saved.
    node.GetSegmentation().SetSourceRepresentationName(LABELMAP)
    node.CreateDefaultDisplayNodes()
    copy_transform(source, node)
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), source.GetID())
    fill_segmentation(node, source, image, classes)
    node.EndModify(was_modifying)


def image_of(segmentation: Any) -> Any:
    """Return the volume that a segmentation belongs to, that of its source geometry; None without one."""
    return segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())


def fill_segmentation(node: Any, source: Any, image: Any, classes: Sequence[SegmentClass]) -> None:
    """Give an empty segmentation node its segments, all in one shared layer.

    Args:
        node: ``vtkMRMLSegmentationNode`` without segments, in a scene or not.
        source: the volume whose geometry the labels have.
        image: the labels, as `oriented_image` makes them.
        classes: the class list.
    """
    node.SetReferenceImageGeometryParameterFromVolumeNode(source)
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
        segment.AddRepresentation(LABELMAP, image)
        node.GetSegmentation().AddSegment(segment, f"Segment_{entry.value}")


def oriented_image(source: Any, labels: np.ndarray, classes: Sequence[SegmentClass]) -> Any:
    """Return the bounding box of what is not 0 in a label array as an oriented image on the grid of a volume.

    Args:
        source: volume node that gives the geometry.
        labels: uint8 ``(Z, Y, X)``; where all of it is 0 the image has its size.
        classes: the class list.

    Returns:
        A new ``vtkOrientedImageData``.

    Raises:
        ValueError: a value outside the class list.
    """
    return whole(oriented_image_in_pieces(source, labels, classes))


def oriented_image_in_pieces(source: Any, labels: np.ndarray, classes: Sequence[SegmentClass]) -> Pieces[Any]:
    """Do what `oriented_image` does, in pieces."""
    used = yield from _used_in_pieces(labels, classes)
    box = tuple(slice(0, size) for size in labels.shape)
    if used[0].any():
        box = tuple(slice(int(where[0]), int(where[-1]) + 1) for where in map(np.flatnonzero, used))
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*(bound for part in reversed(box) for bound in (part.start, part.stop - 1)))
    copy_geometry(source, image)
    yield from copy_in_pieces(labels[box], allocated(image))
    return image


def slice_image(volume: Any, labels: np.ndarray, number: int) -> Any:
    """Return one slice of labels, cropped to what is not 0, as an oriented image on the grid of a volume.

    Args:
        volume: volume node that gives the geometry.
        labels: unsigned ``(Y, X)``.
        number: of the slice.
    """
    rows, columns = (np.flatnonzero(labels.any(axis=axis)) for axis in (1, 0))
    low, left = (int(where[0]) if len(where) else 0 for where in (rows, columns))
    high, right = (int(where[-1]) if len(where) else 0 for where in (rows, columns))
    image = slicer.vtkOrientedImageData()
    image.SetExtent(left, right, low, high, number, number)
    copy_geometry(volume, image)
    np.copyto(allocated(image, labels.dtype)[0], labels[low : high + 1, left : right + 1])
    return image


def checked_shape(labels: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return labels as ``(Z, Y, X)`` after making sure that they are of the size and type that was promised.

    Raises:
        ValueError: another size or type.
    """
    labels = labels[None] if labels.ndim == 2 else labels
    if labels.dtype != np.uint8 or labels.shape != shape:
        raise ValueError(f"labels must be uint8 {shape}, not {labels.dtype} {labels.shape}")
    return labels


def check_values(labels: np.ndarray, classes: Sequence[SegmentClass], highest: int | None = None) -> None:
    """Make sure that labels hold no other values than 0 and those of the classes.

    Args:
        labels: uint8, not empty.
        classes: the class list.
        highest: their highest value, where it is known.

    Raises:
        ValueError: naming the others.
    """
    allowed = {0, *(entry.value for entry in classes)}
    # The highest value alone settles the usual case much faster than looking at every one.
    if (int(labels.max()) if highest is None else highest) >= len(allowed) or allowed != set(range(len(allowed))):
        wrong = sorted({int(value) for value in np.unique(labels)} - allowed)
        if wrong:
            raise ValueError(f"label values outside the class list: {wrong}")


def segment_mask(
    segmentation: Any, segment_id: str, volume: Any, planes: tuple[int, int] | None = None
) -> SegmentMask | None:
    """Read one segment on the grid of a volume; neither node is changed.

    On the volume's own grid the segment is copied exactly; on another one, or under another parent transform,
    the nearest voxel counts.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        segment_id: one of its segments.
        volume: the volume node whose grid is meant.
        planes: first slice, and the one after the last, to look at; by default all of the grid.

    Returns:
        The mask within its box, None where the segment has no voxel on these slices of the grid.

    Raises:
        SemiSegError: the segment is stored as a surface, not as a label map.
    """
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation(LABELMAP)
    if image is None:
        if not segmentation.GetSegmentation().ContainsRepresentation(LABELMAP):
            raise no_labelmap(segmentation)
        return None
    if image.IsEmpty() or image.GetPointData().GetScalars() is None:
        return None
    z, y, x = grid(volume)
    wanted = ((0, z) if planes is None else planes, (0, y), (0, x))
    offset = _lattice_offset(segmentation, image, volume)
    if offset is None:
        image, offset = _resampled(segmentation, image, volume, wanted[0]), (0, 0, 0)
        resampled = True
    else:
        resampled = False
    extent = image.GetExtent()
    x, y, z = image.GetDimensions()
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z, y, x)
    target, inner = [], []
    for axis in range(3):
        start = extent[2 * (2 - axis)] + offset[2 - axis]
        low, high = max(start, wanted[axis][0]), min(start + values.shape[axis], wanted[axis][1])
        if low >= high:
            return None
        target.append(slice(low, high))
        inner.append(slice(low - start, high - start))
    mask = values[tuple(inner)] == segment.GetLabelValue()
    if not mask.any():
        return None
    return SegmentMask((target[0], target[1], target[2]), mask, resampled)


def no_labelmap(segmentation: Any) -> SemiSegError:
    """Return the error that a segmentation is made of surfaces."""
    return SemiSegError(
        "no-labelmap",
        f'"{segmentation.GetName()}" holds surfaces, not label maps',
        "Make the binary labelmap its source representation in the Segmentations module",
        "scene",
    )


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
    return whole(label_array_in_pieces(segmentation, values, volume))


def label_array_in_pieces(segmentation: Any, values: Mapping[str, int], volume: Any) -> Pieces[np.ndarray]:
    """Do what `label_array` does, in pieces."""
    labels = np.zeros(grid(volume), dtype=np.uint8)
    for planes in slabs(labels):
        for segment_id, value in values.items():
            found = segment_mask(segmentation, segment_id, volume, (planes.start, planes.stop))
            if found is not None:
                labels[found.box][found.mask] = value
            yield
    return labels


def stacked_segments_in_pieces(segmentation: Any, volume: Any) -> Pieces[np.ndarray]:
    """Read all segments of a node on the grid of a volume, also where they overlap.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        volume: the volume node whose grid is meant.

    Returns:
        ``(Z, Y, X)``, unsigned, k where the k-th segment is; where segments overlap bool ``(Z, Y, X, K)`` instead.

    Raises:
        SemiSegError: see `segment_mask`.
    """
    ids = [segment_id for segment_id, _ in marks.segments_of(segmentation)]
    labels = np.zeros(grid(volume), dtype=np.min_scalar_type(len(ids)))
    for planes in slabs(labels):
        for k, segment_id in enumerate(ids):
            part = segment_mask(segmentation, segment_id, volume, (planes.start, planes.stop))
            if part is not None and labels[part.box][part.mask].any():
                return (yield from _overlapping_in_pieces(segmentation, ids, volume))
            if part is not None:
                labels[part.box][part.mask] = k + 1
            yield
    return labels


def _overlapping_in_pieces(segmentation: Any, ids: Sequence[str], volume: Any) -> Pieces[np.ndarray]:
    stacked = np.zeros((*grid(volume), len(ids)), dtype=bool)
    for planes in slabs(stacked):
        for k, segment_id in enumerate(ids):
            part = segment_mask(segmentation, segment_id, volume, (planes.start, planes.stop))
            if part is not None:
                stacked[(*part.box, k)] = part.mask
            yield
    return stacked


def _used_in_pieces(labels: np.ndarray, classes: Sequence[SegmentClass]) -> Pieces[tuple[np.ndarray, ...]]:
    """Return for each axis, bool, which of its positions hold anything but 0; the values are checked on the way."""
    planes = np.zeros(labels.shape[0], dtype=bool)
    shadow = np.zeros(labels.shape[1:], dtype=np.uint8)
    for slab in slabs(labels):
        part = labels[slab]
        planes[slab] = part.reshape(len(part), -1).max(axis=1) > 0
        highest = part.max(axis=0)
        np.maximum(shadow, highest, out=shadow)
        check_values(part, classes, int(highest.max()))
        yield
    return planes, shadow.max(axis=1) > 0, shadow.max(axis=0) > 0


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


def _resampled(segmentation: Any, image: Any, volume: Any, planes: tuple[int, int]) -> Any:
    """Return a label map brought onto slices of a volume's grid, nearest voxel, through the parent transforms."""
    reference = slicer.vtkOrientedImageData()
    _, y, x = grid(volume)
    reference.SetExtent(0, x - 1, 0, y - 1, planes[0], planes[1] - 1)
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
