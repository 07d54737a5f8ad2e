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
            raise ValueError(f"Value is {value!r}, but must be one of {self.choices}")


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
        self.alternatives: tuple[Any, ...] = ()
        if typing.get_origin(annotation) in (typing.Union, types.UnionType):
            self.alternatives = typing.get_args(annotation)
            inner = [part for part in self.alternatives if part is not type(None)]
            if not all(_is_node(part) for part in inner):
                raise RuntimeError(f"Unable to find serializer for {annotation}: the rig knows unions of nodes only")
            annotation = inner[0]
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

    @property
    def node_types(self) -> list[str]:
        """The classes of the nodes that it may be, as a selector is told."""
        kinds = [kind for kind in self.alternatives or (self.type,) if _is_node(kind)]
        return [kind().GetClassName() for kind in kinds]

    def validator(self, kind: type) -> Any:
        """Return the validator of one kind, or None."""
        return next((known for known in self.validators if isinstance(known, kind)), None)

    def is_in(self, node: Any) -> bool:
        """Tell whether the node keeps a value, be it None."""
        return any(node.HasParameter(name) for name in self._names())

    def read(self, node: Any) -> Any:
        """Return the value kept in the node; the default where there is none. No validator is asked.

        Raises:
            ValueError: what is kept there is not of this type.
        """
        if self.is_node:
            return next((node.GetNodeReference(name) for name in self._names() if node.HasParameter(name)), None)
        if not node.HasParameter(self.name):
            return self.default
        text = node.GetParameter(self.name)
        if self.type is bool:
            return text == "True"
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
            self._write_node(node, value)
            return
        expected = PurePath if self.type is Path else self.type
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, expected) or (self.type is int and isinstance(value, bool)):
            raise TypeError(f"Expected {self.type.__name__}, got {type(value).__name__}")
        for validator in self.validators:
            validator.check(value)
        node.SetParameter(self.name, value.name if self.is_enum else str(value))

    def _names(self) -> list[str]:
        """Return where it may be kept: one of several types under the number of its type."""
        return [f"{self.name}.{index}" for index in range(len(self.alternatives))] or [self.name]

    def _write_node(self, node: Any, value: Any) -> None:
        kinds = self.alternatives or (self.type,)
        fitting = [
            index
            for index, kind in enumerate(kinds)
            if (isinstance(value, kind) if value is not None or self.alternatives else True)
        ]
        if not fitting:
            raise TypeError(f"Expected {self.type.__name__}, got {type(value).__name__}")
        was_modifying = node.StartModify()
        name = self._names()[fitting[0]]
        for other in self._names():
            if other != name:
                node.UnsetParameter(other)
                node.RemoveNodeReferenceIDs(other)
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)
        node.EndModify(was_modifying)

    def _first(self) -> Any:
        if self.is_node:
            return None
        if self.is_enum:
            return next(iter(self.type))
        return self.type()


def _is_node(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)
