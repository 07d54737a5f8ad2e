"""Widgets of CTK for numbers and ranges, built of Qt's own."""

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

    def setTracking(self, on: bool) -> None:
        self._tracking = on

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


@rig_class("ctkRangeWidget")
class RangeWidget(QtWidgets.QWidget):
    """Two spin boxes for the ends of a range."""

    LOOKS: ClassVar = {
        "prefix": "",
        "tickInterval": 0.0,
        "autoSpinBoxWidth": True,
        "spinBoxTextAlignment": 1,
        "spinBoxAlignment": 132,
        "symmetricMoves": False,
    }

    valuesChanged = QtCore.Signal(float, float)
    minimumValueChanged = QtCore.Signal(float)
    maximumValueChanged = QtCore.Signal(float)
    rangeChanged = QtCore.Signal(float, float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._boxes = (QtWidgets.QDoubleSpinBox(self), QtWidgets.QDoubleSpinBox(self))
        self._values = (0.0, 99.0)
        for number, box in enumerate(self._boxes):
            layout.addWidget(box)
            box.setRange(0.0, 99.0)
            box.setValue(self._values[number])
            box.valueChanged.connect(self._typed)

    def _typed(self, _: float) -> None:
        self.setValues(self._boxes[0].value(), self._boxes[1].value())

    def setValues(self, low: float, high: float) -> None:
        first, last = self._boxes[0].minimum(), self._boxes[0].maximum()
        low, high = min(max(low, first), last), min(max(high, first), last)
        before, self._values = self._values, (min(low, high), max(low, high))
        for box, value in zip(self._boxes, self._values, strict=True):
            blocked = box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(blocked)
        if self._values != before:
            if self._values[0] != before[0]:
                self.minimumValueChanged.emit(self._values[0])
            if self._values[1] != before[1]:
                self.maximumValueChanged.emit(self._values[1])
            self.valuesChanged.emit(*self._values)

    def setRange(self, low: float, high: float) -> None:
        for box in self._boxes:
            blocked = box.blockSignals(True)
            box.setRange(low, high)
            box.blockSignals(blocked)
        self.setValues(*self._values)
        self.rangeChanged.emit(low, high)

    def setMinimumValue(self, value: float) -> None:
        self.setValues(min(value, self._values[1]), self._values[1])

    def setMaximumValue(self, value: float) -> None:
        self.setValues(self._values[0], max(value, self._values[0]))

    def _set_decimals(self, decimals: int) -> None:
        for box in self._boxes:
            box.setDecimals(decimals)

    def _set_step(self, step: float) -> None:
        for box in self._boxes:
            box.setSingleStep(step)

    def _set_suffix(self, text: str) -> None:
        for box in self._boxes:
            box.setSuffix(text)

    minimumValue = QtCore.Property(float, lambda self: self._values[0], setMinimumValue)
    maximumValue = QtCore.Property(float, lambda self: self._values[1], setMaximumValue)
    minimum = QtCore.Property(
        float, lambda self: self._boxes[0].minimum(), lambda self, value: self.setRange(value, self._boxes[0].maximum())
    )
    maximum = QtCore.Property(
        float, lambda self: self._boxes[0].maximum(), lambda self, value: self.setRange(self._boxes[0].minimum(), value)
    )
    decimals = QtCore.Property(int, lambda self: self._boxes[0].decimals(), _set_decimals)
    singleStep = QtCore.Property(float, lambda self: self._boxes[0].singleStep(), _set_step)
    suffix = QtCore.Property(str, lambda self: self._boxes[0].suffix(), _set_suffix)
    tracking = stored(bool, "tracking", True)


@rig_class("ctkDoubleRangeSlider")
class DoubleRangeSlider(RangeWidget):
    """A range by two handles; drawn as two boxes here."""

    LOOKS: ClassVar = {
        "orientation": 1,
        "tickInterval": 0.0,
        "tickPosition": 0,
        "symmetricMoves": False,
    }
