"""What was read from voxels is remembered until they change: a scene is read again after every edit of a part of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

from SemiSegCervicalLib.scene.geometry import ijk_to_ras
from SemiSegCervicalLib.scene.marks import segments_of
from SemiSegCervicalLib.scene.reading import grid

T = TypeVar("T")


class Memory(Generic[T]):
    """Results by what they were made of; the one not asked for the longest is forgotten first."""

    def __init__(self, size: int = 4096) -> None:
        """Remember nothing yet, and never more than `size` results."""
        self._size = size
        self._known: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable) -> T | None:
        """Return a result, None where it is not known."""
        if key in self._known:
            self._known.move_to_end(key)
        return self._known.get(key)

    def put(self, key: Hashable, value: T) -> T:
        """Remember a result, and return it."""
        self._known[key] = value
        self._known.move_to_end(key)
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        return value


def paint_stamp(segmentation: Any, volume: Any, segment_id: str | None = None) -> Hashable:
    """Return a value that is another one after any change of the voxels of segments or of where they lie.

    VTK counts its modification times for all objects together, so that equal times mean the same voxels.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        volume: the image on whose grid the segments are read.
        segment_id: this segment only; all by default.
    """
    parts = []
    for other_id, segment in segments_of(segmentation):
        if segment_id in (None, other_id):
            image = segment.GetRepresentation("Binary labelmap")
            parts.append((other_id, segment.GetLabelValue(), image.GetMTime() if image is not None else 0))
    transforms = [node.GetParentTransformNode() for node in (segmentation, volume)]
    # The node's own time stays as it is when its matrix changes, or that of a transform above it.
    moved = tuple((node.GetID(), node.GetTransformToWorldMTime()) if node is not None else None for node in transforms)
    return tuple(parts), moved, grid(volume), ijk_to_ras(volume).tobytes()


def image_stamp(volume: Any) -> Hashable:
    """Return a value that is another one after any change of an image's voxels."""
    return grid(volume), volume.GetImageData().GetMTime()
