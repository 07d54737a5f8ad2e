"""The signals that a section listens to, and the events of the scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import slicer
import vtk


class Connections:
    """Signals connected to slots, until `close`."""

    def __init__(self, *connections: tuple[Any, str, Callable[..., Any]]) -> None:
        """Connect.

        Args:
            connections: widget, signal with its types as in ``clicked()``, and slot of each.
        """
        self._connections = connections
        for widget, signal, slot in connections:
            widget.connect(signal, slot)

    def close(self) -> None:
        """Disconnect; a second time nothing happens."""
        connections, self._connections = self._connections, ()
        for widget, signal, slot in connections:
            widget.disconnect(signal, slot)


class SceneEvents:
    """Events of the open scene connected to slots, until `close`."""

    def __init__(self, slots: Mapping[int, Callable[[], None]], removed: Callable[[Any], None] | None = None) -> None:
        """Connect.

        Args:
            slots: what is called at an event of ``vtkMRMLScene``.
            removed: called with every node that is about to be removed, one after another.
        """
        self._scene = slicer.mrmlScene

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def goes(_caller: Any, _event: str, node: Any) -> None:
            if removed is not None:
                removed(node)

        self._tags = [self._scene.AddObserver(event, lambda *_, slot=slot: slot()) for event, slot in slots.items()]
        self._tags.append(self._scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, goes))

    def close(self) -> None:
        """Disconnect; a second time nothing happens."""
        while self._tags:
            self._scene.RemoveObserver(self._tags.pop())
