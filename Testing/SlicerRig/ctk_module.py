"""Widgets of CTK, as far as the panels use them, built of Qt's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from PySide6 import QtCore, QtGui, QtWidgets

from .objects import rig_class


def stored(kind: Any, name: str, default: Any, changed: Callable[[Any], None] | None = None) -> Any:
    """Make a Qt property that keeps its value in the object; `changed` is told afterwards."""

    def get(self: Any) -> Any:
        return getattr(self, f"_{name}", default)

    def put(self: Any, value: Any) -> None:
        setattr(self, f"_{name}", value)
        if changed:
            changed(self)

    return QtCore.Property(kind, get, put)


def parent_in(arguments: tuple[Any, ...]) -> QtWidgets.QWidget | None:
    """Return the parent among the arguments of a constructor."""
    return next((argument for argument in arguments if isinstance(argument, QtWidgets.QWidget)), None)


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
        option = QtWidgets.QStyleOptionButton()
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


@rig_class("ctkMessageBox")
class MessageBox(QtWidgets.QMessageBox):
    """A message box with "don't show again"."""

    dontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)
    dontShowAgain = stored(bool, "dontShowAgain", False)
    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")


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


@rig_class("ctkDoubleRangeSlider")
class DoubleRangeSlider(RangeWidget):
    """A range by two handles; drawn as two boxes here."""

    LOOKS: ClassVar = {
        "orientation": 1,
        "tickInterval": 0.0,
        "tickPosition": 0,
        "symmetricMoves": False,
    }
