"""What validates: whole patients, else images, else frames or slices a gap away from what trains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegTrainerLib.scene import choices, marks
from SemiSegTrainerLib.scene.collect import collect_training_set
from SemiSegTrainerLib.scene.facts import gather_facts
from SemiSegTrainerLib.scene.layout import gap_of
from SemiSegTrainerLib.scene.split import Split, check_split, propose_split
from SemiSegTrainerLib.scene.training_set import Past, TrainingSet
from SlicerRig import scenes

CLASSES = [SegmentClass(1, "anterior", (1, 0, 0)), SegmentClass(2, "posterior", (0, 0, 1))]


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (10, 12), dtype=np.uint8)


def pictures(labels: Any, annotated: int, beside: int = 0, **options: Any) -> TrainingSet:
    shown = [picture(k) for k in range(annotated + beside)]
    scenes.partly_segmented_scene(shown, dict.fromkeys(range(annotated), labels), CLASSES, **options)
    return collect_training_set()


def cine(labels: Any, length: int, annotated: dict[int, np.ndarray] | list[int]) -> TrainingSet:
    chosen = annotated if isinstance(annotated, dict) else dict.fromkeys(annotated, labels)
    scenes.partly_segmented_scene([], {}, CLASSES, cine=[picture(k) for k in range(length)], cine_labels=chosen)
    return collect_training_set()


def volume(labels: Any, depth: int, slices: list[int] | None) -> TrainingSet:
    node = scenes.add_volume(np.zeros((depth, 10, 12), np.int16), "volume")
    segmentation = scenes.add_segmentation(node, np.stack([labels] * depth), CLASSES)
    if slices is not None:
        marks.set_annotated_slices(segmentation, slices)
    return collect_training_set()


def frames(found: TrainingSet, ids: Any) -> list[int]:
    order = [case.id for case in found.cases]
    return sorted(order.index(i) for i in ids)


@pytest.mark.parametrize(("annotated", "held"), [(3, 1), (5, 1), (8, 2), (15, 3)])
def test_a_fifth_of_the_images_validates(scene, labels, annotated, held):
    found = pictures(labels, annotated, beside=2)
    split = propose_split(found)
    check_split(found, split)
    assert len(split.validation) == held
    assert set(split.validation.values()) == {None}
    assert (split.dropped, split.gap, split.warnings) == ((), {}, ())
    assert f"{held} " in split.how
    assert f"of {annotated} images kept aside" in split.how


def test_the_same_seed_chooses_the_same_and_another_one_others(scene, labels):
    found = pictures(labels, 10)
    chosen = [tuple(propose_split(found, seed).validation) for seed in (0, 0, 1, 2, 3)]
    assert chosen[0] == chosen[1]
    assert len(set(chosen)) > 1


def test_a_patient_is_held_out_with_all_that_is_theirs(scene, labels):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    made = scenes.partly_segmented_scene([picture(k) for k in range(9)], dict.fromkeys(range(6), labels), CLASSES)
    for number in range(3):
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), f"patient {number}")
        for node in made.volumes[number::3]:
            hierarchy.CreateItem(patient, node)
    found = collect_training_set()
    split = propose_split(found)
    check_split(found, split)
    groups = {case.id: case.group for case in found.cases}
    assert len({groups[i] for i in split.validation}) == 1
    assert len(split.validation) == 2
    assert split.how == "1 of 3 patients kept aside"
    (aside,) = split.dropped  # the patient's picture without annotation teaches nothing either
    assert groups[aside] in {groups[i] for i in split.validation}
    assert split.warnings == ()


def test_images_of_one_patient_are_split_and_it_is_said(scene, labels):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    made = scenes.partly_segmented_scene([picture(k) for k in range(5)], dict.fromkeys(range(5), labels), CLASSES)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "one")
    for node in made.volumes:
        hierarchy.CreateItem(patient, node)
    split = propose_split(collect_training_set())
    assert split.how == "1 of 5 images kept aside"
    assert any("other patients" in warning for warning in split.warnings)


def test_every_class_is_on_both_sides_where_that_can_be(scene, labels):
    second = {k: np.where(labels == 1, labels, 0) for k in range(8)} | {3: labels, 6: labels}
    scenes.partly_segmented_scene([picture(k) for k in range(8)], second, CLASSES)
    found = collect_training_set()
    for seed in range(10):
        split = propose_split(found, seed)
        held = set(frames(found, split.validation))
        assert len(held & {3, 6}) == 1, seed
        assert split.warnings == ()


def test_a_class_that_is_drawn_once_is_learned_and_not_measured(scene, labels):
    second = {k: np.where(labels == 1, labels, 0) for k in range(4)} | {2: labels}
    scenes.partly_segmented_scene([picture(k) for k in range(4)], second, CLASSES)
    found = collect_training_set()
    split = propose_split(found)
    assert 2 not in frames(found, split.validation)
    assert split.warnings == ('"posterior" is not in what is kept aside: how well it is found cannot be measured',)


def test_frames_of_a_cine_are_held_out_with_a_gap(scene, labels):
    found = cine(labels, 60, list(range(0, 60, 4)))
    assert gap_of(60) == 3
    split = propose_split(found)
    check_split(found, split)
    held, aside = frames(found, split.validation), set(frames(found, split.dropped))
    assert len(held) == 3
    assert held == list(range(held[0], held[0] + 9, 4)), "one run, its frames beside each other"
    assert aside == {k for h in held for k in range(h - 3, h + 4) if 0 <= k < 60} - set(held)
    assert any("share a patient" in warning for warning in split.warnings)
    for case in found.cases:
        where = "validation" if case.id in split.validation else None if case.id in split.dropped else "training"
        assert split.side(case.id) == where


def test_frames_close_to_each_other_leave_no_room_for_validation(scene, labels):
    found = cine(labels, 40, [10, 11, 12])
    split = propose_split(found)
    check_split(found, split)
    assert (dict(split.validation), split.dropped) == ({}, ())
    assert "next to each other" in split.how
    assert split.warnings


def test_annotated_slices_are_held_out_with_a_gap(scene, labels):
    found = volume(labels, 40, [0, 8, 16, 24, 32])
    split = propose_split(found)
    check_split(found, split)
    ((case_id, slices),) = split.validation.items()
    (held,) = slices
    assert held in (0, 8, 16, 24, 32)
    assert set(split.gap[case_id]) == {k for k in range(held - 2, held + 3) if 0 <= k < 40} - {held}
    assert split.held_out(case_id) == tuple(sorted({held, *split.gap[case_id]}))
    assert split.side(case_id) == "training"
    assert split.dropped == ()


def test_a_volume_annotated_on_every_slice_is_split_too(scene, labels):
    found = volume(labels, 50, None)
    split = propose_split(found)
    check_split(found, split)
    ((case_id, slices),) = split.validation.items()
    assert slices == tuple(range(slices[0], slices[0] + 10))
    assert len(split.gap[case_id]) in (3, 6)
    assert slices[0] == 0 or slices[-1] == 49, "at an end only one gap is lost"


def test_nothing_is_held_out_of_two_images(scene, labels):
    split = propose_split(pictures(labels, 2, beside=3))
    assert not split.validation
    assert "too little" in split.how


def test_scribbles_do_not_validate(scene, labels):
    found = pictures(labels, 4, scribbled=[0, 1])
    for seed in range(6):
        held = frames(found, propose_split(found, seed).validation)
        assert len(held) == 1
        assert not {0, 1} & set(held)
    only = collect_training_set()
    only.cases = only.cases[:2]
    split = propose_split(only)
    assert not split.validation
    assert "no outline is finished" in split.how


def test_a_case_is_put_on_a_side_by_hand(scene, labels):
    found = pictures(labels, 6, beside=1)
    split = propose_split(found)
    (held,) = split.validation
    other = next(c.id for c in found.cases if c.id != held)
    changed = split.with_case(held, "training").with_case(other, "validation")
    check_split(found, changed)
    assert list(changed.validation) == [other]
    assert changed.how.endswith("changed by hand")
    assert changed.how.count("by hand") == 1
    assert list(split.validation) == [held], "the first one stays as it was"
    with pytest.raises(SemiSegError) as error:
        split.with_case(found.cases[-1].id, "validation")
    assert error.value.code == "not-annotated"


def test_what_is_said_to_validate_follows_the_changes_by_hand(scene, labels):
    found = pictures(labels, 6, beside=1)
    split = propose_split(found)
    (held,) = split.validation
    others = [case.id for case in found.cases[:6] if case.id != held]
    assert split.with_case(held, "training").how == "Nothing is kept aside; changed by hand"
    two = split.with_case(others[0], "validation")
    assert two.how == "2 of 6 annotated images kept aside; changed by hand"
    assert two.with_case(others[0], "training").how == "1 of 6 annotated images kept aside; changed by hand"
    for case in found.cases[:6]:
        case.side = "training"
    nothing = propose_split(found)
    assert nothing.how == "Nothing is kept aside; changed by hand"
    (finding,) = [f for f in gather_facts(found, nothing).findings if f.code == "no-validation"]
    assert finding.text.startswith("Nothing is kept aside")
    assert finding.remedy == "Choose an annotated image for validation"


def test_slices_and_frames_that_validate_are_counted_apart(scene, labels):
    node = scenes.add_volume(np.zeros((40, 10, 12), np.int16), "volume")
    marks.set_annotated_slices(scenes.add_segmentation(node, np.stack([labels] * 40), CLASSES), [0, 8, 16, 24, 32])
    found = cine(labels, 20, [1, 12])
    split = propose_split(found)
    (volume_id,) = split.validation
    frame = next(case.id for case in found.cases if case.frame is not None and case.read_labels is not None)
    said = split.with_case(frame, "validation").how
    assert said == "1 of 2 annotated frames and 1 slice of 1 volume kept aside; changed by hand"
    assert split.with_case(volume_id, "validation").how == "1 of 1 annotated image kept aside; changed by hand"


def test_frames_around_one_that_is_chosen_by_hand_are_dropped(scene, labels):
    found = cine(labels, 20, [1, 5, 6, 12])
    split = propose_split(found)
    for case_id in split.validation:
        split = split.with_case(case_id, "training")
    assert split.dropped == ()
    changed = split.with_case(found.cases[5].id, "validation")
    assert frames(found, changed.dropped) == [3, 4, 6, 7]
    check_split(found, changed)
    assert changed.with_case(found.cases[6].id, "training").side(found.cases[6].id) is None
    back = changed.with_case(found.cases[5].id, "training")
    assert (back.validation, back.dropped) == ({}, ())


def test_a_volume_changes_sides_as_a_whole(scene, labels):
    found = volume(labels, 40, [0, 8, 16, 24, 32])
    case_id = found.cases[0].id
    split = propose_split(found).with_case(case_id, "validation")
    assert (dict(split.validation), dict(split.gap)) == ({case_id: None}, {})
    assert split.with_case(case_id, "training").validation == {}


def test_the_users_sides_are_kept(scene, labels):
    found = pictures(labels, 6)
    (held,) = propose_split(found).validation
    first, second = [case for case in found.cases if case.id != held][:2]
    first.side = "validation"
    next(case for case in found.cases if case.id == held).side = "training"
    second.side = "training"
    split = propose_split(found)
    assert list(split.validation) == [first.id]


def test_what_the_user_puts_into_training_is_replaced(scene, labels):
    found = pictures(labels, 6)
    for left in (5, 4, 3, 2, 1):
        (held,) = propose_split(found).validation
        next(case for case in found.cases if case.id == held).side = "training"
        assert sum(case.side is None for case in found.cases) == left
    (last,) = propose_split(found).validation
    assert next(case for case in found.cases if case.id == last).side is None


def test_what_the_user_holds_out_counts_in_the_share(scene, labels):
    found = pictures(labels, 10)
    proposed = propose_split(found).validation
    assert len(proposed) == 2
    first, second, third = [case for case in found.cases if case.id not in proposed][:3]
    first.side = "validation"
    split = propose_split(found)
    assert first.id in split.validation
    assert len(split.validation) == 2
    assert split.how == "2 of 10 annotated images kept aside; changed by hand"
    second.side = third.side = "validation"
    assert list(propose_split(found).validation) == [first.id, second.id, third.id]


def of_patients(scene: Any, labels: Any, patients: list[int], drawn: dict[int, Any] | None = None) -> TrainingSet:
    """Pictures of some patients, their annotation by number."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    drawn = dict.fromkeys(range(len(patients)), labels) | (drawn or {})
    made = scenes.partly_segmented_scene([picture(k) for k in range(len(patients))], drawn, CLASSES)
    items = {p: hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), f"patient {p}") for p in sorted(set(patients))}
    for node, patient in zip(made.volumes, patients, strict=True):
        hierarchy.CreateItem(items[patient], node)
    return collect_training_set()


