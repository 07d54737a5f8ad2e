"""The worker process of a module: there when something is to be done, and gone with the module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from ..worker.protocol import Welcome
from .transport import SlicerClient


class Running(Protocol):
    """A job that is under way."""

    def stop(self) -> None:
        """End it now: the module is closed."""

    def wake(self) -> None:
        """The worker may have become ready, or have failed."""


JobT = TypeVar("JobT", bound=Running)


class Workers(Generic[JobT]):
    """Starts the worker when something is to be done, and ends everything in `close`.

    Attributes:
        on_change: called when the state of the worker may have changed.
        running: the jobs under way; who starts one adds it, and says `ended` of it.
    """

    def __init__(self, **options: Any) -> None:
        """Prepare; nothing is started. `options` are those of `worker.client.Client`."""
        self._options = options
        self._client: SlicerClient | None = None
        self.running: list[JobT] = []
        self.on_change: Callable[[], None] | None = None
        self._outdated = False

    @property
    def client(self) -> SlicerClient:
        """The worker's client."""
        if self._client is None:
            self._client = SlicerClient(on_change=self._changed, **self._options)
        return self._client

    @property
    def welcome(self) -> Welcome | None:
        """What the worker said of devices; None while there is none."""
        return self._client.welcome if self._client is not None else None

    def close(self) -> None:
        """Cancel what runs, end the worker and remove its files."""
        for job in list(self.running):
            job.stop()
        client, self._client = self._client, None
        if client is not None:
            client.on_change = None
            client.dispose()

    def end_worker(self) -> None:
        """End the process that computes, and what it does; the next job starts another."""
        self._outdated = False
        if self._client is not None:
            self._client.close()

    def renew_worker(self) -> None:
        """End the process that computes as soon as nothing runs: new packages are found by a new one only."""
        self._outdated = True
        self._renew()

    def ended(self, job: JobT) -> None:
        """Forget a job that has ended."""
        if job in self.running:
            self.running.remove(job)
        self._renew()

    def _renew(self) -> None:
        if self._outdated and not self.running:
            self.end_worker()

    def _changed(self) -> None:
        for job in self.running:
            job.wake()
        if self.on_change is not None:
            self.on_change()
