"""The section What to annotate next: where an annotation teaches a model most, and the way there and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.packs import find_packs
from SemiSegCervicalLib.panel.cards import read_card
from SemiSegCervicalLib.panel.connections import Connections
from SemiSegCervicalLib.panel.messages import Messages
from SemiSegCervicalLib.panel.results import open_segment_editor
from SemiSegCervicalLib.panel.tables import fit_height, set_row_height
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.worker.protocol import ModelCard

from ..scene.outlines import show_drawn
from ..scene.places import Place, find_place, name_of
from ..scene.starts import accept, put_start, shown_annotation
from ..scene.training_set import TrainingSet
from . import asking
from .asking import Idea, Suggesting, show_progress
from .jobs import Jobs
from .rows import accepted_note
from .showing import show_place
from .state import PanelState

BUSY = "Wait until the suggestions are there, or cancel them."
WHAT_FOR = (
    "The model looks at everything that is not annotated and says where an annotation would teach it most. "
    "Correct what it draws there, and accept it: only then does it count."
)
_ALL_DONE = "Everything suggested is annotated: train again, then ask again."
_WHERE_WIDTH, _GAIN_WIDTH, _WHY_WIDTH = 120, 64, 220
"""In pixels: of the bar, which would take more than it needs, and of what is left for the reasons."""


@dataclass
class Row:
    """One suggestion in the table.

    Attributes:
        idea: what the model says.
        name: what people call it.
        outside: it lies on disk, in a folder or in another scene.
        seen: the user was led there.
        accepted: it is annotated now.
    """

    idea: Idea
    name: str
    outside: bool = False
    seen: bool = False
    accepted: bool = False


class SuggestSection:
    """Asks for suggestions, lists them, and goes through them."""

    def __init__(
        self, ui: Any, jobs: Callable[[], Jobs], messages: Messages, on_change: Callable[[], None],
        on_accept: Callable[[], None], correct: Callable[[Any, Any], None] = open_segment_editor,
    ) -> None:  # fmt: skip
        """Connect the widgets.

        Args:
            ui: the widgets of ``SemiSegTrainerAfter.ui``.
            jobs: returns the module's jobs.
            messages: where the user is told what went wrong.
            on_change: called when others may have to show something new.
            on_accept: called when the scene has another annotation.
            correct: opens the Segment Editor for a segmentation and its image.
        """
        self.ui, self._jobs, self._messages = ui, jobs, messages
        self._on_change, self._on_accept, self._correct = on_change, on_accept, correct
        self._state = PanelState()
        self._cards: dict[str, ModelCard] = {}
        self._rows: list[Row] = []
        self._classes: tuple[SegmentClass, ...] = ()
        self._asking: Suggesting | None = None
        self._connections = Connections(
            (ui.askButton, "clicked()", self._ask),
            (ui.cancelSuggestingButton, "clicked()", self._cancel),
            (ui.suggestionsTable, "itemSelectionChanged()", self._selected),
            (ui.suggestionsTable, "cellDoubleClicked(int,int)", self._double_clicked),
            (ui.goThereButton, "clicked()", self._go),
            (ui.correctSuggestionButton, "clicked()", self._open_editor),
            (ui.acceptSuggestionButton, "clicked()", self._accept),
        )
        _prepare(ui.suggestionsTable)
        self.reload()

    # -- what others may ask --

    @property
    def busy(self) -> str:
        """Why everything else has to wait."""
        return BUSY if self._asking is not None and not self._asking.ended else ""

    @property
    def rows(self) -> list[Row]:
        """The suggestions, the best first."""
        return list(self._rows)

    @property
    def row(self) -> Row | None:
        """The selected suggestion."""
        number = self.ui.suggestionsTable.currentRow()
        return self._rows[number] if 0 <= number < len(self._rows) else None

    def reload(self, model: str = "") -> None:
        """Look again which models are installed, and choose one of them."""
        self._cards = {name: read_card(path) for name, path in find_packs().items()}
        if model:
            self._offer(self._state.training_set, model)

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        self._state = state
        self._offer(state.training_set, str(self.ui.suggestModelComboBox.currentText))
        self._show()

    def set_parameters(self, parameters: Any) -> None:
        """Without choices the scene is closing, and its suggestions are no more."""
        if parameters is None:
            self._cancel()
            self._rows.clear()
            self._fill()

    def close(self) -> None:
        """Let go."""
        self._cancel()
        self._connections.close()

    # -- showing --

    def _offer(self, training_set: TrainingSet | None, wanted: str) -> None:
        """List the models that know the classes of the scene; where it has none yet, those for such images."""
        combo = self.ui.suggestModelComboBox
        found = [
            name for name, card in self._cards.items()
            if training_set is not None and asking.can_suggest(card, training_set)
        ]  # fmt: skip
        if found != [combo.itemText(i) for i in range(combo.count)]:
            combo.clear()
            combo.addItems(found)
        if found:
            combo.currentIndex = found.index(wanted) if wanted in found else max(0, combo.currentIndex)

    def _show(self) -> None:
        ui, state = self.ui, self._state
        done = bool(self._rows) and all(row.accepted for row in self._rows)
        why = self._why_not()
        # What has only to be waited for is said elsewhere; a tool tip is seen only by who looks for it.
        waits = done or not state.complete or bool(state.busy) or state.training_set is None
        ui.suggestWhyLabel.text = "" if waits else why
        ui.suggestWhyLabel.visible = bool(ui.suggestWhyLabel.text)
        ui.suggestLabel.text = _ALL_DONE if done else WHAT_FOR
        ui.askButton.enabled = not why
        ui.askButton.toolTip = why or "Reads the images of the scene and lists what to annotate next."
        for widget in (ui.suggestModelComboBox, ui.suggestCountSpinBox):
            widget.enabled = not state.busy
        show_progress(ui.suggestingHost, ui.suggestingProgressBar, self._asking)
        ui.suggestionsTable.visible = ui.suggestionButtonsHost.visible = bool(self._rows)
        self._enable()

    def _why_not(self) -> str:
        state, found = self._state, self._state.training_set
        if not state.complete:
            return "Packages that compute are missing: see the top of this panel."
        if state.busy:
            return state.busy
        if found is None:
            return str(state.fault) if state.fault is not None else "The scene is being read."
        if not found.cases:
            return "The scene holds no image."
        if not found.used("unlabelled", "partly"):
            return "Everything in the scene is annotated or left out."
        if not self.ui.suggestModelComboBox.count:
            return "No model knows the segments of this scene yet: train one first."
        return ""

    def _enable(self) -> None:
        ui, row = self.ui, self.row
        none = "Choose a row of the table."
        outside = "It lies on disk, not in this scene: load it to draw in it."
        unseen = "" if row is None or row.seen else "Go there first: what counts has to be looked at."
        done = "It is accepted." if row is not None and row.accepted else ""
        why = {
            ui.goThereButton: none if row is None else outside if row.outside else "",
            ui.correctSuggestionButton: none if row is None else unseen,
            ui.acceptSuggestionButton: none if row is None else done or unseen,
        }
        tips = {
            ui.goThereButton: "Shows it in the slice views, with what the model draws there as a start.",
            ui.correctSuggestionButton: "Opens the Segment Editor, to paint and erase. Come back here to accept it.",
            ui.acceptSuggestionButton: "What is drawn there is right: from now on a training learns from it.",
        }
        for widget, reason in why.items():
            widget.enabled = not reason
            widget.toolTip = reason or tips[widget]

    def _fill(self) -> None:
        table = self.ui.suggestionsTable
        table.setRowCount(len(self._rows))
        for number, row in enumerate(self._rows):
            bar = qt.QProgressBar()
            bar.setRange(0, 100)
            bar.setValue(round(100 * min(1.0, max(0.0, row.idea.score))))
            bar.setFormat("%v %")
            bar.setAccessibleName(f"How much a model would learn from {row.name}")
            # A long name would leave no room for why; its end says which frame.
            where = table.fontMetrics().elidedText(row.name, qt.Qt.ElideMiddle, _WHERE_WIDTH)
            table.setItem(number, 0, qt.QTableWidgetItem(where))
            table.setCellWidget(number, 1, bar)
            table.setItem(number, 2, qt.QTableWidgetItem("\n".join(row.idea.reasons)))
            table.setItem(number, 3, qt.QTableWidgetItem(""))
            table.item(number, 0).setToolTip(row.name)
            table.item(number, 2).setToolTip(table.item(number, 2).text())
        self._mark()
        lines = max((sum(map(self._lines, row.idea.reasons)) for row in self._rows), default=1)
        set_row_height(table, lines)
        fit_height(table, len(self._rows))
        if self._rows:
            table.selectRow(0)

    def _lines(self, reason: str) -> int:
        """Return how many lines a reason takes in a panel of usual width."""
        return 1 + (self.ui.suggestionsTable.fontMetrics().horizontalAdvance(reason) > _WHY_WIDTH)

    def _mark(self) -> None:
        for number, row in enumerate(self._rows):
            said = "accepted" if row.accepted else "to accept" if row.seen else ""
            self.ui.suggestionsTable.item(number, 3).setText(said)

    # -- the widgets --

    def _ask(self) -> None:
        state = self._state
        card = self._cards.get(str(self.ui.suggestModelComboBox.currentText))
        if card is None or state.training_set is None or self._why_not():
            return
        self._messages.hide()
        training_set = asking.as_asked(state.training_set, card)
        self._classes = tuple(training_set.classes)
        self._asking = Suggesting(
            Path(card.path), state.device, int(self.ui.suggestCountSpinBox.value), self._jobs(), training_set,
            state.split, self._progressed, self._answered,
        )  # fmt: skip
        self._on_change()

    def _cancel(self) -> None:
        if self._asking is not None:
            self._asking.cancel()

    def _progressed(self) -> None:
        show_progress(self.ui.suggestingHost, self.ui.suggestingProgressBar, self._asking)

    def _answered(self, suggesting: Suggesting) -> None:
        if suggesting.state == asking.FAILED and suggesting.error is not None:
            self._messages.error(suggesting.error)
        if suggesting.state == asking.DONE:
            self._rows = [self._row_of(idea) for idea in suggesting.ideas]
            self._fill()
            if not self._rows:
                self._messages.note("There is nothing left to suggest.")
        self._on_change()

    def _row_of(self, idea: Idea) -> Row:
        outside = self._state.training_set.outside if self._state.training_set is not None else {}
        name = name_of(slicer.mrmlScene, idea.case, idea.slice, outside)
        return Row(idea, name, outside=idea.case in outside)

    def _selected(self) -> None:
        self._enable()

    def _double_clicked(self, number: int, _column: int) -> None:
        self.ui.suggestionsTable.selectRow(number)
        self._go()

    def _place(self, row: Row) -> Place:
        return find_place(slicer.mrmlScene, row.idea.case, row.idea.slice)

    def _go(self) -> None:
        row = self.row
        if row is None or row.outside:
            return
        try:
            place = self._place(row)
            fresh = not row.seen and put_start(place, row.idea.labels, self._classes)
            show_place(place)
        except SemiSegError as error:
            self._messages.error(error)
            return
        if fresh:
            self._messages.note(
                "What the model draws here is only a start: correct it where it is wrong, then accept it."
            )
        elif not row.seen:
            self._messages.note("Something is drawn here already, and stays as it is: complete it, then accept it.")
        row.seen = True
        self._mark()
        self._enable()
        self._on_change()

    def _open_editor(self) -> None:
        row = self.row
        if row is None:
            return
        try:
            place = self._place(row)
            show_place(place)
            annotation = shown_annotation(place)
        except SemiSegError as error:
            self._messages.error(error)
            return
        if annotation is not None:
            show_drawn(annotation)
            self._correct(annotation, place.shown)

    def _accept(self) -> None:
        row = self.row
        if row is None:
            return
        try:
            place = self._place(row)
            show_place(place)  # what is accepted is what is seen
            accept(place)
        except SemiSegError as error:
            self._messages.error(error)
            return
        row.accepted = True
        self._mark()
        following = next((number for number, other in enumerate(self._rows) if not other.accepted), None)
        if following is not None:
            self.ui.suggestionsTable.selectRow(following)
        self._messages.note(accepted_note(place))
        self._on_accept()
        self._on_change()


def _prepare(table: Any) -> None:
    header = table.horizontalHeader()
    table.setColumnCount(4)
    table.setHorizontalHeaderLabels(["Where", "Gain", "Why", ""])
    header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    header.setSectionResizeMode(1, qt.QHeaderView.Fixed)
    header.setSectionResizeMode(2, qt.QHeaderView.Stretch)
    table.setColumnWidth(1, _GAIN_WIDTH)
    set_row_height(table)
    table.horizontalHeaderItem(1).setToolTip(
        "How much an annotation there is expected to teach, compared with the best one that there could be."
    )
