"""The one place of the panel where the user is told what went wrong, and what is good to know."""

from __future__ import annotations

from typing import Any

import qt

from ..errors import SemiSegError
from .later import Later

_STYLE = (
    "QFrame#messageFrame {{ background: {}; border: 1px solid {}; border-radius: 3px; }} "
    "QLabel, QToolButton {{ color: {}; }}"
)
_ERROR_STYLE = _STYLE.format("#f8d7da", "#d9848d", "#58151c")
_WARNING_STYLE = _STYLE.format("#fff3cd", "#dcb85a", "#594300")
_NOTE_STYLE = _STYLE.format("#e7f1e7", "#9cc19c", "#1d3b1d")


class Messages:
    """Shows one message at a time, until it is closed or another comes."""

    def __init__(self, ui: Any) -> None:
        """Connect the widgets; nothing is shown."""
        self._ui = ui
        self._about: Any = None
        self._coming = Later(self._come_into_view)
        ui.messageLabel.textFormat = qt.Qt.PlainText
        ui.closeMessageButton.connect("clicked()", self.hide)
        self.hide()

    def error(self, error: SemiSegError, more: str = "", about: Any = None) -> None:
        """Show what went wrong and what helps, and a sentence more, wherever the panel is scrolled to; `look_at`
        explains `about`."""
        self._say(f"{error} {more}".rstrip(), _ERROR_STYLE, about)
        self._coming.start()

    def warning(self, text: str, about: Any = None) -> None:
        """Show what speaks against a result."""
        self._say(text, _WARNING_STYLE, about)

    def note(self, text: str, about: Any = None) -> None:
        """Show something that is good to know."""
        self._say(text, _NOTE_STYLE, about)

    def look_at(self, *shown: Any) -> None:
        """Close a message that is about another image or result than what is shown: it would be taken for a word on
        that one."""
        if self._about is not None and self._about not in shown:
            self.hide()

    def hide(self) -> None:
        """Close the message."""
        self._about = None
        self._ui.messageFrame.visible = False
        self._ui.messageLabel.text = ""

    def close(self) -> None:
        """Disconnect the widgets."""
        self._coming.close()
        self._ui.closeMessageButton.disconnect("clicked()", self.hide)

    def _say(self, text: str, style: str, about: Any) -> None:
        self._about = about
        self._ui.messageLabel.text = text
        self._ui.messageFrame.styleSheet = style
        self._ui.messageFrame.visible = True

    def _come_into_view(self) -> None:
        """Scroll to the message: what was pressed may lie far from it, and would seem to do nothing."""
        frame = self._ui.messageFrame
        area = frame.parent()
        while area is not None and not area.inherits("QScrollArea"):
            area = area.parent()
        if area is not None and frame.isVisible():
            area.ensureWidgetVisible(frame)
