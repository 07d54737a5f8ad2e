"""Work for which the worker computes and the scene is read and written, in pieces that never hold the main thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, ClassVar, TypeVar

from ..errors import SemiSegError
from ..pieces import checked
from ..worker.client import Client
from ..worker.job import SENT, WAITING, Job, JobCancelled
from ..worker.protocol import Describe, Message
from .request import GPU
from .slices import WAIT, Slices

T = TypeVar("T")

PREPARING, STARTING, RUNNING, CANCELLING = "preparing", "starting", "running", "cancelling"
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"


class Work:
    """Everything is told by `on_change`, and asked for here. A subclass says in `work` what is done.

    Attributes:
        ends: the states in which it is over.
        client: of the worker.
        state: ``preparing``, ``starting`` (the process that computes), ``running``, ``cancelling``, one of `ends`;
            a subclass may have more.
        stage: what the worker says it does: ``loading the model``, ``predicting``.
        done, total: how far it is; total 0 while that cannot be told.
        seconds_left: None while it cannot be told.
        error: why it failed.
    """

    ends: ClassVar[tuple[str, ...]] = (DONE, FAILED, CANCELLED)

    def __init__(self, client: Client, on_change: Callable[[], None] | None = None) -> None:
        """Prepare; `begin` begins.

        Args:
            client: of the worker.
            on_change: called when anything above has changed.
        """
        self.client = client
        self.state, self.stage = PREPARING, ""
        self.done = self.total = 0
        self.seconds_left: float | None = None
        self.error: SemiSegError | None = None
        self._on_change = on_change
        self._jobs: list[Job] = []
        self._cancelled = False
        self._ending = ""
        self._slices: Slices

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in self.ends

    def begin(self) -> None:
        """Begin with the next turn of the event loop."""
        self._slices = Slices(self._steps(), self._ended)

    def cancel(self) -> None:
        """Cancel it."""
        if self.ended or self._cancelled:
            return
        self._cancelled = True
        self.end_with(CANCELLING)
        for job in self._jobs:
            self.client.cancel(job)
        self._slices.wake()

    def stop(self) -> None:
        """Cancel it and return when it is over; the worker ends with it."""
        self.cancel()
        self.client.close()
        while not self.ended and not self._slices.inside:
            self._slices.advance()

    def wait_for_end(self) -> None:
        """Wait for its end, for scripts.

        Raises:
            SemiSegError: it failed.
        """
        while not self.ended:
            if self._slices.waiting:
                self.client.wait_until(lambda: not self._slices.waiting)
            else:
                self._slices.advance()
        if self.error is not None:
            raise self.error

    def wake(self) -> None:
        """Let the steps go on that wait."""
        self._slices.wake()

    # -- for what is done --

    def work(self) -> Iterator[Any]:
        """Do it, with a ``yield`` wherever it can pause.

        Raises:
            SemiSegError: it failed.
            JobCancelled: it was cancelled.
        """
        raise NotImplementedError

    def tidy(self) -> Iterable[Any]:
        """Leave nothing half-made, after a failure or a cancellation; return what is left to do in pieces."""
        return ()

    def over(self) -> None:
        """It has ended in whatever way: let go of everything, and tell it."""

    def end_with(self, state: str) -> None:
        """Tell from now on that it is ending, until it has ended."""
        self._ending = state
        self.set(state=state)

    def set(self, **changes: Any) -> None:
        """Change what is told, and tell it; an end that was asked for stays what is told."""
        if self._ending:
            changes = {k: v for k, v in changes.items() if k != "state" or v in (self._ending, *self.ends)}
        for name, value in changes.items():
            setattr(self, name, value)
        say(self._on_change)

    def check(self) -> None:
        """Raise where it was cancelled.

        Raises:
            JobCancelled: it was.
        """
        if self._cancelled:
            raise JobCancelled

    def checked(self, steps: Generator[Any, None, T]) -> Generator[Any, None, T]:
        """Take the steps of a generator and return its result, looking before each whether it was cancelled.

        Raises:
            JobCancelled: it was.
        """
        return (yield from checked(steps, self.check))

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

    def device(self, wished: str) -> Generator[Any, None, str]:
        """Return the name of the device that is meant; which graphics card works only the worker knows.

        Args:
            wished: ``auto``, ``gpu``, or a name, which is returned as it is.

        Raises:
            SemiSegError: no graphics card works.
            JobCancelled: it was cancelled.
        """
        if wished != GPU:
            return wished
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
        return cards[0].name

    # -- inside --

    def _steps(self) -> Iterator[Any]:
        try:
            yield from self.work()
        except JobCancelled:
            yield from self._end_early(CANCELLED)
        except SemiSegError as error:
            self.error = error
            yield from self._end_early(FAILED)
        except Exception as error:
            logging.exception("SemiSeg: a job failed")
            self.error = SemiSegError(
                "defect", f"Something went wrong that should not have ({type(error).__name__}: {error})",
                "Report it with the log", "panel",
            )  # fmt: skip
            yield from self._end_early(FAILED)

    def _end_early(self, state: str) -> Iterator[Any]:
        for job in self._jobs:
            self.client.cancel(job)
        while any(not job.ended for job in self._jobs):
            yield WAIT
        yield from self.tidy()
        self.set(state=state)

    def _ended(self, fault: Exception | None) -> None:
        if fault is not None:
            logging.error("SemiSeg: a job could not be tidied up", exc_info=fault)
        for job in list(self._jobs):
            self.finish(job)
        if not self.ended:
            self.set(state=FAILED)
        self.over()


def say(callback: Callable[..., None] | None, *what: Any) -> None:
    """Call back; what that raises is the caller's fault and must not stop the work."""
    if callback is not None:
        try:
            callback(*what)
        except Exception:
            logging.exception("SemiSeg: a callback failed")
