"""What the panels' tables have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def set_headers(table: Any, headers: Sequence[str], tips: Sequence[str]) -> None:
    """Give a ``QTableWidget`` its columns, each with a title and a tool tip."""
    table.setColumnCount(len(headers))
    table.setHorizontalHeaderLabels(list(headers))
    for column, tip in enumerate(tips):
        table.horizontalHeaderItem(column).setToolTip(tip)
