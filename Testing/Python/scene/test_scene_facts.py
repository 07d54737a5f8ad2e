"""What is said before a training runs: the numbers, and everything that would keep it from learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.segmentation import new_segmentation
from SemiSegTrainerLib.catalogue import METHODS
from SemiSegTrainerLib.scene import marks
from SemiSegTrainerLib.scene.collect import collect_training_set
from SemiSegTrainerLib.scene.drawn import RESIZED
from SemiSegTrainerLib.scene.facts import Facts, Finding, facts_in_pieces, gather_facts
from SemiSegTrainerLib.scene.modes import set_mode
from SemiSegTrainerLib.scene.split import propose_split
from SlicerRig import scenes
from SlicerRig.clocks import timed_pieces

Status = slicer.vtkSlicerSegmentationsModuleLogic
CLASSES = [SegmentClass(1, "anterior", (1, 0, 0)), SegmentClass(2, "posterior", (0, 0, 1))]
BEGUN = {1: Status.InProgress, 2: Status.InProgress}
SUPERVISED = next(m for m in METHODS if not m.needs_unlabelled and not m.needs_modalities)
SEMI = next(m for m in METHODS if m.needs_unlabelled and not m.needs_modalities)
MODALITIES = next(m for m in METHODS if m.needs_modalities)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (10, 12), dtype=np.uint8)


def big(labels: np.ndarray) -> np.ndarray:
    return np.kron(labels, np.ones((6, 6), np.uint8))


def large(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (60, 72), dtype=np.uint8)


def facts(method: Any = None, **options: Any) -> Facts:
    found = collect_training_set(**options)
    return gather_facts(found, propose_split(found), method)


def codes(found: Facts) -> list[str]:
    return [finding.code for finding in found.findings]


def finding(found: Facts, code: str) -> Finding:
    (one,) = [finding for finding in found.findings if finding.code == code]
    assert one.text
    assert one.remedy
    assert not one.text.endswith(".")
    return one


def good(labels: np.ndarray, annotated: int = 6, beside: int = 2, **options: Any) -> None:
    scenes.partly_segmented_scene(
        [large(k) for k in range(annotated + beside)],
        dict.fromkeys(range(annotated), big(labels)),
        CLASSES,
        spacing=(0.2, 0.3),
        **options,
    )


def test_the_numbers_of_a_good_scene(scene, labels):
    good(labels)
    found = facts(SEMI)
    assert codes(found) == []
    assert found.refused is None
    assert (found.training, found.validation, found.unlabelled, found.dropped, found.left_out) == (5, 1, 2, 0, 0)
    per_case = int((big(labels) == 1).sum())
    first = found.classes[0]
    assert (first.name, first.training_voxels, first.training_cases) == ("anterior", 5 * per_case, 5)
    assert (first.validation_voxels, first.validation_cases) == (per_case, 1)
    assert found.background_voxels == 5 * int((big(labels) == 0).sum())
    assert found.open_voxels == 2 * 60 * 72
    assert (found.dimensions, found.modalities, found.groups) == (2, 1, 6)
    assert found.shapes == ((60, 72), (60, 72))
    assert found.spacings == ((0.2, 0.3), (0.2, 0.3))


def test_slices_that_validate_are_counted_apart(scene, labels):
    volume = scenes.add_volume(np.random.default_rng(0).normal(size=(40, 10, 12)), "v")
    painted = np.stack([labels] * 40)
    segmentation = scenes.add_segmentation(volume, painted, CLASSES)
    marks.set_annotated_slices(segmentation, range(0, 40, 5))
    for _, segment in marks.segments_of(segmentation):
        Status.SetSegmentStatus(segment, Status.NotStarted)
    found = facts()
    each = int((labels == 1).sum())
    assert (found.training, found.validation, found.unlabelled) == (1, 1, 0)
    assert found.classes[0].validation_voxels == 2 * each
    assert found.classes[0].training_voxels == 6 * each
    assert found.dimensions == 3
    assert found.open_voxels < 40 * 120 - 6 * 120
    assert "one-patient" in codes(found)


def test_measuring_with_what_a_model_drew_is_warned_of(scene, labels):
    good(labels)
    by_hand = collect_training_set()
    (measured,) = (case for case in by_hand.cases if case.id in propose_split(by_hand).validation)
    drawn = slicer.mrmlScene.GetNodeByID(measured.segmentation)
    slicer.mrmlScene.RemoveNode(drawn)
    volume = slicer.mrmlScene.GetNodeByID(measured.volume)
    marks.accept_segmentation(new_segmentation(volume, big(labels)[None], CLASSES))
    said = finding(facts(SEMI), "measured-by-model")
    assert f'"{measured.name}"' in said.text
    assert not said.refuses


def test_nothing_annotated_is_refused_and_says_why(scene, labels):
    volume = scenes.add_volume(large(), "v")
    new_segmentation(volume, big(labels), CLASSES)
    scenes.add_volume(large(1), "w")
    found = facts()
    refused = found.refused
    assert refused.code == "nothing-annotated"
    assert "nobody has accepted" in refused.text
    assert finding(found, "nothing-annotated") is refused


def test_open_questions_are_refused(scene, labels):
    volume = scenes.add_volume(large(), "v")
    scenes.add_segmentation(volume, big(labels), [SegmentClass(1, "lip", (1, 0, 0)), SegmentClass(2, "Lip", (0, 0, 1))])
    found = facts()
    assert found.refused.code == "classes-open"


def test_only_one_kind_of_voxel_is_refused(scene, labels):
    """A network that is shown nothing but one class learns to answer it everywhere."""
    for number in range(3):
        volume = scenes.add_volume(large(number), f"v{number}")
        scenes.add_segmentation(volume, (big(labels) == 1).astype(np.uint8), CLASSES[:1], BEGUN)
    assert facts().refused.code == "one-kind"
    strokes = scenes.add_segmentation(volume, big(labels), CLASSES, BEGUN, name="second")
    scene.RemoveNode(strokes)
    other = scenes.add_volume(large(9), "other")
    segmentation = scenes.add_segmentation(other, big(labels), CLASSES, BEGUN)
    found = facts()
    assert found.refused is None
    assert "no-background" in codes(found)
    segmentation.GetSegmentation().GetSegment("Segment_2").SetName(" Background")
    assert not {"one-kind", "no-background"} & set(codes(facts()))


def test_outlines_beside_their_image_are_noticed(scene, labels):
    """Finished and empty says "absent": a segmentation that lies elsewhere would teach just that."""
    good(labels)
    node = scenes.add_volume(large(20), "shifted", np.diag([0.3, 0.3, 1, 1]))
    scenes.add_segmentation(node, big(labels), CLASSES)
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 500)
    node.SetIJKToRASMatrix(matrix)
    found = facts()
    assert '"shifted"' in finding(found, "empty-outlines").text


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("status", ["whole", "painted", "unfinished"])
def test_what_is_drawn_on_planes_across_the_slices_is_noticed(scene, axis, status):
    """Finished on the slices that it crosses, it would teach that everything between these planes is background."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in (16, 30, 40)), indexing="ij"))
    centre, steps = (np.reshape(numbers, (3, 1, 1, 1)) for numbers in ([8, 15, 20], [1, 2, 2]))
    ball = np.linalg.norm((grid - centre) / steps, axis=0) < 6
    planes = np.isin(grid[axis], (10, 15, 20))
    for number, drawn in enumerate((ball * planes, ball)):
        volume = scenes.add_volume(np.random.default_rng(number).integers(0, 99, ball.shape), f"v{number}")
        set_mode(scenes.add_segmentation(volume, drawn.astype(np.uint8), CLASSES[:1]), status)
    found = facts()
    if status == "unfinished":  # only what is painted counts
        assert "drawn-across" not in codes(found)
    else:
        text = finding(found, "drawn-across").text
        assert '"v0"' in text
        assert '"v1"' not in text


