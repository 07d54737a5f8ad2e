"""What a screen reader says: everything that can be pressed, chosen, typed into or read has a name of its own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from PySide6 import QtCore, QtGui, QtWidgets
from SlicerRig import application
from SlicerRig.records import cine_record, volume_record

KINDS = (
    QtWidgets.QAbstractButton,
    QtWidgets.QComboBox,
    QtWidgets.QAbstractSpinBox,
    QtWidgets.QAbstractSlider,
    QtWidgets.QLineEdit,
    QtWidgets.QTextEdit,
    QtWidgets.QProgressBar,
    QtWidgets.QTableWidget,
)
PARTS = (QtWidgets.QScrollBar, QtWidgets.QAbstractButton)
"""Of a table: its bars, and its corner."""
SIGNS = {"", "\N{MULTIPLICATION SIGN}", "...", "<", ">", "Save..."}


def interactive(root: QtWidgets.QWidget) -> list[QtWidgets.QWidget]:
    """Return what a person can reach in a panel, also where it is hidden for the moment, without Qt's own parts."""
    found = [w for w in root.findChildren(QtWidgets.QWidget) if isinstance(w, KINDS)]
    return [w for w in found if not w.objectName().startswith("qt_") and type(w) not in PARTS]


def said(widget: QtWidgets.QWidget) -> str:
    """Return what Qt tells screen readers that a widget is called."""
    if isinstance(widget, QtWidgets.QComboBox):  # it tells its choice, and of the label that it belongs to it
        labels = widget.window().findChildren(QtWidgets.QLabel)
        return widget.accessibleName() or next((label.text() for label in labels if label.buddy() is widget), "")
    interface = QtGui.QAccessible.queryAccessibleInterface(widget)
    return str(interface.text(QtGui.QAccessible.Text.Name)).strip()


def check(root: QtWidgets.QWidget) -> None:
    """Make sure that everything has a name, and that no two things of a kind have the same.

    What is not shown may get its text when it is.
    """
    found = [w for w in interactive(root) if not isinstance(w, QtWidgets.QAbstractButton) or w.isVisibleTo(root)]
    assert [w.objectName() for w in found if said(w) in SIGNS] == []
    names = Counter((type(w), said(w)) for w in found if w.objectName())
    assert [name for name, count in names.items() if count > 1] == [], "they cannot be told apart"
    tables = [w for w in found if isinstance(w, QtWidgets.QTableWidget)]
    assert [w.objectName() for w in tables if w.tabKeyNavigation()] == [], "the tab key would never leave them"


def parts_of(widget: Any) -> list[QtWidgets.QWidget]:
    """Return what of a widget can be reached with the keyboard."""
    children = widget._qt.findChildren(QtWidgets.QWidget)
    return [w for w in children if w.focusPolicy() != QtCore.Qt.FocusPolicy.NoFocus]


def test_everything_in_the_panel_that_segments_has_a_name(panel, ui):
    volume_record()
    cine_record({1: 0.1}, 3)
    application.process_events(0.3)
    check(panel.widget._qt)
    for widget, name in (
        (ui.opacitySlider, "Opacity of the uncertainty"),
        (ui.thresholdSlider, "Colour from this uncertainty on"),
        (panel.ui.sourceSelector, "Image"),
        (panel.ui.replaceSelector, "Segmentation to replace"),
    ):
        assert parts_of(widget)
        assert {said(part) for part in parts_of(widget)} == {name}
    assert said(ui.segmentationFormatComboBox._qt) == "File format of the segmentation"
    plots = [w for w in panel.widget.findChildren("qMRMLPlotWidget") if w.accessibleName]
    assert plots


@pytest.mark.torch
def test_everything_in_the_trainers_panel_has_a_name(opened_trainer, partly):
    module = opened_trainer()
    module.settle()
    check(module.panel.widget._qt)
    table = module.ui.casesTable
    for row in range(table.rowCount):
        for column in range(table.columnCount):
            cell = table.cellWidget(row, column)
            if cell is not None:
                assert table.item(row, 0).text().partition("\n")[0] in cell.accessibleName
    assert said(module.ui.nameLineEdit._qt) == "Save as"
    assert said(module.ui.frameUseComboBox._qt)
