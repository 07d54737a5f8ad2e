"""What the trainer's panel knows at one moment: made by `widget.Panel`, read by every section's ``refresh``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.worker.protocol import Welcome

from ..scene.classes import SegmentKey
from ..scene.facts import Facts
from ..scene.split import Split
from ..scene.training_set import TrainingSet
from .recipe import Recipe


class Section(Protocol):
    """A part of the panel. Besides, one may have

    - ``busy``: why everything else has to wait, in a sentence with its remedy; empty while it does not;
    - ``set_parameters(parameters)``: called with the choices of each new scene, and with None before they go.
    """

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""

    def close(self) -> None:
        """Disconnect, end what runs."""


@dataclass(frozen=True)
class PanelState:
    """One moment.

    Attributes:
        complete: whether the packages are installed that compute.
        training_set: the scene as a training set; None before it has been read.
        split: what of it is kept aside to measure with.
        answers: what the user said of the classes of segments, by segment.
        facts: what a training would work with; None before they are known.
        recipe: what is trained; None where the choices do not make one.
        fault: why the training cannot begin; None where it can.
        busy: why everything else has to wait; empty while nothing runs.
        welcome: what the worker says of devices; None before it has started.
    """

    complete: bool = True
    training_set: TrainingSet | None = None
    split: Split | None = None
    answers: Mapping[SegmentKey, str] = field(default_factory=dict)
    facts: Facts | None = None
    recipe: Recipe | None = None
    fault: SemiSegError | None = None
    busy: str = ""
    welcome: Welcome | None = None

    @property
    def device(self) -> str:
        """What computes for a question to the worker: the processor where it was chosen for training, else any."""
        return "cpu" if self.recipe is not None and self.recipe.device == "cpu" else "auto"
