"""The table of cases: filled a little at a time, so that a scene of hundreds does not hold the application."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import qt
from SemiSegCervicalLib.panel.slices import Slices
from SemiSegCervicalLib.panel.tables import fit_height, set_headers, set_row_height
from SemiSegCervicalLib.pieces import Pieces

from .pictures import pixmap
from .rows import LEFT_OUT, MIXED, TRAINING, UNLABELLED, VALIDATION, Row

NAME, ANNOTATED, USE = range(3)
HEADERS = ("Image", "Annotated", "Use")
_TIPS = (
    "Every volume and every cine of the scene. A double click shows it in the views.",
    "How many slices, frames or segments a person has finished.",
    "What the training does with it. Validation images are never learned from: the model is measured with them. Both: "
    "it learns from some slices or frames, and is measured with the others.",
)
_LONGEST = {ANNOTATED: "8 of 88 frames", USE: UNLABELLED}
_BESIDE = {ANNOTATED: 14, USE: 34}
"""What a column holds, and the pixels beside that text: as few as possible, for the names of images need the rest."""
_ROW_HEIGHT, THUMBNAIL = 44, 44
_ROWS_SEEN = 6
# Read on a white background as well as on the dark one that Slicer takes over from the system.
_GRAY = "#808080"
_COLORS = {TRAINING: "#3a9a40", MIXED: "#3a9a40", VALIDATION: "#3f8fe0", UNLABELLED: _GRAY, LEFT_OUT: "#8a8a8a"}
_BAR = (
    "QProgressBar {{ border: 1px solid #b5b5b5; border-radius: 3px; background: white; color: #222; "
    "text-align: center; margin: 9px 4px; }} QProgressBar::chunk {{ background: {}; }}"
)
_BARS = {True: _BAR.format("#a5d6a7"), False: _BAR.format("#ffe082")}


class UseCombo(qt.QComboBox):
    """What one case is used for; the wheel scrolls the table, and changes nothing."""

    def __init__(self, on_choose: Callable[[str, str], None]) -> None:
        qt.QComboBox.__init__(self)
        self.key = ""
        self._on_choose = on_choose
        self.setFocusPolicy(qt.Qt.StrongFocus)
        self.connect("activated(int)", self._chosen)

    def wheelEvent(self, event: Any) -> None:
        """Leave the wheel to the table."""
        event.ignore()

    def show_use(self, key: str, uses: Sequence[str], use: str) -> None:
        """Offer some uses, and show one of them."""
        self.key = key
        if [self.itemText(i) for i in range(self.count)] != list(uses):
            self.clear()
            self.addItems(list(uses))
        self.currentIndex = list(uses).index(use)

    def _chosen(self, index: int) -> None:
        self._on_choose(self.key, self.itemText(index))


class CasesTable:
    """Shows rows, tells which is selected, and what the user wants to use one for."""

    def __init__(
        self,
        table: Any,
        on_use: Callable[[str, str], None],
        on_select: Callable[[], None],
        on_open: Callable[[str], None],
        thumbnail: Callable[[Row], Pieces[np.ndarray]],
    ) -> None:
        """Prepare the table.

        Args:
            table: a ``QTableWidget``.
            on_use: called with the key of a row and a use.
            on_select: called when another row is selected.
            on_open: called with the key of a row that was clicked twice.
            thumbnail: draws a row's picture, uint8 ``(H, W)``, in pieces; the same array while it has not changed.
        """
        self._table, self._on_use, self._on_select, self._on_open = table, on_use, on_select, on_open
        self._thumbnail = thumbnail
        self._slices: Slices | None = None
        self._rows: list[Row] = []
        self._shown: list[tuple[object, ...] | None] = []
        self._pictures: dict[str, np.ndarray] = {}
        self._locked = ""
        set_headers(table, HEADERS, _TIPS)
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.Fixed)
        header.setSectionResizeMode(NAME, qt.QHeaderView.Stretch)
        for column in _LONGEST:
            table.setColumnWidth(column, _text_width(table, column) + _BESIDE[column])
        table.verticalHeader().setVisible(False)
        set_row_height(table, 2, _ROW_HEIGHT)
        table.setWordWrap(False)  # a third line would not fit, and cut the name
        table.setIconSize(qt.QSize(THUMBNAIL, _ROW_HEIGHT - 4))
        self._connections: tuple[tuple[str, Callable[..., None]], ...] = (
            ("itemSelectionChanged()", self._selected),
            ("cellDoubleClicked(int,int)", self._opened),
        )
        for signal, slot in self._connections:
            table.connect(signal, slot)

    @property
    def filling(self) -> bool:
        """Whether some rows are not shown yet."""
        return self._slices is not None and self._slices.active

    @property
    def selected(self) -> str:
        """The key of the selected row; empty for none."""
        row = self._table.currentRow()
        return self._rows[row].key if 0 <= row < len(self._rows) else ""

    def show(self, rows: Sequence[Row], locked: str = "") -> None:
        """Show these rows; those that are the same already are left as they are.

        Args:
            rows: all of them.
            locked: why no use can be changed now; empty where it can.
        """
        selected = self.selected
        if self._slices is not None:
            self._slices.cancel()
        self._rows = list(rows)
        if locked != self._locked:
            self._locked = locked
            self._shown = [None] * len(self._shown)
        if len(self._shown) != len(rows):
            self._table.setRowCount(len(rows))
            self._shown = (self._shown + [None] * len(rows))[: len(rows)]
            fit_height(self._table, len(rows), 2, _ROWS_SEEN)
        for key in set(self._pictures) - {row.key for row in rows}:
            del self._pictures[key]
        self._select(selected)
        self._slices = Slices(self._steps(), self._filled)

    def close(self) -> None:
        """Stop filling, and let go of the table."""
        if self._slices is not None:
            self._slices.cancel()
        for signal, slot in self._connections:
            self._table.disconnect(signal, slot)
        self._connections = ()

    def _steps(self) -> Generator[None, None, None]:
        for number, row in enumerate(self._rows):
            if self._shown[number] != row.shown:
                self._fill(number, row)
                self._shown[number] = row.shown
                yield
        for number, row in enumerate(self._rows):
            picture = yield from self._thumbnail(row)
            item = self._table.item(number, NAME)
            if picture is not self._pictures.get(row.key) or item.data(qt.Qt.UserRole) != row.key:
                item.setIcon(qt.QIcon(pixmap(np.repeat(picture[..., None], 3, axis=-1))))
                item.setData(qt.Qt.UserRole, row.key)
                self._pictures[row.key] = picture
            yield

    def _filled(self, fault: Exception | None) -> None:
        if fault is not None:
            raise fault

    def _fill(self, number: int, row: Row) -> None:
        table = self._table
        item = table.item(number, NAME)
        fresh = item is None
        if fresh:
            item = qt.QTableWidgetItem()
            table.setItem(number, NAME, item)
        item.setText(f"{row.name}\n{row.why}")
        item.setToolTip(f"{row.name}: {row.why}")
        item.setData(qt.Qt.ForegroundRole, None)  # the colour of text of the present style
        if row.use == LEFT_OUT:
            item.setForeground(qt.QBrush(qt.QColor(_GRAY)))
        bar = qt.QProgressBar() if fresh else table.cellWidget(number, ANNOTATED)
        combo = UseCombo(self._on_use) if fresh else table.cellWidget(number, USE)
        bar.setRange(0, row.total)
        bar.setValue(row.annotated)
        bar.setFormat(table.fontMetrics().elidedText(row.amount, qt.Qt.ElideRight, _text_width(table, ANNOTATED)))
        bar.setAccessibleName(f"How much of {row.name} is annotated")
        bar.setToolTip(f"Annotated: {row.amount}")
        bar.setStyleSheet(_BARS[row.annotated == row.total])
        combo.show_use(row.key, offered_uses(row), row.use)
        combo.setEnabled(not self._locked)
        combo.setAccessibleName(f"Use of {row.name}")
        combo.setToolTip(self._locked or _TIPS[USE])
        combo.setStyleSheet(f"QComboBox {{ color: {_COLORS[row.use]}; margin: 6px 2px; }}")
        if fresh:  # last, for a bar that is seen is drawn anew at every change
            table.setCellWidget(number, ANNOTATED, bar)
            table.setCellWidget(number, USE, combo)

    def _select(self, key: str) -> None:
        number = next((n for n, row in enumerate(self._rows) if row.key == key), -1)
        if number != self._table.currentRow():
            blocked = self._table.blockSignals(True)
            self._table.setCurrentCell(number, NAME)
            self._table.blockSignals(blocked)

    def _selected(self) -> None:
        self._on_select()

    def _opened(self, number: int, _column: int) -> None:
        if number < len(self._rows):
            self._on_open(self._rows[number].key)


def _text_width(table: Any, column: int) -> int:
    return int(table.fontMetrics().horizontalAdvance(_LONGEST[column]))


def offered_uses(row: Row) -> tuple[str, ...]:
    """Return what the user can choose for a row; what it is now is among them."""
    uses = [TRAINING, VALIDATION, UNLABELLED, LEFT_OUT] if row.can_teach else [UNLABELLED, LEFT_OUT]
    if row.use not in uses:
        uses.insert(0, row.use)
    return tuple(uses)
