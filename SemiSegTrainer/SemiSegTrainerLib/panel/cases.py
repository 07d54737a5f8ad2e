"""The section Cases: which images the scene holds, and what each of them is used for."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..scene.training_set import TrainingSet
from .state import PanelState


class CasesSection:
    """Shows the training set."""

    def __init__(self, ui: Any) -> None:
        """Take the panel's widgets."""
        self.ui = ui

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        self.ui.casesSummaryLabel.text = describe(state.training_set)

    def close(self) -> None:
        """Nothing is connected."""


def describe(training_set: TrainingSet | None) -> str:
    """Say in a sentence what the scene holds."""
    if training_set is None:
        return "Looking at the scene ..."
    if not training_set.cases:
        return "The scene holds no image. Load volumes or a cine, and segment some of them."
    count = Counter(case.use for case in training_set.cases)
    parts = [f"{count[use]} {use}" for use in ("labelled", "partly", "unlabelled", "left out") if count[use]]
    return f"{len(training_set.cases)} images and frames: {', '.join(parts)}."
