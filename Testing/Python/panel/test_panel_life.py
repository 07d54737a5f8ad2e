"""The panel's life: scenes come and go, modules are reloaded, nodes are deleted, and the application ends."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from house.environment import with_libraries
from SlicerRig import application, scenes


def begin(module: Any, node: Any) -> Any:
    """Start a job that does not end by itself."""
    module.choose(node)
    job = module.apply()
    module.until(lambda: job.kept or job.stage == "predicting")
    return job


def usable(module: Any, node: Any) -> bool:
    """Tell whether another image can be segmented, by a worker that does its work."""
    module.how["prediction"] = ""
    module.widget.logic.jobs.end_worker()
    return module.run(node).state == "done"


@pytest.fixture
def held(opened: Callable[..., Any], blobs: Any) -> Any:
    """The module, with a worker that never ends a prediction, or with ``later`` only the first."""

    def make(prediction: str = "hold") -> Any:
        how = {"start": "good", "prediction": prediction}
        module = opened(how)
        module.how = how
        return module

    return make


def test_the_scene_is_closed_while_a_volume_is_segmented(held: Any, picture: Any) -> None:
    import slicer

    module = held()
    job = begin(module, picture())
    slicer.mrmlScene.Clear(0)
    module.until(lambda: job.ended)
    assert job.state == "cancelled"
    assert job.record is None
    assert usable(module, picture())


@pytest.mark.torch
def test_the_scene_is_closed_with_several_modalities_chosen(
    opened: Callable[..., Any], models: Path, picture: Any
) -> None:
    import slicer
    from SemiSegCervicalLib.engine.pack import save_pack
    from TrainingRig import parts

    spec = parts.SPEC.model_copy(update={"modalities": ("flair", "t1")})
    save_pack(models / "two.semiseg", parts.pack(spec=spec))
    module = opened("good")
    module.choose(picture())
    other = picture(5, "other")
    module.until(lambda: module.panel.inputs.nodes().keys() == {0, 1})
    module.panel.inputs._selectors[0].setCurrentNode(other)
    application.process_events(0.1)
    assert module.panel.inputs.nodes()[1] is other
    slicer.mrmlScene.Clear(0)
    application.process_events(0.2)
    assert application.slot_errors() == []
    assert not any(module.panel.inputs.nodes().values())


@pytest.mark.torch
@pytest.mark.parametrize("name", ["T1 post", "T1: post", "T1; post", 'T1 "post"', "T1 <post> & more"])
def test_a_scene_keeps_the_image_of_a_modality_of_any_name(
    opened: Callable[..., Any], models: Path, picture: Any, tmp_path: Path, name: str
) -> None:
    import slicer
    from SemiSegCervicalLib.engine.pack import save_pack
    from TrainingRig import parts

    save_pack(models / "two.semiseg", parts.pack(spec=parts.SPEC.model_copy(update={"modalities": ("flair", name)})))
    module = opened("good")
    module.choose(picture())
    module.until(lambda: module.panel.inputs.nodes().keys() == {0, 1})
    module.panel.inputs._selectors[0].setCurrentNode(picture(5, "other"))
    path = str(tmp_path / "scene.mrml")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(path)
    node, roles = module.panel.logic.getParameterNode(), []
    node.GetNodeReferenceRoles(roles)
    kept = [role for role in roles if role.startswith("SemiSeg.modality.") and node.GetNodeReference(role) is not None]
    assert [node.GetNodeReference(role).GetName() for role in kept] == ["other"]


@pytest.mark.torch
def test_a_modality_that_was_left_out_stays_out(opened: Callable[..., Any], models: Path, picture: Any) -> None:
    import slicer
    from SemiSegCervicalLib.engine.pack import save_pack
    from TrainingRig import parts

    spec = parts.SPEC.model_copy(update={"modalities": ("flair", "t1")})
    save_pack(models / "two.semiseg", parts.pack(spec=spec))
    module = opened("good")
    shown = picture(name="T1")
    slicer.util.setSliceViewerLayers(background=shown)
    module.choose(None)
    module.panel.inputs._selectors[0].setCurrentNode(shown)
    application.leave_module("SemiSegCervical")
    application.open_module("SemiSegCervical")
    application.process_events(0.1)
    assert module.panel.inputs.nodes() == {0: None, 1: shown}
    module.panel.inputs._selectors[0].setCurrentNode(None)
    application.leave_module("SemiSegCervical")
    application.open_module("SemiSegCervical")
    assert module.ui.sourceSelector.currentNode() is shown


def test_the_scene_is_closed_while_frames_arrive(held: Any, picture: Any, cine: Any) -> None:
    import slicer
    from SemiSegCervicalLib.scene.records import find_records

    module = held("later-hold")
    job = begin(module, cine()[2])
    slicer.mrmlScene.Clear(0)
    module.until(lambda: job.ended)
    assert find_records(slicer.mrmlScene) == []
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0
    assert not module.ui.messageFrame.isVisible()
    assert usable(module, picture())


@pytest.mark.parametrize("gone", ["sequence", "browser", "shown", "result"])
def test_what_a_job_needs_is_deleted_while_frames_arrive(held: Any, picture: Any, cine: Any, gone: str) -> None:
    import slicer

    module = held("later-hold")
    sequence, browser, shown = cine()
    job = begin(module, shown)
    nodes = {"sequence": sequence, "browser": browser, "shown": shown, "result": job.record.segmentation}
    slicer.mrmlScene.RemoveNode(nodes[gone])
    module.until(lambda: job.ended)
    assert job.state == "cancelled"
    assert usable(module, picture())


def test_a_volume_is_deleted_while_it_is_segmented(held: Any, picture: Any) -> None:
    import slicer

    module = held()
    volume = picture()
    job = begin(module, volume)
    slicer.mrmlScene.RemoveNode(volume)
    module.until(lambda: job.ended)
    assert (job.state, job.record) == ("cancelled", None)
    assert usable(module, picture())


def test_a_volume_that_is_cancelled_while_its_result_arrives_leaves_no_node(
    opened: Callable[..., Any], blobs: Any, picture: Any
) -> None:
    import slicer

    module = opened("good")
    module.run(picture())  # what all results share is there from now on
    before = slicer.mrmlScene.GetNumberOfNodes()
    job = module.apply()
    tag = slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, lambda *_: job.cancel())
    module.until(lambda: job.ended)
    slicer.mrmlScene.RemoveObserver(tag)
    assert job.state == "cancelled"
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_another_node_may_be_deleted(held: Any, picture: Any) -> None:
    import slicer

    module = held()
    other = picture(name="Other")
    job = begin(module, picture())
    slicer.mrmlScene.RemoveNode(other)
    application.process_events(0.1)
    assert job.state == "running"
    job.cancel()
    module.until(lambda: job.ended)


def test_the_module_is_reloaded_while_it_works(held: Any, cine: Any) -> None:
    import slicer
    from SemiSegCervicalLib.scene.record_figures import frames_of
    from SemiSegCervicalLib.scene.records import find_records

    module = held("later-hold")
    job = begin(module, cine()[2])
    client = module.widget.logic.jobs.client
    module.pids.add(client.pid)
    module.widget = application.reload_module("SemiSegCervical")
    assert job.ended
    assert client.state == "off"
    again = module.widget.panel
    again.enter()
    assert again is not module.panel
    assert again.ui.applyButton.enabled, again.ui.applyButton.toolTip
    assert again.ui.modelComboBox.currentText == "blobs"
    (record,) = find_records(slicer.mrmlScene)
    assert len(frames_of(record)) == 1, "what was finished stays"
    assert again.state().record.table is record.table


def test_the_module_is_closed_while_a_model_is_loaded(opened: Callable[..., Any], blobs: Any, picture: Any) -> None:
    module = opened("good")
    module.choose(picture())
    module.until(lambda: module.panel._warming._job is not None)
    jobs = module.widget.logic.jobs
    application.close_module("SemiSegCervical")
    assert jobs._client is None, "nothing that would have to be closed"
    opened("good")


def test_the_application_ends_while_it_works(held: Any, picture: Any) -> None:
    module = held()
    begin(module, picture())
    module.pids.add(module.widget.logic.jobs.client.pid)
    application.quit_application()
    assert module.widget.logic.jobs.welcome is None


def test_a_saved_scene_brings_choices_and_results_back(
    opened: Callable[..., Any], blobs: Any, cine: Any, tmp_path: Path
) -> None:
    import slicer
    from SemiSegCervicalLib.scene import marks
    from SemiSegCervicalLib.scene.record_figures import frames_of
    from SemiSegCervicalLib.scene.records import is_complete

    module = opened("good")
    sequence, _, shown = cine(4)
    module.choose(shown)
    module.ui.framesComboBox.currentText = "Some frames"
    module.ui.firstFrameSpinBox.value = 2
    module.ui.calibratedComboBox.currentIndex = 2
    module.ui.calibratedComboBox.activated(2)
    module.ui.deviceComboBox.currentText = "Processor"
    module.run()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    application.process_events(0.1)
    assert module.panel.state().record is None
    assert module.ui.sourceSelector.currentNode() is None
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    application.process_events(0.2)
    state = module.panel.state()
    assert state.source.node.GetName() == sequence.GetName()
    assert state.source.node.GetAttribute(marks.CALIBRATED) == "no"
    assert (module.ui.framesComboBox.currentText, module.ui.firstFrameSpinBox.value) == ("Some frames", 2)
    assert module.ui.deviceComboBox.currentText == "Processor"
    assert is_complete(state.record)
    assert [frame.number for frame in frames_of(state.record)] == [1, 2, 3]


def test_a_scene_that_takes_the_place_of_another_keeps_its_frames(
    opened: Callable[..., Any], blobs: Any, picture: Any, cine: Any, tmp_path: Path
) -> None:
    import slicer

    module = opened("good")
    module.choose(cine(6)[2])
    module.ui.framesComboBox.currentText = "Some frames"
    module.ui.firstFrameSpinBox.value = 2
    module.ui.lastFrameSpinBox.value = 5
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    application.process_events(0.1)
    module.choose(picture())
    slicer.util.loadScene(str(tmp_path / "scene.mrb"), {"clear": True})
    application.process_events(0.2)
    assert module.panel.state().frames == 4
    assert (module.ui.firstFrameSpinBox.value, module.ui.lastFrameSpinBox.value) == (2, 5)


def test_leaving_the_module_does_not_end_its_work(held: Any, picture: Any) -> None:
    module = held()
    job = begin(module, picture())
    application.leave_module("SemiSegCervical")
    application.process_events(0.2)
    assert job.state == "running"
    assert application.open_module("SemiSegCervical") is module.widget
    assert module.ui.applyButton.text == "Cancel"


@pytest.mark.parametrize("prediction", ["hold", "later-hold"])
def test_an_installation_that_ends_during_a_job_lets_it_end_first(
    held: Any, picture: Any, cine: Any, prediction: str
) -> None:
    module = held(prediction)
    job = begin(module, picture() if prediction == "hold" else cine()[2])
    client = module.widget.logic.jobs.client
    pid = client.pid
    module.panel.install._on_installed()
    application.process_events(0.3)
    assert (job.state, client.pid) == ("running", pid)
    job.cancel()
    module.until(lambda: job.ended)
    assert client.pid != pid, "the next job finds the new packages"
    assert usable(module, picture())


def test_an_installation_that_ends_while_nothing_runs_renews_the_process(
    opened: Callable[..., Any], blobs: Any, picture: Any
) -> None:
    module = opened("good")
    module.run(picture())
    client = module.widget.logic.jobs.client
    pid = client.pid
    module.panel.install._on_installed()
    assert client.pid != pid
    assert module.run().state == "done"


def test_a_cine_whose_process_is_ended_under_it_is_not_called_complete(held: Any, cine: Any) -> None:
    from SemiSegCervicalLib.scene.records import is_complete

    module = held("later-hold")
    job = begin(module, cine()[2])
    module.until(lambda: job.kept == 1 and job._slices.waiting)  # for the worker, which has all of its frames
    module.widget.logic.jobs.end_worker()
    module.until(lambda: job.ended)
    application.process_events(0.1)
    assert job.state == "cancelled"
    assert not is_complete(job.record)
    assert "1 of 6 frames are finished and stay" in module.ui.messageLabel.text


def test_a_cine_is_meant_when_the_volume_that_shows_it_is_chosen(
    opened: Callable[..., Any], blobs: Any, cine: Any
) -> None:
    module = opened("good")
    sequence, browser, shown = cine(4)
    module.choose(shown)
    assert module.panel.state().source.node is sequence
    browser.SetSelectedItemNumber(2)
    module.ui.framesComboBox.currentText = "Only the frame that is shown"
    job = module.run()
    assert job.request.frames == (2,)
    assert job.kept == 1
    module.ui.framesComboBox.currentText = "All frames"
    assert module.run().request.frames == (2, 0, 1, 3), "the one that is shown comes first"


def test_an_oblique_stack_whose_slices_no_view_shows_says_what_helps(opened: Callable[..., Any], blobs: Any) -> None:
    import slicer

    module = opened("good")
    tilted = np.diag([-0.5, -0.5, 2.0, 1.0]) @ [[1, 0, 0, 0], [0, 0.8, 0.6, 0], [0, -0.6, 0.8, 0], [0, 0, 0, 1]]
    stack = scenes.add_volume(np.zeros((4, 32, 32), np.uint8), "stack", tilted)
    slicer.util.setSliceViewerLayers(background=stack)
    module.choose(stack)
    module.ui.slicesAsFramesCheckBox.checked = True
    module.ui.framesComboBox.currentText = "Only the frame that is shown"
    application.process_events(0.1)
    assert not module.ui.applyButton.enabled
    assert 'Press "Rotate to volume plane" in the bar of a view, or choose All frames' in module.ui.applyButton.toolTip


def test_a_new_result_is_seen_in_the_place_of_the_former(opened: Callable[..., Any], blobs: Any, picture: Any) -> None:
    """Not in the place of one that was corrected: that goes when another is chosen, and comes back when it is."""
    module, volume = opened("good"), picture()
    records = []
    for corrected in (False, True, False):
        records.append(module.run(volume).record)
        segment = records[-1].segmentation.GetSegmentation().GetNthSegment(0)
        status = slicer_status().InProgress if corrected else slicer_status().NotStarted
        slicer_status().SetSegmentStatus(segment, status)
    displays = [record.segmentation.GetDisplayNode() for record in records]
    assert [bool(display.GetVisibility()) for display in displays] == [False, True, True]
    for index, seen in ((0, [False, False, True]), (1, [False, True, False])):
        module.panel.results.ui.resultComboBox.activated.emit(index)
        application.process_events(0.1)
        assert [bool(display.GetVisibility()) for display in displays] == seen
    # A picture that is looked at in another module may hide them all, and the panel shows what it speaks of.
    displays[1].SetVisibility(False)
    records[1].segmentation.GetDisplayNode().SetAttribute("SemiSeg.Hidden", "1")
    module.choose(None)
    module.choose(volume)
    assert module.panel.state().record == records[1]
    assert displays[1].GetVisibility()


def slicer_status() -> Any:
    import slicer

    return slicer.vtkSlicerSegmentationsModuleLogic


def test_results_are_not_offered_as_images(opened: Callable[..., Any], blobs: Any, picture: Any) -> None:
    module = opened("good")
    module.run(picture())
    application.process_events(0.1)
    assert module.ui.sourceSelector.nodeCount() == 1


def test_the_modules_own_test_passes(opened: Callable[..., Any], blobs: Any) -> None:
    import slicer

    opened()
    slicer.modules.SemiSegCervicalInstance.runTest()


def test_the_modules_own_test_passes_without_a_model(opened: Callable[..., Any], models: Any) -> None:
    import slicer

    opened()
    slicer.modules.SemiSegCervicalInstance.runTest()


OPENING = textwrap.dedent(
    """
    import json, sys, time
    from pathlib import Path
    from SlicerRig import application
    application.start()
    import slicer

    def seconds(name, path):
        began = time.process_time()
        application.open_module(name, path)
        return time.process_time() - began

    empty = Path(sys.argv[1]) / "Empty" / "Empty.py"
    seconds("Empty", empty)
    print(json.dumps({"seconds": seconds("SemiSegCervical", Path(sys.argv[2])), "modules": sorted(sys.modules)}))
    application.close_module("SemiSegCervical")
    """
)
EMPTY = textwrap.dedent(
    """
    from slicer.ScriptedLoadableModule import *

    class Empty(ScriptedLoadableModule):
        pass

    class EmptyWidget(ScriptedLoadableModuleWidget):
        pass
    """
)


def test_opening_is_quick_and_imports_nothing_heavy(tmp_path: Path, models: Any) -> None:
    (tmp_path / "Empty").mkdir()
    (tmp_path / "Empty" / "Empty.py").write_text(EMPTY)
    source = application.REPOSITORY / "SemiSegCervical" / "SemiSegCervical.py"
    told = subprocess.run(
        [sys.executable, "-c", OPENING, str(tmp_path), str(source)],
        env=with_libraries(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(told.stdout.strip().splitlines()[-1])
    heavy = {"torch", "monai", "openvino", "pydantic", "scipy", "SimpleITK"}
    assert heavy.isdisjoint(found["modules"])
    assert found["seconds"] < 1.0, "mostly the rig's own time; in Slicer it is measured by the benchmark"


@pytest.mark.parametrize("is_cine", [False, True], ids=["picture", "cine"])
def test_what_was_segmented_goes_with_its_scene(
    opened: Callable[..., Any], blobs: Any, picture: Any, cine: Any, is_cine: bool
) -> None:
    import slicer

    module = opened("good")
    for _ in range(2):
        job = module.run(cine()[2] if is_cine else picture())
        assert job.state == "done"
        del job
        kept = scenes.kept_images()
        assert kept() > 1
        slicer.mrmlScene.Clear(0)
        application.process_events(0.3)
        assert kept() == 0


def test_no_callback_holds_the_main_thread_while_a_job_runs(opened: Callable[..., Any], blobs: Any, cine: Any) -> None:
    module = opened("good")
    module.choose(cine(40)[2])
    application.process_events(0.2)
    application.reset()
    module.run()
    assert application.longest_call().cpu < 0.1 * application.STRETCH, application.longest_call()


def test_a_large_volume_is_taken_in_pieces(opened: Callable[..., Any], blobs: Any) -> None:
    import slicer

    module = opened("good")
    volume = slicer.util.addVolumeFromArray(np.zeros((1, 5000, 5000), dtype=np.int16), name="Large")
    module.choose(volume)
    application.process_events(0.2)
    application.reset()
    assert module.run().state == "done"
    assert application.longest_call().cpu < 0.1 * application.STRETCH, application.longest_call()
