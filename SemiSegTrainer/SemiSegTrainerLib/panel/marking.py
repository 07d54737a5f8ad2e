"""How far the segmentation of the selected image is annotated: one choice, and the slices where it says some."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.connections import Connections
from SemiSegCervicalLib.panel.locks import Locks

from ..scene.modes import Mode, ModeNow, mode_of, set_mode
from .rows import Row

_DIFFERENT = "Differs between segments"
_TEXTS: dict[Mode, str] = {
    "whole": "The whole volume is finished",
    "painted": "Slices with paint are finished",
    "chosen": "These slices are finished:",
    "scribbles": "Scribbles: only the paint counts",
    "unfinished": "Unfinished: only the paint counts",
    "none": "Not begun: nothing counts",
}
_PICTURE: dict[Mode, str] = {
    "whole": "The picture is finished",
    "scribbles": _TEXTS["scribbles"],
    "unfinished": _TEXTS["unfinished"],
    "none": _TEXTS["none"],
}


class MarkingControls:
    """Shows and changes the mode of a volume's segmentation."""

    def __init__(self, ui: Any, on_change: Callable[[], None], on_error: Callable[[SemiSegError], None]) -> None:
        """Connect the widgets.

        Args:
            ui: the panel's widgets.
            on_change: called when the scene holds another mark.
            on_error: called with why something cannot be done.
        """
        self.ui, self._on_change, self._on_error = ui, on_change, on_error
        self._segmentation: Any = None
        self._depth = 0
        self._modes: list[Mode | None] = []
        self._wants_slices = False
        self._connections = Connections(
            (ui.modeComboBox, "activated(int)", self._mode_chosen),
            (ui.slicesLineEdit, "editingFinished()", self._slices_written),
        )
        self._locks = Locks(ui.modeComboBox, ui.slicesLineEdit)

    def refresh(self, row: Row, busy: str) -> None:
        """Show a row of the table of cases."""
        ui = self.ui
        first = row.cases[0]
        found = slicer.mrmlScene.GetNodeByID(first.segmentation or "")
        if found is None or not found.IsA("vtkMRMLSegmentationNode"):  # frames are accepted one by one
            found = None
        another = found is not self._segmentation
        self._wants_slices = self._wants_slices and not another
        self._segmentation, self._depth = found, len(row.cases) if first.frame is not None else first.shape[0]
        for widget in (ui.modeLabel, ui.modeComboBox):
            widget.visible = found is not None
        if found is None:
            ui.slicesLineEdit.visible = False
            return
        self._locks.set(bool(busy), busy)
        now = mode_of(found)
        if now.mode == "chosen":
            self._wants_slices = False
        shown = ModeNow("chosen") if self._wants_slices else now
        self._offer(_TEXTS if self._depth > 1 else _PICTURE, shown.mode)
        ui.slicesLineEdit.visible = shown.mode == "chosen"
        if another or not ui.slicesLineEdit.hasFocus():
            ui.slicesLineEdit.text = write_slices(shown.slices)

    def forget(self) -> None:
        """No row is shown any more."""
        self._segmentation = None

    def close(self) -> None:
        """Disconnect the widgets."""
        self._connections.close()

    def _offer(self, texts: dict[Mode, str], mode: Mode | None) -> None:
        combo = self.ui.modeComboBox
        modes: list[Mode | None] = list(texts)
        said = list(texts.values())
        if mode not in modes:
            modes.insert(0, mode)
            said.insert(0, _DIFFERENT if mode is None else _TEXTS[mode])
        if said != [combo.itemText(i) for i in range(combo.count)]:
            combo.clear()
            combo.addItems(said)
        combo.currentIndex = modes.index(mode)
        self._modes = modes

    def _mode_chosen(self, index: int) -> None:
        mode = self._modes[index]
        self._wants_slices = mode == "chosen"
        if mode == "chosen":  # which slices has to be written first
            self.ui.slicesLineEdit.visible = True
            self.ui.slicesLineEdit.setFocus()
        elif mode is not None and self._segmentation is not None:
            set_mode(self._segmentation, mode)
            self._on_change()

    def _slices_written(self) -> None:
        if self._segmentation is None or not (self._wants_slices or mode_of(self._segmentation).mode == "chosen"):
            return
        try:
            slices = read_slices(self.ui.slicesLineEdit.text, self._depth)
        except SemiSegError as error:
            self._on_error(error)
            return
        if slices and ModeNow("chosen", slices) != mode_of(self._segmentation):
            set_mode(self._segmentation, "chosen", slices)
            self._wants_slices = False
            self._on_change()


def read_slices(text: str, depth: int) -> tuple[int, ...]:
    """Return the slices that people wrote, from 0: "3, 8-12" are the slices 2 and 7 to 11.

    Raises:
        SemiSegError: something else was written, or a slice that the image has not.
    """
    found: set[int] = set()
    for part in filter(None, re.split(r"[,;\s]+", re.sub(r"\s*(?:-|\N{EN DASH}|to)\s*", "-", text.strip()))):
        ends = part.split("-")
        if len(ends) > 2 or not all(end.isdecimal() for end in ends):
            raise _unreadable(text, depth)
        first, last = int(ends[0]), int(ends[-1])
        if not 1 <= first <= last <= depth:
            raise _unreadable(text, depth)
        found.update(range(first - 1, last))
    return tuple(sorted(found))


def write_slices(slices: Iterable[int]) -> str:
    """Write slices, from 0, as `read_slices` reads them."""
    runs: list[list[int]] = []
    for number in slices:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0] + 1}-{run[-1] + 1}" if len(run) > 1 else f"{run[0] + 1}" for run in runs)


def _unreadable(text: str, depth: int) -> SemiSegError:
    return SemiSegError(
        "bad-slices", f'"{text.strip()}" names no slices of this image',
        f"Write numbers from 1 to {depth}, such as 3, 8-12", "scene",
    )  # fmt: skip
