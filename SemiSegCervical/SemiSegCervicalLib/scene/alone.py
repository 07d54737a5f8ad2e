"""Which outlines are seen: those of several results of an image, or of several images, would lie over each other.

What is hidden here comes back as soon as it is looked at again; what the user hides or shows by hand stays so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from . import marks
from .corrections import corrected_parts
from .geometry import overlap
from .hierarchy import patient_of
from .navigation import seen_volumes, shown_volumes
from .nodes import nodes_of
from .records import Record, find_records
from .removing import holds_own_segments
from .segmentation import image_of

_Outline: TypeAlias = "tuple[Any, Any, Record | None]"
"""Display, image beneath and result of a segmentation; see `_outlines`."""


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
        # What is hidden for another image would come back with its own, and lie over the result that is shown.
        if display is None or not (display.GetVisibility() or display.GetAttribute(marks.HIDDEN)):
            continue
        if not holds_own_segments(other) and (corrected or not any(corrected_parts(other))):
            display.RemoveAttribute(marks.HIDDEN)
            display.SetVisibility(False)
            other.table.SetAttribute(marks.BEHIND, "1")
    _show(record)


def follow_views(scene: Any, image: Any = None, looked_at: Record | None = None) -> None:
    """Show the outlines of images where a view shows theirs, and hide those that would lie over another one.

    Pictures, of whichever patient, share one coordinate system, and anonymous volumes often do, too: what is outlined
    in one, by a model or by a person, is drawn over all of them, and may be taken for what was found in the one that is
    looked at. Those of volumes that the subject hierarchy knows to be of one patient stay. What somebody has shown
    again over the same image stays as well, and so does what belongs to no image, or to one that is laid over it.

    Args:
        scene: the scene.
        image: what is about to be segmented; others count once they have results, or for results outlines of their own,
            for before that they may be of the same patient.
        looked_at: the result that the panel speaks of; it comes back also where no view shows its image.
    """
    shown, seen, outlines = shown_volumes(scene), seen_volumes(scene), _outlines(scene)
    _bring_back(seen, outlines)
    with_results = [image, *(record.shown_source for record in find_records(scene))]
    drawn_on = [*with_results, *(source for _, source, _ in outlines)]
    for display, source, record in outlines:
        if source in seen:
            continue
        hidden, known = display.GetAttribute(marks.HIDDEN), with_results if record is None else drawn_on
        over = [volume.GetID() for volume in shown if volume in known and _confused(source, volume)]
        if over and display.GetVisibility() and hidden not in over:
            display.SetAttribute(marks.HIDDEN, over[0])
            display.SetVisibility(False)
        elif hidden and not over and record is not None and record == looked_at and not is_behind(record):
            come_back(display)


def bring_back(scene: Any) -> None:
    """Show what was hidden for another image as soon as a view shows its own, whatever module is open: who then paints
    in it would not see it."""
    _bring_back(seen_volumes(scene), _outlines(scene))


def _bring_back(seen: Sequence[Any], outlines: Sequence[_Outline]) -> None:
    for display, source, record in outlines:
        if display.GetAttribute(marks.HIDDEN) and source in seen and (record is None or not is_behind(record)):
            come_back(display)


def _outlines(scene: Any) -> list[_Outline]:
    """Return the display of each segmentation with the image that is seen beneath it, and the result that it is of."""
    results = {segmentation: r for r in find_records(scene) if (segmentation := r.shown_segmentation) is not None}
    found = []
    for segmentation in nodes_of(scene, "vtkMRMLSegmentationNode"):
        record = results.get(segmentation)
        display = segmentation.GetDisplayNode()
        source = record.shown_source if record is not None else image_of(segmentation)
        if display is not None and source is not None:
            found.append((display, source, record))
    return found


def come_back(display: Any) -> None:
    """Show outlines that were hidden for another image."""
    display.RemoveAttribute(marks.HIDDEN)
    display.SetVisibility(True)


def is_out_of_sight(record: Record) -> bool:
    """Return whether the views show neither the image of a result nor one that its outlines are seen over: one of the
    same patient, in the same place."""
    image, scene = record.shown_source, record.table.GetScene()
    if image is None or image in seen_volumes(scene):
        return False
    return not any(overlap(image, volume) and not _confused(image, volume) for volume in shown_volumes(scene))


def _confused(image: Any, other: Any) -> bool:
    """Return whether what is outlined in an image is seen over another one, and may be taken for that one's."""
    if not overlap(image, other):
        return False
    data = image.GetImageData()
    patient = patient_of([image]) if data is not None and data.GetDimensions()[2] > 1 else None
    return patient is None or patient != patient_of([other])


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
        come_back(display)


def _display(record: Record) -> Any:
    segmentation = record.shown_segmentation
    return segmentation.GetDisplayNode() if segmentation is not None else None
