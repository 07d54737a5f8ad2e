"""The layout and its views: slice views on the real slice logics, plot views on the real plot nodes."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from . import mrml
from .mrml_widgets import MRMLWidget, Observer, node_argument
from .objects import rig_class
from .plot_widgets import PlotWidget


@rig_class("qMRMLSliceView")
class SliceView(QtWidgets.QWidget):
    """What draws one slice."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None

    def mrmlSliceNode(self) -> Any:
        return self._node

    def setMRMLSliceNode(self, node: Any) -> None:
        self._node = node

    def forceRender(self) -> None:
        self.repaint()


@rig_class("qMRMLSliceControllerWidget")
class SliceController(MRMLWidget):
    """The bar above a slice view."""

    def __init__(self, parent: QtWidgets.QWidget, logic: Any) -> None:
        super().__init__(parent)
        self._logic = logic

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()


@rig_class("qMRMLSliceWidget")
class SliceWidget(MRMLWidget):
    """A slice view with its controller."""

    def __init__(self, parent: QtWidgets.QWidget, logic: Any) -> None:
        super().__init__(parent)
        self._logic = logic
        self._controller = SliceController(self, logic)
        self._view = SliceView(self)
        self._view.setMRMLSliceNode(logic.GetSliceNode())
        layout = QtWidgets.QVBoxLayout(self)
        layout.addWidget(self._controller)
        layout.addWidget(self._view, 1)
        self.setMRMLScene(slicer.mrmlScene)

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def sliceController(self) -> Any:
        return self._controller

    def sliceView(self) -> Any:
        return self._view

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()

    sliceViewName = QtCore.Property(str, lambda self: self._logic.GetSliceNode().GetLayoutName())


_ORIENTATIONS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}


@rig_class("qSlicerLayoutManager")
class LayoutManager(QtCore.QObject):
    """The views of the scene's layout node."""

    layoutChanged = QtCore.Signal(int)

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._viewport = QtWidgets.QWidget()
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._logic.GetLayoutNode().SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self._slices = {}
        self._plots: dict[Any, PlotWidget] = {}
        self._watch_plots()
        for name, orientation in _ORIENTATIONS.items():
            logic = mrml.slice_logic(name)
            logic.GetSliceNode().SetOrientation(orientation)
            logic.GetSliceNode().SetDefaultOrientation(orientation)
            self._slices[name] = SliceWidget(self._viewport, logic)
        self._logics = mrml.application_logic().GetSliceLogics()
        self._shown = self._arrangement()
        self._map()
        self._observer = Observer(self)
        self._observer.watch(self._logic.GetLayoutNode(), vtk.vtkCommand.ModifiedEvent, self._follow)

    def _arrangement(self) -> int:
        return int(self._logic.GetLayoutNode().GetViewArrangement())

    def _follow(self, *_: Any) -> None:
        if self._arrangement() != self._shown:
            self._shown = self._arrangement()
            self._map()
            self.layoutChanged.emit(self._shown)

    def _map(self) -> None:
        """Mark the views that the layout holds, as the application does: the others live on unseen."""
        mapped = self._logic.GetViewNodes()
        for widget in self._slices.values():
            node = widget.mrmlSliceNode()
            node.SetMappedInLayout(mapped.IsItemPresent(node) > 0)

    def setLayout(self, arrangement: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(arrangement)

    layout = QtCore.Property(int, _arrangement, setLayout)

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def mrmlSliceLogics(self) -> Any:
        return self._logics

    def sliceViewNames(self) -> list[str]:
        return list(self._slices)

    def sliceWidget(self, name: str) -> Any:
        return self._slices.get(name)

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        return None

    def threeDWidget(self, which: Any) -> Any:
        return None

    def tableWidget(self, which: int) -> Any:
        return None

    def viewport(self, name: str = "") -> Any:
        return self._viewport

    def _watch_plots(self) -> None:
        """Make a widget for each plot view without an owner when it is added, as the application does; after a batch of
        nodes for every one that is there, with or without an owner."""
        scene, self._scene_observer = slicer.mrmlScene, Observer(self)
        events = slicer.vtkMRMLScene

        def added(node: Any) -> None:
            own = node.IsA("vtkMRMLPlotViewNode") and node.GetParentLayoutNode() is not None
            if not own and not scene.IsBatchProcessing():
                self._take_plot(node)

        def settled(*_: Any) -> None:
            for node in slicer.util.getNodesByClass("vtkMRMLPlotViewNode"):
                self._take_plot(node)

        self._scene_observer.watch(scene, events.NodeAddedEvent, node_argument(added))
        self._scene_observer.watch(scene, events.NodeRemovedEvent, node_argument(self._drop_plot))
        self._scene_observer.watch(scene, events.EndBatchProcessEvent, settled)

    def _take_plot(self, node: Any) -> None:
        if node.IsA("vtkMRMLPlotViewNode") and node not in self._plots:
            self._plots[node] = PlotWidget(self._viewport)
            self._plots[node].setMRMLScene(slicer.mrmlScene)
            self._plots[node].setMRMLPlotViewNode(node)

    def _drop_plot(self, node: Any) -> None:
        widget = self._plots.pop(node, None)
        if widget is not None:
            widget.setMRMLPlotViewNode(None)
            widget.deleteLater()

    def plotWidget(self, which: int) -> Any:
        widgets = list(self._plots.values())
        return widgets[which] if 0 <= which < len(widgets) else None

    threeDViewCount = QtCore.Property(int, lambda self: 0)
    tableViewCount = QtCore.Property(int, lambda self: 0)
    plotViewCount = QtCore.Property(int, lambda self: len(self._plots))
