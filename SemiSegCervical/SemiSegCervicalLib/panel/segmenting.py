"""One job from the chosen image to result nodes, in pieces that never hold the main thread for long."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import slicer

from ..scene.records import Record
from ..scene.source import Source
from ..worker.client import Client
from ..worker.job import JobCancelled
from ..worker.protocol import Model
from .connections import SceneEvents
from .frames_job import FramesJob
from .request import Request
from .volume_job import VolumeJob
from .work import CANCELLED, CANCELLING, DONE, FAILED, PREPARING, RUNNING, STARTING, Work, say

__all__ = ["CANCELLED", "CANCELLING", "DONE", "FAILED", "PREPARING", "RECEIVING", "RUNNING", "STARTING", "Segmenting"]

RECEIVING = "receiving"


class Segmenting(Work):
    """Does a request; everything is told by `on_change`, and asked for here.

    Attributes:
        state: as in `Work`, and ``receiving`` before the end.
        record: the result in the scene. After a failure or cancellation it holds the finished frames, or is None.
        kept: how many frames are finished.
        seconds: that the worker took.
        notes: what the user should be told.
        doubts: what speaks against the result: images unlike those of the training.
    """

    def __init__(
        self,
        client: Client,
        request: Request,
        on_change: Callable[[], None] | None = None,
        on_frames: Callable[[], None] | None = None,
        on_end: Callable[[Segmenting], None] | None = None,
    ) -> None:
        """Begin with the next turn of the event loop.

        Args:
            client: of the worker.
            request: the job.
            on_change: called when anything above has changed.
            on_frames: called when frames were added to `record`.
            on_end: called once.
        """
        super().__init__(client, on_change)
        self.request = request
        self.seconds, self.kept = 0.0, 0
        self.record: Record | None = None
        self.notes: tuple[str, ...] = ()
        self.doubts: tuple[str, ...] = ()
        self._on_frames, self._on_end = on_frames, on_end
        self._abandoned = False
        self._job = VolumeJob(self) if request.frames is None else FramesJob(self)
        self._scene_events = SceneEvents({slicer.vtkMRMLScene.StartCloseEvent: self.abandon}, self._node_goes)
        self.begin()

    @property
    def abandoned(self) -> bool:
        """Whether its nodes are going or gone, and must not be touched any more."""
        return self._abandoned

    def is_about(self, source: Source | None) -> bool:
        """Return whether an image is the one that is segmented."""
        return source is not None and self.request.source.node is source.node

    def abandon(self) -> None:
        """Cancel it and touch no node any more, for the scene or the panel is going."""
        self._abandoned = True
        self._scene_events.close()
        self.cancel()

    def wait(self) -> Record:
        """Wait for its end, for scripts.

        Returns:
            The result.

        Raises:
            SemiSegError: it failed.
            JobCancelled: it was cancelled.
        """
        self.wait_for_end()
        if self.state == CANCELLED or self.record is None:
            raise JobCancelled
        return self.record

    def work(self) -> Iterator[Any]:
        """Do it; frames that are finished stay, also after a failure or a cancellation."""
        yield from self._job.steps()
        self.check()
        self.set(state=DONE)

    def tidy(self) -> Iterable[Any]:
        """Leave nothing half-made in the scene."""
        if not self._abandoned:
            self._job.tidy()
        return ()

    def over(self) -> None:
        """Let go of the scene."""
        self._scene_events.close()
        say(self._on_end, self)

    # -- for the jobs --

    def tell_frames(self) -> None:
        """Tell that `record` has more frames."""
        say(self._on_frames)

    def model(self) -> Generator[Any, None, Model]:
        """Return the model to send, with the device that is meant.

        Raises:
            SemiSegError: no graphics card works.
        """
        device = yield from self.device(self.request.device)
        card = self.request.card
        return Model(card.path, device, signature=card.signature)

    # -- inside --

    def _node_goes(self, node: Any) -> None:
        if self._needs(node):
            self.cancel()

    def _needs(self, node: Any) -> bool:
        for source in self.request.images.values():
            if node in (source.node, source.shown, source.browser):
                return True
        record = self.record
        return record is not None and record.exists and node in (record.table, record.segmentation, record.uncertainty)
