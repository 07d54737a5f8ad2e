"""What the slice views show now; they are only asked, never changed."""

from __future__ import annotations

from typing import Any

import slicer

from ..scene.navigation import shows_slices, slice_in, views_with


def background_volume() -> Any:
    """Return the volume in the background of the slice views, None without any."""
    for logic in _slice_logics():
        volume = slicer.mrmlScene.GetNodeByID(logic.GetSliceCompositeNode().GetBackgroundVolumeID() or "")
        if volume is not None:
            return volume
    return None


def shown_slice(volume: Any) -> int | None:
    """Return the slice (first array axis, from 0) of a volume that a view shows which looks along that axis."""
    numbers = (slice_in(view, volume) for view in views_with(volume))
    return next((number for number in numbers if number is not None), None)


def is_shown_askew(volume: Any) -> bool:
    """Return whether views show a volume, but none of them lies in the plane of its slices."""
    views = views_with(volume)
    return bool(views) and not any(shows_slices(view, volume) for view in views)


def _slice_logics() -> list[Any]:
    manager = slicer.app.layoutManager()
    if manager is None:  # Slicer without a main window
        return []
    # Slicer lists every view that there ever was, in any order; those of other layouts live on unseen.
    logics = [manager.sliceWidget(name).sliceLogic() for name in manager.sliceViewNames()]
    return [logic for logic in logics if logic.GetSliceNode().IsMappedInLayout()]
