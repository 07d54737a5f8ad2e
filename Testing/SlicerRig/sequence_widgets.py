"""Widgets that play and seek a sequence browser."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .mrml_widgets import MRMLWidget, Observer
from .objects import rig_class
from .widget_parts import stored


class _BrowserWidget(MRMLWidget):
    """A widget that follows one browser node."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._observer = Observer(self)

    def setMRMLSequenceBrowserNode(self, node: Any) -> None:
        self._observer.clear()
        self._node = node
        if node is not None:
            self._observer.watch(node, vtk.vtkCommand.ModifiedEvent, lambda *_: self.refresh())
        self.refresh()

    def refresh(self) -> None:
        """Show the state of the node."""


@rig_class("qMRMLSequenceBrowserPlayWidget")
class PlayWidget(_BrowserWidget):
    """First, previous, play, next, last."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        slots = {
            "|<": self.onVcrFirst,
            "<": self.onVcrPrevious,
            "\N{BLACK RIGHT-POINTING TRIANGLE}": self.onVcrPlayPause,
            ">": self.onVcrNext,
            ">|": self.onVcrLast,
        }
        self._buttons = []
        for text, slot in slots.items():
            button = QtWidgets.QToolButton(self)
            button.setText(text)
            button.clicked.connect(slot)
            layout.addWidget(button)
            self._buttons.append(button)
        layout.addStretch(1)
        self.refresh()

    def refresh(self) -> None:
        usable = self._node is not None and self._node.GetNumberOfItems() > 0
        for button in self._buttons:
            button.setEnabled(usable)

    def onVcrFirst(self, *_: Any) -> None:
        self._node.SelectFirstItem()

    def onVcrLast(self, *_: Any) -> None:
        self._node.SelectLastItem()

    def onVcrNext(self, *_: Any) -> None:
        self._node.SetPlaybackActive(False)
        self._node.SelectNextItem(1)

    def onVcrPrevious(self, *_: Any) -> None:
        self._node.SetPlaybackActive(False)
        self._node.SelectNextItem(-1)

    def onVcrPlayPause(self, *_: Any) -> None:
        self._node.SetPlaybackActive(not self._node.GetPlaybackActive())

    def setPlaybackEnabled(self, on: bool) -> None:
        self._node.SetPlaybackActive(on)

    def setPlaybackLoopEnabled(self, on: bool) -> None:
        self._node.SetPlaybackLooped(on)

    def setPlaybackRateFps(self, rate: float) -> None:
        self._node.SetPlaybackRateFps(rate)

    def setRecordingControlsVisible(self, on: bool) -> None:
        self.setProperty("RecordingControlsVisible", on)

    RecordingControlsVisible = stored(bool, "RecordingControlsVisible", True)
    PlayPauseShortcut = stored(str, "PlayPauseShortcut", "")
    PreviousFrameShortcut = stored(str, "PreviousFrameShortcut", "")
    NextFrameShortcut = stored(str, "NextFrameShortcut", "")


@rig_class("qMRMLSequenceBrowserSeekWidget")
class SeekWidget(_BrowserWidget):
    """A slider over the frames, with the index value beside it."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        self._value = QtWidgets.QLabel(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._value)
        self._slider.valueChanged.connect(self.setSelectedItemNumber)
        self.refresh()

    def slider(self) -> Any:
        return self._slider

    def setSelectedItemNumber(self, number: int) -> None:
        if self._node is not None and number != self._node.GetSelectedItemNumber():
            self._node.SetSelectedItemNumber(number)
            slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(self._node)

    def refresh(self) -> None:
        blocked = self._slider.blockSignals(True)
        count = self._node.GetNumberOfItems() if self._node is not None else 0
        self.setEnabled(count > 0)
        self._slider.setRange(0, max(0, count - 1))
        if count:
            number = self._node.GetSelectedItemNumber()
            self._slider.setValue(number)
            sequence = self._node.GetMasterSequenceNode()
            self._value.setText(f"{sequence.GetNthIndexValue(number)}{sequence.GetIndexUnit() or ''}")
        self._slider.blockSignals(blocked)
