"""The check before a training: what refuses it, what is doubtful, and the figures, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from SlicerRig import application


def test_volumes_and_frames_together_are_refused(
    opened_trainer: Callable[..., Any], partly: Any, pictures: Any
) -> None:
    module = opened_trainer()
    module.settle()
    ui = module.ui
    application.screenshot(module.widget.parent, pictures / "trainer-refused.png")
    assert "cannot start" in ui.verdictLabel.text
    assert "Volumes and single pictures" in ui.findingsLabel.text
    assert module.panel.state().fault.code == "volumes-and-pictures"
    combo = ui.casesTable.cellWidget(6, 2)
    combo.currentText = "Left out"
    combo.activated(combo.currentIndex)
    module.settle()
    assert module.panel.state().fault is None
    assert "can start" in ui.verdictLabel.text
    assert "bright" in ui.factsLabel.text
    assert "48 \N{MULTIPLICATION SIGN} 32 \N{MULTIPLICATION SIGN} 8 voxels" in ui.factsLabel.text
    assert "0.5 \N{MULTIPLICATION SIGN} 0.5 \N{MULTIPLICATION SIGN} 2 mm" in ui.factsLabel.text


def test_figures_are_those_of_the_arrays(opened_trainer: Callable[..., Any], partly: Any) -> None:
    module = opened_trainer()
    module.settle()
    panel = module.panel
    voxels = 0
    for case in panel.training_set.cases:
        if case.use in ("labelled", "partly") and panel.split.side(case.id) == "training":
            labels = np.atleast_3d(case.labels)
            kept = np.setdiff1d(np.arange(len(labels)), panel.split.held_out(case.id))
            voxels += int((labels[kept] == 1).sum())
    said = f"{voxels:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    assert f"bright&nbsp;&nbsp;</td><td>{said} voxels" in module.ui.factsLabel.text


def test_nothing_annotated_is_said(opened_trainer: Callable[..., Any], picture: Any) -> None:
    picture()
    module = opened_trainer()
    module.settle()
    fault = module.panel.state().fault
    assert fault.code == "nothing-annotated"
    assert "accept" in module.ui.findingsLabel.text


def test_a_method_that_learns_from_nothing_is_refused(opened_trainer: Callable[..., Any], picture: Any) -> None:
    from SlicerRig import scenes
    from TrainingRig import cases

    for seed in range(4):
        volume = picture(seed, name=f"Picture {seed}")
        scenes.add_segmentation(volume, cases.draw(seed)[1], scenes.BLOBS)
    module = opened_trainer()
    module.settle()
    assert module.panel.state().fault is None
    module.panel.parameters.method = "unimatch"
    module.settle()
    assert module.panel.state().fault.code == "nothing-unlabelled"
    module.panel.parameters.method = "supervised"
    module.settle()
    assert module.panel.state().fault is None


def test_many_findings_are_folded(opened_trainer: Callable[..., Any], partly: Any) -> None:
    import slicer
    from SemiSegCervicalLib.scene.classes import SegmentClass
    from SlicerRig import scenes

    for number in range(7):
        alone = scenes.add_segmentation(
            partly.volumes[5],
            np.ones((8, 32, 48), np.uint8),
            [SegmentClass(1, "x", (1, 0, 0), "")],
            name=f"Lone {number}",
        )
        alone.SetNodeReferenceID(alone.GetReferenceImageGeometryReferenceRole(), None)
    module = opened_trainer()
    module.settle()
    ui = module.ui
    assert ui.moreFindingsButton.isVisible()
    folded = ui.findingsLabel.text.count("<p")
    application.click(ui.moreFindingsButton)
    assert ui.findingsLabel.text.count("<p") > folded
    assert "Lone 6" in ui.findingsLabel.text
    assert not ui.moreFindingsButton.isVisible()
    slicer.mrmlScene.Clear(0)
    module.settle()
    assert "Lone" not in ui.findingsLabel.text


@pytest.mark.torch
def test_time_and_memory_are_measured_by_real_steps(
    opened_trainer: Callable[..., Any], picture: Any, pictures: Any
) -> None:
    from SlicerRig import scenes
    from TrainingRig import cases

    for seed in range(4):
        volume = picture(seed, name=f"Picture {seed}")
        if seed < 3:
            scenes.add_segmentation(volume, cases.draw(seed)[1], scenes.BLOBS)
    module = opened_trainer()
    module.settle()
    ui = module.ui
    ui.sizeLineEdit.text, ui.calibrateCheckBox.checked = "64 x 32", False
    ui.deviceComboBox.currentText = "Processor"
    module.settle()
    assert not ui.measuredLabel.isVisible()
    application.click(ui.measureButton)
    application.process_events(0.05)
    assert "measurement" in module.panel.state().busy
    assert not ui.measureButton.isVisible()
    assert not ui.quickButton.enabled, "what is measured stays as it is meanwhile"
    module.until(lambda: not module.panel.preflight.busy)
    module.settle()
    application.screenshot(module.widget.parent, pictures / "trainer-measured.png")
    assert "s a step" in ui.measuredLabel.text
    assert "steps fit into 10 min" in ui.measuredLabel.text
    assert "GiB" in ui.measuredLabel.text
    ui.iterationsSpinBox.value = 50
    application.process_events(0.05)
    assert "50 steps take about" in ui.measuredLabel.text
    ui.seedSpinBox.value = 3
    module.until(lambda: not ui.measuredLabel.isVisible())  # that was another training
    application.click(ui.measureButton)
    application.process_events(0.05)
    application.click(ui.cancelMeasuringButton)
    module.until(lambda: not module.panel.preflight.busy)
    assert not ui.measuredLabel.isVisible()


def test_a_file_that_is_gone_is_said_and_nothing_starts(
    opened_trainer: Callable[..., Any], picture: Any, tmp_path: Any
) -> None:
    from SemiSegTrainerLib.scene import choices
    from TrainingRig import cases

    for number in range(4):
        cases.write_case(tmp_path / "more", f"case{number}", number)
    choices.add_folder(str(tmp_path / "more"))
    module = opened_trainer()
    module.settle()
    for path in (tmp_path / "more").iterdir():
        path.write_bytes(b"damaged")
    module.panel.look_again()
    module.settle()
    assert module.panel.state().fault is not None
    assert not module.panel.run.ui.startButton.enabled
