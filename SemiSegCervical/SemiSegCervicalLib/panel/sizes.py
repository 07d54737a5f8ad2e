"""Which sizes in mm may be believed: those of a job, and those of earlier results when something else is said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..figures import SegmentFigures
from ..scene.record_figures import Kind, set_sizes
from ..scene.records import find_records
from ..scene.source import Source, source_of_record


def figures_for(source: Source, figures: Sequence[SegmentFigures]) -> tuple[list[SegmentFigures], Kind | None]:
    """Return the figures with sizes only where these mean something, and what the sizes are."""
    kind = believed(source)
    if kind is not None:
        return list(figures), kind
    return [replace(figure, size=None, size_unit=None) for figure in figures], None


def believed(source: Source) -> Kind | None:
    """Return what the sizes of segments of an image are; None where they mean nothing.

    The area of a picture needs a calibration that somebody vouched for; a volume's voxels are in mm unless somebody
    says that they are not.
    """
    flat = len(source.size) == 2
    if source.calibrated == "yes" or (not flat and source.calibrated == "unknown"):
        return "area" if flat else "volume"
    return None


def renew_sizes(image: Any) -> None:
    """Bring the results of an image up to what is said of its pixel size now.

    Args:
        image: volume, or the image sequence of a cine.
    """
    for record in find_records(image.GetScene()):
        source = source_of_record(record) if record.source is image else None
        if source is not None:
            set_sizes(record, believed(source), partial(_voxel_size, source))


def _voxel_size(source: Source, number: int) -> float:
    """Return the size of a voxel, or of a pixel of a frame, in mm3 or mm2."""
    return math.prod(source.spacing_of(number))
