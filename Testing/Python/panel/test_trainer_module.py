"""SemiSegTrainer opens, says honestly what there is, and passes its own test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from house.trees import ROOT
from SlicerRig import application

SCREENSHOTS = os.environ.get("SEMISEG_SCREENSHOTS")


@pytest.fixture
def trainer():
    yield application.open_module("SemiSegTrainer")
    application.close_module("SemiSegTrainer")


def test_the_page_says_what_there_is_and_imports_nothing_heavy(trainer):
    before = {"torch", "monai"} & set(sys.modules)
    assert "not built yet" in trainer.ui.trainerState.text
    for word in ("slices", "scribbles", "resuming"):
        assert word in trainer.ui.trainerPlan.text
    assert {"torch", "monai"} & set(sys.modules) == before
    if SCREENSHOTS:
        application.screenshot(trainer.parent, Path(SCREENSHOTS) / "trainer.png")


def test_the_command_is_one_that_the_program_takes(trainer):
    """The words of the command are those of its help, and its method exists."""
    import qt

    application.click(trainer.ui.trainerCopy)
    command = qt.QApplication.clipboard().text().split()
    assert command[:2] == ["semiseg", "train"]
    source = (ROOT / "SemiSegTrainer" / "SemiSegTrainerLib" / "cli" / "train.py").read_text(encoding="utf-8")
    for option in command[2:]:
        if option.startswith("--"):
            name = option[2:]
            assert f'"{option}"' in source or f"    {name}: Annotated" in source
    method = command[command.index("--method") + 1]
    folder = ROOT / "SemiSegTrainer" / "SemiSegTrainerLib" / "learning" / "methods"
    assert (folder / f"{method}.py").is_file()


def test_its_button_opens_the_other_module(trainer):
    import slicer

    application.open_module("SemiSegCervical")
    slicer.util.selectModule("SemiSegTrainer")
    application.click(trainer.ui.trainerSegment)
    assert slicer.util.selectedModule() == "SemiSegCervical"
    application.close_module("SemiSegCervical")


def test_its_own_test_passes(trainer):
    import SemiSegTrainer

    SemiSegTrainer.SemiSegTrainerTest().runTest()


def test_it_survives_reloading(trainer):
    again = application.reload_module("SemiSegTrainer")
    application.click(again.ui.trainerCopy)
    assert again is not trainer
