"""The facts before a training, gathered again whenever the scene, the split or the method has changed."""

from __future__ import annotations

from collections.abc import Callable, Generator

from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.slices import Slices

from ..catalogue import MethodText
from ..scene.facts import Facts, facts_in_pieces
from ..scene.split import Split
from ..scene.training_set import TrainingSet
from .collecting import as_error


class Checking:
    """Gathers facts in pieces; those from before stay until the new ones are complete.

    Attributes:
        facts: None before any were gathered, and where they cannot be.
        error: why they cannot be.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        """Wait for `want`; `on_change` is called whenever facts have been gathered."""
        self._on_change = on_change
        self._slices: Slices | None = None
        self._about: tuple[TrainingSet, Split, MethodText] | None = None
        self.facts: Facts | None = None
        self.error: SemiSegError | None = None

    @property
    def active(self) -> bool:
        """Whether newer facts than those that are held are being gathered."""
        return self._slices is not None and self._slices.active

    def want(self, training_set: TrainingSet, split: Split, method: MethodText) -> None:
        """Gather the facts of these, unless they are there."""
        about = (training_set, split, method)
        if self._about is None or any(new is not old for new, old in zip(about, self._about, strict=True)):
            self._drop()
            self._about, self.error = about, None
            self._slices = Slices(self._steps(*about), self._ended)

    def forget(self) -> None:
        """Hold nothing: the scene is closed."""
        self._drop()
        self._about = self.facts = self.error = None

    def close(self) -> None:
        """Gather no more."""
        self._drop()

    def _steps(self, training_set: TrainingSet, split: Split, method: MethodText) -> Generator[None, None, None]:
        self.facts = yield from facts_in_pieces(training_set, split, method)

    def _ended(self, fault: Exception | None) -> None:
        if fault is not None:
            self.facts, self.error = None, as_error(fault)
        self._on_change()

    def _drop(self) -> None:
        if self._slices is not None:
            self._slices.cancel()
