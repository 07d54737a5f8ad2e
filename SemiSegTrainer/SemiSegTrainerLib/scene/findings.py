"""What would keep a training from learning, or its figures from meaning anything, each with its remedy."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from SemiSegCervicalLib.pieces import Pieces

from ..catalogue import MethodText
from .cases import BY_USER, UNKNOWN_MODALITY
from .drawn import RESIZED, RESIZED_REMEDY
from .marks import BACKGROUND
from .split import Split
from .training_set import TrainingCase, TrainingSet

if TYPE_CHECKING:
    from .facts import Facts

FEW_CASES = 3
"""Annotated images or slices below which a training is warned of."""
FEW_VOXELS = 100
"""Voxels of a class below which a training is warned of."""
TINY_SHARE = 1 / 5000
"""Share of a picture below which a class may vanish when pictures are scaled to the networks' grid."""
_DIFFERENT = 2.0
# Planes that follow each other: so few are drawn one by one, so many are not.
_SINGLE, _STACKED = 2, 5
_NAMED = 4
_REMEDIES = {
    BY_USER: "Change its use in the table, if it should count",
    UNKNOWN_MODALITY: "Select it in the table: its modality and its pair are below",
    RESIZED: RESIZED_REMEDY,
}
"""What to do about what is left out, by the reason; of the others no use in the table helps."""


@dataclass(frozen=True)
class Finding:
    """Something to know before training.

    Attributes:
        code: stable, for programs and tests.
        text: what is the matter, a sentence without its full stop.
        remedy: what to do about it, a sentence without its full stop.
        refuses: nothing could be learned this way; it must not start.
    """

    code: str
    text: str
    remedy: str
    refuses: bool = False


@dataclass(frozen=True)
class Parts:
    """The cases by what becomes of them, with the slices that count on each side."""

    training: list[tuple[TrainingCase, list[int]]]
    validation: list[tuple[TrainingCase, list[int]]]
    unlabelled: list[TrainingCase]
    dropped: list[TrainingCase]
    left_out: list[TrainingCase]

    @property
    def images(self) -> list[TrainingCase]:
        """All that a training reads."""
        found = [case for case, _ in (*self.training, *self.validation)] + self.unlabelled
        return list({case.id: case for case in found}.values())


def sort_cases(training_set: TrainingSet, split: Split) -> Parts:
    """Sort the cases of a set by what becomes of them."""
    parts = Parts([], [], [], [], training_set.used("left out"))
    for case in training_set.used("labelled", "partly", "unlabelled"):
        slices = split.validation.get(case.id, ())
        if case.id in split.dropped:
            parts.dropped.append(case)
        elif slices is None:
            parts.validation.append((case, list(range(case.shape[0]))))
        elif case.use == "unlabelled":
            parts.unlabelled.append(case)
        else:
            held_out = set(split.held_out(case.id))
            parts.training.append((case, [k for k in range(case.shape[0]) if k not in held_out]))
            if slices:
                parts.validation.append((case, list(slices)))
    return parts


def find_all(
    training_set: TrainingSet, facts: Facts, parts: Parts, split: Split, method: MethodText | None
) -> Pieces[tuple[Finding, ...]]:
    """Find all there is to know before training; what refuses comes first.

    Args:
        training_set: the cases.
        facts: of it, without findings.
        parts: its cases, sorted.
        split: of it.
        method: the chosen one.
    """
    looks = yield from _looks(facts, parts.images)
    found = [*_refusals(training_set, facts, parts, method), *_doubts(facts, parts, method), *looks]
    found += [*_split_findings(facts, parts, split), *_aside(training_set, parts)]
    return tuple(sorted(found, key=lambda finding: not finding.refuses))


