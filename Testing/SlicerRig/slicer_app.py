"""``slicer.app``: the application, its main window, its layout and its module manager."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from . import mrml, objects
from .objects import rig_class
from .views import LayoutManager
from .widget_parts import stored


def _folder_property(name: str) -> Any:
    """Make a property that is a folder below the application's own temporary one."""

    def get(self: Any) -> str:
        folder = Path(self._folder, name)
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    return QtCore.Property(str, get)


@rig_class("qSlicerApplication")
class Application(QtWidgets.QApplication):
    """The application object."""

    startupCompleted = QtCore.Signal()
    mrmlSceneChanged = QtCore.Signal(object)
    SIGNALS = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def __init__(self) -> None:
        super().__init__(["Slicer"])
        self.setApplicationName("Slicer-tmp")
        self.setOrganizationName("slicer.org")
        self.setApplicationVersion("5.13.0")
        self._folder = tempfile.mkdtemp(prefix="semiseg-rig-")
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
        QtCore.QSettings.setPath(
            QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, f"{self._folder}/settings"
        )
        self._settings = QtCore.QSettings()
        self._pauses = 0

    def build(self) -> None:
        """Make the parts that need the scene."""
        self._modules = ModuleManager(self)
        self._window = MainWindow(self._modules)
        self._layout = LayoutManager(self)
        self._io = IOManager(self)
        # The Sequences module turns its browsers by a timer of its own.
        self._turning = QtCore.QTimer(self)
        self._turning.timeout.connect(mrml.process_events)
        self._turning.start(50)

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def applicationLogic(self) -> Any:
        return mrml.application_logic()

    def layoutManager(self) -> Any:
        return self._layout

    def moduleManager(self) -> Any:
        return self._modules

    def coreIOManager(self) -> Any:
        return self._io

    def ioManager(self) -> Any:
        return self._io

    def testingEnabled(self) -> bool:
        return True

    def settings(self) -> Any:
        return self._settings

    def userSettings(self) -> Any:
        return self._settings

    def revisionUserSettings(self) -> Any:
        return self._settings

    def startupEnvironment(self) -> Any:
        return QtCore.QProcessEnvironment.systemEnvironment()

    def pauseRender(self) -> None:
        self._pauses += 1

    def resumeRender(self) -> None:
        self._pauses -= 1

    def processEvents(self, *arguments: Any) -> None:  # type: ignore[override]
        QtWidgets.QApplication.processEvents()
        mrml.process_events()

    slicerHome = _folder_property("home")
    temporaryPath = _folder_property("tmp")
    cachePath = _folder_property("cache")
    extensionsInstallPath = _folder_property("extensions")
    slicerUserSettingsFilePath = QtCore.Property(str, lambda self: self._settings.fileName())
    revision = QtCore.Property(str, lambda self: "34000")
    majorVersion = QtCore.Property(int, lambda self: 5)
    minorVersion = QtCore.Property(int, lambda self: 13)
    applicationLocaleName = stored(str, "applicationLocaleName", "en_US")
    os = QtCore.Property(str, lambda self: {"nt": "win"}.get(os.name, "linux"))


@rig_class("qSlicerModuleManager")
class ModuleManager(QtCore.QObject):
    """Modules that are loaded, by name."""

    moduleLoaded = QtCore.Signal(str)
    moduleAboutToBeUnloaded = QtCore.Signal(str)

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self.loaded: dict[str, Any] = {}
        self._factory = ModuleFactoryManager(self)

    def module(self, name: str) -> Any:
        return self.loaded.get(name)

    def factoryManager(self) -> Any:
        return self._factory


@rig_class("qSlicerModuleFactoryManager")
class ModuleFactoryManager(QtCore.QObject):
    """The same modules, as the factory knows them."""

    def __init__(self, manager: ModuleManager) -> None:
        super().__init__(manager)
        self._manager = manager

    def loadedModuleNames(self) -> list[str]:
        return list(self._manager.loaded)


@rig_class("qSlicerModuleSelectorToolBar")
class ModuleSelector(QtWidgets.QToolBar):
    """Chooses the module that is shown: leaves the old one, enters the new one."""

    moduleSelected = QtCore.Signal(str)

    def __init__(self, window: QtWidgets.QMainWindow, modules: ModuleManager) -> None:
        super().__init__(window)
        self._modules = modules
        self._selected = ""
        self.selected_foreign: list[str] = []

    def selectModule(self, name: str) -> None:
        if name == self._selected:
            return
        if (before := self._modules.loaded.get(self._selected)) is not None:
            left = before.widgetRepresentation()
            left.exit()
            left.hide()
        self._selected = name
        if (chosen := self._modules.loaded.get(name)) is not None:
            widget = chosen.widgetRepresentation()
            # As the module panel has it: no narrower than it would like to be.
            widget.setSizePolicy(QtWidgets.QSizePolicy.Policy.Minimum, widget.sizePolicy().verticalPolicy())
            widget.show()
            widget.enter()
        self.moduleSelected.emit(name)

    selectedModule = QtCore.Property(str, lambda self: self._selected, selectModule)


