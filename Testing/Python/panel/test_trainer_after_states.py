"""What each control of Trained models and What to annotate next says in each state; their own tests do the rest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from SemiSegTrainerLib import versions as kept
from SlicerRig import application, state_table
from SlicerRig.state_table import Cell, hidden, on, shows

FIGURES = {"cases_count": 2, "voxels": 900, "dice": 0.6, "segments": {"bright": {"dice": 0.7}, "dark": {"dice": 0.5}}}
SUMMARY = {"method": "supervised", "labelled": 2, "unlabelled": 3, "seconds": 60.0, "validation": FIGURES}
NOTHING_ASKED = dict.fromkeys(("suggestingHost", "suggestionsTable", "suggestionButtonsHost"), hidden)

TABLE: dict[str, dict[str, Cell]] = {
    "nothing installed": {
        "modelsButton": hidden,
        "askButton": Cell(False, True, "Suggest", "Packages that compute are missing"),
        **NOTHING_ASKED,
    },
    "empty scene, no model": {
        "modelsButton": hidden,
        "suggestLabel": shows("only then does it count"),
        "askButton": Cell(False, True, tip="holds no image"),
        **NOTHING_ASKED,
    },
    "images, no model": {
        "modelsButton": hidden,
        "askButton": Cell(False, True, tip="No model knows"),
        "suggestWhyLabel": shows("train one first"),
    },
    "in use": {
        "modelsButton": Cell(visible=True),
        "trainedModelComboBox": Cell(True, True, "my blobs"),
        "versionsTable": on,
        "openSegmentingButton": Cell(True, True, tip="with this model chosen"),
        "useVersionButton": Cell(False, True, tip="in use already"),
        "compareButton": Cell(False, True, tip="This is the one in use"),
        "worstButton": Cell(True, True, tip="where it is worst"),
        "cardButton": on,
        "cardBrowser": hidden,
        "versionLabel": shows("Version 2 of my blobs</b>, in use"),
        "figuresTable": Cell(visible=True),
        "figuresLabel": shows("kept aside from the training"),
        "worstHost": hidden,
        "comparingHost": hidden,
        "suggestModelComboBox": Cell(True, True, "my blobs"),
        "askButton": Cell(True, True, tip="lists what to annotate next"),
        "messageFrame": hidden,
    },
    "an earlier version": {
        "useVersionButton": Cell(True, True, tip="the others stay"),
        "compareButton": Cell(True, True, tip="Measures both"),
        "worstButton": on,
        "versionLabel": shows("kept, not in use"),
        "figuresTable": hidden,
        "figuresLabel": shows("was not measured"),
    },
    "the card": {"cardBrowser": Cell(visible=True), "cardButton": on},
    "none in use": {
        "openSegmentingButton": Cell(False, True, tip="No version is in use"),
        "useVersionButton": on,
        "compareButton": Cell(False, True, tip="No version is in use"),
        "worstButton": on,
        "askButton": Cell(False, True, tip="No model knows"),
    },
    "nothing kept aside": {
        "useVersionButton": Cell(True, True),
        "compareButton": Cell(False, True, tip="Nothing is kept aside"),
        "worstButton": Cell(False, True, tip="Nothing is kept aside"),
    },
}


@pytest.fixture
def look(opened_trainer: Callable[..., Any], pictures: Path) -> Callable[[str], Any]:
    """Open the trainer once, and hold it against a row of the table."""
    module = opened_trainer()

    def hold(state: str) -> Any:
        module.settle()
        state_table.look(module, f"after, {state}", TABLE[state], pictures)
        return module

    return hold


def install(trained: Path, folder: Path, number: int, summary: dict[str, Any]) -> None:
    path = Path(shutil.copy(trained, folder / f"{number}.semiseg"))
    os.utime(path, (1.7e9 + number,) * 2)
    kept.install(path, "my blobs", summary)


def test_every_control_in_every_state(
    look: Callable[[str], Any], film: Callable[..., Any], models: Path, trained: Path, tmp_path: Path
) -> None:
    import slicer

    look("empty scene, no model")
    film(12, 8)
    module = look("images, no model")
    install(trained, tmp_path, 1, {})
    install(trained, tmp_path, 2, SUMMARY)
    module.panel.enter()
    look("in use")
    ui = module.panel.after.ui
    ui.versionsTable.selectRow(1)
    look("an earlier version")
    application.click(ui.cardButton)
    look("the card")
    application.click(ui.cardButton)
    (models / "my blobs.semiseg").unlink()
    module.panel.enter()
    look("none in use")
    kept.restore(kept.versions("my blobs")[1])
    module.panel.enter()
    slicer.mrmlScene.Clear(0)
    film(4, 1)
    look("nothing kept aside")
    assert not application.slot_errors()


def test_packages_are_missing(opened_trainer: Callable[..., Any], models: Path, pictures: Path) -> None:
    module = opened_trainer()
    module.lack_packages()
    module.settle()
    state_table.look(module, "after, nothing installed", TABLE["nothing installed"], pictures)
