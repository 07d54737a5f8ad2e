"""From the open scene to a training set: which images there are, and what is known about each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene import marks as result_marks
from SemiSegCervicalLib.scene.cine import (
    browser_of,
    browser_of_proxy,
    is_image_sequence,
    item_at,
    sequences_of,
)
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.geometry import array_spacing, calibration, ijk_to_ras
from SemiSegCervicalLib.scene.reading import SceneImage, grid, read_volume

from .annotation import CERTAIN_BACKGROUND, Annotation, annotation_labels, read_annotation
from .classes import ClassMatching, SegmentKey, match_classes
from .marks import accepted_frames
from .training_set import TrainingCase, TrainingSet, Use

SEVERAL = "several segmentations count for it"


@dataclass
class _Source:
    """One image or frame before its classes are known; `annotation` is None where nothing counts."""

    id: str
    name: str
    group: str
    volume: Any
    segmentation: Any = None
    annotation: Annotation | None = None
    why_not: str = ""
    left_out: bool = False
    sequence: Any = None
    frame: str | None = None


@dataclass
class _Scene:
    """The scene's nodes, sorted once."""

    scene: Any
    notes: list[str] = field(default_factory=list)
    segmentations: dict[str, list[Any]] = field(default_factory=dict)


def collect_training_set(
    scene: Any = None,
    classes: Sequence[SegmentClass] = (),
    as_frames: Collection[str] = (),
    segmentation_of: Mapping[str, str] | None = None,
    answers: Mapping[SegmentKey, str] | None = None,
) -> TrainingSet:
    """Read the scene as a training set; nothing in it is changed, no sequence is browsed.

    Every scalar or colour volume is a case and every frame of an image sequence; label maps, results of a
    model and the volumes that only show a sequence's current frame are not. What counts as annotated is
    decided by `annotation` and, for frames, by `marks.accepted_frames`.

    Args:
        scene: ``vtkMRMLScene``; ``slicer.mrmlScene`` by default.
        classes: classes that exist already (those of a model); they keep their value.
        as_frames: ids of volumes whose slices are frames.
        segmentation_of: volume id to the id of the segmentation that counts, where several do.
        answers: the user's answers to conflicts (`classes.match_classes`).

    Returns:
        The training set.

    Raises:
        SemiSegError: more classes than a model can have.
    """
    found = _Scene(scene or slicer.mrmlScene)
    chosen = segmentation_of or {}
    _sort_segmentations(found)
    sources = _volume_sources(found, chosen) + _frame_sources(found, chosen)
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
        cases += _slice_cases(source, matching) if stack else [_case(source, matching)]
    return TrainingSet(matching.classes, cases, matching.conflicts, found.notes)


def _sort_segmentations(found: _Scene) -> None:
    """Find the image of every segmentation, and say which ones have none."""
    for segmentation in _nodes(found.scene, "vtkMRMLSegmentationNode"):
        if browser_of_proxy(segmentation) is not None:
            continue
        volume = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
        name = segmentation.GetName()
        if segmentation.GetSegmentation().GetNumberOfSegments() == 0:
            continue
        if volume is None:
            found.notes.append(f'Segmentation "{name}" belongs to no image: set its source geometry')
        elif browser_of_proxy(volume) is not None:
            found.notes.append(
                f'Segmentation "{name}" was drawn over the shown frame of "{volume.GetName()}" and belongs '
                "to no frame: synchronise it with the sequence and accept the frame"
            )
        else:
            found.segmentations.setdefault(volume.GetID(), []).append(segmentation)


def _volume_sources(found: _Scene, chosen: Mapping[str, str]) -> list[_Source]:
    sources = []
    for volume in _nodes(found.scene, "vtkMRMLScalarVolumeNode"):
        if (
            volume.IsA("vtkMRMLLabelMapVolumeNode")
            or volume.GetAttribute(result_marks.CONTENT) is not None
            or volume.GetHideFromEditors()
            or browser_of_proxy(volume) is not None
        ):
            continue
        group = _patient(found.scene, [volume]) or volume.GetID()
        source = _Source(volume.GetID(), volume.GetName(), group, volume)
        try:
            grid(volume)
        except SemiSegError as error:
            found.notes.append(f"{error.cause}: left out")
            continue
        candidates = found.segmentations.get(volume.GetID(), [])
        if volume.GetID() in chosen:
            candidates = [s for s in candidates if s.GetID() == chosen[volume.GetID()]]
        _annotate(source, candidates)
        sources.append(source)
    return sources


def _frame_sources(found: _Scene, chosen: Mapping[str, str]) -> list[_Source]:
    sources = []
    for sequence in _nodes(found.scene, "vtkMRMLSequenceNode"):
        if not is_image_sequence(sequence):
            continue
        browser = browser_of(sequence)
        proxy = browser.GetProxyNode(sequence) if browser is not None else None
        group = _patient(found.scene, [sequence, browser, proxy]) or sequence.GetID()
        by_frame: dict[str, list[Any]] = {}
        for segmentations in _segmentation_sequences(sequence, browser):
            if sequence.GetID() in chosen and segmentations.GetID() != chosen[sequence.GetID()]:
                continue
            for value in accepted_frames(segmentations):
                if sequence.GetItemNumberFromIndexValue(value, True) < 0:
                    found.notes.append(
                        f'The frame accepted at {value} in "{segmentations.GetName()}" does not exist in '
                        f'"{sequence.GetName()}"'
                    )
                else:
                    by_frame.setdefault(value, []).append(item_at(segmentations, value))
        for number in range(sequence.GetNumberOfDataNodes()):
            value = sequence.GetNthIndexValue(number)
            source = _Source(
                id=f"{sequence.GetID()}:{value}",
                name=f"{sequence.GetName()} [{value}]",
                group=group,
                volume=sequence.GetNthDataNode(number),
                sequence=sequence,
                frame=value,
            )
            _annotate(source, by_frame.get(value, []))
            if not source.why_not and source.annotation is None:
                source.why_not = "not accepted"
            sources.append(source)
    return sources


