"""Which results are seen: outlines of several of an image, or of several pictures, would lie over each other.

What is hidden here comes back as soon as it is looked at again; what the user hides or shows by hand stays so.
"""

from __future__ import annotations

from typing import Any

from . import marks
from .corrections import corrected_parts
from .geometry import overlap
from .layers import composites
from .record_figures import is_flat
from .records import Record, find_records
from .removing import holds_own_segments


def show_alone(record: Record, corrected: bool = True) -> None:
    """Show the segments of a result, and hide those of the other results of its image.

    A segmentation that holds a segment of the user's own is never hidden.

    Args:
        record: the result.
        corrected: hide those as well that somebody has worked on.
    """
    shown = record.shown_segmentation
    for other in find_records(record.table.GetScene()):
        segmentation, source = other.shown_segmentation, other.source
        if other == record or segmentation in (None, shown) or source is None or source is not record.source:
            continue
        display = segmentation.GetDisplayNode()
        if display is None or not display.GetVisibility() or holds_own_segments(other):
            continue
        if corrected or not any(corrected_parts(other)):
            display.SetVisibility(False)
            other.table.SetAttribute(marks.BEHIND, "1")
    _show(record)


def hide_other_pictures(record: Record) -> None:
    """Where a view shows the picture or the cine of a result: hide the results of others that no view shows.

    Pictures, of whichever patient, share one coordinate system: what is outlined in one is drawn over all of them.
    """
    image = record.shown_source
    shown = {view.GetBackgroundVolumeID() for view in composites(record.table.GetScene())}
    if image is None or image.GetID() not in shown or not is_flat(record):
        return
    for other in find_records(record.table.GetScene()):
        display, another = _display(other), other.shown_source
        if display is None or another is None or another.GetID() in shown or not is_flat(other):
            continue
        if display.GetVisibility() and overlap(another, image):
            display.SetAttribute(marks.HIDDEN, "1")
            display.SetVisibility(False)


def reveal(record: Record) -> None:
    """Show the segments of a result that is looked at where they were hidden by SemiSeg, and not by the user."""
    display = _display(record)
    if is_behind(record) or (display is not None and display.GetAttribute(marks.HIDDEN)):
        _show(record)
        hide_other_pictures(record)


def is_behind(record: Record) -> bool:
    """Return whether the segments of a result were hidden here, for another result of the image."""
    return record.table.GetAttribute(marks.BEHIND) is not None


def _show(record: Record) -> None:
    display = _display(record)
    record.table.RemoveAttribute(marks.BEHIND)
    if display is not None:
        display.RemoveAttribute(marks.HIDDEN)
        display.SetVisibility(True)


def _display(record: Record) -> Any:
    segmentation = record.shown_segmentation
    return segmentation.GetDisplayNode() if segmentation is not None else None
