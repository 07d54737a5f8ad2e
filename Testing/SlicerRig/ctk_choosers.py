"""Widgets of CTK that choose something: an entry, a path, a folder, a colour; built of Qt's own."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6 import QtCore, QtGui, QtWidgets

from .objects import rig_class
from .widget_parts import parent_in, stored


@rig_class("ctkComboBox")
class ComboBox(QtWidgets.QComboBox):
    """A combo box with a text for "nothing chosen"."""

    LOOKS: ClassVar = {
        "forceDefault": False,
        "elideMode": 1,
        "scrollWheelEffect": 1,
    }

    defaultText = stored(str, "defaultText", "")
    scrollWheelEnabled = stored(bool, "scrollWheelEnabled", True)


@rig_class("ctkPathLineEdit")
class PathLineEdit(QtWidgets.QWidget):
    """An editor for a file path with a button that opens a chooser."""

    LOOKS: ClassVar = {
        "options": 0,
        "sizeAdjustPolicy": 0,
        "minimumContentsLength": 0,
    }

    currentPathChanged = QtCore.Signal(str)
    validInputChanged = QtCore.Signal(bool)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(parent_in(arguments))
        self._edit = QtWidgets.QLineEdit(self)
        self._browse = QtWidgets.QToolButton(self)
        self._browse.setText("...")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit, 1)
        layout.addWidget(self._browse)
        self._edit.textChanged.connect(self.currentPathChanged)

    def setCurrentPath(self, path: str) -> None:
        self._edit.setText(path)

    def addCurrentPathToHistory(self) -> None:
        return None

    currentPath = QtCore.Property(str, lambda self: self._edit.text(), setCurrentPath)
    nameFilters = stored("QStringList", "nameFilters", [])
    filters = stored(int, "filters", 0)
    settingKey = stored(str, "settingKey", "")
    showBrowseButton = stored(
        bool, "showBrowseButton", True, lambda self: self._browse.setVisible(self._showBrowseButton)
    )
    showHistoryButton = stored(bool, "showHistoryButton", True)
    dialogModal = stored(bool, "dialogModal", False)
    label = stored(str, "label", "")


@rig_class("ctkDirectoryButton")
class DirectoryButton(QtWidgets.QWidget):
    """A button that shows a folder and opens a chooser."""

    LOOKS: ClassVar = {
        "text": "",
        "elideMode": 3,
        "options": 1,
    }

    directoryChanged = QtCore.Signal(str)
    directorySelected = QtCore.Signal(str)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(parent_in(arguments))
        self._button = QtWidgets.QPushButton(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self._folder = next((argument for argument in arguments if isinstance(argument, str)), "")
        self._button.setText(self._folder)

    def setDirectory(self, folder: str) -> None:
        if folder != self._folder:
            self._folder = folder
            self._button.setText(folder)
            self.directoryChanged.emit(folder)

    directory = QtCore.Property(str, lambda self: self._folder, setDirectory)
    caption = stored(str, "caption", "")
    displayAbsolutePath = stored(bool, "displayAbsolutePath", True)
    acceptMode = stored(int, "acceptMode", 0)


@rig_class("ctkColorPickerButton")
class ColorPickerButton(QtWidgets.QPushButton):
    """A button that shows a colour and opens a chooser."""

    LOOKS: ClassVar = {
        "dialogOptions": 0,
    }

    colorChanged = QtCore.Signal(QtGui.QColor)
    colorNameChanged = QtCore.Signal(str)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(parent_in(arguments))
        self._color = next((a for a in arguments if isinstance(a, QtGui.QColor)), QtGui.QColor("black"))

    def setColor(self, color: QtGui.QColor) -> None:
        if color != self._color:
            self._color = color
            self.colorChanged.emit(color)

    color = QtCore.Property(QtGui.QColor, lambda self: self._color, setColor)
    displayColorName = stored(bool, "displayColorName", True)
    colorName = stored(str, "colorName", "")