def test_outlines_on_single_slices_that_nobody_calls_finished_are_noticed(scene):
    """Outlining every fourth slice is "in progress" for the Segment Editor: nothing around it would be background."""
    labels = np.zeros((16, 30, 40), np.uint8)
    labels[2:14, 10:20, 10:30] = 1
    every_fourth = labels.copy()
    every_fourth[np.arange(16) % 4 != 0] = 0
    drawn = {}
    for name, painted in (("slices", every_fourth), ("block", labels), ("strokes", every_fourth), ("done", labels)):
        volume = scenes.add_volume(np.random.default_rng(len(drawn)).integers(0, 99, labels.shape), name)
        mode = {"done": "whole", "strokes": "scribbles"}.get(name, "unfinished")
        drawn[name] = scenes.add_segmentation(volume, painted, CLASSES[:1])
        set_mode(drawn[name], mode)
    found = finding(facts(), "slices-unfinished")
    assert '"slices"' in found.text
    assert not {name for name in ("block", "strokes", "done") if f'"{name}"' in found.text}
    set_mode(drawn["slices"], "painted")
    assert "slices-unfinished" not in codes(facts())


def test_nothing_painted_anywhere_is_refused(scene, labels):
    for number in range(3):
        volume = scenes.add_volume(large(number), f"v{number}")
        scenes.add_segmentation(volume, np.zeros_like(big(labels)), CLASSES)
    found = facts()
    assert found.refused.code == "nothing-painted"
    assert "empty-outlines" in codes(found)


