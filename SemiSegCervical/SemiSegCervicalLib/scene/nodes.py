"""The nodes of a scene by their class."""

from __future__ import annotations

from typing import Any


def nodes_of(scene: Any, class_name: str) -> list[Any]:
    """Return the nodes of a class and of those derived from it, in the scene's order."""
    found = scene.GetNodesByClass(class_name)
    found.UnRegister(None)
    return [found.GetItemAsObject(i) for i in range(found.GetNumberOfItems())]
