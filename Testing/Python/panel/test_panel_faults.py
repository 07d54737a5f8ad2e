"""A worker that misbehaves, a full disk: one readable message, nothing half-made in the scene, the panel goes on."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from SemiSegCervicalLib.worker.process import Limits
from SlicerRig import application
from SlicerRig.fixtures import app  # noqa: F401

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the scripted worker uses POSIX signals")
IMPATIENT = {"stall": Limits(stall=1.0), "frozen": Limits(silence=1.5), "": Limits(start=1.5)}


@pytest.mark.parametrize(
    ("start", "prediction", "said"),
    [
        ("good", "SIGKILL", "The system ended the process that computes, most likely because memory ran out. Close"),
        ("good", "SIGSEGV", "ended by signal 11. Try again"),
        ("good", "exit", "ended with code 5. Try again"),
        ("good", "half", "ended by itself. Try again"),
        ("good", "garbage", "gave an answer that cannot be read. Restart the program"),
        ("good", "nonsense", "gave an answer that cannot be read. Restart the program"),
        ("good", "device-error", "It broke. Use another."),
        ("good", "disk-full", "It is full. Free some space."),
        ("exit", "", "ended with code 3 while it started. Look into the log"),
        ("newer", "", "speaks version 999"),
        ("no-torch", "", "No torch. Install it."),
        ("mute", "", "did not answer any more and was ended. Try again"),
        ("good", "frozen", "did not answer any more and was ended. Try again"),
        ("good", "stall", "stood still and was ended. Try again"),
    ],
)
def test_one_message_and_the_panel_goes_on(
    opened: Callable[..., Any], blobs: Any, picture: Any, start: str, prediction: str, said: str
) -> None:
    import slicer

    how = {"start": start, "prediction": f"first-{prediction}" if prediction else ""}
    limits = IMPATIENT.get(prediction) if start in ("good", "mute") else None
    module = opened(how, limits=limits)
    module.choose(picture())
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    job = module.run()
    assert job.state == "failed"
    assert said in module.ui.messageLabel.text
    assert module.ui.messageFrame.isVisible()
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    how["start"] = "good"
    module.panel.logic.jobs.end_worker()  # the panel may have begun to warm up another one of the old kind
    again = module.run()
    assert again.state == "done", again.error
    assert not module.ui.messageFrame.isVisible()
    assert again.record.segmentation.GetSegmentation().GetNumberOfSegments() == 2


def test_an_error_is_scrolled_to(app: Any) -> None:  # noqa: F811
    """What was pressed may be a page away from it; what is only good to know leaves the panel where it is."""
    import qt
    from SemiSegCervicalLib.errors import SemiSegError
    from SemiSegCervicalLib.panel.messages import Messages

    area, page, above = qt.QScrollArea(), qt.QWidget(), qt.QWidget()
    ui = types.SimpleNamespace(messageFrame=qt.QFrame(), messageLabel=qt.QLabel(), closeMessageButton=qt.QToolButton())
    above.setFixedHeight(1000)
    for holder, parts in (
        (page, (above, ui.messageFrame)),
        (ui.messageFrame, (ui.messageLabel, ui.closeMessageButton)),
    ):
        layout = qt.QVBoxLayout(holder)
        for part in parts:
            layout.addWidget(part)
    area.setWidgetResizable(True)
    area.setWidget(page)
    area.resize(300, 200)
    area.show()
    messages = Messages(ui)
    messages.note("Saved.")
    application.process_events(0.05)
    assert area.verticalScrollBar().value == 0
    messages.error(SemiSegError("nothing-drawn", "Nothing is drawn", "Draw in it first", "scene"))
    application.process_events(0.05)
    assert area.verticalScrollBar().value > 700
    messages.close()


@pytest.mark.parametrize("fault", ["SIGKILL", "device-error"])
def test_frames_that_were_finished_stay(opened: Callable[..., Any], blobs: Any, cine: Any, fault: str) -> None:
    from SemiSegCervicalLib.scene.record_figures import frames_of
    from SemiSegCervicalLib.scene.records import is_complete

    module = opened("good", f"later-{fault}")
    _, browser, shown = cine()
    browser.SetSelectedItemNumber(2)
    module.choose(shown)
    job = module.run()
    assert job.state == "failed"
    assert "1 of 6 frames are finished and stay." in module.ui.messageLabel.text
    assert [frame.number for frame in frames_of(job.record)] == [2], "the one that was shown came first"
    assert not is_complete(job.record)


def test_frames_that_are_removed_meanwhile_do_not_get_the_results_of_others(
    opened: Callable[..., Any], blobs: Any, cine: Any
) -> None:
    from SemiSegCervicalLib.scene.cine import index_values

    module = opened("good")
    sequence, _, shown = cine(6)
    module.choose(shown)
    job = module.apply()
    values = index_values(sequence)
    told = job.set

    def remove(**changes: Any) -> None:
        told(**changes)
        if job.kept == 2 and sequence.GetNumberOfDataNodes() == 6:
            sequence.RemoveDataNodeAtValue(values[3])

    job.set = remove
    module.until(lambda: job.ended)
    application.process_events(0.1)
    assert job.state == "failed"
    assert "were added or removed" in module.ui.messageLabel.text
    assert set(index_values(job.record.segmentation)) <= set(values[:3])


@pytest.mark.parametrize("change", ["cropped", "spacing", "voxels"])
@pytest.mark.parametrize("slices", [1, 6], ids=["picture", "stack"])
def test_an_image_that_is_changed_meanwhile_gets_no_result_of_what_it_was(
    opened: Callable[..., Any], blobs: Any, slices: int, change: str
) -> None:
    import slicer
    from TrainingRig import cases

    module = opened("good")
    values = np.stack([cases.draw(seed)[0] for seed in range(slices)])
    volume = slicer.util.addVolumeFromArray(values, name="Picture")
    module.choose(volume)
    module.ui.slicesAsFramesCheckBox.checked = True
    job = module.apply()
    told, done = job.set, []

    def alter(**changes: Any) -> None:
        told(**changes)
        if not done and (job.kept >= 2 or job.state == "receiving"):
            done.append(True)
            if change == "voxels":
                slicer.util.updateVolumeFromArray(volume, 255 - values)
                return
            volume.SetSpacing(0.5, 0.5, 1)
            if change == "cropped":
                slicer.util.updateVolumeFromArray(volume, values[:, 4:, 6:])

    job.set = alter
    module.until(lambda: job.ended)
    application.process_events(0.1)
    assert job.state == "failed"
    how = "changed" if change == "voxels" else "given another size or place"
    assert module.ui.messageLabel.text.startswith(f'"Picture" was {how} while it was segmented. Press Apply again.')
    assert (job.record is None) == (slices == 1)


def test_without_a_finished_frame_nothing_stays(opened: Callable[..., Any], blobs: Any, cine: Any) -> None:
    import slicer

    module = opened("good", "SIGKILL")
    _, browser, shown = cine()
    module.choose(shown)
    nodes = node_names()
    job = module.run()
    assert (job.state, job.record) == ("failed", None)
    assert node_names() - nodes <= {"SemiSeg uncertainty"}, "the colours of all uncertainties may stay"
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 1
    assert len(browser_sequences(browser)) == 1


def test_a_full_disk_while_the_image_is_written(
    opened: Callable[..., Any], blobs: Any, picture: Any, small_files: Any
) -> None:
    import slicer

    small_files(2**20)
    module = opened("good")
    module.choose(slicer.util.addVolumeFromArray(np.zeros((1, 2000, 2000), dtype=np.uint8), name="Large"))
    application.click(module.ui.applyButton)
    module.until(lambda: module.ui.messageFrame.isVisible())
    assert "has no room for more. Free some space" in module.ui.messageLabel.text
    assert module.run(picture()).state == "done"


def node_names() -> set[str]:
    import slicer

    application.process_events()
    nodes = slicer.mrmlScene.GetNodes()
    return {nodes.GetItemAsObject(i).GetName() or "" for i in range(nodes.GetNumberOfItems())}


def browser_sequences(browser: Any) -> list[Any]:
    from SemiSegCervicalLib.scene.cine import sequences_of

    return sequences_of(browser)
