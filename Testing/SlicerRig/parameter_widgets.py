"""Which widgets show which parameters, and how: the other half of `parameter_nodes`."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import vtk

from . import objects, signals
from .parameter_types import Choice, Maximum, Minimum, Parameter, WithinRange


@dataclasses.dataclass
class _Binding:
    """How a widget shows a parameter: signal, reading, writing, and preparing."""

    signal: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]
    prepare: Callable[[Any, Parameter], None] = lambda widget, parameter: None


def _range(widget: Any, parameter: Parameter) -> None:
    """Give a widget the range of its parameter: whatever the form says, one without ends gets the widest there is."""
    least, most = (-(2**31), 2**31 - 1) if parameter.type is int else (-math.inf, math.inf)
    within, minimum, maximum = (parameter.validator(kind) for kind in (WithinRange, Minimum, Maximum))
    widget.minimum = within.minimum if within else minimum.minimum if minimum else least
    widget.maximum = within.maximum if within else maximum.maximum if maximum else most


def _node_types(widget: Any, parameter: Parameter) -> None:
    """Let a selector offer the classes of its parameter, whatever the form says."""
    widget.nodeTypes = parameter.node_types


def _choices(widget: Any, parameter: Parameter) -> None:
    widget.clear()
    choice = parameter.validator(Choice)
    widget.addItems([member.name for member in parameter.type] if parameter.is_enum else choice.choices)


def _choose(widget: Any, value: str) -> None:
    """Choose an entry.

    Raises:
        ValueError: there is none of that name.
    """
    index = widget.findText(value)
    if index < 0:
        raise ValueError(f"Unable to find value {value} in choices")
    widget.currentIndex = index


def _set(name: str) -> Callable[[Any, Any], None]:
    return lambda widget, value: setattr(widget, name, value)


def _text(widget: Any, value: str) -> None:
    if widget.text != value:
        widget.text = value


# VTK shows what observes a node to Python's garbage collector, which would take apart a wrapper's functions that
# nothing else holds, while the node goes on calling them.
_observers: set[Callable[..., None]] = set()
_Key = tuple[str, Any]
_BINDINGS: dict[_Key, _Binding] = {
    ("QSpinBox", int): _Binding("valueChanged(int)", lambda w: w.value, _set("value"), _range),
    ("QDoubleSpinBox", float): _Binding("valueChanged(double)", lambda w: w.value, _set("value"), _range),
    ("ctkDoubleSpinBox", float): _Binding("valueChanged(double)", lambda w: w.value, _set("value"), _range),
    ("QCheckBox", bool): _Binding("toggled(bool)", lambda w: w.checked, _set("checked")),
    ("QPushButton", bool): _Binding("toggled(bool)", lambda w: w.checked, _set("checked")),
    ("QLineEdit", str): _Binding("textChanged(QString)", lambda w: w.text, _text),
    ("QTextEdit", str): _Binding(
        "textChanged()",
        lambda w: w.plainText,
        lambda w, v: setattr(w, "plainText", v) if w.plainText != v else None,
    ),
    ("QLabel", str): _Binding("", lambda w: w.text, _set("text")),
    ("ctkDirectoryButton", Path): _Binding(
        "directoryChanged(QString)", lambda w: Path(w.directory), lambda w, v: setattr(w, "directory", str(v))
    ),
    ("ctkSliderWidget", "bounded float"): _Binding("valueChanged(double)", lambda w: w.value, _set("value"), _range),
    ("QComboBox", "enum"): _Binding(
        "currentIndexChanged(int)", lambda w: w.currentText, lambda w, v: _choose(w, v.name), _choices
    ),
    ("QComboBox", "choice"): _Binding("currentIndexChanged(int)", lambda w: w.currentText, _choose, _choices),
    ("qMRMLNodeComboBox", "node"): _Binding(
        "currentNodeChanged(vtkMRMLNode*)", lambda w: w.currentNode(), lambda w, v: w.setCurrentNode(v), _node_types
    ),
}


def _binding(widget: Any, parameter: Parameter) -> _Binding:
    kind: Any = parameter.type
    if parameter.is_node:
        kind = "node"
    elif parameter.is_enum:
        kind = "enum"
    elif parameter.type is str and parameter.validator(Choice):
        kind = "choice"
    elif parameter.type is float and parameter.validator(WithinRange) and widget.className() == "ctkSliderWidget":
        kind = "bounded float"
    found = _BINDINGS.get((widget.className(), kind))
    if found is None or (widget.className() == "QPushButton" and not widget.checkable):
        raise RuntimeError(f"Unable to find connector for {widget.className()} and {parameter.name}: {parameter.type}")
    return found


def named_in(ui: Any) -> list[tuple[str, Any]]:
    """Return parameter name and widget for every widget with a SlicerParameterName."""
    pairs = []
    for widget in vars(ui).values():
        if isinstance(widget, objects.Instance) and (name := widget.property("SlicerParameterName")):
            pairs.append((name, widget))
    return pairs


def connect_gui(wrapper: Any, fields: dict[str, Parameter], pairs: list[tuple[str, Any]]) -> int:
    """Let widgets show parameters and change them.

    Returns:
        A tag for ``disconnectGui``.

    Raises:
        ValueError: there is no parameter of that name.
        RuntimeError: this widget is not known to show this type.
    """
    unknown = [name for name, _ in pairs if name not in fields]
    if unknown:
        raise ValueError(f"Cannot find a param with the given name: {unknown[0]}")
    bindings = [(name, widget, _binding(widget, fields[name])) for name, widget in pairs]
    for name, widget, binding in bindings:
        binding.prepare(widget, fields[name])
    showers = [_shower(wrapper, fields[name], widget, binding) for name, widget, binding in bindings]
    undo: list[Callable[[], Any]] = []
    for (name, widget, binding), to_widget in zip(bindings, showers, strict=True):
        to_widget()
        if binding.signal:
            keep = _keeper(wrapper, fields[name], widget, binding)
            signals.connect(widget, binding.signal, keep)
            undo.append(functools.partial(_disconnect, widget, binding.signal, keep))
    undo.append(_observe(wrapper, showers))
    tag = max(wrapper._connected, default=0) + 1
    wrapper._connected[tag] = undo
    return tag


def _observe(wrapper: Any, showers: list[Callable[[], None]]) -> Callable[[], None]:
    """Show all parameters whenever their node has changed; the function that is returned ends that.

    What the widgets say meanwhile is not heard.
    """
    node = wrapper.parameterNode

    def call(*_: Any) -> None:
        if wrapper._showing:
            return
        object.__setattr__(wrapper, "_showing", True)
        was_modifying = node.StartModify()
        try:
            for show in showers:
                show()
        finally:
            node.EndModify(was_modifying)
            object.__setattr__(wrapper, "_showing", False)

    def end() -> None:
        node.RemoveObserver(tag)
        _observers.discard(call)

    _observers.add(call)
    tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, call)
    return end


def _disconnect(widget: Any, signal: str, function: Any) -> None:
    if widget:  # it may have been deleted meanwhile
        signals.disconnect(widget, signal, function)


def _shower(wrapper: Any, parameter: Parameter, widget: Any, binding: _Binding) -> Callable[[], None]:
    def show() -> None:
        if not widget:  # deleted, and never disconnected
            return
        value = getattr(wrapper, parameter.name)
        if binding.read(widget) != value:
            binding.write(widget, value)

    return show


def _keeper(wrapper: Any, parameter: Parameter, widget: Any, binding: _Binding) -> Callable[..., None]:
    def keep() -> None:
        if wrapper._showing:
            return
        value = binding.read(widget)
        if parameter.is_enum:
            value = parameter.type[value] if value else parameter.default
        if getattr(wrapper, parameter.name) != value:
            setattr(wrapper, parameter.name, value)

    return keep
