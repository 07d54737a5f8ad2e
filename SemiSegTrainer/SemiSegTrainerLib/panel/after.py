"""The section Trained models: what each version is worth, which one is in use, and the way to segment with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.cards import read_card
from SemiSegCervicalLib.panel.connections import Connections
from SemiSegCervicalLib.panel.messages import Messages
from SemiSegCervicalLib.panel.segments_table import UNKNOWN
from SemiSegCervicalLib.panel.slices import Slices
from SemiSegCervicalLib.panel.tables import fit_height, set_row_height

from .. import versions as kept
from ..scene.places import find_place, name_of
from ..versions import Version
from . import asking
from .asking import Comparing, Worst, show_progress
from .figures import Figures, from_measure, from_summary, prepare_figures, show_figures, what_it_rests_on
from .jobs import Jobs
from .pictures import Color
from .showing import show_place
from .state import PanelState
from .version_texts import describe_version, newest_first, read_card_text, title_of, when
from .worst import WorstCases

BUSY = "Wait until the models are measured, or cancel it."
_WORST = 4
_UNMEASURED = (
    "How good it is was not measured: nothing was kept aside in its training. Annotate one image or frame more than "
    "it needs, and keep it aside as validation."
)
_ALL_LEARNED = (
    "How good it is was not measured: {}. Annotate an image that was never trained on, and keep it aside as validation."
)
_NOW = "Measured on what is kept aside now."
_UNSURE = (
    "Measured on what is kept aside now: a version that does not tell what it was trained on may have learned from it, "
    "and then looks better than it is."
)


def open_segmenting(name: str) -> None:
    """Show a model in SemiSegCervical."""
    slicer.util.selectModule("SemiSegCervical")
    panel = slicer.modules.semisegcervical.widgetRepresentation().self().panel
    panel.models.reload()
    panel.models.choose(name)
    panel.changed()


class AfterSection:
    """Shows the models that were trained here, and what can be done with them."""

    def __init__(
        self, ui: Any, jobs: Callable[[], Jobs], messages: Messages, on_change: Callable[[], None],
        on_use: Callable[[], None], open_model: Callable[[str], None] = open_segmenting,
    ) -> None:  # fmt: skip
        """Connect the widgets.

        Args:
            ui: the widgets of ``SemiSegTrainerAfter.ui``.
            jobs: returns the module's jobs.
            messages: where the user is told what went wrong.
            on_change: called when others may have to show something new.
            on_use: called when another version of a model is in use.
            open_model: shows a model in the module that segments.
        """
        self.ui, self._jobs, self._messages, self._open = ui, jobs, messages, open_model
        self._on_change, self._on_use = on_change, on_use
        self._state = PanelState()
        self._versions: list[Version] = []
        self._measured: dict[Path, Figures] = {}
        self._said = ""  # of what they rest on
        self._voxel = "voxel"  # what those of the chosen version are called
        self._comparing: Comparing | None = None
        self._outside: dict[str, str] = {}  # names of the cases on disk that were measured on, by id
        self._restoring: Slices | None = None
        self.worst = WorstCases(ui.worstPicturesHost, ui.worstLabel, self._go_to)
        self._connections = Connections(
            (ui.trainedModelComboBox, "activated(int)", self._model_chosen),
            (ui.versionsTable, "itemSelectionChanged()", self._version_chosen),
            (ui.useVersionButton, "clicked()", self._use),
            (ui.compareButton, "clicked()", self._compare),
            (ui.worstButton, "clicked()", self._show_worst),
            (ui.cardButton, "toggled(bool)", self._show_card),
            (ui.openSegmentingButton, "clicked()", self._open_model),
            (ui.cancelComparingButton, "clicked()", self._cancel),
        )
        prepare_figures(ui.figuresTable)
        _prepare_versions(ui.versionsTable)
        ui.cardBrowser.visible = False
        ui.figuresLabel.textFormat = qt.Qt.PlainText
        self.reload()

    # -- what others may ask --

    @property
    def busy(self) -> str:
        """Why everything else has to wait."""
        running = self._comparing is not None and not self._comparing.ended
        return BUSY if running else ""

    @property
    def model(self) -> str:
        """The name of the chosen model; empty where none was trained here."""
        return str(self.ui.trainedModelComboBox.currentText)

    @property
    def version(self) -> Version | None:
        """The chosen version."""
        row = self.ui.versionsTable.currentRow()
        return self._versions[row] if 0 <= row < len(self._versions) else None

    def trained(self, version: Version) -> None:
        """Show a version that has just been trained."""
        self.reload(version.name)
        self._select(version)
        self.ui.modelsButton.collapsed = False
        self._on_change()

    def reload(self, model: str = "") -> None:
        """Look again which models were trained here, and choose one of them."""
        combo, wanted = self.ui.trainedModelComboBox, model or self.model
        found = kept.names()
        blocked = combo.blockSignals(True)
        combo.clear()
        combo.addItems(found)
        combo.currentIndex = found.index(wanted) if wanted in found else (0 if found else -1)
        combo.blockSignals(blocked)
        self._list_versions()

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        self._state = state
        self._show()

    def set_parameters(self, parameters: Any) -> None:
        """Without choices the scene is closing: what is asked about it is asked no more."""
        if parameters is None:
            self._cancel()
            self._measured.clear()
            self.worst.clear()

    def close(self) -> None:
        """Let go."""
        for work in (self._comparing, self._restoring):
            if work is not None:
                work.cancel()
        self.worst.clear()
        self._connections.close()

    # -- showing --

    def _show(self) -> None:
        ui, version = self.ui, self.version
        ui.modelsButton.visible = bool(self._versions)
        if version is None:
            return
        ui.versionLabel.text = describe_version(version)
        columns, text = self._figures(version)
        ui.figuresTable.visible = bool(columns)
        if columns:
            show_figures(ui.figuresTable, columns)
        ui.figuresLabel.text = text
        self._enable(version)
        show_progress(ui.comparingHost, ui.comparingProgressBar, self._comparing)
        ui.worstHost.visible = bool(ui.worstLabel.text)

    def _figures(self, version: Version) -> tuple[list[tuple[str, Figures]], str]:
        """Return the columns of the table, and what has to be said of them."""
        used = self._in_use()
        measured = self._measured.get(version.path)
        if measured is not None and used is not None and used is not version and used.path in self._measured:
            columns = [(f"{title_of(used)} (in use)", self._measured[used.path]), (title_of(version), measured)]
            return columns, f"{what_it_rests_on(measured, self._voxel)} {self._said}"
        after = from_summary(version.summary.get("validation"))
        left_out = str(version.summary.get("validation_left_out") or "")
        if after is None and measured is not None:
            return [("Dice", measured)], f"{what_it_rests_on(measured, self._voxel)} {self._said}"
        if after is None and left_out:
            return [], _ALL_LEARNED.format(left_out)
        if after is None:
            return [], _UNMEASURED if version.origin == "trained" else "How good it is was not measured here."
        before = from_summary(version.summary.get("before"))
        also = version.summary.get("validation_also_decided") or ()
        rests = what_it_rests_on(after, self._voxel, also, left_out)
        if before is None:
            return [("Dice", after)], rests
        start = version.summary.get("started_from") or "the model that it started from"
        return [("Before", before), ("After", after)], f"{rests} Before: {start}."

    def _enable(self, version: Version) -> None:
        ui, state = self.ui, self._state
        used = self._in_use()
        held_out = state.split is not None and bool(state.split.validation)
        missing = (
            "Packages that compute are missing: see the top of this panel." if not state.complete
            else state.busy if state.busy
            else "Nothing is kept aside in this scene that models could be measured on: see Cases." if not held_out
            else ""
        )  # fmt: skip
        why = {
            ui.useVersionButton: self.busy or ("It is in use already." if version.current else ""),
            ui.compareButton: missing
            or ("This is the one in use: choose another version." if version.current else "")
            or ("No version is in use." if used is None else ""),
            ui.worstButton: missing,
            ui.openSegmentingButton: "" if used is not None else "No version is in use.",
            ui.trainedModelComboBox: self.busy,
            ui.versionsTable: self.busy,
        }
        tips = {
            ui.useVersionButton: "SemiSegCervical segments with this version from now on; the others stay.",
            ui.compareButton: "Measures both versions on the annotations that are kept aside in this scene.",
            ui.worstButton: "Measures this version on what is kept aside in this scene, and shows where it is worst.",
            ui.openSegmentingButton: "Opens the module that segments, with this model chosen.",
            ui.trainedModelComboBox: "The models that were trained on this computer.",
            ui.versionsTable: "Every version that was trained is kept. Choose one to see how good it is.",
        }
        for widget, reason in why.items():
            widget.enabled = not reason
            widget.toolTip = reason or tips[widget]
        ui.cardBrowser.visible = bool(ui.cardButton.checked)

    def _list_versions(self) -> None:
        chosen = self.version
        self._versions = newest_first(kept.versions(self.model)) if self.model else []
        table = self.ui.versionsTable
        blocked = table.blockSignals(True)
        table.setRowCount(len(self._versions))
        for row, version in enumerate(self._versions):
            figures = from_summary(version.summary.get("validation"))
            dice = UNKNOWN if figures is None or figures.mean is None else f"{figures.mean:.2f}"
            for column, text in enumerate(
                (title_of(version), when(version), dice, "in use" if version.current else "")
            ):
                item = qt.QTableWidgetItem(text)
                if column == 2:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                table.setItem(row, column, item)
        table.blockSignals(blocked)
        fit_height(table, len(self._versions))
        used = self._in_use()
        same = [v for v in self._versions if chosen is not None and (v.name, v.number) == (chosen.name, chosen.number)]
        self._select(same[0] if same else used)

    def _select(self, wanted: Version | None) -> None:
        """Choose a version; where it is not there, the newest."""
        table = self.ui.versionsTable
        blocked = table.blockSignals(True)
        numbers = [version.number for version in self._versions]
        if numbers:
            table.selectRow(numbers.index(wanted.number) if wanted and wanted.number in numbers else 0)
        table.blockSignals(blocked)
        self._version_shown()

    def _version_shown(self) -> None:
        """Another version is looked at: what was shown of the one before goes."""
        self.worst.clear()
        version = self.version
        if version is not None:
            self._voxel = "pixel" if read_card(version.path).spatial_dims == 2 else "voxel"
        if self.ui.cardButton.checked:
            self._show_card(True)
        self._show()

    def _in_use(self) -> Version | None:
        return next((version for version in self._versions if version.current), None)

    # -- the widgets --

    def _model_chosen(self, _index: int) -> None:
        self._list_versions()
        self._on_change()

    def _version_chosen(self) -> None:
        self._version_shown()

    def _show_card(self, on: bool) -> None:
        version = self.version
        if on and version is not None:
            text = read_card_text(version.path)
            self.ui.cardBrowser.setMarkdown(text or "This model has no card.")
        self.ui.cardBrowser.visible = on

    def _open_model(self) -> None:
        self._open(self.model)

    def _use(self) -> None:
        version = self.version
        if version is not None and (self._restoring is None or not self._restoring.active):
            self._restoring = Slices(kept.restore_steps(version), self._restored)

    def _restored(self, fault: Exception | None) -> None:
        if isinstance(fault, SemiSegError):
            self._messages.error(fault)
        elif fault is not None:
            raise fault
        else:
            version = self.version
            if version is not None:
                self._messages.note(f"SemiSegCervical now uses {title_of(version).lower()} of {version.name}.")
            self._on_use()
        self._list_versions()
        self._on_change()

    def _compare(self) -> None:
        version, used = self.version, self._in_use()
        if version is not None and used is not None:
            self._measure([version, used])

    def _show_worst(self) -> None:
        if self.version is not None:
            self._measure([self.version])

    def _measure(self, chosen: Sequence[Version]) -> None:
        state = self._state
        if state.training_set is None or self.busy:
            return
        self._messages.hide()
        packs = [version.path for version in chosen]
        self._measured.clear()
        self._outside = state.training_set.outside
        training_set = asking.as_asked(state.training_set, read_card(packs[0]))
        self._comparing = Comparing(
            packs, state.device, _WORST, self._jobs(), training_set, state.split, self._progressed, self._compared
        )
        self._on_change()

    def _cancel(self) -> None:
        if self._comparing is not None:
            self._comparing.cancel()

    def _progressed(self) -> None:
        show_progress(self.ui.comparingHost, self.ui.comparingProgressBar, self._comparing)

    def _compared(self, comparing: Comparing) -> None:
        if comparing.state == asking.FAILED and comparing.error is not None:
            self._messages.error(comparing.error)
        if comparing.state == asking.DONE and comparing.answer is not None:
            answer = comparing.answer
            self._said = (_NOW if answer.sure else _UNSURE) + (f" {answer.left_out}." if answer.left_out else "")
            for model in answer.models:
                self._measured[Path(model.pack)] = from_measure(model, answer.classes)
            version = self.version
            if version is not None:
                self.worst.show(comparing.worst, self._name_of, self._colors(version, answer.classes))
        self._on_change()

    def _colors(self, version: Version, classes: Sequence[str]) -> list[tuple[str, Color]]:
        known = {entry.name: entry.color for entry in read_card(version.path).classes}
        return [(name, known.get(name, (1.0, 1.0, 0.0))) for name in classes]

    def _go_to(self, worst: Worst) -> None:
        try:
            if worst.found.case in self._outside:
                cause = f'"{self._name_of(worst)}" lies on disk, not in this scene'
                raise SemiSegError("outside", cause, "Load it to look at it", "scene")
            show_place(find_place(slicer.mrmlScene, worst.found.case, worst.found.slice))
        except SemiSegError as error:
            self._messages.error(error)

    def _name_of(self, worst: Worst) -> str:
        return name_of(slicer.mrmlScene, worst.found.case, worst.found.slice, self._outside)


def _prepare_versions(table: Any) -> None:
    header = table.horizontalHeader()
    table.setColumnCount(4)
    table.setHorizontalHeaderLabels(["Version", "From", "Dice", ""])
    header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    header.setSectionResizeMode(1, qt.QHeaderView.Stretch)
    set_row_height(table)
    table.horizontalHeaderItem(2).setToolTip(
        "On the annotations that were kept aside when this version was trained. They may be others for each version:\n"
        "Compare with the one in use measures two on the same ones."
    )
