"""What each control of the trainer's data side says in each state; the sections Run and after it have their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from SlicerRig import application, state_table
from SlicerRig.state_table import Cell, hidden, off, on, shows

RECIPE = (
    "quickButton", "standardButton", "thoroughButton", "methodComboBox", "startComboBox", "nameLineEdit",
)  # fmt: skip
FREE = {**dict.fromkeys(RECIPE, on), "addFolderButton": on, "addSceneButton": on}
WHY = "Wait until the training has ended"
LOCKED = Cell(False, True, tip=WHY)

TABLE: dict[str, dict[str, Cell]] = {
    "nothing installed": {
        "installBox": Cell(visible=True),
        "startButton": Cell(False, True, "Start", "not installed yet"),
        "measureButton": Cell(False, True, tip="not installed yet"),
        "messageFrame": hidden,
    },
    "empty scene": {
        **FREE,
        "installBox": hidden,
        "casesSummaryLabel": shows("Load volumes or a cine"),
        "casesTable": hidden,
        "proposeButton": hidden,
        "askAgainButton": hidden,
        "questionsHost": hidden,
        "detailsBox": hidden,
        "splitLabel": hidden,
        "verdictLabel": shows("cannot start yet"),
        "findingsLabel": shows("Outline a segment"),
        "measureButton": Cell(False, True, tip="annotated"),
        "measuringHost": hidden,
        "measuredLabel": hidden,
        "startButton": Cell(False, True, "Start", "annotated"),
        "messageFrame": hidden,
    },
    "nothing annotated": {
        **FREE,
        "casesSummaryLabel": shows("not annotated"),
        "casesTable": Cell(visible=True),
        "proposeButton": on,
        "splitLabel": shows("no outline is finished"),
        "verdictLabel": shows("cannot start yet"),
        "factsLabel": shows("without annotation"),
        "startButton": Cell(False, True, "Start", "annotated"),
    },
    "ready": {
        **FREE,
        "casesTable": Cell(visible=True),
        "splitLabel": shows("kept aside"),
        "ownLengthLabel": hidden,
        "methodInfoLabel": shows("many others"),
        "startInfoLabel": shows("learned anew"),
        "verdictLabel": shows("can start"),
        "factsLabel": shows("bright"),
        "measureButton": Cell(True, True, "Measure", "real steps"),
        "startButton": Cell(True, True, "Start"),
        "messageFrame": hidden,
    },
    "a volume is selected": {
        "detailsBox": Cell(visible=True),
        "framesTable": hidden,
        "showButton": on,
        "drawButton": Cell(False, True, "Draw", "Show it first"),
        "acceptHereButton": Cell(False, True, "Accept slice", "Show it first"),
        "acceptAllButton": Cell(True, True, "whole volume", "right and finished"),
        "withdrawButton": hidden,
        "modeComboBox": Cell(True, True, "The whole volume is finished"),
        "slicesLineEdit": hidden,
        "segmentationComboBox": hidden,
        "slicesAreFramesCheckBox": on,
        "loneModalityComboBox": hidden,
        "partnerSelector": on,
        "pairButton": hidden,
        "unpairButton": hidden,
        "pairAlikeButton": hidden,
        "outsideLabel": hidden,
        "removeOutsideButton": hidden,
        "frameUseComboBox": hidden,
    },
    "a volume is shown": {
        "drawButton": on,
        "acceptHereButton": Cell(True, True, "Accept slice 5", "right and finished"),
    },
    "a picture is selected": {
        "acceptHereButton": hidden,
        "acceptAllButton": Cell(True, True, "Accept the picture"),
        "drawButton": on,
        "modeComboBox": hidden,
        "slicesAreFramesCheckBox": hidden,
    },
    "a cine is selected": {
        "framesTable": Cell(visible=True),
        "acceptHereButton": Cell(False, True, "Accept frame 1", "Show it first"),
        "withdrawButton": Cell(True, True, "Take back frame 1", "counts no more"),
        "acceptAllButton": hidden,
        "frameUseComboBox": off,
        "modeComboBox": hidden,
        "slicesAreFramesCheckBox": hidden,
    },
    "bad size": {
        "verdictLabel": shows("cannot start yet.</b> The size &quot;large&quot; cannot be read. Write 2 numbers"),
        "startButton": Cell(False, True, "Start", '"large" cannot be read'),
        "measureButton": Cell(False, True, tip='"large" cannot be read'),
    },
    "own length": {"ownLengthLabel": shows("25 minutes"), "startButton": on},
    "training": {
        **dict.fromkeys((*RECIPE, "addFolderButton", "addSceneButton", "proposeButton"), LOCKED),
        "minutesSpinBox": Cell(enabled=False),
        "deviceComboBox": Cell(enabled=False, tip=WHY),
        "acceptAllButton": LOCKED,
        "modeComboBox": LOCKED,
        "slicesAreFramesCheckBox": LOCKED,
        "showButton": on,
        "measureButton": Cell(False, True, tip=WHY),
    },
}


def look(module: Any, state: str, pictures: Any) -> None:
    state_table.look(module, f"trainer, {state}", TABLE[state], pictures)


def select(module: Any, row: int) -> None:
    module.ui.casesTable.setCurrentCell(row, 0)
    application.process_events(0.15)


def test_nothing_installed(opened_trainer: Callable[..., Any], pictures: Any) -> None:
    module = opened_trainer()
    module.lack_packages()
    module.settle()
    look(module, "nothing installed", pictures)


def test_scenes(opened_trainer: Callable[..., Any], models: Any, picture: Any, pictures: Any) -> None:
    from SlicerRig import scenes
    from TrainingRig import cases

    module = opened_trainer()
    module.settle()
    look(module, "empty scene", pictures)
    volumes = [picture(seed, name=f"Picture {seed}") for seed in range(5)]
    module.settle()
    look(module, "nothing annotated", pictures)
    for seed, volume in enumerate(volumes[:4]):
        scenes.add_segmentation(volume, cases.draw(seed)[1], scenes.BLOBS)
    module.settle()
    look(module, "ready", pictures)
    select(module, 4)
    look(module, "a picture is selected", pictures)
    module.ui.sizeLineEdit.text = "large"
    application.process_events(0.05)
    look(module, "bad size", pictures)
    module.ui.sizeLineEdit.text = ""
    module.ui.minutesSpinBox.value = 25
    application.process_events(0.05)
    look(module, "own length", pictures)


def test_what_is_selected(opened_trainer: Callable[..., Any], models: Any, partly: Any, pictures: Any) -> None:
    module = opened_trainer()
    module.settle()
    select(module, 0)
    look(module, "a volume is selected", pictures)
    application.click(module.ui.showButton)
    application.process_events(0.3)
    look(module, "a volume is shown", pictures)
    select(module, 6)
    look(module, "a cine is selected", pictures)


def test_while_a_training_runs_its_choices_rest(
    opened_trainer: Callable[..., Any], models: Any, partly: Any, pictures: Any
) -> None:
    module = opened_trainer("good", "training")
    module.settle()
    combo = module.ui.casesTable.cellWidget(6, 2)
    combo.currentText = "Left out"
    combo.activated(combo.currentIndex)
    module.settle()
    select(module, 0)
    application.click(module.panel.run.ui.startButton)
    module.until(lambda: module.panel.run.running)
    application.process_events(0.2)
    look(module, "training", pictures)
    table = module.ui.casesTable
    assert not any(table.cellWidget(row, 2).enabled for row in range(table.rowCount))
    module.panel.run.training.discard()
    module.until(lambda: not module.panel.run.running)
    module.settle()
    assert table.cellWidget(0, 2).enabled
    assert module.ui.quickButton.enabled
    assert np.isfinite(module.panel.recipe().minutes)


def test_what_was_said_of_a_scene_goes_with_it(opened_trainer: Callable[..., Any], partly: Any) -> None:
    import slicer

    module = opened_trainer()
    module.settle()
    module.panel.messages.note("Volume 1, slice 6 is accepted")
    slicer.mrmlScene.Clear(0)
    module.settle()
    assert not module.ui.messageFrame.isVisible()
