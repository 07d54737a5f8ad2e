"""The curve of uncertainty over the frames, in the panel: a click goes to the frame, a line marks the current one."""

from __future__ import annotations

import math
from typing import Any

import slicer

from ..scene.navigation import go_to_frame
from ..scene.records import FRAME, UNCERTAINTY, Frame, Record, frames_of
from ..scene.tables import add_column, insert_row, set_row
from .frames import shown_frame, total_frames
from .state import PanelState
from .watching import Watching

_HEIGHT = 170
_CURVE_COLOR, _MARKER_COLOR = (0.55, 0.1, 0.45), (0.1, 0.45, 0.9)
_FRAMES_A_SECOND = 15


class CurveSection:
    """A Slicer plot of its own; its nodes are neither saved with the scene nor listed for the user."""

    def __init__(self, ui: Any) -> None:
        """Make nothing yet: a plot view in the scene counts as one of Slicer's own."""
        self.ui = ui
        self._record: Record | None = None
        self._plot: Any = None
        self._nodes: dict[str, Any] = {}
        self._rows: list[Frame] = []
        self._clicked: tuple[str, int] | None = None
        self._watching = Watching(self._mark, 1000 // _FRAMES_A_SECOND)
        ui.curveHost.visible = False

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        record = state.record
        if record is not None and record.frames_table is None:
            record = None
        self.ui.curveHost.visible = record is not None
        if record is None:
            self._record = None
            self._watching.watch(())
            self._drop_nodes()
            return
        self._record = record
        self._make_plot()
        self._make_nodes()
        self._watching.watch([record.browser, *_slice_nodes()])
        self.frames_added()

    def frames_added(self) -> None:
        """Show the frames that have come."""
        if self._record is None or not self._nodes:
            return
        self._rows = frames_of(self._record)
        chart, series = self._nodes["chart"], self._nodes["series"]
        table = self._record.frames_table
        if table is None:
            return
        was_modifying = chart.StartModify()
        chart.SetXAxisRangeAuto(False)
        chart.SetXAxisRange(1, max(2, total_frames(self._record)))
        chart.SetYAxisRangeAuto(False)
        chart.SetYAxisRange(0, self._highest())
        chart.EndModify(was_modifying)
        if series.GetTableNodeID() != table.GetID():
            series.SetAndObserveTableNodeID(table.GetID())
        self._mark()

    def close(self) -> None:
        """Take the plot and its nodes away."""
        self._watching.close()
        self._record = None
        self._drop_nodes()
        if self._plot is not None:
            self._plot.plotView().disconnect("dataSelected(vtkStringArray*,vtkCollection*)", self._selected)
            self._plot.setMRMLPlotViewNode(None)
            self._plot.setMRMLScene(None)
            self._plot = None

    def _make_plot(self) -> None:
        if self._plot is None:
            self._plot = slicer.qMRMLPlotWidget()
            self._plot.setMRMLScene(slicer.mrmlScene)
            self._plot.plotController().hide()
            self._plot.setMinimumHeight(_HEIGHT)
            self._plot.setMaximumHeight(_HEIGHT)
            self._plot.toolTip = "Mean uncertainty of each frame. Click a point to go to its frame."
            self.ui.curveHost.layout().addWidget(self._plot)
            self._plot.plotView().connect("dataSelected(vtkStringArray*,vtkCollection*)", self._selected)

    def _make_nodes(self) -> None:
        """Make what is drawn, where it is not there (any more)."""
        if self._nodes and all(node.GetScene() is not None for node in self._nodes.values()):
            return
        self._drop_nodes()
        for name, kind in (
            ("marks", "vtkMRMLTableNode"), ("series", "vtkMRMLPlotSeriesNode"), ("marker", "vtkMRMLPlotSeriesNode"),
            ("chart", "vtkMRMLPlotChartNode"), ("view", "vtkMRMLPlotViewNode"),
        ):  # fmt: skip
            node = slicer.mrmlScene.CreateNodeByClass(kind)
            node.SetName(f"SemiSegCervical {name}")
            node.SetSaveWithScene(False)
            node.SetHideFromEditors(True)
            if name == "view":
                node.SetLayoutName("SemiSegCervicalCurve")  # else it would be taken for Slicer's own
                node.SetDoPropagatePlotChartSelection(False)  # else it would show whatever chart is shown elsewhere
            self._nodes[name] = slicer.mrmlScene.AddNode(node)
            node.UnRegister(None)
        marks, series, marker, chart = (self._nodes[name] for name in ("marks", "series", "marker", "chart"))
        for title in (FRAME, UNCERTAINTY):
            add_column(marks, title, float)
        for row in range(2):
            insert_row(marks, row)
        for drawn, color, width in ((series, _CURVE_COLOR, 2), (marker, _MARKER_COLOR, 2)):
            drawn.SetPlotType(drawn.PlotTypeScatter)
            drawn.SetXColumnName(FRAME)
            drawn.SetYColumnName(UNCERTAINTY)
            drawn.SetColor(*color)
            drawn.SetLineStyle(drawn.LineStyleSolid)
            drawn.SetLineWidth(width)
            drawn.SetMarkerStyle(drawn.MarkerStyleNone)
        series.SetMarkerStyle(series.MarkerStyleCircle)
        series.SetMarkerSize(4)
        marker.SetAndObserveTableNodeID(marks.GetID())
        chart.SetTitleVisibility(False)
        chart.SetLegendVisibility(False)
        chart.SetXAxisTitle("Frame")
        chart.SetYAxisTitle(UNCERTAINTY)
        chart.SetAxisTitleFontSize(11)
        chart.SetAxisLabelFontSize(10)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
        chart.AddAndObservePlotSeriesNodeID(marker.GetID())
        self._nodes["view"].SetPlotChartNodeID(chart.GetID())
        self._plot.setMRMLPlotViewNode(self._nodes["view"])
        self._clicked = None

    def _drop_nodes(self) -> None:
        if self._plot is not None:
            self._plot.setMRMLPlotViewNode(None)
        for node in reversed(list(self._nodes.values())):
            if node.GetScene() is not None:
                node.GetScene().RemoveNode(node)
        self._nodes = {}

    def _highest(self) -> float:
        """Return the upper end of the axis: a round number above the highest point."""
        highest = max((row.mean_uncertainty for row in self._rows if math.isfinite(row.mean_uncertainty)), default=0)
        return next((end for end in (5, 10, 20, 30, 40, 50, 60, 80) if highest < end), 100)

    def _mark(self) -> None:
        """Move the line to the frame that is looked at."""
        if self._record is None or not self._nodes or self._nodes["marks"].GetScene() is None:
            return
        number = shown_frame(self._record)
        marks = self._nodes["marks"]
        for row, height in enumerate((0.0, self._highest())):
            set_row(marks, row, {FRAME: None if number is None else number + 1, UNCERTAINTY: height})
        marks.GetTable().Modified()

    def _selected(self, series: Any, rows: Any) -> None:
        """Go to the frame of a point that was clicked.

        Slicer tells the selection with every click, also one beside the curve: only another one counts.
        """
        if self._record is None or not self._nodes:
            return
        for i in range(series.GetNumberOfValues()):
            array = rows.GetItemAsObject(i)
            if series.GetValue(i) == self._nodes["series"].GetID() and array.GetNumberOfValues():
                clicked = (series.GetValue(i), array.GetValue(0))
                if clicked != self._clicked and clicked[1] < len(self._rows):
                    self._clicked = clicked
                    go_to_frame(self._record, self._rows[clicked[1]].number)
                return


def _slice_nodes() -> list[Any]:
    nodes = slicer.mrmlScene.GetNodesByClass("vtkMRMLSliceNode")
    nodes.UnRegister(None)
    return [nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems())]
