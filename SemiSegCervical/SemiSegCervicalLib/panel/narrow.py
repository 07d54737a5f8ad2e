"""How narrow a panel may become beside Slicer's views."""

from __future__ import annotations

from typing import Any

import qt


def may_be_narrow(widget: Any) -> None:
    """Let a module's widget become as narrow as its contents can be.

    Slicer wants it as wide as it would like to be, each time that the module is opened, and CTK wants the same of each
    section: whatever is said in more than a few words, such as an error, would widen the whole panel, and take its
    width from the views. A text that wraps wants to be as wide as its longest word, which may be the name of a file:
    such a word is cut at the panel's edge instead.

    Args:
        widget: Slicer's, which holds the panel.
    """
    for part in (widget, *widget.findChildren("ctkCollapsibleButton")):
        part.setSizePolicy(qt.QSizePolicy.Preferred, part.sizePolicy.verticalPolicy())
    for label in widget.findChildren("QLabel"):
        if label.wordWrap:
            policy = label.sizePolicy
            policy.setHorizontalPolicy(qt.QSizePolicy.Ignored)
            label.setSizePolicy(policy)
