"""The sections Output and Apply: where the result goes, what computes it, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..scene.cine import is_sequence
from ..scene.corrections import corrected_parts
from ..scene.records import find_records
from . import segmenting
from .locks import Locks
from .request import AUTO
from .speed import expected_seconds, in_words
from .state import PanelState

_BANNER_TEXT = "color: #533f03;"
BANNER_STYLE = f"background: #fff3cd; {_BANNER_TEXT} border: 1px solid #e0c36a; border-radius: 3px; padding: 5px;"
_SOON = 10.0
"""Seconds that nobody minds waiting for."""
_STAGES = {
    "": "Preparing",
    "reading": "Reading the image",
    "reading the image": "Reading the image",
    "loading the model": "Loading the model",
    "predicting": "Segmenting",
    "writing": "Finishing",
}


class RunSection:
    """Shows what Apply will do and how it goes."""

    def __init__(self, ui: Any, on_apply: Callable[[], None], on_cancel: Callable[[], None]) -> None:
        """Connect the button.

        Args:
            ui: the panel's widgets.
            on_apply: called when a job is to begin.
            on_cancel: called when it is to end.
        """
        self.ui, self._on_apply, self._on_cancel = ui, on_apply, on_cancel
        self._busy = False
        self._locks = Locks(ui.replaceSelector, ui.uncertaintyCheckBox, ui.deviceComboBox)
        ui.applyButton.connect("clicked()", self._clicked)
        ui.deviceBanner.styleSheet = ui.replaceWarningLabel.styleSheet = BANNER_STYLE

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        ui, job = self.ui, state.job
        self._busy = state.busy
        self._locks.set(state.busy)
        target = ui.replaceSelector.currentNode()
        ui.replaceWarningLabel.visible = target is not None
        ui.replaceWarningLabel.text = replace_warning(state, target) if target is not None else ""
        banner = device_banner(state, ui.deviceComboBox.currentText)
        ui.deviceBanner.text, ui.deviceBanner.visible = banner, bool(banner)
        cancelling = state.busy and job is not None and job.state == segmenting.CANCELLING
        ui.applyButton.text = "Cancelling..." if cancelling else "Cancel" if state.busy else "Apply"
        ui.applyButton.enabled = not cancelling and (state.busy or state.fault is None)
        ui.applyButton.toolTip = (
            "The computation is being ended; this takes two seconds at most." if cancelling
            else "End the computation. Images and frames that are finished stay." if state.in_batch
            else "End the computation. Frames that are finished stay." if state.busy
            else "Segment the image." if state.fault is None
            else str(state.fault)
        )  # fmt: skip
        ui.progressBar.visible = state.busy
        ui.stageLabel.text = _place(state) + stage_text(job) if state.busy and job is not None else _idle_text(state)
        ui.stageLabel.visible = bool(ui.stageLabel.text)
        if state.busy and job is not None:
            known = job.total > 0 and not cancelling
            ui.progressBar.setRange(0, job.total if known else 0)
            ui.progressBar.value = job.done if known else 0

    def close(self) -> None:
        """Disconnect the button."""
        self.ui.applyButton.disconnect("clicked()", self._clicked)

    def _clicked(self) -> None:
        if self._busy:
            self._on_cancel()
        else:
            self._on_apply()


def banner_frame_style(name: str) -> str:
    """Return the style of a frame that is a banner: the text in it would keep the colour of Slicer's theme.

    Args:
        name: of the ``QFrame``.
    """
    return f"QFrame#{name} {{ {BANNER_STYLE} }} QFrame#{name} > QLabel {{ {_BANNER_TEXT} }}"


def replace_warning(state: PanelState, target: Any) -> str:
    """Say what will be lost of a segmentation that gives way to the result, a person's work above all."""
    source, frames, name = state.source, state.frames, target.GetName()
    record = next((r for r in find_records(target.GetScene()) if r.shown_segmentation is target), None)
    corrected = sum(corrected_parts(record)) if record is not None else 0
    framed = record is not None and is_sequence(record.segmentation)
    where = f"on {corrected} frame{'s' * (corrected > 1)}" if framed else "in it"
    work = f" What you have corrected or accepted {where} goes too." if corrected else ""
    if source is None or frames is None or frames == source.frames:
        return f'The segments of "{name}" will be replaced.{work}'
    return (
        f'The segments of "{name}" will be replaced on all {source.frames} frames, '
        f"and only {frames} of these will be segmented.{work}"
    )


def device_banner(state: PanelState, chosen: str) -> str:
    """Say what the user should know of the device before a job begins; empty for nothing."""
    if state.welcome is None:
        return ""
    cards, working = state.welcome.cards, state.welcome.working_cards
    if chosen == "Graphics card" and not working:
        why = f": {cards[0].label} does not work ({cards[0].reason})" if cards else " in this computer"
        return f"There is no graphics card that can be used{why}. Choose Automatic or Processor."
    if chosen == "Automatic" and not working:
        if not cards and _is_soon_done(state):
            return ""
        why = f" {cards[0].label} cannot be used: {cards[0].reason}." if cards else ""
        long = (
            "which takes minutes" if state.card is not None and state.card.spatial_dims == 3 else "which takes longer"
        )
        return f"No graphics card can be used here: the processor computes, {long}.{why}"
    return ""


def _is_soon_done(state: PanelState) -> bool:
    """Say whether the processor was measured to be quick enough for what is chosen."""
    if state.card is None or state.source is None:
        return False
    seconds = expected_seconds(state.card, state.source, state.frames, AUTO)
    return seconds is not None and seconds < _SOON


def stage_text(job: segmenting.Segmenting) -> str:
    """Say what a job does now, how far it is and how long it will take."""
    if job.state == segmenting.CANCELLING:
        return "Cancelling..."
    if job.state == segmenting.STARTING:
        return "Starting the computation: the first time takes some seconds longer"
    if job.state == segmenting.RECEIVING:
        return "Showing the result"
    text = _STAGES.get(job.stage, job.stage.capitalize())
    if job.request.frames is not None and job.stage == "predicting" and job.total:
        text += f": {job.done} of {job.total} frames"
    elif job.total > 0:
        text += f": {100 * job.done // job.total} %"
    if job.seconds_left is not None:
        text += f", about {in_words(job.seconds_left)} left"
    return text


def _place(state: PanelState) -> str:
    """Say which of several images it is."""
    if state.batch is None or not state.in_batch:
        return ""
    number, total = state.batch.place
    return f"Image {number} of {total}. "


def _idle_text(state: PanelState) -> str:
    """Say why Apply cannot be pressed, for a tool tip is seen only by who looks for it."""
    return str(state.fault) if state.fault is not None else ""
