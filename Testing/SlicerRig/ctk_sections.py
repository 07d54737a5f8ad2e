"""Widgets of CTK that show or hide, and that tell something, built of Qt's own."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6 import QtCore, QtGui, QtWidgets

from .objects import rig_class
from .widget_parts import parent_in, stored


@rig_class("ctkCollapsibleButton")
class CollapsibleButton(QtWidgets.QAbstractButton):
    """A header that shows or hides what its layout holds."""

    LOOKS: ClassVar = {
        "contentsFrameShape": 0,
        "contentsFrameShadow": 16,
        "contentsLineWidth": 1,
        "contentsMidLineWidth": 0,
        "buttonTextAlignment": 129,
        "indicatorAlignment": 129,
    }

    contentsCollapsed = QtCore.Signal(bool)
    HEADER = 24

    def __init__(self, *arguments: Any) -> None:
        super().__init__(parent_in(arguments))
        self.setText(next((argument for argument in arguments if isinstance(argument, str)), ""))
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, self.HEADER, 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Minimum, QtWidgets.QSizePolicy.Policy.Preferred)
        self.toggled.connect(self._show_contents)

    def _get_collapsed(self) -> bool:
        return not self.isChecked()

    def setCollapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = QtCore.Property(bool, _get_collapsed, setCollapsed)
    collapsedHeight = stored(int, "collapsedHeight", 10)
    flat = stored(bool, "flat", False)

    def _show_contents(self, shown: bool) -> None:
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindChildOption.FindDirectChildrenOnly):
            child.setVisible(shown)
        self.setMaximumHeight(16777215 if shown else self.HEADER)
        self.contentsCollapsed.emit(not shown)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        child = event.child()
        if event.added() and isinstance(child, QtWidgets.QWidget) and self._get_collapsed():
            child.setVisible(False)
        super().childEvent(event)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.position().y() <= self.HEADER:
            super().mousePressEvent(event)
        else:
            event.ignore()

    def sizeHint(self) -> QtCore.QSize:
        layout = self.layout()
        hint = super().sizeHint() if layout is None else layout.totalSizeHint()
        return hint.expandedTo(QtCore.QSize(self.fontMetrics().horizontalAdvance(self.text()) + 32, self.HEADER))

    def minimumSizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(0, self.HEADER) if self._get_collapsed() else self.sizeHint()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtWidgets.QStylePainter(self)
        option: Any = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width(), self.HEADER - 2)
        painter.drawPrimitive(QtWidgets.QStyle.PrimitiveElement.PE_PanelButtonCommand, option)
        arrow = (
            "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}"
            if self._get_collapsed()
            else "\N{BLACK DOWN-POINTING SMALL TRIANGLE}"
        )
        painter.drawText(
            option.rect.adjusted(6, 0, 0, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, f"{arrow}  {self.text()}"
        )


@rig_class("ctkCollapsibleGroupBox")
class CollapsibleGroupBox(QtWidgets.QGroupBox):
    """A group box that shows or hides what it holds."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.setCheckable(True)
        self.toggled.connect(self._show_contents)

    def _show_contents(self, shown: bool) -> None:
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindChildOption.FindDirectChildrenOnly):
            child.setVisible(shown)

    def setCollapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = QtCore.Property(bool, lambda self: not self.isChecked(), setCollapsed)
    collapsedHeight = stored(int, "collapsedHeight", 14)


@rig_class("ctkFittedTextBrowser")
class FittedTextBrowser(QtWidgets.QTextBrowser):
    """A text browser as high as its text."""

    LOOKS: ClassVar = {
        "disableMouseScroll": False,
        "showDetailsText": "Show details...",
        "hideDetailsText": "Hide details.",
    }

    collapsed = stored(bool, "collapsed", True)
    collapsibleText = stored(str, "collapsibleText", "")

    def setCollapsibleText(self, text: str) -> None:
        self._collapsibleText = text
        self.setHtml(text)

    def setCollapsed(self, collapsed: bool) -> None:
        self._collapsed = collapsed

    def sizeHint(self) -> QtCore.QSize:
        self.document().setTextWidth(self.viewport().width())
        return QtCore.QSize(super().sizeHint().width(), int(self.document().size().height()) + 4)


@rig_class("ctkMessageBox")
class MessageBox(QtWidgets.QMessageBox):
    """A message box with "don't show again"."""

    dontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)
    dontShowAgain = stored(bool, "dontShowAgain", False)
    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")
