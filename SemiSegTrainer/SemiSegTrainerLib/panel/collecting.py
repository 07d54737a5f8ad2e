"""The scene as a training set, read again some time after anything in it has changed."""

from __future__ import annotations

from collections.abc import Callable

import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.later import Later

from ..scene.collect import collect_training_set
from ..scene.training_set import TrainingSet

_MILLISECONDS = 200


class Collecting:
    """Holds the training set of the scene.

    Attributes:
        training_set: None before the scene has been read, or where it cannot be.
        error: why it cannot be read.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        """Wait for `want`; `on_change` is called whenever the scene has been read."""
        self._on_change = on_change
        self._later = Later(self.read, _MILLISECONDS)
        self.training_set: TrainingSet | None = None
        self.error: SemiSegError | None = None

    def want(self) -> None:
        """Read the scene soon: something in it may have changed."""
        self._later.start()

    def read(self) -> None:
        """Read the scene now."""
        self.training_set = self.error = None
        try:
            self.training_set = collect_training_set(slicer.mrmlScene)
        except SemiSegError as error:
            self.error = error
        self._on_change()

    def forget(self) -> None:
        """Hold nothing: the scene is closed."""
        self.training_set = self.error = None

    def close(self) -> None:
        """Read no more."""
        self._later.close()
