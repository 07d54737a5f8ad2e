"""The section Check: what would keep a training from learning, and what it would work with, before it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.connections import Connections
from SemiSegCervicalLib.panel.inputs import TIMES
from SemiSegCervicalLib.words import many

from ..scene.facts import ClassFacts, Facts, Finding
from ..worker.protocol import Measured
from .asking import show_progress
from .jobs import Jobs
from .measuring import Measuring, measured_part, measured_text
from .state import PanelState

_ASIDES = ("left-out", "note")
_SHOWN = 5
BUSY = "Wait until the measurement is done, or cancel it."
_MEASURE = "Does a few real steps with these images on this computer, and says how many fit into the time."
_STYLE = "background: {}; border: 1px solid {}; border-radius: 3px; color: {}; padding: 5px;"
_GOOD = _STYLE.format("#e7f1e7", "#9cc19c", "#1d3b1d")
_DOUBT = _STYLE.format("#fff3cd", "#e0c36a", "#533f03")
_BAD = _STYLE.format("#f8d7da", "#d9848d", "#58151c")
# Read on a white background as well as on the dark one that Slicer takes over from the system.
_GREY, _RED, _AMBER = "#808080", "#e0443c", "#b87d00"


class PreflightSection:
    """Shows the facts: first whether it can start, then what to know, then the figures; measures when asked to."""

    def __init__(
        self,
        ui: Any,
        jobs: Callable[[], Jobs],
        on_change: Callable[[], None],
        on_error: Callable[[SemiSegError], None],
    ) -> None:
        """Connect the widgets.

        Args:
            ui: the panel's widgets.
            jobs: returns the module's jobs.
            on_change: called when others may have to show something new.
            on_error: called with why a measurement failed.
        """
        self.ui, self._jobs, self._on_change, self._on_error = ui, jobs, on_change, on_error
        self._all = False
        self._state = PanelState()
        self._measuring: Measuring | None = None
        self._about: tuple[Any, ...] = ()
        self._measured: Measured | None = None
        self._connections = Connections(
            (ui.moreFindingsButton, "clicked()", self._show_all),
            (ui.measureButton, "clicked()", self._measure),
            (ui.cancelMeasuringButton, "clicked()", self._cancel),
        )

    @property
    def busy(self) -> str:
        """Why everything else has to wait."""
        return BUSY if self._measuring is not None and not self._measuring.ended else ""

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        if state.facts is not self._state.facts:
            self._all = False
        self._state = state
        self._show()

    def close(self) -> None:
        """Disconnect the widgets, end a measurement."""
        self._cancel()
        self._connections.close()

    def _show(self) -> None:
        ui, state, facts = self.ui, self._state, self._state.facts
        text, style = verdict(facts) if facts is not None or state.fault is None else (str(state.fault), _BAD)
        if state.fault is not None and state.training_set is not None and state.recipe is None:
            # What is chosen under Training makes none: that goes before what is known of the images.
            said = escape(str(state.fault))
            text, style = f"<b>The training cannot start yet.</b> {said}", _BAD
        ui.verdictLabel.text, ui.verdictLabel.styleSheet = text, style
        findings = [] if facts is None else sorted(facts.findings, key=_gravity)
        shown = findings if self._all else findings[:_SHOWN]
        ui.findingsLabel.text = "".join(map(_line, shown))
        ui.findingsLabel.visible = bool(shown)
        ui.moreFindingsButton.visible = len(shown) < len(findings)
        ui.moreFindingsButton.text = f"Show {len(findings) - len(shown)} more"
        ui.factsLabel.text = "" if facts is None else figures(facts)
        ui.factsLabel.visible = bool(ui.factsLabel.text)
        why = state.busy or (str(state.fault) if state.fault is not None else "")
        ui.measureButton.visible = not self.busy
        ui.measureButton.enabled = not why
        ui.measureButton.toolTip = why or _MEASURE
        show_progress(ui.measuringHost, ui.measuringProgressBar, self._measuring)
        recipe, measured = state.recipe, self._measured
        if measured is not None and recipe is not None and _same(self._about, _about(state)):
            ui.measuredLabel.text = measured_text(measured, recipe, state.welcome)
        else:
            ui.measuredLabel.text = ""
        ui.measuredLabel.visible = bool(ui.measuredLabel.text)

    def _measure(self) -> None:
        state = self._state
        if state.training_set is None or state.recipe is None or self.busy:
            return
        self._about, self._measured = _about(state), None
        self._measuring = Measuring(
            state.recipe, self._jobs(), state.training_set, state.split, on_change=self._on_change, on_end=self._ended
        )
        self._on_change()

    def _ended(self, measuring: Measuring) -> None:
        self._measured, self._measuring = measuring.answer, None
        if measuring.error is not None:
            self._on_error(measuring.error)
        self._on_change()

    def _cancel(self) -> None:
        if self._measuring is not None:
            self._measuring.cancel()

    def _show_all(self) -> None:
        self._all = True
        self._show()


def _about(state: PanelState) -> tuple[Any, ...]:
    """Return what a measurement rests on."""
    recipe = None if state.recipe is None else measured_part(state.recipe)
    return state.training_set, state.split, recipe


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(one) == len(other) and one[0] is other[0] and one[1] is other[1] and one[2] == other[2]


def verdict(facts: Facts | None) -> tuple[str, str]:
    """Say in a sentence whether a training can start; HTML and its style."""
    if facts is None:
        return "Looking at the images ...", _GOOD
    refused = facts.refused
    if refused is not None:
        return (
            "<b>The training cannot start yet.</b> What is marked \N{HEAVY MULTIPLICATION X} has to be put right.",
            _BAD,
        )
    if any(finding.code not in _ASIDES for finding in facts.findings):
        return "<b>The training can start.</b> It would learn more if these were put right:", _DOUBT
    return "<b>The training can start.</b>", _GOOD


def figures(facts: Facts) -> str:
    """Return what a training would work with, as HTML."""
    lines = []
    if facts.classes:
        head = _row(*(f"<b>{title}</b>" for title in ("Segment", "Learned from", "Measured with")))
        rows = "".join(_class_row(entry, facts.voxel) for entry in facts.classes)
        lines.append(f"<table cellspacing='0' cellpadding='2'>{head}{rows}</table>")
    if facts.unlabelled:
        lines.append(f"Besides, {many(facts.unlabelled, 'image')} without annotation.")
    if facts.shapes is not None:
        size = f"Size: {_range(facts.shapes, '{:g}')} {facts.voxel}s"
        spacing = "" if facts.spacings is None else f" of {_range(facts.spacings, '{:.3g}')} mm"
        lines.append(f"{size}{spacing}.")
    return "<br>".join(lines)


def _class_row(entry: ClassFacts, voxel: str) -> str:
    learned = _amount(entry.training_voxels, entry.training_cases, voxel)
    return _row(escape(entry.name), learned, _amount(entry.validation_voxels, entry.validation_cases, voxel))


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{cell}&nbsp;&nbsp;</td>" for cell in cells) + "</tr>"


def _amount(voxels: int, cases: int, voxel: str) -> str:
    if not voxels:
        return "nothing"
    number = f"{voxels:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{number} {voxel}s in {many(cases, 'image')}"


def _range(values: tuple[Sequence[float], Sequence[float]], form: str) -> str:
    low, high = (TIMES.join(form.format(value) for value in reversed(end)) for end in values)
    return low if low == high else f"{low} to {high}"


def _gravity(finding: Finding) -> int:
    return 0 if finding.refuses else 2 if finding.code in _ASIDES else 1


def _line(finding: Finding) -> str:
    mark, color = {
        0: ("\N{HEAVY MULTIPLICATION X}", _RED), 1: ("\N{WARNING SIGN}", _AMBER), 2: ("\N{BULLET}", _GREY),
    }[_gravity(finding)]  # fmt: skip
    return (
        f"<p style='margin: 3px 0 3px 0'><span style='color: {color}'><b>{mark}</b></span> {escape(finding.text)}."
        f" {escape(finding.remedy)}.</p>"
    )
