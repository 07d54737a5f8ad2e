"""The section Trained models: versions, what each is worth, which one is used, and where it is worst."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from SemiSegCervicalLib.packs import signature
from SemiSegTrainerLib import versions as kept
from SlicerRig import application

MINUS = "\N{MINUS SIGN}"


def figures(**dice: float | None) -> dict[str, Any]:
    known = [value for value in dice.values() if value is not None]
    return {
        "cases_count": 2, "voxels": 41230, "dice": sum(known) / len(known),
        "segments": {name: {"dice": value, "voxels": 5} for name, value in dice.items()},
    }  # fmt: skip


def summary(**changes: Any) -> dict[str, Any]:
    return {
        "method": "supervised", "labelled": 3, "unlabelled": 4, "seconds": 130.0, "started_from": "blobs",
        "ended_early": False, "before": figures(bright=0.5, dark=0.62), "validation": figures(bright=0.7, dark=0.6),
        "validation_also_decided": [], **changes,
    }  # fmt: skip


@pytest.fixture
def install(models: Path, trained: Path, tmp_path: Path) -> Callable[..., kept.Version]:
    """Install versions of the trained model, each with its own time."""
    count = [0]

    def make(name: str = "my blobs", **changes: Any) -> kept.Version:
        count[0] += 1
        path = Path(shutil.copy(trained, tmp_path / f"{count[0]}.semiseg"))
        os.utime(path, (1.7e9 + 60 * count[0],) * 2)
        return kept.install(path, name, summary(**changes))

    return make


def rows(table: Any) -> list[list[str]]:
    return [[table.item(r, c).text() for c in range(table.columnCount)] for r in range(table.rowCount)]


def headers(table: Any) -> list[str]:
    return [table.horizontalHeaderItem(c).text() for c in range(table.columnCount)]


def settle() -> None:
    application.process_events(0.1)


def test_without_a_trained_model_there_is_no_section(opened_trainer: Callable[..., Any], models: Path) -> None:
    module = opened_trainer()
    settle()
    ui = module.panel.after.ui
    assert not ui.modelsButton.isVisibleTo(module.widget.parent)
    assert ui.suggestButton.isVisibleTo(module.widget.parent)


def test_every_version_is_listed_with_what_it_is_worth(
    opened_trainer: Callable[..., Any], install: Callable[..., Any], pictures: Path
) -> None:
    install(validation=None, before=None)
    install(before=None, started_from=None, ended_early=True, unlabelled=0)
    install(validation_also_decided=["temperature", "stop"])
    module = opened_trainer()
    settle()
    ui = module.panel.after.ui
    listed = rows(ui.versionsTable)
    assert [(row[0], row[2], row[3]) for row in listed] == [
        ("Version 3", "0.65", "in use"), ("Version 2", "0.65", ""), ("Version 1", "\N{EN DASH}", "")
    ]  # fmt: skip
    assert all(row[1].startswith("Trained 14 Nov 2023") or row[1].startswith("Trained 15 Nov 2023") for row in listed)
    assert headers(ui.figuresTable) == ["Segment", "Before", "After", "Change"]
    assert rows(ui.figuresTable) == [
        ["bright", "0.50", "0.70", "+0.20"], ["dark", "0.62", "0.60", f"{MINUS}0.02"], ["Mean", "0.56", "0.65", "+0.09"]
    ]  # fmt: skip
    assert "<b>Version 3 of my blobs</b>, in use." in ui.versionLabel.text
    assert "from 3 annotated and 4 other images" in ui.versionLabel.text
    assert "2 images (41\N{NARROW NO-BREAK SPACE}230 pixels)" in ui.figuresLabel.text
    for said in ("may be chance", "how sure the model says it is", "when the training ended", "Before: blobs"):
        assert said in ui.figuresLabel.text
    application.screenshot(module.widget.parent, pictures / "trainer-versions.png")
    ui.versionsTable.selectRow(1)
    settle()
    assert headers(ui.figuresTable) == ["Segment", "Dice"]
    assert "from 3 annotated images" in ui.versionLabel.text
    assert "starting from random weights" in ui.versionLabel.text
    assert "ended early" in ui.versionLabel.text
    assert "how sure" not in ui.figuresLabel.text
    ui.versionsTable.selectRow(2)
    settle()
    assert not ui.figuresTable.isVisibleTo(module.widget.parent)
    assert "nothing was kept aside" in ui.figuresLabel.text


def test_what_the_start_had_learned_from_is_said(
    opened_trainer: Callable[..., Any], install: Callable[..., Any]
) -> None:
    install(validation=None, before=None, validation_left_out="2 of 2 validation images were left out: the starting")
    install(validation_left_out="1 of 3 validation images was left out: the starting model had learned from it")
    module = opened_trainer()
    settle()
    ui = module.panel.after.ui
    assert "1 of 3 validation images was left out: the starting model had learned from it. " in ui.figuresLabel.text
    ui.versionsTable.selectRow(1)
    settle()
    assert not ui.figuresTable.isVisibleTo(module.widget.parent)
    assert "was not measured: 2 of 2 validation images were left out" in ui.figuresLabel.text
    assert "nothing was kept aside" not in ui.figuresLabel.text


def test_an_earlier_version_is_used_again(
    opened_trainer: Callable[..., Any], install: Callable[..., Any], models: Path
) -> None:
    for _ in range(2):
        install()
    newest = (models / "my blobs.semiseg").stat().st_mtime
    module = opened_trainer()
    settle()
    ui = module.panel.after.ui
    assert not ui.useVersionButton.enabled
    assert "in use already" in ui.useVersionButton.toolTip
    ui.versionsTable.selectRow(1)
    settle()
    application.click(ui.useVersionButton)
    module.until(lambda: "now uses version 1 of my blobs" in module.ui.messageLabel.text)
    assert (models / "my blobs.semiseg").stat().st_mtime == newest - 60
    assert [row[3] for row in rows(ui.versionsTable)] == ["", "in use"]
    assert ui.versionsTable.currentRow() == 1
    assert not ui.useVersionButton.enabled
    # What is suggested next, and what a training starts from, is this version's.
    assert module.panel.suggest._cards["my blobs"].signature == signature(models / "my blobs.semiseg")


def test_what_cannot_be_used_says_so_and_changes_nothing(
    opened_trainer: Callable[..., Any], install: Callable[..., Any], models: Path
) -> None:
    first, _ = install(), install()
    module = opened_trainer()
    settle()
    ui = module.panel.after.ui
    ui.versionsTable.selectRow(1)
    settle()
    shutil.rmtree(first.path.parent)
    application.click(ui.useVersionButton)
    module.until(lambda: "not there any more" in module.ui.messageLabel.text)
    assert rows(ui.versionsTable)[0][3] == "in use"
    assert len(rows(ui.versionsTable)) == 1


def test_the_card_of_the_chosen_version_is_shown(
    opened_trainer: Callable[..., Any], install: Callable[..., Any]
) -> None:
    install()
    module = opened_trainer()
    settle()
    ui = module.panel.after.ui
    assert not ui.cardBrowser.isVisibleTo(module.widget.parent)
    application.click(ui.cardButton)
    settle()
    said = ui.cardBrowser.toPlainText()
    assert "Segments: bright, dark" in said
    assert "named by fingerprint only" in said
    assert "#" not in said
    application.click(ui.cardButton)
    settle()
    assert not ui.cardBrowser.isVisibleTo(module.widget.parent)


def test_a_version_that_has_just_been_trained_is_shown_everywhere(
    opened_trainer: Callable[..., Any], install: Callable[..., Any]
) -> None:
    install("other")
    module = opened_trainer()
    settle()
    ui = module.panel.after.ui
    assert ui.trainedModelComboBox.currentText == "other"
    ui.modelsButton.collapsed = True
    module.panel.trained(install("my blobs"))
    settle()
    assert ui.trainedModelComboBox.currentText == "my blobs"
    assert not ui.modelsButton.collapsed
    module.panel.trained(install("my blobs"))
    settle()
    assert rows(ui.versionsTable)[0][3] == "in use"
    assert ui.versionsTable.currentRow() == 0
    ui.trainedModelComboBox.setCurrentIndex(1)
    ui.trainedModelComboBox.activated(1)
    settle()
    assert "of other" in ui.versionLabel.text


def test_it_opens_in_the_module_that_segments(
    opened_trainer: Callable[..., Any], install: Callable[..., Any], picture: Callable[..., Any]
) -> None:
    import slicer

    install("a model")
    install("b model")
    segmenting = application.open_module("SemiSegCervical")
    module = opened_trainer()
    picture()
    ui = module.panel.after.ui
    module.panel.trained(install("b model"))
    settle()
    application.click(ui.openSegmentingButton)
    settle()
    assert slicer.util.selectedModule() == "SemiSegCervical"
    assert segmenting.panel.ui.modelComboBox.currentData == "b model"
    application.close_module("SemiSegCervical")


def test_what_cannot_be_measured_says_why(
    opened_trainer: Callable[..., Any], install: Callable[..., Any], picture: Callable[..., Any]
) -> None:
    install()
    module = opened_trainer()
    picture()
    module.until(lambda: module.panel.training_set is not None and module.panel.training_set.cases)
    settle()
    ui = module.panel.after.ui
    for button in (ui.worstButton, ui.compareButton):
        assert not button.enabled
        assert "Nothing is kept aside" in button.toolTip
    assert not ui.comparingHost.isVisibleTo(module.widget.parent)


@pytest.mark.parametrize("damage", ["model.json", "card", "summary"])
def test_damaged_versions_are_survived(
    opened_trainer: Callable[..., Any], install: Callable[..., Any], damage: str
) -> None:
    version = install()
    if damage == "model.json":
        version.path.write_bytes(b"no zip")
    elif damage == "summary":
        (version.path.parent / kept.ABOUT).write_text('{"origin": "trained", "summary": {"validation": {"dice": []}}}')
    module = opened_trainer()
    settle()
    ui = module.panel.after.ui
    application.click(ui.cardButton)
    settle()
    assert ui.modelsButton.isVisibleTo(module.widget.parent)
    assert not application.slot_errors()


def test_figures_and_pictures_of_odd_cases(app) -> None:
    from SemiSegTrainerLib.panel.figures import from_summary, what_it_rests_on
    from SemiSegTrainerLib.panel.version_texts import read_card_text

    assert from_summary(None) is None
    assert from_summary({"segments": {}}) is None
    one = from_summary({**figures(bright=None, dark=1.0), "cases_count": 1})
    assert one is not None
    assert one.dice["bright"] is None
    assert "on 1 image " in what_it_rests_on(one)
    many = from_summary({**figures(dark=np.float64(0.5)), "cases_count": 30})
    assert many is not None
    assert "chance" not in what_it_rests_on(many)
    assert read_card_text(Path("nowhere")) == ""


def add_validating(folder: Path, numbers: dict[str, int]) -> None:
    """Add a folder of images that all validate to the scene, by name and by what is drawn (`TrainingRig.cases`)."""
    from SemiSegTrainerLib.scene import choices
    from TrainingRig import cases

    entries = [cases.write_case(folder, name, number, labelled=True) for name, number in numbers.items()]
    content = {"labels": {"1": "bright", "2": "dark"}, "validation": entries}
    (folder / "datalist.json").write_text(json.dumps(content))
    choices.add_folder(str(folder))


def measured(opened_trainer: Callable[..., Any]) -> Any:
    """Open the trainer and have the worst cases of its version found."""
    module = opened_trainer()
    module.until(lambda: module.panel.split is not None and module.panel.split.validation)
    settle()
    application.click(module.panel.after.ui.worstButton)
    application.process_events(0.2)
    module.until(lambda: not module.panel.after.busy)
    settle()
    assert not module.ui.messageFrame.isVisible(), module.ui.messageLabel.text
    return module


@pytest.mark.torch
def test_models_are_measured_on_images_of_a_folder_that_all_validate(
    opened_trainer: Callable[..., Any], install: Callable[..., Any], picture: Callable[..., Any], tmp_path: Path
) -> None:
    """A folder of test images: nothing of it is learned from, and none of it is in the scene."""
    picture()
    long = f"case1_{6 * 'of_many_words_'}"
    add_validating(tmp_path / "test images", {"case0": 900, long: 901})
    install()
    module = measured(opened_trainer)
    buttons = sorted((button for button, _ in module.panel.after.worst._buttons), key=lambda button: button.text)
    assert buttons[0].text.startswith("case0: Dice ")
    assert buttons[1].text.startswith("case1_")
    assert ": Dice " in buttons[1].text
    assert long in buttons[1].toolTip
    assert max(button.sizeHint.width() for button in buttons) < 190, "two of them beside each other widen no panel"
    application.click(buttons[0])
    settle()
    assert "lies on disk, not in this scene" in module.ui.messageLabel.text


@pytest.mark.torch
def test_what_a_version_was_trained_on_does_not_measure_it(
    opened_trainer: Callable[..., Any], install: Callable[..., Any], picture: Callable[..., Any], tmp_path: Path
) -> None:
    picture()
    add_validating(tmp_path / "images", {"case0": 0, "case900": 900})
    install(validation=None, before=None)
    module = measured(opened_trainer)
    ui = module.panel.after.ui
    assert "Dice on 1 image " in ui.figuresLabel.text
    said = "1 of 2 validation images was left out: the model had learned from it."
    assert ui.figuresLabel.text.endswith(f"Measured on what is kept aside now. {said}")


@pytest.mark.parametrize("how", ["whole", "cancel", "scene"])
def test_versions_are_measured_and_the_worst_cases_shown(
    opened_trainer: Callable[..., Any], install: Callable[..., Any], film: Callable[..., Any], pictures: Path, how: str
) -> None:
    import slicer

    for _ in range(2):
        install()
    made = film(12, 8)
    module = opened_trainer()
    module.until(lambda: module.panel.split is not None and module.panel.split.validation)
    settle()
    ui = module.panel.after.ui
    ui.versionsTable.selectRow(1)
    settle()
    application.click(ui.compareButton)
    application.process_events(0.2)
    assert ui.comparingHost.isVisibleTo(module.widget.parent)
    assert not ui.compareButton.enabled
    assert "Wait until the models are measured" in ui.useVersionButton.toolTip
    if how == "cancel":
        application.click(ui.cancelComparingButton)
    elif how == "scene":
        slicer.mrmlScene.Clear(0)
    module.until(lambda: not module.panel.after.busy)
    settle()
    assert not module.ui.messageFrame.isVisible(), module.ui.messageLabel.text
    assert module.panel.logic.jobs.running == []
    assert not application.slot_errors()
    assert not ui.comparingHost.isVisibleTo(module.widget.parent)
    if how != "whole":
        assert headers(ui.figuresTable) == ["Segment", "Before", "After", "Change"]
        return
    application.screenshot(module.widget.parent, pictures / "trainer-compared.png")
    assert headers(ui.figuresTable) == ["Segment", "Version 2 (in use)", "Version 1", "Change"]
    found = rows(ui.figuresTable)
    assert [row[0] for row in found] == ["bright", "dark", "Mean"]
    assert all(row[1] == row[2] and row[3] == "+0.00" and float(row[1]) > 0.7 for row in found), "the same model twice"
    validated = [value for value in module.panel.split.validation]
    assert f"Dice on {len(validated)} image" in ui.figuresLabel.text
    assert "Measured on what is kept aside now." in ui.figuresLabel.text
    assert "may have learned from it" not in ui.figuresLabel.text, "the model tells what it was trained on"
    buttons = [button for button, _ in module.panel.after.worst._buttons]
    assert 1 <= len(buttons) == min(4, len(validated))
    assert "Dice 0." in buttons[0].text
    assert "bright" in ui.worstLabel.text
    application.click(buttons[0])
    settle()
    value = made.cine.GetNthIndexValue(made.browser.GetSelectedItemNumber())
    assert f"{made.cine.GetID()}:{value}" in validated
    assert buttons[0].text.startswith(f"cine, frame {made.browser.GetSelectedItemNumber() + 1}:")
    ui.versionsTable.selectRow(0)
    settle()
    assert headers(ui.figuresTable) == ["Segment", "Before", "After", "Change"]
    assert not ui.worstHost.isVisibleTo(module.widget.parent)