def test_a_patient_of_whom_the_user_holds_out_an_image_validates_whole(scene, labels):
    found = of_patients(scene, labels, [0, 0, 1, 1, 2, 2, 2])
    for first, second in ((0, 1), (2, 3)):
        found.cases[first].side = "validation"
        split = propose_split(found)
        assert frames(found, split.validation) == [first, second]
        assert split.warnings == ()
        found.cases[first].side = None
    found.cases[0].side, found.cases[1].side = "validation", "training"
    split = propose_split(found)
    assert 0 in frames(found, split.validation), "what the user says goes before"
    assert split.side(found.cases[1].id) == "training"


def test_of_two_patients_with_several_images_one_is_held_out(scene, labels):
    found = of_patients(scene, labels, [0, 0, 0, 0, 1, 1])
    split = propose_split(found)
    check_split(found, split)
    assert frames(found, split.validation) == [4, 5]
    assert split.how == "1 of 2 patients kept aside"
    assert split.warnings == ()


@pytest.mark.parametrize("why", ["a class would be lost, or most of all", "both were learned from"])
def test_of_two_patients_none_is_held_out_that_cannot_be_spared(scene, labels, why):
    front = np.where(labels == 1, labels, 0)
    found = of_patients(scene, labels, [0, 0, 0, 0, 1, 1], dict.fromkeys(range(4), front) if "class" in why else None)
    for number in (0, 4) if "learned" in why else ():
        found.cases[number].past = Past(learned=frozenset([0]))
    split = propose_split(found)
    check_split(found, split)
    assert len(split.validation) == 1
    assert any("share a patient" in warning for warning in split.warnings)
    assert not any("learned" in warning for warning in split.warnings)


