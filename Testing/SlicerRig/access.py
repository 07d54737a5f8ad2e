"""Attributes of Qt objects and classes, and calls, by the table: what it does not list is refused."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from PySide6 import QtCore

from . import api, conversion, objects, signals, virtual

_specials: dict[tuple[str, str], Callable[..., Any]] = {}
_READERS: dict[tuple[str, str], Callable[[Any], Any]] = {}
_KEYWORDS = {"raise": "raise_"}
# Arguments of these belong to Qt afterwards, even where the layout has no widget yet.
_PASSES_OWNERSHIP = {"addWidget", "insertWidget", "addRow", "insertRow", "addLayout", "insertLayout", "addItem"}


class EnumValue(int):
    """An enum value: an int that prints as its number."""

    __slots__ = ()


def special(cls: str, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register what a method does where it is more than the PySide6 method of that name.

    The function gets the PySide6 object (None for a static call) and the script's arguments as they are.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _specials[cls, name] = function
        return function

    return register


def reader(cls: str, name: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register how a property is read where PySide6 has none of that name; gets the PySide6 object."""

    def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        _READERS[cls, name] = function
        return function

    return register


def construct(instance: objects.Instance, arguments: Sequence[Any]) -> Any:
    """Make the PySide6 object of a new instance.

    Raises:
        ValueError: no constructor takes these arguments.
        NotImplementedError: the rig does not build this class.
    """
    cls = type(instance)
    info = cls.__qt_info__
    backing = objects.backing(info.name)
    if backing is None:
        raise NotImplementedError(f"{info.name} exists in 3D Slicer, but the rig does not build it")
    if (info.name, "") in _specials:
        return _specials[info.name, ""](backing, *arguments)
    if not info.constructors:
        raise ValueError(f"Called {info.name} constructor, but it has none")
    if objects.is_python_subclass(cls):
        backing = virtual.subclass(cls, backing)
    return call(info, info.name, info.constructors, backing, arguments, convert=False)


def attribute(instance: objects.Instance, name: str) -> Any:
    """Look up an attribute as PythonQt does: property, method, signal, enum, dynamic property, child."""
    info = type(instance).__qt_info__
    made = objects.live(instance, f"access '{name}'")
    if name in _BUILT_IN:
        return functools.partial(_BUILT_IN[name], instance)
    if name in info.properties and (info.name, name) not in _specials and not _is_method(info, name):
        return _read(info, made, info.properties[name])
    if name == "name" and info.is_object:
        return made.objectName()
    if listed := _method(info, name):
        return _bound(info, listed, instance)
    if name in info.signals:
        return signals.SignalOfObject(instance, name)
    if name in info.enum_values or name in info.enums:
        return class_attribute(type(instance), name)
    if isinstance(made, QtCore.QObject):
        if name.encode() in [bytes(known.data()) for known in made.dynamicPropertyNames()]:
            return conversion.from_qt(made.property(name))
        child = next((child for child in made.children() if name and child.objectName() == name), None)
        if child is not None:
            return objects.wrap(child)
    raise AttributeError(f"{info.name} has no attribute named '{name}'")


def set_attribute(instance: objects.Instance, name: str, value: Any) -> None:
    """Assign as PythonQt does: properties are set, anything else only on instances of Python subclasses."""
    cls = type(instance)
    info = cls.__qt_info__
    made = objects.live(instance, f"set property '{name}'")
    if _is_method(info, name):
        raise AttributeError(f"Slot '{name}' can not be overwritten on instance of {info.name}")
    if name in info.properties:
        _write(info, made, info.properties[name], value)
        return
    if name == "name" and info.is_object:
        made.setObjectName(str(value))
        return
    if objects.is_python_subclass(cls):
        object.__setattr__(instance, name, value)
        return
    for kind, known in (("Slot", info.methods), ("Signal", info.signals), ("Enum value", info.enum_values)):
        if name in known:
            raise AttributeError(f"{kind} '{name}' can not be overwritten on instance of {info.name}")
    if isinstance(made, QtCore.QObject) and name.encode() in [bytes(k.data()) for k in made.dynamicPropertyNames()]:
        made.setProperty(name, conversion.to_variant(value))
        return
    raise AttributeError(
        f"'{name}' does not exist on {info.name} and creating new attributes on C++ objects is not allowed"
    )


