"""One training, from the scene to an installed model, in pieces that never hold the main thread for long."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.connections import SceneEvents
from SemiSegCervicalLib.panel.work import CANCELLED, CANCELLING, DONE, FAILED, PREPARING, STARTING, Work, say
from SemiSegCervicalLib.worker.arrays import read_array
from SemiSegCervicalLib.worker.client import Client
from SemiSegCervicalLib.worker.job import RUNNING, SENT, Job, JobCancelled

from ..versions import Version, install_steps, versions
from ..worker.protocol import News, Trained
from .run_folder import Reached, Run

MEASURING, TRAINING, CALIBRATING, VALIDATING, SAVING = "measuring", "training", "calibrating", "validating", "saving"
PAUSING, PAUSED = "pausing", "paused"
_STATES = {stage: stage for stage in (MEASURING, TRAINING, CALIBRATING, VALIDATING, SAVING)}
_NOTE_SECONDS = 5.0
# A panel that is closed waits so long for the run to be saved; longer, and the last checkpoint has to do.
_SAVE_SECONDS = 2.0
_STOP, _FINISH = "stop", "finish"
UNREADABLE = "bad-checkpoint"
"""Code of the error where what was saved cannot be read."""

Write = Callable[[Path], Iterator[Any]]


@dataclass(frozen=True)
class Picture:
    """One slice as the model saw it after `iteration` steps; arrays are uint8 ``(Y, X)``, uncertainty in percent."""

    iteration: int
    case: str
    slice: int | None
    image: np.ndarray
    labels: np.ndarray
    uncertainty: np.ndarray
    reference: np.ndarray | None
    aspect: float


class Training(Work):
    """Does a run; everything is told by `on_change` and `on_news`, and asked for here.

    What was learned survives every end but `discard`: the run's folder holds it, and another `Training` of the same
    run goes on with it.

    Attributes:
        state: ``preparing`` (the scene is written to disk), ``starting`` (the process that computes), ``measuring``,
            ``training``, ``calibrating``, ``validating``, ``saving``, ``pausing``, ``cancelling``; then ``done``,
            ``paused``, ``failed`` or ``cancelled``.
        run: on disk.
        news: all that the worker told since the run began, also before it was interrupted.
        picture: the newest preview; None before the first.
        keeping: it was asked to stop and keep what it has.
        version: the installed model, once done.
        notes: what the user should be told.
    """

    ends = (DONE, FAILED, CANCELLED, PAUSED)

    def __init__(
        self,
        client: Client,
        run: Run,
        write: Write | None = None,
        keep: bool = False,
        on_change: Callable[[Training], None] | None = None,
        on_news: Callable[[Training], None] | None = None,
        on_end: Callable[[Training], None] | None = None,
    ) -> None:
        """Begin with the next turn of the event loop.

        Args:
            client: of a worker that trains.
            run: new, or one that was interrupted; it must be ours (`Run.hold`), and is released at the end.
            write: writes the training set into the folder that it is given, in pieces; None for a run that has it.
            keep: make a model of what was learned so far, and train no further.
            on_change: called with the training when anything but `news` and `picture` has changed.
            on_news: called with it when these have.
            on_end: called with it once.
        """
        super().__init__(client, None if on_change is None else lambda: on_change(self))
        self.run = run
        self.news: list[News] = []
        self.picture: Picture | None = None
        self.keeping = keep
        self.version: Version | None = None
        self.notes: tuple[str, ...] = ()
        self._write, self._begun_now = write, write is not None
        self._on_news, self._on_end = on_news, on_end
        self._wish = _FINISH if keep else ""
        self._passed_on = ""
        self._job: Job | None = None  # the one that trains
        self._discarding = False
        self._noted = 0.0
        self.begin()

    @property
    def pausable(self) -> bool:
        """Whether the worker is at it, so that it can be paused."""
        return self.state in (STARTING, MEASURING, TRAINING, CALIBRATING)

    @property
    def keepable(self) -> bool:
        """Whether it can end early with a model of what it has."""
        return self.state == TRAINING and not self.keeping

    def pause(self) -> None:
        """Save it where it is and end it; another `Training` of the run goes on with it."""
        if self.pausable:
            self._wish = _STOP
            self.end_with(PAUSING)
            self._pass_on()

    def keep(self) -> None:
        """End the training early and make a model of what was learned."""
        if self.keepable:
            self._wish = _FINISH
            self.set(keeping=True)
            self._pass_on()

    def discard(self) -> None:
        """End it and remove everything of the run."""
        self._discarding = True
        self.cancel()

    def stop(self) -> None:
        """Save it if that is soon done, and return when it is over; the worker ends with it."""
        self.pause()
        if not self.ended and not self._slices.inside:
            with suppress(TimeoutError):
                self.client.wait_until(lambda: all(job.ended for job in self._jobs), _SAVE_SECONDS)
            while not self.ended and not self._slices.waiting and self.state == PAUSING:
                self._slices.advance()
        super().stop()

    def wait(self) -> Version:
        """Wait for its end, for scripts.

        Returns:
            The installed model.

        Raises:
            SemiSegError: it failed.
            JobCancelled: it was paused or cancelled.
        """
        self.wait_for_end()
        if self.version is None:
            raise JobCancelled
        return self.version

    # -- what is done --

    def work(self) -> Iterator[Any]:
        """Do it.

        Raises:
            SemiSegError: it failed.
            JobCancelled: it was cancelled.
        """
        run = self.run
        if not run.prepared:
            yield from self._prepare()
        if not run.trained:
            answer = yield from self._train()
            if not answer.finished:
                self.set(state=PAUSED)
                return
        self.set(state=SAVING, stage="installing", done=0, total=0, seconds_left=None)
        version = self._installed()
        if version is None:
            version = yield from self.checked(install_steps(run.model, run.name, run.summary))
        # From here on nothing can be cancelled: the model is in use.
        run.complete(version.path)
        self.set(version=version)
        yield from run.slim()
        self.set(state=DONE)

    def tidy(self) -> Iterable[Any]:
        """Remove a run that was given up, and one of which nothing would be lost."""
        run = self.run
        worthless = not run.prepared or (self.error is not None and self._begun_now and not run.saved)
        return run.discard() if self._discarding or worthless else ()

    def over(self) -> None:
        """Let go of the images and the run."""
        self._write = None
        self._note()
        self.run.release()
        say(self._on_end, self)

    def tell(self, job: Job) -> None:
        """Tell how the worker stands."""
        self._pass_on()
        if job.progress is None:
            self.set(state=STARTING)
            return
        said = job.progress
        state = _STATES.get(said.stage, STARTING)
        self.set(state=state, stage=said.stage, done=said.done, total=said.total, seconds_left=said.seconds_left)

    # -- inside --

    def _prepare(self) -> Iterator[Any]:
        if self._write is None:
            raise SemiSegError(
                "missing-data", f"The data of the training in {self.run.folder} are not there any more",
                "Discard it and start again", "reading",
            )  # fmt: skip
        events = SceneEvents({slicer.vtkMRMLScene.StartCloseEvent: self._scene_closes})
        try:
            yield from self.checked(_generator(self.run.copy_start()))
            yield from self.checked(_generator(self._write(self.run.data)))
        finally:
            events.close()
        self._write = None  # which holds the images of a scene that may be closed long before the end
        yield from self.checked(_generator(self.run.settle()))

    def _train(self) -> Generator[Any, None, Trained]:
        """Have the worker train; where what was saved cannot be read, from the beginning, unless it is to end now.

        Raises:
            SemiSegError: it failed.
            JobCancelled: it was cancelled.
        """
        self.set(state=STARTING, stage="", done=0, total=0, seconds_left=None)
        device = yield from self.device(self.run.message().device)
        while True:
            self._passed_on = ""  # what the job before was told, this one does not know
            self._job = job = self.submit(replace(self.run.message(), device=device), on_chunk=self._told)
            try:
                yield from self.until_end(job)
            except SemiSegError as error:
                if not self.run.prepared:  # whatever the worker missed first
                    raise SemiSegError(
                        "missing-data", f"The folder of the training, {self.run.folder}, was removed while it ran",
                        "Start the training anew, and leave its folder alone until it is done", "reading",
                    ) from error  # fmt: skip
                if error.code == "other-run":  # its words are for those who chose the options themselves
                    raise SemiSegError(
                        "other-run", "Another version of SemiSeg began this training, and trains differently",
                        "Discard it and start again, or go on with that version", "reading",
                    ) from error  # fmt: skip
                if error.code != UNREADABLE:
                    raise
                if self._wish and not self.run.calibration_states(error.cause):
                    raise SemiSegError(
                        UNREADABLE, "What had been saved of the training cannot be read",
                        "Resume it to train again from the beginning, or discard it", "reading",
                    ) from error  # fmt: skip
                self.finish(job)
                self.run.start_over(damaged=error.cause)
                self.news.clear()
                lost = "calibration" if self.run.saved else "training"
                self.notes = (f"What had been saved of the {lost} could not be read: it began anew",)
                continue
            answer: Trained = job.result
            self.finish(job)
            return answer

    def _installed(self) -> Version | None:
        """Return the version that this run became before it was interrupted."""
        current = next((v for v in versions(self.run.name) if v.current), None)
        return current if current is not None and current.summary == self.run.summary else None

    def _told(self, news: News) -> None:
        if self.news and news.iteration < self.news[-1].iteration:  # what was told after the last checkpoint, again
            self.news = [old for old in self.news if old.iteration < news.iteration]
        self.news.append(news)
        if news.preview is not None:
            self._look_at(news)
        now = time.monotonic()
        if not news.repeated and now - self._noted > _NOTE_SECONDS:
            self._noted = now
            self._note()
        say(self._on_news, self)

    def _note(self) -> None:
        """Write down how far it is."""
        if self.news and self.run.folder.is_dir():
            last = self.news[-1]
            self.run.note(Reached(last.iteration, last.iterations, last.seconds))

    def _look_at(self, news: News) -> None:
        """Read a preview now, for the worker removes its files."""
        seen = news.preview
        assert seen is not None
        with suppress(OSError, ValueError, SemiSegError):
            self.picture = Picture(
                news.iteration, seen.case, seen.slice, np.array(read_array(seen.image)),
                np.array(read_array(seen.labels)), np.array(read_array(seen.uncertainty)),
                np.array(read_array(seen.reference)) if seen.reference is not None else None, seen.aspect,
            )  # fmt: skip

    def _pass_on(self) -> None:
        """Tell the worker what is wished, once it has the job, and again where the job was given to another one."""
        job = self._job
        if job is None or job.state not in (SENT, RUNNING):
            self._passed_on = ""
        elif self._wish != self._passed_on:
            self._passed_on = self._wish
            (self.client.stop if self._wish == _STOP else self.client.finish)(job)

    def _scene_closes(self) -> None:
        self.notes = ("The scene was closed before its images were written down: nothing was trained",)
        self.cancel()


def _generator(steps: Iterator[Any]) -> Generator[Any, None, None]:
    yield from steps


__all__ = [
    "CALIBRATING", "CANCELLED", "CANCELLING", "DONE", "FAILED", "MEASURING", "PAUSED", "PAUSING", "PREPARING", "SAVING",
    "STARTING", "TRAINING", "UNREADABLE", "VALIDATING", "Picture", "Training",
]  # fmt: skip
