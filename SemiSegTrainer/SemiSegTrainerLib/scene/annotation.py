"""What one segmentation says about one image: finished outlines, paint that counts, and the label array.

Zero in a label map is never taken for background by itself. A segment's status and marks decide:

- Completed: its paint counts, and its outline is finished; on the marked slices only, where there are any.
- In progress: its paint counts; its outline is finished on the marked slices, else unfinished.
- Not started: its paint counts and its outline is finished on the marked slices only; else it was not looked at.
- Flagged: its voxels become `IGNORE`, and its outline is unknown everywhere.

A model's segment that nobody accepted is as good as "not started", whatever an edit made of its status, until
it is completed or accepted. One that is completed in a start on one slice is finished on that slice. Scribbles and
background strokes (what is painted in a segment called "background") that no model drew are a person's word: their
paint counts with any status but flagged. With scribbles only paint is decided. A voxel that two segments claim is
`IGNORE`. Where outlines are finished on different slices, the slices that all of them share are the annotated ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.pieces import Pieces, whole
from SemiSegCervicalLib.scene.marks import ORIGIN, PREDICTION, segment_tag, segments_of
from SemiSegCervicalLib.scene.reading import grid
from SemiSegCervicalLib.scene.segmentation import segment_mask

from .marks import ACCEPTED, PAINTED, Status, annotated_slices, has_scribbles, is_background, start_slice
from .memory import Memory, paint_stamp
from .slabs import slabs_of

IGNORE = 255
"""Label value: this voxel was not looked at, or nobody knows what it is."""
CERTAIN_BACKGROUND = 254
"""Label value: painted as certainly none of the classes."""
_MASK_VOXELS = 1 << 22
_PAINTED: Memory[tuple[int, ...]] = Memory()


@dataclass(frozen=True)
class SegmentReading:
    """What one segment contributes.

    Attributes:
        id: its id in the segmentation.
        name, terminology, color: as in the segment.
        background: its paint means "certainly background".
        paint: whose voxels count: "all", those on `slices` only, "none", or "unknown" (they become `IGNORE`).
        finished: its outline is finished, on `slices` or (None) in the whole image.
        slices: the marked slices, sorted, or None.
        by_model: a model drew it; whoever accepted it may have changed it.
    """

    id: str
    name: str
    terminology: str
    color: tuple[float, float, float]
    background: bool
    paint: Literal["all", "slices", "none", "unknown"]
    finished: bool
    slices: tuple[int, ...] | None
    by_model: bool = False

    @property
    def counts(self) -> bool:
        """The segment says something about the image."""
        return self.finished or self.paint in ("all", "slices")


@dataclass(frozen=True)
class Annotation:
    """What a segmentation says about its image.

    Attributes:
        segments: one reading per segment, in the segmentation's order.
        scribbles: what is not painted has not been looked at.
        predicted: a model drew segments that nobody has accepted.
    """

    segments: tuple[SegmentReading, ...]
    scribbles: bool
    predicted: bool

    @property
    def counts(self) -> bool:
        """Something in it may teach."""
        return any(segment.counts for segment in self.segments)

    @property
    def flagged(self) -> bool:
        """Every segment that holds a class is flagged."""
        classes = [segment for segment in self.segments if not segment.background]
        return bool(classes) and all(segment.paint == "unknown" for segment in classes)

    @property
    def finished(self) -> tuple[SegmentReading, ...]:
        """The classes' segments with a finished outline; none of them with scribbles."""
        if self.scribbles:
            return ()
        return tuple(segment for segment in self.segments if segment.finished and not segment.background)

    @property
    def slices(self) -> tuple[int, ...] | None:
        """The slices on which all finished outlines are finished; None for the whole image."""
        marked = [set(segment.slices) for segment in self.finished if segment.slices is not None]
        return tuple(sorted(set.intersection(*marked))) if marked else None


def read_annotation(segmentation: Any, volume: Any) -> Annotation:
    """Do what `annotation_in_pieces` does, at once."""
    return whole(annotation_in_pieces(segmentation, volume))


def annotation_in_pieces(segmentation: Any, volume: Any) -> Pieces[Annotation]:
    """Read status and marks of a segmentation; voxels are looked at only where a rule asks for them.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        volume: the image that it annotates.

    Returns:
        The annotation.

    Raises:
        SemiSegError: the segmentation is stored as surfaces.
    """
    scribbles = has_scribbles(segmentation)
    depth = grid(volume)[0]
    painted = yield from _painted_slices(segmentation, volume)
    start = start_slice(segmentation)
    readings = []
    predicted = False
    for segment_id, segment in segments_of(segmentation):
        status = Status.GetSegmentStatus(segment)
        drawn_by_model = (
            segment_tag(segment, ORIGIN) == PREDICTION
            and segment_tag(segment, ACCEPTED) != "1"
            and status != Status.Completed
        )
        predicted = predicted or drawn_by_model
        marked = annotated_slices(segment)
        if start is not None and status == Status.Completed:
            marked = marked or {start}
        slices = _slices(marked, () if drawn_by_model else painted, depth)
        reading = _reading(segment_id, segment, status, drawn_by_model, slices, scribbles)
        if reading.paint == "all" and not reading.finished:
            # Nothing is said by paint that is not there.
            there = yield from _any_paint(segmentation, segment_id, volume)
            reading = reading if there else replace(reading, paint="none")
        readings.append(reading)
    return Annotation(tuple(readings), scribbles, predicted)


