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
from SemiSegCervicalLib.scene.reading import grid

from . import choices
from .annotation import CERTAIN_BACKGROUND, Annotation, SegmentReading, annotation_labels
from .classes import ClassMatching, SegmentKey, match_classes
from .memory import image_stamp, paint_stamp
from .reslicing import planes_of, resliced_planes, same_grid
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

    What the user chose is read from the scene (`choices`); `as_frames`, `segmentation_of` and `answers` come on top.

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
        choices.saved_answers(scene) | {**(answers or {})},
    )
    modalities = _modalities(sources)
    cases: list[TrainingCase] = []
    for source in sources:
        volume, case = source.volume, _case(source, matching, modalities)
        framed = source.frame is None and (volume.GetID() in as_frames or choices.slices_are_frames(volume))
        found = [case]
        if framed and case.shape[0] > 1:
            yield from case.count_in_pieces()
            found = _slice_cases(source, case, matching)
        for each in found:
            _choose(each, choices.chosen_use(volume, each.frame) if framed else source.chosen)
        cases += found
        yield
    return TrainingSet(matching.classes, cases, matching.conflicts, notes, modalities)


def _modalities(sources: Sequence[Source]) -> tuple[str, ...]:
    """Return the names of the modalities, in the order in which pairs name them; one without a name where none does."""
    paired = [source.modalities for source in sources if len(source.modalities) > 1]
    known: dict[str, str] = {}
    for names in paired:
        for name in names:
            known.setdefault(name.casefold(), name)
    return tuple(known.values()) or ("",)


def _images(source: Source, modalities: tuple[str, ...]) -> tuple[CaseImage | None, ...]:
    """Return the images of a case in the order of the modalities; none where it is not known which one it is."""
    volume = source.volume
    own = CaseImage(source.id, partial(planes_of, volume), image_stamp(volume))
    if len(modalities) == 1:
        return (own,)
    found: dict[str, CaseImage] = {source.modalities[0].casefold(): own}
    for partner, name in zip(source.partners, source.modalities[1:], strict=True):
        if partner is not None:
            read = (
                partial(planes_of, partner) if same_grid(volume, partner) else partial(resliced_planes, partner, volume)
            )
            found[name.casefold()] = CaseImage(f"{source.id}:{name}", read, (image_stamp(partner), image_stamp(volume)))
    return tuple(found.get(name.casefold()) for name in modalities)


def _choose(case: TrainingCase, use: choices.ChosenUse | None) -> None:
    """Use a case as the user wants, as far as its annotation allows."""
    if use is None or case.use == "left out":
        return
    if use == "left out":
        case.use, case.reason = "left out", "left out by you"
    elif use == "unlabelled":
        if case.read_labels is not None:
            case.use, case.reason = "unlabelled", "by your choice its annotation is not used"
    elif case.read_labels is not None:
        case.side = use


def _case(source: Source, matching: ClassMatching, modalities: tuple[str, ...]) -> TrainingCase:
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
        images=_images(source, modalities),
        sequence=sequence.GetName() if sequence is not None else None,
        frame=source.frame,
        volume=volume.GetID() if sequence is None else None,
        segmentation=source.candidate,
        stack=sequence.GetID() if sequence is not None else None,
        classes=len(matching.classes),
    )
    if not case.present:
        case.images = (CaseImage(source.id, partial(planes_of, volume), image_stamp(volume)),)
        case.use, case.reason = "left out", "its modality is not known: pair it with the other image of the patient"
        return case
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
            images=tuple(_slice_image(image, number) for image in stack.images),
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
        case.read_labels = partial(_plane, read, number)
        case.label_stamp = (stack.label_stamp, number)
        case.use, case.reason = _use(case, source.annotation, matching)
    return cases


def _slice_image(image: CaseImage | None, number: int) -> CaseImage | None:
    if image is None:
        return None
    read = partial(_plane, image.read, number)
    return CaseImage(f"{image.key}:{number}", read, None if image.stamp is None else (image.stamp, number))


def _plane(read: Callable[[int, int], np.ndarray], number: int, first: int, last: int) -> np.ndarray:
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
