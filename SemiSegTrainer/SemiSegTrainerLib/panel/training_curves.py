"""The curves of a training: how well it does on what is held out, what its loss consists of, what it learns from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from SemiSegCervicalLib.panel.later import Later
from SemiSegCervicalLib.panel.plot import Plot
from vtk import vtkTable
from vtk.util.numpy_support import numpy_to_vtk

from ..worker.protocol import News
from .run_folder import RunClass
from .training import Training

DICE, LOSS, SHARE = "Dice on what is kept aside", "Parts of the loss", "Learned from images without annotation"
STEP = "Step"
_MILLISECONDS = 500
_POINTS = 400
# On the white plot as well as in the legend, whose background is dark where Slicer's style is.
_MEAN_COLOR = (0.5, 0.5, 0.5)
# Told apart by people who do not see all colours: Okabe and Ito, jfly.uni-koeln.de/color, without black and yellow.
_COLORS = (
    (0.0, 0.45, 0.7), (0.84, 0.37, 0.0), (0.0, 0.62, 0.45), (0.8, 0.47, 0.65), (0.34, 0.71, 0.91), (0.9, 0.62, 0.0),
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One curve: its name, colour, and points; a value that is not known is NaN."""

    name: str
    color: tuple[float, ...]
    steps: np.ndarray
    values: np.ndarray


class TrainingCurves:
    """Shows one of the curves, at most twice a second."""

    def __init__(self, ui: Any) -> None:
        """Connect the widgets of ``SemiSegTrainerRun.ui``; no plot is made yet."""
        self.ui = ui
        self._training: Training | None = None
        self._plot = Plot(ui.trainingCurveHost, "SemiSegTrainer", "How the training goes, step by step.")
        self._lines = 0
        self._later = Later(self._draw, _MILLISECONDS)
        ui.curveComboBox.addItems([DICE, LOSS, SHARE])
        ui.curveComboBox.connect("currentIndexChanged(int)", self._draw)

    def show(self, training: Training | None) -> None:
        """Show a training; None for none."""
        other = training is not self._training
        self._training = training
        if training is None:
            self._plot.drop()
        elif other or not self._plot.there:
            self._draw()

    def news(self) -> None:
        """There is something new, which is shown soon."""
        self._later.start()

    def close(self) -> None:
        """Take everything away."""
        self._training = None
        self._later.close()
        self.ui.curveComboBox.disconnect("currentIndexChanged(int)", self._draw)
        self._plot.close()

    def _draw(self) -> None:
        training = self._training
        if training is None:
            return
        kind = self.ui.curveComboBox.currentText
        about = training.run.about
        lines = lines_of(kind, training.news, about.classes if about is not None else ())
        self.ui.curveLabel.text = legend(kind, lines)
        names = {f"line {number}": "vtkMRMLPlotSeriesNode" for number in range(len(lines))}
        tables = {f"points {number}": "vtkMRMLTableNode" for number in range(len(lines))}
        if len(lines) != self._lines:
            self._plot.drop()
        self._plot.make(**tables, **names)
        self._lines = len(lines)
        highest = 0.0
        for number, line in enumerate(lines):
            self._plot.nodes[f"points {number}"].SetAndObserveTable(_table(line))
            self._plot.line(f"line {number}", f"points {number}", STEP, line.name, line.color)
            if kind == DICE:  # measured so rarely that for the first minutes there is one point, and no line
                self._plot.points(f"line {number}", 5)
            highest = max(highest, np.nanmax(line.values, initial=0.0))
        chart = self._plot.nodes["chart"]
        chart.SetXAxisTitle(STEP)
        chart.SetYAxisTitle({DICE: "Dice", LOSS: "Loss", SHARE: "%"}[kind])
        end = training.news[-1].iterations if training.news else 1
        top = {DICE: 1.0, SHARE: 100.0}.get(kind) or _round_up(highest)
        self._plot.limits(0, max(1, end), 0, top)


def lines_of(kind: str, news: Sequence[News], classes: Sequence[RunClass]) -> list[Line]:
    """Return the curves of a kind.

    Args:
        kind: `DICE`, `LOSS` or `SHARE`.
        news: what was told of the training.
        classes: of the model, in value order.
    """
    if kind == DICE:
        measured = [n.validation for n in news if n.validation is not None]
        steps = np.array([m.iteration for m in measured], dtype=float)
        lines = [
            Line(entry.name, entry.color, steps, _numbers(m.dice[row] if row < len(m.dice) else None for m in measured))
            for row, entry in enumerate(classes)
        ]
        if len(classes) > 1:
            lines.append(Line("mean", _MEAN_COLOR, steps, _numbers(m.mean for m in measured)))
        return lines
    kept = news[:: max(1, math.ceil(len(news) / _POINTS))]
    steps = np.array([n.iteration for n in kept], dtype=float)
    if kind == SHARE:
        return [Line("share of the loss (%)", _COLORS[0], steps, _numbers(100 * n.unsupervised for n in kept))]
    terms = dict.fromkeys(name for n in kept for name in n.terms)
    return [
        Line(name.replace("_", " "), _COLORS[row % len(_COLORS)], steps, _numbers(n.terms.get(name) for n in kept))
        for row, name in enumerate(terms)
    ]


def legend(kind: str, lines: Sequence[Line]) -> str:
    """Say what the curves are and where they are now, as HTML."""
    if not any(np.isfinite(line.values).any() for line in lines):
        return {
            DICE: "Not measured yet. It is measured about once a minute, where something is kept aside.",
        }.get(kind, "Nothing is known yet.")
    return "&nbsp; ".join(_entry(kind, line) for line in lines)


def _entry(kind: str, line: Line) -> str:
    red, green, blue = (round(255 * value) for value in line.color)
    known = line.values[np.isfinite(line.values)]
    form = {DICE: "{:.2f}", SHARE: "{:.0f}"}.get(kind, "{:.3g}")
    last = f" {form.format(known[-1])}" if len(known) else ""
    return f'<span style="color:#{red:02x}{green:02x}{blue:02x}">&#9632;</span>&nbsp;{escape(line.name)}{last}'


def _numbers(values: Any) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], dtype=float)


def _table(line: Line) -> Any:
    """Return a new table of a curve's known points: one that is exchanged whole is never seen half filled."""
    table = vtkTable()
    known = np.isfinite(line.values)
    for name, values in ((STEP, line.steps), (line.name, line.values)):
        column = numpy_to_vtk(np.ascontiguousarray(values[known]), deep=True)
        column.SetName(name)
        table.AddColumn(column)
    return table


def _round_up(value: float) -> float:
    """Return the upper end of an axis: a round number above the highest point."""
    if not value > 0:
        return 1.0
    size = 10 ** math.floor(math.log10(value))
    return next(float(step * size) for step in (1.5, 2, 3, 5, 7, 10, 15) if step * size > value)
