"""Widgets of CTK for numbers, built of Qt's own."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6 import QtCore, QtWidgets

from .objects import rig_class
from .widget_parts import parent_in, stored


@rig_class("ctkDoubleSlider")
class DoubleSlider(QtWidgets.QWidget):
    """A slider over real numbers."""

    LOOKS: ClassVar = {
        "tickPosition": 0,
        "handleToolTip": "",
        "invertedAppearance": False,
        "invertedControls": False,
    }

    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)
    rangeChanged = QtCore.Signal(float, float)
    sliderPressed = QtCore.Signal()
    sliderReleased = QtCore.Signal()
    sliderMoved = QtCore.Signal(float)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(parent_in(arguments))
        orientation = next(
            (a for a in arguments if isinstance(a, QtCore.Qt.Orientation)), QtCore.Qt.Orientation.Vertical
        )
        self._slider = QtWidgets.QSlider(orientation, self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        self._value, self._low, self._high, self._step = 0.0, 0.0, 99.0, 1.0
        self._slider.valueChanged.connect(self._moved)
        self._slider.sliderPressed.connect(self.sliderPressed)
        self._slider.sliderReleased.connect(self.sliderReleased)

    def _moved(self, steps: int) -> None:
        value = min(self._low + steps * self._step, self._high)
        if abs(value - self._value) > self._step / 2:
            self._value = value
            self.valueChanged.emit(value)

    def _refresh(self) -> None:
        blocked = self._slider.blockSignals(True)
        self._slider.setRange(0, max(0, round((self._high - self._low) / self._step)))
        self._slider.setValue(round((self._value - self._low) / self._step))
        self._slider.blockSignals(blocked)

    def _get_value(self) -> float:
        return self._value

    def setValue(self, value: float) -> None:
        value = min(max(value, self._low), self._high)
        changed = value != self._value
        self._value = value
        self._refresh()
        if changed:
            self.valueChanged.emit(value)

    def setRange(self, low: float, high: float) -> None:
        self._low, self._high = low, max(low, high)
        self.setValue(self._value)
        self.rangeChanged.emit(self._low, self._high)

    def _set_minimum(self, value: float) -> None:
        self.setRange(value, max(value, self._high))

    def _set_maximum(self, value: float) -> None:
        self.setRange(min(value, self._low), value)

    def _set_step(self, value: float) -> None:
        self._step = value
        self._refresh()

    def setMinimum(self, value: float) -> None:
        self._set_minimum(value)

    def setMaximum(self, value: float) -> None:
        self._set_maximum(value)

    def setSingleStep(self, value: float) -> None:
        self._set_step(value)

    value = QtCore.Property(float, _get_value, setValue)
    minimum = QtCore.Property(float, lambda self: self._low, _set_minimum)
    maximum = QtCore.Property(float, lambda self: self._high, _set_maximum)
    singleStep = QtCore.Property(float, lambda self: self._step, _set_step)
    pageStep = stored(float, "pageStep", 10.0)
    tickInterval = stored(float, "tickInterval", 0.0)
    tracking = stored(bool, "tracking", True)
    orientation = QtCore.Property(
        int,
        lambda self: self._slider.orientation().value,
        lambda self, value: self._slider.setOrientation(QtCore.Qt.Orientation(value)),
    )


@rig_class("ctkDoubleSpinBox")
class DoubleSpinBox(QtWidgets.QDoubleSpinBox):
    """A spin box for real numbers."""

    LOOKS: ClassVar = {
        "decimalsOption": 0,
        "setMode": 0,
        "invertedControls": False,
        "sizeHintPolicy": 0,
    }


@rig_class("ctkSliderWidget")
class SliderWidget(QtWidgets.QWidget):
    """A slider and a spin box for one number."""

    LOOKS: ClassVar = {
        "tickPosition": 0,
        "popupSlider": False,
        "synchronizeSiblings": 0,
        "spinBoxAlignment": 36,
        "invertedAppearance": False,
        "invertedControls": False,
    }

    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)
    rangeChanged = QtCore.Signal(float, float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = DoubleSlider(QtCore.Qt.Orientation.Horizontal, self)
        self._box = DoubleSpinBox(self)
        self._box.setRange(0.0, 99.0)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._box)
        self._slider.valueChanged.connect(self._slid)
        self._box.valueChanged.connect(self._typed)

    def _slid(self, value: float) -> None:
        self._box.setValue(value)

    def _typed(self, value: float) -> None:
        blocked = self._slider.blockSignals(True)
        self._slider.setValue(value)
        self._slider.blockSignals(blocked)
        self.valueChanged.emit(value)

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    def setRange(self, low: float, high: float) -> None:
        blocked = self._slider.blockSignals(True)
        self._slider.setRange(low, high)
        self._slider.blockSignals(blocked)
        self._box.setRange(low, high)
        self.rangeChanged.emit(low, high)

    def setDecimals(self, decimals: int) -> None:
        self._box.setDecimals(decimals)

    def setMinimum(self, value: float) -> None:
        self.setRange(value, max(value, self._box.maximum()))

    def setMaximum(self, value: float) -> None:
        self.setRange(min(value, self._box.minimum()), value)

    def setSingleStep(self, value: float) -> None:
        self._slider.setSingleStep(value)
        self._box.setSingleStep(value)

    def setSuffix(self, text: str) -> None:
        self._box.setSuffix(text)

    def setPrefix(self, text: str) -> None:
        self._box.setPrefix(text)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._box.setVisible(visible)

    value = QtCore.Property(float, lambda self: self._box.value(), setValue)
    minimum = QtCore.Property(float, lambda self: self._box.minimum(), setMinimum)
    maximum = QtCore.Property(float, lambda self: self._box.maximum(), setMaximum)
    singleStep = QtCore.Property(float, lambda self: self._box.singleStep(), setSingleStep)
    pageStep = stored(float, "pageStep", 10.0)
    tickInterval = stored(float, "tickInterval", 0.0)
    decimals = QtCore.Property(int, lambda self: self._box.decimals(), setDecimals)
    suffix = QtCore.Property(str, lambda self: self._box.suffix(), setSuffix)
    prefix = QtCore.Property(str, lambda self: self._box.prefix(), setPrefix)
    tracking = stored(bool, "tracking", True)
    spinBoxVisible = QtCore.Property(bool, lambda self: self._box.isVisibleTo(self), setSpinBoxVisible)