def _refusals(training_set: TrainingSet, facts: Facts, parts: Parts, method: MethodText | None) -> Iterable[Finding]:
    """Find what would end in an error, or in a model that has learned nothing."""
    if training_set.conflicts:
        names = _named(conflict.name for conflict in training_set.conflicts)
        yield Finding("classes-open", f"The class of {names} is not clear", "Answer in the table of classes", True)
    if not parts.training:
        why = Counter(case.reason for case in (*parts.unlabelled, *parts.left_out))
        text = "; ".join(f"{reason} ({count})" for reason, count in why.most_common(3))
        yield Finding(
            "nothing-annotated",
            f"Nothing that would train is annotated{': ' if text else ''}{text}",
            "Outline a segment and set its status to completed, or accept a frame, slice or volume",
            True,
        )
        return
    if facts.dimensions is None:
        yield Finding(
            "volumes-and-pictures",
            "Volumes and single pictures or frames cannot be learned together",
            "Leave out the ones or the others, or take the slices of the volumes as frames",
            True,
        )
    painted = [entry for entry in facts.classes if entry.training_voxels]
    if not painted:
        yield Finding(
            "nothing-painted",
            f"No {facts.voxel} that would train belongs to a class",
            "Check that the segments lie on their images, and paint in them",
            True,
        )
        return
    told = facts.background_voxels or any(case.finished for case, _ in parts.training)
    if not told and len(painted) == 1:
        yield Finding(
            "one-kind",
            f'All that is annotated is "{painted[0].name}": nothing says what is not',
            f'Paint some of the rest in a segment called "{BACKGROUND}", draw a second segment, or finish an outline',
            True,
        )
    elif not told:
        yield Finding(
            "no-background",
            "Nothing says what is background, so that the model will find none",
            f'Paint some of the rest in a segment called "{BACKGROUND}", or finish an image, frame or slice',
        )
    if not facts.open_voxels:
        needed = method is not None and method.needs_unlabelled
        yield Finding(
            "nothing-unlabelled",
            f"Every {facts.voxel} is annotated: methods that learn from what is not annotated have nothing to learn "
            "from",
            "Add images without annotation, or choose a method that needs none",
            needed,
        )
    if method is not None and method.needs_modalities and facts.modalities < 2:
        yield Finding(
            "one-modality",
            f'"{method.title}" trains a network for each modality, and there is only one',
            "Pair the images of each patient, or choose another method",
            True,
        )
    if method is not None and facts.dimensions is not None and facts.dimensions not in method.dimensions:
        yield Finding(
            "dimensions",
            f'"{method.title}" takes no images of {facts.dimensions} dimensions',
            "Choose another method",
            True,
        )


def _doubts(facts: Facts, parts: Parts, method: MethodText | None) -> Iterable[Finding]:
    """Find what will learn badly."""
    if facts.training:
        yield from _class_doubts(facts, parts)
    slices = sum(len(set(rows) & set(case.annotated_slices)) or 1 for case, rows in parts.training)
    if 0 < slices < FEW_CASES:
        what = "1 image, frame or slice is" if slices == 1 else f"{slices} images, frames or slices are"
        yield Finding("few-annotated", f"Only {what} annotated", "Annotate some more")
    yield from _outline_doubts(parts)
    yield from _size_doubts(facts, parts)
    if facts.modalities > 1 and not (method is not None and method.needs_modalities):
        single = [c for c in parts.images if len(c.present) < facts.modalities]
        if single:
            yield Finding(
                "unpaired",
                f"Not every modality is there of {_named(c.name for c in single)}",
                "Pair them, leave them out, or choose a method with a network for each modality",
                method is not None,
            )


def _class_doubts(facts: Facts, parts: Parts) -> Iterable[Finding]:
    """Find classes of which there is too little."""
    for entry in facts.classes:
        if not entry.training_voxels:
            yield Finding(
                "class-empty",
                f'No {facts.voxel} of "{entry.name}" would train: it will not be found',
                "Draw it, accept it, or leave it out; where segments cover each other, cut one out of the other",
            )
        elif entry.training_cases == 1 and facts.training > 1:
            yield Finding(
                "class-once",
                f'"{entry.name}" is drawn in one image only',
                "Draw it in a second one, where there is any",
            )
        sizes = [c.shape[1] * c.shape[2] for c, rows in parts.training if c.counts[rows, entry.value].any()]
        if facts.dimensions == 2 and 0 < entry.training_voxels < TINY_SHARE * sum(sizes):
            yield Finding(
                "tiny",
                f'"{entry.name}" covers less than 1 of {round(1 / TINY_SHARE)} pixels of the images it is drawn in and '
                "may vanish when they are scaled",
                "Crop the images around it",
            )
        if 0 < entry.training_voxels < FEW_VOXELS:
            yield Finding(
                "few-voxels",
                f'Only {entry.training_voxels} {facts.voxel}s of "{entry.name}" would train',
                "Draw more of it",
            )


