"""Work of the main thread in pieces, so that the application stays responsive while it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import qt
import slicer

from ..errors import SemiSegError
from ..scene.nodes import is_changing
from ..worker.job import Job

BUDGET_SECONDS = 0.02
WAIT = "wait"
"""Yielded by work that can only go on after `Slices.wake`."""


class Slices:
    """Runs a generator a little at a time whenever the event loop turns; each ``yield`` is a place to pause.

    What stands between two ``yield`` should take a few milliseconds: only there can it be interrupted. A generator
    that yields `WAIT` rests until it is woken. While a scene is read or closed it rests too.
    """

    def __init__(
        self,
        steps: Iterator[Any],
        on_end: Callable[[Exception | None], None],
        budget: float = BUDGET_SECONDS,
    ) -> None:
        """Begin with the next turn of the event loop.

        Args:
            steps: the work.
            on_end: called when it is done, or with what it raised; not after `cancel`.
            budget: seconds after which it pauses.
        """
        self._steps: Iterator[Any] | None = steps
        self._on_end = on_end
        self._budget = budget
        self._woken = False
        self.inside = False  # one of the steps is being taken
        self.waiting = False
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._turn)
        self._timer.start()

    @property
    def active(self) -> bool:
        """Whether there is work left."""
        return self._steps is not None

    def wake(self) -> None:
        """Let work that waits go on."""
        self._woken = True
        if self.waiting and self._steps is not None:
            self.waiting = False
            self._timer.start()

    def advance(self) -> None:
        """Work for one budget's time; a script without an event loop calls this itself."""
        if self._steps is None or self.inside:  # the work may turn the event loop
            return
        self.inside = True
        end = time.perf_counter() + self._budget
        fault: Exception | None = None
        try:
            while self._steps is not None:
                self._woken = False
                if next(self._steps) == WAIT and not self._woken:
                    self.waiting = True
                    self._timer.stop()
                    return
                if time.perf_counter() > end:
                    return
        except StopIteration:
            pass
        except Exception as error:
            fault = error
        finally:
            self.inside = False
        if self._steps is not None:
            self._stop()
            self._on_end(fault)

    def _turn(self) -> None:
        if not is_changing(slicer.mrmlScene):
            self.advance()

    def cancel(self) -> None:
        """Drop the rest; what the work holds open is closed."""
        steps = self._steps
        self._stop()
        if steps is not None and not self.inside and hasattr(steps, "close"):
            steps.close()

    def _stop(self) -> None:
        if self._steps is not None:
            self._steps = None
            self.waiting = False
            self._timer.stop()
            # Not now: this may run inside the timer's own signal. What the signal is connected to, which is this and
            # all that the work holds, goes with it; `singleShot` would hold it as long as Slicer runs.
            self._timer.deleteLater()


def answer_of(job: Job, ended: SemiSegError) -> Generator[Any, None, Any]:
    """Wait for a job of the worker's, and return its answer.

    Args:
        job: its end wakes the work that waits.
        ended: what is raised where it was ended without an answer.

    Raises:
        SemiSegError: that, or why it failed.
    """
    while not job.ended:
        yield WAIT
    if job.error is not None:
        raise job.error
    if job.result is None:
        raise ended
    return job.result
