"""The section Run: what it says and offers in each state, and that nothing is lost whatever is pressed or ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.packs import find_packs
from SlicerRig import application, scenes, state_table
from SlicerRig.state_table import Cell, hidden, off, on, shows

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the scripted worker uses POSIX signals")

NOT_RUNNING = {"runningHost": hidden, "runProgressBar": hidden, "runStageLabel": hidden, "plateauFrame": hidden}
WAITING = {
    "startButton": hidden,
    "unfinishedFrame": hidden,
    "unfinishedBanner": hidden,
    "runProgressBar": Cell(visible=True),
}
INTERRUPTED = {
    **NOT_RUNNING,
    "unfinishedFrame": Cell(visible=True),
    "unfinishedBanner": shows("Go on with it under Run below"),
    "unfinishedComboBox": Cell(True, True, "My model"),
    "discardUnfinishedButton": Cell(True, True, "Discard", "what it has learned"),
}

TABLE: dict[str, dict[str, Cell]] = {
    "run, nothing to learn": {
        **NOT_RUNNING,
        "startButton": Cell(False, True, "Start training"),
        "unfinishedFrame": hidden, "unfinishedBanner": hidden,
        "liveHost": hidden,
        "runDeviceLabel": hidden,
    },
    "run, ready": {
        **NOT_RUNNING,
        "startButton": Cell(True, True, "Start training", "stays on this computer"),
        "unfinishedFrame": hidden, "unfinishedBanner": hidden,
        "liveHost": hidden,
    },
    "run, preparing": {
        **WAITING,
        "pauseButton": Cell(False, True, "Pause", "written to disk"),
        "keepButton": Cell(False, True, "Stop and keep", "Nothing was learned yet"),
        "discardButton": on,
        "runStageLabel": shows("Writing the images to disk"),
        "liveHost": hidden,
    },
    "run, starting": {
        **WAITING,
        "pauseButton": on,
        "keepButton": off,
        "discardButton": on,
        "runStageLabel": shows("Starting the computation"),
    },
    "run, reading": {**WAITING, "pauseButton": on, "keepButton": off, "runStageLabel": shows("Reading the images")},
    "run, measuring": {**WAITING, "pauseButton": on, "keepButton": off, "runStageLabel": shows("how many steps")},
    "run, training": {
        **WAITING,
        "pauseButton": Cell(True, True, "Pause", "also after a restart"),
        "keepButton": Cell(True, True, "Stop and keep", "makes a model"),
        "discardButton": Cell(True, True, "Discard", "removes what it has learned"),
        "runStageLabel": shows("Training: step 20 of 40, about 75 s left"),
        "runDeviceLabel": shows("Processor, 1 thread, 1.2 GiB of memory, trained for 20 s"),
        "liveHost": on,
        "curveComboBox": Cell(True, True, "Dice on what is kept aside"),
        "curveLabel": shows("bright 0.90"),
        "previewInfoLabel": shows("after step 20"),
        "plateauFrame": hidden,
        "messageFrame": hidden,
    },
    "run, plateau": {
        **WAITING,
        "plateauFrame": Cell(visible=True),
        "plateauKeepButton": on,
        "plateauGoOnButton": on,
        "keepButton": on,
    },
    "run, calibrating": {
        **WAITING,
        "pauseButton": on,
        "keepButton": Cell(False, True, tip="The training is done"),
        "runStageLabel": shows("how sure the model may say it is: 50 %"),
    },
    "run, validating": {
        **WAITING,
        "pauseButton": Cell(False, True, tip="takes moments"),
        "keepButton": off,
        "runStageLabel": shows("kept aside"),
    },
    "run, pausing": {
        **WAITING,
        "pauseButton": Cell(False, True, tip="being ended"),
        "keepButton": off,
        "discardButton": on,
        "runStageLabel": shows("Saving the training"),
    },
    "run, paused": {
        **INTERRUPTED,
        "startButton": on,
        "unfinishedLabel": shows("A training is not finished"),
        "resumeButton": Cell(True, True, "Resume", "the open scene does not matter"),
        "keepUnfinishedButton": Cell(True, True, "Make the model now", "trains no further"),
        "messageLabel": shows("The training is paused"),
        "liveHost": Cell(visible=True),
    },
    "run, failed": {
        **INTERRUPTED,
        "startButton": on,
        "resumeButton": on,
        "messageLabel": shows("What was learned is kept: press Resume to go on."),
    },
    "run, done": {
        **NOT_RUNNING,
        "startButton": on,
        "unfinishedFrame": hidden, "unfinishedBanner": hidden,
        "messageLabel": shows('The model "My model" is trained, and SemiSegCervical lists it'),
        "liveHost": Cell(visible=True),
    },
    "run, not installed": {
        **INTERRUPTED,
        "resumeButton": Cell(True, True, "Install the model"),
        "keepUnfinishedButton": hidden,
        "messageLabel": shows("press Resume to install it"),
    },
    "run, of another version": {
        "unfinishedFrame": Cell(visible=True),
        "resumeButton": Cell(False, True, tip="Another version"),
        "keepUnfinishedButton": off,
        "discardUnfinishedButton": on,
    },
    "run, after a restart, without a scene": {
        **INTERRUPTED,
        "startButton": off,
        "resumeButton": on,
        "keepUnfinishedButton": on,
        "messageFrame": hidden,
    },
}  # fmt: skip

# Where a real training says other figures than the scripted worker.
REAL: dict[str, dict[str, Cell]] = {
    "training": {
        "runStageLabel": shows("Training: step"),
        "runDeviceLabel": shows("Processor, 1 thread"),
        "curveLabel": Cell(visible=True),
        "previewInfoLabel": Cell(),
    },
    "calibrating": {"runStageLabel": shows("how sure the model may say it is")},
}


@pytest.fixture
def section(opened_trainer: Callable[..., Any], models: Path, partly_annotated: Any, pictures: Path) -> Any:
    """Open the panel over a scene of blobs, with a scripted worker."""

    def make(prediction: str = "", scene: bool = True, **options: Any) -> Any:
        if scene:
            partly_annotated()
        module = opened_trainer("" if prediction == "real" else "good", prediction, **options)
        module.settle()
        module.panel.run.confirm = lambda question: True
        module.look = lambda state: state_table.look(module, f"run, {state}", TABLE[f"run, {state}"], pictures)
        return module

    return make


def start(module: Any) -> Any:
    ui = module.panel.run.ui
    assert ui.startButton.enabled, ui.startButton.toolTip
    application.click(ui.startButton)
    training = module.panel.run.training
    assert training is not None, module.ui.messageLabel.text
    return training


def resume(module: Any) -> Any:
    run = module.panel.run
    before = run.training
    assert run.ui.resumeButton.enabled, run.ui.resumeButton.toolTip
    application.click(run.ui.resumeButton)
    assert run.training is not before, module.ui.messageLabel.text
    return run.training


def until(module: Any, training: Any, state: str) -> None:
    module.until(lambda: training.state == state or training.ended)
    assert training.state == state, training.error
    application.process_events(0.7)


def test_each_state_while_it_trains(section: Any) -> None:
    module = section("training")
    ui = module.panel.run.ui
    module.look("ready")
    ui.startButton.click()
    training = module.panel.run.training
    training._slices._timer.stop()  # or it would be over before anybody looks
    application.process_events(0.1)
    module.look("preparing")
    training._slices._timer.start()
    until(module, training, "training")
    module.look("training")
    before = ui.curveLabel.text
    plot = module.panel.run.curves._plot
    assert plot.nodes["line 0"].GetMarkerStyle() != plot.nodes["line 0"].MarkerStyleNone, "one point is seen, too"
    for kind, said in (("Parts of the loss", "supervised 0.05"), ("Learned from images", "share of the loss (%) 25")):
        ui.curveComboBox.currentIndex = next(i for i in range(3) if ui.curveComboBox.itemText(i).startswith(kind))
        application.process_events()
        assert said in ui.curveLabel.text
        assert plot.nodes["line 0"].GetMarkerStyle() == plot.nodes["line 0"].MarkerStyleNone
    ui.curveComboBox.currentIndex = 0
    assert ui.curveLabel.text == before
    application.click(ui.pauseButton)
    until(module, training, "paused")
    module.look("paused")
    application.click(ui.keepUnfinishedButton)
    again = module.panel.run.training
    assert again is not training
    until(module, again, "done")
    module.look("done")
    assert find_packs()["My model"].read_bytes() == b"scripted"


@pytest.mark.parametrize("stage", ["reading", "measuring", "calibrating", "validating"])
def test_each_state_of_the_worker(section: Any, stage: str) -> None:
    module = section(stage)
    training = start(module)
    module.until(lambda: training.stage == stage)
    application.process_events(0.2)
    module.look(stage)
    application.click(module.panel.run.ui.discardButton)
    module.until(lambda: training.ended)
    assert module.panel.logic.jobs.runs.unfinished() == []


def test_starting_and_pausing_take_their_time(section: Any) -> None:
    module = section()
    module.panel.logic.jobs._options["command"] = lambda folder: ["sleep", "100"]
    training = start(module)
    until(module, training, "starting")
    module.look("starting")
    application.click(module.panel.run.ui.pauseButton)
    application.process_events(0.2)
    module.look("pausing")
    application.click(module.panel.run.ui.discardButton)
    module.until(lambda: training.ended)


@pytest.mark.parametrize("paused", [False, True])
def test_what_a_discarded_training_was_to_learn_from_is_forgotten(section: Any, paused: bool) -> None:
    module = section("training")
    training = start(module)
    until(module, training, "training")
    module.panel.look_again()
    module.settle()
    assert any(case.past.learned for case in module.panel.training_set.cases)
    if paused:
        application.click(module.panel.run.ui.pauseButton)
        until(module, training, "paused")
        application.click(module.panel.run.ui.discardUnfinishedButton)
    else:
        application.click(module.panel.run.ui.discardButton)
        until(module, training, "cancelled")
    module.settle()
    assert not any(case.past.learned or case.past.validated for case in module.panel.training_set.cases)


@pytest.mark.parametrize("end", ["", "pause", "discard"])
def test_the_images_of_a_closed_scene_go_with_it(section: Any, end: str) -> None:
    module = section("training")
    training = start(module)
    until(module, training, "training")
    if end:
        application.click(getattr(module.panel.run.ui, f"{end}Button"))
        module.until(lambda: training.ended)
    module.settle()
    kept = scenes.kept_images()
    assert kept() == 6
    slicer.mrmlScene.Clear(0)
    module.settle()
    assert kept() == 0
    assert training.ended == bool(end), "what it learns from is written down"


def test_an_installation_that_ends_during_a_training_lets_it_end_first(section: Any) -> None:
    module = section("training")
    training = start(module)
    until(module, training, "training")
    client = module.panel.logic.jobs.client
    pid = client.pid
    module.panel.install._on_installed()
    application.process_events(0.3)
    assert (training.state, client.pid) == ("training", pid)
    application.click(module.panel.run.ui.pauseButton)
    until(module, training, "paused")
    assert client.pid != pid, "the next training finds the new packages"


def test_stopping_at_a_plateau_is_offered_only_on_request(section: Any) -> None:
    module = section("plateau")
    ui = module.panel.run.ui
    training = start(module)
    until(module, training, "training")
    assert training.news[-1].plateau
    assert not ui.plateauFrame.isVisible()
    application.click(ui.discardButton)
    until(module, training, "cancelled")
    module.panel.parameters.offer_stop = True
    module.settle()
    training = start(module)
    until(module, training, "training")
    module.look("plateau")
    application.click(ui.plateauGoOnButton)
    application.process_events(0.1)
    assert not ui.plateauFrame.isVisible()
    assert not training.keeping
    application.click(ui.discardButton)
    until(module, training, "cancelled")
    training = start(module)
    until(module, training, "training")
    application.click(ui.plateauKeepButton)
    until(module, training, "done")


def test_a_run_that_cannot_be_saved_for_now_says_so(section: Any) -> None:
    module = section("training")
    training = start(module)
    until(module, training, "training")
    label = module.panel.run.ui.runStageLabel
    assert "cannot be saved" not in label.text
    training.news.append(replace(training.news[-1], unsaved="No space left on device"))
    module.panel.refresh()
    assert label.text.endswith("It goes on, but cannot be saved: No space left on device. Free some space")


def test_a_fault_is_said_and_the_panel_offers_to_go_on(section: Any) -> None:
    module = section("first-saved:SIGKILL")
    training = start(module)
    until(module, training, "failed")
    module.look("failed")
    until(module, resume(module), "done")
    assert "trained" in module.ui.messageLabel.text


def test_what_cannot_be_read_is_not_said_to_be_kept(section: Any) -> None:
    module = section("training")
    ui, training = module.panel.run.ui, start(module)
    until(module, training, "training")
    application.click(ui.pauseButton)
    until(module, training, "paused")
    (training.run.out / "checkpoints" / "last.ckpt").write_bytes(b"damaged")
    application.click(ui.keepUnfinishedButton)
    until(module, module.panel.run.training, "failed")
    said = module.ui.messageLabel.text
    assert "cannot be read" in said
    assert "train again from the beginning, or discard" in said
    assert "is kept" not in said
    module.settle()
    assert "cannot be read" in ui.unfinishedLabel.text
    assert "is kept" not in ui.unfinishedLabel.text
    assert not ui.keepUnfinishedButton.enabled
    assert "no model can be made of it" in ui.keepUnfinishedButton.toolTip
    assert "from the beginning" in ui.resumeButton.toolTip
    assert "Begin it anew or discard it" in module.panel.ui.unfinishedBanner.text
    again = resume(module)
    until(module, again, "training")
    assert not again.keeping
    application.click(ui.discardButton)
    module.until(lambda: again.ended)


def test_a_model_that_could_not_be_installed(section: Any, models: Path) -> None:
    module = section()
    models.rmdir()
    models.write_text("no folder")
    training = start(module)
    until(module, training, "failed")
    module.look("not installed")
    models.unlink()
    until(module, resume(module), "done")


@pytest.mark.torch
def test_after_a_restart_it_is_offered_to_go_on_without_the_scene(section: Any) -> None:
    import slicer

    module = section("training")
    training = start(module)
    until(module, training, "training")
    run = training.run
    slicer.mrmlScene.Clear(0)
    module.settle()
    assert training.state == "training", "what it needs is on disk"
    again = application.reload_module("SemiSegTrainer")
    assert training.ended
    assert not run.held
    module.widget, module.panel = again, again.panel
    module.panel.run.confirm = lambda question: True
    application.process_events(0.2)
    application.leave_module("SemiSegTrainer")
    application.open_module("SemiSegTrainer")
    module.settle()
    module.look("after a restart, without a scene")
    assert "% trained" in module.panel.run.ui.unfinishedComboBox.currentText
    application.click(module.panel.run.ui.discardUnfinishedButton)
    module.until(lambda: not run.folder.exists() and not list(run.folder.parent.iterdir()))
    assert not module.panel.run.ui.unfinishedFrame.isVisible()


def test_what_the_user_does_not_confirm_is_not_discarded(section: Any) -> None:
    module = section("training")
    run = module.panel.run
    asked: list[str] = []
    run.confirm = lambda question: bool(asked.append(question))
    training = start(module)
    until(module, training, "training")
    application.click(run.ui.discardButton)
    assert training.state == "training"
    application.click(run.ui.pauseButton)
    until(module, training, "paused")
    application.click(run.ui.discardUnfinishedButton)
    assert run.chosen is not None
    assert ['"My model"' in question for question in asked] == [True, True]


def test_what_another_slicer_took_up_meanwhile_is_not_discarded_in_silence(section: Any) -> None:
    from SemiSegTrainerLib.panel.run_folder import Run

    module = section("training")
    run, training = module.panel.run, start(module)
    until(module, training, "training")
    application.click(run.ui.pauseButton)
    until(module, training, "paused")
    other = Run(training.run.folder, training.run.about)
    assert other.hold()
    application.click(run.ui.discardUnfinishedButton)
    assert "Another Slicer is working on" in module.ui.messageLabel.text
    assert training.run.folder.exists()
    other.release()


def test_a_run_of_another_version_can_only_be_discarded(section: Any, run_folder: Path) -> None:
    folder = run_folder / "20200101-000000-old"
    folder.mkdir(parents=True)
    (folder / "settled").write_text("")
    (folder / "run.json").write_text('{"version": 999}')
    module = section(scene=False)
    module.look("of another version")
    application.click(module.panel.run.ui.discardUnfinishedButton)
    module.until(lambda: not folder.exists())


def test_everything_else_waits(section: Any) -> None:
    module = section("training")
    training = start(module)
    until(module, training, "training")
    assert "Wait until the training has ended" in module.panel.state().busy
    application.click(module.panel.run.ui.pauseButton)
    until(module, training, "paused")
    assert module.panel.state().busy == ""


def test_nothing_to_learn_from_says_so(section: Any) -> None:
    module = section(scene=False)
    module.look("nothing to learn")
    assert module.panel.run.ui.startButton.toolTip


def test_the_panel_stays_quick_while_news_come_in(section: Any) -> None:
    """An hour of news at once, as a resumed run tells them again."""
    import dataclasses

    module = section("training")
    training = start(module)
    until(module, training, "training")
    news = training.news[-1]
    application.reset()
    for number in range(3600):
        training._told(dataclasses.replace(news, iteration=100 + number, iterations=4000, preview=None))
        if number % 50 == 0:
            application.process_events()
    application.process_events(1.0)
    assert application.longest_call().cpu < 0.1 * application.STRETCH, application.longest_call()
    series = module.panel.run.curves._plot.nodes
    assert series["points 0"].GetTable().GetNumberOfRows() > 3000


def test_pictures_are_drawn_with_outlines_and_doubt(section: Any) -> None:
    from SemiSegTrainerLib.panel.training import Picture
    from SemiSegTrainerLib.panel.training_preview import both
    from TrainingRig import cases

    image, labels = cases.draw(0)
    moved = np.roll(labels, 3, axis=1)
    doubt = np.where(labels != moved, 80, 0).astype(np.uint8)
    page = both(Picture(7, "a", None, image, moved, doubt, labels, 1.0), [(1.0, 0.5, 0.0), (0.0, 0.5, 1.0)])
    half = (page.shape[1] - 6) // 2
    left, right = page[:, :half].reshape(-1, 3), page[:, half + 6 :].reshape(-1, 3)
    for color in ((255, 128, 0), (0, 128, 255), (255, 255, 255)):
        assert (np.abs(left.astype(int) - color).max(axis=1) < 3).any(), color
        assert not (np.abs(right.astype(int) - color).max(axis=1) < 3).any()
    colored = np.ptp(right.astype(int), axis=1) > 40
    assert 0.02 < colored.mean() < 0.5


def test_the_plot_is_neither_listed_nor_saved_and_goes_with_the_panel(section: Any, tmp_path: Path) -> None:
    import slicer

    module = section("training")
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    training = start(module)
    until(module, training, "training")
    made = list(module.panel.run.curves._plot.nodes.values())
    assert len(made) > 4
    assert all(node.GetHideFromEditors() and not node.GetSaveWithScene() for node in made)
    slicer.mrmlScene.Clear(0)
    module.settle()
    assert all(node.GetScene() is not None for node in module.panel.run.curves._plot.nodes.values())
    application.click(module.panel.run.ui.discardButton)
    module.until(lambda: training.ended)
    module.panel.run.curves.close()
    assert slicer.mrmlScene.GetNumberOfNodes() < nodes


@pytest.mark.torch
def test_each_state_of_a_real_training(section: Any, pictures: Path) -> None:
    """The real worker trains, is paused and killed, and there is a model all the same; each state is looked at."""
    from SemiSegCervicalLib.worker.protocol import Hello
    from SemiSegTrainerLib.worker.protocol import SERVER_MODULE

    module = section("real", hello=Hello(modules=(SERVER_MODULE,)))  # as fast as it can be
    panel, ui = module.panel, module.panel.run.ui
    panel.parameters.iterations, panel.parameters.method, panel.parameters.size = 60, "supervised", "64 32"
    module.settle()
    module.look("ready")
    seen: set[str] = set()

    def looked_at(training: Any, *wanted: str) -> bool:
        """Look at a state that has just come; whether the one that is wanted is there."""
        state = training.state
        if state == "training" and not training.news:
            return False  # nothing to see yet
        if state not in seen and f"run, {state}" in TABLE:
            seen.add(state)
            panel.refresh()
            row = TABLE[f"run, {state}"] | REAL.get(state, {})
            state_table.look(module, f"run, real, {state}", row, pictures)
        return state in wanted or training.ended

    training = start(module)
    module.until(lambda: looked_at(training, "training"))
    application.click(ui.pauseButton)
    module.until(lambda: looked_at(training, "paused"))
    killed = resume(module)
    module.until(lambda: killed.ended or killed.state == "training")
    os.kill(panel.logic.jobs.client.pid, signal.SIGKILL)
    until(module, killed, "failed")
    assert "press Resume" in module.ui.messageLabel.text
    resumed = resume(module)
    module.until(lambda: looked_at(resumed, "done"))
    assert {"starting", "training", "calibrating", "paused", "done"} <= seen, seen
    assert resumed.state == "done", resumed.error
    assert resumed.news[-1].iteration == 60
    assert "My model" in find_packs()
    assert panel.after.version.path == resumed.version.path, "it is shown at once"


def test_a_line_that_is_drawn_again_is_still_one_line(app: Any) -> None:
    import qt
    from SemiSegCervicalLib.panel.plot import Plot

    host = qt.QWidget()
    qt.QVBoxLayout(host)
    plot = Plot(host, "again", "a curve")
    plot.make(points="vtkMRMLTableNode", line="vtkMRMLPlotSeriesNode")
    for _ in range(3):
        plot.line("line", "points", "Step", "Dice", (1.0, 0.0, 0.0))
    assert plot.nodes["chart"].GetNumberOfPlotSeriesNodes() == 1
    plot.close()
