"""What is trained, and how long: the choices as the worker takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PRESETS = {"Quick": 2.0, "Standard": 10.0, "Thorough": 60.0}
"""Name and minutes."""


@dataclass(frozen=True)
class Recipe:
    """One training, apart from its data.

    Attributes:
        method: name in the registry of methods.
        name: of the new model.
        minutes: how long the training may take; None where `iterations` says it.
        iterations: how many steps it takes; None where `minutes` says it.
        start: the pack to start from; None for random weights.
        size: the network's grid of a new model, in array order; None chooses.
        spacing: voxels of a new 3D model in mm, in array order; None chooses.
        seed: of everything that is drawn.
        device: ``auto``, ``gpu`` or ``cpu``.
        calibrate: as `worker.protocol.Train` says.
        offer_stop: offer to stop when the validation no longer improves.
    """

    method: str
    name: str
    minutes: float | None = PRESETS["Standard"]
    iterations: int | None = None
    start: Path | None = None
    size: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None
    seed: int = 0
    device: str = "auto"
    calibrate: str = "auto"
    offer_stop: bool = False
