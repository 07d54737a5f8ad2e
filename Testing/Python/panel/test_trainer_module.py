"""SemiSegTrainer opens without anything heavy, reads the scene, and survives what Slicer does to modules."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from house.environment import with_libraries
from SlicerRig import application

OPENING = textwrap.dedent(
    """
    import json, sys
    from SlicerRig import application
    application.start()
    application.open_module("SemiSegTrainer")
    application.process_events(0.5)
    print(json.dumps(sorted(sys.modules)))
    application.close_module("SemiSegTrainer")
    """
)


def test_opening_imports_nothing_heavy(models: Any) -> None:
    told = subprocess.run(
        [sys.executable, "-c", OPENING],
        env=with_libraries(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(told.stdout.strip().splitlines()[-1])
    assert {"torch", "monai", "openvino", "pydantic", "scipy", "SimpleITK"}.isdisjoint(found)


def test_the_tab_key_goes_from_top_to_bottom(opened_trainer: Callable[..., Any]) -> None:
    panel = opened_trainer().panel
    buttons = [
        *(panel.ui.casesButton, panel.ui.recipeButton, panel.ui.preflightButton),
        *(panel.run.ui.runButton, panel.after.ui.modelsButton, panel.suggest.ui.suggestButton),
    ]
    widget, found = panel.widget._qt, []
    for _ in range(1000):
        widget = widget.nextInFocusChain()
        found.append(widget)
    places = [found.index(button._qt) for button in buttons]
    assert places == sorted(places)


def test_an_empty_scene_says_what_to_do(opened_trainer: Callable[..., Any]) -> None:
    module = opened_trainer()
    module.until(lambda: module.panel.training_set is not None)
    application.process_events()
    assert "Load volumes or a cine" in module.ui.casesSummaryLabel.text


def test_what_is_loaded_is_a_case(opened_trainer: Callable[..., Any], picture: Any, pictures: Any) -> None:
    import slicer

    module = opened_trainer()
    picture()
    module.until(lambda: module.panel.training_set is not None and module.panel.training_set.cases)
    application.process_events()
    assert "<b>1</b> not annotated" in module.ui.casesSummaryLabel.text
    application.screenshot(module.widget.parent, pictures / "trainer-one-picture.png")
    slicer.mrmlScene.Clear(0)
    module.until(lambda: module.panel.training_set is not None and not module.panel.training_set.cases)


def test_a_scene_of_another_version_opens(opened_trainer: Callable[..., Any]) -> None:
    import slicer

    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
    node.UnRegister(None)
    node.SetSingletonTag("SemiSegTrainer")
    node.SetAttribute("ModuleName", "SemiSegTrainer")
    node = slicer.mrmlScene.AddNode(node)
    node.SetParameter("seed", "abc")
    node.SetParameter("device", "Abacus")
    assert opened_trainer().panel.parameters.seed == 0


def test_choices_come_back_with_the_scene(opened_trainer: Callable[..., Any], tmp_path: Any) -> None:
    import slicer

    module = opened_trainer()
    module.panel.parameters.seed = 7
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    application.process_events(0.1)
    assert module.panel.parameters.seed == 0
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    application.process_events(0.1)
    assert module.panel.parameters.seed == 7


def test_nothing_is_shown_of_a_scene_that_is_half_read(
    opened_trainer: Callable[..., Any], picture: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    module = opened_trainer()
    picture()
    module.settle()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    scene, reading = slicer.mrmlScene, []
    for shown in (module.panel.cases, module.panel.annotating):
        monkeypatch.setattr(shown, "refresh", lambda _state: reading.append(bool(scene.IsImporting())))
    slicer.util.loadScene(str(tmp_path / "scene.mrb"), {"clear": True})
    application.process_events(0.3)
    assert reading
    assert not any(reading)


def test_a_script_may_open_either_panel_in_a_window_of_its_own(opened_trainer: Callable[..., Any]) -> None:
    opened_trainer()
    application.open_module("SemiSegCervical")
    for name in ("SemiSegTrainer", "SemiSegCervical"):
        widget = getattr(sys.modules[name], f"{name}Widget")()
        application.process_events()
        assert widget.panel.widget.isVisible()
        widget.cleanup()
        widget.parent.deleteLater()
    application.close_module("SemiSegCervical")


def test_what_is_said_in_many_words_makes_no_panel_wider(opened_trainer: Callable[..., Any], picture: Any) -> None:
    opened_trainer()
    for name in ("SemiSegTrainer", "SemiSegCervical"):
        module = application.open_module(name)
        picture()
        application.process_events(0.3)
        wide = application.least_width(module.parent)
        assert 200 < wide < 450
        labels = [label for label in module.parent.findChildren("QLabel") if label.wordWrap]
        assert len(labels) > 9
        for label in labels:
            before, shown = label.text, label.isVisibleTo(label.parent())
            for text in (9 * "What has to be said takes many words. ", f"{9 * 'a_files_name_'} is not an image."):
                label.text, label.visible = text, True
                assert application.least_width(module.parent) == wide, label.objectName
            label.text, label.visible = before, shown
    application.close_module("SemiSegCervical")


def test_missing_packages_are_offered(opened_trainer: Callable[..., Any]) -> None:
    module = opened_trainer()
    assert not module.panel.widget.findChild("QWidget", "installBox").isVisible()
    module.lack_packages()
    application.process_events(0.05)
    assert module.panel.widget.findChild("QWidget", "installBox").isVisible()
    assert module.panel.state().fault.code == "missing-package"


def test_it_survives_reloading(opened_trainer: Callable[..., Any], picture: Any) -> None:
    module = opened_trainer()
    old = module.panel
    module.widget = application.reload_module("SemiSegTrainer")
    module.panel = module.widget.panel
    assert module.panel is not old
    module.panel.enter()
    picture()
    module.until(lambda: module.panel.training_set is not None and module.panel.training_set.cases)


def test_its_own_test_passes(opened_trainer: Callable[..., Any]) -> None:
    import slicer

    opened_trainer()
    slicer.modules.SemiSegTrainerInstance.runTest()


def test_a_script_reads_the_scene(picture: Any) -> None:
    from SlicerRig.scripted_modules import import_file

    logic = import_file(application.REPOSITORY / "SemiSegTrainer" / "SemiSegTrainer.py").SemiSegTrainerLogic()
    picture(name="Mine")
    assert [case.name for case in logic.trainingSet().cases] == ["Mine"]
    logic.close()
