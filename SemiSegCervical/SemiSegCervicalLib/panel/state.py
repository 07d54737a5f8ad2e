"""What the panel knows at one moment: made by `widget.Panel`, read by every section's ``refresh``."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import SemiSegError
from ..scene.records import Record
from ..scene.source import Source
from ..worker.protocol import ModelCard, Welcome
from .segmenting import Segmenting


@dataclass(frozen=True)
class PanelState:
    """One moment.

    Attributes:
        complete: whether the packages are installed that compute.
        source: the chosen image; None with none, or one that cannot be segmented.
        frames: how many of its frames are wanted; None for a volume.
        card: the chosen model; None with none.
        fault: why Apply cannot be pressed; None where it can.
        job: what runs; None while nothing does.
        welcome: what the worker says of devices; None before it has started.
        record: the result that is shown.
    """

    complete: bool = True
    source: Source | None = None
    frames: int | None = None
    card: ModelCard | None = None
    fault: SemiSegError | None = None
    job: Segmenting | None = None
    welcome: Welcome | None = None
    record: Record | None = None

    @property
    def busy(self) -> bool:
        """Whether something runs."""
        return self.job is not None and not self.job.ended
