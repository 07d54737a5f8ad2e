"""The section Training: presets, methods, where to start, and what of it reaches the worker."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from SlicerRig import application


@pytest.fixture
def module(opened_trainer: Callable[..., Any], models: Path, picture: Any) -> Any:
    """The trainer, with one picture in the scene that nobody has annotated, and no model."""
    picture()
    made = opened_trainer()
    made.settle()
    return made


def texts(combo: Any) -> list[str]:
    return [combo.itemText(i) for i in range(combo.count)]


def choose(combo: Any, text: str) -> None:
    combo.currentIndex = next(i for i, said in enumerate(texts(combo)) if text in said)
    combo.activated(combo.currentIndex)
    application.process_events(0.05)


def draw(volume: Any, names: tuple[str, ...]) -> Any:
    """Finish outlines of some segments."""
    from SemiSegCervicalLib.scene.classes import SegmentClass
    from SlicerRig import scenes

    classes = [SegmentClass(value, name, (0.5, 0.5, 0.5), "") for value, name in enumerate(names, start=1)]
    labels = np.zeros(volume.GetImageData().GetDimensions()[::-1], dtype=np.uint8)
    for value in range(1, len(names) + 1):
        labels[..., 5 * value : 5 * value + 3] = value
    return scenes.add_segmentation(volume, labels, classes)


def described(
    pack: Path, name: str, modalities: Sequence[str], reads: Sequence[list[int]], names: Sequence[str]
) -> None:
    """Write an unpacked model's description: of its networks the panel asks only what they read."""
    pack.mkdir()
    classes = [{"value": value, "name": name, "color": [0, 0, 0]} for value, name in enumerate(names, start=1)]
    branches = [{"modalities": read} for read in reads]
    content = {"name": name, "input": {"modalities": modalities, "size": [32, 48]}, "branches": branches}
    (pack / "model.json").write_text(json.dumps({**content, "classes": classes}))


def look(module: Any) -> None:
    module.panel.look_again()
    module.settle()


def test_presets_are_times(module: Any) -> None:
    ui, panel = module.ui, module.panel
    assert (ui.standardButton.checked, panel.recipe().minutes) == (True, 10.0)
    application.click(ui.quickButton)
    assert (ui.quickButton.checked, ui.standardButton.checked, panel.recipe().minutes) == (True, False, 2.0)
    application.click(ui.thoroughButton)
    assert panel.recipe().minutes == 60.0
    application.click(ui.thoroughButton)
    assert ui.thoroughButton.checked, "pressing it again does not take it back"
    assert not ui.ownLengthLabel.isVisible()
    ui.minutesSpinBox.value = 25
    application.process_events(0.05)
    assert panel.recipe().minutes == 25
    assert not ui.thoroughButton.checked
    assert "25 minutes" in ui.ownLengthLabel.text
    ui.iterationsSpinBox.value = 300
    application.process_events(0.05)
    assert (panel.recipe().minutes, panel.recipe().iterations) == (None, 300)
    assert "300 steps" in ui.ownLengthLabel.text
    application.click(ui.standardButton)
    assert (panel.recipe().minutes, panel.recipe().iterations) == (10.0, None)


def test_what_is_said_of_a_choice_stands_right_below_it(module: Any) -> None:
    """A form would leave as much room as the text needs in a column of a few words."""
    for label in (module.ui.methodInfoLabel, module.ui.startInfoLabel):
        assert label.text
        assert label.height <= label.heightForWidth(label.width)


def test_the_method_suits_the_images(module: Any) -> None:
    import slicer

    ui, panel = module.ui, module.panel
    assert panel.recipe().method == "cross_supervision"
    assert "many others" in ui.methodInfoLabel.text
    assert not any("modality" in text for text in texts(ui.methodComboBox)), "there is only one"
    choose(ui.methodComboBox, "UniMatch")
    assert panel.recipe().method == "unimatch"
    choose(ui.methodComboBox, "Automatic")
    slicer.mrmlScene.Clear(0)
    slicer.util.addVolumeFromArray(np.zeros((6, 16, 16), dtype=np.int16), name="Volume")
    look(module)
    assert panel.recipe().method == "dual_uncertainty"
    draw(slicer.util.getNode("Volume"), ("one",))
    look(module)
    assert panel.recipe().method == "supervised", "everything is annotated"
    assert not any("UniMatch" in text for text in texts(ui.methodComboBox))


def test_a_short_training_learns_from_what_is_annotated(module: Any) -> None:
    """Learning from the other images needs more steps than there is time for; see `bench proposal`."""
    ui, panel = module.ui, module.panel
    summary = ui.casesSummaryLabel
    assert "learned from all the same" in summary.text
    application.click(ui.quickButton)
    module.settle()
    assert panel.recipe().method == "supervised"
    assert texts(ui.methodComboBox)[0] == "Automatic: Supervised"
    assert "10 minutes on Dual-network cross-supervision" in ui.methodInfoLabel.text
    assert "does not learn from them" in summary.text
    choose(ui.methodComboBox, "Dual-network")
    module.settle()
    assert panel.recipe().method == "cross_supervision", "whoever chooses it gets it"
    assert "learned from all the same" in summary.text
    choose(ui.methodComboBox, "Automatic")
    ui.iterationsSpinBox.value = 300
    application.process_events(0.05)
    assert panel.recipe().method == "cross_supervision", "who counts steps has time"