@rig_class("qSlicerAppMainWindow")
class MainWindow(QtWidgets.QMainWindow):
    """The main window; it is never shown."""

    def __init__(self, modules: ModuleManager) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = ModuleSelector(self, modules)

    def moduleSelector(self) -> Any:
        return self._selector


@rig_class("qSlicerIOManager")
class IOManager(QtCore.QObject):
    """Reads and writes scenes and single nodes with the nodes' own storage."""

    _CLASSES = {
        "VolumeFile": ("vtkMRMLScalarVolumeNode", "vtkMRMLVolumeArchetypeStorageNode"),
        "SegmentationFile": ("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode"),
        "SequenceFile": ("vtkMRMLSequenceNode", "vtkMRMLVolumeSequenceStorageNode"),
        "TableFile": ("vtkMRMLTableNode", "vtkMRMLTableStorageNode"),
    }

    def fileType(self, name: str) -> str:
        for ending, kind in ((".mrb", "SceneFile"), (".mrml", "SceneFile"), (".seg.nrrd", "SegmentationFile")):
            if name.endswith(ending):
                return kind
        if name.endswith((".seq.nrrd", ".seq.mrb")):
            return "SequenceFile"
        return "TableFile" if name.endswith((".csv", ".tsv")) else "VolumeFile"

    def fileWriterFileType(self, node: Any, *_: Any) -> str:
        return next((kind for kind, (cls, _) in self._CLASSES.items() if node.IsA(cls)), "NoFile")

    def loadNodes(self, kind: str, properties: dict[str, Any], loaded: Any = None, messages: Any = None) -> bool:
        # Each node that is added moves the progress dialog on, which lets the event loop turn as soon as it is shown:
        # timers fire, and processes are heard, while the scene is half read.
        tag = slicer.mrmlScene.AddObserver(
            slicer.vtkMRMLScene.NodeAddedEvent, lambda *_: QtWidgets.QApplication.processEvents()
        )
        try:
            return self._load_nodes(kind, properties, loaded)
        finally:
            slicer.mrmlScene.RemoveObserver(tag)

    def _load_nodes(self, kind: str, properties: dict[str, Any], loaded: Any) -> bool:
        path = str(properties["fileName"])
        if kind == "SceneFile":
            return self._load_scene(path, bool(properties.get("clear", False)))
        node_class, storage_class = self._CLASSES[kind]
        if kind == "SequenceFile" and path.endswith(".mrb"):
            storage_class = "vtkMRMLSequenceStorageNode"
        node = slicer.mrmlScene.AddNewNodeByClass(node_class, str(properties.get("name") or _stem(path)))
        storage = slicer.mrmlScene.AddNewNodeByClass(storage_class)
        storage.SetFileName(path)
        if not storage.ReadData(node):
            slicer.mrmlScene.RemoveNode(storage)
            slicer.mrmlScene.RemoveNode(node)
            return False
        node.SetAndObserveStorageNodeID(storage.GetID())
        if hasattr(node, "CreateDefaultDisplayNodes"):
            node.CreateDefaultDisplayNodes()
        if loaded is not None:
            loaded.AddItem(node)
        return True

    def saveNodes(self, kind: str, properties: dict[str, Any], *_: Any) -> bool:
        path = str(properties["fileName"])
        scene = slicer.mrmlScene
        if kind == "SceneFile":
            if path.endswith(".mrb"):
                return bool(scene.WriteToMRB(path))
            scene.SetURL(path)
            return bool(scene.Commit(path))
        node = scene.GetNodeByID(properties["nodeID"])
        storage = node.GetStorageNode()
        if storage is None:
            node.AddDefaultStorageNode()
            storage = node.GetStorageNode()
        storage.SetFileName(path)
        return bool(storage.WriteData(node))

    def _load_scene(self, path: str, clear: bool) -> bool:
        scene = slicer.mrmlScene
        if path.endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, clear))
        scene.SetURL(path)
        return bool(scene.Connect() if clear else scene.Import())


def _stem(path: str) -> str:
    name = Path(path).name
    return name.partition(".")[0]


def instance() -> Any:
    """Return the application's PySide6 object, made once in a process."""
    made = QtWidgets.QApplication.instance()
    if made is None:
        made = Application()
        made.build()
    return made


def as_script() -> Any:
    """Return what a script sees as ``slicer.app``."""
    return objects.wrap(instance())
