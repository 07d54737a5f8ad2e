"""Showing a case of the training set in the slice views."""

from __future__ import annotations

from typing import Any

import slicer
from SemiSegCervicalLib.scene.cine import browser_of
from SemiSegCervicalLib.scene.navigation import show_frame

from ..scene.training_set import TrainingCase


def node_of(case: TrainingCase) -> Any:
    """Return the volume, or for a frame the cine (or stack) that it belongs to; None where it is gone."""
    return slicer.mrmlScene.GetNodeByID(case.stack or case.id)


def show_case(case: TrainingCase, number: int | None = None) -> bool:
    """Show a case in the background of the slice views, and go to the frame or slice.

    Args:
        case: a volume, or a frame.
        number: slice of a volume (first array axis, from 0); None for the middle one.

    Returns:
        Whether it could be shown.
    """
    node = node_of(case)
    if node is None:
        return False
    shown = node
    if node.IsA("vtkMRMLSequenceNode"):
        browser = browser_of(node)
        shown = browser.GetProxyNode(node) if browser is not None else None
        number = node.GetItemNumberFromIndexValue(case.frame or "", True)
    elif case.frame is not None:
        number = int(case.frame)
    elif number is None:
        number = case.shape[0] // 2
    if shown is None:
        return False
    slicer.util.setSliceViewerLayers(background=shown, fit=True)
    return show_frame(node, number)