def test_a_name_that_another_model_has_is_told(module: Any, trained: Path, models: Path) -> None:
    """Every scene begins with the same name: the model of another organ would not be listed any more."""
    import slicer

    ui, panel = module.ui, module.panel
    volume = slicer.util.getNode("Picture")
    shutil.copy(trained, models / "My model.semiseg")
    for name, segments, told in (
        ("My model", ("kidney",), True),
        ("Kidney", ("kidney",), False),
        ("My model", ("bright", "dark"), False),
        ("My model", ("bright", "dark", "kidney"), False),
    ):
        drawn = draw(volume, segments)
        panel.parameters.name = name
        panel.enter()
        look(module)
        assert ui.nameInfoLabel.isVisible() == told
        slicer.mrmlScene.RemoveNode(drawn)
        if told:
            assert "segments bright, dark in single images" in ui.nameInfoLabel.text


def test_it_starts_from_a_model_that_knows_the_segments(module: Any, trained: Path, models: Path) -> None:
    import slicer

    ui, panel = module.ui, module.panel
    volume = slicer.util.getNode("Picture")
    assert panel.recipe().start is None
    assert "learned anew" in ui.startInfoLabel.text
    drawn = draw(volume, ("dark", "bright"))
    installed = Path(shutil.copy(trained, models / "blobs.semiseg"))
    panel.enter()
    look(module)
    assert panel.recipe().start == installed
    assert "last layer" in ui.startInfoLabel.text, "the same segments in another order"
    assert not ui.sizeLineEdit.isVisible(), "the model says what it reads"
    choose(ui.startComboBox, "Random")
    assert panel.recipe().start is None
    slicer.mrmlScene.RemoveNode(drawn)
    draw(volume, ("another",))
    look(module)
    choose(ui.startComboBox, "Automatic")
    assert panel.recipe().start is None
    choose(ui.startComboBox, texts(ui.startComboBox)[1])
    assert panel.recipe().start == installed
    installed.unlink()
    panel.enter()
    look(module)
    assert panel.state().fault.code == "missing-start"


def test_it_starts_from_a_file(module: Any, trained: Path, tmp_path: Path) -> None:
    ui, panel = module.ui, module.panel
    damaged = tmp_path / "damaged.semiseg"
    damaged.write_bytes(b"no model")
    panel.choices._choose_file = lambda title, kind: str(damaged)
    choose(ui.startComboBox, "From a file")
    assert "damaged.semiseg" in ui.messageLabel.text
    assert panel.recipe().start is None
    assert ui.startComboBox.currentText.startswith("Automatic")
    panel.choices._choose_file = lambda title, kind: str(trained)
    choose(ui.startComboBox, "From a file")
    assert panel.recipe().start == trained
    panel.choices._choose_file = lambda title, kind: ""
    choose(ui.startComboBox, "From a file")
    assert panel.recipe().start == trained, "nothing was chosen"


def test_a_model_for_other_images_is_not_offered(module: Any, trained: Path, models: Path) -> None:
    import slicer

    slicer.mrmlScene.Clear(0)
    slicer.util.addVolumeFromArray(np.zeros((6, 16, 16), dtype=np.int16), name="Volume")
    shutil.copy(trained, models / "blobs.semiseg")
    module.panel.enter()
    look(module)
    assert [text for text in texts(module.ui.startComboBox) if "blobs" in text.lower()] == []
    module.panel.parameters.start = "blobs"
    application.process_events(0.05)
    assert module.panel.state().fault.code == "wrong-start"


def test_a_model_that_the_method_cannot_train_further_is_not_offered(module: Any, picture: Any, models: Path) -> None:
    import slicer
    from SemiSegCervicalLib.scene import pairs

    volume = slicer.util.getNode("Picture")
    draw(volume, ("bright", "dark"))
    pairs.pair(volume, picture(4, name="Partner"), ("T1", "FLAIR"))
    for name, reads in (("Each", ([0], [1])), ("Fused", ([0, 1], [0, 1]))):
        described(models / f"{name}.semiseg", name, ("T1", "FLAIR"), reads, ("bright", "dark"))
    ui, panel = module.ui, module.panel
    panel.enter()
    look(module)
    assert panel.recipe().method == "supervised"
    assert texts(ui.startComboBox)[1:3] == ["Each", "Fused"], "whatever the networks read, they can be trained further"
    choose(ui.startComboBox, "Fused")
    assert panel.recipe().start == models / "Fused.semiseg"
    choose(ui.methodComboBox, "Supervised, one network")
    assert panel.state().fault.code == "wrong-start"
    assert "network for each modality" in panel.run.ui.startButton.toolTip
    choose(ui.startComboBox, "Automatic")
    assert panel.recipe().start == models / "Each.semiseg"
    assert "Fused" not in texts(ui.startComboBox)
    shutil.rmtree(models / "Each.semiseg")
    panel.enter()
    look(module)
    assert panel.recipe().start is None
    assert "suits the method" in ui.startInfoLabel.text


