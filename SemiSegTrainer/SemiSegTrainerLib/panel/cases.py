"""The section Cases: which images the scene holds, and what each of them is used for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.locks import Locks
from SemiSegCervicalLib.pieces import Pieces

from .. import catalogue
from ..scene.split import Split
from ..scene.thumbnails import thumbnail_in_pieces
from ..scene.training_set import TrainingSet
from .cases_table import THUMBNAIL, CasesTable
from .rows import Row, describe, rows_of
from .showing import show_case
from .state import PanelState

_NO_PICTURE = np.zeros((36, THUMBNAIL), dtype=np.uint8)


class CasesSection:
    """Shows the training set as a table."""

    def __init__(
        self,
        ui: Any,
        on_use: Callable[[Row, str], None],
        on_propose: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        """Prepare the table.

        Args:
            ui: the panel's widgets.
            on_use: called with a row, and what the user wants to use it for.
            on_propose: called when all uses are to be proposed again.
            on_change: called when another row is selected.
        """
        self.ui, self._on_use, self._on_propose = ui, on_use, on_propose
        ui.proposeButton.connect("clicked()", on_propose)
        self._locks = Locks(ui.proposeButton)
        self._rows: dict[str, Row] = {}
        self._seen: tuple[TrainingSet | None, Split | None, str] = (None, None, "")
        self.table = CasesTable(ui.casesTable, self._chosen, on_change, self._open, _thumbnail)

    @property
    def selected(self) -> Row | None:
        """The selected row."""
        return self._rows.get(self.table.selected)

    @property
    def ids(self) -> tuple[str, ...]:
        """What `choices.set_use` is called with, of all rows."""
        return tuple(case_id for row in self._rows.values() for case_id in row.ids)

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        ui, found, split = self.ui, state.training_set, state.split
        method = catalogue.describe(state.recipe.method) if state.recipe is not None else None
        ui.casesSummaryLabel.text = describe(found, split, method)
        seen = self._seen
        if found is not seen[0] or split is not seen[1] or state.busy != seen[2]:
            self._seen = (found, split, state.busy)
            rows = rows_of(found, split) if found is not None and split is not None else []
            self._rows = {row.key: row for row in rows}
            self.table.show(rows, state.busy)
        self._locks.set(bool(state.busy), state.busy)
        for widget in (ui.casesTable, ui.proposeButton):
            widget.visible = bool(self._rows)
        ui.splitLabel.text = f"<b>Measured with:</b> {split.how}." if split is not None and self._rows else ""
        ui.splitLabel.visible = bool(ui.splitLabel.text)

    def close(self) -> None:
        """Disconnect the widgets."""
        self.ui.proposeButton.disconnect("clicked()", self._on_propose)
        self.table.close()

    def _chosen(self, key: str, use: str) -> None:
        row = self._rows.get(key)
        if row is not None and use != row.use:
            self._on_use(row, use)

    def _open(self, key: str) -> None:
        row = self._rows.get(key)
        if row is not None and not row.outside:
            show_case(row.cases[0])


def _thumbnail(row: Row) -> Pieces[np.ndarray]:
    """Draw a row: its first annotated image, else the one in the middle."""
    drawn = next((case for case in row.cases if case.read_labels is not None), row.cases[len(row.cases) // 2])
    try:
        return (yield from thumbnail_in_pieces(drawn, THUMBNAIL))
    except SemiSegError:  # a file that is not there any more; the check says so
        return _NO_PICTURE
