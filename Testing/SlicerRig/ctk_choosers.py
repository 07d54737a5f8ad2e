"""What of CTK chooses something: a folder; built of Qt's own widgets."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6 import QtCore, QtWidgets

from .objects import rig_class
from .widget_parts import parent_in, stored


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
