"""The selected image in detail: its frames, the way there, and what a person accepts of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from SlicerRig import application

CINE = 6


@pytest.fixture
def module(opened_trainer: Callable[..., Any], partly: Any) -> Any:
    made = opened_trainer()
    made.settle()
    return made


def select(module: Any, row: int) -> None:
    module.ui.casesTable.setCurrentCell(row, 0)
    application.process_events(0.15)


def press(module: Any, name: str) -> None:
    button = getattr(module.ui, name)
    assert button.enabled, button.toolTip
    application.click(button)
    module.settle()


def case(module: Any, name: str) -> Any:
    return next(case for case in module.panel.training_set.cases if case.name == name)


def test_nothing_is_shown_before_an_image_is_selected(module: Any) -> None:
    assert not module.ui.detailsBox.isVisible()
    select(module, 5)
    assert module.ui.detailsBox.isVisible()
    assert module.ui.detailsBox.title == "Volume 5"
    assert not module.ui.framesTable.isVisible()


def test_a_frame_is_accepted_and_taken_back(module: Any, partly: Any, pictures: Any) -> None:
    from SlicerRig import scenes
    from TrainingRig import cases

    ui = module.ui
    select(module, CINE)
    assert ui.framesTable.rowCount == 12
    value = partly.sequence.GetNthIndexValue(6)
    scenes.draw_frame(partly.drawn, partly.sequence, value, cases.draw(6)[1], partly.classes)
    ui.framesTable.cellClicked(6, 0)
    application.process_events(0.2)
    assert partly.browser.GetSelectedItemNumber() == 6
    assert ui.acceptHereButton.text == "Accept frame 7"
    assert not ui.withdrawButton.enabled
    application.screenshot(module.widget.parent, pictures / "trainer-frames.png")
    press(module, "acceptHereButton")
    assert case(module, f"Cine [{value}]").read_labels is not None
    assert "frame 7 is accepted" in ui.messageLabel.text
    assert "6 of 12 frames" in ui.casesTable.cellWidget(CINE, 1).format
    press(module, "withdrawButton")
    assert case(module, f"Cine [{value}]").read_labels is None
    assert "5 of 12 frames" in ui.casesTable.cellWidget(CINE, 1).format


def test_a_cine_in_which_nobody_has_drawn_cannot_be_accepted(module: Any, cine: Any) -> None:
    cine(3, name="Fresh")
    module.settle()
    select(module, CINE + 1)
    assert module.ui.framesTable.rowCount == 3
    application.click(module.ui.acceptHereButton)
    assert "Nothing is drawn on Fresh, frame 1" in module.ui.messageLabel.text


def test_the_buttons_follow_what_is_looked_at(module: Any, partly: Any) -> None:
    select(module, CINE)
    partly.browser.SetSelectedItemNumber(3)
    application.process_events(0.3)
    assert module.ui.acceptHereButton.text == "Accept frame 4"
    assert module.ui.withdrawButton.enabled
    partly.browser.SetSelectedItemNumber(5)
    application.process_events(0.3)
    assert module.ui.acceptHereButton.text == "Accept frame 6"
    assert not module.ui.withdrawButton.enabled


def test_a_slice_is_accepted(module: Any, partly: Any) -> None:
    from SemiSegCervicalLib.scene.navigation import show_frame

    select(module, 1)
    assert not module.ui.acceptHereButton.enabled, "it is not shown"
    assert "Show it first" in module.ui.acceptHereButton.toolTip
    press(module, "showButton")
    show_frame(partly.volumes[1], 5)
    application.process_events(0.3)
    assert module.ui.acceptHereButton.text == "Accept slice 6"
    press(module, "acceptHereButton")
    assert case(module, "Volume 1").slices == (5,)
    press(module, "acceptAllButton")
    assert case(module, "Volume 1").slices is None
    assert case(module, "Volume 1").use == "labelled"


def test_a_models_result_counts_once_it_is_accepted(module: Any, partly: Any) -> None:
    from SemiSegCervicalLib.scene.segmentation import new_segmentation
    from TrainingRig import cases

    labels = np.stack([cases.draw(50 + z)[1] for z in range(8)])
    new_segmentation(partly.volumes[5], labels, partly.classes)
    module.panel.look_again()
    module.settle()
    assert case(module, "Volume 5").use == "unlabelled"
    select(module, 5)
    press(module, "acceptAllButton")
    assert case(module, "Volume 5").use == "labelled"
    assert np.array_equal(case(module, "Volume 5").labels, labels)


def test_an_image_without_a_segmentation_cannot_be_accepted(module: Any) -> None:
    select(module, 5)
    application.click(module.ui.acceptAllButton)
    assert "Nothing is drawn in this image" in module.ui.messageLabel.text


def test_drawing_goes_on_in_the_segment_editor(module: Any, partly: Any) -> None:
    import slicer

    select(module, 0)
    press(module, "showButton")
    application.process_events(0.2)
    application.click(module.ui.drawButton)
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    assert editor.segmentationNode() is partly.segmentations[0]
    assert editor.sourceVolumeNode() is partly.volumes[0]
    slicer.util.selectModule("SemiSegTrainer")
