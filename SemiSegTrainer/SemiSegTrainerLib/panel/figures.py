"""How well a model does on annotations that were held out: figures, and what has to be said beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import qt
from SemiSegCervicalLib.panel.segments_table import UNKNOWN, number_text
from SemiSegCervicalLib.panel.tables import fit_height, set_row_height
from SemiSegCervicalLib.words import many

from ..worker.protocol import ModelMeasure

SEGMENT, MEAN = "Segment", "Mean"
# Below so many images a small difference says nothing.
_FEW = 3
_ALSO = {
    "temperature": "The same annotations also decided how sure the model says it is, so that has not been tested on "
    "anything else.",
    "stop": "The same annotations also decided when the training ended, so these figures may be a little too good.",
}


@dataclass(frozen=True)
class Figures:
    """One model on some annotations.

    Attributes:
        dice: by the name of the segment; None where no image shows it.
        mean: over images and segments.
        voxels: annotated voxels that it rests on; None where that was not said.
        cases: images.
    """

    dice: Mapping[str, float | None]
    mean: float | None
    voxels: int | None
    cases: int


def from_summary(found: Any) -> Figures | None:
    """Read what a run says of a measurement (``validation`` or ``before`` of its summary); None without one."""
    try:
        return Figures(
            {str(name): segment["dice"] for name, segment in found["segments"].items()},
            found["dice"],
            found["voxels"] if isinstance(found.get("voxels"), int) else None,
            int(found["cases_count"]),
        )
    except (TypeError, KeyError, AttributeError, ValueError):
        return None


def from_measure(measure: ModelMeasure, classes: Sequence[str]) -> Figures:
    """Return what the worker measured of a model."""
    return Figures(dict(zip(classes, measure.dice, strict=False)), measure.mean, measure.voxels, measure.cases)


def what_it_rests_on(
    figures: Figures, voxel: str = "voxel", also_decided: Sequence[str] = (), left_out: str = ""
) -> str:
    """Say how much figures can be trusted.

    Args:
        figures: of a model.
        voxel: what one of the voxels of its images is called.
        also_decided: what else the same annotations decided, as a run says it.
        left_out: what a run says of what it was not measured on.
    """
    images = many(figures.cases, "image")
    voxels = f" ({number_text(figures.voxels)} {voxel}s)" if figures.voxels else ""
    said = [f"Dice on {images}{voxels} with annotations that were kept aside from the training; 1.00 is perfect."]
    if left_out:
        said.append(f"{left_out}.")
    if figures.cases < _FEW:
        said.append("With so few, a difference of a few hundredths may be chance.")
    said += [text for key, text in _ALSO.items() if key in also_decided]
    return " ".join(said)


def prepare_figures(table: Any) -> None:
    """Set what does not change."""
    table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    set_row_height(table)


def show_figures(table: Any, columns: Sequence[tuple[str, Figures]]) -> None:
    """Show one or two models beside each other; with two, also the difference."""
    names = list(dict.fromkeys(name for _, figures in columns for name in figures.dice))
    rows = [(name, [figures.dice.get(name) for _, figures in columns]) for name in names]
    if len(names) > 1:
        rows.append((MEAN, [figures.mean for _, figures in columns]))
    titles = [SEGMENT, *(title for title, _ in columns), *(["Change"] if len(columns) == 2 else [])]
    table.setColumnCount(len(titles))
    table.setHorizontalHeaderLabels(titles)
    table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
    table.setRowCount(len(rows))
    for row, (name, values) in enumerate(rows):
        cells = [name, *(_dice(value) for value in values)]
        if len(columns) == 2:
            cells.append(_change(*values))
        for column, text in enumerate(cells):
            item = qt.QTableWidgetItem(text)
            if column:
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            if name == MEAN:
                font = item.font()
                font.setBold(True)
                item.setFont(font)
            table.setItem(row, column, item)
    fit_height(table, len(rows))


def _dice(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"


def _change(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return UNKNOWN
    return f"{round(after, 2) - round(before, 2):+.2f}".replace("-", "\N{MINUS SIGN}")
