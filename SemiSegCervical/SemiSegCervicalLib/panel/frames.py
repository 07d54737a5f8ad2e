"""Which frame of a result is looked at, and how many it can have."""

from __future__ import annotations

from ..scene.records import Record
from ..scene.source import source_of_record
from .inputs import shown_frame as frame_of_source


def shown_frame(record: Record) -> int | None:
    """Return the number of the frame that is looked at, from 0; None where none is."""
    source = source_of_record(record)
    return frame_of_source(source) if source is not None else None


def total_frames(record: Record) -> int:
    """Return how many frames the image has."""
    source = source_of_record(record)
    return source.frames if source is not None else 0
