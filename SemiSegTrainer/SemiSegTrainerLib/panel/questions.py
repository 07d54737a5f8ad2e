"""The questions that only the user can answer: which class a segment is. Nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import qt
from SemiSegCervicalLib.panel.run import BANNER_STYLE
from SemiSegCervicalLib.panel.tables import fit_height, set_row_height
from SemiSegCervicalLib.scene.classes import name_key
from SemiSegCervicalLib.words import many

from ..scene.classes import Conflict, SegmentKey
from .state import PanelState

_ROW_HEIGHT, _ROWS_SEEN = 44, 4
_CASES_NAMED = 2
ASK = "Choose ..."


class QuestionsSection:
    """A table with a row for each open question; hidden while there is none."""

    def __init__(self, ui: Any, on_answer: Callable[[SegmentKey, str], None], on_forget: Callable[[], None]) -> None:
        """Prepare the table.

        Args:
            ui: the panel's widgets.
            on_answer: called with a segment and the name of its class; an empty name leaves it out.
            on_forget: called when all questions are to be asked again.
        """
        self.ui, self._on_answer, self._on_forget = ui, on_answer, on_forget
        self._shown: tuple[tuple[Conflict, ...], str] | None = None
        table = ui.questionsTable
        table.setColumnCount(2)
        table.setHorizontalHeaderLabels(["This segment", "is the class"])
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.Fixed)
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        table.setColumnWidth(1, 170)
        table.verticalHeader().setVisible(False)
        set_row_height(table, 2, _ROW_HEIGHT)
        ui.questionsLabel.styleSheet = BANNER_STYLE
        ui.askAgainButton.connect("clicked()", on_forget)

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        ui = self.ui
        conflicts = tuple(state.training_set.conflicts) if state.training_set is not None else ()
        ui.questionsHost.visible = bool(conflicts)
        ui.askAgainButton.visible = bool(state.answers)
        ui.askAgainButton.text = f"Ask again about {many(len(state.answers), 'segment')}"
        ui.askAgainButton.enabled = not state.busy
        ui.askAgainButton.toolTip = state.busy or _told(state.answers)
        if (conflicts, state.busy) != self._shown:
            self._shown = (conflicts, state.busy)
            self._fill(conflicts, state.busy)

    def close(self) -> None:
        """Disconnect the widgets."""
        self.ui.askAgainButton.disconnect("clicked()", self._on_forget)

    def _fill(self, conflicts: tuple[Conflict, ...], busy: str) -> None:
        table = self.ui.questionsTable
        table.setRowCount(0)
        table.setRowCount(len(conflicts))
        for row, conflict in enumerate(conflicts):
            item = qt.QTableWidgetItem(f'"{conflict.name}"\n{_where(conflict)}')
            item.setToolTip(f"{conflict.question} In: {', '.join(conflict.cases)}")
            table.setItem(row, 0, item)
            combo = qt.QComboBox()
            combo.addItems([ASK, *conflict.candidates, _own(conflict), "Leave it out"])
            combo.setEnabled(not busy)
            combo.setAccessibleName(conflict.question)
            combo.setToolTip(busy or conflict.question)
            combo.connect("activated(int)", partial(self._answered, conflict))
            table.setCellWidget(row, 1, combo)
        fit_height(table, len(conflicts), most=_ROWS_SEEN)

    def _answered(self, conflict: Conflict, index: int) -> None:
        answers = [*conflict.candidates, own_name(conflict), ""]
        if index > 0:
            self._on_answer(conflict.key, answers[index - 1])


def own_name(conflict: Conflict) -> str:
    """Return the name of a class of its own: the segment's, unless another class has it."""
    taken = {name_key(name) for name in conflict.candidates}
    name, count = conflict.name, 1
    while name_key(name) in taken:
        count += 1
        name = f"{conflict.name} {count}"
    return name


def _own(conflict: Conflict) -> str:
    return f'A class of its own, "{own_name(conflict)}"'


def _where(conflict: Conflict) -> str:
    named = ", ".join(conflict.cases[:_CASES_NAMED])
    more = len(conflict.cases) - _CASES_NAMED
    return f"in {named}" + (f" and {more} more" if more > 0 else "")


def _told(answers: Mapping[SegmentKey, str]) -> str:
    return "You said: " + "; ".join(
        f'"{key.name}" is "{answer}"' if answer else f'"{key.name}" is left out' for key, answer in answers.items()
    )