def _segmentation_sequences(sequence: Any, browser: Any) -> list[Any]:
    """Return the segmentation sequences that belong to an image sequence.

    A result names its source; any other one belongs to the first image sequence of its browser.
    """
    if browser is None:
        return []
    together = sequences_of(browser)
    first_images = next((s for s in together if is_image_sequence(s)), None)
    belonging = []
    for other in together:
        item = other.GetNthDataNode(0) if other.GetNumberOfDataNodes() else None
        if item is None or not item.IsA("vtkMRMLSegmentationNode"):
            continue
        if (other.GetNodeReference(result_marks.SOURCE_ROLE) or first_images) is sequence:
            belonging.append(other)
    return belonging


def _annotate(source: _Source, segmentations: Sequence[Any]) -> None:
    """Find the one segmentation that counts for an image, or why there is none."""
    read = []
    for segmentation in segmentations:
        try:
            read.append((segmentation, read_annotation(segmentation, source.volume)))
        except SemiSegError as error:
            source.why_not, source.left_out = error.cause, True
            return
    counting = [(node, annotation) for node, annotation in read if annotation.counts]
    if len(counting) == 1:
        source.segmentation, source.annotation = counting[0]
    elif counting:
        names = ", ".join(f'"{node.GetName()}"' for node, _ in counting)
        source.why_not, source.left_out = f"{SEVERAL} ({names}): choose one", True
    elif read and all(annotation.flagged for _, annotation in read):
        source.why_not, source.left_out = "every segment is flagged", True
    elif any(annotation.predicted for _, annotation in read):
        source.why_not = "only a model's result, which nobody has accepted"
    elif read:
        source.why_not = "no segment is marked as started: set a status, or accept it"


def _case(source: _Source, matching: ClassMatching) -> TrainingCase:
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
        read_image=lambda: read_volume(volume, sequence),
        sequence=sequence.GetName() if sequence is not None else None,
        frame=source.frame,
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
    case.read_labels = lambda: annotation_labels(annotation, segmentation, values, volume)
    case.use, case.reason = _use(case, annotation, matching)
    return case


def _slice_cases(source: _Source, matching: ClassMatching) -> list[TrainingCase]:
    """Split a stack whose slices are frames into a case per slice."""
    whole = _case(source, matching)
    # One reading serves all slices of the stack, and only the last stack is kept.
    read = lru_cache(maxsize=1)(whole.read_labels) if whole.read_labels is not None else None
    painted = np.atleast_1d(read().any(axis=(1, 2))) if read is not None else np.zeros(0, dtype=bool)
    cases = []
    for number in range(whole.shape[0]):
        case = TrainingCase(
            id=f"{whole.id}:{number}",
            name=f"{whole.name} [{number}]",
            group=whole.group,
            use=whole.use,
            reason=whole.reason,
            spacing=whole.spacing[1:] if whole.spacing is not None else None,
            affine=whole.affine @ _shift(number),
            shape=(1, *whole.shape[1:]),
            read_image=partial(_slice_image, whole, number),
            sequence=source.name,
            frame=str(number),
            classes=whole.classes,
        )
        cases.append(case)
        if read is None or source.annotation is None:
            continue
        case.complete, case.background = whole.complete, whole.background
        case.finished = whole.finished if whole.slices is None or number in whole.slices else ()
        if not (case.finished and case.complete) and not painted[number]:
            case.use, case.reason, case.finished = "unlabelled", "nothing drawn on this slice", ()
            continue
        case.read_labels = partial(_slice_labels, read, number)
        case.use, case.reason = _use(case, source.annotation, matching)
    return cases


def _slice_image(whole: TrainingCase, number: int) -> SceneImage:
    image = whole.read_image()
    return SceneImage(
        array=image.array[:, number].copy(),
        spacing=image.spacing[1:] if image.spacing is not None else None,
        affine=image.affine @ _shift(number),
        from_rgb=image.from_rgb,
        calibrated=image.calibrated,
    )


def _slice_labels(read: Callable[[], np.ndarray], number: int) -> np.ndarray:
    return read()[number : number + 1].copy()


def _shift(number: int) -> np.ndarray:
    matrix = np.eye(4)
    matrix[2, 3] = number
    return matrix


def _is_open(segment: Any, matching: ClassMatching) -> bool:
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


def _patient(scene: Any, nodes: Sequence[Any]) -> str | None:
    """Return an anonymous name for the patient that the subject hierarchy puts one of the nodes under."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if hierarchy is None:
        return None
    level = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelPatient()
    for node in nodes:
        item = hierarchy.GetItemByDataNode(node) if node is not None else 0
        patient = hierarchy.GetItemAncestorAtLevel(item, level) if item else 0
        if patient:
            return f"patient-{patient}"
    return None


def _nodes(scene: Any, class_name: str) -> list[Any]:
    found = scene.GetNodesByClass(class_name)
    found.UnRegister(None)
    return [found.GetItemAsObject(i) for i in range(found.GetNumberOfItems())]
