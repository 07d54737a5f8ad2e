"""Which frame of a result is looked at, and how many it can have."""

from __future__ import annotations

from ..errors import SemiSegError
from ..scene.records import Record
from ..scene.source import Source, source_of
from .inputs import shown_frame as frame_of_source


def source_of_record(record: Record) -> Source | None:
    """Return the image of a result; None where it is gone, or no longer what it was."""
    if record.source is None:
        return None
    try:
        # Of a cine the node that is shown: it tells which browser is meant.
        return source_of(record.shown_source or record.source, slices_as_frames=record.frames_table is not None)
    except SemiSegError:
        return None


def shown_frame(record: Record) -> int | None:
    """Return the number of the frame that is looked at, from 0; None where none is."""
    source = source_of_record(record)
    return frame_of_source(source) if source is not None else None


def total_frames(record: Record) -> int:
    """Return how many frames the image has."""
    source = source_of_record(record)
    return source.frames if source is not None else 0
