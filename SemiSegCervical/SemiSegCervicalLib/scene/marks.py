"""The names of what SemiSeg writes into the scene beside images and segments.

Node attributes and the attributes of a sequence's items come back from a saved scene, a segment's tags also
from a lone ``.seg.nrrd``: what says something about a segmentation is therefore a tag.
"""

from __future__ import annotations

from typing import Any

import vtk

ORIGIN = "SemiSeg.Origin"
"""Segment tag: who drew the segment; `PREDICTION` for a model. Absent for everything else."""
PREDICTION = "prediction"

ALGORITHM_TYPE, ALGORITHM_NAME = "DICOM.SegmentAlgorithmType", "DICOM.SegmentAlgorithmName"
"""Segment tags that Slicer's DICOM export reads: "AUTOMATIC", and of which model."""

CONTENT = "SemiSeg.Content"
"""Node attribute of volumes, sequences and tables that are results, never images to learn from."""
UNCERTAINTY = "uncertainty"
SEGMENTATION = "segmentation"
FIGURES = "figures"
FRAMES = "frames"

COMPUTED = "computed"
"""Attribute of an uncertainty item or volume: "0" while no model has seen the frame, "1" after."""

CALIBRATED = "SemiSeg.Calibrated"
"""Node attribute of a volume or sequence: the user's word, "yes" or "no", on whether its spacing is in mm."""

SOURCE_ROLE = "SemiSeg.source"
"""Node reference of a result (sequence or table) to what it was made from."""
SEGMENTATION_ROLE = "SemiSeg.segmentation"
UNCERTAINTY_ROLE = "SemiSeg.uncertainty"
FRAMES_ROLE = "SemiSeg.frames"
"""Node references of a result's table of figures to its other nodes."""

FOREGROUND_ROLE = "SemiSeg.foreground"
BACKGROUND_ROLE = "SemiSeg.background"
"""Node references, followed by a view's name: what it showed before the uncertainty came."""
LAYERS = "SemiSeg.Layers"
"""Attribute of a result's table of figures while its uncertainty is shown (JSON): the views into which it was put."""
OUTLINED = "SemiSeg.Outlined"
"""Attribute of the display of a segmentation while the uncertainty of its image is shown (JSON): how it looked."""

BEHIND = "SemiSeg.Behind"
"""Attribute of a result's table of figures: its segments were hidden because another result of the image is shown."""
HIDDEN = "SemiSeg.Hidden"
"""Attribute of the display of a segmentation that was hidden because another image was looked at, of which it may name
the ID; it comes back with its own. Not of the segmentation: that of a cine gets the attributes of each frame that is
shown."""

CLASSES = "SemiSeg.Classes"
RUN = "SemiSeg.Run"
"""Attributes of a result's table of figures (JSON): the class list; what made it, on what, and how it went."""


def segment_tag(segment: Any, name: str) -> str | None:
    """Return the value of a segment's tag, None where it has none."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else None


def segments_of(segmentation: Any) -> list[tuple[str, Any]]:
    """Return ``(segment id, vtkSegment)`` of a segmentation node in its own order."""
    content = segmentation.GetSegmentation()
    return [(content.GetNthSegmentID(i), content.GetNthSegment(i)) for i in range(content.GetNumberOfSegments())]
