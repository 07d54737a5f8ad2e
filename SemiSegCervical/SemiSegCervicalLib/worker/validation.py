"""Dataclasses from what JSON gave, every field checked: a message of another version is refused, never half understood.

Standard library only: the process in which a client lives need not have more.
"""

from __future__ import annotations

import math
import types
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def build(cls: type[T], data: object) -> T:
    """Make a dataclass from a JSON object.

    Args:
        cls: a dataclass whose fields are of JSON's kinds: ``bool``, ``int``, ``float``, ``str``, ``Any``, ``Literal``,
            ``tuple[X, ...]``, ``dict[str, X]``, another dataclass, or a union of these with None.
        data: what ``json.loads`` gave.

    Raises:
        ValueError: a field is missing, unknown or of another type; the message names it.
    """
    return _build(cls, data, cls.__name__)


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: dataclasses as objects, tuples as lists, NaN and infinity as null."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _build(cls: Any, data: object, where: str) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{where} is not an object")
    known = {field.name: field for field in fields(cls)}
    strange = sorted(str(key) for key in data.keys() - known.keys())
    if strange:
        raise ValueError(f"{where} has an unknown field {strange[0]!r}")
    hints = _hints(cls)
    found = {}
    for name, field in known.items():
        if name in data:
            found[name] = _convert(hints[name], data[name], f"{where}.{name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{where}.{name} is missing")
    return cls(**found)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in get_args(hint):
            return None
        (only,) = (kind for kind in get_args(hint) if kind is not type(None))
        return _convert(only, value, where)
    if origin is Literal:
        if value in get_args(hint) and isinstance(value, str):
            return value
        raise ValueError(f"{where} is not one of {', '.join(map(str, get_args(hint)))}")
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(get_args(hint)[0], item, f"{where}[{at}]") for at, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _convert(get_args(hint)[1], item, f"{where}[{key!r}]") for key, item in value.items()}
    if origin is None and is_dataclass(hint):
        return _build(hint, value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is None and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise ValueError(f"{where} is not of the type {getattr(origin or hint, '__name__', hint)}")
