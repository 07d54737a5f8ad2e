"""The curve of uncertainty over the frames, in the panel.

A click goes to the frame, a line marks the current one, and dots those that look unlike the training images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import slicer

from ..figures import looks_unlike
from ..scene.cine import is_sequence
from ..scene.navigation import go_to_frame
from ..scene.nodes import nodes_of
from ..scene.record_figures import FRAME, UNCERTAINTY, Frame, frames_of
from ..scene.records import Record
from ..scene.tables import add_column, insert_row, set_columns, set_row
from .frames import shown_frame, total_frames
from .plot import Plot
from .state import PanelState
from .watching import Watching

_CURVE_COLOR, _MARKER_COLOR, _UNLIKE_COLOR = (0.55, 0.1, 0.45), (0.1, 0.45, 0.9), (0.9, 0.55, 0.0)
_FRAMES_A_SECOND = 15
_SELECTED = "dataSelected(vtkStringArray*,vtkCollection*)"


class CurveSection:
    """Shows the curve of the chosen result."""

    def __init__(self, ui: Any) -> None:
        """Make nothing yet."""
        self.ui = ui
        self._record: Record | None = None
        self._plot = Plot(
            ui.curveHost,
            "SemiSegCervical",
            "Mean uncertainty of each frame, over the whole picture. Click a point to go to its frame. Large "
            "orange points are frames that look unlike what the model has learned from.",
        )
        self._connected: Any = None
        self._rows: list[Frame] = []
        self._unlike: list[Frame] = []
        self._clicked: tuple[str, int] | None = None
        self._watching = Watching(self._mark, 1000 // _FRAMES_A_SECOND)
        self._watching_frames = Watching(self.frames_added)
        ui.curveHost.visible = False

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        record = state.record
        if record is not None and record.frames_table is None:
            record = None
        self.ui.curveHost.visible = record is not None
        self._record = record
        if record is None:
            self._watching.watch(())
            self._watching_frames.watch(())
            self._plot.drop()
            return
        self._make()
        self._watching.watch([record.browser, *nodes_of(slicer.mrmlScene, "vtkMRMLSliceNode")])
        self._watching_frames.watch([record.source] if is_sequence(record.source) else ())
        self.frames_added()

    def frames_added(self) -> None:
        """Show the frames that have come."""
        if self._record is None or not self._plot.nodes:
            return
        self._rows = frames_of(self._record)
        self._unlike = [r for r in self._rows if looks_unlike(r.atypicality) and math.isfinite(r.mean_uncertainty)]
        self._draw("curve", self._rows)
        self._draw("unlike", self._unlike)
        self._plot.limits(1, max(2, total_frames(self._record)), 0, self._highest())
        self._mark()

    def close(self) -> None:
        """Take the plot and its nodes away."""
        self._watching.close()
        self._watching_frames.close()
        self._record = None
        if self._connected is not None:
            self._connected.disconnect(_SELECTED, self._selected)
            self._connected = None
        self._plot.close()

    def _make(self) -> None:
        """Make what is drawn, where it is not there (any more)."""
        plot = self._plot
        lines = dict.fromkeys(("series", "marker", "dots"), "vtkMRMLPlotSeriesNode")
        tables = dict.fromkeys(("curve", "marks", "unlike"), "vtkMRMLTableNode")
        if not plot.make(**tables, **lines):
            return
        if self._connected is None:
            self._connected = plot.view
            self._connected.connect(_SELECTED, self._selected)
        chart = plot.nodes["chart"]
        for name, rows in (("curve", 1), ("marks", 2), ("unlike", 1)):
            for title in (FRAME, UNCERTAINTY):
                add_column(plot.nodes[name], title, float)
            for row in range(rows):
                insert_row(plot.nodes[name], row)
        plot.line("series", "curve", FRAME, UNCERTAINTY, _CURVE_COLOR)
        plot.line("marker", "marks", FRAME, UNCERTAINTY, _MARKER_COLOR)
        plot.line("dots", "unlike", FRAME, UNCERTAINTY, _UNLIKE_COLOR)
        plot.points("series", 4)
        plot.points("dots", 9)
        plot.nodes["dots"].SetLineStyle(plot.nodes["dots"].LineStyleNone)
        chart.SetXAxisTitle("Frame")
        chart.SetYAxisTitle(UNCERTAINTY)
        self._clicked = None

    def _highest(self) -> float:
        """Return the upper end of the axis: a round number above the highest point."""
        highest = max((row.mean_uncertainty for row in self._rows if math.isfinite(row.mean_uncertainty)), default=0)
        return next((end for end in (5, 10, 20, 30, 40, 50, 60, 80) if highest < end), 100)

    def _draw(self, name: str, frames: Sequence[Frame]) -> None:
        """Give one of the lines its points, one for each frame."""
        # Never a plot without a row: where there is no such frame, its point lies nowhere.
        numbers = [float(frame.number + 1) for frame in frames] or [math.nan]
        heights = [frame.mean_uncertainty for frame in frames] or [math.nan]
        set_columns(self._plot.nodes[name], {FRAME: numbers, UNCERTAINTY: heights})

    def _mark(self) -> None:
        """Move the line to the frame that is looked at."""
        if self._record is None or not self._plot.there:
            return
        number = shown_frame(self._record)
        marks = self._plot.nodes["marks"]
        for row, height in enumerate((0.0, self._highest())):
            set_row(marks, row, {FRAME: None if number is None else number + 1, UNCERTAINTY: height})
        marks.GetTable().Modified()

    def _selected(self, series: Any, rows: Any) -> None:
        """Go to the frame of a point that was clicked.

        Slicer tells the selection with every click, also one beside the curve: only another one counts.
        """
        if self._record is None or not self._plot.nodes:
            return
        nodes = self._plot.nodes
        frames = {nodes["series"].GetID(): self._rows, nodes["dots"].GetID(): self._unlike}
        for i in range(series.GetNumberOfValues()):
            array = rows.GetItemAsObject(i)
            if series.GetValue(i) in frames and array.GetNumberOfValues():
                clicked = (series.GetValue(i), array.GetValue(0))
                if clicked != self._clicked and clicked[1] < len(frames[clicked[0]]):
                    self._clicked = clicked
                    go_to_frame(self._record, frames[clicked[0]][clicked[1]].number)
                return
