"""What each control of the panel says in each state: a table, and every cell of it is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from SemiSegCervicalLib.worker.process import Limits
from SlicerRig import application, state_table
from SlicerRig.state_table import Cell, hidden, off, on, shows


def apply_off(why: str) -> Cell:
    return Cell(False, True, "Apply", why)


CHOICES = ("sourceSelector", "modelComboBox", "replaceSelector", "uncertaintyCheckBox", "deviceComboBox")
FREE = dict.fromkeys(CHOICES, on)
LOCKED = dict.fromkeys((*CHOICES, "addModelButton"), Cell(False, True, tip="Wait until the segmentation is done"))
IDLE = {"progressBar": hidden}
WORKING = {**LOCKED, "progressBar": Cell(visible=True), "messageFrame": hidden}

TABLE: dict[str, dict[str, Cell]] = {
    "nothing installed": {
        **IDLE,
        "installBox": Cell(visible=True),
        "applyButton": apply_off("not installed yet"),
        "addModelButton": Cell(False, True, "Add from file", "are missing"),
        "stageLabel": shows("Install them at the top"),
        "messageFrame": hidden,
        "modelInfoLabel": shows("Segments:"),
    },
    "no model": {
        **IDLE,
        "installBox": hidden,
        "applyButton": apply_off("No model is installed"),
        "modelComboBox": Cell(False, True, "", "No model is installed"),
        "addModelButton": Cell(True, True, "Add from file", "Copies a model"),
        "modelInfoLabel": shows("No model is installed yet"),
        "stageLabel": shows("No model is installed"),
        "messageFrame": hidden,
    },
    "no input": {
        **IDLE,
        **FREE,
        "applyButton": apply_off("No image is chosen"),
        "sourceInfoLabel": hidden,
        "slicesAsFramesCheckBox": hidden,
        "framesComboBox": hidden,
        "calibratedComboBox": hidden,
        "modelInfoLabel": shows("known after an image is chosen"),
        "stageLabel": shows("Choose a volume or a cine"),
        "messageFrame": hidden,
    },
    "a volume, but a model for images": {
        **IDLE,
        **FREE,
        "applyButton": apply_off("segments single images"),
        "sourceInfoLabel": shows("Volume of 8 × 7 × 5 voxels"),  # noqa: RUF001
        "slicesAsFramesCheckBox": on,
        "framesComboBox": hidden,
        "calibratedLabel": shows("Voxel size"),
        "stageLabel": shows("Treat slices as frames"),
    },
    "a volume as a stack": {
        **IDLE,
        **FREE,
        "applyButton": Cell(True, True, "Apply", "Segment the image"),
        "sourceInfoLabel": shows("Stack of 5 single images"),
        "slicesAsFramesCheckBox": on,
        "framesComboBox": on,
        "frameRangeHost": hidden,
        "stageLabel": hidden,
    },
    "ready": {
        **IDLE,
        **FREE,
        "applyButton": Cell(True, True, "Apply", "Segment the image"),
        "sourceInfoLabel": shows("Single image of 48 × 32 pixels"),  # noqa: RUF001
        "slicesAsFramesCheckBox": hidden,
        "framesComboBox": hidden,
        "calibratedComboBox": Cell(True, True, "0.25"),
        "replaceWarningLabel": hidden,
        "stageLabel": hidden,
        "messageFrame": hidden,
        "modelInfoLabel": shows("known after the first run"),
        "modelComboBox": Cell(True, True, tip="blobs"),
    },
    "ready, a cine": {
        **IDLE,
        **FREE,
        "applyButton": Cell(True, True, "Apply", "Segment the image"),
        "sourceInfoLabel": shows("Cine of 6 frames"),
        "slicesAsFramesCheckBox": hidden,
        "framesComboBox": Cell(True, True, "All frames"),
        "frameRangeHost": hidden,
    },
    "some frames of a cine": {
        **FREE,
        "applyButton": Cell(True, True, "Apply"),
        "framesComboBox": Cell(True, True, "Some frames"),
        "frameRangeHost": on,
    },
    "no such frames": {
        **FREE,
        "applyButton": apply_off("frames 1 to 6"),
        "frameRangeHost": on,
        "stageLabel": shows("frames 1 to 6"),
    },
    "replacing": {
        **FREE,
        "applyButton": Cell(True, True, "Apply"),
        "replaceWarningLabel": shows("will be replaced"),
    },
    "starting": {
        **WORKING,
        "applyButton": Cell(True, True, "Cancel", "End the computation"),
        "stageLabel": shows("Starting the computation"),
    },
    "running": {
        **WORKING,
        "applyButton": Cell(True, True, "Cancel", "End the computation"),
        "stageLabel": shows("Segmenting: 30 %, about 4 s left"),
    },
    "frames arrive": {
        **WORKING,
        "applyButton": Cell(True, True, "Cancel", "Frames that are finished stay"),
        "framesComboBox": off,
        "stageLabel": shows("Segmenting: 1 of 6 frames"),
    },
    "cancelling": {
        **WORKING,
        "applyButton": Cell(False, True, "Cancelling", "two seconds at most"),
        "stageLabel": shows("Cancelling"),
    },
    "cancelled": {**IDLE, **FREE, "applyButton": Cell(True, True, "Apply"), "stageLabel": hidden},
    "cancelled with frames": {
        **IDLE,
        **FREE,
        "applyButton": Cell(True, True, "Apply"),
        "messageLabel": shows("1 of 6 frames are finished and stay"),
        "closeMessageButton": on,
    },
    "receiving": {
        **WORKING,
        "applyButton": Cell(True, True, "Cancel"),
        "stageLabel": shows("Showing the result"),
    },
    "done": {
        **IDLE,
        **FREE,
        "applyButton": Cell(True, True, "Apply", "Segment the image"),
        "modelInfoLabel": shows("as measured here"),
        "stageLabel": hidden,
    },
    "failed": {
        **IDLE,
        **FREE,
        "applyButton": Cell(True, True, "Apply", "Segment the image"),
        "messageLabel": shows("It broke. Use another."),
        "closeMessageButton": on,
        "stageLabel": hidden,
    },
    "message closed": {**IDLE, **FREE, "applyButton": Cell(True, True, "Apply"), "messageFrame": hidden},
    "source deleted": {**IDLE, **FREE, "applyButton": apply_off("No image is chosen"), "messageFrame": hidden},
    "scene closed": {**IDLE, **FREE, "applyButton": apply_off("No image is chosen"), "messageFrame": hidden},
}


def look(opened: Any, state: str, pictures: Any) -> None:
    """Hold the panel against a row of the table, and save what it looks like."""
    state_table.look(opened, state, TABLE[state], pictures)


def test_nothing_installed(opened: Callable[..., Any], blobs: Any, pictures: Any) -> None:
    module = opened()
    module.lack_packages()
    application.process_events(0.05)
    look(module, "nothing installed", pictures)


def test_no_model_and_no_input(opened: Callable[..., Any], models: Any, trained: Any, pictures: Any) -> None:
    module = opened()
    look(module, "no model", pictures)
    (models / "blobs.semiseg").write_bytes(trained.read_bytes())
    module.panel.models.reload()
    application.process_events(0.05)
    module.panel.refresh()
    look(module, "no input", pictures)


def test_images(
    opened: Callable[..., Any], blobs: Any, picture: Any, cine: Any, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    module = opened("good")
    volume = slicer.util.addVolumeFromArray(np.zeros((5, 7, 8), dtype=np.int16), name="Volume")
    module.choose(volume)
    look(module, "a volume, but a model for images", pictures)
    application.click(module.ui.slicesAsFramesCheckBox)
    application.process_events(0.05)
    look(module, "a volume as a stack", pictures)
    module.choose(picture())
    look(module, "ready", pictures)
    _, _, shown = cine()
    module.choose(shown)
    look(module, "ready, a cine", pictures)
    module.ui.framesComboBox.currentText = "Some frames"
    application.process_events(0.05)
    look(module, "some frames of a cine", pictures)
    module.ui.lastFrameSpinBox.value = 9
    application.process_events(0.05)
    look(module, "no such frames", pictures)
    module.choose(picture(name="Another"))
    drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    module.ui.replaceSelector.setCurrentNode(drawn)
    application.process_events(0.05)
    look(module, "replacing", pictures)


def test_running_and_cancelling(opened: Callable[..., Any], blobs: Any, picture: Any, pictures: Any) -> None:
    module = opened("good", "hold")
    module.choose(picture())
    job = module.apply()
    module.until(lambda: job.stage == "predicting")
    application.process_events(0.1)
    look(module, "running", pictures)
    application.click(module.ui.applyButton)
    module.until(lambda: job.ended)
    application.process_events(0.1)
    look(module, "cancelled", pictures)


def test_starting_and_a_cancel_that_takes_its_time(
    opened: Callable[..., Any], blobs: Any, picture: Any, pictures: Any
) -> None:
    module = opened("mute")
    module.choose(picture())
    job = module.apply()
    application.process_events(0.2)
    look(module, "starting", pictures)
    application.click(module.ui.applyButton)
    module.until(lambda: job.ended)


def test_cancelling_a_worker_that_does_not_listen(
    opened: Callable[..., Any], blobs: Any, picture: Any, pictures: Any
) -> None:
    # Patient enough for a busy computer to draw the panel before the process is ended.
    module = opened("good", "hang", limits=Limits(cancel=5.0))
    module.choose(picture())
    job = module.apply()
    module.until(lambda: job.state == "running")
    application.click(module.ui.applyButton)
    application.process_events(0.1)
    look(module, "cancelling", pictures)
    module.until(lambda: job.ended)


def test_frames_arrive(opened: Callable[..., Any], blobs: Any, cine: Any, pictures: Any) -> None:
    module = opened("good", "later-hold")
    _, _, shown = cine()
    module.choose(shown)
    job = module.apply()
    module.until(lambda: job.kept == 1)
    application.process_events(0.2)
    look(module, "frames arrive", pictures)
    application.click(module.ui.applyButton)
    module.until(lambda: job.ended)
    application.process_events(0.1)
    look(module, "cancelled with frames", pictures)


def test_receiving(opened: Callable[..., Any], blobs: Any, picture: Any, pictures: Any) -> None:
    module = opened("good", "well")
    module.choose(picture())
    job = module.apply()
    # However fast or busy the computer: one step at a time, and none after the one that tells this state.
    job._slices._budget = 0.0
    told = job.set

    def hold(**changes: Any) -> None:
        told(**changes)
        if changes.get("state") == "receiving":
            job._slices._timer.stop()

    job.set = hold
    module.until(lambda: job.state == "receiving")
    module.panel.refresh()
    look(module, "receiving", pictures)
    job._slices._timer.start()
    module.until(lambda: job.ended)


def test_done_and_the_source_deleted(opened: Callable[..., Any], blobs: Any, picture: Any, pictures: Any) -> None:
    import slicer

    module = opened()
    volume = picture()
    module.run(volume)
    look(module, "done", pictures)
    slicer.mrmlScene.RemoveNode(volume)
    application.process_events(0.1)
    look(module, "source deleted", pictures)


def test_the_processor_is_pointed_out_until_it_was_quick_enough(
    opened: Callable[..., Any], blobs: Any, picture: Any
) -> None:
    """Most hospitals' computers have no graphics card: what takes a second needs no banner."""
    module = opened("good", "well")
    module.choose(picture())
    module.until(lambda: module.ui.deviceBanner.isVisible())
    assert "the processor computes" in module.ui.deviceBanner.text
    module.run()
    assert not module.ui.deviceBanner.isVisible()
    module.ui.deviceComboBox.currentText = "Graphics card"
    application.process_events(0.1)
    assert module.ui.deviceBanner.isVisible(), "one that was asked for"


