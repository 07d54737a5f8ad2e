"""Being told when nodes change, at most once for each turn of the event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import slicer
import vtk

from ..scene.nodes import is_changing
from .later import Later


class Watching:
    """Observes a changing set of nodes, and calls back once however many of them have changed.

    Not while a scene is read or closed: afterwards everything is shown anew.
    """

    def __init__(self, on_change: Callable[[], None], milliseconds: int = 0) -> None:
        """Watch nothing yet.

        Args:
            on_change: called after a change, never from within it.
            milliseconds: how long after; more changes meanwhile count as one.
        """
        self._tags: dict[Any, int] = {}
        self._on_change = on_change
        self._later = Later(self._tell, milliseconds)

    def watch(self, nodes: Iterable[Any]) -> None:
        """Watch these nodes from now on, and no others; None among them is left out."""
        wanted = [node for node in nodes if node is not None]
        for node in list(self._tags):
            if node not in wanted:
                node.RemoveObserver(self._tags.pop(node))
        for node in wanted:
            if node not in self._tags:
                self._tags[node] = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._changed)

    def close(self) -> None:
        """Watch nothing any more, for good."""
        self.watch(())
        self._later.close()

    def _changed(self, *_: Any) -> None:
        self._later.start()

    def _tell(self) -> None:
        if not is_changing(slicer.mrmlScene):
            self._on_change()
