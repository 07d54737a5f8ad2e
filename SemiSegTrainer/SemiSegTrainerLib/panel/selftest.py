"""The module's own test, short enough to run in Slicer at any time: with packages that compute, or without."""

from __future__ import annotations

import slicer
from SemiSegCervicalLib.panel.selftest import picture

from ..scene.collect import collect_training_set


def panel_opens() -> None:
    """Without an image the panel opens and says what to do."""
    slicer.util.selectModule("SemiSegTrainer")
    panel = slicer.modules.semisegtrainer.widgetRepresentation().self().panel
    panel.refresh()
    assert panel.ui.casesSummaryLabel.text


def scene_is_read() -> None:
    """An image that nobody has segmented is one that is learned from all the same."""
    volume = picture()
    (case,) = collect_training_set(slicer.mrmlScene).cases
    assert (case.name, case.use) == (volume.GetName(), "unlabelled")
