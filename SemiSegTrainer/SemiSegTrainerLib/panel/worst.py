"""The worst cases of a model as pictures; each is a button that leads to its case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import Any

import qt
from SemiSegCervicalLib.panel.segments_table import UNKNOWN

from .asking import Worst
from .pictures import WHITE, Color, draw, pixmap

COLUMNS = 2
_BOX = (168, 168)
_TIP = "Click to go there in the slice views."


class WorstCases:
    """Shows pictures in a grid."""

    def __init__(self, host: Any, label: Any, on_go: Callable[[Worst], None]) -> None:
        """Show nothing yet.

        Args:
            host: a widget with a grid layout.
            label: where colours are explained.
            on_go: called with the case that was clicked.
        """
        self._host, self._label, self._on_go = host, label, on_go
        self._buttons: list[tuple[Any, Callable[[], None]]] = []

    def show(
        self, found: Sequence[Worst], name_of: Callable[[Worst], str], classes: Sequence[tuple[str, Color]]
    ) -> None:
        """Show cases.

        Args:
            found: the cases, the worst first.
            name_of: returns what people call a case.
            classes: name and colour of the values 1, 2, 3.
        """
        self.clear()
        colors = [color for _, color in classes]
        for place, worst in enumerate(found):
            outlines = [(worst.reference, WHITE), (worst.labels, colors)]
            picture = pixmap(draw(worst.image, outlines, aspect=worst.found.aspect, box=_BOX))
            button = qt.QToolButton()
            button.setAutoRaise(True)
            button.setToolButtonStyle(qt.Qt.ToolButtonTextUnderIcon)
            button.setIcon(qt.QIcon(picture))
            button.setIconSize(picture.size())
            name, dice = name_of(worst), f": Dice {_dice(worst.found.dice)}"
            # No wider than the picture: a long name would widen the whole panel.
            metrics = button.fontMetrics()
            shown = metrics.elidedText(name, qt.Qt.ElideMiddle, _BOX[0] - metrics.horizontalAdvance(dice))
            button.setText(f"{shown}{dice}".replace("&", "&&"))  # a lone one would underline what follows
            button.setToolTip(f"{name}{dice}. {_TIP}")
            slot = partial(self._on_go, worst)
            button.connect("clicked()", slot)
            self._host.layout().addWidget(button, place // COLUMNS, place % COLUMNS)
            self._buttons.append((button, slot))
        swatches = ", ".join(f'<span style="color:{_hex(c)}">&#9632;</span>&nbsp;{escape(n)}' for n, c in classes)
        self._label.text = f"White: what was annotated. In colour: what the model draws ({swatches})." if found else ""

    def clear(self) -> None:
        """Show nothing."""
        for button, slot in self._buttons:
            button.disconnect("clicked()", slot)
            self._host.layout().removeWidget(button)
            button.hide()
            button.deleteLater()
        self._buttons.clear()
        self._label.text = ""


def _dice(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"


def _hex(color: Color) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in color)
