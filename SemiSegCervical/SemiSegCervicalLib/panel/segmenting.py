"""One job from the chosen image to result nodes, in pieces that never hold the main thread for long."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import slicer
import vtk

from ..errors import SemiSegError
from ..scene.cine import browser_of
from ..scene.records import Record
from ..worker.client import Client
from ..worker.job import SENT, WAITING, Job, JobCancelled
from ..worker.protocol import Describe, Message, Model
from .frames_job import FramesJob
from .request import GPU, Request
from .slices import WAIT, Slices
from .volume_job import VolumeJob

T = TypeVar("T")

PREPARING, STARTING, RUNNING, RECEIVING, CANCELLING = "preparing", "starting", "running", "receiving", "cancelling"
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"
ENDS = (DONE, FAILED, CANCELLED)


class Segmenting:
    """Does a request; everything is told by `on_change`, and asked for here.

    Attributes:
        state: ``preparing``, ``starting`` (the process that computes), ``running``, ``receiving``, ``cancelling``,
            then ``done``, ``failed`` or ``cancelled``.
        stage: what the worker says it does: ``loading the model``, ``predicting``.
        done, total: how far it is; total 0 while that cannot be told.
        seconds_left: None while it cannot be told.
        record: the result in the scene. After a failure or cancellation it holds the finished frames, or is None.
        error: why it failed.
        kept: how many frames are finished.
        seconds: that the worker took.
        notes: what the user should be told.
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
        self.client, self.request = client, request
        self.state, self.stage = PREPARING, ""
        self.done = self.total = 0
        self.seconds_left: float | None = None
        self.seconds, self.kept = 0.0, 0
        self.record: Record | None = None
        self.error: SemiSegError | None = None
        self.notes: tuple[str, ...] = ()
        self._on_change, self._on_frames, self._on_end = on_change, on_frames, on_end
        self._jobs: list[Job] = []
        self._cancelled = self._abandoned = False
        self._observed: list[tuple[Any, int]] = []
        self._observe()
        self._slices = Slices(self._steps(), self._ended)

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in ENDS

    @property
    def abandoned(self) -> bool:
        """Whether its nodes are going or gone, and must not be touched any more."""
        return self._abandoned

    def cancel(self) -> None:
        """Cancel it; frames that are finished stay."""
        if self.ended or self._cancelled:
            return
        self._cancelled = True
        self.set(state=CANCELLING)
        for job in self._jobs:
            self.client.cancel(job)
        self._slices.wake()

    def abandon(self) -> None:
        """Cancel it and touch no node any more, for the scene or the panel is going."""
        self._abandoned = True
        self._stop_observing()
        self.cancel()

    def stop(self) -> None:
        """Cancel it and return when it is over; the worker ends with it."""
        self.cancel()
        self.client.close()
        while not self.ended and not self._slices.inside:
            self._slices.advance()

    def wait(self) -> Record:
        """Wait for its end, for scripts.

        Returns:
            The result.

        Raises:
            SemiSegError: it failed.
            JobCancelled: it was cancelled.
        """
        while not self.ended:
            if self._slices.waiting:
                self.client.wait_until(lambda: not self._slices.waiting)
            else:
                self._slices.advance()
        if self.error is not None:
            raise self.error
        if self.state == CANCELLED or self.record is None:
            raise JobCancelled
        return self.record

    # -- for the jobs --

    def set(self, **changes: Any) -> None:
        """Change what is told, and tell it; a cancellation that was asked for stays what is told."""
        if self._cancelled:
            changes = {k: v for k, v in changes.items() if k != "state" or v in (CANCELLING, *ENDS)}
        for name, value in changes.items():
            setattr(self, name, value)
        _say(self._on_change)

    def check(self) -> None:
        """Raise where it was cancelled.

        Raises:
            JobCancelled: it was.
        """
        if self._cancelled:
            raise JobCancelled

    def checked(self, steps: Generator[Any, None, T]) -> Generator[Any, None, T]:
        """Take the steps of a generator and return its result, looking between them whether it was cancelled.

        Raises:
            JobCancelled: it was.
        """
        try:
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    result: T = end.value
                    return result
                yield step
                self.check()
        finally:
            steps.close()

    def prepare(self) -> Job:
        """Return a job of the worker's whose folder arrays can be written into."""
        job = self.client.prepare()
        self._jobs.append(job)
        return job

    def submit(self, message: Message, job: Job | None = None, on_chunk: Callable[[Any], None] | None = None) -> Job:
        """Hand in a job of the worker's; every event wakes the steps."""
        job = job or self.prepare()
        return self.client.submit(
            message, job, on_progress=lambda _: self.wake(), on_chunk=on_chunk, on_end=lambda _: self.wake()
        )

    def finish(self, job: Job) -> None:
        """Forget a job of the worker's and remove its files."""
        self._jobs.remove(job)
        self.client.release(job)

    def until_end(self, job: Job) -> Iterator[Any]:
        """Wait for a job of the worker's and tell how it stands.

        Raises:
            SemiSegError: it failed.
            JobCancelled: it was cancelled.
        """
        while not job.ended:
            self.tell(job)
            yield WAIT
            self.check()
        self.check()
        if job.error is not None:
            raise job.error
        if job.state != "done":
            raise JobCancelled

    def tell(self, job: Job) -> None:
        """Tell how a job of the worker's stands."""
        if job.progress is not None:
            said = job.progress
            self.set(state=RUNNING, stage=said.stage, done=said.done, total=said.total, seconds_left=said.seconds_left)
        elif job.state in (WAITING, SENT):
            self.set(state=STARTING if self.client.state != "ready" else RUNNING)

    def wake(self) -> None:
        """Let the steps go on that wait."""
        self._slices.wake()

    def tell_frames(self) -> None:
        """Tell that `record` has more frames."""
        _say(self._on_frames)

    def model(self) -> Generator[Any, None, Model]:
        """Find out the device, which only the worker knows, and return the model to send.

        Raises:
            SemiSegError: no graphics card works.
        """
        device = self.request.device
        if device == GPU:
            yield from self.until_end(self.submit(Describe(())))
            welcome = self.client.welcome
            cards = welcome.working_cards if welcome is not None else ()
            if not cards:
                broken = welcome.cards if welcome is not None else ()
                why = f": {broken[0].reason}" if broken else ""
                raise SemiSegError(
                    "no-gpu", f"No graphics card can be used on this computer{why}",
                    "Choose the device Automatic or Processor", "device",
                )  # fmt: skip
            device = cards[0].name
        return Model(self.request.card.path, device)

    # -- inside --

    def _steps(self) -> Iterator[Any]:
        kind = VolumeJob if self.request.frames is None else FramesJob
        job = kind(self)
        try:
            yield from job.steps()
            self.check()
            self.set(state=DONE)
        except JobCancelled:
            yield from self._end_early(job, CANCELLED)
        except SemiSegError as error:
            self.error = error
            yield from self._end_early(job, FAILED)
        except Exception as error:
            logging.exception("SemiSeg: a job failed")
            self.error = SemiSegError(
                "defect", f"Something went wrong that should not have ({type(error).__name__}: {error})",
                "Report it with the log", "panel",
            )  # fmt: skip
            yield from self._end_early(job, FAILED)

    def _end_early(self, job: VolumeJob | FramesJob, state: str) -> Iterator[Any]:
        for other in self._jobs:
            self.client.cancel(other)
        while any(not other.ended for other in self._jobs):
            yield WAIT
        if not self._abandoned:
            job.tidy()
        self.set(state=state)

    def _ended(self, fault: Exception | None) -> None:
        if fault is not None:
            logging.error("SemiSeg: a job could not be tidied up", exc_info=fault)
        self._stop_observing()
        for job in list(self._jobs):
            self.finish(job)
        if not self.ended:
            self.set(state=FAILED)
        _say(self._on_end, self)

    def _observe(self) -> None:
        scene = slicer.mrmlScene

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def removed(_caller: Any, _event: str, node: Any) -> None:
            if self._needs(node):
                self.cancel()

        for event, slot in (
            (slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, removed),
            (slicer.vtkMRMLScene.StartCloseEvent, lambda *_: self.abandon()),
        ):
            self._observed.append((scene, scene.AddObserver(event, slot)))

    def _needs(self, node: Any) -> bool:
        for source in self.request.images.values():
            if node in (source.node, source.shown) or (source.kind == "cine" and node is browser_of(source.node)):
                return True
        record = self.record
        return record is not None and record.exists and node in (record.table, record.segmentation, record.uncertainty)

    def _stop_observing(self) -> None:
        for scene, tag in self._observed:
            scene.RemoveObserver(tag)
        self._observed.clear()


def _say(callback: Callable[..., None] | None, *what: Any) -> None:
    if callback is not None:
        try:
            callback(*what)
        except Exception:
            logging.exception("SemiSeg: a callback failed")
