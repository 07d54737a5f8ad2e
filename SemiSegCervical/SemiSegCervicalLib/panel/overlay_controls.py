"""The controls of the uncertainty overlay: one button to show and hide it, how opaque it is, and from where on."""

from __future__ import annotations

from typing import Any

import slicer

from ..scene.geometry import overlap
from ..scene.layers import (
    composites,
    hide_uncertainty,
    opacity_of,
    set_opacity,
    show_uncertainty,
    tidy,
    views_of,
)
from ..scene.navigation import shown_volumes
from ..scene.overlay import DEFAULT_THRESHOLD, set_threshold, threshold_of
from ..scene.records import Record, find_records
from .connections import Connections
from .inputs import NO_BROWSER
from .state import PanelState
from .watching import Watching

_SHOW, _HIDE = "Show uncertainty", "Hide uncertainty"
_WHAT = "Colours where the result should not be trusted, over the image in the slice views."


class OverlayControls:
    """Shows and hides the uncertainty of the result that is shown; a newer result takes over what was shown."""

    def __init__(self, ui: Any) -> None:
        """Connect the widgets."""
        self.ui = ui
        self._record: Record | None = None
        self._arrived: Record | None = None
        self._filling = False
        self._watching = Watching(self._views_changed)
        self._connections = Connections(
            (ui.overlayButton, "toggled(bool)", self._toggled),
            (ui.opacitySlider, "valueChanged(double)", self._opacity_changed),
            (ui.thresholdSlider, "valueChanged(double)", self._threshold_changed),
        )

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        before, self._record = self._record, state.record
        if before is not None and before != self._record and before.exists and views_of(before):
            hide_uncertainty(before)
            if self._record is not None:
                self._show(self._record)
        self._views_changed()

    def arrived(self, record: Record) -> bool:
        """Show where a result is unsure that a job has made, in the views that show its image: that was asked for.

        Once: when the user has hidden it meanwhile, further frames do not bring it back.

        Returns:
            Whether it was the first time.
        """
        if record == self._arrived or not record.exists:
            return False
        self._arrived = record
        self._show(record, everywhere=False)
        self._views_changed()
        return True

    def frames_added(self) -> None:
        """More frames are there: the overlay follows by itself."""

    def close(self) -> None:
        """Let go; what is shown stays shown."""
        self._watching.close()
        self._connections.close()

    def _views_changed(self) -> None:
        """Show what the views show, whoever has changed them."""
        ui, record = self.ui, self._record
        volume = record.shown_uncertainty if record is not None else None
        display = volume.GetVolumeDisplayNode() if volume is not None else None
        self._watching.watch([*composites(slicer.mrmlScene), display])
        if record is not None:
            tidy(record)
        shown = record is not None and bool(views_of(record))
        self._filling = True
        try:
            ui.overlayButton.enabled = volume is not None
            ui.overlayButton.checked = shown
            ui.overlayButton.text = _HIDE if shown else _SHOW
            ui.overlayButton.toolTip = (
                _WHAT if volume is not None
                else f"{NO_BROWSER}." if record is not None and record.uncertainty is not None
                else "This result was made without uncertainty, or it was deleted."
            )  # fmt: skip
            for widget in (ui.opacitySlider, ui.opacityLabel, ui.thresholdSlider, ui.thresholdLabel):
                widget.enabled = shown
            if record is not None and shown:
                ui.opacitySlider.value = round(100 * opacity_of(record))
            ui.thresholdSlider.value = threshold_of(volume) if volume is not None else DEFAULT_THRESHOLD
        finally:
            self._filling = False

    def _toggled(self, on: bool) -> None:
        if self._filling or self._record is None:
            return
        before = shown_volumes(slicer.mrmlScene)
        if on:
            self._show(self._record)
        else:
            hide_uncertainty(self._record)
        if not any(overlap(was, now) for was in before for now in shown_volumes(slicer.mrmlScene)):
            slicer.util.setSliceViewerLayers(fit=True)  # its image came into the views, or left them, from elsewhere
        self._views_changed()

    def _show(self, record: Record, everywhere: bool = True) -> None:
        """Show one, and no other: else that one would be taken for what the views showed before.

        It takes the place of another of the same image, also where only that one had brought the image into the views.
        """
        for other in find_records(slicer.mrmlScene):
            if other != record and views_of(other):
                everywhere = everywhere or (other.source is not None and other.source is record.source)
                hide_uncertainty(other)
        show_uncertainty(record, self._chosen_opacity(), everywhere)

    def _opacity_changed(self, _value: float) -> None:
        if not self._filling and self._record is not None:
            set_opacity(self._record, self._chosen_opacity())

    def _threshold_changed(self, value: float) -> None:
        volume = self._record.shown_uncertainty if self._record is not None else None
        if not self._filling and volume is not None:
            set_threshold(volume, value)

    def _chosen_opacity(self) -> float:
        return float(self.ui.opacitySlider.value) / 100
