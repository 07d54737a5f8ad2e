"""What the trainer's panel remembers in the scene: the choices, bound to the widgets by their names."""

# Slicer reads the annotations of this class itself, so they stay what they are: no "from __future__" here.
from typing import Annotated

from SemiSegCervicalLib.panel.parameters import DEVICE_NAMES
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from .recipe import AUTOMATIC, PRESETS


@parameterNodeWrapper
class Parameters:
    """The choices of the panel.

    Attributes:
        minutes: how long the training may take, where `iterations` is 0.
        iterations: how many steps it takes; 0 where `minutes` says it.
        method: name in the registry of methods; `AUTOMATIC` chooses by what is annotated.
        start: name of an installed model, or the path of a file; `AUTOMATIC` takes the first that fits, `SCRATCH`
            begins with random weights.
        name: of the new model.
        size, spacing: numbers in the order x, y, z, as people write them; empty chooses.
        seed: of everything that is drawn.
        device: what computes.
        calibrate: fit how sure the model may say it is.
        offer_stop: offer to stop when the validation no longer improves.
    """

    minutes: Annotated[float, WithinRange(0.1, 10000.0)] = PRESETS["Standard"]
    iterations: Annotated[int, WithinRange(0, 10000000)] = 0
    method: str = AUTOMATIC
    start: str = AUTOMATIC
    name: str = "My model"
    size: str = ""
    spacing: str = ""
    seed: Annotated[int, WithinRange(0, 1000000)] = 0
    device: Annotated[str, Choice(list(DEVICE_NAMES))] = "Automatic"
    calibrate: bool = True
    offer_stop: bool = False
