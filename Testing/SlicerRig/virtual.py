"""Python subclasses of Qt classes: overridden event handlers are called by Qt, ``qt.Signal`` members are signals."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

from . import conversion, objects, signals


@functools.cache
def subclass(cls: type, backing: type) -> type:
    """Derive the PySide6 class whose virtual methods call those which a script's class overrides."""
    info = cls.__qt_info__  # type: ignore[attr-defined]
    members: dict[str, Any] = {"QT_CLASS": info.name}
    for base in cls.__mro__:
        if not objects.is_python_subclass(base) or base is object:
            break
        for name, value in vars(base).items():
            if isinstance(value, signals.Signal):
                members.setdefault(name, QtCore.Signal(*value.types))
            elif callable(value) and (name in info.methods or name in info.properties) and hasattr(backing, name):
                members.setdefault(name, _override(name, backing))
    return type(cls.__name__, (backing,), members)


def _override(name: str, backing: type) -> Callable[..., Any]:
    original = getattr(backing, name)

    def override(made: Any, *arguments: Any) -> Any:
        instance = objects.instance_of(made)
        if instance is None:  # Qt is still constructing, or already taking apart
            return original(made, *arguments)
        function = getattr(instance, name)
        values = [conversion.from_qt(argument) for argument in arguments]
        result = signals.run(function, values)
        if result is signals.FAILED:
            return original(made, *arguments)
        return conversion.to_variant(result)

    override.__name__ = name
    return override
