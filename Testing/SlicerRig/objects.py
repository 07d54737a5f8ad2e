"""Python's side of Qt objects, as PythonQt makes it: classes without common bases, instances, their lifetime."""

from __future__ import annotations

import functools
import sys
import weakref
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from . import access, api

_rig_classes: dict[str, type] = {}
_instances: weakref.WeakValueDictionary[int, Instance] = weakref.WeakValueDictionary()
_kept: dict[int, Instance] = {}


class PythonQtClass(type):
    """The type of ``qt.QWidget`` and its like: enums, static methods and unbound methods are its attributes."""

    __qt_info__: api.ClassInfo

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return access.class_attribute(cls, name)

    def __repr__(cls) -> str:
        return f"<class '{cls.__module__}.{cls.__name__}'>"


class Instance(metaclass=PythonQtClass):
    """A Qt object as a script sees it.

    `_qt` is the PySide6 object; `_owned` tells whether it dies with this one. None: it belongs to Qt and was only
    looked up.
    """

    __slots__ = ("__weakref__", "_owned", "_qt")
    _qt: Any
    _owned: bool | None

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        if keywords:
            raise ValueError("called slot does not support kwargs")
        bind(self, access.construct(self, arguments), owned=True)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")
        return access.attribute(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        access.set_attribute(self, name, value)

    def __dir__(self) -> list[str]:
        info = type(self).__qt_info__
        return sorted({*object.__dir__(self), *info.properties, *info.methods, *info.signals, *info.enum_values})

    def __bool__(self) -> bool:
        return is_alive(self)

    def __eq__(self, other: object) -> bool:
        if other is None:
            return not is_alive(self)
        if not isinstance(other, Instance):
            return NotImplemented
        if self is other or not (is_alive(self) and is_alive(other)):
            return self is other
        return bool(self._qt is other._qt or (not type(self).__qt_info__.is_object and self._qt == other._qt))

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__} ({type(self).__qt_info__.name} at: {id(self):#x})"

    def __str__(self) -> str:
        data = getattr(self._qt, "data", None) if isinstance(self._qt, QtCore.QByteArray) else None
        return repr(data()) if data else repr(self)

    def __del__(self) -> None:
        if sys is None or sys.is_finalizing() or not is_alive(self) or self._owned is None:
            return
        if not isinstance(self._qt, QtCore.QObject):
            return
        if not self._owned or self._qt.parent() is not None:
            if is_python_subclass(type(self)):
                _keep(self)
        else:
            shiboken6.delete(self._qt)


def bind(instance: Instance, made: Any, owned: bool | None) -> None:
    """Join an instance to its PySide6 object."""
    object.__setattr__(instance, "_qt", made)
    object.__setattr__(instance, "_owned", owned)
    _instances[id(made)] = instance


def give_away(instance: Instance) -> None:
    """Note that Qt owns the object from now on, as after ``layout.addWidget``."""
    if instance._owned:
        object.__setattr__(instance, "_owned", False)


def is_alive(instance: Instance) -> bool:
    """Tell whether the C++ object exists."""
    try:
        made = object.__getattribute__(instance, "_qt")
    except AttributeError:
        return False
    return bool(shiboken6.isValid(made))


def live(instance: Instance, purpose: str) -> Any:
    """Return the PySide6 object.

    Raises:
        ValueError: it was deleted.
        AttributeError: the base class's ``__init__`` was never called.
    """
    if is_alive(instance):
        return instance._qt
    text = f"Trying to {purpose} on a destroyed {type(instance).__qt_info__.name} object"
    try:
        object.__getattribute__(instance, "_qt")
    except AttributeError:
        raise AttributeError(text) from None
    raise ValueError(text)


def wrap(made: Any) -> Instance:
    """Return the instance for a PySide6 object: the same one while a reference to it lives."""
    known = _instances.get(id(made))
    if known is not None and known._qt is made:
        return known
    for base in type(made).__mro__:
        name = vars(base).get("QT_CLASS", base.__name__)
        if api.find(name):
            cls: Any = python_class(name)
            instance: Instance = cls.__new__(cls)
            bind(instance, made, owned=None)
            return instance
    raise LookupError(f"the rig's table has no class for {type(made).__name__}; see extract_api.py")


def instance_of(made: Any) -> Instance | None:
    """Return the living instance of a PySide6 object, if there is one."""
    return _instances.get(id(made))


@functools.cache
def python_class(name: str) -> PythonQtClass:
    """Return the class PythonQt shows under this name.

    Raises:
        LookupError: the table has none.
    """
    info = api.find(name)
    if info is None:
        raise LookupError(f"the rig's table has no class {name}; see extract_api.py")
    members = {"__slots__": (), "__qt_info__": info, "__module__": info.module, "__doc__": None}
    operators = {key: access.operator(key) for key in info.methods if key.startswith("__") and key != "__nonzero__"}
    if "__eq__" in operators:
        del operators["__eq__"]
        operators.pop("__ne__", None)
    return PythonQtClass(name, (Instance,), {**members, **operators})


def is_python_subclass(cls: type) -> bool:
    """Tell whether a script derived this class; only then instances take new attributes."""
    return "__qt_info__" not in vars(cls)


def rig_class(name: str) -> Any:
    """Register the PySide6 class that does the work of a class which PySide6 does not have itself."""

    def register(cls: type) -> type:
        cls.QT_CLASS = name  # type: ignore[attr-defined]
        _rig_classes[name] = cls
        return cls

    return register


def backing(name: str) -> type | None:
    """Return the PySide6 class that does the work, or None."""
    if name in _rig_classes:
        return _rig_classes[name]
    for module in (QtWidgets, QtGui, QtCore, QtUiTools):
        if (found := getattr(module, name, None)) is not None:
            return found
    return None


def _keep(instance: Instance) -> None:
    """Let a Python subclass's instance live as long as its C++ object, with its attributes."""
    key = id(instance._qt)
    _kept[key] = instance
    _instances[key] = instance
    instance._qt.destroyed.connect(lambda *_: _kept.pop(key, None))
