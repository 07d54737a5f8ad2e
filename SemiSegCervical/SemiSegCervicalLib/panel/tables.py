"""What the panels' tables have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_ROW, _ROOM = 24, 8
_MOST_ROWS = 8


def set_headers(table: Any, headers: Sequence[str], tips: Sequence[str]) -> None:
    """Give a ``QTableWidget`` its columns, each with a title and a tool tip.

    A title of two words takes two lines: what it does not take of the width is left for the names in the first column.
    """
    table.setColumnCount(len(headers))
    table.setHorizontalHeaderLabels([header.replace(" ", "\n") for header in headers])
    for column, tip in enumerate(tips):
        table.horizontalHeaderItem(column).setToolTip(tip)


def set_row_height(table: Any, lines: int = 1, least: int = _ROW) -> None:
    """Make the rows of a table high enough for so many lines of text, in the font that Slicer is set to.

    Args:
        table: a ``QTableWidget``.
        lines: of text in each row.
        least: pixels that a row has at least, such as for what is drawn in it.
    """
    table.verticalHeader().setDefaultSectionSize(max(least, lines * table.fontMetrics().height() + _ROOM))


def fit_height(table: Any, rows: int, fewest: int = 1, most: int = _MOST_ROWS) -> None:
    """Make a table as high as its rows, at least as the `fewest`; it scrolls where there are more than `most`."""
    header, row = table.horizontalHeader().sizeHint.height(), table.verticalHeader().defaultSectionSize
    table.setFixedHeight(header + row * max(fewest, min(rows, most)) + 4)
