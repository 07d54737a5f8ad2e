"""A job inside the worker process: how it tells its progress, and how it learns that it was cancelled."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .protocol import CHUNK, PROGRESS, Message, Progress
from .wire import encode

_PROGRESS_SECONDS = 0.1


class Cancelled(BaseException):
    """Ends a cancelled job. No ``Exception``: a decoder's "whatever goes wrong" must not take it for a fault."""


class Channel:
    """Events to the client, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, kind: str, job: str = "", body: Any = None) -> None:
        """Send an event; where nobody listens any more, the thread that reads messages ends the process.

        Raises:
            SemiSegError: it is too long for a line.
        """
        rest = memoryview(encode(kind, job, body))
        with self._lock:
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:
                pass


class ServerJob:
    """What a handler gets before its message.

    Attributes:
        id: the client's number.
        message: what to do.
        folder: for result files.
        stage: what it was doing last, for an error that does not say.
    """

    def __init__(self, number: str, message: Message, folder: Path, channel: Channel) -> None:
        self.id, self.message, self.folder = number, message, folder
        self.stage = ""
        self._channel = channel
        self._cancelled, self._stopped, self._finishing = threading.Event(), threading.Event(), threading.Event()
        self._told = 0.0
        self._began = 0.0
        self._shields = 0

    # -- for handlers --

    def progress(
        self, stage: str, done: int, total: int, seconds_left: float | None = None, values: dict[str, Any] | None = None
    ) -> None:
        """Say how far the job is, at most ten times a second; without `seconds_left` the stage's own pace tells it.

        Raises:
            Cancelled: the job was cancelled.
        """
        self.check()
        now = time.monotonic()
        fresh = stage != self.stage
        if fresh:
            self.stage, self._began = stage, now
        if not fresh and done < total and now - self._told < _PROGRESS_SECONDS:
            return
        self._told = now
        if seconds_left is None and 0 < done <= total:
            seconds_left = (now - self._began) / done * (total - done)
        self._channel.send(PROGRESS, self.id, Progress(stage, done, total, seconds_left, values or {}))

    def chunk(self, body: Any) -> None:
        """Send a part of the result.

        Raises:
            Cancelled: the job was cancelled.
        """
        self.check()
        self._channel.send(CHUNK, self.id, body)

    def check(self) -> None:
        """Raise `Cancelled` if the job was cancelled."""
        if self._cancelled.is_set():
            raise Cancelled

    @property
    def stopped(self) -> bool:
        """Whether the job was asked to end early and keep what it has."""
        return self._stopped.is_set()

    def asked_to_finish(self) -> bool:
        """Whether the job was asked to leave out the rest of what it is doing and make a whole result of what it has.

        True once for each time it was asked, so that what comes next is not left out as well.
        """
        asked = self._finishing.is_set()
        if asked:
            self._finishing.clear()
        return asked

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Keep a cancellation out of what must not be left half done, such as imports; it takes effect after it."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        self.check()

    # -- for the server --

    @property
    def cancelled(self) -> bool:
        """Whether the job was cancelled."""
        return self._cancelled.is_set()

    @property
    def interruptible(self) -> bool:
        """Whether `Cancelled` may be raised wherever the job is."""
        return self._shields == 0

    def cancel(self) -> None:
        """Have the next `check` raise."""
        self._cancelled.set()

    def stop(self) -> None:
        """Set `stopped`."""
        self._stopped.set()

    def finish(self) -> None:
        """Have the next `asked_to_finish` be true."""
        self._finishing.set()


Handler = Callable[[ServerJob, Any], Any]
