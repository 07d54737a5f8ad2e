"""Widgets that list parts of one node: the segments of a segmentation, the cells of a table."""

from __future__ import annotations

import fnmatch
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from .mrml_widgets import MRMLWidget, Observer
from .objects import rig_class
from .widget_parts import stored

_NAME_COLUMN = 3


def _refresh(self: Any) -> None:
    self.refresh()


@rig_class("qMRMLSegmentsTableView")
class SegmentsTableView(MRMLWidget):
    """The segments of a segmentation: visibility, colour, opacity, name, status."""

    selectionChanged = QtCore.Signal(object, object)
    SIGNALS = {
        **MRMLWidget.SIGNALS,
        "selectionChanged(QItemSelection,QItemSelection)": "selectionChanged",
    }

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._ids: list[str] = []
        self._hidden: list[str] = []
        self._observer = Observer(self)
        self._table = QtWidgets.QTableWidget(0, 5, self)
        self._table.setHorizontalHeaderLabels(["", "", "Opacity", "Name", "Status"])
        self._table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        self._table.horizontalHeader().setSectionResizeMode(_NAME_COLUMN, QtWidgets.QHeaderView.ResizeMode.Stretch)
        self._table.verticalHeader().hide()
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self._table.selectionModel().selectionChanged.connect(lambda on, off: self.selectionChanged.emit(on, off))

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        if node is self._node:
            return
        self._observer.clear()
        self._node = node
        if node is not None:
            segmentation = slicer.vtkSegmentation
            for event in (segmentation.SegmentAdded, segmentation.SegmentRemoved, segmentation.SegmentModified):
                self._observer.watch(node, event, lambda *_: self.refresh())
            if (display := node.GetDisplayNode()) is not None:
                self._observer.watch(display, vtk.vtkCommand.ModifiedEvent, lambda *_: self.refresh())
        self.refresh()

    def refresh(self) -> None:
        """List the segments anew; those selected stay selected."""
        selected = self.selectedSegmentIDs()
        segmentation: Any = self._node.GetSegmentation() if self._node is not None else None
        known = segmentation.GetSegmentIDs() if segmentation is not None else ()
        self._ids = [name for name in known if self._offers(segmentation.GetSegment(name), name)]
        blocked = self._table.blockSignals(True)
        self._table.setRowCount(len(self._ids))
        for row, name in enumerate(self._ids):
            self._fill(row, name, segmentation.GetSegment(name))
        self._table.blockSignals(blocked)
        self.setSelectedSegmentIDs([name for name in selected if name in self._ids])

    def _offers(self, segment: Any, name: str) -> bool:
        text = self.property("textFilter").lower()
        return name not in self._hidden and fnmatch.fnmatch(segment.GetName().lower(), f"*{text}*")

    def _fill(self, row: int, name: str, segment: Any) -> None:
        display = self._node.GetDisplayNode()
        shown = display is None or display.GetSegmentVisibility(name)
        opacity = 1.0 if display is None else display.GetSegmentOpacity2DFill(name)
        status = slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentStatus(segment)
        words = ("Not started", "In progress", "Completed", "Flagged")
        mark = "\N{BLACK CIRCLE}" if shown else "\N{WHITE CIRCLE}"
        texts = (mark, "", f"{opacity:.2f}", segment.GetName(), words[status])
        for column, text in enumerate(texts):
            item = QtWidgets.QTableWidgetItem(text)
            if column == 1:
                item.setBackground(QtGui.QColor.fromRgbF(*segment.GetColor()))
            self._table.setItem(row, column, item)

    def selectedSegmentIDs(self) -> list[str]:
        rows = sorted({index.row() for index in self._table.selectionModel().selectedRows()})
        return [self._ids[row] for row in rows if row < len(self._ids)]

    def setSelectedSegmentIDs(self, names: list[str]) -> None:
        if sorted(names) == sorted(self.selectedSegmentIDs()):
            return
        chosen = QtCore.QItemSelection()
        model = self._table.model()
        for name in names:
            if name in self._ids:
                row = self._ids.index(name)
                chosen.select(model.index(row, 0), model.index(row, self._table.columnCount() - 1))
        self._table.selectionModel().select(chosen, QtCore.QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def clearSelection(self) -> None:
        self._table.clearSelection()

    def displayedSegmentIDs(self) -> list[str]:
        return list(self._ids)

    def rowForSegmentID(self, name: str) -> int:
        return self._ids.index(name) if name in self._ids else -1

    def segmentIDForRow(self, row: int) -> str:
        return self._ids[row] if 0 <= row < len(self._ids) else ""

    def hideSegments(self) -> list[str]:
        return list(self._hidden)

    def setHideSegments(self, names: list[str]) -> None:
        self._hidden = list(names)
        self.refresh()

    def tableWidget(self) -> Any:
        return self._table

    def setSelectionMode(self, mode: int) -> None:
        self._table.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode(mode))

    def _set_header_visible(self) -> None:
        self._table.horizontalHeader().setVisible(self.property("headerVisible"))

    def _show_columns(self) -> None:
        for column, name in enumerate(("visibility", "color", "opacity", "name", "status")):
            if name != "name":
                self._table.setColumnHidden(column, not self.property(f"{name}ColumnVisible"))

    def setHeaderVisible(self, on: bool) -> None:
        self.setProperty("headerVisible", on)

    def setVisibilityColumnVisible(self, on: bool) -> None:
        self.setProperty("visibilityColumnVisible", on)

    def setColorColumnVisible(self, on: bool) -> None:
        self.setProperty("colorColumnVisible", on)

    def setOpacityColumnVisible(self, on: bool) -> None:
        self.setProperty("opacityColumnVisible", on)

    def setStatusColumnVisible(self, on: bool) -> None:
        self.setProperty("statusColumnVisible", on)

    def setReadOnly(self, on: bool) -> None:
        self.setProperty("readOnly", on)

    def setFilterBarVisible(self, on: bool) -> None:
        self.setProperty("filterBarVisible", on)

    def setTextFilter(self, text: str) -> None:
        self.setProperty("textFilter", text)

    selectionMode = QtCore.Property(int, lambda self: self._table.selectionMode().value, setSelectionMode)
    segmentCount = QtCore.Property(int, lambda self: len(self._ids))
    headerVisible = stored(bool, "headerVisible", True, _set_header_visible)
    visibilityColumnVisible = stored(bool, "visibilityColumnVisible", True, _show_columns)
    colorColumnVisible = stored(bool, "colorColumnVisible", True, _show_columns)
    opacityColumnVisible = stored(bool, "opacityColumnVisible", True, _show_columns)
    statusColumnVisible = stored(bool, "statusColumnVisible", True, _show_columns)
    layerColumnVisible = stored(bool, "layerColumnVisible", False)
    readOnly = stored(bool, "readOnly", False)
    filterBarVisible = stored(bool, "filterBarVisible", False)
    textFilter = stored(str, "textFilter", "", _refresh)
    jumpToSelectedSegmentEnabled = stored(bool, "jumpToSelectedSegmentEnabled", False)


