"""Names of widgets for those who cannot see them: what a screen reader says when one of them is reached."""

from __future__ import annotations

from typing import Any

import qt


def name_widgets(form: Any) -> None:
    """Give the widgets of a form that a label stands for, and those that have a name, its name in all their parts.

    Args:
        form: what a ``.ui`` file was loaded into.
    """
    for label in form.findChildren(qt.QLabel):
        buddy = label.buddy()
        if buddy is not None:
            name_widget(buddy, buddy.accessibleName or label.text.removesuffix(":"))


def name_widget(widget: Any, name: str) -> None:
    """Name a widget, and the parts of it that can be reached with the keyboard: of a slider with its number, or a
    selector of nodes, it is those that are read out."""
    widget.accessibleName = name
    for part in widget.findChildren(qt.QWidget):
        if part.focusPolicy != qt.Qt.NoFocus:
            part.accessibleName = name
