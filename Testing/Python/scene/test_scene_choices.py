"""What the user chose for training is kept in the scene and decides what its images are used for."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.pieces import whole
from SemiSegCervicalLib.scene import pairs
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.segmentation import new_segmentation
from SemiSegTrainerLib.catalogue import METHODS
from SemiSegTrainerLib.scene import choices, modes
from SemiSegTrainerLib.scene.attributes import hold
from SemiSegTrainerLib.scene.classes import SegmentKey
from SemiSegTrainerLib.scene.collect import collect_training_set
from SemiSegTrainerLib.scene.datalist import write_datalist
from SemiSegTrainerLib.scene.facts import gather_facts
from SemiSegTrainerLib.scene.modes import ModeNow, mode_of, set_mode
from SemiSegTrainerLib.scene.sources import sources_in_pieces
from SemiSegTrainerLib.scene.split import propose_split
from SemiSegTrainerLib.scene.training_set import TrainingCase
from SlicerRig import mrml, scenes

Status = slicer.vtkSlicerSegmentationsModuleLogic
CLASSES = [SegmentClass(1, "anterior", (1, 0, 0)), SegmentClass(2, "posterior", (0, 0, 1))]


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (10, 12), dtype=np.uint8)


def uses() -> dict[str, tuple[str, str | None]]:
    return {case.name: (case.use, case.side) for case in collect_training_set().cases}


def case_of(volume: Any) -> TrainingCase:
    (case,) = [c for c in collect_training_set().cases if c.id == volume.GetID()]
    return case


def saved_and_loaded(scene: Any, path: Any) -> None:
    assert scene.WriteToMRB(str(path))
    mrml.clear()
    scene.SetURL(str(path))
    assert scene.ReadFromMRB(str(path), True)
    mrml.process_events()


def test_what_an_image_is_used_for_can_be_chosen(scene, labels):
    made = scenes.partly_segmented_scene([picture(k) for k in range(5)], {k: labels for k in range(4)}, CLASSES)
    ids = [volume.GetID() for volume in made.volumes]
    for case_id, use in zip(ids, ("training", "validation", "unlabelled", "left out", "validation"), strict=True):
        choices.set_use(case_id, use)
    assert list(uses().values()) == [
        ("labelled", "training"),
        ("labelled", "validation"),
        ("unlabelled", None),
        ("left out", None),
        ("unlabelled", None),  # without annotation there is nothing to measure with
    ]
    assert "by you" in case_of(made.volumes[3]).reason
    assert "your choice" in case_of(made.volumes[2]).reason
    assert list(propose_split(collect_training_set()).validation) == [ids[1]]
    choices.set_use(ids[3], None)
    assert uses()["image 4"] == ("labelled", None)
    with pytest.raises(SemiSegError):
        choices.set_use("vtkMRMLScalarVolumeNode99", "training")
    with pytest.raises(ValueError, match="no use"):
        choices.set_use(ids[0], "for tea")


def test_frames_have_uses_of_their_own_and_a_cine_one_for_all(scene, labels):
    made = scenes.partly_segmented_scene(
        [], {}, CLASSES, cine=[picture(k) for k in range(4)], cine_labels={0: labels, 2: labels}
    )
    cine = made.cine.GetID()
    choices.set_use(f"{cine}:0.00", "validation")
    choices.set_use(f"{cine}:0.04", "left out")
    assert list(uses().values()) == [
        ("labelled", "validation"),
        ("left out", None),
        ("labelled", None),
        ("unlabelled", None),
    ]
    choices.set_use(f"{cine}:0.00", None)
    assert choices.chosen_use(made.cine, "0.00") is None
    choices.set_use(cine, "unlabelled")
    assert {use for use, _ in uses().values()} == {"unlabelled"}
    choices.set_use(f"{cine}:0.08", "training")
    assert uses()["cine, frame 3"] == ("labelled", "training")


def test_slices_that_are_frames_have_uses(scene, labels):
    volume = scenes.add_volume(np.zeros((4, 10, 12), np.int16), "stack")
    scenes.add_segmentation(volume, np.stack([labels] * 4), CLASSES)
    choices.set_slices_as_frames(volume, True)
    choices.set_use(f"{volume.GetID()}:2", "left out")
    assert [use for use, _ in uses().values()] == ["labelled", "labelled", "left out", "labelled"]
    choices.set_slices_as_frames(volume, False)
    assert len(uses()) == 1


def test_the_segmentation_that_counts_can_be_chosen(scene, labels):
    volume = scenes.add_volume(picture(), "v")
    scenes.add_segmentation(volume, labels, CLASSES, name="first")
    second = scenes.add_segmentation(volume, labels * (labels == 1), CLASSES, name="second")
    assert "choose one" in case_of(volume).reason
    choices.choose_segmentation(volume, second)
    case = case_of(volume)
    assert (case.use, case.segmentation) == ("labelled", second.GetID())
    assert set(np.unique(case.labels)) == {0, 1}
    choices.choose_segmentation(volume, None)
    assert case_of(volume).use == "left out"
    choices.choose_segmentation(volume, second)
    scene.RemoveNode(second)
    assert choices.chosen_segmentation(volume) is None
    assert case_of(volume).use == "labelled"


def test_answers_are_kept_without_asking_again(scene, labels):
    volume = scenes.add_volume(picture(), "v")
    code = "Category~SCT^123037004^Anatomical Structure~SCT^71252005^Cervix uteri~^^~Anatomic~^^~^^"
    twins = [SegmentClass(1, "lip", (1, 0, 0), code), SegmentClass(2, "Lip", (0, 0, 1))]
    scenes.add_segmentation(volume, labels, twins)
    (conflict,) = collect_training_set().conflicts
    choices.save_answers({conflict.key: "other lip"})
    found = collect_training_set()
    assert found.conflicts == []
    assert [entry.name for entry in found.classes] == ["lip", "other lip"]
    assert choices.saved_answers() == {conflict.key: "other lip"}
    choices.save_answers({conflict.key: "third"})
    assert [c.name for c in collect_training_set().classes] == ["lip", "third"]
    coded = SegmentKey.of(twins[0])
    choices.save_answers({coded: "", conflict.key: "lip"})
    assert choices.saved_answers() == {coded: "", conflict.key: "lip"}
    choices.save_answers({})
    assert choices.saved_answers() == {}
    assert len(collect_training_set().conflicts) == 1


def test_choices_come_back_with_a_saved_scene(scene, labels, tmp_path):
    made = scenes.partly_segmented_scene(
        [picture(k) for k in range(5)],
        {0: labels, 1: labels, 3: labels},
        CLASSES,
        cine=[picture(k) for k in range(4)],
        cine_labels={1: labels, 3: labels},
    )
    other = scenes.add_segmentation(made.volumes[0], labels * (labels == 2), CLASSES, name="other")
    choices.choose_segmentation(made.volumes[0], other)
    choices.set_use(made.volumes[1].GetID(), "validation")
    choices.set_use(f"{made.cine.GetID()}:0.04", "left out")
    pairs.pair(made.volumes[3], made.volumes[4], ("T1", "FLAIR"))
    choices.set_use(made.volumes[2].GetID(), "left out")
    choices.save_answers({SegmentKey("anterior", None): "front"})

    def state() -> Any:
        found = collect_training_set()
        shown = [(c.name, c.use, c.side, c.reason, [i is not None for i in c.images]) for c in found.cases]
        return [c.name for c in found.classes], found.modalities, shown

    before = state()
    assert before[0] == ["posterior", "front"]
    saved_and_loaded(scene, tmp_path / "scene.mrb")
    assert state() == before


@pytest.mark.parametrize("mode", modes.MODES)
@pytest.mark.parametrize("before", modes.MODES)
def test_a_mode_is_what_was_set(scene, labels, before, mode):
    painted = np.stack([labels, labels * 0, labels, labels])
    volume = scenes.add_volume(np.zeros(painted.shape, np.int16), "v")
    segmentation = scenes.add_segmentation(volume, painted, CLASSES)
    flagged = scenes.add_segmentation(
        volume, labels[None].repeat(4, 0), CLASSES, {1: Status.Flagged, 2: Status.Flagged}
    )
    for chosen in (before, mode):
        set_mode(segmentation, chosen, [2, 0])
    assert mode_of(segmentation) == ModeNow(mode, (0, 2) if mode == "chosen" else ())
    case = case_of(volume)
    expected = {
        "whole": ("labelled", None, 2),
        "painted": ("partly", (0, 2, 3), 2),
        "chosen": ("partly", (0, 2), 2),
        "scribbles": ("partly", None, 0),
        "unfinished": ("partly", None, 0),
        "none": ("unlabelled", None, 0),
    }[mode]
    assert (case.use, case.slices, len(case.finished)) == expected
    set_mode(flagged, "whole")
    assert mode_of(flagged) == ModeNow("none")
    np.testing.assert_array_equal(
        slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "Segment_1", volume), painted == 1
    )


def test_segments_of_different_standing_have_no_common_mode(scene, labels):
    volume = scenes.add_volume(picture(), "v")
    segmentation = scenes.add_segmentation(volume, labels, CLASSES, {1: Status.Completed, 2: Status.InProgress})
    assert mode_of(segmentation) == ModeNow(None)
    assert mode_of(scenes.add_segmentation(volume, labels, [])) == ModeNow("none")


def test_choosing_slices_of_a_models_result_accepts_those_only(scene, labels):
    predicted = np.stack([labels] * 5)
    volume = scenes.add_volume(np.zeros(predicted.shape, np.int16), "v")
    segmentation = new_segmentation(volume, predicted, CLASSES)
    assert mode_of(segmentation).mode == "none"
    for before in ("none", "whole", "unfinished"):
        set_mode(segmentation, before)
        set_mode(segmentation, "chosen", [1])
        case = case_of(volume)
        assert (case.use, case.slices) == ("partly", (1,)), before
        assert case.counts[:, 1:].any(axis=1).tolist() == [False, True, False, False, False]
    set_mode(segmentation, "none")
    set_mode(segmentation, "painted")
    assert case_of(volume).use == "unlabelled", "a model paints everywhere"
    with pytest.raises(ValueError, match="no mode"):
        set_mode(segmentation, "half")


def flair_pair(shape: tuple[int, ...] = (6, 10, 12), **changes: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    first = scenes.add_volume(rng.normal(size=shape).astype(np.float32), "t1")
    second = scenes.add_volume(
        rng.normal(size=changes.get("other", shape)).astype(np.float32), "flair", changes.get("affine")
    )
    return first, second


def test_two_images_of_a_patient_become_one_case(scene, labels, tmp_path):
    first, second = flair_pair()
    scenes.add_segmentation(second, np.stack([labels] * 6), CLASSES)  # drawn on the partner
    pairs.pair(first, second, ("T1", "FLAIR"))
    found = collect_training_set()
    (case,) = found.cases
    assert found.modalities == ("T1", "FLAIR")
    assert (case.id, case.use) == (first.GetID(), "labelled")
    assert case.image.shape == (2, 6, 10, 12)
    path = write_datalist(found, tmp_path / "d")
    content = json.loads(path.read_text())
    assert content["modality"] == {"0": "T1", "1": "FLAIR"}
    (entry,) = content["training"]
    assert len(entry["image"]) == 2
    for name, volume in zip(entry["image"], (first, second), strict=True):
        stored = sitk.GetArrayFromImage(sitk.ReadImage(str(path.parent / name)))
        np.testing.assert_array_equal(stored, slicer.util.arrayFromVolume(volume))
    facts = gather_facts(found, propose_split(found))
    assert facts.modalities == 2
    pairs.unpair(first)
    assert len(collect_training_set().cases) == 2
    assert pairs.modality_of(second) == ""


def test_a_case_may_lack_a_modality_and_an_image_without_name_is_left_out(scene, labels, tmp_path):
    first, second = flair_pair()
    scenes.add_segmentation(first, np.stack([labels] * 6), CLASSES)
    pairs.pair(first, second, ("T1", "FLAIR"))
    alone = scenes.add_volume(np.random.default_rng(3).normal(size=(6, 10, 12)), "alone")
    alone.SetAttribute(pairs.MODALITY, "flair")
    nameless = scenes.add_volume(np.zeros((6, 10, 12), np.float32), "nameless")
    found = collect_training_set()
    assert [[image is not None for image in case.images] for case in found.cases[:2]] == [[True, True], [False, True]]
    assert case_of(nameless).use == "left out"
    content = json.loads(write_datalist(found, tmp_path / "d").read_text())
    (entry,) = content["unlabeled"]
    assert entry["image"][0] is None
    assert entry["id"] == alone.GetID()
    split = propose_split(found)
    refusing = {
        m.name for m in METHODS if "unpaired" in [f.code for f in gather_facts(found, split, m).findings if f.refuses]
    }
    assert refusing == {m.name for m in METHODS if not m.needs_modalities}


@pytest.mark.parametrize("moved", [False, True])
def test_a_partner_on_another_grid_is_brought_over(scene, labels, tmp_path, moved):
    """A ramp along each axis, sampled twice as finely and from another corner: linear interpolation is exact."""
    coarse = np.diag([2.0, 1.0, 3.0, 1.0])
    fine = np.diag([1.0, 1.0, 1.5, 1.0])
    fine[:3, 3] = [-2, -1, -3]

    def ramp(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
        z, y, x = np.indices(shape)
        at = np.stack([x, y, z, np.ones(shape)], axis=-1) @ affine.T
        return (at[..., :3] @ [1.0, 10.0, 100.0]).astype(np.float32)

    first = scenes.add_volume(ramp((4, 8, 9), coarse), "t1", coarse)
    second = scenes.add_volume(ramp((12, 12, 24), fine), "flair", fine)
    if moved:
        transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, 50)
        transform.SetMatrixTransformToParent(matrix)
        first.SetAndObserveTransformNodeID(transform.GetID())
        second.SetAndObserveTransformNodeID(transform.GetID())
    scenes.add_segmentation(first, np.ones((4, 8, 9), np.uint8), CLASSES[:1])
    pairs.pair(first, second, ("T1", "FLAIR"))
    case = case_of(first)
    np.testing.assert_allclose(case.image[1], case.image[0], atol=1e-3)
    if moved:
        second.SetAndObserveTransformNodeID(None)
        shifted = case_of(first).image
        lowest = slicer.util.arrayFromVolume(second).min()
        assert (shifted[1] == lowest).all(), "fifty millimetres away there is nothing of it"
        return
    path = write_datalist(collect_training_set(), tmp_path / "d")
    (entry,) = json.loads(path.read_text())["training"]
    images = [sitk.ReadImage(str(path.parent / name)) for name in entry["image"]]
    assert images[0].GetSize() == images[1].GetSize()
    assert images[0].GetOrigin() == images[1].GetOrigin()


def test_cines_are_paired_by_index_value(scene, labels):
    scenes.partly_segmented_scene([], {}, CLASSES, cine=[picture(k) for k in range(3)], cine_labels={1: labels})
    first = collect_training_set().cases[0]
    cine = scene.GetNodeByID(first.stack)
    colour, _ = scenes.add_cine(
        [np.stack([picture(k)] * 3, -1) for k in (7, 8)], "colour", index_values=["0.04", "0.08"]
    )
    pairs.pair(cine, colour, ("grey", "colour"))
    found = collect_training_set()
    assert [[image is not None for image in case.images] for case in found.cases] == [
        [True, False],
        [True, True],
        [True, True],
    ]
    np.testing.assert_allclose(found.cases[2].image[1], picture(8), atol=1e-3)


def test_a_paired_cine_may_lack_the_image_of_a_frame(scene, labels):
    scenes.partly_segmented_scene([], {}, CLASSES, cine=[picture(k) for k in range(3)], cine_labels={1: labels})
    cine = scene.GetNodeByID(collect_training_set().cases[0].stack)
    values = [cine.GetNthIndexValue(k) for k in range(3)]
    colour, _ = scenes.add_cine([picture(k + 7) for k in range(3)], "colour", index_values=values)
    colour.GetNthDataNode(2).SetAndObserveImageData(None)
    pairs.pair(cine, colour, ("grey", "colour"))
    found = collect_training_set()
    assert [[image is not None for image in case.images] for case in found.cases] == [[True, True]] * 2 + [
        [True, False]
    ]
    assert found.notes == [f'"colour, frame at {values[2]}" holds no image: left out']


def test_a_pair_belongs_to_the_patient_of_either_image(scene):
    first, second = flair_pair()
    third = scenes.add_volume(np.zeros((6, 10, 12), np.float32), "third")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "patient")
    for volume in (second, third):
        hierarchy.SetItemParent(hierarchy.CreateItem(patient, volume), patient)
    pairs.pair(first, second, ("T1", "FLAIR"))
    one, other = (source.group for source in whole(sources_in_pieces(scene))[0])
    assert one == other


def test_pairs_that_cannot_be_are_refused(scene):
    first, second = flair_pair()
    third = scenes.add_volume(np.zeros((6, 10, 12)), "third")
    cine, _ = scenes.add_cine([picture()], "cine")
    pairs.pair(first, second, ("T1", "FLAIR"))
    for reference, partner, names, code in (
        (third, third, ("a", "b"), "not-a-pair"),
        (third, cine, ("a", "b"), "not-a-pair"),
        (third, second, ("T1", "FLAIR"), "paired-already"),
        (third, first, ("T1", "FLAIR"), "paired-already"),
        (second, third, ("T1", "FLAIR"), "paired-already"),
        (first, third, ("T1", "flair "), "modality-names"),
        (third, cine, ("", "b"), "modality-names"),
    ):
        with pytest.raises(SemiSegError) as error:
            pairs.pair(reference, partner, names)
        assert error.value.code == code
    pairs.pair(first, third, ("T1", "T2"))
    assert collect_training_set().modalities == ("T1", "FLAIR", "T2")


@pytest.mark.parametrize("damaged", ["1", '["a", 3, "b"]', '[["a"], null, "b"]', '["a", null, 3]', '["a", null]'])
def test_damaged_answers_count_as_nothing(scene, labels, damaged):
    """Else neither the scene could be read nor the panel be shown."""
    hold(choices.ANSWERS, f'[{damaged}, ["lip", null, "anterior"]]')
    assert list(choices.saved_answers().values()) == ["anterior"]
    hold(choices.ANSWERS, damaged[:-1])
    assert choices.saved_answers() == {}


def test_damaged_attributes_count_as_nothing(scene, labels):
    made = scenes.partly_segmented_scene([], {}, CLASSES, cine=[picture(k) for k in range(2)], cine_labels={0: labels})
    made.cine.SetAttribute(choices.FRAME_USES, "{not json")
    made.cine.SetAttribute(choices.USE, "for tea")
    assert [use for use, _ in uses().values()] == ["labelled", "unlabelled"]
    made.cine.SetAttribute(choices.FRAME_USES, '{"0.00": "for tea", "0.04": "left out"}')
    assert [use for use, _ in uses().values()] == ["labelled", "left out"]
