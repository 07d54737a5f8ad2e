"""The table of what PythonQt offers, read from ``api.json``; what is not in it does not exist for a script."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Signature:
    """One overload: the C++ types of its arguments and of its result."""

    arguments: tuple[str, ...]
    result: str
    static: bool = False

    def text(self, name: str) -> str:
        """Spell it as PythonQt does in its messages."""
        return f"{name}({', '.join(self.arguments)}) -> {self.result}"


@dataclass(frozen=True)
class Property:
    """A Qt property."""

    name: str
    type: str
    writable: bool
    enum: bool


class ClassInfo:
    """What one class offers, with what it inherits."""

    def __init__(self, name: str, entry: dict[str, Any]) -> None:
        self.name = name
        self.module: str = entry["module"]
        self.is_object: bool = entry.get("object", False)
        self.bases: tuple[str, ...] = tuple(entry.get("bases", ()))
        self.lineage: tuple[str, ...] = (name, *self.bases)
        self.constructors = [_signature(text) for text in entry.get("new", ())]
        self._entry = entry

    @functools.cached_property
    def properties(self) -> dict[str, Property]:
        """Properties by name, inherited ones included."""
        made: dict[str, Property] = {}
        for entry in reversed(self._entries):
            for name, text in entry.get("properties", {}).items():
                words = text.split(" ")
                made[name] = Property(name, words[0], "readonly" not in words[1:], "enum" in words[1:])
        return made

    @functools.cached_property
    def methods(self) -> dict[str, list[Signature]]:
        """Overloads by name, the class's own before the inherited ones."""
        made: dict[str, list[Signature]] = {}
        for entry in self._entries:
            for name, texts in entry.get("methods", {}).items():
                known = made.setdefault(name, [])
                known += [signature for text in texts if (signature := _signature(text)) not in known]
        return made

    @functools.cached_property
    def signals(self) -> dict[str, list[str]]:
        """Normalised signatures by signal name, in the order in which PythonQt tries them."""
        made: dict[str, list[str]] = {}
        for entry in self._entries:
            for text in entry.get("signals", ()):
                made.setdefault(text.partition("(")[0], []).append(normalized(text))
        return made

    @functools.cached_property
    def enums(self) -> dict[str, dict[str, int]]:
        """Enum values by enum name; flags included. The name "" holds values that belong to no listed enum."""
        made: dict[str, dict[str, int]] = {}
        for entry in reversed(self._entries):
            own = entry.get("enums", {})
            made.update({name: own[values] if isinstance(values, str) else values for name, values in own.items()})
        return made

    @functools.cached_property
    def enum_values(self) -> dict[str, int]:
        """All enum values of the class by their short names."""
        return {name: value for values in self.enums.values() for name, value in values.items()}

    @property
    def _entries(self) -> list[dict[str, Any]]:
        return [self._entry, *(_table()[base] for base in self.bases if base in _table())]


@functools.cache
def find(name: str) -> ClassInfo | None:
    """Return a class of the table, or None where PythonQt has none of that name."""
    entry = _table().get(name)
    return ClassInfo(name, entry) if entry else None


def names(module: str) -> list[str]:
    """Return the class names of one module: ``qt``, ``ctk`` or ``slicer``."""
    return [name for name, entry in _table().items() if entry["module"] == module]


def normalized(signature: str) -> str:
    """Bring a signal signature into Qt's normal form: no blanks, no const references."""
    text = re.sub(r"\s+", " ", signature.strip())
    text = re.sub(r"\bconst ([\w:<>*, ]+?) ?&", r"\1", text)
    return text.replace(" ", "")


@functools.cache
def _signature(text: str) -> Signature:
    static = text.startswith("static ")
    arguments, _, result = text.removeprefix("static ").rpartition("->")
    parts = re.split(r",(?![^<]*>)", arguments) if arguments else []
    return Signature(tuple(parts), result, static)


@functools.cache
def _table() -> dict[str, Any]:
    text = Path(__file__).with_name("api.json").read_text(encoding="utf-8")
    classes: dict[str, Any] = json.loads(text)["classes"]
    return classes
