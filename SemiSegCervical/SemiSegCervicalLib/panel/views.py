"""What the slice views show now; they are only asked, never changed."""

from __future__ import annotations

from typing import Any

import slicer

from ..scene.navigation import shows_slices, slice_in


def background_volume() -> Any:
    """Return the volume in the background of the slice views, None without any."""
    for logic in _slice_logics():
        volume = slicer.mrmlScene.GetNodeByID(logic.GetSliceCompositeNode().GetBackgroundVolumeID() or "")
        if volume is not None:
            return volume
    return None


def shown_slice(volume: Any) -> int | None:
    """Return the slice (first array axis, from 0) of a volume that a view shows which looks along that axis."""
    for logic in _logics_with(volume):
        number = slice_in(logic.GetSliceNode(), volume)
        if number is not None:
            return number
    return None


def is_shown_askew(volume: Any) -> bool:
    """Return whether views show a volume, but none of them lies in the plane of its slices."""
    logics = _logics_with(volume)
    return bool(logics) and not any(shows_slices(logic.GetSliceNode(), volume) for logic in logics)


def _logics_with(volume: Any) -> list[Any]:
    """Return the logics of the slice views that have a volume in the background."""
    return [
        logic for logic in _slice_logics() if logic.GetSliceCompositeNode().GetBackgroundVolumeID() == volume.GetID()
    ]


def _slice_logics() -> list[Any]:
    manager = slicer.app.layoutManager()
    if manager is None:  # Slicer without a main window
        return []
    # Slicer lists every view that there ever was, in any order; those of other layouts live on unseen.
    logics = [manager.sliceWidget(name).sliceLogic() for name in manager.sliceViewNames()]
    return [logic for logic in logics if logic.GetSliceNode().IsMappedInLayout()]