def test_volumes_and_pictures_are_not_mixed(scene, labels):
    good(labels)
    scenes.add_volume(np.random.default_rng(1).normal(size=(8, 60, 72)), "volume")
    found = facts()
    assert found.refused.code == "volumes-and-pictures"
    assert found.dimensions is None
    only = collect_training_set()
    only.cases[-1].use = "left out"
    assert gather_facts(only, propose_split(only)).refused is None


def test_a_class_that_is_missing_or_rare_is_named(scene, labels):
    first = (big(labels) == 1).astype(np.uint8)
    few = first.copy()
    few[50:54, 10:20] = 2
    scenes.partly_segmented_scene(
        [large(k) for k in range(4)], {0: first, 1: first, 2: first, 3: few}, CLASSES, spacing=(0.2, 0.3)
    )
    found = facts(classes=[*CLASSES, SegmentClass(3, "third", (0, 1, 0))])
    assert '"third"' in finding(found, "class-empty").text
    assert '"posterior"' in finding(found, "class-once").text
    assert "40 pixels" in finding(found, "few-voxels").text
    assert '"posterior"' in finding(found, "split").text
    assert found.refused is None


def test_what_vanishes_when_it_is_scaled_is_named(scene, labels):
    speck = np.zeros((300, 400), np.uint8)
    speck[100:104, 100:105] = 1
    speck[200:, :] = 2
    shown = [np.random.default_rng(k).integers(0, 256, speck.shape, dtype=np.uint8) for k in range(6)]
    scenes.partly_segmented_scene(shown, dict.fromkeys(range(6), speck), CLASSES, spacing=(0.2, 0.3))
    said = [finding for finding in facts().findings if finding.code == "tiny"]
    assert ['"anterior"' in finding.text for finding in said] == [True]


def test_segments_that_cover_each_other_are_noticed(scene, labels):
    good(labels)
    volume = scenes.add_volume(large(20), "covered")
    segmentation = scenes.add_segmentation(volume, big(labels), CLASSES)
    extra = scenes.add_segmentation(volume, (big(labels) == 1).astype(np.uint8), CLASSES[1:2])
    copy = scenes.add_segmentation(volume, (big(labels) == 1).astype(np.uint8), [SegmentClass(1, "whole", (0, 1, 0))])
    segmentation.GetSegmentation().CopySegmentFromSegmentation(copy.GetSegmentation(), "Segment_1", False)
    scene.RemoveNode(extra)
    scene.RemoveNode(copy)
    found = facts()
    assert '"covered"' in finding(found, "much-unknown").text
    assert '"whole"' in finding(found, "class-empty").text


def test_too_little_for_validation_says_what_to_do(scene, labels):
    good(labels, annotated=2)
    found = facts()
    said = finding(found, "no-validation")
    assert "too little" in said.text
    assert said.remedy.startswith("Annotate three images")
    assert "2 images" in finding(found, "few-annotated").text
    assert found.validation == 0


