"""From an image, with what is known about it, to a case of the training set."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from SemiSegCervicalLib.scene.geometry import array_spacing, calibration, ijk_to_ras
from SemiSegCervicalLib.scene.reading import grid

from .annotation import CERTAIN_BACKGROUND, Annotation, SegmentReading, annotation_labels
from .classes import ClassMatching, SegmentKey
from .disk import COSTLY_BYTES, file_stamp, read_voxels
from .memory import image_stamp, paint_stamp
from .outside import OutsideCase
from .reslicing import planes_of, resliced_planes, same_grid
from .sources import Source
from .training_set import CaseImage, LabelReader, TrainingCase, Use

BY_USER = "left out by you"
"""Why an image is left out that somebody does not want to use."""
UNKNOWN_MODALITY = "its modality is not known: choose it, or pair it with the other image of the patient"
"""Why an image of the scene is left out where others are pairs and nobody said which of the pair it is."""


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


def scene_case(source: Source, matching: ClassMatching, modalities: tuple[str, ...]) -> TrainingCase:
    """Make the case of an image or frame of the scene."""
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
        calibrated=calibrated,
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
        case.use, case.reason = "left out", UNKNOWN_MODALITY
        return case
    annotation, segmentation = source.annotation, source.segmentation
    if annotation is not None:

        def reader(values: Mapping[str, int]) -> LabelReader:
            return lambda *planes: annotation_labels(annotation, segmentation, values, volume, planes)

        _annotate(case, annotation, matching, reader, paint_stamp(segmentation, volume))
    return case


def outside_case(outside: OutsideCase, matching: ClassMatching, modalities: tuple[str, ...]) -> TrainingCase | None:
    """Make a case of files on disk, None where not even their size is known."""
    header = outside.header
    if header is None:
        return None
    flat = header.shape[0] == 1
    spacing = header.spacing[1 if flat else 0 :] if header.spacing is not None else None
    named = {name.casefold(): path for name, path in zip(outside.modalities, outside.images, strict=True)}
    images = tuple(_file_image(path) for path in (named.get(name.casefold()) for name in modalities))
    spacing = spacing if isinstance(outside.spacing, str) else outside.spacing
    case = TrainingCase(
        id=outside.id,
        name=outside.name,
        group=outside.group,
        use="left out" if outside.why_not else "unlabelled",
        reason=outside.why_not or "no label map",
        spacing=spacing,
        calibrated="no" if spacing is None else "yes",
        affine=header.affine,
        shape=header.shape,
        images=images,
        sequence=outside.sequence,
        frame=outside.frame,
        side=outside.side,
        source="folder",
        grouped=outside.grouped,
        classes=len(matching.classes),
    )
    if not case.present:
        case.images = tuple(image for path in outside.images if (image := _file_image(path)) is not None)
        case.use, case.reason = "left out", "its modality is not known here"
        return case
    annotation = outside.annotation()
    if annotation is not None and outside.label is not None:

        def reader(values: Mapping[str, int]) -> LabelReader:
            if outside.as_it_is(values):
                case.label_file = outside.label
            return partial(outside.read_labels, values)

        _annotate(case, annotation, matching, reader, file_stamp(outside.label))
    return case


def _file_image(path: Path | None) -> CaseImage | None:
    if path is None:
        return None
    costly = path.stat().st_size > COSTLY_BYTES
    return CaseImage(str(path), lambda first, last: read_voxels(path)[first:last], file_stamp(path), path, costly)


def _annotate(
    case: TrainingCase,
    annotation: Annotation,
    matching: ClassMatching,
    reader: Callable[[Mapping[str, int]], LabelReader],
    stamp: Hashable,
) -> None:
    """Say of a case what its annotation means.

    Args:
        case: without annotation.
        annotation: of this case.
        matching: of all cases.
        reader: returns, for class values by segment id, what reads the label array.
        stamp: of the paint.
    """
    asked = [s.name for s in annotation.segments if _is_open(s, matching)]
    if asked:
        case.use, case.reason = "left out", f"the class of {_listed(asked)} has to be said first"
        return
    values, case.finished = _values(annotation, matching)
    strokes = any(s.background and s.counts for s in annotation.segments)
    if not values and not strokes:
        case.reason = "all its segments were left out"
        return
    case.complete = not annotation.scribbles
    case.by_model = any(segment.by_model and segment.counts for segment in annotation.segments)
    case.slices = annotation.slices
    if case.slices is not None and len(case.slices) == case.shape[0]:
        case.slices = None
    if strokes:
        case.background = CERTAIN_BACKGROUND
    case.read_labels = reader(values)
    case.label_stamp = (annotation, tuple(values.items()), stamp)
    case.use, case.reason = _use(case, annotation, matching)


def slice_cases(source: Source, stack: TrainingCase, matching: ClassMatching) -> list[TrainingCase]:
    """Split a stack whose slices are frames into a case per slice."""
    read = stack.read_labels
    painted = stack.painted
    cases = []
    for number in range(stack.shape[0]):
        case = TrainingCase(
            id=f"{stack.id}:{number}",
            name=f"{stack.name}, slice {number + 1}",
            group=stack.group,
            use=stack.use,
            reason=stack.reason,
            spacing=stack.spacing[1:] if stack.spacing is not None else None,
            affine=stack.affine @ _shift(number),
            calibrated=stack.calibrated,
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
