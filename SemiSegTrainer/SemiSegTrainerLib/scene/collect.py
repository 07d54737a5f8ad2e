"""From the open scene to a training set: which images there are, and what is known about each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import slicer
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.geometry import array_spacing, calibration, ijk_to_ras
from SemiSegCervicalLib.scene.pieces import Pieces, whole
from SemiSegCervicalLib.scene.reading import grey, grid, is_color

from .annotation import CERTAIN_BACKGROUND, Annotation, SegmentReading, annotation_labels
from .classes import ClassMatching, SegmentKey, match_classes
from .memory import image_stamp, paint_stamp
from .sources import Source, sources_in_pieces
from .training_set import CaseImage, TrainingCase, TrainingSet, Use


def collect_training_set(
    scene: Any = None,
    classes: Sequence[SegmentClass] = (),
    as_frames: Collection[str] = (),
    segmentation_of: Mapping[str, str] | None = None,
    answers: Mapping[SegmentKey, str] | None = None,
) -> TrainingSet:
    """Do what `collect_steps` does, at once."""
    return whole(collect_steps(scene, classes, as_frames, segmentation_of, answers))


def collect_steps(
    scene: Any = None,
    classes: Sequence[SegmentClass] = (),
    as_frames: Collection[str] = (),
    segmentation_of: Mapping[str, str] | None = None,
    answers: Mapping[SegmentKey, str] | None = None,
) -> Pieces[TrainingSet]:
    """Read the scene as a training set in small pieces; nothing in it is changed, no sequence is browsed.

    Every scalar or colour volume is a case and every frame of an image sequence; label maps, results of a
    model and the volumes that only show a sequence's current frame are not. What counts as annotated is
    decided by `annotation` and, for frames, by `marks.accepted_frames`.

    Args:
        scene: ``vtkMRMLScene``; ``slicer.mrmlScene`` by default.
        classes: classes that exist already (those of a model); they keep their value.
        as_frames: ids of volumes whose slices are frames.
        segmentation_of: id of a volume or image sequence to the id of the segmentation or segmentation sequence
            that counts, where several do.
        answers: the user's answers to conflicts (`classes.match_classes`).

    Returns:
        The training set.

    Raises:
        SemiSegError: more classes than a model can have.
    """
    sources, notes = yield from sources_in_pieces(scene or slicer.mrmlScene, segmentation_of or {})
    matching = match_classes(
        [
            (source.name, [s for s in source.annotation.segments if s.counts and not s.background])
            for source in sources
            if source.annotation is not None
        ],
        classes,
        answers,
    )
    cases: list[TrainingCase] = []
    for source in sources:
        stack = source.frame is None and source.volume.GetID() in as_frames and grid(source.volume)[0] > 1
        case = _case(source, matching)
        if stack:
            yield from case.count_in_pieces()
        cases += _slice_cases(source, case, matching) if stack else [case]
        yield
    return TrainingSet(matching.classes, cases, matching.conflicts, notes)


def _case(source: Source, matching: ClassMatching) -> TrainingCase:
    volume, sequence = source.volume, source.sequence
    shape = grid(volume)
    calibrated = calibration(volume, sequence)
    case = TrainingCase(
        id=source.id,
        name=source.name,
        group=source.group,
        use="left out" if source.left_out else "unlabelled",
        reason=source.why_not or "no segmentation",
        spacing=None if calibrated == "no" else array_spacing(volume)[1 if shape[0] == 1 else 0 :],
        affine=ijk_to_ras(volume),
        shape=shape,
        images=(CaseImage(source.id, partial(_planes, volume), image_stamp(volume)),),
        sequence=sequence.GetName() if sequence is not None else None,
        frame=source.frame,
        volume=volume.GetID() if sequence is None else None,
        segmentation=source.candidate,
        stack=sequence.GetID() if sequence is not None else None,
        classes=len(matching.classes),
    )
    annotation = source.annotation
    if annotation is None:
        return case
    asked = [s.name for s in annotation.segments if _is_open(s, matching)]
    if asked:
        case.use, case.reason = "left out", f"the class of {_listed(asked)} has to be said first"
        return case
    values, case.finished = _values(annotation, matching)
    strokes = any(s.background and s.counts for s in annotation.segments)
    if not values and not strokes:
        case.reason = "all its segments were left out"
        return case
    case.complete = not annotation.scribbles
    case.slices = annotation.slices
    if case.slices is not None and len(case.slices) == shape[0]:
        case.slices = None
    if strokes:
        case.background = CERTAIN_BACKGROUND
    segmentation = source.segmentation
    case.read_labels = lambda *planes: annotation_labels(annotation, segmentation, values, volume, planes)
    case.label_stamp = (annotation, tuple(values.items()), paint_stamp(segmentation, volume))
    case.use, case.reason = _use(case, annotation, matching)
    return case


def _planes(volume: Any, first: int, last: int) -> np.ndarray:
    """Read planes of a volume: its numbers as they are stored, colour as grey."""
    if is_color(volume) or volume.GetImageData().GetNumberOfScalarComponents() != 1:
        return grey(volume, slice(first, last))
    voxels: np.ndarray = slicer.util.arrayFromVolume(volume)[first:last]
    return voxels


def _slice_cases(source: Source, stack: TrainingCase, matching: ClassMatching) -> list[TrainingCase]:
    """Split a stack whose slices are frames into a case per slice."""
    read = stack.read_labels
    painted = stack.painted
    cases = []
    for number in range(stack.shape[0]):
        case = TrainingCase(
            id=f"{stack.id}:{number}",
            name=f"{stack.name} [{number}]",
            group=stack.group,
            use=stack.use,
            reason=stack.reason,
            spacing=stack.spacing[1:] if stack.spacing is not None else None,
            affine=stack.affine @ _shift(number),
            shape=(1, *stack.shape[1:]),
            images=tuple(
                CaseImage(f"{image.key}:{number}", partial(_plane, image, number), (image.stamp, number))
                for image in stack.images
            ),
            sequence=source.name,
            frame=str(number),
            volume=stack.volume,
            segmentation=stack.segmentation,
            stack=stack.id,
            classes=stack.classes,
        )
        cases.append(case)
        if read is None or source.annotation is None:
            continue
        case.complete, case.background = stack.complete, stack.background
        case.finished = stack.finished if stack.slices is None or number in stack.slices else ()
        if not (case.finished and case.complete) and not painted[number]:
            case.use, case.reason, case.finished = "unlabelled", "nothing drawn on this slice", ()
            continue
        case.read_labels = partial(_slice_labels, read, number)
        case.label_stamp = (stack.label_stamp, number)
        case.use, case.reason = _use(case, source.annotation, matching)
    return cases


def _plane(image: CaseImage, number: int, first: int, last: int) -> np.ndarray:
    return image.read(number, number + 1)[first:last]


def _slice_labels(read: Callable[[int, int], np.ndarray], number: int, first: int, last: int) -> np.ndarray:
    return read(number, number + 1)[first:last]


def _shift(number: int) -> np.ndarray:
    matrix = np.eye(4)
    matrix[2, 3] = number
    return matrix


def _is_open(segment: SegmentReading, matching: ClassMatching) -> bool:
    return (
        segment.counts
        and not segment.background
        and any(conflict.key == SegmentKey.of(segment) for conflict in matching.conflicts)
    )


def _values(annotation: Annotation, matching: ClassMatching) -> tuple[dict[str, int], tuple[int, ...]]:
    """Return the class value by segment id, and the values of the classes whose outlines are all finished."""
    values = {
        segment.id: value
        for segment in annotation.segments
        if segment.counts and not segment.background and (value := matching.values.get(SegmentKey.of(segment), 0))
    }
    finished_ids = {segment.id for segment in annotation.finished}
    unfinished = {value for segment_id, value in values.items() if segment_id not in finished_ids}
    for segment in annotation.segments:
        # A flagged or untouched second segment of a class leaves the class open.
        if not segment.counts and not segment.background:
            unfinished.add(matching.values.get(SegmentKey.of(segment), 0))
    finished = {value for segment_id, value in values.items() if segment_id in finished_ids} - unfinished
    return values, tuple(sorted(finished))


def _use(case: TrainingCase, annotation: Annotation, matching: ClassMatching) -> tuple[Use, str]:
    """Say in plain words what an annotated case is used for."""
    total = len(matching.classes)
    if not case.complete:
        return "partly", "scribbles: what is not painted has not been looked at"
    names = [matching.classes[value - 1].name for value in case.finished]
    if case.slices is not None:
        where = f"finished on {len(case.slices)} of {case.shape[0]} slices"
        return "partly", where if len(names) == total else f"{_listed(names) or 'nothing'} {where}"
    flagged = [s.name for s in annotation.segments if s.paint == "unknown"]
    aside = f"; {_listed(flagged)} left out, flagged" if flagged else ""
    if len(names) == total and not flagged:
        return "labelled", "every outline is finished"
    if names:
        return "partly", f"{len(names)} of {total} segments finished ({', '.join(names)}){aside}"
    return "partly", f"begun, no outline finished{aside}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
