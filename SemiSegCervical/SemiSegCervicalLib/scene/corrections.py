"""Whether somebody has worked on a model's outlines since: its figures are of what they were before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from ..dicom_seg import Algorithm
from ..pieces import Pieces, whole
from . import marks
from .cine import item_at
from .classes import SegmentClass
from .record_figures import INDEX_VALUE
from .records import Record
from .tables import column_values

COLUMN = "Corrected since"
"""Of exported tables, where anything was: what the figures beside it do not know."""
_Status = slicer.vtkSlicerSegmentationsModuleLogic
_UNTOUCHED = (_Status.NotStarted, _Status.Flagged)


def is_corrected(segmentation: Any, classes: Sequence[SegmentClass]) -> bool:
    """Return whether a model's segments were edited, accepted or removed, or others drawn beside them.

    The Segment Editor tells it by the status: what it edits is no longer "not started". A status survives saving.

    Args:
        segmentation: ``vtkMRMLSegmentationNode`` with the result of a model.
        classes: the class list of the model.
    """
    segments = dict(marks.segments_of(segmentation))
    return not segments.keys() >= {f"Segment_{entry.value}" for entry in classes} or any(
        drawn_by(segment) != "AUTOMATIC" for segment in segments.values()
    )


def drawn_by(segment: Any) -> Algorithm:
    """Return in DICOM's words who drew a segment: a model, a model whose work somebody went on with, or a person."""
    if marks.segment_tag(segment, marks.ORIGIN) != marks.PREDICTION:
        return "MANUAL"
    return "AUTOMATIC" if _Status.GetSegmentStatus(segment) in _UNTOUCHED else "SEMIAUTOMATIC"


def corrected_parts(record: Record) -> list[bool]:
    """Do what `corrected_parts_in_pieces` does, at once."""
    return whole(corrected_parts_in_pieces(record))


def corrected_parts_in_pieces(record: Record) -> Pieces[list[bool]]:
    """Return for each row of a result's table of frames, of a volume for its one segmentation, whether it is corrected;
    nothing where the segmentation is gone."""
    segmentation, classes, table = record.segmentation, record.classes, record.frames_table
    frames = column_values(table, INDEX_VALUE) if table is not None else []
    if segmentation is None:
        return []
    if not segmentation.IsA("vtkMRMLSequenceNode"):
        return [is_corrected(segmentation, classes)] * (len(frames) or 1)
    corrected = []
    for value in frames:
        item = item_at(segmentation, value)
        corrected.append(item is not None and is_corrected(item, classes))
        yield
    return corrected


def correction_columns_in_pieces(record: Record) -> Pieces[dict[str, dict[str, list[str]]]]:
    """Return what the exported tables of a result say of corrections: nothing where there are none.

    Returns:
        For the table of segments (``""``) and that of frames (``"-frames"``), as `table_files_in_pieces` takes them.
    """
    corrected = yield from corrected_parts_in_pieces(record)
    if not any(corrected):
        return {}
    rows = record.table.GetTable().GetNumberOfRows()
    return {"": {COLUMN: ["yes"] * rows}, "-frames": {COLUMN: ["yes" if each else "no" for each in corrected]}}
