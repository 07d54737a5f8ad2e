"""Table nodes with typed columns, in which a missing number is told from zero, also after saving."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from . import marks

_ARRAYS = {str: vtk.vtkStringArray, int: vtk.vtkIntArray, float: vtk.vtkDoubleArray}


def new_table(scene: Any, name: str, content: str) -> Any:
    """Add an empty table node of ours.

    Args:
        scene: where to.
        name: of the node.
        content: what its `marks.CONTENT` says.
    """
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    node.SetAttribute(marks.CONTENT, content)
    return node


def text_of(text: str) -> str:
    """Return a text as a table file can keep it: no tab, no line break, and no quotation mark that joins cells."""
    return " ".join(text.split()).replace('"', "\N{RIGHT DOUBLE QUOTATION MARK}")


def add_column(table: Any, title: str, values: type) -> None:
    """Add a column of ``str``, ``int`` or ``float`` to a table without rows."""
    column = table.AddColumn(_ARRAYS[values]())
    column.SetName(title)


def insert_row(table: Any, row: int) -> None:
    """Insert an empty row before `row`, or after the last."""
    content = table.GetTable()
    if row == content.GetNumberOfRows():
        content.InsertNextBlankRow()
    else:
        content.InsertRow(row)


def set_row(table: Any, row: int, values: Mapping[str, Any]) -> None:
    """Write the cells of a row by column title; None is a missing number, a title without column is left out."""
    content = table.GetTable()
    for title, value in values.items():
        column = content.GetColumnByName(title)
        if column is None:
            continue
        if isinstance(column, vtk.vtkStringArray):
            column.SetValue(row, text_of(str(value)))
        else:
            column.SetTuple1(row, math.nan if value is None else value)


def set_columns(table: Any, columns: Mapping[str, Sequence[float]]) -> None:
    """Give a table of ``float`` columns these rows in the place of its own, and tell its observers if they are others.

    Args:
        table: the table node.
        columns: the values of all of its columns by title, equally many.
    """
    content = table.GetTable()
    values = {title: np.array(numbers, dtype=np.float64) for title, numbers in columns.items()}
    found = {title: vtk_to_numpy(content.GetColumnByName(title)) for title in columns}
    if all(np.array_equal(found[title], values[title], equal_nan=True) for title in columns):
        return
    content.SetNumberOfRows(len(next(iter(values.values()))))
    for title, numbers in values.items():
        vtk_to_numpy(content.GetColumnByName(title))[:] = numbers
    content.Modified()


def column_values(table: Any, title: str) -> list[Any]:
    """Read a column; a missing number is None, and there are no values where there is no such column."""
    column = table.GetTable().GetColumnByName(title)
    if column is None:
        return []
    if isinstance(column, vtk.vtkStringArray):
        return [column.GetValue(i) for i in range(column.GetNumberOfTuples())]
    numbers: list[Any] = vtk_to_numpy(column).tolist()
    if isinstance(column, (vtk.vtkDoubleArray, vtk.vtkFloatArray)):
        return [None if math.isnan(number) else number for number in numbers]
    return numbers


def cell(table: Any, row: int, title: str) -> Any:
    """Read one cell; None for a missing number, and where there is no such column."""
    column = table.GetTable().GetColumnByName(title)
    if column is None:
        return None
    if isinstance(column, vtk.vtkStringArray):
        return column.GetValue(row)
    number = column.GetTuple1(row)
    if isinstance(column, (vtk.vtkDoubleArray, vtk.vtkFloatArray)):
        return None if math.isnan(number) else number
    return int(number)
