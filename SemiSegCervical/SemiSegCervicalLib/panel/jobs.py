"""The worker of the module and what it is asked to do, for the panel as well as for scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..errors import SemiSegError
from ..packs import find_packs
from ..worker.protocol import ModelCard, Welcome
from .cards import read_card
from .request import Request, make_request
from .segmenting import Segmenting
from .transport import SlicerClient


class Jobs:
    """Starts the worker when something is to be done, and ends everything in `close`.

    Attributes:
        on_change: called when the state of the worker may have changed.
    """

    def __init__(self, **options: Any) -> None:
        """Prepare; nothing is started. `options` are those of `worker.client.Client`."""
        self._options = options
        self._client: SlicerClient | None = None
        self._running: list[Segmenting] = []
        self.on_change: Callable[[], None] | None = None

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

    def start(
        self,
        request: Request,
        on_change: Callable[[], None] | None = None,
        on_frames: Callable[[], None] | None = None,
        on_end: Callable[[Segmenting], None] | None = None,
    ) -> Segmenting:
        """Begin a job; see `Segmenting`."""

        def ended(job: Segmenting) -> None:
            if job in self._running:
                self._running.remove(job)
            if on_end is not None:
                on_end(job)

        job = Segmenting(self.client, request, on_change, on_frames, ended)
        self._running.append(job)
        return job

    def process(
        self,
        node: Any,
        model: str | Path | None = None,
        device: str = "auto",
        frames: Iterable[int] | None = None,
        slices_as_frames: bool = False,
        replace: Any = None,
        uncertainty: bool = True,
        wait: bool = True,
        on_progress: Callable[[Segmenting], None] | None = None,
    ) -> Any:
        """Segment an image; `SemiSegCervicalLogic.process` says what the arguments are."""
        nodes = dict(enumerate(node)) if isinstance(node, (list, tuple)) else {0: node}
        chosen = None if frames is None else tuple(frames)
        request = make_request(find_card(model), nodes, device, chosen, slices_as_frames, replace, uncertainty)
        told: list[Segmenting] = []
        job = self.start(request, on_change=lambda: on_progress(told[0]) if on_progress and told else None)
        told.append(job)
        return job.wait() if wait else job

    def close(self) -> None:
        """Cancel what runs, end the worker and remove its files."""
        for job in list(self._running):
            job.stop()
        client, self._client = self._client, None
        if client is not None:
            client.on_change = None
            client.dispose()

    def end_worker(self) -> None:
        """End the process that computes, and what it does; the next job starts another."""
        if self._client is not None:
            self._client.close()

    def _changed(self) -> None:
        for job in self._running:
            job.wake()
        if self.on_change is not None:
            self.on_change()


def find_card(model: str | Path | None) -> ModelCard:
    """Return the card of a model.

    Args:
        model: its name, or a file; None for the only one that is installed.

    Raises:
        SemiSegError: there is none, or there are several to choose from.
    """
    packs = find_packs()
    if model is None:
        if len(packs) != 1:
            cause = f"There are several models: {', '.join(packs)}" if packs else "No model is installed"
            raise SemiSegError("no-model", cause, "Name the model" if packs else "Add a model first", "loading")
        return read_card(next(iter(packs.values())))
    if str(model) in packs:
        return read_card(packs[str(model)])
    return read_card(Path(model))
