"""Stand-ins for ``slicer.ScriptedLoadableModule`` and the Qt objects that hold a scripted module."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import types
import unittest
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from . import objects, signals
from .mrml_widgets import MRMLWidget
from .objects import rig_class
from .widget_parts import stored


class ScriptedLoadableModule:
    """Metadata of a module."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""
        parent.hidden = False
        icon = os.path.join(os.path.dirname(parent.path), "Resources", "Icons", f"{self.moduleName}.png")
        if os.path.isfile(icon):
            import qt

            parent.icon = qt.QIcon(icon)

    def resourcePath(self, filename: str) -> str:
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)

    def runTest(self, msec: int = 100, **kwargs: Any) -> None:
        module = sys.modules[type(self).__module__]
        made = getattr(module, f"{self.moduleName}Test")()
        made.messageDelay = msec
        made.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    """The panel of a module."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Widget")
        toBool = slicer.util.toBool
        self.developerMode = slicer.util.settingsValue("Developer/DeveloperMode", False, converter=toBool)
        if parent is None:
            import qt

            self.parent = slicer.qMRMLWidget()
            self.parent.setLayout(qt.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        else:
            self.parent = parent
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", filename)

    def cleanup(self) -> None:
        """Do nothing; modules override it."""

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def setupDeveloperSection(self) -> None:
        if not self.developerMode:
            return
        import ctk
        import qt

        self.reloadCollapsibleButton = ctk.ctkCollapsibleButton()
        self.reloadCollapsibleButton.text = "Reload && Test"
        self.layout.addWidget(self.reloadCollapsibleButton)
        inside = qt.QFormLayout(self.reloadCollapsibleButton)
        self.reloadButton = qt.QPushButton("Reload")
        self.reloadButton.name = "ScriptedLoadableModuleTemplate Reload"
        inside.addWidget(self.reloadButton)
        self.reloadButton.connect("clicked()", self.onReload)

    def setup(self) -> None:
        self.setupDeveloperSection()

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)


class ScriptedLoadableModuleLogic:
    """What a module can do without its panel."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            return node or self.createParameterNode()
        return next(iter(self.getAllParameterNodes()), None) or self.createParameterNode()

    def getAllParameterNodes(self) -> list[Any]:
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> Any:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetModuleName(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return slicer.mrmlScene.AddNode(node)


class ScriptedLoadableModuleTest(unittest.TestCase):
    """The test of a module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.messageDelay = 1000

    def delayDisplay(self, message: str, requestedDelay: Any = None, msec: Any = None) -> None:
        logging.info(message)
        slicer.app.processEvents()

    def runTest(self) -> None:
        """Do nothing; modules override it."""


@rig_class("qSlicerScriptedLoadableModule")
class ModuleHolder(QtCore.QObject):
    """The Qt side of a scripted module: metadata, and the one panel."""

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._widget: ModuleWidgetHolder | None = None
        self._name = self._path = ""

    def load(self, path: Path) -> None:
        """Import the module's file and make its metadata object."""
        self._name, self._path = path.stem, str(path)
        self.setObjectName(self._name)
        source = import_file(path)
        holder = objects.wrap(self)
        self._module = getattr(source, self._name)(holder)
        setattr(slicer.modules, self._name.lower(), holder)
        setattr(slicer.modules, f"{self._name}Instance", self._module)

    def widgetRepresentation(self) -> Any:
        if self._widget is None:
            self._widget = ModuleWidgetHolder(self._name)
            self._widget.resize(500, 900)
            self._widget.setMRMLScene(slicer.mrmlScene)
            self._widget.reload()
        return self._widget

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def logic(self) -> Any:
        return None

    def drop_widget(self) -> None:
        """Forget the panel, which is being deleted."""
        if self._widget is not None:
            self._widget.deleteLater()
            self._widget = None

    name = QtCore.Property(str, lambda self: self._name)
    path = QtCore.Property(str, lambda self: self._path)
    title = stored(str, "title", "")
    categories = stored("QStringList", "categories", [])
    contributors = stored("QStringList", "contributors", [])
    dependencies = stored("QStringList", "dependencies", [])
    associatedNodeTypes = stored("QStringList", "associatedNodeTypes", [])
    helpText = stored(str, "helpText", "")
    acknowledgementText = stored(str, "acknowledgementText", "")
    icon = stored(QtGui.QIcon, "icon", QtGui.QIcon())
    hidden = stored(bool, "hidden", False)
    index = stored(int, "index", -1)
    widgetRepresentationCreationEnabled = stored(bool, "widgetRepresentationCreationEnabled", True)


@rig_class("qSlicerScriptedLoadableModuleWidget")
class ModuleWidgetHolder(MRMLWidget):
    """The Qt side of a panel: holds its widgets, and calls enter and exit."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._module_name = name
        self._entered = False
        self._python: Any = None
        QtWidgets.QVBoxLayout(self)

    def reload(self) -> None:
        """Make the panel's Python object anew from the module as it is imported now."""
        cls = getattr(sys.modules[self._module_name], f"{self._module_name}Widget")
        self._python = signals.run(lambda: cls(objects.wrap(self)), ())
        if self._python is signals.FAILED:
            raise RuntimeError(f"{self._module_name}Widget could not be made; its exception was printed")
        setattr(slicer.modules, f"{self._module_name}Widget", self._python)
        signals.run(self._python.setup, ())

    def self(self) -> Any:
        return self._python

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._python, "enter"):
            signals.run(self._python.enter, ())

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._python, "exit"):
            signals.run(self._python.exit, ())

    moduleName = QtCore.Property(str, lambda self: self._module_name)
    isEntered = QtCore.Property(bool, lambda self: self._entered)


def import_file(path: Path) -> types.ModuleType:
    """Import a module's file under its own name, its folder on the path, as the application does."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"not a Python file: {path}")
    made = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = made
    spec.loader.exec_module(made)
    return made


def module() -> types.ModuleType:
    """Return what ``import slicer.ScriptedLoadableModule`` gives."""
    made = types.ModuleType("slicer.ScriptedLoadableModule")
    offered = (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    )
    vars(made).update({known.__name__: known for known in offered})
    vars(made)["__all__"] = [known.__name__ for known in offered]
    return made
