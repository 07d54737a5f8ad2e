"""A stand-in for ``slicer.parameterNodeWrapper``: exactly the types and widgets that it is known to connect.

Values are kept in a real ``vtkMRMLScriptedModuleNode``, so that they are saved with the scene. Types and pairs of
type and widget that are not known to work raise.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

import slicer

from .parameter_types import Choice, Default, Maximum, Minimum, Parameter, WithinRange
from .parameter_widgets import connect_gui, named_in


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
        object.__setattr__(self, "_showing", False)
        for parameter in fields.values():
            kept = parameter.read(parameterNode)  # one that cannot be read keeps the wrapper from being made
            if not parameter.is_in(parameterNode):
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
        "default": lambda self, name: _DefaultOf(fields[name].default),
        "isCached": lambda self, name: False,
        "connectGui": lambda self, ui: connect_gui(self, fields, named_in(ui)),
        "connectParametersToGui": lambda self, pairs: connect_gui(self, fields, list(pairs.items())),
        "disconnectGui": lambda self, tag: [undo() for undo in self._connected.pop(tag)] and None,
        "StartModify": lambda self: self.parameterNode.StartModify(),
        "EndModify": lambda self, was: self.parameterNode.EndModify(was),
        "AddObserver": lambda self, *arguments: self.parameterNode.AddObserver(*arguments),
        "RemoveObserver": lambda self, tag: self.parameterNode.RemoveObserver(tag),
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


def module() -> types.ModuleType:
    """Return what ``import slicer.parameterNodeWrapper`` gives."""
    made = types.ModuleType("slicer.parameterNodeWrapper")
    offered = (parameterNodeWrapper, parameterPack, WithinRange, Choice, Minimum, Maximum, Default)
    vars(made).update({known.__name__: known for known in offered})
    vars(made)["__all__"] = [known.__name__ for known in offered]
    return made
