"""Values on their way between Python and Qt, converted as PythonQt does it."""

from __future__ import annotations

import enum
from pathlib import PurePath
from typing import Any

import numpy as np
import shiboken6
from PySide6 import QtCore, QtGui

from . import api, objects

INTEGERS = {"int", "uint", "long", "ulong", "short", "ushort", "qlonglong", "qulonglong", "qint64", "quint64", "WId"}
FLOATS = {"double", "float", "qreal"}
_IMPLICIT: dict[str, dict[str, type]] = {
    "QBrush": {"QColor": QtGui.QBrush},
    "QPen": {"QColor": QtGui.QPen},
    "QIcon": {"QPixmap": QtGui.QIcon},
}
_SAME_AS = {"qSlicerIO::IOFileType": "QString", "qSlicerIO::IOProperties": "QVariantMap"}
_FLAGS = {"WindowFlags": "WindowType"}


class MismatchError(Exception):
    """A value that PythonQt would not take for this type."""


def to_qt(value: Any, kind: str, scope: api.ClassInfo, loose: bool) -> Any:
    """Convert a script's value for Qt.

    Args:
        value: what the script gave.
        kind: C++ type.
        scope: class in which an unscoped enum name is looked up.
        loose: PythonQt tries every overload without loose conversions first, then with them.

    Raises:
        MismatchError: the value does not fit.
        TypeError: a VTK object of another class.
    """
    kind = _SAME_AS.get(kind, kind)
    if kind in ("PyObject", "void"):
        return value
    if kind == "QVariant":
        return to_variant(value)
    if kind == "QString":
        return _string(value, loose)
    if kind == "bool":
        return _boolean(value, loose)
    if kind in INTEGERS:
        return _integer(value, loose)
    if kind in FLOATS:
        return _number(value, loose)
    if kind in ("char", "QByteArray"):
        return _bytes(value, kind, loose)
    if kind in ("QStringList", "QByteArrayList") or kind.startswith(("QList<", "QVector<")):
        return _sequence(value, kind, scope, loose)
    if kind == "QVariantMap":
        if not isinstance(value, dict):
            raise MismatchError
        return to_variant(value)
    if kind.startswith("vtk"):
        return _vtk(value, kind)
    if is_enum(kind, scope):
        return _enum(value, kind, scope)
    return _object(value, kind)


def to_variant(value: Any) -> Any:
    """Convert item data and settings: lists, bytes and keys of dictionaries change, any other object stays."""
    if isinstance(value, objects.Instance):
        return value._qt
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int) and not isinstance(value, enum.Enum):
        return int(value)
    if isinstance(value, bytes):
        return QtCore.QByteArray(value)
    if isinstance(value, (list, tuple)):
        return [to_variant(entry) for entry in value]
    if isinstance(value, dict):
        return {str(key): to_variant(entry) for key, entry in value.items()}
    return value


def from_qt(value: Any) -> Any:
    """Convert what Qt returned: enums are ints, lists tuples, objects the instances a script knows."""
    if isinstance(value, enum.Enum) and type(value).__module__.startswith("PySide6"):
        return value.value
    if isinstance(value, (list, tuple)):
        return tuple(from_qt(entry) for entry in value)
    if isinstance(value, dict):
        return {key: from_qt(entry) for key, entry in value.items()}
    if isinstance(value, shiboken6.Object):
        return objects.wrap(value)
    return value


def is_enum(kind: str, scope: api.ClassInfo) -> bool:
    """Tell whether a C++ type is an enum or a set of flags."""
    if "::" in kind:
        owner = api.find(kind.rpartition("::")[0])
        return owner is None or kind.rpartition("::")[2] in owner.enums
    return kind in scope.enums


def _string(value: Any, loose: bool) -> str:
    if isinstance(value, str):
        return str(value)
    if not loose:
        raise MismatchError
    return str(value)


def _boolean(value: Any, loose: bool) -> bool:
    if isinstance(value, (bool, np.bool_)) or loose:
        return bool(value)
    raise MismatchError


def _integer(value: Any, loose: bool) -> int:
    if isinstance(value, (int, np.integer)) and (loose or not isinstance(value, bool)):
        return int(value)
    if loose and isinstance(value, (float, np.floating, np.bool_)):
        return int(value)
    raise MismatchError


def _number(value: Any, loose: bool) -> float:
    if isinstance(value, (float, np.floating)):
        return float(value)
    if loose and isinstance(value, (int, np.integer, np.bool_)):
        return float(value)
    raise MismatchError


def _bytes(value: Any, kind: str, loose: bool) -> Any:
    if isinstance(value, objects.Instance) and isinstance(value._qt, QtCore.QByteArray):
        data = value._qt
    elif isinstance(value, (bytes, str)):
        data = QtCore.QByteArray(value if isinstance(value, bytes) else value.encode())
    elif loose and value is not None:
        data = QtCore.QByteArray(str(value).encode())
    else:
        raise MismatchError
    return data if kind == "QByteArray" else bytes(data.data()).decode()


def _sequence(value: Any, kind: str, scope: api.ClassInfo, loose: bool) -> list[Any]:
    if isinstance(value, (bytes, dict)) or not hasattr(value, "__iter__") or isinstance(value, PurePath):
        raise MismatchError
    if isinstance(value, str) and not loose:
        raise MismatchError
    inner = {"QStringList": "QString", "QByteArrayList": "QByteArray"}.get(kind)
    inner = inner or kind[kind.index("<") + 1 : kind.rindex(">")].rstrip("* ")
    return [to_qt(entry, inner, scope, True) for entry in value]


def _vtk(value: Any, kind: str) -> Any:
    if value is None:
        return None
    name = kind.rstrip("* ")
    if not hasattr(value, "IsA"):
        raise MismatchError
    if not value.IsA(name):
        raise TypeError(f"method requires a {name}, a {value.GetClassName()} was provided.")
    return value


def _enum(value: Any, kind: str, scope: api.ClassInfo) -> Any:
    if not isinstance(value, (int, np.integer)):
        raise MismatchError
    found = _pyside_enum(kind, scope)
    if found is None:
        return int(value)
    try:
        return found(int(value))
    except ValueError as error:
        raise MismatchError from error


def _pyside_enum(kind: str, scope: api.ClassInfo) -> Any:
    owner, _, name = kind.rpartition("::")
    for place in [owner] if owner else scope.lineage:
        cls = objects.backing(place)
        for spelling in (name, f"{name}Flag", name.removesuffix("s"), _FLAGS.get(name, "")):
            found = getattr(cls, spelling, None) if spelling else None
            if isinstance(found, enum.EnumMeta):
                return found
    return None


def _object(value: Any, kind: str) -> Any:
    if value is None:
        info = api.find(kind)
        # What is passed by reference cannot be missing; objects, items and models are passed as pointers.
        if info is None or info.is_object or kind.endswith(("Item", "Event")):
            return None
        raise MismatchError
    if not isinstance(value, objects.Instance):
        raise MismatchError
    name = type(value).__qt_info__.name
    if kind in type(value).__qt_info__.lineage:
        return value._qt
    if kind in _IMPLICIT and name in _IMPLICIT[kind]:
        return _IMPLICIT[kind][name](value._qt)
    raise MismatchError