def test_frames_that_the_user_puts_on_a_side_are_there(scene, labels):
    found = cine(labels, 60, list(range(0, 60, 4)))
    held = frames(found, propose_split(found).validation)
    found.cases[held[1]].side = "training"
    split = propose_split(found)
    check_split(found, split)
    assert len(split.validation) == 3
    assert split.side(found.cases[held[1]].id) == "training"
    found.cases[held[1]].side = None
    found.cases[8].side = "validation"
    assert frames(found, propose_split(found).validation) == [8], "no others than the user's"


def test_a_volume_put_into_training_has_no_slices_that_validate(scene, labels):
    found = volume(labels, 40, [0, 8, 16, 24, 32])
    found.cases[0].side = "training"
    assert propose_split(found).validation == {}
    found.cases[0].side = "validation"
    assert propose_split(found).validation == {found.cases[0].id: None}


def leaky(split: Split, **changes: Any) -> Split:
    fields = {name: getattr(split, name) for name in ("validation", "gap", "dropped", "how", "warnings", "layout")}
    return Split(**(fields | changes))


def test_a_voxel_that_validates_is_never_trained_on(scene, labels):
    found = cine(labels, 30, list(range(0, 30, 5)))
    split = propose_split(found)
    with pytest.raises(SemiSegError) as error:
        check_split(found, leaky(split, dropped=split.dropped[1:]))
    assert error.value.code == "split-leak"
    with pytest.raises(SemiSegError) as error:
        check_split(found, leaky(split, dropped=(*split.dropped, *split.validation)))
    assert error.value.code == "split-stale"


