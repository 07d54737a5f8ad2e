"""The worker and the chosen model, ready before they are needed, so that Apply begins at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..worker.job import Job
from ..worker.protocol import Load, Model, ModelCard
from .jobs import Jobs
from .later import Later
from .request import GPU

_MILLISECONDS = 500


class Warming:
    """Loads a model some time after it was chosen; what is not needed any more is dropped."""

    def __init__(self, jobs: Callable[[], Jobs], on_end: Callable[[], None]) -> None:
        """Wait for `want`.

        Args:
            jobs: gives the worker.
            on_end: called when a model is loaded, or will not be.
        """
        self._jobs, self._on_end = jobs, on_end
        self._wanted: Model | None = None
        self._done: Model | None = None
        self._job: Job | None = None
        self._later = Later(self._load, _MILLISECONDS)

    def want(self, card: ModelCard, device: str) -> None:
        """Load a model soon, unless it was loaded last; which graphics card there is only the worker knows."""
        self._wanted = Model(card.path, device, signature=card.signature)
        if self._wanted != self._done and device != GPU:
            self._later.start()

    def forget(self) -> None:
        """Load nothing that is still waiting, and take nothing for loaded."""
        self._wanted = self._done = None

    def close(self) -> None:
        """Load nothing any more."""
        self.forget()
        self._later.close()

    def _load(self) -> None:
        wanted = self._wanted
        if wanted is None or wanted == self._done:
            return
        self._done = wanted
        client = self._jobs().client
        if self._job is not None:
            client.cancel(self._job)
        # Not the client of then: to ask for one when the module is closed would make another.
        self._job = client.submit(Load(wanted), on_end=lambda job: self._ended(client, job))

    def _ended(self, client: Any, job: Any) -> None:
        if job is self._job:
            self._job = None
        client.release(job)
        self._on_end()
