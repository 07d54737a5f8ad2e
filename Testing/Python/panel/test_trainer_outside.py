"""Folders and saved scenes on disk: their images are rows too, can be left out, and go with their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from SlicerRig import application


def names(module: Any) -> list[str]:
    table = module.ui.casesTable
    return [table.item(row, 0).text().split("\n")[0] for row in range(table.rowCount)]


def test_a_folder_is_added_and_removed(
    opened_trainer: Callable[..., Any], picture: Any, tmp_path: Path, pictures: Path
) -> None:
    from TrainingRig import cases

    for number in range(3):
        cases.write_case(tmp_path / "more", f"case{number}", number, labelled=number < 2)
    picture()
    module = opened_trainer()
    module.settle()
    ui = module.ui
    module.panel.outside.choose_folder = lambda title: ""
    application.click(ui.addFolderButton)
    assert not module.panel.reading, "nothing was chosen"
    module.panel.outside.choose_folder = lambda title: str(tmp_path / "more")
    application.click(ui.addFolderButton)
    module.settle()
    assert names(module)[0] == "Picture"
    assert sorted(names(module)[1:]) == ["case0", "case1", "case2"]
    assert ui.questionsHost.isVisible(), "nobody said what the label values are"
    while ui.questionsTable.rowCount:
        combo = ui.questionsTable.cellWidget(0, 1)
        combo.activated(1)
        module.settle()
    row = names(module).index("case0")
    ui.casesTable.setCurrentCell(row, 0)
    application.process_events(0.2)
    application.screenshot(module.widget.parent, pictures / "trainer-folder.png")
    assert str(tmp_path / "more") in ui.outsideLabel.text
    assert not ui.acceptAllButton.isVisible(), "it is not in the scene"
    combo = ui.casesTable.cellWidget(row, 2)
    combo.currentText = "Left out"
    combo.activated(combo.currentIndex)
    module.settle()
    assert next(c for c in module.panel.training_set.cases if c.name == "case0").use == "left out"
    application.click(ui.removeOutsideButton)
    module.settle()
    assert names(module) == ["Picture"]


def test_a_saved_scene_is_added(opened_trainer: Callable[..., Any], partly: Any, tmp_path: Path) -> None:
    import slicer

    path = tmp_path / "before.mrb"
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(0)
    module = opened_trainer()
    module.settle()
    damaged = tmp_path / "damaged.mrb"
    damaged.write_bytes(b"no scene")
    module.panel.outside.choose_file = lambda title, kind: str(damaged)
    application.click(module.ui.addSceneButton)
    assert "damaged.mrb" in module.ui.messageLabel.text
    module.panel.outside.choose_file = lambda title, kind: str(path)
    application.click(module.ui.addSceneButton)
    module.settle()
    assert len(module.panel.training_set.cases) == 6 + 12
    assert "Volume 0 (before)" in names(module)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0, "the open scene stays empty"
    module.ui.casesTable.setCurrentCell(0, 0)
    application.process_events(0.2)
    application.click(module.ui.removeOutsideButton)
    module.settle()
    assert module.panel.training_set.cases == []


def test_a_place_of_which_nothing_can_be_read_can_be_taken_away(
    opened_trainer: Callable[..., Any], picture: Any, tmp_path: Path
) -> None:
    """No row of the table stands for it, and it is asked for anew each time the scene is read."""
    from SemiSegTrainerLib.scene import choices

    picture()
    choices.add_folder(str(tmp_path / "on a disk & not there"))
    choices.add_scene(str(tmp_path / "gone.mrb"))
    module = opened_trainer()
    module.settle()
    button = module.ui.removeLostButton
    assert button.isVisible()
    assert button.text == 'Nothing can be used of "on a disk && not there": do without it'
    assert str(tmp_path / "on a disk & not there") in button.toolTip
    application.click(button)
    module.settle()
    assert (choices.folders(), len(choices.scenes())) == ([], 1)
    assert "gone.mrb" in button.text
    application.click(button)
    module.settle()
    assert (choices.scenes(), module.panel.training_set.notes) == ([], [])
    assert not button.isVisible()


def test_a_folder_whose_files_lie_elsewhere_can_be_taken_away(
    opened_trainer: Callable[..., Any], picture: Any, tmp_path: Path
) -> None:
    import json

    from TrainingRig import cases

    cases.write_case(tmp_path / "images", "case0", 0, labelled=False)
    (file,) = (tmp_path / "images").iterdir()
    (tmp_path / "list").mkdir()
    content = {"labels": {"1": "wall"}, "unlabeled": [{"image": str(file)}]}
    (tmp_path / "list" / "datalist.json").write_text(json.dumps(content))
    (tmp_path / "link").symlink_to(tmp_path / "list")
    picture()
    module = opened_trainer()
    module.panel.outside.choose_folder = lambda title: str(tmp_path / "link")
    application.click(module.ui.addFolderButton)
    module.settle()
    assert len(names(module)) == 2
    assert not module.ui.removeLostButton.isVisible()
    module.ui.casesTable.setCurrentCell(1, 0)
    application.process_events(0.2)
    assert str(tmp_path / "link") in module.ui.outsideLabel.text
    application.click(module.ui.removeOutsideButton)
    module.settle()
    assert names(module) == ["Picture"]
