"""A Slicer plot of a panel's own; its nodes are neither saved with the scene nor listed for the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
import slicer

HEIGHT = 170


class Plot:
    """The plot; nothing is made before `make`.

    Attributes:
        nodes: by their short names, among them ``chart``; empty while there are none.
    """

    def __init__(self, host: Any, name: str, tip: str) -> None:
        """Take a place for it.

        Args:
            host: widget with a layout.
            name: what its nodes' names begin with.
            tip: the tool tip.
        """
        self._host, self._name, self._tip = host, name, tip
        self._widget: Any = None
        self.nodes: dict[str, Any] = {}

    @property
    def there(self) -> bool:
        """Whether the nodes are there and in the scene, and the plot nobody else's.

        Who clears the scene takes them away. After every batch of nodes, as when a scene is added, the layout takes all
        plot views that there are for its own, also those that have an owner.
        """
        nodes = self.nodes.values()
        return bool(nodes) and all(n.GetScene() is not None for n in nodes) and not _is_in_layout(self.nodes["view"])

    @property
    def view(self) -> Any:
        """The plot's ``qMRMLPlotView``; None before `make`."""
        return None if self._widget is None else self._widget.plotView()

    def make(self, **kinds: str) -> bool:
        """Make the plot and its nodes where they are not there (any more).

        Args:
            kinds: class of each node by its short name; the chart and the view come by themselves.

        Returns:
            Whether they were made, and have to be filled.
        """
        if self.there:
            return False
        self.drop()
        if self._widget is None:
            self._widget = slicer.qMRMLPlotWidget()
            self._widget.setMRMLScene(slicer.mrmlScene)
            self._widget.plotController().hide()
            self._widget.setFixedHeight(HEIGHT)
            # As high as that is not enough: what wants to grow makes all that holds it grow.
            self._widget.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)
            self._widget.toolTip = self._widget.accessibleName = self._tip
            self._host.layout().addWidget(self._widget)
        for name, kind in {**kinds, "chart": "vtkMRMLPlotChartNode", "view": "vtkMRMLPlotViewNode"}.items():
            self.add(name, kind)
        chart, view = self.nodes["chart"], self.nodes["view"]
        chart.SetTitleVisibility(False)
        chart.SetLegendVisibility(False)
        chart.SetAxisTitleFontSize(11)
        chart.SetAxisLabelFontSize(10)
        view.SetPlotChartNodeID(chart.GetID())
        self._widget.setMRMLPlotViewNode(view)
        return True

    def add(self, name: str, kind: str) -> Any:
        """Add one node and return it."""
        node = slicer.mrmlScene.CreateNodeByClass(kind)
        node.SetName(f"{self._name} {name}")
        node.SetSaveWithScene(False)
        node.SetHideFromEditors(True)
        if name == "view":
            node.SetLayoutName(f"{self._name}Curve")  # else it would be taken for Slicer's own
            # Else the layout would make a second widget for it, as one of its views: perhaps as its first, which is
            # the one that other modules draw in.
            node.SetAndObserveParentLayoutNodeID(self.nodes["chart"].GetID())
            node.SetDoPropagatePlotChartSelection(False)  # else it would show whatever chart is shown elsewhere
        self.nodes[name] = slicer.mrmlScene.AddNode(node)
        node.UnRegister(None)
        return self.nodes[name]

    def line(self, series: str, table: str, x: str, y: str, color: Sequence[float]) -> None:
        """Draw a column of a table over another one, as a line without marks; all by their names."""
        node, chart = self.nodes[series], self.nodes["chart"]
        node.SetPlotType(node.PlotTypeScatter)
        node.SetXColumnName(x)
        node.SetYColumnName(y)
        node.SetColor(*color)
        node.SetLineStyle(node.LineStyleSolid)
        node.SetLineWidth(2)
        node.SetMarkerStyle(node.MarkerStyleNone)
        node.SetAndObserveTableNodeID(self.nodes[table].GetID())
        if not chart.HasPlotSeriesNodeID(node.GetID()):  # it would be drawn, and observed, once more
            chart.AddAndObservePlotSeriesNodeID(node.GetID())

    def points(self, series: str, size: float) -> None:
        """Draw the points of a series too, as circles so many pixels across."""
        node = self.nodes[series]
        node.SetMarkerStyle(node.MarkerStyleCircle)
        node.SetMarkerSize(size)

    def limits(self, left: float, right: float, bottom: float, top: float) -> None:
        """Fix what the axes show; by themselves they do not follow new points."""
        chart = self.nodes["chart"]
        was_modifying = chart.StartModify()
        chart.SetXAxisRangeAuto(False)
        chart.SetXAxisRange(left, right)
        chart.SetYAxisRangeAuto(False)
        chart.SetYAxisRange(bottom, top)
        chart.EndModify(was_modifying)

    def drop(self) -> None:
        """Take the nodes out of the scene."""
        if self._widget is not None:
            self._widget.setMRMLPlotViewNode(None)
        for node in reversed(list(self.nodes.values())):
            if node.GetScene() is not None:
                node.GetScene().RemoveNode(node)
        self.nodes = {}

    def close(self) -> None:
        """Take the plot and its nodes away."""
        self.drop()
        if self._widget is not None:
            self._widget.setMRMLScene(None)
            self._widget = None


def _is_in_layout(view: Any) -> bool:
    """Return whether the layout has made a widget of its own for a plot view: other modules may draw in it, and what
    they draw would be seen in ours."""
    manager = slicer.app.layoutManager()
    count = manager.plotViewCount if manager is not None else 0
    return any(manager.plotWidget(number).mrmlPlotViewNode() is view for number in range(count))
