"""Which results are seen: outlines of several of an image, or of several pictures, would lie over each other.

What is hidden here comes back as soon as it is looked at again; what the user hides or shows by hand stays so.
"""

from __future__ import annotations

from typing import Any

from . import marks
from .corrections import corrected_parts
from .geometry import overlap
from .hierarchy import patient_of
from .navigation import shown_volumes
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


def follow_views(scene: Any, image: Any = None, looked_at: Record | None = None) -> None:
    """Show the results of images where a view shows theirs, and hide those that would lie over another one.

    Pictures, of whichever patient, share one coordinate system, and anonymous volumes often do, too: what is outlined
    in one is drawn over all of them. Those of volumes that the subject hierarchy knows to be of one patient stay. What
    somebody has shown again over the same image stays as well.

    Args:
        scene: the scene.
        image: what is about to be segmented; others count once they have results, for before that they may be of the
            same patient.
        looked_at: the result that the panel speaks of; it comes back also where no view shows its image.
    """
    found = [(record, record.shown_source) for record in find_records(scene)]
    shown = shown_volumes(scene)
    known = [volume for volume in shown if volume is image or any(volume is source for _, source in found)]
    for record, source in found:
        display = _display(record)
        if display is None or source is None:
            continue
        hidden = display.GetAttribute(marks.HIDDEN)
        over = [volume.GetID() for volume in known if _confused(record, volume)] if source not in shown else []
        if over and display.GetVisibility() and hidden not in over:
            display.SetAttribute(marks.HIDDEN, over[0])
            display.SetVisibility(False)
        elif hidden and not over and not is_behind(record) and (source in shown or record == looked_at):
            _show(record)


def lies_over_another(record: Record) -> bool:
    """Return whether no view shows the image of a result, and one shows another's in its place."""
    image, shown = record.shown_source, shown_volumes(record.table.GetScene())
    return image is not None and image not in shown and any(_confused(record, volume) for volume in shown)


def _confused(record: Record, volume: Any) -> bool:
    """Return whether the outlines of a result are seen over another image, and may be taken for that one's."""
    image = record.shown_source
    patient = None if is_flat(record) else patient_of([image])
    return overlap(image, volume) and (patient is None or patient != patient_of([volume]))


def reveal(record: Record) -> None:
    """Show the segments of a result that is looked at where they were hidden for another one of its image."""
    if is_behind(record):
        _show(record)


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
