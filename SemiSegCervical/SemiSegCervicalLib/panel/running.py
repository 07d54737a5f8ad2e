"""What the panel has asked for and what it says about how that ended: one image, or several one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import segmenting, speed
from .batch import Batch, summary
from .jobs import Jobs
from .messages import Messages
from .request import Request
from .segmenting import Segmenting


class Running:
    """Begins jobs and tells their ends.

    Attributes:
        job: what runs; None while nothing does.
        batch: the images of which it is one, or those that were segmented last; None without.
    """

    def __init__(
        self,
        jobs: Callable[[], Jobs],
        messages: Messages,
        on_change: Callable[[], None],
        on_frames: Callable[[], None],
        on_end: Callable[[Segmenting, bool], None],
    ) -> None:
        """Begin nothing yet.

        Args:
            jobs: returns what begins jobs.
            messages: where it is told.
            on_change: called when a job has changed.
            on_frames: called when its result has more frames.
            on_end: called with a job that has ended, and whether it was one of several.
        """
        self.job: Segmenting | None = None
        self.batch: Batch | None = None
        self._jobs, self._messages = jobs, messages
        self._on_change, self._on_frames, self._on_end = on_change, on_frames, on_end

    def begin(self, request: Request) -> Segmenting:
        """Begin a job."""
        self.job = self._jobs().start(request, on_change=self._on_change, on_frames=self._on_frames, on_end=self._ended)
        return self.job

    def begin_several(
        self, cases: Sequence[Mapping[int, Any]], request: Callable[[Mapping[int, Any]], Request]
    ) -> None:
        """Begin the first of several with the next `go_on`; see `Batch`."""
        self.batch = Batch(cases, request, self.begin)

    def go_on(self) -> None:
        """Begin the next one of several, if one is left and nothing runs."""
        batch = self.batch
        if batch is not None and batch.active and self.job is None:
            batch.go_on()
            if not batch.active:  # of what was left nothing could be begun
                self._tell_all(batch)

    def cancel(self) -> None:
        """End the job, and what would come after it."""
        if self.batch is not None:
            self.batch.cancel()
        if self.job is not None:
            self.job.cancel()

    def stop(self) -> None:
        """The same, and return when it is over; the worker ends with it."""
        if self.batch is not None:
            self.batch.cancel()
        if self.job is not None:
            self.job.stop()

    def forget_deleted(self) -> None:
        """Let go of images that are not in the scene any more."""
        if self.batch is not None:
            self.batch.forget_deleted()

    def is_one_of_several(self, job: Segmenting) -> bool:
        """Return whether a job is that of a batch, of whose images the panel may show another one."""
        return self.batch is not None and self.batch.runs(job)

    def _ended(self, job: Segmenting) -> None:
        batch = self.batch if self.is_one_of_several(job) else None
        self.job = None
        self._on_end(job, batch is not None)
        if job.state == segmenting.DONE:
            request = job.request
            count = None if request.frames is None else len(request.frames)
            speed.remember(request.card, request.source, count, request.device, job.seconds)
        if batch is None:
            self._tell(job)
            return
        batch.ended(job)
        if not batch.active and not job.abandoned:
            self._tell_all(batch)

    def _tell(self, job: Segmenting) -> None:
        if job.state == segmenting.DONE:
            told = " ".join(f"{text.rstrip('.')}." for text in (*job.doubts, *job.notes))
            if job.doubts:
                self._messages.warning(told, job.record)
            elif told:
                self._messages.note(told, job.record)
        elif not job.abandoned:
            kept = ""
            if job.record is not None:
                kept = f"{job.kept} of {len(job.request.frames or ())} frames are finished and stay."
            if job.error is not None:
                self._messages.error(job.error, kept, job.record or job.request.source.node)
            elif kept:
                self._messages.note(f"Cancelled: {kept}", job.record)

    def _tell_all(self, batch: Batch) -> None:
        told, look = summary(batch)
        (self._messages.warning if look else self._messages.note)(told)
