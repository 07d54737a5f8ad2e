"""Showing a case of the training set in the slice views."""

from __future__ import annotations

import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.views import background_volume
from SemiSegCervicalLib.scene.navigation import show_frame

from ..scene.outlines import show_outlines_of
from ..scene.places import Place, find_place
from ..scene.training_set import TrainingCase


def show_case(case: TrainingCase, number: int | None = None) -> bool:
    """Show a case in the background of the slice views, and go to the frame or slice.

    Args:
        case: a volume, or a frame.
        number: slice of a volume (first array axis, from 0); None for the middle one.

    Returns:
        Whether it could be shown.
    """
    try:
        middle = case.shape[0] // 2
        return show_place(find_place(slicer.mrmlScene, case.id, middle if number is None else number))
    except SemiSegError:
        return False


def show_place(place: Place) -> bool:
    """Show a frame or slice in the slice views, without the outlines of other images, and without what lay over them.

    Whoever looks at its image already keeps the zoom, and what lies over it.

    Returns:
        Whether it could be shown.
    """
    shown = place.shown
    if shown is None:
        return False
    show_outlines_of(place)
    if background_volume() is not shown:
        slicer.util.setSliceViewerLayers(background=shown, foreground=None, label=None, fit=True)
    return show_frame(place.node, place.number, place.browser)
