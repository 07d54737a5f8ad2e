"""Plot widgets on the real plot nodes: what they draw and which points a click selects."""

from __future__ import annotations

import math
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from .mrml_widgets import MRMLWidget, Observer
from .objects import rig_class

_LEFT, _TOP, _RIGHT, _BOTTOM = 46, 10, 12, 34
_REACH = 12  # pixels


@rig_class("qMRMLPlotView")
class PlotView(QtWidgets.QWidget):
    """Draws the chart of a plot view node."""

    mrmlSceneChanged = QtCore.Signal(object)
    dataSelected = QtCore.Signal(object, object)
    SIGNALS = {
        "mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged",
        "dataSelected(vtkStringArray*,vtkCollection*)": "dataSelected",
    }

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._observer = Observer(self)
        self._fitted: dict[str, tuple[float, float]] = {}
        # Of the chart: it stays until something else is selected, and is told with every click.
        self._selected: dict[str, list[int]] = {}
        self.paints = 0

    def setMRMLScene(self, scene: Any) -> None:
        self.mrmlSceneChanged.emit(scene)

    def setMRMLPlotViewNode(self, node: Any) -> None:
        self._node = node
        self.follow()

    def follow(self, *_: Any) -> None:
        """Observe what is drawn now."""
        self._observer.clear()
        chart = self._chart()
        watched = [self._node, chart]
        for series in self._series():
            watched += [series, series.GetTableNode()]
        for node in watched:
            if node is not None:
                slot = self.follow if node in (self._node, chart) else lambda *_: self.update()
                self._observer.watch(node, vtk.vtkCommand.ModifiedEvent, slot)
        self.update()

    def _chart(self) -> Any:
        return self._node.GetPlotChartNode() if self._node is not None else None

    def _series(self) -> list[Any]:
        chart = self._chart()
        if chart is None:
            return []
        every = [chart.GetNthPlotSeriesNode(i) for i in range(chart.GetNumberOfPlotSeriesNodes())]
        return [series for series in every if series is not None]

    @staticmethod
    def points(series: Any) -> list[tuple[float, float]]:
        """Return the points of a series in the order of its table's rows."""
        table = series.GetTableNode()
        columns = [
            table.GetTable().GetColumnByName(name) if table is not None and name else None
            for name in (series.GetXColumnName(), series.GetYColumnName())
        ]
        x, y = columns
        if x is None or y is None:
            return []
        return [(x.GetTuple1(i), y.GetTuple1(i)) for i in range(x.GetNumberOfTuples())]

    def _range(self, axis: str) -> tuple[float, float]:
        """Return what an axis shows: fixed by the chart, or what fitted when it was first asked for."""
        chart = self._chart()
        if not getattr(chart, f"Get{axis}AxisRangeAuto")():
            low, high = getattr(chart, f"Get{axis}AxisRange")()
            return low, high
        if axis not in self._fitted:
            values = [p["XY".index(axis)] for s in self._series() for p in self.points(s)]
            values = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
            self._fitted[axis] = (min(values), max(values))
        return self._fitted[axis]

    def place(self, x: float, y: float) -> QtCore.QPointF:
        """Return where a point of the chart lies in the widget."""
        (x0, x1), (y0, y1) = self._range("X"), self._range("Y")
        width, height = self.width() - _LEFT - _RIGHT, self.height() - _TOP - _BOTTOM
        return QtCore.QPointF(
            _LEFT + width * (x - x0) / ((x1 - x0) or 1), _TOP + height * (1 - (y - y0) / ((y1 - y0) or 1))
        )

    def paintEvent(self, event: Any) -> None:
        self.paints += 1
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QtGui.QColor("white"))
        chart = self._chart()
        if chart is None:
            return
        area = QtCore.QRectF(_LEFT, _TOP, self.width() - _LEFT - _RIGHT, self.height() - _TOP - _BOTTOM)
        painter.setPen(QtGui.QColor("#888888"))
        painter.drawRect(area)
        for axis, title in (("X", chart.GetXAxisTitle()), ("Y", chart.GetYAxisTitle())):
            low, high = self._range(axis)
            for value in (low, (low + high) // 2 if axis == "X" and high - low > 1 else (low + high) / 2, high):
                share, text = (value - low) / ((high - low) or 1), f"{value:g}"
                if axis == "X":
                    painter.drawText(QtCore.QPointF(area.left() + share * area.width() - 8, area.bottom() + 14), text)
                else:
                    painter.drawText(QtCore.QPointF(area.left() - 28, area.bottom() - share * area.height() + 4), text)
            if axis == "X":
                painter.drawText(QtCore.QPointF(area.center().x() - 20, self.height() - 6), title)
            else:
                painter.save()
                painter.translate(12, area.bottom() - 4)
                painter.rotate(-90)
                painter.drawText(QtCore.QPointF(0, 0), title)
                painter.restore()
        painter.setClipRect(area.adjusted(-4, -4, 4, 4))
        for series in self._series():
            self._paint(painter, series)

    def _paint(self, painter: QtGui.QPainter, series: Any) -> None:
        color = QtGui.QColor.fromRgbF(*series.GetColor())
        points = [self.place(x, y) for x, y in self.points(series) if math.isfinite(x) and math.isfinite(y)]
        painter.setPen(QtGui.QPen(color, series.GetLineWidth()))
        if series.GetLineStyle() != series.LineStyleNone:
            painter.drawPolyline(points)
        if series.GetMarkerStyle() != series.MarkerStyleNone:
            painter.setBrush(color)
            size = series.GetMarkerSize() / 2
            for point in points:
                painter.drawEllipse(point, size, size)

    def mouseReleaseEvent(self, event: Any) -> None:
        nearest, best = None, float(_REACH)
        for series in self._series():
            for row, (x, y) in enumerate(self.points(series)):
                if math.isfinite(x) and math.isfinite(y):
                    distance = QtCore.QLineF(self.place(x, y), event.position()).length()
                    if distance < best:
                        nearest, best = (series.GetID(), row), distance
        if nearest is not None:
            self._selected = {nearest[0]: [nearest[1]]}
        ids, rows = vtk.vtkStringArray(), vtk.vtkCollection()
        for name, numbers in self._selected.items():
            ids.InsertNextValue(name)
            array = vtk.vtkIdTypeArray()
            for number in numbers:
                array.InsertNextValue(number)
            rows.AddItem(array)
        self.dataSelected.emit(ids, rows)


@rig_class("qMRMLPlotViewControllerWidget")
class PlotController(MRMLWidget):
    """The bar above a plot."""

    def setMRMLPlotViewNode(self, node: Any) -> None:
        return None


@rig_class("qMRMLPlotWidget")
class PlotWidget(MRMLWidget):
    """A plot view with its bar."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._controller, self._view = PlotController(self), PlotView(self)
        self._controller.setMinimumHeight(24)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._controller)
        layout.addWidget(self._view, 1)

    def plotView(self) -> Any:
        return self._view

    def plotController(self) -> Any:
        return self._controller

    def mrmlPlotViewNode(self) -> Any:
        return self._node

    def setMRMLPlotViewNode(self, node: Any) -> None:
        if node is not None and not isinstance(node, slicer.vtkMRMLPlotViewNode):
            raise TypeError("a vtkMRMLPlotViewNode is needed")
        self._node = node
        self._view.setMRMLPlotViewNode(node)