def test_voxel_sizes_and_image_sizes_that_differ_are_said(scene, labels):
    good(labels)
    scenes.add_volume(np.tile(large(30), (3, 3)), "huge", np.diag([-0.3, -0.2, 1, 1]))
    scenes.add_volume(large(31), "coarse", np.diag([-3.0, -2.0, 1, 1]))
    unknown = scenes.add_volume(large(32), "unknown")
    unknown.SetAttribute("SemiSeg.Calibrated", "no")
    found = facts()
    said = "72 \N{MULTIPLICATION SIGN} 60 to 216 \N{MULTIPLICATION SIGN} 180 pixels"
    assert said in finding(found, "sizes-differ").text
    assert "mm" in finding(found, "spacings-differ").text
    assert "of others is" in finding(found, "uncalibrated").text
    assert found.uncalibrated == 1
    assert "calibration-unknown" not in codes(found)
    scenes.add_volume(large(33), "one millimetre")
    said = finding(facts(), "calibration-unknown")
    assert '"one millimetre"' in said.text
    assert "Pixel size" in said.remedy
    scenes.add_segmentation(scene.GetFirstNodeByName("coarse"), (large(31) > 0).astype(np.uint8), CLASSES)
    scene.GetFirstNodeByName("coarse").SetSpacing(0.5, 0.5, 1)
    said = finding(facts(), "left-out")
    assert said.text == f'"coarse" left out: {RESIZED}'
    assert "earlier spacing" in said.remedy


def test_all_annotated_leaves_semi_supervised_methods_nothing(scene, labels):
    good(labels, beside=0)
    assert not finding(facts(), "nothing-unlabelled").refuses
    assert not finding(facts(SUPERVISED), "nothing-unlabelled").refuses
    assert facts(SEMI).refused.code == "nothing-unlabelled"
    assert facts(MODALITIES).refused.code in ("nothing-unlabelled", "one-modality")


def test_the_same_picture_twice_and_an_empty_one_are_noticed(scene, labels):
    good(labels)
    scenes.add_volume(large(0), "copy of the first")
    scenes.add_volume(np.zeros((60, 72), np.uint8), "black")
    scenes.add_volume(np.zeros((60, 72), np.uint8), "black too")
    found = facts()
    assert "copy of the first" in finding(found, "twins").text
    assert "black" not in finding(found, "twins").text
    assert '"black too"' in finding(found, "blank").text


def test_what_is_left_out_is_named_with_its_reason(scene, labels):
    good(labels)
    volume = scenes.add_volume(large(20), "doubtful")
    scenes.add_segmentation(volume, big(labels), CLASSES, {1: Status.Flagged, 2: Status.Flagged})
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")
    found = facts()
    said = finding(found, "left-out")
    assert '"doubtful"' in said.text
    assert "flagged" in said.text
    assert "use in the table" not in said.remedy, "that offers nothing that helps"
    assert '"hollow"' in finding(found, "note").text
    assert found.left_out == 1


def test_a_frame_without_image_is_noted_and_the_others_are_used(scene, labels):
    sequence, _ = scenes.add_cine([large(k) for k in range(3)], "cine")
    sequence.GetNthDataNode(1).SetAndObserveImageData(None)
    found = collect_training_set()
    assert [case.frame for case in found.cases] == ["0.00", "0.08"]
    assert any("cine, frame 2" in note for note in found.notes)


def test_gathering_comes_in_short_pieces(scene, labels):
    painted = np.kron(labels, np.ones((60, 60), np.uint8))
    scenes.partly_segmented_scene(
        [np.zeros(painted.shape, np.uint8) for _ in range(12)], dict.fromkeys(range(6), painted), CLASSES
    )
    found = collect_training_set()
    split = propose_split(collect_training_set())
    durations, _ = timed_pieces(facts_in_pieces(found, split))
    assert len(durations) >= 12
    assert max(durations) < 0.05, "planned are 20 ms, which a busy machine stretches"
