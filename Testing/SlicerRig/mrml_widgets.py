"""qMRML widgets on the real scene: what they show and select, not how they look."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from .objects import rig_class
from .widget_parts import stored


class Observer:
    """VTK observers that go when the Qt object goes."""

    def __init__(self, owner: QtCore.QObject) -> None:
        self._tags: list[tuple[Any, int]] = []
        owner.destroyed.connect(lambda *_: self.clear())

    def watch(self, observed: Any, event: Any, function: Any, priority: float = 0.0) -> None:
        self._tags.append((observed, observed.AddObserver(event, function, priority)))

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
        if node.GetID() in self.property("hiddenNodeIDs"):
            return False
        if node.GetID() in self.property("visibleNodeIDs"):
            return True
        if node.GetHideFromEditors() and not self.property("showHidden"):
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
    """A selector for one node of the scene.

    As in 3D Slicer the selection follows what happens to the rows of a combo box: where the row of the current node
    goes, its neighbour is chosen; where all rows go (a scene was closed or imported) none is. The items below the nodes
    ("Create new") are not built.
    """

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
        # No wider for a long name than for a short one.
        self._box.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._scene: Any = None
        self._requested: Any = None
        self._switching = False
        self._none_rows = 0
        self._filter = SortFilterProxyModel(self)
        self._filter.refresh = self.refresh
        self._observer = Observer(self)
        self._nodes: list[Any] = []
        self._watched: list[Any] = []
        # Slicer listens to the text, which Qt 6 tells only where it is another one: of two nodes of one name none.
        self._box.currentTextChanged.connect(self._tell)
        self._box.activated.connect(self._activated)

    # The scene
    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        before = self.currentNode()
        self._observer.clear()
        self._watched = []
        self._scene = scene
        self._switching = True
        self._list_anew()
        self._switching = False
        if scene is not None:
            kind = slicer.vtkMRMLScene
            for event, slot, priority in (
                (kind.NodeAddedEvent, node_argument(self._added), 10.0),
                (kind.NodeAboutToBeRemovedEvent, node_argument(self._removing), -10.0),
                (kind.EndCloseEvent, lambda *_: self._list_anew(), 0.0),
                (kind.EndImportEvent, lambda *_: self._list_anew(), 0.0),
            ):
                self._observer.watch(scene, event, slot, priority)
        first = self._nodes[0] if self._nodes and not self.property("noneEnabled") else None
        wanted, self._requested = self._requested or before or first, None
        self.setCurrentNode(wanted)
        self.setEnabled(scene is not None)

    def _added(self, node: Any) -> None:
        if self._scene.IsImporting() or not self._filter.fits(node):
            return
        self.refresh()
        if node in self._nodes:
            self.nodeAdded.emit(node)

    def _removing(self, node: Any) -> None:
        if self._scene.IsClosing() or node not in self._watched:
            return
        self._observer.forget(node)
        self._watched.remove(node)
        if node in self._nodes:
            self.nodeAboutToBeRemoved.emit(node)
            self._take_out(node)

    def _watch(self, nodes: list[Any]) -> None:
        """Observe these nodes and no others: their names and attributes decide what is listed."""
        for gone in [node for node in self._watched if node not in nodes]:
            self._observer.forget(gone)
        for node in [node for node in nodes if node not in self._watched]:
            self._observer.watch(node, vtk.vtkCommand.ModifiedEvent, lambda *_: self._modified())
        self._watched = nodes

    def _modified(self) -> None:
        if self._scene.IsImporting() or self._scene.IsClosing():
            return
        if [node for node in self._watched if self._filter.offers(node)] != self._nodes:
            self.refresh()
            return
        for number, node in enumerate(self._nodes):
            row = number + self._none_rows
            if self._box.itemText(row) != (node.GetName() or ""):
                self._box.setItemText(row, node.GetName() or "")

    # The rows
    def refresh(self) -> None:
        """List what is offered now: rows come and go one by one."""
        self._watch(self._fitting())
        offered = [node for node in self._watched if self._filter.offers(node)]
        for node in [node for node in reversed(self._nodes) if node not in offered]:
            self._take_out(node)
        for number, node in enumerate(offered):
            if number == len(self._nodes) or self._nodes[number] is not node:
                self._nodes.insert(number, node)
                self._box.insertItem(number + self._none_rows, node.GetName() or "")

    def _list_anew(self) -> None:
        """Take all nodes' rows out at once, and list the scene's nodes."""
        self._nodes = []
        self._box.model().removeRows(self._none_rows, self._box.count() - self._none_rows)
        self.refresh()

    def _fitting(self) -> list[Any]:
        if self._scene is None:
            return []
        collection = self._scene.GetNodes()
        listed = [collection.GetItemAsObject(i) for i in range(collection.GetNumberOfItems())]
        return [node for node in listed if self._filter.fits(node)]

    def _take_out(self, node: Any) -> None:
        number = self._nodes.index(node)
        del self._nodes[number]
        self._box.removeItem(number + self._none_rows)
        if self.currentNode() is None:
            self.setCurrentNode(None)

    def _renew_none(self) -> None:
        """Take the row for no node out, and put it in again where it is wanted, perhaps under another name."""
        if self._none_rows:
            self._none_rows = 0
            self._box.removeItem(0)
        if self.property("noneEnabled"):
            self._none_rows = 1
            self._box.insertItem(0, self.property("noneDisplay"))

    def _tell(self, *_: Any) -> None:
        if self._switching or self._scene is None:
            return
        row, node = self._box.currentIndex(), self.currentNode()
        if node is None and row != (0 if self.property("noneEnabled") else -1):
            if self._nodes:
                self.setCurrentNode(self._nodes[-1])
            return
        self.currentNodeChanged.emit(node)
        self.current_node_changed_bool.emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def _activated(self, row: int) -> None:
        node = self.currentNode()
        if node is not None or (self.property("noneEnabled") and row == 0):
            self.nodeActivated.emit(node)

    def choose(self, node: Any) -> None:
        """Choose a node as a person does, by opening the list and clicking on its row."""
        row = self._nodes.index(node) + self._none_rows if node in self._nodes else self._none_rows - 1
        self._box.view().setCurrentIndex(self._box.model().index(row, 0))
        self._box.setCurrentIndex(row)
        self._box.activated.emit(row)

    # What scripts use
    def currentNode(self) -> Any:
        number = self._box.currentIndex() - self._none_rows
        return self._nodes[number] if 0 <= number < len(self._nodes) else None

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node) if self._scene is not None else None
        if self._scene is None:
            self._requested = node
        view, model = self._box.view(), self._box.model()
        if node not in self._nodes:
            row = self._none_rows - 1
            view.setCurrentIndex(model.index(row, 0))
            self._box.setCurrentIndex(row)
            return
        chosen = model.index(self._nodes.index(node) + self._none_rows, 0)
        if view.currentIndex() != chosen:
            # Slicer presses Enter in the list, by which a choice counts as a person's: nodeActivated is sent, too.
            view.setCurrentIndex(chosen)
            enter = QtGui.QKeyEvent(
                QtCore.QEvent.Type.ShortcutOverride, QtCore.Qt.Key.Key_Enter, QtCore.Qt.KeyboardModifier.NoModifier
            )
            QtWidgets.QApplication.sendEvent(view, enter)

    def setCurrentNodeID(self, node_id: str) -> None:
        self.setCurrentNode(node_id)

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self._nodes[index] if 0 <= index < len(self._nodes) else None)

    def nodeFromIndex(self, index: int) -> Any:
        return self._nodes[index] if 0 <= index < len(self._nodes) else None

    def nodeCount(self) -> int:
        return len(self._nodes)

    def addNode(self, node_type: str = "") -> Any:
        kind = node_type or next(iter(self._filter.property("nodeTypes")))
        node = self._scene.AddNewNodeByClass(kind, self.property("baseName") or "")
        if self.property("selectNodeUponCreation"):
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self._scene.RemoveNode(self.currentNode())

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
        str, lambda self: node.GetID() if (node := self.currentNode()) is not None else "", setCurrentNodeID
    )
    currentNodeId = currentNodeID
    noneEnabled = stored(bool, "noneEnabled", False, _renew_none)
    noneDisplay = stored(str, "noneDisplay", "None", _renew_none)
    baseName = stored(str, "baseName", "")
    addEnabled = stored(bool, "addEnabled", True)
    removeEnabled = stored(bool, "removeEnabled", True)
    editEnabled = stored(bool, "editEnabled", False)
    renameEnabled = stored(bool, "renameEnabled", False)
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    interactionNodeSingletonTag = stored(str, "interactionNodeSingletonTag", "")
