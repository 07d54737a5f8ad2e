"""The choices that the scene remembers, bound to the widgets that show them for as long as the scene is there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from .connections import Connections
from .watching import Watching

CHOSEN_BY_USER = "nodeActivated(vtkMRMLNode*)"
"""A selector's other signal, ``currentNodeChanged``, is silent with Qt 6 where the names of both nodes are the same."""


def wrap(kind: Any, node: Any) -> Any:
    """Return the choices that a module's node holds, as a class made by Slicer's ``parameterNodeWrapper``.

    A node written by another version may hold what this one cannot read: the choices then begin anew; or what is no
    choice any more: that one does. Otherwise the module would not open with that scene.
    """
    try:
        found = kind(node)
    except Exception:
        logging.info("SemiSeg: the panel's choices in this scene are of another version and were reset")
        node.UnsetAllParameters()
        return kind(node)
    for name in kind.__annotations__:
        try:
            setattr(found, name, getattr(found, name))  # only what is written is checked
        except (TypeError, ValueError):
            logging.info('SemiSeg: the choice "%s" in this scene is of another version and was reset', name)
            setattr(found, name, found.default(name).value)
    return found


class Binding:
    """Takes the choices of the present scene, and lets them go before it is closed.

    Attributes:
        parameters: the choices; None while there are none.
    """

    def __init__(
        self,
        kind: Any,
        node: Callable[[], Any],
        ui: Any,
        on_change: Callable[[], None],
    ) -> None:
        """Take nothing yet.

        Args:
            kind: the class of the choices.
            node: returns the module's parameter node in the present scene.
            ui: the widgets; their ``SlicerParameterName`` says which choice they show.
            on_change: called once after any of the choices has changed.
        """
        self._kind, self._node, self._ui = kind, node, ui
        self._gui: Any = None
        self._selectors = Connections()
        self._watching = Watching(on_change)
        self.parameters: Any = None

    def take(self) -> bool:
        """Take the choices of the present scene, and return whether they are others than before."""
        node = self._node()
        if self.parameters is not None and self.parameters.parameterNode is node:
            return False
        self.let_go()
        self.parameters = wrap(self._kind, node)
        self._gui = self.parameters.connectGui(self._ui)
        self._selectors = Connections(
            *((widget, CHOSEN_BY_USER, partial(self._choose, name)) for name, widget in self._node_choices())
        )
        self._watching.watch([node])
        return True

    def let_go(self) -> None:
        """Let go of the choices: the scene is closed, or another one is read."""
        parameters, self.parameters = self.parameters, None
        if parameters is not None:
            self._watching.watch(())
            self._selectors.close()
            parameters.disconnectGui(self._gui)

    def close(self) -> None:
        """Let go for good."""
        self.let_go()
        self._watching.close()

    def _node_choices(self) -> list[tuple[str, Any]]:
        """Return the selectors of nodes, each with the name of its choice."""
        selectors = [widget for widget in vars(self._ui).values() if widget.inherits("qMRMLNodeComboBox")]
        return [(name, widget) for widget in selectors if (name := widget.property("SlicerParameterName"))]

    def _choose(self, name: str, node: Any) -> None:
        if self.parameters is not None and getattr(self.parameters, name) is not node:
            setattr(self.parameters, name, node)
