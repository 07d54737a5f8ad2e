"""The worker of the module and what it is asked to do, for the panel as well as for scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..errors import SemiSegError
from ..packs import find_packs
from ..worker.protocol import ModelCard
from .cards import read_card
from .request import Request, make_request
from .segmenting import Segmenting
from .workers import Workers


class Jobs(Workers[Segmenting]):
    """The module's worker, and the segmentations that it is asked for."""

    def start(
        self,
        request: Request,
        on_change: Callable[[], None] | None = None,
        on_frames: Callable[[], None] | None = None,
        on_end: Callable[[Segmenting], None] | None = None,
    ) -> Segmenting:
        """Begin a job; see `Segmenting`."""

        def ended(job: Segmenting) -> None:
            self.ended(job)
            if on_end is not None:
                on_end(job)

        job = Segmenting(self.client, request, on_change, on_frames, ended)
        self.running.append(job)
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