def _outline_doubts(parts: Parts) -> Iterable[Finding]:
    """Find segmentations that may say something else than the person meant who drew them."""
    hollow = [c for c, rows in parts.training if c.finished and not c.counts[rows, 1:].any()]
    if hollow:
        yield Finding(
            "empty-outlines",
            f"Finished with nothing drawn on the image: {_named(c.name for c in hollow)}; all is taken for background",
            "If it does show a structure, check that the segmentation lies on its image",
        )
    across = [c for c, _ in parts.training if c.finished and _drawn_across(c)]
    if across:
        yield Finding(
            "drawn-across",
            f"Drawn on single planes across the slices of the image: {_named(c.name for c in across)}; between these "
            "planes all is taken for background",
            'Choose "Unfinished: only the paint counts" for them in the section Cases',
        )
    unfinished = [c for c, rows in parts.training if _drawn_on_single_slices(c, rows)]
    if unfinished:
        yield Finding(
            "slices-unfinished",
            f"Drawn on single slices, of which nobody says that they are finished: "
            f"{_named(c.name for c in unfinished)}; only the paint counts there, and nothing is background",
            'If they are, choose "Slices with paint are finished" for them in the section Cases',
        )
    twice = [c for c, rows in parts.training if _unknown_share(c, rows) > 0.2]
    if twice:
        yield Finding(
            "much-unknown",
            f"More than a fifth of the paint does not count in {_named(c.name for c in twice)}: segments cover each "
            "other, or are flagged",
            "Cut the segments out of each other in the Segment Editor",
        )


def _size_doubts(facts: Facts, parts: Parts) -> Iterable[Finding]:
    """Find sizes of voxels and images that are not known, or differ much."""
    if facts.uncalibrated:
        mixed = facts.spacings is not None
        yield Finding(
            "uncalibrated",
            f"The {facts.voxel} size of {facts.uncalibrated} image{'s' * (facts.uncalibrated > 1)} or frames is not "
            f"known{', that of others is' if mixed else ''}",
            "Where it is known, enter the spacing in the Volumes module before you draw: outlines do not follow. Else "
            f"the model learns in {facts.voxel}s",
        )
    guessed = [case for case in parts.images if case.calibrated == "unknown"]
    if guessed:
        yield Finding(
            "calibration-unknown",
            f"The {facts.voxel}s of {_named(c.name for c in guessed)} are exactly 1 mm wide, perhaps because nobody "
            "knew",
            f"If it was measured, say so under {facts.voxel.capitalize()} size in SemiSegCervical. Enter another "
            "spacing in the Volumes module only before you draw: outlines do not follow",
        )
    yield from _differences(facts)


def _differences(facts: Facts) -> Iterable[Finding]:
    if facts.dimensions is None or facts.shapes is None:
        return
    low, high = facts.shapes
    if any(large > _DIFFERENT * small for small, large in zip(low, high, strict=True)):
        yield Finding(
            "sizes-differ",
            f"The images differ much in size: {_times(low)} to {_times(high)} {facts.voxel}s",
            "Check that all of them show the same thing; crop or leave out those that do not",
        )
    if facts.spacings is not None:
        fine, coarse = facts.spacings
        if any(large > _DIFFERENT * small for small, large in zip(fine, coarse, strict=True)):
            yield Finding(
                "spacings-differ",
                f"The {facts.voxel}s differ much in size: {_times(fine)} to {_times(coarse)} mm",
                "Check the spacing of the images; leave out those whose spacing is wrong",
            )


def _split_findings(facts: Facts, parts: Parts, split: Split) -> Iterable[Finding]:
    if not facts.training:
        return
    if not split.validation:
        what, _, remedy = split.how.partition(". ")
        yield Finding("no-validation", what, remedy or "Choose an annotated image for validation")
        return
    for text in split.warnings:
        yield Finding("split", text, "Annotate more patients or images, or change what is kept aside")
    began = [case for case, _ in parts.validation if case.by_model]
    if began:
        yield Finding(
            "measured-by-model",
            f"A model drew first what is measured with: {_named(c.name for c in began)}; that model looks better than "
            "it is, the more so the less was corrected",
            "Look at these outlines once more, or measure with images that were outlined by hand",
        )
    lone = [case for case, _ in (*parts.training, *parts.validation) if not case.grouped]
    if len(lone) > 1:
        yield Finding(
            "patients-unknown",
            f"Nobody says which of the {len(lone)} annotated images in folders are of one patient: each stands alone",
            'Put a datalist.json with a "group" for each image into the folder',
        )
    if facts.groups == 1:
        yield Finding(
            "one-patient",
            "All that is annotated is of one patient or sequence",
            "Annotate a second one, for the model to work on others too",
        )