def test_modalities_of_a_model_are_those_of_the_scene_in_any_order(module: Any, picture: Any, models: Path) -> None:
    import slicer
    from SemiSegCervicalLib.scene import pairs

    volume = slicer.util.getNode("Picture")
    draw(volume, ("bright", "dark"))
    pairs.pair(volume, picture(4, name="Partner"), ("T1", "FLAIR"))
    for name, reads in (("Turned", ("flair", "T1")), ("Renamed", ("T1", "T2 FLAIR")), ("Other", ("FLAIR", "T2"))):
        described(models / f"{name}.semiseg", name, reads, ([0, 1], [0, 1]), ("bright", "dark"))
    module.panel.enter()
    look(module)
    offered = [text for text in texts(module.ui.startComboBox) if text in ("Turned", "Renamed", "Other")]
    assert sorted(offered) == ["Renamed", "Turned"]


def test_cases_that_lack_a_modality_are_offered_what_can_do_without(module: Any, picture: Any) -> None:
    import slicer
    from SemiSegCervicalLib.scene import pairs

    volume, other = slicer.util.getNode("Picture"), picture(5, name="Alone")
    for drawn in (volume, other):
        draw(drawn, ("bright", "dark"))
    pairs.pair(volume, picture(4, name="Partner"), ("T1", "FLAIR"))
    pairs.set_modality(other, "FLAIR")
    look(module)
    automatic, *offered = texts(module.ui.methodComboBox)
    assert automatic.startswith("Automatic: Supervised, one network for each modality")
    assert offered == ["Supervised, one network for each modality"]


@pytest.mark.parametrize(
    ("size", "expected"), [("", None), ("128 x 96", (96, 128)), ("64,32", (32, 64)), ("160\u00d796", (96, 160))]
)
def test_sizes_are_read_as_people_write_them(module: Any, size: str, expected: Any) -> None:
    module.ui.sizeLineEdit.text = size
    assert module.panel.recipe().size == expected


@pytest.mark.parametrize("size", ["large", "128", "128 x 96 x 4", "0 x 10", "-4 x 9", "nan x 3"])
def test_other_sizes_are_refused_in_words(module: Any, size: str) -> None:
    module.ui.sizeLineEdit.text = size
    application.process_events(0.05)
    fault = module.panel.state().fault
    assert fault.code == "bad-number"
    assert size in fault.cause


@pytest.mark.parametrize(
    ("size", "near"), [("120 x 90", "128 \u00d7 96"), ("32 x 32", "64 \u00d7 32"), ("9000 x 8", "2048 \u00d7 32")]
)
def test_a_size_that_the_networks_cannot_take_is_refused_before_the_start(module: Any, size: str, near: str) -> None:
    module.ui.sizeLineEdit.text = size
    application.process_events(0.05)
    assert module.panel.state().fault.code == "bad-size"
    assert near in module.ui.verdictLabel.text, "the section Check says it"
    module.ui.sizeLineEdit.text = near
    application.process_events(0.05)
    assert module.panel.state().fault is None or module.panel.state().fault.code != "bad-size"


@pytest.mark.torch
def test_the_sizes_that_are_said_are_those_of_the_networks() -> None:
    from SemiSegCervicalLib.engine.branch import Branch
    from SemiSegTrainerLib.learning.planning import DUAL_2D, dual_3d
    from SemiSegTrainerLib.panel.recipe import DIVISORS, check_size

    for dimensions, size in ((2, (32, 64)), (3, (8, 8, 16)), (3, (64, 64, 64))):
        parts = DUAL_2D if dimensions == 2 else dual_3d(size)
        assert all(Branch(*part, 1, 2, dimensions).takes(size) for part in parts)
        assert DIVISORS[dimensions] == min(Branch(*part, 1, 2, dimensions).divisor for part in parts) or size[0] == 64
        check_size(size)


def test_a_name_that_no_file_can_have_is_refused(module: Any) -> None:
    module.ui.nameLineEdit.text = "a/b"
    application.process_events(0.05)
    assert module.panel.state().fault is not None
    for written in ("Prostate 3", " Prostate 3 "):
        module.ui.nameLineEdit.text = written
        application.process_events(0.05)
        assert module.panel.recipe().name == "Prostate 3"


def test_the_rest_reaches_the_recipe(module: Any) -> None:
    ui = module.ui
    ui.seedSpinBox.value = 5
    ui.deviceComboBox.currentText = "Processor"
    ui.calibrateCheckBox.checked = False
    ui.offerStopCheckBox.checked = True
    recipe = module.panel.recipe()
    assert (recipe.seed, recipe.device, recipe.calibrate, recipe.offer_stop) == (5, "cpu", "none", True)
