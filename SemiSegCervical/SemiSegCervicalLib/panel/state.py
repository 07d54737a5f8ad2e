"""What the panel knows at one moment: made by `widget.Panel`, read by every section's ``refresh``."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import SemiSegError
from ..scene.records import Record
from ..scene.source import Source
from ..worker.protocol import ModelCard, Welcome
from .batch import Batch
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
        batch: several images of which `job` is one, or which were segmented last; None without.
        welcome: what the worker says of devices; None before it has started.
        record: the result that is shown.
    """

    complete: bool = True
    source: Source | None = None
    frames: int | None = None
    card: ModelCard | None = None
    fault: SemiSegError | None = None
    job: Segmenting | None = None
    batch: Batch | None = None
    welcome: Welcome | None = None
    record: Record | None = None

    @property
    def busy(self) -> bool:
        """Whether something runs."""
        return self.in_batch or (self.job is not None and not self.job.ended)

    @property
    def in_batch(self) -> bool:
        """Whether what runs was asked for together with other images: then the panel may show any image."""
        return self.batch is not None and self.batch.active

    @property
    def arriving(self) -> bool:
        """Whether what runs is about the chosen image."""
        if not self.in_batch:
            return self.busy
        return self.job is not None and self.job.is_about(self.source)
