"""To a frame, and which frames are worth going to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .cine import browser_of
from .geometry import across_slices, ijk_to_ras, in_world
from .nodes import nodes_of
from .records import Frame, Record

_PARALLEL = 0.99
_UNCERTAIN_SHARE = 0.1


def go_to_frame(record: Record, number: int) -> bool:
    """Show one frame of a result in the views; see `show_frame`.

    Args:
        record: a result with frames.
        number: of the frame in the source, from 0.

    Returns:
        Whether there is such a frame.
    """
    return record.source is not None and show_frame(record.source, number)


def show_frame(source: Any, number: int) -> bool:
    """Show one frame or slice in the views: of a cine by its browser, of a volume by moving the slices.

    Views that look along another axis of a volume stay where they are, and so does what they show.

    Args:
        source: an image sequence, or a volume.
        number: of the frame, or of the slice along the last axis (k), from 0.

    Returns:
        Whether there is such a frame, and something that shows it.
    """
    if number < 0:
        return False
    if source.IsA("vtkMRMLSequenceNode"):
        browser = browser_of(source)
        if browser is None or number >= source.GetNumberOfDataNodes():
            return False
        # By index value: the browser may be led by another sequence than ours.
        value = source.GetNthIndexValue(number)
        item = browser.GetMasterSequenceNode().GetItemNumberFromIndexValue(value, True)
        if item >= 0:
            browser.SetSelectedItemNumber(item)
        return bool(item >= 0)
    columns, rows, slices = source.GetImageData().GetDimensions()
    if number >= slices:
        return False
    matrix = ijk_to_ras(source)
    middle = matrix @ [(columns - 1) / 2, (rows - 1) / 2, number, 1]
    for view in nodes_of(source.GetScene(), "vtkMRMLSliceNode"):
        if shows_slices(view, source):
            view.JumpSliceByOffsetting(*in_world(source, middle[:3]))
    return True


def shows_slices(view: Any, volume: Any) -> bool:
    """Return whether a slice view lies in the plane of a volume's slices, where its parent transform puts them."""
    to_ras = view.GetSliceToRAS()
    return abs(across_slices(volume) @ [to_ras.GetElement(row, 2) for row in range(3)]) > _PARALLEL


def worst_frame(frames: Sequence[Frame]) -> int | None:
    """Return the number of the frame with the highest mean uncertainty, None without any."""
    known = [frame for frame in frames if math.isfinite(frame.mean_uncertainty)]
    return max(known, key=lambda frame: frame.mean_uncertainty).number if known else None


def uncertain_frames(frames: Sequence[Frame]) -> list[int]:
    """Return the numbers of the tenth of the frames with the highest mean uncertainty, one at least, in order."""
    known = sorted(
        (frame for frame in frames if math.isfinite(frame.mean_uncertainty)), key=lambda frame: -frame.mean_uncertainty
    )
    return sorted(frame.number for frame in known[: math.ceil(_UNCERTAIN_SHARE * len(known))])
