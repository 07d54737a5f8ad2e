"""The signals that a section listens to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
