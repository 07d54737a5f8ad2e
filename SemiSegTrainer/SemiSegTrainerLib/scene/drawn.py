"""What is drawn in segmentations, and what is said where it is not clear which of them is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene.cine import browser_of
from SemiSegCervicalLib.scene.corrections import drawn_by
from SemiSegCervicalLib.scene.geometry import copy_geometry
from SemiSegCervicalLib.scene.marks import segments_of
from SemiSegCervicalLib.scene.reading import grid
from SemiSegCervicalLib.scene.segmentation import label_array, segment_mask

from .places import Place

STAGE = "scene"
RESIZED = "its spacing was changed after it was outlined: the outlines lie elsewhere now"
"""Why an image is left out whose voxels were given another size."""
RESIZED_REMEDY = "Give it its earlier spacing again in the Volumes module, or draw the outlines anew"


def painted(segmentation: Any, volume: Any, first: int = 0, last: int | None = None) -> bool:
    """Return whether any segment has paint on the slices from `first` to before `last`."""
    planes = (first, grid(volume)[0] if last is None else last)
    return any(segment_mask(segmentation, i, volume, planes) is not None for i, _ in segments_of(segmentation))


def painted_slices(segmentation: Any, volume: Any, planes: tuple[int, int]) -> set[int]:
    """Return those of some slices on which any segment has paint."""
    found: set[int] = set()
    for segment_id, _ in segments_of(segmentation):
        part = segment_mask(segmentation, segment_id, volume, planes)
        if part is not None:
            found.update((np.flatnonzero(part.mask.any(axis=(1, 2))) + part.box[0].start).tolist())
    return found


def worked_on(segmentation: Any, volume: Any) -> bool:
    """Return whether a person has painted in a segmentation, or changed what a model drew, if only by erasing it."""
    return any(
        drawn_by(segment) == "SEMIAUTOMATIC"
        or (drawn_by(segment) == "MANUAL" and segment_mask(segmentation, segment_id, volume) is not None)
        for segment_id, segment in segments_of(segmentation)
    )


def seen(found: Sequence[Any]) -> list[Any]:
    """Return those of several segmentations, or of sequences of them, that are not hidden in the views; all of them
    where none is seen."""
    return [node for node in found if is_seen(node)] or list(found)


def is_seen(node: Any) -> bool:
    """Return whether a segmentation, or what shows a sequence of them, is not hidden in the views."""
    browser = browser_of(node) if node.IsA("vtkMRMLSequenceNode") else None
    shown = browser.GetProxyNode(node) if browser is not None else node
    display = shown.GetDisplayNode() if shown is not None and shown.IsA("vtkMRMLDisplayableNode") else None
    return display is not None and bool(display.GetVisibility())


def labels_of(segmentation: Any, volume: Any) -> np.ndarray:
    """Return what is drawn as a label map ``(Z, Y, X)`` on the grid of a volume; segments are numbered from 1."""
    ids = [segment_id for segment_id, _ in segments_of(segmentation)]
    return label_array(segmentation, {segment_id: value for value, segment_id in enumerate(ids, 1)}, volume)


def was_resized(segmentation: Any, volume: Any) -> bool:
    """Return whether the voxels of an image were given another size after a segmentation was made for it.

    Outlines keep their place in mm, so that they do not lie any more on what they outline. The segmentation still knows
    the grid that it was made for, which differs from the image's in nothing but the size of the voxels.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        volume: its image, for an item of a cine the frame.
    """
    converter, made_for, now = slicer.vtkSegmentationConverter, slicer.vtkOrientedImageData(), _empty_grid(volume)
    grid_of = segmentation.GetSegmentation().GetConversionParameter(converter.GetReferenceImageGeometryParameterName())
    if not grid_of or not converter.DeserializeImageGeometry(grid_of, made_for, False):
        return False
    places, sizes = [], []
    for image in (made_for, now):
        directions = [[0.0] * 3 for _ in range(3)]
        image.GetDirections(directions)
        places.append(np.concatenate([image.GetExtent(), image.GetOrigin(), *directions]))
        sizes.append(np.array(image.GetSpacing())[np.array(now.GetDimensions()) > 1])
    return np.allclose(places[0], places[1], atol=1e-6) and not np.allclose(sizes[0], sizes[1])


def check_size(segmentation: Any, place: Place) -> None:
    """Refuse to accept outlines that do not lie on their image any more.

    Raises:
        SemiSegError: see `was_resized`.
    """
    if segmentation is not None and was_resized(segmentation, place.volume):
        raise SemiSegError("resized", f"{place.title} cannot be accepted: {RESIZED}", RESIZED_REMEDY, STAGE)


def _empty_grid(volume: Any) -> Any:
    """Return an oriented image with the grid of a volume, and no voxels."""
    image = slicer.vtkOrientedImageData()
    image.SetExtent(volume.GetImageData().GetExtent())
    copy_geometry(volume, image)
    return image


def several(image: Any, found: Sequence[Any]) -> SemiSegError:
    """Return the error that any of several segmentations could be meant for an image."""
    names = ", ".join(f'"{node.GetName()}"' for node in found)
    return SemiSegError(
        "several", f'Several segmentations could count for "{image.GetName()}" ({names})',
        "Choose one of them under Segmentation in the section Cases, or remove those that are not needed", STAGE,
    )  # fmt: skip


def chosen_is_hidden(image: Any, chosen: Any) -> SemiSegError:
    """Return the error that what is seen of an image is not what was chosen to count for it."""
    return SemiSegError(
        "chosen-hidden", f'"{chosen.GetName()}" was chosen for "{image.GetName()}", and is hidden',
        "Show it to accept it, or choose what is seen under Segmentation in the section Cases", STAGE,
    )  # fmt: skip


def nothing_drawn(place: Place) -> SemiSegError:
    """Return the error that there is nothing at a place to accept."""
    return SemiSegError("nothing-drawn", f"Nothing is drawn on {place.title}", "Go there and draw in it first", STAGE)
