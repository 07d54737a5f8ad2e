"""The module's own test, short enough to run in Slicer at any time: with models and packages, or without."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from ..errors import SemiSegError
from ..packages import find_lacks
from ..packs import find_packs
from .cards import read_card
from .jobs import Jobs

_SIZE = 64


def panel_opens() -> None:
    """Without an image the panel opens, and says why Apply cannot be pressed."""
    slicer.util.selectModule("SemiSegCervical")
    panel = slicer.modules.semisegcervical.widgetRepresentation().self().panel
    panel.refresh()
    assert panel.ui.applyButton.text == "Apply"
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip


def image_is_segmented_or_lack_is_said() -> None:
    """An image comes back as a segmentation on its own grid; where something is missing that is said in words."""
    models = [name for name, path in find_packs().items() if read_card(path).spatial_dims == 2]
    volume = picture()
    jobs = Jobs()
    try:
        if not models or find_lacks():
            said = ""
            try:
                jobs.process(volume, models[0] if models else "no such model")
            except SemiSegError as error:
                said = error.cause and error.remedy
            assert said
            return
        record = jobs.process(volume, models[0], device="cpu")
    finally:
        jobs.close()
    card = read_card(find_packs()[models[0]])
    assert record.segmentation.GetSegmentation().GetNumberOfSegments() == len(card.classes)
    assert record.uncertainty.GetImageData().GetDimensions() == volume.GetImageData().GetDimensions()
    assert record.table.GetNumberOfRows() == len(card.classes)


def picture() -> Any:
    """Add a small image with a bright disc to the scene."""
    y, x = np.mgrid[:_SIZE, :_SIZE] - _SIZE / 2
    values = np.where(y**2 + x**2 < (_SIZE / 4) ** 2, 180, 60).astype(np.uint8)
    return slicer.util.addVolumeFromArray(values[None], name="Disc")
