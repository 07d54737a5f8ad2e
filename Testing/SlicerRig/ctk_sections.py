"""Widgets of CTK that show or hide, and that tell something, built of Qt's own."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6 import QtCore, QtGui, QtWidgets

from .objects import rig_class
from .widget_parts import parent_in, stored


class Contents(QtCore.QObject):
    """The widgets directly in a section: seen while it is open, but for those that are hidden on purpose.

    CTK keeps what a program wishes for a widget while its section is closed, and hides it until the section opens.
    """

    HIDDEN = "hiddenOnPurpose"

    def __init__(self, section: QtWidgets.QWidget) -> None:
        super().__init__(section)
        self._section, self._shown, self._forcing = section, True, False

    def add(self, widget: QtWidgets.QWidget) -> None:
        """Watch a widget that has just been put into the section."""
        widget.installEventFilter(self)
        if not self._shown:
            self._set_visible(widget)

    def show(self, shown: bool) -> None:
        """The section opens or closes."""
        self._shown = shown
        for child in self._section.children():
            if isinstance(child, QtWidgets.QWidget):
                self._set_visible(child)

    def eventFilter(self, child: QtCore.QObject, event: QtCore.QEvent) -> bool:
        kind = event.type()
        if not self._forcing and kind in (QtCore.QEvent.Type.ShowToParent, QtCore.QEvent.Type.HideToParent):
            child.setProperty(self.HIDDEN, kind == QtCore.QEvent.Type.HideToParent)
            if not self._shown and isinstance(child, QtWidgets.QWidget):
                self._set_visible(child)
        return False

    def _set_visible(self, widget: QtWidgets.QWidget) -> None:
        self._forcing = True
        widget.setVisible(self._shown and not widget.property(self.HIDDEN))
        if not widget.property(self.HIDDEN):  # or Qt would not tell when a program hides what is hidden already
            widget.setAttribute(QtCore.Qt.WidgetAttribute.WA_WState_ExplicitShowHide, False)
        self._forcing = False


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
        self._contents = Contents(self)
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
        self._contents.show(shown)
        self.setMaximumHeight(16777215 if shown else self.HEADER)
        self.contentsCollapsed.emit(not shown)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        child = event.child()
        if event.added() and isinstance(child, QtWidgets.QWidget):
            self._contents.add(child)
        super().childEvent(event)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.position().y() <= self.HEADER:
            super().mousePressEvent(event)
        else:
            event.ignore()

    def _header(self) -> QtCore.QSize:
        return QtCore.QSize(self.fontMetrics().horizontalAdvance(self.text()) + 32, self.HEADER)

    def sizeHint(self) -> QtCore.QSize:
        return self._header() if self._get_collapsed() else super().sizeHint().expandedTo(self._header())

    def minimumSizeHint(self) -> QtCore.QSize:
        return self._header() if self._get_collapsed() else super().minimumSizeHint().expandedTo(self._header())

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


@rig_class("ctkMessageBox")
class MessageBox(QtWidgets.QMessageBox):
    """A message box with "don't show again"."""

    dontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)
    dontShowAgain = stored(bool, "dontShowAgain", False)
    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")
