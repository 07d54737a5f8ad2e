"""What the widgets built here have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtWidgets


def stored(kind: Any, name: str, default: Any, changed: Callable[[Any], None] | None = None) -> Any:
    """Make a Qt property that keeps its value in the object; `changed` is told afterwards."""

    def get(self: Any) -> Any:
        return getattr(self, f"_{name}", default)

    def put(self: Any, value: Any) -> None:
        setattr(self, f"_{name}", value)
        if changed:
            changed(self)

    return QtCore.Property(kind, get, put)


def parent_in(arguments: tuple[Any, ...]) -> QtWidgets.QWidget | None:
    """Return the parent among the arguments of a constructor."""
    return next((argument for argument in arguments if isinstance(argument, QtWidgets.QWidget)), None)