def _aside(training_set: TrainingSet, parts: Parts) -> Iterable[Finding]:
    """Say what of the scene is not used."""
    reasons: dict[str, list[str]] = {}
    for case in parts.left_out:
        reasons.setdefault(case.reason, []).append(case.name)
    for reason, names in reasons.items():
        remedy = _REMEDIES.get(reason, "Put that right, if it should count")
        yield Finding("left-out", f"{_named(names)} left out: {reason}", remedy)
    for note in training_set.notes:
        yield Finding("note", note, "It is not used as it is")


def _looks(facts: Facts, cases: Sequence[TrainingCase]) -> Pieces[list[Finding]]:
    """Look at one plane of each image: one that shows nothing, and two that are the same one."""
    blank: list[TrainingCase] = []
    seen: dict[tuple, TrainingCase] = {}
    twins: list[tuple[TrainingCase, TrainingCase]] = []
    for case in cases:
        middle = case.shape[0] // 2
        for image in case.present:
            if image.costly:
                continue
            plane = np.ascontiguousarray(image.read(middle, middle + 1))
            if plane.min() == plane.max():
                blank.append(case)
            else:
                key = (case.shape, plane.dtype.str, hashlib.blake2b(plane.data, digest_size=16).digest())
                if seen.setdefault(key, case) is not case:
                    twins.append((seen[key], case))
            yield
    found = []
    if blank:
        found.append(
            Finding(
                "blank",
                f"All {facts.voxel}s of the middle of {_named(case.name for case in blank)} are the same",
                "Leave out what shows nothing",
            )
        )
    if twins:
        pairs = "; ".join(f'"{first.name}" and "{second.name}"' for first, second in twins[:_NAMED])
        more = f" and {len(twins) - _NAMED} more" if len(twins) > _NAMED else ""
        found.append(
            Finding(
                "twins",
                f"The same picture twice: {pairs}{more}",
                "Leave one of them out, lest validation measures what was trained on",
            )
        )
    return found


def _unknown_share(case: TrainingCase, rows: Sequence[int]) -> float:
    """Return which share of the paint of a case does not count."""
    unknown = int(case.unknown[rows].sum())
    return unknown / max(1, unknown + int(case.counts[rows, 1:].sum()))


def _drawn_on_single_slices(case: TrainingCase, rows: Sequence[int]) -> bool:
    """Say whether outlines lie on several slices of a volume that do not follow each other, and are not finished.

    So it is where somebody outlines every eighth slice: the Segment Editor calls that "in progress" by itself.

    Args:
        case: which is trained on.
        rows: the slices of it that are.
    """
    if not case.complete or case.shape[0] == 1:
        return False
    painted = np.zeros(case.shape[0], dtype=bool)
    painted[rows] = case.counts[rows, 1:].any(axis=1)
    painted[list(case.annotated_slices)] = False
    runs = _runs(painted)
    return len(runs) > 1 and bool(np.median(runs) <= _SINGLE)


def _drawn_across(case: TrainingCase) -> bool:
    """Say whether paint lies on single rows or columns of a volume, and goes on over its slices.

    So it is where somebody draws on sagittal or coronal planes of an axial stack, of which nothing says which are done.
    """
    if max(_runs(np.asarray(case.counts[:, 1:].any(axis=1))), default=0) < _STACKED:
        return False
    return any(np.median(_runs(planes) or [case.shape[0]]) <= _SINGLE for planes in case.painted_across)


def _runs(painted: np.ndarray) -> list[int]:
    """Return how many planes follow each other wherever there is paint."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], painted, [False]]).astype(np.int8)))
    return [int(last - first) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def _named(names: Iterable[str]) -> str:
    every = list(dict.fromkeys(names))
    shown = ", ".join(f'"{name}"' for name in every[:_NAMED])
    return shown if len(every) <= _NAMED else f"{shown} and {len(every) - _NAMED} more"


def _times(values: Sequence[float]) -> str:
    """Write the values of the axes, slowest first, as people do."""
    return " \N{MULTIPLICATION SIGN} ".join(f"{value:g}" for value in reversed(values))
