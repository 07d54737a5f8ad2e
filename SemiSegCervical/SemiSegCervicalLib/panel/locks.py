"""Controls that must rest while something runs, and say why."""

from __future__ import annotations

from typing import Any

WHY = "Wait until the segmentation is done, or cancel it."


class Locks:
    """Disables widgets and enables them again, with the tool tips that they had."""

    def __init__(self, *widgets: Any) -> None:
        """Remember the tool tips of the widgets."""
        self._widgets = [(widget, widget.toolTip) for widget in widgets]
        self._locked = False

    def set(self, locked: bool, why: str = WHY) -> None:
        """Disable all of them, saying why, or enable them."""
        if locked != self._locked:
            self._locked = locked
            for widget, tip in self._widgets:
                widget.enabled = not locked
                widget.toolTip = why if locked else tip