@pytest.mark.parametrize("what", ["gap", "slices", "gone", "unannotated"])
def test_a_split_of_another_state_is_refused(scene, labels, what):
    found = volume(labels, 40, [0, 8, 16, 24, 32])
    split = propose_split(found)
    case = found.cases[0]
    if what == "gap":
        split = leaky(split, gap={})
    elif what == "slices":
        split = leaky(split, validation={case.id: (40,)})
    elif what == "gone":
        found.cases = []
    else:
        case.use = "left out"
    with pytest.raises(SemiSegError) as error:
        check_split(found, split)
    assert error.value.code == ("split-leak" if what == "gap" else "split-stale")


def test_slices_that_are_frames_are_split_as_frames(scene, labels):
    node = scenes.add_volume(np.zeros((30, 10, 12), np.int16), "stack")
    segmentation = scenes.add_segmentation(node, np.stack([labels] * 30), CLASSES)
    marks.set_annotated_slices(segmentation, range(0, 30, 5))
    for _, segment in marks.segments_of(segmentation):
        marks.Status.SetSegmentStatus(segment, marks.Status.NotStarted)  # paint elsewhere does not count
    choices.set_slices_as_frames(node, True)
    found = collect_training_set()
    split = propose_split(found)
    check_split(found, split)
    (held,) = frames(found, split.validation)
    assert set(frames(found, split.dropped)) == {k for k in range(held - 2, held + 3) if 0 <= k < 30} - {held}


def test_any_scene_is_split_without_a_leak(scene, labels):
    """Cines, volumes and pictures together, marks at random: the check holds for every proposal and change."""
    rng = np.random.default_rng(5)
    for length in (12, 25):
        sequence, browser = scenes.add_cine([picture(k) for k in range(length)], f"cine {length}")
        drawn = scenes.add_drawn_sequence(sequence, browser, f"drawn {length}")
        for number in rng.choice(length, 5, replace=False):
            value = sequence.GetNthIndexValue(int(number))
            scenes.draw_frame(drawn, sequence, value, labels, CLASSES)
            marks.accept_frame(drawn, value)
    volume(labels, 30, [int(k) for k in rng.choice(30, 6, replace=False)])
    pictures(labels, 2, beside=1)
    found = collect_training_set()
    for count in (1, 2, 3):
        stacks = list(dict.fromkeys(case.stack or case.id for case in found.cases))[-count:]
        part = TrainingSet(found.classes, [c for c in found.cases if (c.stack or c.id) in stacks or count == 3], [], [])
        for seed in range(5):
            split = propose_split(part, seed)
            check_split(part, split)
            for _ in range(6):
                case_id = str(rng.choice(split.layout.annotated))
                split = split.with_case(case_id, "validation" if rng.random() < 0.5 else "training")
                check_split(part, split)
                assert not set(split.validation) & set(split.dropped)
