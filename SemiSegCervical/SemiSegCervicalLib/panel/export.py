"""The section Export: one result or all of them into files, in pieces, never over an existing one without asking."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer

from ..errors import SemiSegError
from ..scene.records import Record, find_records
from ..words import many
from ..worker.client import Client
from .connections import Connections
from .export_files import (
    PARTS,
    describe_left_out_in_pieces,
    different_names,
    formats_of,
    safe_name,
    why_not,
    write_in_pieces,
    written_files,
)
from .exporting import Encode, Exporting
from .later import Later
from .state import PanelState

_FOLDER_SETTING = "SemiSegCervical/exportFolder"
_PROGRESS_MS = 100
_NAMED = 8
"""Files that a question names; of more it says how many."""
_OF_ONE = ("removed", "nothing-to-write")
"""Faults that concern one of several results; after any other the next ones would fail like it."""


def choose_target(title: str, proposal: str, files: str) -> str:
    """Ask for a file to write; an empty text means none."""
    # Whether a file may be replaced is asked here, once, for whatever name it gets in the end.
    options = qt.QFileDialog.DontConfirmOverwrite
    return str(qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, proposal, files, "", options))


def choose_folder(title: str, proposal: str) -> str:
    """Ask for a folder to write into; an empty text means none."""
    return str(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, proposal))


def confirm_overwrite(files: list[Path]) -> bool:
    """Ask whether files may be replaced."""
    names = "\n".join(str(file) for file in files[:_NAMED])
    if len(files) > _NAMED:
        names += f"\nand {len(files) - _NAMED} more"
    return bool(slicer.util.confirmYesNoDisplay(f"Replace what is there already?\n\n{names}", "SemiSegCervical"))


@dataclass(frozen=True)
class _Task:
    """A result, the file that a part of it goes into, and whether what is there may be replaced."""

    record: Record
    path: Path
    overwrite: bool


class ExportSection:
    """Writes the result that is shown, or all that the scene holds."""

    def __init__(
        self,
        ui: Any,
        on_error: Callable[[SemiSegError, str], None],
        on_note: Callable[[str], None],
        on_warning: Callable[[str], None],
        client: Callable[[], Client],
        choose: Callable[[str, str, str], str] = choose_target,
        choose_folder: Callable[[str, str], str] = choose_folder,
        confirm: Callable[[list[Path]], bool] = confirm_overwrite,
    ) -> None:
        """Connect the widgets.

        Args:
            ui: the results' widgets.
            on_error: shows what went wrong, and a sentence more.
            on_note: shows what was done.
            on_warning: shows what was done and what was left out.
            client: returns the client of the worker.
            choose: asks for a file, with a title, a proposal and a filter.
            choose_folder: asks for a folder, with a title and a proposal.
            confirm: asks whether files may be replaced.
        """
        self.ui, self._on_error, self._on_note, self._on_warning = ui, on_error, on_note, on_warning
        self._client, self.choose, self.choose_folder, self.confirm = client, choose, choose_folder, confirm
        self._record: Record | None = None
        self._running: Record | None = None
        self._busy = False
        self._exporting: Exporting | None = None
        self._part = ""
        self._tasks: list[_Task] = []
        self._total = 0
        self._files: list[Path] = []
        self._missing: list[str] = []
        self._fault: Exception | None = None
        self._cancelled = False
        self._later = Later(self._show_progress, _PROGRESS_MS)
        self._connections = Connections(
            *(
                (getattr(ui, f"{part}ExportButton"), "clicked()", slot)
                for part, slot in zip(PARTS, (self._segmentation, self._uncertainty, self._table), strict=True)
            ),
            (ui.cancelExportButton, "clicked()", self._cancel),
            (ui.allResultsCheckBox, "toggled(bool)", self._all_wished),
        )
        ui.exportProgressHost.visible = False

    @property
    def active(self) -> bool:
        """Whether something is being written."""
        return bool(self._tasks) or (self._exporting is not None and self._exporting.active)

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        record = self._record = state.record
        self._busy = state.arriving
        self._running = state.job.record if state.busy and state.job is not None else None
        self.ui.exportButton.visible = record is not None or self.active
        if record is not None:
            self._show(record)

    def frames_added(self) -> None:
        """Nothing changes before the job has ended."""

    def close(self) -> None:
        """Let go; what is being written is given up."""
        self._cancel()
        self._later.close()
        self._connections.close()

    def _show(self, record: Record) -> None:
        every, box = find_records(slicer.mrmlScene), self.ui.allResultsCheckBox
        box.text = f"All {len(every)} results of the scene, each into a file of its own"
        box.visible = len(every) > 1
        together = self._are_all_wished(every)
        for part, formats in formats_of(record).items():
            combo = getattr(self.ui, f"{part}FormatComboBox")
            if list(formats) != [combo.itemText(i) for i in range(combo.count)]:
                combo.clear()
                combo.addItems(list(formats))
            button = getattr(self.ui, f"{part}ExportButton")
            why = why_not(record, part, self._busy)
            if together:
                why = "" if self._writable(every, part) else "None of the results has it, or they are being made."
            if self.active:
                why = "Wait until the file is written, or cancel that."
            button.enabled = not why
            button.toolTip = why or ("Choose a folder and write them." if together else "Choose a file and write it.")

    def _show_progress(self) -> None:
        exporting, ui = self._exporting, self.ui
        ui.exportProgressHost.visible = exporting is not None
        share = exporting.share if exporting is not None else None
        if self._total > 1:
            share = (self._total - len(self._tasks) - 1 + (share or 0.0)) / self._total
        ui.exportProgressBar.setRange(0, 0 if share is None else 100)
        ui.exportProgressBar.value = 0 if share is None else int(100 * share)

    def _are_all_wished(self, every: Sequence[Record]) -> bool:
        return bool(self.ui.allResultsCheckBox.checked) and len(every) > 1

    def _all_wished(self, _on: bool) -> None:
        if self._record is not None:
            self._show(self._record)

    def _writable(self, every: Sequence[Record], part: str) -> list[Record]:
        """Return the results of which a part can be written, but for one that is being made."""
        return [record for record in every if record != self._running and not why_not(record, part, busy=False)]

    def _cancel(self) -> None:
        self._tasks = []
        if self._exporting is not None:
            self._exporting.cancel()

    def _segmentation(self) -> None:
        self._export("segmentation")

    def _uncertainty(self) -> None:
        self._export("uncertainty")

    def _table(self) -> None:
        self._export("table")

    def _export(self, part: str) -> None:
        record = self._record
        if record is None or self.active:
            return
        every = find_records(slicer.mrmlScene)
        if self._are_all_wished(every):
            targets = self._chosen_folder(part, record, self._writable(every, part))
        else:
            targets = self._chosen_file(part, record)
        if not targets:
            return
        # Not Path.exists: it raises for a name that is too long and for a folder that nobody may look into.
        there = [file for one, path in targets for file in written_files(one, part, path) if os.path.exists(file)]
        if there and not self.confirm(there):
            return
        slicer.app.userSettings().setValue(_FOLDER_SETTING, str(targets[0][1].parent))
        self._part, self._tasks = part, [_Task(one, path, bool(there)) for one, path in targets]
        self._total = len(targets)
        self._files, self._missing, self._fault, self._cancelled = [], [], None, False
        self._write_next()
        self._show(record)
        self._show_progress()

    def _chosen_file(self, part: str, record: Record) -> list[tuple[Record, Path]]:
        title = getattr(self.ui, f"{part}FormatComboBox").currentText
        ending = formats_of(record)[part][title]
        name = f"{safe_name(record.name)}-{part}{ending}"
        filter_ = f"{title.partition(' (')[0]} (*{ending})"
        chosen = self.choose(f"Save {part}", str(Path(default_folder(record)) / name), filter_)
        if not chosen:
            return []
        return [(record, Path(chosen if chosen.lower().endswith(ending) else chosen + ending))]

    def _chosen_folder(self, part: str, record: Record, records: Sequence[Record]) -> list[tuple[Record, Path]]:
        """Ask for a folder and name a file in it for each result, in the chosen format or else in its first one."""
        title = getattr(self.ui, f"{part}FormatComboBox").currentText
        kind = {"segmentation": "segmentations", "uncertainty": "uncertainties", "table": "tables"}[part]
        chosen = self.choose_folder(f"Save the {kind} of {len(records)} results", default_folder(record))
        if not chosen:
            return []
        formats = [formats_of(one)[part] for one in records]
        endings = [known.get(title, next(iter(known.values()))) for known in formats]
        names = different_names(safe_name(one.name) for one in records)
        return [
            (one, Path(chosen) / f"{name}-{part}{ending}")
            for one, name, ending in zip(records, names, endings, strict=True)
        ]

    def _write_next(self) -> None:
        task, part = self._tasks.pop(0), self._part

        def steps(encode: Encode) -> Generator[Any, None, list[Path]]:
            files = yield from write_in_pieces(task.record, part, task.path, task.overwrite, encode)
            if part == "segmentation":
                self._missing.append((yield from describe_left_out_in_pieces(task.record, task.path)))
            return files

        self._exporting = Exporting(task.record, steps, self._client, self._later.start, self._ended)

    def _ended(self, files: list[Path], fault: Exception | None) -> None:
        self._exporting = None
        self._files += files
        if fault is not None:
            self._fault = fault
            if not isinstance(fault, SemiSegError):
                logging.error("SemiSeg: a result could not be saved", exc_info=fault)
            if not isinstance(fault, SemiSegError) or fault.code not in _OF_ONE:
                self._tasks = []
        elif not files:
            self._tasks, self._cancelled = [], True
        if self._tasks:
            self._write_next()
        else:
            self._tell()
        self._show_progress()
        if self._record is not None:
            self._show(self._record)

    def _tell(self) -> None:
        files, missing = self._files, " ".join(dict.fromkeys(filter(None, self._missing)))
        saved = f"Saved: {', '.join(str(file) for file in files)}."
        if self._total > 1 and files:
            saved = f"Saved: {many(len(files), 'file')} in {files[0].parent}."
        fault = self._fault
        if fault is not None:
            if not isinstance(fault, SemiSegError):
                cause = f"Something went wrong that should not have ({type(fault).__name__}: {fault})"
                fault = SemiSegError("defect", cause, "Report it with the log", "export")
            self._on_error(fault, saved if files else "")
        elif self._cancelled:
            self._on_note(f"Cancelled. {saved}" if files else "Cancelled: nothing is written.")
        elif missing:
            self._on_warning(f"{saved} {missing}")
        else:
            self._on_note(saved)


def default_folder(record: Record) -> str:
    """Return where to save: where was saved last, else beside the image, else among the user's documents."""
    last = slicer.util.settingsValue(_FOLDER_SETTING, "")
    storage = record.source.GetStorageNode() if record.source is not None else None
    image = storage.GetFileName() if storage is not None else None
    documents = qt.QStandardPaths.writableLocation(qt.QStandardPaths.DocumentsLocation)
    places = [Path(str(last)) if last else None, Path(image).parent if image else None, Path(str(documents))]
    # Not Path.is_dir: it raises where a disk on the network is gone.
    return str(next((place for place in places if place is not None and os.path.isdir(place)), Path.home()))
