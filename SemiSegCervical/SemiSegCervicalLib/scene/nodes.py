"""The nodes of a scene by their class."""

from __future__ import annotations

from typing import Any


def is_changing(scene: Any) -> bool:
    """Return whether a scene is being read or closed: not all nodes are there, and references may name others.

    Timers fire meanwhile, and processes are heard: Slicer's progress dialog lets the event loop turn with every node
    that is added, once reading has taken a second.
    """
    return bool(scene.IsImporting() or scene.IsClosing())


def nodes_of(scene: Any, class_name: str) -> list[Any]:
    """Return the nodes of a class and of those derived from it, in the scene's order."""
    found = scene.GetNodesByClass(class_name)
    found.UnRegister(None)
    return [found.GetItemAsObject(i) for i in range(found.GetNumberOfItems())]
