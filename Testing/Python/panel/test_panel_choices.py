"""What Slicer's selectors and spin boxes do by themselves: the panel never chooses what the user has not."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from SlicerRig import application, scenes


@pytest.fixture
def module(opened: Callable[..., Any], blobs: Any) -> Any:
    return opened("good")


def reads(pack: Path, place: Path, modalities: list[str]) -> None:
    """Write a model that reads other modalities."""
    with zipfile.ZipFile(pack) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(members["model.json"])
    description["input"]["modalities"] = modalities
    description["branches"][1]["modalities"] = [len(modalities) - 1]
    with zipfile.ZipFile(place, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, json.dumps(description) if name == "model.json" else data)


def test_grey_and_coloured_images_can_be_chosen_and_label_maps_cannot(module: Any, picture: Any, cine: Any) -> None:
    import slicer

    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    selector = module.ui.sourceSelector
    for image in (picture(), cine()[2], scenes.add_volume(np.zeros((8, 9, 3), np.uint8), "colour")):
        module.choose(image)
        assert selector.currentNode() is image
        assert module.panel.state().source.shown is image
    assert selector.nodeCount() == 3
    module.choose(labels)
    assert selector.currentNode() is None


def test_of_two_images_of_one_name_that_is_segmented_which_was_chosen(module: Any, picture: Any) -> None:
    first, second = picture(name="1: US [1]"), picture(name="1: US [1]")
    module.choose(first)
    application.choose(module.ui.sourceSelector, second)
    assert module.panel.state().source.node is second
    module.ui.uncertaintyCheckBox.checked = False  # all choices are shown anew
    application.process_events(0.05)
    assert module.ui.sourceSelector.currentNode() is second
    assert module.run().record.source is second


def test_of_two_segmentations_of_one_name_that_is_replaced_which_was_chosen(module: Any, picture: Any) -> None:
    image = picture()
    first, second = (module.run(image).record.segmentation for _ in range(2))
    second.SetName(first.GetName())
    module.ui.replaceSelector.setCurrentNode(first)
    application.choose(module.ui.replaceSelector, second)
    assert module.run().record.segmentation is second
    assert first.GetSegmentation().GetNumberOfSegments()
    application.choose(module.ui.replaceSelector, first)
    application.choose(module.ui.replaceSelector, None)
    assert module.run().record.segmentation not in (first, second)


def test_frames_are_counted_from_one(module: Any, cine: Any) -> None:
    module.choose(cine(6)[2])
    module.ui.framesComboBox.currentText = "Some frames"
    for name in ("firstFrameSpinBox", "lastFrameSpinBox", "everySpinBox"):
        spin = getattr(module.ui, name)
        assert spin.minimum == 1
        spin.value = 0
        application.process_events(0.05)
        assert spin.value == 1
    assert module.panel.state().frames == 1
    assert application.slot_errors() == []


def test_no_other_image_is_chosen_in_the_place_of_one_that_is_deleted(module: Any, picture: Any) -> None:
    import slicer

    before, image, _after = picture(name="before"), picture(name="image"), picture(name="after")
    module.choose(image)
    slicer.mrmlScene.RemoveNode(image)
    application.process_events(0.05)
    assert module.ui.sourceSelector.currentNode() is None
    assert module.panel.state().source is None
    module.choose(before)
    assert module.panel.state().source.node is before


def test_no_other_segmentation_is_to_be_replaced_in_the_place_of_one_that_is_deleted(module: Any, picture: Any) -> None:
    import slicer

    image = picture()
    result = module.run(image).record.segmentation
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    mine.SetReferenceImageGeometryParameterFromVolumeNode(image)
    mine.GetSegmentation().AddEmptySegment("", "lesion")
    module.ui.replaceSelector.setCurrentNode(result)
    application.process_events(0.05)
    slicer.mrmlScene.RemoveNode(result)
    application.process_events(0.05)
    assert module.ui.replaceSelector.currentNode() is None
    job = module.run()
    assert job.record.segmentation is not mine
    assert mine.GetSegmentation().GetNumberOfSegments() == 1


def test_choosing_a_model_of_several_modalities_chooses_no_image(
    opened: Callable[..., Any], blobs: Path, picture: Any
) -> None:
    import slicer

    reads(blobs, blobs.with_name("two.semiseg"), ["FLAIR", "T1"])
    module = opened("good")
    images = [picture(name=name) for name in ("first", "second", "third")]
    for name in ("two", "blobs", "two"):
        module.panel.models.choose(name)
        module.panel.refresh()
        assert not any(module.panel.inputs.nodes().values())
    module.choose(images[1])
    (other,) = module.panel.inputs._selectors
    other.setCurrentNode(images[0])
    slicer.mrmlScene.RemoveNode(images[0])
    application.process_events(0.05)
    assert module.panel.inputs.nodes() == {0: images[1], 1: None}
    images[2].SetName("second")
    for image in images[1:]:
        application.choose(other, image)
        module.panel.refresh()
        assert module.panel.inputs._node().GetNodeReference("SemiSeg.modality.T1") is image
    application.choose(other, None)
    module.panel.models.choose("blobs")
    module.panel.refresh()
    assert module.panel.inputs.nodes() == {0: images[1]}


def test_a_scene_that_is_added_to_the_present_one_leaves_its_choices(module: Any, picture: Any, tmp_path: Path) -> None:
    import slicer

    module.choose(picture(name="first"))
    path = str(tmp_path / "other.mrml")
    other = slicer.vtkMRMLScene()
    other.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "added")
    other.SetURL(path)
    assert other.Commit(path)
    segmentation = module.run().record.segmentation
    module.ui.replaceSelector.setCurrentNode(segmentation)
    slicer.util.loadScene(path)
    application.process_events(0.2)
    assert module.ui.sourceSelector.currentNode().GetName() == "first"
    assert module.ui.replaceSelector.currentNode() is segmentation


@pytest.mark.parametrize(
    ("kept", "first"),
    [
        ({"device": "Abacus", "frames": "Some frames", "every": "0", "first_frame": "3"}, 3),
        ({"device": "Abacus", "first_frame": "abc"}, 1),
    ],
    ids=["no-choice", "not-to-be-read"],
)
def test_a_scene_of_another_version_opens(
    opened: Callable[..., Any], blobs: Any, kept: dict[str, str], first: int
) -> None:
    import slicer

    # What was opened before has left a node: a module has one in each scene.
    node = slicer.mrmlScene.GetSingletonNode("SemiSegCervical", "vtkMRMLScriptedModuleNode")
    if node is None:
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetSingletonTag("SemiSegCervical")
        node.SetAttribute("ModuleName", "SemiSegCervical")
        node = slicer.mrmlScene.AddNode(node)
    for name, value in kept.items():
        node.SetParameter(name, value)
    ui = opened("good").ui
    assert ui.deviceComboBox.currentText == "Automatic"
    assert ui.framesComboBox.currentText == kept.get("frames", "All frames")
    assert (ui.firstFrameSpinBox.value, ui.everySpinBox.value) == (first, 1)
    assert application.slot_errors() == []
