"""How long a model took on this computer, remembered for the next time."""

from __future__ import annotations

import math

import qt
import slicer

from ..scene.source import Source
from ..worker.protocol import ModelCard

_KEY = "SemiSegCervical/Seconds"


def remember(card: ModelCard, source: Source, frames: int | None, device: str, seconds: float) -> None:
    """Remember how long a job took.

    Args:
        card: the model.
        source: the image.
        frames: how many frames were segmented; None for a volume.
        device: ``auto``, ``gpu`` or ``cpu``, as it was asked for.
        seconds: that it took.
    """
    amount = _amount(source, frames)
    if amount > 0 and seconds > 0:
        settings = qt.QSettings()
        settings.setValue(_key(card, source, device), seconds / amount)


def expected_seconds(card: ModelCard, source: Source, frames: int | None, device: str) -> float | None:
    """Return how long a job will take; None where this model has not run here yet."""
    each = slicer.util.settingsValue(_key(card, source, device), 0.0, converter=float)
    return each * _amount(source, frames) if each > 0 and math.isfinite(each) else None


def in_words(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 1.5:
        return "1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _amount(source: Source, frames: int | None) -> float:
    """Frames take equal times whatever their size, for the model sees them at its own; volumes by their size."""
    return float(frames) if frames is not None else math.prod(source.size) / 1e6


def _key(card: ModelCard, source: Source, device: str) -> str:
    kind = "frame" if source.kind != "volume" else "volume"
    name = "".join(c if c.isalnum() else "_" for c in card.name)
    return f"{_KEY}/{name}-{card.spatial_dims}-{card.branches}-{kind}-{device}"
