"""Outlines of volumes are seen over their own: those of two patients often lie in one place, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.scene.alone import bring_back, follow_views, is_behind, is_out_of_sight, reveal, show_alone
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.hierarchy import patient_of
from SemiSegCervicalLib.scene.records import Record, new_record
from SemiSegCervicalLib.scene.segmentation import new_segmentation
from SlicerRig import scenes

CLASSES = [SegmentClass(1, "atrium", (0.0, 1.0, 0.0))]


def volume_at(name: str, start: float = 0.0, patient: int = 0) -> Any:
    """Add a volume of 6 slices that begins at a place in mm, with a patient of the subject hierarchy or none."""
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    affine[0, 3] = start
    volume = scenes.add_volume(np.zeros((6, 20, 30), np.int16), name, affine)
    if patient:
        slicer.mrmlScene.GetSubjectHierarchyNode().CreateItem(patient, volume)
    return volume


def result_of(volume: Any) -> Record:
    labels = np.zeros((6, 20, 30), np.uint8)
    labels[1:5, 5:15, 5:20] = 1
    return new_record(
        slicer.mrmlScene, volume.GetName(), volume, new_segmentation(volume, labels, CLASSES), None, CLASSES, {}
    )


def look_at(volume: Any, *about: Any) -> None:
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        composite.SetBackgroundVolumeID(volume.GetID())
    follow_views(slicer.mrmlScene, *about)


def seen(*records: Record) -> list[bool]:
    return [bool(record.segmentation.GetDisplayNode().GetVisibility()) for record in records]


@pytest.fixture
def views(scene) -> None:
    for name in ("Red", "Yellow", "Green"):
        view, composite = slicer.vtkMRMLSliceNode(), slicer.vtkMRMLSliceCompositeNode()
        for node in (view, composite):
            node.SetLayoutName(name)
            scene.AddNode(node)
        view.SetMappedInLayout(True)


def test_those_of_another_patient_s_volume_are_hidden_while_this_one_is_looked_at(views):
    first, second = (volume_at(name) for name in "AB")
    one = result_of(first)
    look_at(second)
    assert seen(one) == [True], "it may be another sequence of the same patient"
    look_at(second, second)
    assert seen(one) == [False], "it is about to be segmented"
    other = result_of(second)
    look_at(first)
    assert seen(one, other) == [True, False]
    assert is_out_of_sight(other)
    other.segmentation.GetDisplayNode().SetVisibility(True)
    look_at(first)
    assert seen(one, other) == [True, True], "the user wants to see it"
    look_at(second)
    assert seen(one, other) == [False, True]


def test_what_a_person_has_drawn_in_another_volume_is_not_taken_for_a_result(views):
    """As a trained model's results look like what it has learned from."""
    first, second = (volume_at(name) for name in "AB")
    drawn = scenes.add_segmentation(first, np.ones((6, 20, 30), np.uint8), CLASSES)
    lone = scenes.add_segmentation(first, np.ones((6, 20, 30), np.uint8), CLASSES)
    lone.SetNodeReferenceID(lone.GetReferenceImageGeometryReferenceRole(), None)
    displays = [node.GetDisplayNode() for node in (drawn, lone)]
    look_at(second)
    assert [display.GetVisibility() for display in displays] == [1, 1], "nothing was found in this one"
    look_at(second, second)
    assert [display.GetVisibility() for display in displays] == [0, 1], "nobody knows of which image the other is"
    look_at(first)
    assert displays[0].GetVisibility()
    displays[0].SetVisibility(False)
    look_at(second, second)
    bring_back(slicer.mrmlScene)
    look_at(first)
    assert not displays[0].GetVisibility(), "the user does not want to see it"


def test_a_result_is_not_taken_for_what_is_drawn_in_another_volume(views):
    first, second = (volume_at(name) for name in "AB")
    drawn = scenes.add_segmentation(first, np.ones((6, 20, 30), np.uint8), CLASSES).GetDisplayNode()
    result = result_of(second)
    look_at(first, second)
    assert (seen(result), drawn.GetVisibility()) == ([False], 1)
    look_at(second, second)
    assert (seen(result), drawn.GetVisibility()) == ([True], 0)


