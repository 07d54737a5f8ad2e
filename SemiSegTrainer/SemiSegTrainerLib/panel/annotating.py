"""The selected image: its frames, the way to it, and what a person accepts of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.connections import Connections
from SemiSegCervicalLib.panel.inputs import shown_frame
from SemiSegCervicalLib.panel.results import open_segment_editor
from SemiSegCervicalLib.panel.tables import fit_height, set_row_height
from SemiSegCervicalLib.panel.watching import Watching
from SemiSegCervicalLib.scene.layers import composites
from SemiSegCervicalLib.scene.navigation import shown_volumes
from SemiSegCervicalLib.scene.source import source_of

from ..scene.choices import chosen_use, set_use
from ..scene.marks import accepted_frames, withdraw_frame
from ..scene.outlines import show_drawn, show_outlines_of
from ..scene.places import Place
from ..scene.split import Split
from ..scene.starts import accept, accept_volume, annotation_at, begin_drawing
from ..scene.training_set import TrainingCase
from .marking import MarkingControls
from .pairing import PairingControls
from .rows import CHOSEN_USES, LEFT_OUT, TRAINING, UNLABELLED, VALIDATION, Row, accepted_note, use_of, why_of
from .showing import show_case
from .state import PanelState

_HEADERS = ("Frame", "Annotation", "Use")
_FRAMES_SEEN = 5
_TITLE_WIDTH = 280
_MILLISECONDS = 100
_AS_CINE = "As the cine"
_FRAME_USES = (TRAINING, VALIDATION, UNLABELLED, LEFT_OUT)


class AnnotatingSection:
    """Shows one row of the table of cases in detail."""

    def __init__(
        self,
        ui: Any,
        selected: Callable[[], Row | None],
        on_marked: Callable[[str], None],
        on_change: Callable[[], None],
        on_error: Callable[[SemiSegError], None],
        edit: Callable[[Any, Any], None] = open_segment_editor,
    ) -> None:
        """Connect the widgets.

        Args:
            ui: the panel's widgets.
            selected: returns the selected row.
            on_marked: called with what was done, after the scene holds another mark.
            on_change: called after the scene holds another choice.
            on_error: called with why something cannot be done.
            edit: opens the Segment Editor for a segmentation and its image.
        """
        self.ui, self._selected, self._on_marked, self._on_error = ui, selected, on_marked, on_error
        ui.frameUseComboBox.addItems([_AS_CINE, *_FRAME_USES])
        self._edit, self._on_change = edit, on_change
        self._marking = MarkingControls(ui, on_change, on_error)
        self._pairing = PairingControls(ui, on_change, on_error)
        self._state = PanelState()
        self._shown_cases: tuple[Any, ...] = ()
        self._shown_frames: list[tuple[str, str, str]] = []
        self._looked_at: Any = None
        self._connections = Connections(
            (ui.showButton, "clicked()", self._show),
            (ui.drawButton, "clicked()", self._draw),
            (ui.acceptHereButton, "clicked()", self._accept_here),
            (ui.acceptAllButton, "clicked()", self._accept_all),
            (ui.withdrawButton, "clicked()", self._withdraw),
            (ui.framesTable, "cellClicked(int,int)", self._frame_clicked),
            (ui.frameUseComboBox, "activated(int)", self._frame_use_chosen),
        )
        self._watching = Watching(self._show_buttons, _MILLISECONDS)
        table = ui.framesTable
        table.setColumnCount(len(_HEADERS))
        table.setHorizontalHeaderLabels(list(_HEADERS))
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(1, qt.QHeaderView.Stretch)
        table.verticalHeader().setVisible(False)
        set_row_height(table)
        fit_height(table, _FRAMES_SEEN)

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        ui, row = self.ui, self._selected()
        self._state = state
        ui.detailsBox.visible = row is not None
        if row is None or state.split is None:
            self._forget()
            return
        _entitle(ui.detailsBox, row.name)
        for widget in (ui.lookHost, ui.markingHost):
            widget.visible = not row.outside
        ui.framesTable.visible = row.is_cine
        if row.is_cine and self._shown_cases is not row.cases:
            self._shown_cases = row.cases
            self._fill(row, state.split)
        node = _node(row)
        cine = _is_sequence(node)
        self._watching.watch(
            [Place(node, 0).browser, *composites(slicer.mrmlScene)]
            if cine
            else slicer.util.getNodesByClass("vtkMRMLSliceNode")
        )
        self._show_buttons()
        self._show_frame_use(row)
        if not row.outside:
            self._marking.refresh(row, state.busy)
            modalities = state.training_set.modalities if state.training_set is not None else ()
            self._pairing.refresh(row, state.busy, modalities)

    def _forget(self) -> None:
        """Let go of the image that was selected: its scene may have been closed."""
        self._watching.watch(())
        self._shown_cases, self._shown_frames, self._looked_at = (), [], None
        self._marking.forget()
        self._pairing.forget()

    def node_goes(self, node: Any) -> None:
        """Choose nothing in the place of an image that is being removed."""
        self._pairing.node_goes(node)

    def close(self) -> None:
        """Disconnect the widgets, watch nothing."""
        self._connections.close()
        for part in (self._watching, self._marking, self._pairing):
            part.close()

    # -- showing --

    def _fill(self, row: Row, split: Split) -> None:
        """List the frames; of a thousand most are as they were when one was accepted, and are left alone."""
        table, before = self.ui.framesTable, self._shown_frames
        self._shown_frames = [(str(case.frame), why_of(case, split), use_of(case, split)) for case in row.cases]
        table.setRowCount(len(row.cases))
        for number, shown in enumerate(self._shown_frames):
            if number < len(before) and before[number] == shown:
                continue
            frame, why, use = shown
            for column, text in enumerate((str(number + 1), why, use)):
                item = table.item(number, column)
                if item is None:
                    item = qt.QTableWidgetItem()
                    table.setItem(number, column, item)
                item.setText(text)
                item.setToolTip(f"At {frame}: {why}")

    def _show_buttons(self) -> None:
        ui, row = self.ui, self._selected()
        if row is None:
            return
        place, busy, cine = self._place(row), self._state.busy, _is_sequence(_node(row))
        self._look_at(place)
        accepted = place is not None and place.is_frame and _is_accepted(place)
        here = ("frame" if cine else "slice") + (f" {place.number + 1}" if place is not None else "")
        picture = place is not None and place.is_picture
        ui.acceptHereButton.visible = not picture
        ui.acceptHereButton.text = f"Accept {here}"
        ui.withdrawButton.visible = cine
        ui.withdrawButton.text = f"Take back {here}"
        ui.acceptAllButton.visible = not cine
        ui.acceptAllButton.text = "Accept the picture" if picture else "Accept the whole volume"
        unseen = "Show it first: what counts has to be looked at."
        looked_at = place is not None and place.shown in shown_volumes(slicer.mrmlScene)
        why = {
            ui.acceptHereButton: busy or ("" if looked_at else unseen),
            ui.acceptAllButton: busy,
            ui.withdrawButton: busy or ("" if accepted else "It is not accepted."),
            ui.drawButton: busy or ("" if place is not None else unseen),
        }
        for button, reason in why.items():
            button.enabled = not reason
            button.toolTip = reason or self._tips[button.name]

    def _look_at(self, place: Place | None) -> None:
        """Where views begin to show the selected image: what is seen over it has to be what can be accepted of it."""
        shown = place.shown if place is not None and place.shown in shown_volumes(slicer.mrmlScene) else None
        if not self.ui.detailsBox.isVisible() or shown is self._looked_at:
            return
        self._looked_at = shown
        if place is not None and shown is not None:
            show_outlines_of(place)

    @property
    def _tips(self) -> dict[str, str]:
        return {
            "acceptHereButton": "Every outline here is right and finished: from now on the training learns from it. "
            "What is not drawn here counts as not being there.",
            "acceptAllButton": "Every outline is right and finished in the whole image.",
            "withdrawButton": "This frame counts no more; what is drawn in it stays.",
            "drawButton": "Opens the Segment Editor for this image. Come back here to accept what is drawn.",
        }

    def _show_frame_use(self, row: Row) -> None:
        """Show what the user said of the frame that is selected in the table."""
        ui, node, number = self.ui, _node(row), self.ui.framesTable.currentRow()
        one = row.is_cine and node is not None and 0 <= number < len(row.cases)
        for widget in (ui.frameUseLabel, ui.frameUseComboBox):
            widget.visible = row.is_cine and not row.outside
        ui.frameUseLabel.text = f"Use frame {number + 1}:" if one else "Use a frame:"
        ui.frameUseComboBox.accessibleName = ui.frameUseLabel.text.removesuffix(":")
        ui.frameUseComboBox.enabled = one and not self._state.busy
        ui.frameUseComboBox.toolTip = (
            self._state.busy or "What the training does with this frame." if one else "Select a frame in the table."
        )
        own = chosen_use(node, row.cases[number].frame) if one else None
        named = next((text for text in _FRAME_USES if CHOSEN_USES[text] == own), _AS_CINE)
        ui.frameUseComboBox.currentText = _AS_CINE if own is None or own == chosen_use(node) else named

    def _place(self, row: Row) -> Place | None:
        """Return the frame or slice that is looked at."""
        node = _node(row)
        if node is None:
            return None
        try:
            if not _is_sequence(node) and Place(node, 0).is_picture:
                return Place(node, 0)
            number = shown_frame(source_of(Place(node, 0).shown or node, slices_as_frames=True))
        except SemiSegError:
            return None
        return Place(node, number) if number is not None else None

    # -- doing --

    def _show(self) -> None:
        row = self._selected()
        if row is not None:
            self._show_case(row.cases[0])

    def _frame_clicked(self, number: int, _column: int) -> None:
        row = self._selected()
        if row is not None and number < len(row.cases) and not row.outside:
            self._show_case(row.cases[number])
            self._show_frame_use(row)

    def _frame_use_chosen(self, index: int) -> None:
        """The frame that is selected in the table is to be used otherwise than the rest of its cine."""
        row, number = self._selected(), self.ui.framesTable.currentRow()
        if row is not None and 0 <= number < len(row.cases):
            use = CHOSEN_USES[_FRAME_USES[index - 1]] if index > 0 else None
            if self._try(lambda: set_use(row.cases[number].id, use)):
                self._on_change()

    def _show_case(self, case: TrainingCase) -> None:
        if not show_case(case):
            cause = f'"{case.name}" cannot be shown'
            self._on_error(SemiSegError("not-shown", cause, "Add its sequence to a sequence browser", "scene"))

    def _draw(self) -> None:
        place, found = self._here(), self._state.training_set
        if place is not None:
            classes = found.classes if found is not None else ()
            self._try(lambda: self._draw_in(begin_drawing(place, classes), place))

    def _draw_in(self, segmentation: Any, place: Place) -> None:
        show_drawn(segmentation)
        self._edit(segmentation, place.shown)

    def _accept_here(self) -> None:
        place = self._here()
        if place is not None and self._try(lambda: accept(place)):
            self._on_marked(accepted_note(place))

    def _accept_all(self) -> None:
        row = self._selected()
        place = self._place(row) if row is not None else None
        picture = place if place is not None and place.is_picture else None
        if row is not None and self._try(lambda: accept(picture) if picture else accept_volume(_node(row))):
            self._on_marked(accepted_note(Place(_node(row), 0), whole=True))

    def _withdraw(self) -> None:
        place = self._here()
        if place is not None and self._try(lambda: withdraw_frame(annotation_at(place), place.index_value)):
            self._on_marked(f"{place.title} counts no more. What is drawn in it stays.")

    def _here(self) -> Place | None:
        row = self._selected()
        return self._place(row) if row is not None else None

    def _try(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except SemiSegError as error:
            self._on_error(error)
            return False
        return True


def _entitle(box: Any, name: str) -> None:
    """Give a box a title: it could not become narrower than a long one, and the whole panel with it."""
    shown = box.fontMetrics().elidedText(name, qt.Qt.ElideMiddle, _TITLE_WIDTH)
    box.title = shown.replace("&", "&&")  # a lone one would underline what follows
    box.toolTip = name if shown != name else ""


def _node(row: Row) -> Any:
    return slicer.mrmlScene.GetNodeByID(row.key)


def _is_sequence(node: Any) -> bool:
    return node is not None and bool(node.IsA("vtkMRMLSequenceNode"))


def _is_accepted(place: Place) -> bool:
    try:
        sequence = annotation_at(place)
    except SemiSegError:
        return False
    return sequence is not None and place.index_value in accepted_frames(sequence)
