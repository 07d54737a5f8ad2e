"""A made-up module in the rig: opened, clicked, saved, reloaded, looked at, closed."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from SlicerRig import application
from SlicerRig.scripted_modules import import_file

MODULE = textwrap.dedent(
    """
    import slicer
    from slicer import vtkMRMLScalarVolumeNode
    from slicer.i18n import tr as _
    from slicer.parameterNodeWrapper import parameterNodeWrapper
    from slicer.ScriptedLoadableModule import *
    from slicer.util import VTKObservationMixin


    class RigTiny(ScriptedLoadableModule):
        def __init__(self, parent):
            ScriptedLoadableModule.__init__(self, parent)
            self.parent.title = _("Tiny")
            self.parent.categories = ["Testing"]


    @parameterNodeWrapper
    class Parameters:
        volume: vtkMRMLScalarVolumeNode
        count: int = 3


    class RigTinyWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
        def __init__(self, parent=None):
            ScriptedLoadableModuleWidget.__init__(self, parent)
            VTKObservationMixin.__init__(self)
            self.calls = []

        def setup(self):
            ScriptedLoadableModuleWidget.setup(self)
            form = slicer.util.loadUI(self.resourcePath("UI/RigTiny.ui"))
            self.layout.addWidget(form)
            self.ui = slicer.util.childWidgetVariables(form)
            form.setMRMLScene(slicer.mrmlScene)
            logic = ScriptedLoadableModuleLogic()
            logic.moduleName = "RigTiny"
            self.parameters = Parameters(logic.getParameterNode())
            self.parameters.connectGui(self.ui)
            self.ui.apply.connect("clicked(bool)", self.onApply)
            self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onClose)

        def enter(self):
            self.calls.append("enter")

        def exit(self):
            self.calls.append("exit")

        def cleanup(self):
            self.calls.append("cleanup")
            self.removeObservers()

        def onApply(self):
            self.calls.append(("apply", self.parameters.count, self.parameters.volume))

        def onClose(self, caller, event):
            self.calls.append("scene closed")
    """
)
FORM = """<?xml version="1.0"?>
<ui version="4.0"><class>RigTiny</class><widget class="qMRMLWidget" name="RigTiny">
 <layout class="QVBoxLayout" name="outer">
  <item><widget class="ctkCollapsibleButton" name="inputs"><property name="text"><string>Inputs</string></property>
   <layout class="QFormLayout" name="form">
    <item row="0" column="1"><widget class="qMRMLNodeComboBox" name="volume">
     <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
     <property name="noneEnabled"><bool>true</bool></property>
     <property name="SlicerParameterName" stdset="0"><string>volume</string></property></widget></item>
    <item row="1" column="1"><widget class="QSpinBox" name="count">
     <property name="SlicerParameterName" stdset="0"><string>count</string></property></widget></item>
   </layout></widget></item>
  <item><widget class="QPushButton" name="apply"><property name="text"><string>Apply</string></property></widget></item>
 </layout></widget>
 <connections><connection><sender>RigTiny</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
  <receiver>volume</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections>
</ui>
"""


@pytest.fixture
def widget(tmp_path: Path) -> Iterator[Any]:
    path = tmp_path / "RigTiny" / "RigTiny.py"
    (path.parent / "Resources" / "UI").mkdir(parents=True)
    path.write_text(MODULE, encoding="utf-8")
    (path.parent / "Resources" / "UI" / "RigTiny.ui").write_text(FORM, encoding="utf-8")
    yield application.open_module("RigTiny", path)
    application.close_module("RigTiny")


def test_opened_clicked_and_left(widget: Any) -> None:
    import slicer

    volume = slicer.util.addVolumeFromArray(np.zeros((2, 3, 4)), name="V")
    widget.ui.volume.setCurrentNode(volume)
    widget.ui.count.value = 7
    application.click(widget.ui.apply)
    widget.ui.apply.enabled = False
    application.click(widget.ui.apply)
    application.leave_module("RigTiny")
    slicer.mrmlScene.Clear(0)
    assert widget.calls == ["enter", ("apply", 7, volume), "exit", "scene closed"]
    assert slicer.modules.rigtiny.title == "Tiny"
    assert slicer.util.getModuleWidget("RigTiny") is widget


def test_reload_makes_a_new_widget_and_keeps_the_parameters(widget: Any) -> None:
    import slicer

    widget.ui.count.value = 5
    again = application.reload_module("RigTiny")
    assert widget.calls == ["enter", "cleanup"]
    assert again is not widget
    assert again is slicer.modules.RigTinyWidget
    assert (again.calls, again.ui.count.value) == ([], 5)


def test_parameters_survive_saving_the_scene(widget: Any, tmp_path: Path) -> None:
    import slicer

    widget.ui.count.value = 9
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    assert widget.parameters.count == 3
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert widget.parameters.count == 9


def test_the_event_loop_turns_while_a_scene_is_read(widget: Any, tmp_path: Path) -> None:
    import qt
    import slicer

    seen: list[bool] = []
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    qt.QTimer.singleShot(0, lambda: seen.append(bool(slicer.mrmlScene.IsImporting())))
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert seen == [True]


def test_screenshot(widget: Any, tmp_path: Path) -> None:
    import qt

    picture = qt.QImage(str(application.screenshot(widget.parent, tmp_path / "tiny.png")))
    assert picture.width() == widget.parent.width
    assert picture.height() > 100


def test_an_exception_in_a_slot_is_printed_and_counted(widget: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ValueError("on purpose")

    widget.ui.apply.clicked.connect(fail)
    application.click(widget.ui.apply)
    assert "on purpose" in capsys.readouterr().err
    assert len(application.slot_errors()) == 1
    application.slot_errors().clear()


def test_longest_call_names_the_slot_that_held_the_main_thread(widget: Any) -> None:
    import time

    def slow() -> None:
        time.sleep(0.15)

    application.reset()
    widget.ui.apply.clicked.connect(slow)
    application.click(widget.ui.apply)
    assert 0.15 <= application.longest_call().seconds < 1.0
    assert "slow" in application.longest_call().function


@pytest.mark.parametrize("name", ["SemiSegCervical", "SemiSegTrainer"])
def test_modules_lie_in_slicer_s_own_folder_of_the_menu_in_any_language(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {("qSlicerAbstractCoreModule", "Segmentation"): "Szegmentálás"}
    monkeypatch.setattr(sys.modules["slicer.i18n"], "translate", lambda context, text: words[context, text])
    monkeypatch.setitem(sys.modules, name, None)
    path = application.REPOSITORY / name / f"{name}.py"
    parent = SimpleNamespace(path=str(path))
    getattr(import_file(path), name)(parent)
    assert parent.categories == ["Szegmentálás"]