@rig_class("qMRMLTableView")
class TableView(QtWidgets.QTableView):
    """The cells of a table node; read only here."""

    mrmlSceneChanged = QtCore.Signal(object)
    cells_selected = QtCore.Signal()
    SIGNALS = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged", "selectionChanged()": "cells_selected"}

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._scene: Any = None
        self._observer = Observer(self)
        self._cells = QtGui.QStandardItemModel(self)
        self._order = QtCore.QSortFilterProxyModel(self)
        self._order.setSourceModel(self._cells)
        self.setModel(self._order)
        self.selectionModel().selectionChanged.connect(lambda *_: self.cells_selected.emit())

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    def mrmlTableNode(self) -> Any:
        return self._node

    def setMRMLTableNode(self, node: Any) -> None:
        self._observer.clear()
        self._node = node
        if node is not None:
            self._observer.watch(node, vtk.vtkCommand.ModifiedEvent, lambda *_: self.refresh())
        self.refresh()

    def sortFilterProxyModel(self) -> Any:
        return self._order

    def refresh(self) -> None:
        """Show the cells anew; without locked titles the first row holds the columns' names, as in 3D Slicer."""
        self._cells.clear()
        if self._node is None:
            return
        columns = self._node.GetNumberOfColumns()
        names = [self._node.GetColumnName(column) for column in range(columns)]
        if self._node.GetUseColumnTitleAsColumnHeader():
            self._cells.setHorizontalHeaderLabels(names)
        else:
            self._cells.appendRow([QtGui.QStandardItem(name) for name in names])
        for row in range(self._node.GetNumberOfRows()):
            self._cells.appendRow([self._cell(row, column) for column in range(columns)])

    def _cell(self, row: int, column: int) -> QtGui.QStandardItem:
        item = QtGui.QStandardItem()
        values = self._node.GetTable().GetColumn(column)
        numeric = isinstance(values, vtk.vtkDataArray) and values.GetNumberOfComponents() == 1
        if numeric:  # as a number, so that sorting is by value
            item.setData(values.GetTuple1(row), QtCore.Qt.ItemDataRole.DisplayRole)
        else:
            item.setText(self._node.GetCellText(row, column))
        item.setEditable(False)
        return item

    def setFirstRowLocked(self, on: bool) -> None:
        if self._node is not None:
            self._node.SetUseColumnTitleAsColumnHeader(on)

    def _first_row_locked(self) -> bool:
        return bool(self._node is not None and self._node.GetUseColumnTitleAsColumnHeader())

    firstRowLocked = QtCore.Property(bool, _first_row_locked, setFirstRowLocked)
