"""qMRML widgets on the real scene: what they show and select, not how they look."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .objects import rig_class
from .widget_parts import stored


class Observer:
    """VTK observers that go when the Qt object goes."""

    def __init__(self, owner: QtCore.QObject) -> None:
        self._tags: list[tuple[Any, int]] = []
        owner.destroyed.connect(lambda *_: self.clear())

    def watch(self, observed: Any, event: Any, function: Any) -> None:
        self._tags.append((observed, observed.AddObserver(event, function)))

    def forget(self, forgotten: Any) -> None:
        for observed, tag in [entry for entry in self._tags if entry[0] is forgotten]:
            observed.RemoveObserver(tag)
            self._tags.remove((observed, tag))

    def clear(self) -> None:
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._tags.clear()


def node_argument(function: Any) -> Any:
    """Let an observer receive the node of a scene event."""

    def observer(caller: Any, event: str, node: Any) -> None:
        function(node)

    observer.CallDataType = vtk.VTK_OBJECT  # type: ignore[attr-defined]
    return observer


@rig_class("qMRMLWidget")
class MRMLWidget(QtWidgets.QWidget):
    """A widget that knows the scene and passes it on."""

    mrmlSceneChanged = QtCore.Signal(object)
    SIGNALS = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


@rig_class("qMRMLSortFilterProxyModel")
class SortFilterProxyModel(QtCore.QSortFilterProxyModel):
    """What decides which nodes a selector offers."""

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._attributes: dict[tuple[str, str], Any] = {}
        self.refresh: Any = lambda: None

    def _changed(self) -> None:
        self.refresh()

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        self._attributes[node_type, name] = value
        self._changed()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._attributes.pop((node_type, name), None)
        self._changed()

    nodeTypes = stored("QStringList", "nodeTypes", [], _changed)
    showHidden = stored(bool, "showHidden", False, _changed)
    showChildNodeTypes = stored(bool, "showChildNodeTypes", True, _changed)
    hideChildNodeTypes = stored("QStringList", "hideChildNodeTypes", [], _changed)
    hiddenNodeIDs = stored("QStringList", "hiddenNodeIDs", [], _changed)
    visibleNodeIDs = stored("QStringList", "visibleNodeIDs", [], _changed)

    def fits(self, node: Any) -> bool:
        """Tell whether the node is of a class that is listed; that never changes."""
        if any(node.IsA(kind) for kind in self.property("hideChildNodeTypes")):
            return False
        deep = self.property("showChildNodeTypes")
        kinds = self.property("nodeTypes") or ["vtkMRMLNode"]
        return any(node.IsA(kind) if deep else node.GetClassName() == kind for kind in kinds)

    def offers(self, node: Any) -> bool:
        """Tell whether a node that fits is listed as it is now."""
        if node.GetHideFromEditors() and not self.property("showHidden"):
            return False
        if node.GetID() in self.property("hiddenNodeIDs"):
            return False
        visible = self.property("visibleNodeIDs")
        if visible and node.GetID() not in visible:
            return False
        return all(
            node.GetAttribute(name) is not None and (value in (None, "") or node.GetAttribute(name) == str(value))
            for (kind, name), value in self._attributes.items()
            if node.IsA(kind)
        )


def _filtered(kind: Any, name: str) -> Any:
    """Make a property of a selector that is one of its filter."""
    return QtCore.Property(
        kind, lambda self: self._filter.property(name), lambda self, value: self._filter.setProperty(name, value)
    )


@rig_class("qMRMLNodeComboBox")
class NodeComboBox(QtWidgets.QWidget):
    """A selector for one node of the scene."""

    LOOKS: ClassVar = {
        "sizeAdjustPolicy": 2,
    }

    currentNodeChanged = QtCore.Signal(object)
    current_node_changed_bool = QtCore.Signal(bool)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeActivated = QtCore.Signal(object)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    nodeAboutToBeRemoved = QtCore.Signal(object)
    nodeAboutToBeEdited = QtCore.Signal(object)
    currentNodeRenamed = QtCore.Signal(str)
    SIGNALS = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "current_node_changed_bool",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeAboutToBeRemoved(vtkMRMLNode*)": "nodeAboutToBeRemoved",
        "nodeAboutToBeEdited(vtkMRMLNode*)": "nodeAboutToBeEdited",
    }

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = QtWidgets.QComboBox(self)
        self._box.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._scene: Any = None
        self._node: Any = None
        self._filter = SortFilterProxyModel(self)
        self._filter.refresh = self.refresh
        self._observer = Observer(self)
        self._nodes: list[Any] = []
        self._watched: list[Any] = []
        self._box.currentIndexChanged.connect(self._chosen)

    # The scene
    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        self._observer.clear()
        self._watched = []
        self._scene = scene
        if scene is not None:
            self._observer.watch(scene, slicer.vtkMRMLScene.NodeAddedEvent, node_argument(self._added))
            self._observer.watch(scene, slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, node_argument(self._removing))
            self._observer.watch(scene, slicer.vtkMRMLScene.NodeRemovedEvent, node_argument(self._removed))
            self._observer.watch(scene, slicer.vtkMRMLScene.EndBatchProcessEvent, lambda *_: self.refresh())
        self.refresh()

    def _added(self, node: Any) -> None:
        if self._scene.IsBatchProcessing() or not self._filter.fits(node):
            return
        self.refresh()
        if node in self._nodes:
            self.nodeAdded.emit(node)

    def _removing(self, node: Any) -> None:
        if node in self._nodes:
            self.nodeAboutToBeRemoved.emit(node)

    def _removed(self, node: Any) -> None:
        if node in self._watched:
            self.refresh()

    def _watch(self, nodes: list[Any]) -> None:
        """Observe these nodes and no others: their names and attributes decide what is listed."""
        for gone in [node for node in self._watched if node not in nodes]:
            self._observer.forget(gone)
        for node in [node for node in nodes if node not in self._watched]:
            self._observer.watch(node, vtk.vtkCommand.ModifiedEvent, lambda *_: self._modified())
        self._watched = nodes

    def _modified(self) -> None:
        if [node for node in self._watched if self._filter.offers(node)] != self._nodes:
            self.refresh()
            return
        for number, node in enumerate(self._nodes):
            row = number + self._first_row()
            if self._box.itemText(row) != node.GetName():
                self._box.setItemText(row, node.GetName())
                if node is self._node:
                    self.currentNodeRenamed.emit(node.GetName())

    # The list
    def refresh(self) -> None:
        """List the scene's nodes anew; the current one stays, if it is still offered."""
        listed = []
        if self._scene is not None:
            collection = self._scene.GetNodes()
            listed = [collection.GetItemAsObject(i) for i in range(collection.GetNumberOfItems())]
        fitting = [node for node in listed if self._filter.fits(node)]
        self._watch(fitting)
        self._nodes = [node for node in fitting if self._filter.offers(node)]
        blocked = self._box.blockSignals(True)
        self._box.clear()
        if self.property("noneEnabled"):
            self._box.addItem(self.property("noneDisplay"))
        for node in self._nodes:
            self._box.addItem(node.GetName() or "")
        self._box.setCurrentIndex(-1)
        self._box.blockSignals(blocked)
        if self._node in self._nodes:
            self._show(self._node)
        elif self._nodes and not self.property("noneEnabled"):
            self._select(self._nodes[0])
        else:
            self._select(None)

    def _first_row(self) -> int:
        return 1 if self.property("noneEnabled") else 0

    def _show(self, node: Any) -> None:
        row = self._nodes.index(node) + self._first_row() if node is not None else self._first_row() - 1
        blocked = self._box.blockSignals(True)
        self._box.setCurrentIndex(row)
        self._box.blockSignals(blocked)

    def _select(self, node: Any) -> None:
        self._show(node)
        if node is self._node:
            return
        self._node = node
        self.currentNodeChanged.emit(node)
        self.current_node_changed_bool.emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def _chosen(self, row: int) -> None:
        number = row - self._first_row()
        self._select(self._nodes[number] if number >= 0 else None)

    # What scripts use
    def currentNode(self) -> Any:
        return self._node

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node) if self._scene is not None else None
        self._select(node if node in self._nodes else None)

    def setCurrentNodeID(self, node_id: str) -> None:
        self.setCurrentNode(node_id)

    def setCurrentNodeIndex(self, index: int) -> None:
        self._select(self._nodes[index] if 0 <= index < len(self._nodes) else None)

    def nodeFromIndex(self, index: int) -> Any:
        return self._nodes[index] if 0 <= index < len(self._nodes) else None

    def nodeCount(self) -> int:
        return len(self._nodes)

    def addNode(self, node_type: str = "") -> Any:
        kind = node_type or next(iter(self._filter.property("nodeTypes")))
        node = self._scene.AddNewNodeByClass(kind, self.property("baseName") or "")
        if self.property("selectNodeUponCreation"):
            self._select(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self._scene.RemoveNode(self._node)

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        self._filter.addAttribute(node_type, name, value)

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._filter.removeAttribute(node_type, name)

    def sortFilterProxyModel(self) -> SortFilterProxyModel:
        return self._filter

    nodeTypes = _filtered("QStringList", "nodeTypes")
    showHidden = _filtered(bool, "showHidden")
    showChildNodeTypes = _filtered(bool, "showChildNodeTypes")
    hideChildNodeTypes = _filtered("QStringList", "hideChildNodeTypes")
    currentNodeID = QtCore.Property(
        str, lambda self: self._node.GetID() if self._node is not None else "", setCurrentNodeID
    )
    currentNodeId = currentNodeID
    noneEnabled = stored(bool, "noneEnabled", False, refresh)
    noneDisplay = stored(str, "noneDisplay", "None", refresh)
    baseName = stored(str, "baseName", "")
    addEnabled = stored(bool, "addEnabled", True)
    removeEnabled = stored(bool, "removeEnabled", True)
    editEnabled = stored(bool, "editEnabled", False)
    renameEnabled = stored(bool, "renameEnabled", False)
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    interactionNodeSingletonTag = stored(str, "interactionNodeSingletonTag", "")


@rig_class("qMRMLCheckableNodeComboBox")
class CheckableNodeComboBox(NodeComboBox):
    """A selector for several nodes."""

    checkedNodesChanged = QtCore.Signal()

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._checked: list[Any] = []

    def refresh(self) -> None:
        super().refresh()
        gone = [node for node in getattr(self, "_checked", []) if node not in self._nodes]
        for node in gone:
            self.setCheckState(node, 0)

    def checkState(self, node: Any) -> int:
        return 2 if node in self._checked else 0

    def setCheckState(self, node: Any, state: int) -> None:
        if (state != 0) != (node in self._checked):
            if state:
                self._checked.append(node)
            else:
                self._checked.remove(node)
            self.checkedNodesChanged.emit()

    def check(self, node: Any) -> None:
        self.setCheckState(node, 2)

    def uncheck(self, node: Any) -> None:
        self.setCheckState(node, 0)

    def checkedNodes(self) -> list[Any]:
        return [node for node in self._nodes if node in self._checked]

    def uncheckedNodes(self) -> list[Any]:
        return [node for node in self._nodes if node not in self._checked]

    def allChecked(self) -> bool:
        return bool(self._nodes) and not self.uncheckedNodes()

    def noneChecked(self) -> bool:
        return not self.checkedNodes()
