"""A panel held against a table: what each control must be in each state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import application


@dataclass(frozen=True)
class Cell:
    """What one control must be; None where it does not matter, texts by a part of them."""

    enabled: bool | None = None
    visible: bool | None = None
    text: str | None = None
    tip: str | None = None


on = Cell(enabled=True, visible=True)
off = Cell(enabled=False, visible=True)
hidden = Cell(visible=False)


def shows(text: str) -> Cell:
    """Return the cell of a control that is visible and says something."""
    return Cell(visible=True, text=text)


def look(module: Any, state: str, row: Mapping[str, Cell], pictures: Path) -> None:
    """Hold a panel against a row of its table, and save what it looks like.

    Args:
        module: has ``widget`` (Slicer's) and ``panel`` (ours).
        state: what the row is called.
        row: the cells by the controls' object names.
        pictures: folder for the screenshot.
    """
    application.screenshot(module.widget.parent, pictures / f"{state.replace(' ', '-').replace(',', '')}.png")
    wrong = []
    for name, cell in row.items():
        widget = getattr(module.panel.ui, name, None) or module.panel.widget.findChild("QWidget", name)
        if widget is None:
            wrong.append(f"{name} is not there")
            continue
        if cell.enabled is not None and widget.enabled != cell.enabled:
            wrong.append(f"{name} is {'enabled' if widget.enabled else 'disabled'}")
        if cell.visible is not None and widget.isVisible() != cell.visible:
            wrong.append(f"{name} is {'visible' if widget.isVisible() else 'hidden'}")
        if cell.text is not None and cell.text not in (text := _said(widget)):
            wrong.append(f"{name} says {text!r}, not {cell.text!r}")
        if cell.tip is not None and cell.tip not in widget.toolTip:
            wrong.append(f"{name}'s tool tip is {widget.toolTip!r}, not {cell.tip!r}")
    assert not wrong, f"{state}: " + "; ".join(wrong)


def _said(widget: Any) -> str:
    return str(widget.currentText if widget.inherits("QComboBox") else getattr(widget, "text", ""))
