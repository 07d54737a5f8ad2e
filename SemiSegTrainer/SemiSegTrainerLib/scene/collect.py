"""From the open scene to a training set: which images there are, and what is known about each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.pieces import Pieces, whole
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.hierarchy import DICOM_PATIENT

from . import choices
from .cases import BY_USER, outside_case, scene_case, slice_cases
from .classes import ClassMatching, SegmentKey, make_conflict, match_classes
from .other_scenes import keep_only, read_scene
from .outside import OutsideCase, folder_cases, look_in_pieces, unnamed
from .past import outside_past, past_of
from .sources import Source, sources_in_pieces
from .training_set import TrainingCase, TrainingSet


def collect_training_set(scene: Any = None, classes: Sequence[SegmentClass] = ()) -> TrainingSet:
    """Do what `collect_steps` does, at once."""
    return whole(collect_steps(scene, classes))


def collect_steps(scene: Any = None, classes: Sequence[SegmentClass] = ()) -> Pieces[TrainingSet]:
    """Read the scene as a training set in small pieces; nothing in it is changed, no sequence is browsed.

    Every scalar or colour volume is a case and every frame of an image sequence; label maps, results of a
    model and the volumes that only show a sequence's current frame are not. What counts as annotated is
    decided by `annotation` and, for frames, by `marks.accepted_frames`; what the user chose, by `choices`.

    Args:
        scene: ``vtkMRMLScene``; ``slicer.mrmlScene`` by default.
        classes: classes that exist already (those of a model); they keep their value.

    Returns:
        The training set.

    Raises:
        SemiSegError: more classes than a model can have.
    """
    scene = scene or slicer.mrmlScene
    sources, notes = yield from sources_in_pieces(scene)
    others = yield from _other_scenes(scene, notes)
    elsewhere = {id(source): place for place, found in others.items() for source in found}
    sources += [source for found in others.values() for source in found]
    outside = yield from _outside(scene, notes)
    matching = _matching(sources, outside, classes, choices.saved_answers(scene))
    modalities = _modalities([*sources, *outside])
    cases: list[TrainingCase] = []
    for source in sources:
        volume, case = source.volume, scene_case(source, matching, modalities)
        framed = source.frame is None and choices.slices_are_frames(volume)
        found = [case]
        if framed and case.shape[0] > 1:
            yield from case.count_in_pieces()
            found = slice_cases(source, case, matching)
        for each in found:
            use = choices.chosen_use(volume, each.frame) if framed else source.chosen
            each.past = past_of(source.sequence or volume, each.frame)
            if id(source) in elsewhere:
                _put_elsewhere(each, elsewhere[id(source)])
                use = choices.chosen_outside_use(each.id, scene) or use
                each.past |= outside_past(each.id, scene)
            _choose(each, use)
        cases += found
        yield
    for other in outside:
        from_disk = outside_case(other, matching, modalities)
        if from_disk is None:
            notes.append(f'"{other.name}" in "{other.folder}" is left out: {other.why_not}')
        else:
            _choose(from_disk, choices.chosen_outside_use(other.id, scene))
            from_disk.past = outside_past(other.id, scene)
            cases.append(from_disk)
        yield
    return TrainingSet(matching.classes, cases, matching.conflicts, notes, modalities)


def _other_scenes(scene: Any, notes: list[str]) -> Pieces[dict[str, list[Source]]]:
    """Find the images of the saved scenes that the user added, by the path of each scene."""
    found: dict[str, list[Source]] = {}
    paths = choices.scenes(scene)
    keep_only([Path(path) for path in paths])
    for path in paths:
        try:
            other = read_scene(Path(path))
        except SemiSegError as error:
            notes.append(f"{error.cause}: left out")
            continue
        yield
        found[path], more = yield from sources_in_pieces(other)
        notes += [f"{Path(path).name}: {note}" for note in more]
    return found


def _put_elsewhere(case: TrainingCase, path: str) -> None:
    """Give a case of another scene an id of its own; the ids of that scene's nodes mean others in the open one."""
    place = f"scene:{path}:"
    case.id = place + case.id
    if not case.group.startswith(DICOM_PATIENT):
        case.group = place + case.group
    case.name = f"{case.name} ({Path(path).stem})"
    case.stack = place + case.stack if case.stack is not None else None
    case.images = tuple(i if i is None else replace(i, key=place + i.key) for i in case.images)
    case.volume = case.segmentation = None
    case.source = "other scene"


def _outside(scene: Any, notes: list[str]) -> Pieces[list[OutsideCase]]:
    """Find the cases of the folders that the user added."""
    found: dict[str, OutsideCase] = {}
    for folder in choices.folders(scene):
        try:
            listed = folder_cases(Path(folder))
        except SemiSegError as error:
            notes.append(f"{error.cause}: left out")
            continue
        yield
        for case in listed:
            if case.id not in found:
                found[case.id] = case
                yield from look_in_pieces(case)
    return list(found.values())


def _matching(
    sources: Sequence[Source],
    outside: Sequence[OutsideCase],
    classes: Sequence[SegmentClass],
    answers: Mapping[SegmentKey, str],
) -> ClassMatching:
    """Find the classes behind the segments of all cases; what a number in a label map means is asked."""
    nameless = unnamed(outside)
    listed = [(source.name, source.annotation) for source in sources] + [(c.name, c.annotation()) for c in outside]
    asked = [key for key in nameless if key not in answers]
    segments = [
        (name, [s for s in annotation.segments if s.counts and not s.background and SegmentKey.of(s) not in asked])
        for name, annotation in listed
        if annotation is not None
    ]
    matching = match_classes(segments, classes, answers)
    for key in asked:
        name, holders = nameless[key]
        options = [entry.name for entry in matching.classes]
        matching.conflicts.append(make_conflict(key, name, holders, options, "is a number that nobody named"))
    return matching


def _modalities(sources: Sequence[Source | OutsideCase]) -> tuple[str, ...]:
    """Return the names of the modalities, in the order in which pairs name them; one without a name where none does."""
    paired = [source.modalities for source in sources if len(source.modalities) > 1]
    known: dict[str, str] = {}
    for names in paired:
        for name in names:
            known.setdefault(name.casefold(), name)
    return tuple(known.values()) or ("",)


def _choose(case: TrainingCase, use: choices.ChosenUse | None) -> None:
    """Use a case as the user wants, as far as its annotation allows."""
    if use is None or case.use == "left out":
        return
    if use == "left out":
        case.use, case.reason = "left out", BY_USER
    elif use == "unlabelled":
        if case.read_labels is not None:
            case.use, case.reason = "unlabelled", "by your choice its annotation is not used"
    elif case.read_labels is not None:
        case.side = use
