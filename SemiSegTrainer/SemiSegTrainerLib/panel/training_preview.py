"""A slice as the model sees it now: its outlines over those of the annotation, and beside it where it is unsure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .pictures import WHITE, Color, draw, pixmap
from .training import Picture, Training

_WIDTH, _HEIGHT, _GAP = 172, 160, 6


class TrainingPreview:
    """Shows the newest picture of a training."""

    def __init__(self, ui: Any) -> None:
        """Take the widgets of ``SemiSegTrainerRun.ui``."""
        self.ui = ui
        self._shown: Picture | None = None
        ui.previewHost.visible = False

    def show(self, training: Training | None) -> None:
        """Show a training; None for none."""
        picture = None if training is None else training.picture
        self.ui.previewHost.visible = picture is not None
        if training is None or picture is None or picture is self._shown:
            return
        self._shown = picture
        about = training.run.about
        colors = [entry.color for entry in about.classes] if about is not None else []
        self.ui.previewLabel.setPixmap(pixmap(both(picture, colors or WHITE)))
        names = about.case_names if about is not None else {}
        self.ui.previewInfoLabel.text = caption(picture, names.get(picture.case, picture.case))


def both(picture: Picture, colors: Sequence[Color]) -> np.ndarray:
    """Draw the picture with outlines, the annotation's in white, and beside it with what is uncertain coloured.

    Returns:
        uint8 ``(height, width, 3)``.
    """
    box = _WIDTH, _HEIGHT
    known = [] if picture.reference is None else [(picture.reference, WHITE)]
    left = draw(picture.image, [*known, (picture.labels, colors)], None, picture.aspect, box)
    right = draw(picture.image, [], picture.uncertainty, picture.aspect, box)
    return np.hstack([left, np.full((left.shape[0], _GAP, 3), 255, dtype=np.uint8), right])


def caption(picture: Picture, name: str) -> str:
    """Say what the picture shows."""
    place = "" if picture.slice is None else f", slice {picture.slice + 1}"
    annotation = "" if picture.reference is None else ", the annotation's in white"
    return (
        f"{name}{place} after step {picture.iteration}. Left: the model's outlines in colour{annotation}. "
        "Right: coloured where the model is unsure."
    )