def annotation_labels(
    annotation: Annotation, segmentation: Any, values: Mapping[str, int], volume: Any, planes: tuple[int, int]
) -> np.ndarray:
    """Return planes of the label array that an annotation gives its image.

    Args:
        annotation: of this segmentation.
        segmentation: ``vtkMRMLSegmentationNode``.
        values: segment id to class value; segments that are left out of it become `IGNORE` where they are
            painted.
        volume: the image.
        planes: the first slice, and the one after the last.

    Returns:
        uint8 ``(planes, Y, X)``: class values, `CERTAIN_BACKGROUND`, `IGNORE`, and 0 where nothing counts.

    Raises:
        SemiSegError: the segmentation is stored as surfaces, or a segment is not there any more.
    """
    labels = np.zeros((planes[1] - planes[0], *grid(volume)[1:]), dtype=np.uint8)
    unknown = np.zeros(labels.shape, dtype=bool)
    for segment in annotation.segments:
        if segment.paint == "none":
            continue
        if segmentation.GetSegmentation().GetSegment(segment.id) is None:
            raise SemiSegError(
                "changed",
                f'The segment "{segment.name}" was removed while it was read',
                "Leave the segments as they are until all is read, and try again",
                "scene",
            )
        found = segment_mask(segmentation, segment.id, volume, planes)
        if found is None:
            continue
        first, mask = found.box[0].start, found.mask
        box = (slice(first - planes[0], found.box[0].stop - planes[0]), *found.box[1:])
        if segment.paint == "slices":
            here = np.isin(np.arange(first, first + mask.shape[0]), segment.slices or ())
            mask = mask & here[:, None, None]
        value = CERTAIN_BACKGROUND if segment.background else values.get(segment.id)
        if segment.paint == "unknown" or value is None:
            unknown[box] |= mask
            continue
        view = labels[box]
        twice = mask & (view != 0) & (view != value)
        view[mask] = value
        view[twice] = IGNORE
    labels[unknown & (labels == 0)] = IGNORE
    return labels


def _reading(
    segment_id: str,
    segment: Any,
    status: int,
    drawn_by_model: bool,
    slices: tuple[int, ...] | None,
    scribbles: bool,
) -> SegmentReading:
    """Apply the table at the top of this file to one segment."""
    background = is_background(segment)
    paint: Literal["all", "slices", "none", "unknown"] = "none"
    finished = False
    if status == Status.Flagged:
        paint = "unknown"
    elif drawn_by_model:
        finished = bool(slices)
        paint = "slices" if finished else "none"
    elif status == Status.Completed:
        finished, paint = slices != (), "all"
    elif slices:
        finished = True
        paint = "all" if status == Status.InProgress else "slices"
    elif status == Status.InProgress or scribbles or background:
        paint = "all"
    return SegmentReading(
        id=segment_id,
        name=segment.GetName(),
        terminology=segment.GetTerminology(),
        color=tuple(segment.GetColor()),
        background=background,
        paint=paint,
        finished=finished and not background,
        slices=slices,
        by_model=segment_tag(segment, ORIGIN) == PREDICTION,
    )


def _slices(marked: set[int | str], painted: tuple[int, ...], depth: int) -> tuple[int, ...] | None:
    """Return the marked slices that the image has; None without a mark."""
    if not marked:
        return None
    numbers = {entry for entry in marked if isinstance(entry, int)} | (set(painted) if PAINTED in marked else set())
    return tuple(sorted(number for number in numbers if 0 <= number < depth))


def _painted_slices(segmentation: Any, volume: Any) -> Pieces[tuple[int, ...]]:
    """Return the slices that hold paint of the segments marked with `PAINTED`."""
    found: set[int] = set()
    for segment_id, segment in segments_of(segmentation):
        if PAINTED not in annotated_slices(segment):
            continue
        if Status.GetSegmentStatus(segment) == Status.Flagged:
            continue
        if segment_tag(segment, ORIGIN) == PREDICTION and segment_tag(segment, ACCEPTED) != "1":
            continue
        found.update((yield from painted_planes_in_pieces(segmentation, segment_id, volume)))
    return tuple(sorted(found))


def painted_planes_in_pieces(segmentation: Any, segment_id: str, volume: Any) -> Pieces[tuple[int, ...]]:
    """Return the slices of an image on which a segment has paint; remembered until it changes."""
    stamp = paint_stamp(segmentation, volume, segment_id)
    known = _PAINTED.get(stamp)
    if known is not None:
        return known
    found: list[int] = []
    for planes in slabs_of(grid(volume), _MASK_VOXELS):
        mask = segment_mask(segmentation, segment_id, volume, planes)
        if mask is not None:
            found += [int(k) + mask.box[0].start for k in np.flatnonzero(mask.mask.any(axis=(1, 2)))]
        yield
    return _PAINTED.put(stamp, tuple(found))


def _any_paint(segmentation: Any, segment_id: str, volume: Any) -> Pieces[bool]:
    """Return whether a segment has any paint on an image, looking from its middle outwards."""
    stamp = paint_stamp(segmentation, volume, segment_id)
    known = _PAINTED.get(stamp)
    if known is not None:
        return bool(known)
    slabs = list(slabs_of(grid(volume), _MASK_VOXELS))
    for planes in sorted(slabs, key=lambda slab: abs(slab[0] + slab[1] - slabs[-1][1])):
        if segment_mask(segmentation, segment_id, volume, planes) is not None:
            return True
        yield
    _PAINTED.put(stamp, ())
    return False
