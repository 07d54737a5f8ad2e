"""Parameters of a parameter node: their types, their validators, and how they are kept as text."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from pathlib import Path, PurePath
from typing import Any

import slicer


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


def _is_node(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)


def _read_bool(text: str) -> bool:
    if text not in ("True", "False"):
        raise ValueError(f"not a bool: {text!r}")
    return text == "True"
