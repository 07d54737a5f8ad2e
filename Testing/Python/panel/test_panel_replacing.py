"""Replacing a segmentation: only one of the same image, only when asked, and only while it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from SlicerRig import application, scenes


@pytest.fixture
def module(opened: Callable[..., Any], blobs: Any) -> Any:
    return opened("good")


def target(module: Any, segmentation: Any) -> None:
    module.ui.replaceSelector.setCurrentNode(segmentation)
    application.process_events(0.05)


def names() -> list[str]:
    import slicer

    return sorted(node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))


@pytest.mark.parametrize("frames", [False, True])
def test_a_result_of_another_image_is_not_replaced(module: Any, picture: Any, frames: bool) -> None:
    if frames:
        first, second = (scenes.add_volume(np.zeros((3, 8, 9), np.int16), name) for name in ("First", "Second"))
    else:
        first, second = picture(name="First"), picture(4, name="Second")
    module.choose(first)
    module.ui.slicesAsFramesCheckBox.checked = frames
    application.process_events(0.05)
    result = module.run(first).record.segmentation
    target(module, result)
    assert module.ui.applyButton.enabled
    assert f'"{result.GetName()}" will be replaced' in module.ui.replaceWarningLabel.text
    module.choose(second)
    application.process_events(0.05)
    assert not module.ui.applyButton.enabled
    assert 'belongs to "First"' in module.ui.applyButton.toolTip
    target(module, None)
    assert module.ui.applyButton.enabled
    module.run(second)
    assert names() == ["First segmentation", "Second segmentation"]


def test_what_was_drawn_on_another_image_is_not_replaced(module: Any, picture: Any) -> None:
    import slicer

    first, second = picture(name="First"), picture(4, name="Second")
    drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    drawn.SetReferenceImageGeometryParameterFromVolumeNode(first)
    module.choose(second)
    target(module, drawn)
    assert 'belongs to "First"' in module.ui.applyButton.toolTip
    module.choose(first)
    application.process_events(0.05)
    assert module.ui.applyButton.enabled


def test_a_result_whose_own_image_is_gone_is_not_replaced_by_that_of_another(module: Any, picture: Any) -> None:
    import slicer

    first = picture(name="First")
    result = module.run(first).record.segmentation
    slicer.mrmlScene.RemoveNode(first)
    module.choose(picture(4, name="Second"))
    target(module, result)
    assert not module.ui.applyButton.enabled
    assert "an image that is not there any more" in module.ui.stageLabel.text
    target(module, None)
    assert module.ui.applyButton.enabled


def test_a_replaced_stack_leaves_no_node_behind(module: Any) -> None:
    import slicer

    volume = scenes.add_volume(np.zeros((3, 8, 9), np.int16), "Stack")
    module.choose(volume)
    module.ui.slicesAsFramesCheckBox.checked = True
    result = module.run(volume).record.segmentation
    before = slicer.mrmlScene.GetNumberOfNodes()
    target(module, result)
    assert module.run(volume).record.segmentation is result
    assert slicer.mrmlScene.GetNumberOfNodes() == before


@pytest.mark.parametrize("kind", ["stack", "cine"])
def test_frames_that_are_lost_without_being_segmented_anew_are_told(module: Any, cine: Any, kind: str) -> None:
    volume = cine(6)[2] if kind == "cine" else scenes.add_volume(np.zeros((6, 8, 9), np.int16), "Stack")
    module.choose(volume)
    module.ui.slicesAsFramesCheckBox.checked = kind == "stack"
    application.process_events(0.05)
    target(module, module.run(volume).record.shown_segmentation)
    assert "frames" not in module.ui.replaceWarningLabel.text
    module.ui.framesComboBox.currentText = "Some frames"
    module.ui.firstFrameSpinBox.value = 5
    application.process_events(0.05)
    assert module.ui.applyButton.enabled
    assert "on all 6 frames, and only 2 of these" in module.ui.replaceWarningLabel.text


def test_it_is_asked_for_once(module: Any, picture: Any) -> None:
    volume = picture()
    result = module.run(volume).record.segmentation
    target(module, result)
    assert module.run(volume).record.segmentation is result
    application.process_events(0.05)
    assert module.ui.replaceSelector.currentNode() is None
    assert module.run(volume).record.segmentation is not result
    assert len(names()) == 2


@pytest.mark.parametrize("kind", ["picture", "stack", "cine"])
def test_a_result_whose_target_is_removed_meanwhile_is_a_new_one(
    module: Any, picture: Any, cine: Any, kind: str
) -> None:
    import slicer

    if kind == "cine":
        volume = cine(3)[2]
    else:
        volume = picture() if kind == "picture" else scenes.add_volume(np.zeros((3, 8, 9), np.int16), "Stack")
    module.choose(volume)
    module.ui.slicesAsFramesCheckBox.checked = kind == "stack"
    application.process_events(0.05)
    target(module, module.run(volume).record.shown_segmentation)
    job = module.apply()
    slicer.mrmlScene.RemoveNode(job.request.replace)
    module.until(lambda: job.ended)
    application.process_events(0.05)
    assert job.state == "done", job.error
    assert "the result is a new one" in module.ui.messageLabel.text
    assert job.record.exists
    assert job.record.segmentation is not None


@pytest.mark.parametrize("kind", ["picture", "stack"])
def test_a_target_that_is_removed_while_the_result_is_put_into_the_scene(
    module: Any, picture: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer
    from SemiSegCervicalLib.panel import frames_job
    from SemiSegCervicalLib.scene import segmentation

    volume = picture() if kind == "picture" else scenes.add_volume(np.zeros((3, 8, 9), np.int16), "Stack")
    module.choose(volume)
    module.ui.slicesAsFramesCheckBox.checked = kind == "stack"
    application.process_events(0.05)
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    target(module, mine)
    in_pieces = segmentation.oriented_image_in_pieces

    def removing(*arguments: Any) -> Any:
        image = yield from in_pieces(*arguments)
        slicer.mrmlScene.RemoveNode(mine)
        return image

    for place in (segmentation, frames_job):
        monkeypatch.setattr(place, "oriented_image_in_pieces", removing, raising=False)
    job = module.run()
    assert job.state == "done", job.error
    assert "the result is a new one" in module.ui.messageLabel.text
    assert "the result is a new one" in job.record.run["notes"][0]
    assert names() == [f"{volume.GetName()} segmentation"]
    assert job.record.segmentation.GetSegmentation().GetNumberOfSegments() == 2


@pytest.mark.parametrize("kind", ["picture", "cine"])
def test_what_was_corrected_is_named_before_it_is_replaced(module: Any, picture: Any, cine: Any, kind: str) -> None:
    import slicer

    status = slicer.vtkSlicerSegmentationsModuleLogic
    shown = picture() if kind == "picture" else cine()[2]
    record = module.run(shown).record
    target(module, record.shown_segmentation)
    assert "corrected" not in module.ui.replaceWarningLabel.text
    frames = [record.segmentation] if kind == "picture" else [record.segmentation.GetNthDataNode(n) for n in (1, 4)]
    for frame in frames:
        status.SetSegmentStatus(frame.GetSegmentation().GetSegment("Segment_1"), status.InProgress)
    module.panel.changed()
    application.process_events(0.05)
    where = "in it" if kind == "picture" else "on 2 frames"
    assert f"What you have corrected or accepted {where} goes too." in module.ui.replaceWarningLabel.text
