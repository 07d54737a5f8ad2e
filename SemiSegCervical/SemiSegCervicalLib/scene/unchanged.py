"""What is read in pieces must not change in between: half of it would be of before, half of after."""

from __future__ import annotations

from typing import Any, TypeVar

from ..errors import SemiSegError
from ..pieces import Shares, checked
from . import marks
from .cine import item_at
from .segmentation import LABELMAP

T = TypeVar("T")


def unchanged(node: Any, steps: Shares[T]) -> Shares[T]:
    """Take steps that read a node, and give up where somebody changes its voxels in between.

    Raises:
        SemiSegError: somebody did.
    """
    before = _stamp(node)

    def check() -> None:
        if _stamp(node) != before:
            raise _changed(node)

    return (yield from checked(steps, check))


def frame_at(sequence: Any, value: str) -> Any:
    """Return what a sequence had at an index value when writing began.

    Raises:
        SemiSegError: it was removed meanwhile.
    """
    item = item_at(sequence, value)
    if item is None:
        raise _changed(sequence)
    return item


def _stamp(node: Any) -> list[tuple[Any, ...]]:
    """Return what changes with the voxels of a volume or a segmentation."""
    if not node.IsA("vtkMRMLSegmentationNode"):
        image = node.GetImageData()
        return [(image, image.GetMTime() if image is not None else 0)]
    found = []
    for segment_id, segment in marks.segments_of(node):
        image = segment.GetRepresentation(LABELMAP)
        found.append((segment_id, segment.GetLabelValue(), image, image.GetMTime() if image is not None else 0))
    return found


def _changed(node: Any) -> SemiSegError:
    """Return the error that a node was changed while it was written."""
    return SemiSegError(
        "changed", f'"{node.GetName()}" was changed while it was saved, and nothing is written', "Save it again",
        "export",
    )  # fmt: skip
