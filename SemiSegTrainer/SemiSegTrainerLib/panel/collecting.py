"""The scene as a training set and its split, read again some time after anything in it has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator

import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.later import Later
from SemiSegCervicalLib.panel.slices import Slices

from ..scene.collect import collect_steps
from ..scene.split import Split, propose_split
from ..scene.training_set import TrainingSet

_MILLISECONDS = 200


class Collecting:
    """Reads the scene in pieces; what was read before stays until the new is complete.

    Attributes:
        training_set: None before the scene has been read, or where it cannot be.
        split: of this training set.
        error: why it cannot be read.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        """Wait for `want`; `on_change` is called whenever the scene has been read."""
        self._on_change = on_change
        self._later = Later(self._begin, _MILLISECONDS)
        self._wanted = False
        self._slices: Slices | None = None
        self.training_set: TrainingSet | None = None
        self.split: Split | None = None
        self.error: SemiSegError | None = None

    @property
    def active(self) -> bool:
        """Whether something newer than what is held is still to be read."""
        return self._wanted or (self._slices is not None and self._slices.active)

    def want(self) -> None:
        """Read the scene soon: something in it may have changed."""
        if not self._wanted:
            self._wanted = True
            self._later.start()

    def forget(self) -> None:
        """Hold nothing: the scene is closed."""
        self._drop()
        self.training_set = self.split = self.error = None

    def close(self) -> None:
        """Read no more."""
        self._later.close()
        self._drop()

    def _begin(self) -> None:
        self._drop()
        self._slices = Slices(self._steps(), self._ended)

    def _drop(self) -> None:
        self._wanted = False
        if self._slices is not None:
            self._slices.cancel()

    def _steps(self) -> Generator[None, None, None]:
        found = yield from collect_steps(slicer.mrmlScene)
        for case in found.used("labelled", "partly"):
            yield from case.count_in_pieces()  # the split asks for all of them at once
        split = propose_split(found)
        self.training_set, self.split, self.error = found, split, None

    def _ended(self, fault: Exception | None) -> None:
        if fault is not None:
            self.training_set = self.split = None
            self.error = as_error(fault)
        self._on_change()


def as_error(fault: Exception) -> SemiSegError:
    """Return a fault as one that can be shown; what nobody expected goes to the log."""
    if isinstance(fault, SemiSegError):
        return fault
    logging.error("SemiSeg: the scene could not be read", exc_info=fault)
    cause = f"The scene could not be read ({type(fault).__name__}: {fault})"
    return SemiSegError("defect", cause, "Report it with Slicer's log", "scene")
