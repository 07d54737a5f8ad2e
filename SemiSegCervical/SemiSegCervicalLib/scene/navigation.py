"""To a frame, and which frames are worth going to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import vtk

from .cine import browser_of
from .geometry import across_slices, ijk_to_ras, in_world
from .nodes import nodes_of
from .record_figures import Frame
from .records import Record

_PARALLEL = math.cos(math.radians(1))
"""Slicer's own slice numbers end at a tenth of a degree; DICOM directions may be that far from right angles."""
_UNCERTAIN_SHARE = 0.1


def go_to_frame(record: Record, number: int) -> bool:
    """Show one frame of a result in the views; see `show_frame`.

    Args:
        record: a result with frames.
        number: of the frame in the source, from 0.

    Returns:
        Whether there is such a frame.
    """
    return record.source is not None and show_frame(record.source, number, record.browser)


def show_frame(source: Any, number: int, browser: Any = None) -> bool:
    """Show one frame or slice in the views: of a cine by its browser, of a volume by moving the slices.

    Views that look along another axis of a volume stay where they are, and so does what they show; but where none
    that shows the volume lies in the plane of its slices, as with an oblique one, the nearest is rotated into it.

    Args:
        source: an image sequence, or a volume.
        number: of the frame, or of the slice along the last axis (k), from 0.
        browser: of the sequence; by default the first.

    Returns:
        Whether there is such a frame, and something that shows it.
    """
    if number < 0:
        return False
    if source.IsA("vtkMRMLSequenceNode"):
        browser = browser or browser_of(source)
        if browser is None or number >= source.GetNumberOfDataNodes():
            return False
        # By index value: the browser may be led by another sequence than ours.
        value = source.GetNthIndexValue(number)
        item = browser.GetMasterSequenceNode().GetItemNumberFromIndexValue(value, True)
        if item >= 0:
            browser.SetSelectedItemNumber(item)
        return bool(item >= 0)
    columns, rows, slices = source.GetImageData().GetDimensions()
    if number >= slices:
        return False
    matrix = ijk_to_ras(source)
    middle = matrix @ [(columns - 1) / 2, (rows - 1) / 2, number, 1]
    showing = views_with(source)
    if showing and not any(shows_slices(view, source) for view in showing):
        _rotate(max(showing, key=lambda view: abs(_along(view, source))), source)
    for view in nodes_of(source.GetScene(), "vtkMRMLSliceNode"):
        if shows_slices(view, source):
            view.JumpSliceByOffsetting(*in_world(source, middle[:3]))
    return True


def shows_slices(view: Any, volume: Any) -> bool:
    """Return whether a slice view lies in the plane of a volume's slices, where its parent transform puts them."""
    return abs(_along(view, volume)) > _PARALLEL


def slice_in(view: Any, volume: Any) -> int | None:
    """Return the slice (from 0) of a volume that a slice view lies in; None where it lies across or beyond them."""
    if not shows_slices(view, volume):
        return None
    columns, rows, slices = volume.GetImageData().GetDimensions()
    matrix = ijk_to_ras(volume)
    first, second = (
        np.array(in_world(volume, (matrix @ [(columns - 1) / 2, (rows - 1) / 2, number, 1])[:3])) for number in (0, 1)
    )
    to_ras, normal = view.GetSliceToRAS(), _normal(view)
    origin = np.array([to_ras.GetElement(row, 3) for row in range(3)])
    number = round(float((origin - first) @ normal / ((second - first) @ normal)))
    return number if 0 <= number < slices else None


def views_with(volume: Any) -> list[Any]:
    """Return the slice views of the layout that have a volume in the background; none for one that was removed."""
    scene = volume.GetScene()
    return [view for view, shown in _backgrounds(scene) if shown is volume] if scene is not None else []


def shown_volumes(scene: Any) -> list[Any]:
    """Return the volumes in the background of the slice views of the layout."""
    return list(dict.fromkeys(shown for _, shown in _backgrounds(scene)))


def seen_volumes(scene: Any) -> list[Any]:
    """Return the volumes in the background of the slice views of the layout, and those that are laid over them."""
    return list(dict.fromkeys([*shown_volumes(scene), *(shown for _, shown in _layer(scene, _foreground))]))


def worst_frame(frames: Sequence[Frame]) -> int | None:
    """Return the number of the frame with the highest mean uncertainty, None without any."""
    known = [frame for frame in frames if math.isfinite(frame.mean_uncertainty)]
    return max(known, key=lambda frame: frame.mean_uncertainty).number if known else None


def uncertain_frames(frames: Sequence[Frame]) -> list[int]:
    """Return the numbers of the tenth of the frames with the highest mean uncertainty, one at least, in order."""
    known = sorted(
        (frame for frame in frames if math.isfinite(frame.mean_uncertainty)), key=lambda frame: -frame.mean_uncertainty
    )
    return sorted(frame.number for frame in known[: math.ceil(_UNCERTAIN_SHARE * len(known))])


def _backgrounds(scene: Any) -> list[tuple[Any, Any]]:
    """Return the slice views of the layout that show a volume in the background, each with it."""
    return _layer(scene, lambda composite: composite.GetBackgroundVolumeID())


def _foreground(composite: Any) -> str | None:
    """Return the id of the volume in front, unless it is as transparent as Slicer has it at first."""
    return composite.GetForegroundVolumeID() if composite.GetForegroundOpacity() > 0 else None


def _layer(scene: Any, volume_id: Callable[[Any], str | None]) -> list[tuple[Any, Any]]:
    """Return the slice views of the layout that show a volume in a layer, each with it; those of other layouts live on
    unseen."""
    ids = {c.GetLayoutName(): volume_id(c) for c in nodes_of(scene, "vtkMRMLSliceCompositeNode")}
    views = [view for view in nodes_of(scene, "vtkMRMLSliceNode") if view.IsMappedInLayout()]
    shown = [(view, scene.GetNodeByID(ids.get(view.GetLayoutName()) or "")) for view in views]
    return [(view, volume) for view, volume in shown if volume is not None]


def _along(view: Any, volume: Any) -> float:
    """Return the cosine between a slice view's normal and that of a volume's slices."""
    return float(across_slices(volume) @ _normal(view))


def _normal(view: Any) -> np.ndarray:
    to_ras = view.GetSliceToRAS()
    return np.array([to_ras.GetElement(row, 2) for row in range(3)])


def _rotate(view: Any, volume: Any) -> None:
    """Rotate a slice view into the plane of a volume's slices, upright with its rows or columns."""
    # Slicer rotates to the nearest axis of the volume, which need not be that across its slices.
    _tilt(view, volume)
    tilted = vtk.vtkMatrix4x4()
    tilted.DeepCopy(view.GetSliceToRAS())
    view.RotateToVolumePlane(volume)
    if not shows_slices(view, volume):  # Slicer cannot where the axes are not at right angles
        view.GetSliceToRAS().DeepCopy(tilted)
        view.UpdateMatrices()


def _tilt(view: Any, volume: Any) -> None:
    """Bring a slice view into the plane of a volume's slices the shortest way."""
    normal = _normal(view)
    across = across_slices(volume) * (1 if _along(view, volume) >= 0 else -1)
    axis = np.cross(normal, across)
    turned = vtk.vtkTransform()
    turned.RotateWXYZ(math.degrees(math.atan2(np.linalg.norm(axis), normal @ across)), *axis)
    turned.Concatenate(view.GetSliceToRAS())
    view.GetSliceToRAS().DeepCopy(turned.GetMatrix())
    view.UpdateMatrices()
