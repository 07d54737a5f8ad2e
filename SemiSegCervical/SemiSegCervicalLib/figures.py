"""What a prediction says in numbers, in the engine and on the wire alike."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SegmentFigures:
    """What is said of one segment of one case; None where it cannot be known.

    Attributes:
        name: of the segment.
        value: its label.
        voxels: how many it has.
        size: area or volume, in `size_unit`.
        size_unit: ``mm2`` or ``mm3``.
        mean_uncertainty: over its voxels, in [0, 1].
        predicted_dice: what the model expects of its own outline, in [0, 1].
    """

    name: str
    value: int
    voxels: int
    size: float | None
    size_unit: str | None
    mean_uncertainty: float | None
    predicted_dice: float | None


@dataclass(frozen=True)
class FrameFigures:
    """What is said of one frame.

    Attributes:
        index: the frame's number from 0; on the wire within the frames that were sent, in the scene within the source.
        mean_uncertainty: over its pixels, in [0, 1].
        predicted_dice: mean over its segments, None without any.
        segments: the figures of each.
    """

    index: int
    mean_uncertainty: float
    predicted_dice: float | None
    segments: tuple[SegmentFigures, ...]