def test_each_state_with_the_real_worker(
    opened: Callable[..., Any], blobs: Any, picture: Any, cine: Any, pictures: Any
) -> None:
    """Nothing is scripted here: the trained model segments, and each state is looked at when it comes."""
    frames = 600
    module = opened()

    def look(state: str, **other: Cell) -> None:
        state_table.look(module, f"real, {state}", TABLE[state] | other, pictures)

    _, _, shown = cine(frames)
    module.choose(shown)
    look("ready, a cine", sourceInfoLabel=shows(f"Cine of {frames} frames"))
    job = module.apply()
    application.process_events()
    look("starting", stageLabel=Cell(visible=True))  # whatever it begins with: the model may be loaded already
    module.until(lambda: job.kept)
    application.process_events(0.15)
    look("frames arrive", stageLabel=shows(f"of {frames} frames"))
    assert not job.ended
    application.click(module.ui.applyButton)
    module.until(lambda: job.ended)
    application.process_events(0.1)
    look("cancelled with frames", messageLabel=shows(f"of {frames} frames are finished and stay"))
    module.run(picture())
    look("done")


def test_failed_and_its_message_closed(opened: Callable[..., Any], blobs: Any, picture: Any, pictures: Any) -> None:
    module = opened("good", "device-error")
    module.run(picture())
    look(module, "failed", pictures)
    application.click(module.ui.closeMessageButton)
    look(module, "message closed", pictures)


def test_scene_closed(opened: Callable[..., Any], blobs: Any, picture: Any, pictures: Any) -> None:
    import slicer

    module = opened("good", "hold")
    module.choose(picture())
    job = module.apply()
    module.until(lambda: job.state == "running")
    slicer.mrmlScene.Clear(0)
    module.until(lambda: job.ended)
    application.process_events(0.1)
    look(module, "scene closed", pictures)


def test_frames_that_come_and_go_are_counted(opened: Callable[..., Any], blobs: Any, cine: Any) -> None:
    module = opened("good")
    sequence, _, shown = cine(6)
    module.choose(shown)
    module.ui.framesComboBox.currentText = "Some frames"
    application.process_events(0.1)
    assert module.ui.lastFrameSpinBox.value == 6
    item, value = sequence.GetNthDataNode(0), sequence.GetNthIndexValue(5)
    for change, count in ((sequence.RemoveDataNodeAtValue, 5), (lambda at: sequence.SetDataNodeAtValue(item, at), 6)):
        change(value)
        module.until(lambda count=count: module.ui.sourceInfoLabel.text.startswith(f"Cine of {count} frames"))
        assert module.ui.lastFrameSpinBox.value == count
        module.until(lambda: module.ui.applyButton.enabled)