def class_attribute(cls: type, name: str) -> Any:
    """Look up an attribute of a class: enum value, enum, static or unbound method."""
    info: api.ClassInfo = cls.__qt_info__  # type: ignore[attr-defined]
    if name in info.enum_values:
        return EnumValue(info.enum_values[name])
    if name and name in info.enums:
        values = {key: EnumValue(value) for key, value in info.enums[name].items()}
        return type(name, (EnumValue,), {"__slots__": (), **values})
    if listed := _method(info, name):
        if any(signature.static for signature in info.methods[listed]):
            return _bound(info, listed, None)
        return _unbound(info, listed)
    raise AttributeError(f"type object '{info.name}' has no attribute '{name}'")


def call(
    scope: api.ClassInfo,
    name: str,
    signatures: Sequence[api.Signature],
    function: Callable[..., Any],
    arguments: Sequence[Any],
    convert: bool = True,
) -> Any:
    """Call with the first overload that takes the arguments.

    Raises:
        ValueError: none does.
        NotImplementedError: PySide6 refuses what PythonQt takes.
    """
    for loose in (False, True):
        for signature in signatures:
            if len(signature.arguments) != len(arguments):
                continue
            try:
                converted = [
                    conversion.to_qt(value, kind, scope, loose)
                    for value, kind in zip(arguments, signature.arguments, strict=True)
                ]
            except conversion.MismatchError:
                continue
            result = _run(f"{scope.name}.{signature.text(name)}", function, converted)
            if name in _PASSES_OWNERSHIP:
                for value in arguments:
                    if isinstance(value, objects.Instance):
                        objects.give_away(value)
            return conversion.from_qt(result) if convert else result
    shown = ", ".join(map(repr, arguments))
    if len(signatures) == 1:
        wrong = "number of arguments" if len(signatures[0].arguments) != len(arguments) else "argument types"
        raise ValueError(f"Called {signatures[0].text(name)} with wrong {wrong}: ({shown})")
    listed = "\n".join(signature.text(name) for signature in signatures)
    raise ValueError(f"Could not find matching overload for given arguments:\n({shown})\n available are:\n{listed}")


def operator(name: str) -> Callable[..., Any]:
    """Make an operator of a value class, such as ``QSize.__add__``."""

    def apply(instance: objects.Instance, *arguments: Any) -> Any:
        info = type(instance).__qt_info__
        made = objects.live(instance, f"call '{name}'")
        try:
            return call(info, name, info.methods[name], getattr(made, name), arguments)
        except ValueError:
            return NotImplemented

    return apply


def _run(what: str, function: Callable[..., Any], arguments: list[Any]) -> Any:
    try:
        return function(*arguments)
    except TypeError as error:
        if not (isinstance(function, type) or type(function).__name__ == "builtin_function_or_method"):
            raise  # of the rig's own
        raise NotImplementedError(f"{what} exists in 3D Slicer, but the rig cannot do it: {error}") from error


def _is_method(info: api.ClassInfo, name: str) -> bool:
    """Tell whether a name that is a property, too, is a method here: ``timer.singleShot``."""
    return info.name == "QTimer" and name == "singleShot"


def _method(info: api.ClassInfo, name: str) -> str | None:
    """Return the listed name of a method; ``exec_`` is listed as ``exec``."""
    if name in info.methods:
        return name
    plain = name.removesuffix("_")
    return plain if plain != name and plain in info.methods else None


def _special(info: api.ClassInfo, name: str) -> Callable[..., Any] | None:
    return next((_specials[base, name] for base in info.lineage if (base, name) in _specials), None)


