"""What a prediction says in numbers, in the engine and on the wire alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_LOOKS = "look{s} unlike what the model has learned from: outlines may be wrong even where it is sure"
_UNLIKE = f"The image {_LOOKS.format(s='s')}"


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
        atypicality: how unlike the model's training images it looks, beyond 1 unlike; None where the model cannot tell.
    """

    index: int
    mean_uncertainty: float
    predicted_dice: float | None
    segments: tuple[SegmentFigures, ...]
    atypicality: float | None = None


def looks_unlike(atypicality: float | None) -> bool:
    """Return whether an image looks unlike those of the training, as far as the model can tell."""
    return atypicality is not None and atypicality > 1


def doubts(atypicality: float | None) -> list[str]:
    """Return what is to be said of an image that looks unlike those of the training; nothing of any other."""
    return [_UNLIKE] if looks_unlike(atypicality) else []


def doubts_of_frames(atypicality: Mapping[int, float | None]) -> list[str]:
    """Return what is to be said of the frames that look unlike those of the training.

    Args:
        atypicality: of each frame, by its number from 0.
    """
    unlike = sorted(number for number, found in atypicality.items() if looks_unlike(found))
    if not unlike:
        return []
    if len(unlike) == 1:
        return [f"Frame {unlike[0] + 1} {_LOOKS.format(s='s')}"]
    which = f"All {len(unlike)} frames"
    if len(unlike) < len(atypicality):
        which = f"{len(unlike)} of {len(atypicality)} frames, the first number {unlike[0] + 1},"
    return [f"{which} {_LOOKS.format(s='')}"]
