"""What a person says about an annotation: accepted, scribbled, annotated slices, certain background.

Marks that must travel with a lone ``.seg.nrrd`` are tags of the segments; what belongs to the frames of a
cine is an attribute of the sequence and of its item, which come back from a saved scene and from
``.seq.mrb``.

Only the functions of this file, and Slicer's own segment status, make an annotation count. Each of them does
what a person asked for by a click: they change marks and status, never a voxel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene.cine import browser_of, item_at
from SemiSegCervicalLib.scene.classes import name_key
from SemiSegCervicalLib.scene.marks import ORIGIN, PREDICTION, segment_tag, segments_of

ACCEPTED = "SemiSeg.Accepted"
"""Segment tag "1": a person looked at a model's segment and took it over."""
SLICES = "SemiSeg.AnnotatedSlices"
"""Segment tag: JSON list of the slices (first array axis of the image) on which the segment is finished;
`PAINTED` in it stands for every slice that holds paint."""
PAINTED = "painted"
SCRIBBLES = "SemiSeg.Scribbles"
"""Segment tag "1": strokes, not outlines; what is not painted has not been looked at."""
BACKGROUND = "background"
"""What a segment is called whose paint says "certainly none of the classes"; case does not count."""
START = "SemiSeg.Start"
"""Attribute of a segmentation that holds a model's outlines as a start on one slice, and in a volume tag of its
segments: the slice's number. Attribute of a segmentation sequence that was made for starts: "1"."""
ACCEPTED_FRAMES = "SemiSeg.AcceptedFrames"
"""Attribute of a segmentation sequence: JSON list of the index values that a person accepted."""
ACCEPTED_FRAME = "SemiSeg.AcceptedFrame"
"""Attribute of a sequence's item: the index value it was accepted at; in a copy by browsing it differs."""

Status = slicer.vtkSlicerSegmentationsModuleLogic


def is_background(segment: Any) -> bool:
    """Return whether a segment's paint means "certainly background"."""
    return name_key(segment.GetName()) == BACKGROUND


def accept_segmentation(segmentation: Any, segments: Iterable[str] | None = None) -> None:
    """Say that the outlines are finished in the whole image; an empty segment is then absent from it.

    The segments become "completed"; earlier marks for slices and scribbles, which said less, go.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        segments: segment ids; by default all except flagged ones and background strokes.
    """
    if segments is None:
        set_scribbles(segmentation, False)  # also of background strokes, which would leave all of it scribbles
    for segment in chosen_segments(segmentation, segments):
        segment.SetTag(ACCEPTED, "1")
        segment.RemoveTag(SLICES)
        segment.RemoveTag(SCRIBBLES)
        Status.SetSegmentStatus(segment, Status.Completed)


def accept_slice(segmentation: Any, number: int, segments: Iterable[str] | None = None) -> None:
    """Say that the outlines are finished on one slice.

    What is finished in the whole image already stays so. Scribbles become outlines that are unfinished elsewhere: their
    paint counts there as before.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        number: slice of the reference image, along its last axis (k), from 0.
        segments: segment ids; by default all except flagged ones and background strokes.
    """
    if has_scribbles(segmentation):
        _begin(segmentation)
    for segment in chosen_segments(segmentation, segments):
        marked = annotated_slices(segment)
        if marked or Status.GetSegmentStatus(segment) != Status.Completed:
            _set_slices(segment, {*marked, int(number)})


def set_annotated_slices(
    segmentation: Any, numbers: Iterable[int] | None, segments: Iterable[str] | None = None
) -> None:
    """Say on which slices the outlines are finished, replacing what was said before.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        numbers: slices along the reference image's last axis (k); None means every slice that holds paint.
        segments: segment ids; by default all except flagged ones and background strokes.
    """
    for segment in chosen_segments(segmentation, segments):
        _set_slices(segment, {PAINTED} if numbers is None else {int(number) for number in numbers})


def annotated_slices(segment: Any) -> set[int | str]:
    """Return the slices a segment is marked as finished on, `PAINTED` among them where it was chosen."""
    try:
        found = json.loads(segment_tag(segment, SLICES) or "[]")
    except ValueError:
        return set()
    return {entry for entry in found if entry == PAINTED or type(entry) is int} if type(found) is list else set()


def set_scribbles(segmentation: Any, scribbles: bool) -> None:
    """Say whether a segmentation holds scribbles: what is not painted has then not been looked at."""
    for _, segment in segments_of(segmentation):
        if scribbles:
            segment.SetTag(SCRIBBLES, "1")
        else:
            segment.RemoveTag(SCRIBBLES)


def has_scribbles(segmentation: Any) -> bool:
    """Return whether a segmentation holds scribbles."""
    return any(segment_tag(segment, SCRIBBLES) == "1" for _, segment in segments_of(segmentation))


def start_slice(segmentation: Any) -> int | None:
    """Return the slice on which a segmentation holds a start that nobody has accepted; None where it is no start.

    Whatever status its segments have: nobody was asked to draw on its other slices. One that was saved as a file of its
    own is known by its segments; where others are among them, somebody has made something else of it.
    """
    number = segmentation.GetAttribute(START)
    if number is None:
        told = {segment_tag(segment, START) for _, segment in segments_of(segmentation)}
        number = told.pop() if len(told) == 1 else None
    return int(number) if number is not None and number.isdecimal() else None


