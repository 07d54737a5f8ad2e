"""What the slice views show now; they are only asked, never changed."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

_PARALLEL = 0.99


def background_volume() -> Any:
    """Return the volume in the background of the slice views, None without any."""
    for logic in _slice_logics():
        volume = slicer.mrmlScene.GetNodeByID(logic.GetSliceCompositeNode().GetBackgroundVolumeID() or "")
        if volume is not None:
            return volume
    return None


def shown_slice(volume: Any) -> int | None:
    """Return the slice (first array axis, from 0) of a volume that a view shows which looks along that axis."""
    directions = vtk.vtkMatrix4x4()
    volume.GetIJKToRASDirectionMatrix(directions)
    for logic in _slice_logics():
        if logic.GetSliceCompositeNode().GetBackgroundVolumeID() != volume.GetID():
            continue
        to_ras = logic.GetSliceNode().GetSliceToRAS()
        along = sum(to_ras.GetElement(row, 2) * directions.GetElement(row, 2) for row in range(3))
        number = logic.GetSliceIndexFromOffset(logic.GetSliceOffset(), volume) - 1  # Slicer counts from 1
        if abs(along) > _PARALLEL and 0 <= number < volume.GetImageData().GetDimensions()[2]:
            return int(number)
    return None


def _slice_logics() -> list[Any]:
    manager = slicer.app.layoutManager()
    if manager is None:  # Slicer without a main window
        return []
    # Slicer lists every view that there ever was, in any order; those of other layouts live on unseen.
    logics = [manager.sliceWidget(name).sliceLogic() for name in manager.sliceViewNames()]
    return [logic for logic in logics if logic.GetSliceNode().IsMappedInLayout()]
