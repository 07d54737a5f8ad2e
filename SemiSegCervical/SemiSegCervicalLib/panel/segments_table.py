"""The table of segments: their figures in people's numbers, a dash where one is not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt

from ..figures import SegmentFigures
from ..scene.record_figures import is_flat, size_unit
from ..scene.records import Record
from .tables import fit_height, set_headers, set_row_height

UNKNOWN = "\N{EN DASH}"
_SIZES = {"mm3": "Volume (mm\N{SUPERSCRIPT THREE})", "mm2": "Area (mm\N{SUPERSCRIPT TWO})"}
_TIPS = {
    "Uncertainty": "Mean uncertainty over the segment: 0 % is certain, 100 % is a guess.",
    "Predicted Dice": "How well the model expects its outline to agree with an expert's: 1.00 is perfect.",
    "Pixels": "How many pixels the segment has.",
    "Voxels": "How many voxels the segment has.",
}
_UNLIKE_TIP = (
    "The image looks unlike what the model has learned from, and the model does not take that into account: its "
    "outline may well be worse."
)


def prepare_table(table: Any) -> None:
    """Set what does not change: widths and heights."""
    header = table.horizontalHeader()
    table.setColumnCount(4)
    header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
    set_row_height(table)


def fill_table(table: Any, record: Record, figures: Sequence[SegmentFigures], unlike: bool = False) -> None:
    """Show the figures of segments; without any the segments' names stay, with nothing beside them.

    Args:
        table: the widget.
        record: the result.
        figures: of its segments, or of those in one frame.
        unlike: the image looks unlike those of the training: a question mark stands beside what the model expects.
    """
    unit = size_unit(record)
    flat = is_flat(record)
    headers = ["Segment", "Pixels" if flat else "Voxels", "Uncertainty", "Predicted Dice"]
    if unit:
        headers.insert(1, _SIZES[unit])
    set_headers(table, headers, [_TIPS.get(title, "") for title in headers])
    by_value = {figure.value: figure for figure in figures}
    rows = [(f.value, f.name) for f in figures] or [(entry.value, entry.name) for entry in record.classes]
    colors = {entry.value: entry.color for entry in record.classes}
    table.setRowCount(len(rows))
    for row, (value, name) in enumerate(rows):
        cells = [name, *_cells(by_value.get(value), unit is not None, unlike)]
        for column, text in enumerate(cells):
            item = table.item(row, column)
            if item is None:
                item = qt.QTableWidgetItem()
                table.setItem(row, column, item)
                if column:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            item.setText(text)
            if column == len(cells) - 1:
                item.setToolTip(_UNLIKE_TIP if unlike else "")
            if column == 0:
                item.setToolTip(text)
                color = _hex(colors.get(value, (0.5, 0.5, 0.5)))
                if item.data(qt.Qt.UserRole) != color:  # an icon takes longer than all else
                    item.setData(qt.Qt.UserRole, color)
                    item.setIcon(_swatch(color))
    fit_height(table, len(rows))


def _cells(figure: SegmentFigures | None, sized: bool, unlike: bool) -> list[str]:
    """Return the texts beside a segment's name; what is not known is a dash, what is not to be relied on has a mark."""
    if figure is None:
        return [UNKNOWN] * (4 if sized else 3)
    size = [UNKNOWN if figure.size is None else number_text(figure.size, 1)] if sized else []
    return [
        *size,
        number_text(figure.voxels),
        UNKNOWN if figure.mean_uncertainty is None else f"{100 * figure.mean_uncertainty:.0f} %",
        UNKNOWN if figure.predicted_dice is None else f"{figure.predicted_dice:.2f}{' ?' if unlike else ''}",
    ]


def _hex(color: Sequence[float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in color)


def _swatch(color: str) -> Any:
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(color))
    return qt.QIcon(pixmap)


def number_text(value: float, digits: int = 0) -> str:
    """Return a number as people read it: groups of three digits, a fixed number of decimals."""
    return f"{value:,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
