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
        self._folder = QtCore.QDir(next((argument for argument in arguments if isinstance(argument, str)), "."))
        self._button.setText(self._folder.absolutePath())

    def setDirectory(self, folder: str) -> None:
        chosen = QtCore.QDir(folder)
        changed = chosen != self._folder
        if changed:
            self._folder.setPath(chosen.absolutePath())
            self._button.setText(chosen.absolutePath())
        self.directorySelected.emit(chosen.absolutePath())
        if changed:
            self.directoryChanged.emit(chosen.absolutePath())

    directory = QtCore.Property(str, lambda self: self._folder.path(), setDirectory)
    caption = stored(str, "caption", "")
    displayAbsolutePath = stored(bool, "displayAbsolutePath", True)
    acceptMode = stored(int, "acceptMode", 0)
