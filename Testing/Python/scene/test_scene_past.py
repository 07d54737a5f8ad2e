"""What was learned from never validates later, and what validated goes on to, as annotations are added."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegTrainerLib.scene import choices, marks
from SemiSegTrainerLib.scene.collect import collect_training_set
from SemiSegTrainerLib.scene.past import PAST, remember
from SemiSegTrainerLib.scene.split import Split, check_split, propose_split
from SemiSegTrainerLib.scene.training_set import TrainingSet
from SlicerRig import mrml, scenes

CLASSES = [SegmentClass(1, "anterior", (1, 0, 0)), SegmentClass(2, "posterior", (0, 0, 1))]


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (10, 12), dtype=np.uint8)


def sides(found: TrainingSet, split: Split) -> tuple[set[str], set[str]]:
    """The annotated cases that are trained on, and those that validate."""
    annotated = {case.id for case in found.used("labelled", "partly")}
    return {i for i in annotated if split.side(i) == "training"}, set(split.validation)


@pytest.mark.parametrize("begun", [2, 3, 7])
def test_images_keep_their_side_while_more_are_annotated(scene, labels, begun):
    made = scenes.partly_segmented_scene([picture(k) for k in range(14)], dict.fromkeys(range(begun), labels), CLASSES)
    learned: set[str] = set()
    validated: set[str] = set()
    for annotated in range(begun, 15):
        found = collect_training_set()
        split = propose_split(found)
        check_split(found, split)
        now_learned, now_validated = sides(found, split)
        assert validated <= now_validated
        assert not learned & now_validated
        assert len(now_validated) == (0 if annotated < 3 else max(1, round(0.2 * annotated)))
        assert not any("learned from" in warning for warning in split.warnings)
        remember(found, split)
        learned |= now_learned
        validated |= now_validated
        if annotated < 14:
            segmentation = scenes.add_segmentation(made.volumes[annotated], labels, CLASSES)
            marks.accept_segmentation(segmentation)
    assert len(learned) == 14 - len(validated)


def test_a_training_that_came_to_nothing_is_forgotten(scene, labels, tmp_path):
    scenes.partly_segmented_scene([picture(k) for k in range(6)], dict.fromkeys(range(4), labels), CLASSES)
    outside = tmp_path / "more"
    outside.mkdir()
    for name, voxels in (("a.png", picture(9)), ("a_label.png", labels)):
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(outside / name))
    content = {"labels": {"1": "anterior", "2": "posterior"}, "training": [{"image": "a.png", "label": "a_label.png"}]}
    (outside / "datalist.json").write_text(json.dumps(content))
    choices.add_folder(str(outside))

    def pasts() -> list[Any]:
        return [case.past for case in collect_training_set().cases]

    before = pasts()
    forget = remember(collect_training_set(), None)
    assert sum(bool(past.learned) for past in pasts()) == 5
    forget()
    assert pasts() == before
    forget = remember(collect_training_set(), None)
    remember(collect_training_set(), None)  # a second training, which learned from the same
    learned = pasts()
    forget()
    assert pasts() == learned


def test_where_all_was_learned_from_something_validates_and_it_is_said(scene, labels):
    scenes.partly_segmented_scene([picture(k) for k in range(4)], dict.fromkeys(range(3), labels), CLASSES)
    remember(collect_training_set(), None)
    split = propose_split(collect_training_set())
    assert len(split.validation) == 1
    (warning,) = split.warnings
    assert "learned from in an earlier training" in warning


def test_what_was_learned_from_is_put_aside_by_hand_only_and_it_is_said(scene, labels):
    scenes.partly_segmented_scene([picture(k) for k in range(5)], dict.fromkeys(range(5), labels), CLASSES)
    found = collect_training_set()
    split = propose_split(found)
    remember(found, split)
    learned, validated = sides(found, split)
    again = propose_split(collect_training_set(), seed=1)
    assert set(again.validation) == validated
    assert not again.warnings
    assert any("learned from" in warning for warning in again.with_case(min(learned), "validation").warnings)
    choices.set_use(min(validated), "training")
    found = collect_training_set()
    remember(found, propose_split(found))
    choices.set_use(min(validated), None)
    assert not any(case.past.validated for case in collect_training_set().cases), "it has been learned from since"


def cine(labels: Any, annotated: list[int], length: int = 120) -> Any:
    shown = [picture(k) for k in range(length)]
    return scenes.partly_segmented_scene([], {}, CLASSES, cine=shown, cine_labels=dict.fromkeys(annotated, labels))


def accept(made: Any, labels: Any, frames: list[int]) -> TrainingSet:
    for number in frames:
        value = made.cine.GetNthIndexValue(number)
        scenes.draw_frame(made.drawn, made.cine, value, labels, CLASSES)
        scenes.accept_frame(made.drawn, value)
    return collect_training_set()


def numbers(found: TrainingSet, ids: Any) -> list[int]:
    order = [case.id for case in found.cases]
    return sorted(order.index(i) for i in ids)


def test_frames_keep_their_side_and_those_between_join_them(scene, labels):
    made = cine(labels, list(range(0, 120, 8)))
    found = collect_training_set()
    split = propose_split(found)
    held = numbers(found, split.validation)
    remember(found, split)
    learned = {k for k, case in enumerate(found.cases) if case.use == "labelled" and split.side(case.id) == "training"}
    between = [k for k in range(held[0], held[-1]) if k not in held]
    found = accept(made, labels, [*between[:4], *(k for k in range(3, 120, 8) if abs(k - held[0]) > 40)])
    split = propose_split(found)
    check_split(found, split)
    now = numbers(found, split.validation)
    assert set(now) >= {*held, *between[:4]}
    assert not learned & set(now)
    assert not any("learned from" in warning for warning in split.warnings)


def test_slices_of_a_volume_keep_their_side(scene, labels):
    node = scenes.add_volume(np.zeros((40, 10, 12), np.int16), "volume")
    segmentation = scenes.add_segmentation(node, np.stack([labels] * 40), CLASSES)
    marks.set_annotated_slices(segmentation, list(range(0, 40, 4)))
    found = collect_training_set()
    split = propose_split(found)
    (held,) = split.validation.values()
    assert held
    remember(found, split)
    (case,) = collect_training_set().cases
    assert case.past.validated == set(held)
    assert case.past.learned == set(range(40)) - set(split.held_out(case.id)), "paint on other slices counts too"
    marks.set_annotated_slices(segmentation, list(range(0, 40, 2)))
    for seed in range(4):
        found = collect_training_set()
        split = propose_split(found, seed)
        check_split(found, split)
        (now,) = split.validation.values()
        assert now is not None
        assert set(now) >= set(held)
        assert not case.past.learned & set(now)


def test_the_past_comes_back_with_the_scene_and_damage_does_no_harm(scene, labels, tmp_path):
    scenes.partly_segmented_scene([picture(k) for k in range(4)], dict.fromkeys(range(4), labels), CLASSES)
    found = collect_training_set()
    split = propose_split(found)
    remember(found, split)
    path = tmp_path / "kept.mrb"
    assert scene.WriteToMRB(str(path))
    mrml.clear()
    assert scene.ReadFromMRB(str(path))
    again = collect_training_set()
    assert [case.past for case in again.cases] == [case.past for case in collect_training_set().cases]
    assert sum(bool(case.past.learned) for case in again.cases) == 3
    assert list(propose_split(again, seed=5).validation) == list(split.validation)
    for damaged in ("{", "[]", '{"": 3}', '{"": [["a"], []]}'):
        for case in again.cases:
            scene.GetNodeByID(case.volume).SetAttribute(PAST, damaged)
        assert not any(case.past.learned for case in collect_training_set().cases)


def test_cases_on_disk_have_a_past_too(scene, labels, tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    for number in range(4):
        sitk.WriteImage(sitk.GetImageFromArray(picture(number)), str(folder / f"{number}.png"))
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(folder / f"{number}_label.png"))
    listed = [{"image": f"{k}.png", "label": f"{k}_label.png"} for k in range(4)]
    content = {"labels": {"1": "anterior", "2": "posterior"}, "training": listed}
    (folder / "datalist.json").write_text(json.dumps(content))
    choices.add_folder(str(folder))
    found = collect_training_set()
    split = propose_split(found)
    remember(found, split)
    again = collect_training_set()
    assert {case.id for case in again.cases if case.past.validated} == set(split.validation)
    assert sum(bool(case.past.learned) for case in again.cases) == 3
