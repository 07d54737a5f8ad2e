"""Which images of the scene go together as the modalities of one case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene.source import check_together, current_frame, source_of
from SlicerRig import mrml, scenes


def volume(name: str) -> Any:
    return scenes.add_volume(np.zeros((4, 8, 8), np.uint8), name, np.diag([-0.5, -0.5, 2, 1]))


def move(node: Any, millimetres: float) -> Any:
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, millimetres)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "registration")
    transform.SetMatrixTransformToParent(matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def refused(*nodes: Any) -> str:
    with pytest.raises(SemiSegError) as error:
        check_together([source_of(node) for node in nodes])
    return error.value.code


def test_modalities_are_of_one_patient(scene):
    """Two patients on one scanner's grid would be segmented as if they were one."""
    volumes = [scenes.add_volume(np.zeros((4, 10, 12), np.int16), name) for name in ("flair", "t1", "t2")]
    check_together([source_of(node) for node in volumes])
    hierarchy = scene.GetSubjectHierarchyNode()
    for volume, name in zip(volumes, ("somebody", "another"), strict=False):
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), name)
        hierarchy.CreateItem(hierarchy.CreateStudyItem(patient, "today"), volume)
    assert refused(*volumes[:2]) == "different-patients"
    check_together([source_of(node) for node in volumes[1:]])  # of one nobody knows the patient


def test_one_image_is_not_two_modalities(scene):
    flair, t1 = volume("flair"), volume("t1")
    assert refused(flair, flair) == refused(flair, t1, flair) == refused(flair, t1, t1) == "same-image"
    sequence, browser = scenes.add_cine([np.zeros((8, 8), np.uint8)] * 2, "cine")
    assert refused(sequence, browser.GetProxyNode(sequence)) == "same-image"


def test_images_under_different_transforms_do_not_go_together(scene):
    flair, t1 = volume("flair"), volume("t1")
    check_together([source_of(flair), source_of(t1)])
    transform = move(t1, 50)
    assert refused(flair, t1) == refused(t1, flair) == "different-transforms"
    flair.SetAndObserveTransformNodeID(transform.GetID())  # moved together
    check_together([source_of(flair), source_of(t1)])
    move(flair, 50)  # another one, to the same place
    check_together([source_of(flair), source_of(t1)])
    t1.HardenTransform()
    assert refused(flair, t1) == "different-grids"


def test_images_under_a_transform_that_bends_do_not_go_with_others(scene):
    flair, t1 = volume("flair"), volume("t1")
    bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "bent")
    bent.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    t1.SetAndObserveTransformNodeID(bent.GetID())
    assert refused(flair, t1) == "different-transforms"


def test_a_cine_is_where_the_volume_that_shows_it_is(scene):
    first, second = (scenes.add_cine([np.zeros((8, 8), np.uint8)] * 2, name) for name in ("first", "second"))
    check_together([source_of(first[0]), source_of(second[0])])
    move(second[1].GetProxyNode(second[0]), 50)
    assert refused(first[0], second[0]) == "different-transforms"


def test_what_to_do_with_a_sequence_of_volumes_is_said(scene):
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "heart")
    for phase in range(3):
        item = slicer.vtkMRMLScalarVolumeNode()
        slicer.util.updateVolumeFromArray(item, np.full((4, 8, 8), phase, np.uint8))
        sequence.SetDataNodeAtValue(item, str(phase))
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "beats")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    mrml.process_events()
    shown = browser.GetProxyNode(sequence)
    with pytest.raises(SemiSegError, match="sequence of volumes") as error:
        source_of(shown)
    assert (
        error.value.remedy == "To segment the volume that is shown now, clone it in the module Data and choose the copy"
    )
    copy = scene.CopyNode(shown)
    assert source_of(copy).kind == "volume"


def test_of_two_browsers_of_a_cine_the_chosen_one_is_meant(scene):
    sequence, first = scenes.add_cine([np.zeros((8, 8), np.uint8)] * 4, "cine")
    second = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "beside")
    second.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    mrml.process_events()
    first.SetSelectedItemNumber(1)
    second.SetSelectedItemNumber(3)
    for browser, number in ((first, 1), (second, 3)):
        shown = browser.GetProxyNode(sequence)
        for node in (shown, browser):
            source = source_of(node)
            assert (source.node, source.shown, source.browser) == (sequence, shown, browser)
            assert current_frame(source) == number
    assert source_of(sequence).browser is first