@pytest.mark.parametrize("whose", ["one patient's", "elsewhere", "two patients'"])
def test_those_that_cannot_be_mistaken_stay(views, whose):
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    patients = [hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), name) for name in ("somebody", "another")]
    studies = [hierarchy.CreateStudyItem(patient, "today") for patient in patients]
    first = volume_at("T1", patient=studies[0])
    second = volume_at("T2", 500.0 if whose == "elsewhere" else 0.0, studies[whose == "two patients'"])
    assert (patient_of([first]) == patient_of([second])) == (whose != "two patients'")
    one, other = result_of(first), result_of(second)
    look_at(second)
    assert seen(one, other) == [whose != "two patients'", True]
    assert is_out_of_sight(one) == (whose != "one patient's")


def test_a_result_that_was_hidden_for_another_one_of_its_image_comes_back_when_it_is_looked_at(views):
    first, second = (volume_at(name) for name in "AB")
    old, new = result_of(first), result_of(first)
    show_alone(new)
    assert (seen(old, new), is_behind(old)) == ([False, True], True)
    look_at(second, second)
    look_at(first)
    assert seen(old, new) == [False, True], "the image brings back only what it hid"
    reveal(old)
    assert (seen(old), is_behind(old)) == ([True], False)
    look_at(second, second)
    assert seen(old) == [False]
    look_at(first)
    assert seen(old) == [True], "it is not behind any more"


def test_only_the_result_that_is_looked_at_comes_back_without_its_image(views):
    volumes = [volume_at(name) for name in "ABC"]
    records = [result_of(volume) for volume in volumes[:2]]
    look_at(volumes[2], volumes[2])
    assert seen(*records) == [False, False]
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        composite.SetBackgroundVolumeID(None)
    follow_views(slicer.mrmlScene, None, records[1])
    assert seen(*records) == [False, True]


def test_what_has_no_display_is_passed_over(views):
    first, second = (volume_at(name) for name in "AB")
    bare, record = result_of(first), result_of(first)
    drawn = scenes.add_segmentation(first, np.ones((6, 20, 30), np.uint8), CLASSES)
    for node in (bare.segmentation, drawn):
        node.SetAndObserveDisplayNodeID(None)
    show_alone(record)
    look_at(second, second)
    assert seen(record) == [False]
    look_at(first)
    reveal(bare)
    assert seen(record) == [True]


def test_those_of_a_volume_that_is_laid_over_another_are_seen(views):
    """As where two are compared: whoever sees both of them knows what is outlined."""
    first, second = (volume_at(name) for name in "AB")
    one, other = result_of(first), result_of(second)
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    for composite in composites:
        composite.SetForegroundVolumeID(first.GetID())
        composite.SetForegroundOpacity(0.0)
    look_at(second)
    assert seen(one, other) == [False, True], "it is as transparent as Slicer has it at first"
    assert is_out_of_sight(one)
    composites[0].SetForegroundOpacity(0.5)
    bring_back(slicer.mrmlScene)
    assert seen(one, other) == [True, True]
    look_at(second)
    assert seen(one, other) == [True, True]
    assert not is_out_of_sight(one)
    composites[0].SetForegroundVolumeID(None)
    look_at(second)
    assert seen(one, other) == [False, True]


def test_a_result_that_was_hidden_for_another_image_stays_behind_a_newer_one(views):
    looked_at, other = volume_at("looked at"), volume_at("other")
    result_of(looked_at)
    older = result_of(other)
    look_at(looked_at)
    newer = result_of(other)
    show_alone(newer)
    look_at(looked_at)
    assert seen(older, newer) == [False, False]
    look_at(other)
    assert seen(older, newer) == [False, True]
    show_alone(older)
    assert seen(older, newer) == [True, False]
