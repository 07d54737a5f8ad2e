"""Which outlines are seen with a case: its own, and not those of images that lie in the same place.

Pictures of different patients, and often volumes too, share one coordinate system: whatever is drawn in any of them is
seen over all of them.
"""

from __future__ import annotations

from typing import Any

from SemiSegCervicalLib.scene import marks
from SemiSegCervicalLib.scene.alone import come_back, show_alone
from SemiSegCervicalLib.scene.geometry import overlap
from SemiSegCervicalLib.scene.layers import hide_uncertainty, views_of
from SemiSegCervicalLib.scene.nodes import nodes_of
from SemiSegCervicalLib.scene.pairs import partners_of, reference_of
from SemiSegCervicalLib.scene.records import find_records
from SemiSegCervicalLib.scene.segmentation import image_of

from .places import Place


def show_outlines_of(place: Place) -> None:
    """Show the segmentations of an image and of its partners that were hidden here before; hide those of other images
    that would be drawn over it, and the uncertainty of their results. What belongs to no image stays as it is."""
    scene = place.node.GetScene()
    own = [Place(node, 0).shown for node in _one_patient(place.node)]
    for record in find_records(scene):
        if views_of(record) and record.shown_source not in own:
            hide_uncertainty(record)
    for segmentation in nodes_of(scene, "vtkMRMLSegmentationNode"):
        image, display = image_of(segmentation), segmentation.GetDisplayNode()
        if image is None or display is None:
            continue
        if image in own:
            if display.GetAttribute(marks.HIDDEN):
                come_back(display)
        elif display.GetVisibility() and overlap(image, place.shown):
            display.SetAttribute(marks.HIDDEN, "1")
            display.SetVisibility(False)


def show_drawn(segmentation: Any) -> None:
    """Show a segmentation that a person goes on with where it is hidden; a result that was behind another one comes
    before it."""
    display = segmentation.GetDisplayNode()
    if display is None or display.GetVisibility():
        return
    records = find_records(segmentation.GetScene())
    record = next((record for record in records if record.shown_segmentation is segmentation), None)
    if record is not None:
        show_alone(record)
    else:
        come_back(display)


def _one_patient(node: Any) -> list[Any]:
    reference = reference_of(node) or node
    return [reference, *partners_of(reference)]