def begin_start(segmentation: Any, number: int, slices: int) -> None:
    """Say that a segmentation holds a start on one slice.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        number: of the slice.
        slices: of the image; in a picture that has but one, what is completed is finished everywhere.
    """
    segmentation.SetAttribute(START, str(number))
    for _, segment in segments_of(segmentation) if slices > 1 else []:
        segment.SetTag(START, str(number))


def end_start(segmentation: Any) -> None:
    """Say that a segmentation is no start, or not any more."""
    segmentation.RemoveAttribute(START)
    for _, segment in segments_of(segmentation):
        segment.RemoveTag(START)


def accept_frame(sequence: Any, index_value: str, segments: Iterable[str] | None = None) -> None:
    """Say that the segmentation of one frame of a cine is a person's word.

    Where the frame is the one shown, what is seen is what is accepted: edits that the browser would not save are stored
    with it.

    Args:
        sequence: the segmentation sequence.
        index_value: the frame's index value.
        segments: ids of the segments whose outline is finished; by default all except flagged ones and background
            strokes.

    Raises:
        SemiSegError: nothing is segmented at this frame.
    """
    item = item_at(sequence, index_value)
    shown = _shown_at(sequence, index_value, item is not None)
    if shown is not None and shown.GetSegmentation().GetNumberOfSegments():
        sequence.SetDataNodeAtValue(shown, index_value)
        item = item_at(sequence, index_value)
    if item is None or not segments_of(item):
        raise SemiSegError(
            "no-segmentation",
            f'"{sequence.GetName()}" holds no segmentation at {index_value}',
            "Go to this frame and draw in it first",
            "scene",
        )
    accepted = _recorded(sequence)
    sequence.SetAttribute(ACCEPTED_FRAMES, json.dumps([*(v for v in accepted if v != index_value), index_value]))
    # The shown copy gets the same marks, or its next edit would write the item back without them.
    for node in (item, shown):
        if node is not None:
            node.SetAttribute(ACCEPTED_FRAME, index_value)
            accept_segmentation(node, segments)
    sequence.StorableModified()  # else Slicer would not save what has changed in an item


def withdraw_frame(sequence: Any, index_value: str) -> None:
    """Take back that a frame was accepted; its segmentation stays."""
    sequence.SetAttribute(ACCEPTED_FRAMES, json.dumps([v for v in _recorded(sequence) if v != index_value]))
    for node in (item_at(sequence, index_value), _shown_at(sequence, index_value, True)):
        if node is not None and node.GetAttribute(ACCEPTED_FRAME) == index_value:
            node.RemoveAttribute(ACCEPTED_FRAME)
    sequence.StorableModified()


def accepted_frames(sequence: Any) -> list[str]:
    """Return the index values of the frames that a person accepted, in item order.

    Both records must agree: the sequence's list, and the item's own mark. Items that browsing made have neither.
    """
    recorded = set(_recorded(sequence))
    values = [sequence.GetNthIndexValue(i) for i in range(sequence.GetNumberOfDataNodes())]
    return [
        value
        for value in values
        if value in recorded and item_at(sequence, value).GetAttribute(ACCEPTED_FRAME) == value
    ]


def _recorded(sequence: Any) -> list[str]:
    try:
        found = json.loads(sequence.GetAttribute(ACCEPTED_FRAMES) or "[]")
    except ValueError:
        return []
    return [value for value in found if type(value) is str] if type(found) is list else []


def _shown_at(sequence: Any, index_value: str, has_item: bool) -> Any:
    """Return the proxy that shows a frame now, None where another frame is shown.

    Two of the browser's modes leave the frame before on the proxy when an item is missing; what it shows is
    then not about this frame.
    """
    browser = browser_of(sequence)
    if browser is None:
        return None
    stale_modes = (browser.MissingItemIgnore, browser.MissingItemDisplayHidden)
    if not has_item and browser.GetMissingItemMode(sequence) in stale_modes:
        return None
    master, selected = browser.GetMasterSequenceNode(), browser.GetSelectedItemNumber()
    if not 0 <= selected < master.GetNumberOfDataNodes() or master.GetNthIndexValue(selected) != index_value:
        return None
    return browser.GetProxyNode(sequence)


def chosen_segments(segmentation: Any, segments: Iterable[str] | None = None) -> list[Any]:
    """Return the segments of these ids, by default all except flagged ones and background strokes."""
    wanted = None if segments is None else set(segments)
    return [
        segment
        for segment_id, segment in segments_of(segmentation)
        if (
            segment_id in wanted
            if wanted is not None
            else Status.GetSegmentStatus(segment) != Status.Flagged and not is_background(segment)
        )
    ]


def _begin(segmentation: Any) -> None:
    """Make scribbles begun outlines; what a person painted counts with either."""
    for _, segment in segments_of(segmentation):
        segment.RemoveTag(SCRIBBLES)
        status = Status.GetSegmentStatus(segment)
        drawn_by_model = segment_tag(segment, ORIGIN) == PREDICTION and segment_tag(segment, ACCEPTED) != "1"
        if status == Status.Completed or (status == Status.NotStarted and not drawn_by_model):
            segment.SetTag(ACCEPTED, "1")
            Status.SetSegmentStatus(segment, Status.InProgress)


def _set_slices(segment: Any, slices: set[int | str]) -> None:
    segment.SetTag(SLICES, json.dumps(sorted(slices, key=lambda entry: (type(entry) is str, entry))))
