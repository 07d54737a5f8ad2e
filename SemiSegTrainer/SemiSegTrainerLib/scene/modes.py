"""How far a segmentation is annotated, as one choice: the marks and status of its segments in a word, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from SemiSegCervicalLib.scene.marks import ORIGIN, PREDICTION, segment_tag

from . import marks
from .marks import Status

Mode = Literal["whole", "painted", "chosen", "scribbles", "unfinished", "none"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class ModeNow:
    """What the marks of a segmentation amount to.

    Attributes:
        mode: "whole": finished in the whole image; "painted": finished on the slices that hold paint; "chosen":
            on `slices`; "scribbles": strokes; "unfinished": paint counts, no outline is finished; "none": not
            begun, or a model's result that nobody accepted; None where segments differ.
        slices: those that were chosen, sorted; of several segments those that all share.
    """

    mode: Mode | None
    slices: tuple[int, ...] = ()


def mode_of(segmentation: Any) -> ModeNow:
    """Return what the marks of a segmentation amount to; flagged segments and background strokes do not matter."""
    if marks.has_scribbles(segmentation):
        return ModeNow("scribbles")
    segments = marks.chosen_segments(segmentation)
    found = {_mode_of(segment) for segment in segments}
    if len(found) != 1:
        return ModeNow(None if found else "none")
    (mode,) = found
    start = marks.start_slice(segmentation)
    if mode == "whole" and start is not None:
        return ModeNow("chosen", (start,))
    if mode != "chosen":
        return ModeNow(mode)
    shared = set.intersection(*(marks.annotated_slices(segment) for segment in segments))
    return ModeNow(mode, tuple(sorted(k for k in shared if isinstance(k, int))))


def set_mode(segmentation: Any, mode: Mode, slices: Iterable[int] = ()) -> None:
    """Say how far a segmentation is annotated, as a person's word; no voxel is changed.

    A model's segments are thereby accepted as far as the mode reaches: on the chosen slices only where slices are
    chosen, and not at all by "painted", for a model paints everywhere. Flagged segments and background strokes stay
    as they are.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        mode: see `ModeNow`.
        slices: for "chosen", along the last axis (k) of the image.

    Raises:
        ValueError: there is no such mode.
    """
    if mode not in MODES:
        raise ValueError(f"no mode: {mode}")
    if mode != "none":  # it says something about the whole image now
        marks.end_start(segmentation)
    if mode == "whole":
        marks.set_scribbles(segmentation, False)
        marks.accept_segmentation(segmentation)
        return
    for segment in marks.chosen_segments(segmentation):
        segment.RemoveTag(marks.SLICES)
        if mode == "none" or (mode == "chosen" and segment_tag(segment, ORIGIN) == PREDICTION):
            segment.RemoveTag(marks.ACCEPTED)
            Status.SetSegmentStatus(segment, Status.NotStarted)
        elif mode in ("scribbles", "unfinished") or Status.GetSegmentStatus(segment) == Status.Completed:
            segment.SetTag(marks.ACCEPTED, "1")
            Status.SetSegmentStatus(segment, Status.InProgress)
    marks.set_scribbles(segmentation, mode == "scribbles")
    if mode in ("painted", "chosen"):
        marks.set_annotated_slices(segmentation, None if mode == "painted" else slices)


def _mode_of(segment: Any) -> Mode:
    status = Status.GetSegmentStatus(segment)
    slices = marks.annotated_slices(segment)
    if slices:
        return "painted" if marks.PAINTED in slices else "chosen"
    accepted = segment_tag(segment, ORIGIN) != PREDICTION or segment_tag(segment, marks.ACCEPTED) == "1"
    if status == Status.Completed:
        return "whole"
    return "unfinished" if status == Status.InProgress and accepted else "none"