def _bound(info: api.ClassInfo, name: str, instance: objects.Instance | None) -> Callable[..., Any]:
    """Make what ``instance.method`` or ``Class.static_method`` is."""
    signatures = info.methods[name]
    if instance is None:
        signatures = [signature for signature in signatures if signature.static]

    def run(*arguments: Any, **keywords: Any) -> Any:
        if keywords:
            raise ValueError("called slot does not support kwargs")
        made = objects.live(instance, f"call '{name}'") if instance is not None else None
        if found := _special(info, name):
            return found(made, *arguments)
        return call(info, name, signatures, _function(info, name, made), arguments)

    run.__name__ = name
    return run


def _unbound(info: api.ClassInfo, name: str) -> Callable[..., Any]:
    """Make what ``qt.QWidget.resizeEvent`` is: the class's own method, past any override."""

    def run(instance: objects.Instance, *arguments: Any) -> Any:
        made = objects.live(instance, f"call '{name}'")
        if found := _special(info, name):
            return found(made, *arguments)
        function = getattr(objects.backing(info.name), _KEYWORDS.get(name, name))
        return call(info, name, info.methods[name], functools.partial(function, made), arguments)

    run.__name__ = name
    return run


def _function(info: api.ClassInfo, name: str, made: Any) -> Callable[..., Any]:
    place = made if made is not None else objects.backing(info.name)
    found = getattr(place, _KEYWORDS.get(name, name), None)
    if found is None:
        raise NotImplementedError(f"{info.name}.{name} exists in 3D Slicer, but the rig does not build it")
    return found


def _read(info: api.ClassInfo, made: Any, entry: api.Property) -> Any:
    for base in info.lineage:
        if (base, entry.name) in _READERS:
            return conversion.from_qt(_READERS[base, entry.name](made))
    if not isinstance(made, QtCore.QObject):
        raise NotImplementedError(f"{info.name}.{entry.name} exists in 3D Slicer, but the rig does not build it")
    if made.metaObject().indexOfProperty(entry.name) < 0:
        if entry.name not in _looks(made):
            raise NotImplementedError(f"{info.name}.{entry.name} exists in 3D Slicer, but the rig does not build it")
        kept = made.property(entry.name)
        return _looks(made)[entry.name] if kept is None else conversion.from_qt(kept)
    # PySide6 cannot convert properties that are flags; its getters can.
    getter = getattr(type(made), entry.name, None)
    if entry.enum or "::" in entry.type:
        own = isinstance(getter, QtCore.Property)
        value = getter(made) if callable(getter) and not own else made.property(entry.name)
    else:
        value = made.property(entry.name)
    return conversion.from_qt(value)


def _write(info: api.ClassInfo, made: Any, entry: api.Property, value: Any) -> None:
    if not entry.writable:
        raise AttributeError(f"Property '{entry.name}' of {info.name} object is not writable")
    try:
        if entry.enum and not isinstance(value, int):
            raise conversion.MismatchError
        kind = entry.type.rstrip("* ")
        converted = int(value) if entry.enum else conversion.to_qt(value, kind, info, loose=True)
    except conversion.MismatchError:
        raise AttributeError(
            f"Property '{entry.name}' of type '{entry.type}' does not accept an object of type "
            f"{type(value).__name__} ({value!r})"
        ) from None
    setter = _special(info, f"set{entry.name[0].upper()}{entry.name[1:]}")
    if setter is not None:
        setter(made, value)
    elif made.metaObject().indexOfProperty(entry.name) < 0 and entry.name not in _looks(made):
        raise NotImplementedError(f"{info.name}.{entry.name} exists in 3D Slicer, but the rig does not build it")
    else:
        made.setProperty(entry.name, converted)


def _looks(made: Any) -> dict[str, Any]:
    """Return the properties of a rig's class that are only kept, with their defaults: they change what is drawn."""
    return getattr(type(made), "LOOKS", {})


def _class_name(instance: objects.Instance) -> str:
    return type(instance).__qt_info__.name


def _inherits(instance: objects.Instance, name: str) -> bool:
    return name in type(instance).__qt_info__.lineage


def _delete(instance: objects.Instance) -> None:
    import shiboken6

    shiboken6.delete(objects.live(instance, "delete"))


_BUILT_IN: dict[str, Callable[..., Any]] = {"className": _class_name, "inherits": _inherits, "delete": _delete}
