"""A stand-in for ``slicer.parameterNodeWrapper``: exactly the types and widgets that it is known to connect.

Values are kept in a real ``vtkMRMLScriptedModuleNode``, so that they are saved with the scene. Types and pairs of
type and widget that are not known to work raise.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import slicer
import vtk

from . import objects, signals


@dataclasses.dataclass(frozen=True)
class WithinRange:
    """The value must lie between two ends, which belong to the range."""

    minimum: float
    maximum: float

    def check(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


@dataclasses.dataclass(frozen=True)
class Choice:
    """The value must be one of these."""

    choices: list[Any]

    def check(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value must be one of {self.choices}, is {value!r}")


@dataclasses.dataclass(frozen=True)
class Minimum:
    """The value must not be less."""

    minimum: float

    def check(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


@dataclasses.dataclass(frozen=True)
class Maximum:
    """The value must not be more."""

    maximum: float

    def check(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


@dataclasses.dataclass(frozen=True)
class Default:
    """The value before anything is set."""

    value: Any


class Parameter:
    """One parameter: its type, validators and default, and how it is kept as text."""

    def __init__(self, name: str, annotation: Any, default: Any) -> None:
        self.name = name
        self.validators: list[Any] = []
        if typing.get_origin(annotation) is typing.Annotated:
            annotation, *notes = typing.get_args(annotation)
            self.validators = [note for note in notes if hasattr(note, "check")]
            default = next((note.value for note in notes if isinstance(note, Default)), default)
        self.optional = False
        if typing.get_origin(annotation) in (typing.Union, types.UnionType):
            inner = [part for part in typing.get_args(annotation) if part is not type(None)]
            if len(inner) != 1 or not _is_node(inner[0]):
                raise RuntimeError(f"Unable to find serializer for {annotation}: the rig knows Optional of nodes only")
            self.optional, annotation = True, inner[0]
        self.type = annotation
        known = annotation in (int, float, bool, str, Path) or _is_node(annotation) or self.is_enum
        if not known:
            raise RuntimeError(f"Unable to find serializer for {annotation}: the rig does not know this type")
        self.default = self._first() if default is dataclasses.MISSING else default

    @property
    def is_enum(self) -> bool:
        return isinstance(self.type, type) and issubclass(self.type, enum.Enum)

    @property
    def is_node(self) -> bool:
        return _is_node(self.type)

    def validator(self, kind: type) -> Any:
        """Return the validator of one kind, or None."""
        return next((known for known in self.validators if isinstance(known, kind)), None)

    def read(self, node: Any) -> Any:
        """Return the value kept in the node; the default where there is none.

        Raises:
            ValueError: what is kept there is not of this type.
        """
        if self.is_node:
            return node.GetNodeReference(self.name)
        if not node.HasParameter(self.name):
            return self.default
        text = node.GetParameter(self.name)
        if self.type is bool:
            return _read_bool(text)
        if self.is_enum:
            return self.type[text]
        return self.type(text)

    def write(self, node: Any, value: Any) -> None:
        """Check a value and keep it.

        Raises:
            TypeError: it is of another type.
            ValueError: a validator refuses it.
        """
        if self.is_node:
            if value is not None and not isinstance(value, self.type):
                raise TypeError(f"Expected {self.type.__name__}, got {type(value).__name__}")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            return
        expected = PurePath if self.type is Path else self.type
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, expected) or (self.type is int and isinstance(value, bool)):
            raise TypeError(f"Expected {self.type.__name__}, got {type(value).__name__}")
        for validator in self.validators:
            validator.check(value)
        node.SetParameter(self.name, value.name if self.is_enum else str(value))

    def _first(self) -> Any:
        if self.is_node:
            return None
        if self.is_enum:
            return next(iter(self.type))
        if choice := self.validator(Choice):
            return choice.choices[0]
        if within := self.validator(WithinRange):
            return self.type(min(max(0, within.minimum), within.maximum))
        return self.type()


def parameterPack(cls: type) -> type:
    """Make a class of annotated fields a group of parameters."""
    cls._is_parameter_pack = True  # type: ignore[attr-defined]
    return cls


def parameterNodeWrapper(cls: type) -> type:
    """Make a class of annotated fields a typed view of a parameter node."""
    fields, packs = _fields(cls, "")

    def __init__(self: Any, parameterNode: Any) -> None:
        if not isinstance(parameterNode, slicer.vtkMRMLScriptedModuleNode):
            raise TypeError(f"Expected vtkMRMLScriptedModuleNode, got {type(parameterNode).__name__}")
        object.__setattr__(self, "parameterNode", parameterNode)
        object.__setattr__(self, "_connected", {})
        for name, parameter in fields.items():
            kept = parameter.read(parameterNode)  # one that cannot be read keeps the wrapper from being made
            if not parameter.is_node and not parameterNode.HasParameter(name):
                parameter.write(parameterNode, kept)
        for name, members in packs.items():
            object.__setattr__(self, name, _PackView(self, name, members))

    def __getattr__(self: Any, name: str) -> Any:
        if name in fields:
            return fields[name].read(self.parameterNode)
        raise AttributeError(f"{cls.__name__} has no attribute '{name}'")

    def __setattr__(self: Any, name: str, value: Any) -> None:
        if name in fields:
            fields[name].write(self.parameterNode, value)
        else:
            object.__setattr__(self, name, value)

    plain = {key: value for key, value in vars(cls).items() if key not in fields and key not in packs}
    plain = {key: value for key, value in plain.items() if key not in ("__dict__", "__weakref__")}
    members = {
        **plain,
        "__init__": __init__,
        "__getattr__": __getattr__,
        "__setattr__": __setattr__,
        "allParameters": property(lambda self: {name: p.type for name, p in fields.items()}),
        "default": lambda self, name: _DefaultOf(fields[name].default),
        "validate": lambda self, name, value: [known.check(value) for known in fields[name].validators],
        "isCached": lambda self, name: False,
        "connectGui": lambda self, ui: _connect_gui(self, fields, _named_in(ui)),
        "connectParametersToGui": lambda self, pairs: _connect_gui(self, fields, list(pairs.items())),
        "disconnectGui": lambda self, tag: [undo() for undo in self._connected.pop(tag)] and None,
        "StartModify": lambda self: self.parameterNode.StartModify(),
        "EndModify": lambda self, was: self.parameterNode.EndModify(was),
        "AddObserver": lambda self, *arguments: self.parameterNode.AddObserver(*arguments),
        "RemoveObserver": lambda self, tag: self.parameterNode.RemoveObserver(tag),
        "Modified": lambda self: self.parameterNode.Modified(),
    }
    return type(cls.__name__, cls.__bases__, members)


@dataclasses.dataclass
class _DefaultOf:
    value: Any


class _PackView:
    """``node.pack``: its fields are parameters of the node."""

    def __init__(self, owner: Any, name: str, members: list[str]) -> None:
        object.__setattr__(self, "_of", (owner, name, members))

    def __getattr__(self, field: str) -> Any:
        owner, name, members = object.__getattribute__(self, "_of")
        if field not in members:
            raise AttributeError(field)
        return getattr(owner, f"{name}.{field}")

    def __setattr__(self, field: str, value: Any) -> None:
        owner, name, members = object.__getattribute__(self, "_of")
        if field not in members:
            raise AttributeError(field)
        setattr(owner, f"{name}.{field}", value)


def _fields(cls: type, prefix: str) -> tuple[dict[str, Parameter], dict[str, list[str]]]:
    """Return the parameters by full name, and the field names of each pack."""
    fields: dict[str, Parameter] = {}
    packs: dict[str, list[str]] = {}
    for name, annotation in typing.get_type_hints(cls, include_extras=True).items():
        if getattr(annotation, "_is_parameter_pack", False):
            inner, deeper = _fields(annotation, f"{name}.")
            if deeper:
                raise RuntimeError("the rig does not know packs within packs")
            fields.update(inner)
            packs[name] = [full.partition(".")[2] for full in inner]
        else:
            default = vars(cls).get(name, dataclasses.MISSING)
            fields[prefix + name] = Parameter(prefix + name, annotation, default)
    return fields, packs


def _is_node(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)


def _read_bool(text: str) -> bool:
    if text not in ("True", "False"):
        raise ValueError(f"not a bool: {text!r}")
    return text == "True"


# Widgets


@dataclasses.dataclass
class _Binding:
    """How a widget shows a parameter: signal, reading, writing, and preparing."""

    signal: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]
    prepare: Callable[[Any, Parameter], None] = lambda widget, parameter: None


def _range(widget: Any, parameter: Parameter) -> None:
    if within := parameter.validator(WithinRange):
        widget.minimum, widget.maximum = within.minimum, within.maximum


def _choices(widget: Any, parameter: Parameter) -> None:
    widget.clear()
    choice = parameter.validator(Choice)
    widget.addItems([member.name for member in parameter.type] if parameter.is_enum else choice.choices)


def _set(name: str) -> Callable[[Any, Any], None]:
    return lambda widget, value: setattr(widget, name, value)


def _text(widget: Any, value: str) -> None:
    if widget.text != value:
        widget.text = value


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
    ("ctkPathLineEdit", Path): _Binding(
        "currentPathChanged(QString)", lambda w: Path(w.currentPath), lambda w, v: setattr(w, "currentPath", str(v))
    ),
    ("ctkDirectoryButton", Path): _Binding(
        "directoryChanged(QString)", lambda w: Path(w.directory), lambda w, v: setattr(w, "directory", str(v))
    ),
    ("ctkSliderWidget", "bounded float"): _Binding("valueChanged(double)", lambda w: w.value, _set("value"), _range),
    ("QComboBox", "enum"): _Binding(
        "currentTextChanged(QString)", lambda w: w.currentText, lambda w, v: setattr(w, "currentText", v.name), _choices
    ),
    ("QComboBox", "choice"): _Binding(
        "currentTextChanged(QString)", lambda w: w.currentText, _set("currentText"), _choices
    ),
    ("qMRMLNodeComboBox", "node"): _Binding(
        "currentNodeChanged(vtkMRMLNode*)", lambda w: w.currentNode(), lambda w, v: w.setCurrentNode(v)
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


def _named_in(ui: Any) -> list[tuple[str, Any]]:
    """Return parameter name and widget for every widget with a SlicerParameterName."""
    pairs = []
    for widget in vars(ui).values():
        if isinstance(widget, objects.Instance) and (name := widget.property("SlicerParameterName")):
            pairs.append((name, widget))
    return pairs


def _connect_gui(wrapper: Any, fields: dict[str, Parameter], pairs: list[tuple[str, Any]]) -> int:
    unknown = [name for name, _ in pairs if name not in fields]
    if unknown:
        raise ValueError(f"Cannot find parameter named {unknown[0]}")
    bindings = [(name, widget, _binding(widget, fields[name])) for name, widget in pairs]
    undo: list[Callable[[], Any]] = []
    for name, widget, binding in bindings:
        binding.prepare(widget, fields[name])
        to_widget = _shower(wrapper, fields[name], widget, binding)
        to_widget()
        tag = wrapper.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_, show=to_widget: show())
        undo.append(functools.partial(wrapper.parameterNode.RemoveObserver, tag))
        if binding.signal:
            keep = _keeper(wrapper, fields[name], widget, binding)
            signals.connect(widget, binding.signal, keep)
            undo.append(functools.partial(_disconnect, widget, binding.signal, keep))
    tag = max(wrapper._connected, default=0) + 1
    wrapper._connected[tag] = undo
    return tag


def _disconnect(widget: Any, signal: str, function: Any) -> None:
    if widget:  # it may have been deleted meanwhile
        signals.disconnect(widget, signal, function)


def _shower(wrapper: Any, parameter: Parameter, widget: Any, binding: _Binding) -> Callable[[], None]:
    def show() -> None:
        value = getattr(wrapper, parameter.name)
        if bool(widget) and binding.read(widget) != value:
            binding.write(widget, value)

    return show


def _keeper(wrapper: Any, parameter: Parameter, widget: Any, binding: _Binding) -> Callable[..., None]:
    def keep() -> None:
        value = binding.read(widget)
        if parameter.is_enum:
            value = parameter.type[value] if value else parameter.default
        if getattr(wrapper, parameter.name) != value:
            setattr(wrapper, parameter.name, value)

    return keep


def module() -> types.ModuleType:
    """Return what ``import slicer.parameterNodeWrapper`` gives."""
    made = types.ModuleType("slicer.parameterNodeWrapper")
    offered = (parameterNodeWrapper, parameterPack, WithinRange, Choice, Minimum, Maximum, Default)
    vars(made).update({known.__name__: known for known in offered})
    vars(made)["__all__"] = [known.__name__ for known in offered]
    return made
