"""The section Several images: which of the scene's images are to be segmented, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer

from ..errors import SemiSegError
from ..figures import looks_unlike
from ..packs import fingerprint
from ..scene.record_figures import atypicality_of, segments_of
from ..scene.records import Record, find_records
from ..words import many
from ..worker.protocol import ModelCard
from . import batch
from .batch import first_of
from .batch_cases import Images, cases_of, offered_images
from .cards import failure_of
from .connections import Connections
from .later import Later
from .locks import WHY
from .request import make_request
from .segments_table import UNKNOWN
from .state import PanelState
from .tables import fit_height, set_headers, set_row_height

NAME, RESULT, DICE = range(3)
_HEADERS = ("Image", "Result", "Predicted Dice")
_TIPS = (
    "What is ticked is segmented. A double click, or the Enter key, shows an image and its result.",
    "What this model has made of the image.",
    "How well the model expects its outlines to agree with an expert's: of several segments the lowest. "
    "A question mark: the image looks unlike those of the training.",
)
_WORDS = {
    batch.WAITING: "waiting", batch.RUNNING: "running", batch.DONE: "done", batch.FAILED: "failed",
    batch.CANCELLED: "cancelled", batch.GONE: "",
}  # fmt: skip


@dataclass(frozen=True)
class _Row:
    ids: tuple[tuple[int, str], ...]
    name: str
    result: str
    tip: str
    dice: str
    ticked: bool

    @property
    def key(self) -> str:
        """ID of the image on whose grid the result lies."""
        return self.ids[0][1]

    def images(self) -> Images:
        """Return the nodes by the index of the modality; none where one of them is gone."""
        found = {index: slicer.mrmlScene.GetNodeByID(key) for index, key in self.ids}
        return {} if None in found.values() else found


class BatchSection:
    """Shows the images that the model can segment, and begins a batch of those that are ticked."""

    def __init__(
        self,
        ui: Any,
        chosen: Callable[[], Mapping[int, Any]],
        on_start: Callable[[list[Images]], None],
        on_open: Callable[[Images], None],
    ) -> None:
        """Connect the widgets.

        Args:
            ui: the panel's widgets.
            chosen: returns the images that are chosen above, by the index of the modality.
            on_start: called with the cases that are to be segmented.
            on_open: called with the case that the user wants to see.
        """
        self.ui, self._chosen, self._on_start, self._on_open = ui, chosen, on_start, on_open
        self._state = PanelState()
        self._rows: list[_Row] = []
        self._shown: list[_Row | None] = []
        # What the user has ticked or not, by the ID of the node; the others are ticked until they have a result.
        self._said: dict[str, bool] = {}
        self._fits: dict[str, tuple[object, bool]] = {}
        self._dice: dict[str, tuple[int, str]] = {}
        self._versions: dict[str, str] = {}
        self._earlier: set[str] = set()
        self._filling = False
        self._later = Later(self._show)
        table = ui.batchTable
        set_headers(table, _HEADERS, _TIPS)
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(NAME, qt.QHeaderView.Stretch)
        set_row_height(table)
        self._connections = Connections(
            (ui.batchButton, "contentsCollapsed(bool)", self._folded),
            (ui.batchRestButton, "clicked()", self._tick_the_rest),
            (ui.batchNoneButton, "clicked()", self._tick_none),
            (ui.batchStartButton, "clicked()", self._start),
            (table, "cellChanged(int,int)", self._ticked),
            (table, "cellActivated(int,int)", self._opened),
        )

    def set_parameters(self, _parameters: Any) -> None:
        """Forget what was known by IDs of nodes: another scene uses them again."""
        for known in (self._said, self._fits, self._dice):
            known.clear()

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        self._state = state
        self._show()

    def close(self) -> None:
        """Disconnect the widgets."""
        self._later.close()
        self._connections.close()

    # -- inside --

    def _show(self) -> None:
        state, card = self._state, self._state.card
        images = offered_images() if card is not None and failure_of(card) is None else []
        shown = card is not None and len(images) > len(card.modalities)
        self.ui.batchButton.visible = shown
        if card is None or not shown or self.ui.batchButton.collapsed:
            return
        self._said = {n.GetID(): self._said[n.GetID()] for n in images if n.GetID() in self._said}
        cases = [case for case in cases_of(card.modalities, images, self._chosen()) if self._is_fit(case, card)]
        name, version = Path(card.path).name, self._version(card)
        made = [record for record in find_records(slicer.mrmlScene) if record.run.get("pack") == name]
        newest = {record.shown_source: record for record in made if record.run.get("fingerprint") == version}
        earlier = [image for image in (record.shown_source for record in made) if image not in (None, *newest)]
        self._earlier = {image.GetID() for image in earlier}
        items = {item.node: item for item in state.batch.items} if state.batch is not None else {}
        self._rows = [self._row(case, newest.get(first_of(case)), items.get(first_of(case))) for case in cases]
        self._fill()
        ui, count, others = self.ui, sum(row.ticked for row in self._rows), len(images) - sum(map(len, cases))
        ui.batchInfoLabel.text = _left_out(others, card)
        ui.batchInfoLabel.visible = bool(others)
        word = "image" if len(card.modalities) == 1 else "case"
        ui.batchStartButton.text = f"Segment {many(count, word)}" if count else "Segment"
        why = WHY if state.busy else "" if count else "Tick the images first."
        if not state.complete and state.fault is not None:
            why = str(state.fault)
        ui.batchStartButton.enabled = not why
        ui.batchStartButton.toolTip = why or (
            "Segments one after another, with the choices above; of a cine all frames. Nothing is replaced."
        )

    def _row(self, case: Images, record: Record | None, item: batch.Item | None) -> _Row:
        ids = tuple((index, case[index].GetID()) for index in sorted(case))
        result = "there" if record is not None else "none"
        tip = "This model has segmented it already." if record is not None else "Not segmented by this model yet."
        if ids[0][1] in self._earlier:
            tip = "Another version of this model has segmented it, this one has not."
        if item is not None and (item.state != batch.DONE or record is not None):
            result = _WORDS[item.state] or result
            if item.error is not None:
                tip = str(item.error)
            elif item.doubts:
                tip = " ".join(f"{text.rstrip('.')}." for text in item.doubts)
        ticked = self._said.get(ids[0][1], record is None)
        return _Row(ids, batch.name_of(case), result, tip, self._dice_of(record), ticked)

    def _is_fit(self, case: Images, card: ModelCard) -> bool:
        stack, key = bool(self.ui.slicesAsFramesCheckBox.checked), first_of(case).GetID()
        content = [(index, node.GetID(), node.GetImageData()) for index, node in case.items()]
        sizes = [(*named, image.GetDimensions() if image is not None else None) for *named, image in content]
        facts = (card.path, card.signature, stack, sizes)
        known, fits = self._fits.get(key, (None, False))
        if known != facts:
            try:
                make_request(card, case, slices_as_frames=stack)
                fits = True
            except SemiSegError:
                fits = False
            self._fits[key] = facts, fits
        return fits

    def _version(self, card: ModelCard) -> str:
        """Return what results of the version of a model that is in use are known by."""
        if card.signature not in self._versions:
            try:
                self._versions = {card.signature: fingerprint(Path(card.path))}
            except OSError:  # it is gone, which who begins is told
                return ""
        return self._versions[card.signature]

    def _dice_of(self, record: Record | None) -> str:
        if record is None:
            return UNKNOWN
        key, changed = record.table.GetID(), record.table.GetMTime()
        if self._dice.get(key, (None, ""))[0] != changed:
            self._dice[key] = changed, _lowest(record)
        return self._dice[key][1]

    def _fill(self) -> None:
        table = self.ui.batchTable
        self._filling = True
        try:
            if table.rowCount != len(self._rows):
                table.setRowCount(len(self._rows))
                self._shown = (self._shown + [None] * len(self._rows))[: len(self._rows)]
                fit_height(table, len(self._rows), fewest=2)
            for number, row in enumerate(self._rows):
                if self._shown[number] == row:
                    continue
                self._shown[number] = row
                for column, text in enumerate((row.name, row.result, row.dice)):
                    item = table.item(number, column)
                    if item is None:
                        item = qt.QTableWidgetItem()
                        if column == DICE:
                            item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                        table.setItem(number, column, item)
                    item.setText(text)
                    if column == NAME:
                        item.setCheckState(qt.Qt.Checked if row.ticked else qt.Qt.Unchecked)
                    item.setToolTip(row.name if column == NAME else row.tip if column == RESULT else _TIPS[DICE])
        finally:
            self._filling = False

    def _folded(self, _collapsed: bool) -> None:
        self._show()

    def _ticked(self, number: int, column: int) -> None:
        if not self._filling and column == NAME and number < len(self._rows):
            on = self.ui.batchTable.item(number, NAME).checkState() == qt.Qt.Checked
            self._said[self._rows[number].key] = on
            self._shown[number] = None
            self._later.start()  # not from within the table's own signal

    def _tick_the_rest(self) -> None:
        self._said.clear()
        self._show()

    def _tick_none(self) -> None:
        self._said = {row.key: False for row in self._rows}
        self._show()

    def _start(self) -> None:
        ticked = [images for row in self._rows if row.ticked and (images := row.images())]
        self._said.clear()
        self._on_start(ticked)

    def _opened(self, number: int, _column: int) -> None:
        images = self._rows[number].images() if number < len(self._rows) else {}
        if images:
            self._on_open(images)


def _left_out(count: int, card: ModelCard) -> str:
    """Say why some images are in no row, and what helps."""
    if len(card.modalities) == 1:
        return f"Not listed: {many(count, 'image')} that the model cannot read."
    return (
        f"Not listed: {many(count, 'image')}. Choose the images of one patient above: those of the others are found by "
        "names that differ in the same words."
    )


def _lowest(record: Record) -> str:
    found = [figures.predicted_dice for figures in segments_of(record) if figures.predicted_dice is not None]
    if not found:
        return UNKNOWN
    return f"{min(found):.2f}{' ?' if looks_unlike(atypicality_of(record)) else ''}"
