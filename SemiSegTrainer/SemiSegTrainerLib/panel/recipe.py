"""What is trained, and how long: the panel's choices as the worker takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.cards import failure_of
from SemiSegCervicalLib.panel.inputs import TIMES
from SemiSegCervicalLib.panel.parameters import DEVICE_NAMES
from SemiSegCervicalLib.scene.classes import name_key
from SemiSegCervicalLib.worker.protocol import ModelCard

from ..catalogue import METHODS, MethodText, proposed
from ..modality_places import places_of
from ..scene.training_set import TrainingSet
from ..versions import check_name

PRESETS = {"Quick": 2.0, "Standard": 10.0, "Thorough": 60.0}
"""Name and minutes."""
DIVISORS = {2: 32, 3: 8}
"""What each side of the networks' grid is a multiple of, by the dimensions of the images: so often they halve it."""
LONGEST_SIDE = 2048
AUTOMATIC, SCRATCH = "automatic", "scratch"
"""Instead of the name of a method or of a model to start from."""


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


def make_recipe(chosen: Any, training_set: TrainingSet, cards: Mapping[str, ModelCard]) -> Recipe:
    """Turn the panel's choices into a recipe.

    Args:
        chosen: `parameters.Parameters`.
        training_set: decides what is chosen automatically.
        cards: the installed models by name.

    Raises:
        SemiSegError: the choices do not make a training.
    """
    dimensions = dimensions_of(training_set)
    return recipe_for(
        training_set,
        cards,
        method=chosen.method,
        name=chosen.name,
        minutes=chosen.minutes,
        iterations=chosen.iterations or None,
        start=chosen.start,
        size=tuple(round(n) for n in numbers(chosen.size, dimensions, "The size")) or None,
        spacing=numbers(chosen.spacing, 3, "The voxel size") or None,
        seed=chosen.seed,
        device=DEVICE_NAMES[chosen.device],
        calibrate="auto" if chosen.calibrate else "none",
        offer_stop=chosen.offer_stop,
    )


def recipe_for(
    training_set: TrainingSet,
    cards: Mapping[str, ModelCard],
    *,
    method: str = AUTOMATIC,
    name: str = "My model",
    minutes: float = PRESETS["Standard"],
    iterations: int | None = None,
    start: str = AUTOMATIC,
    size: tuple[int, ...] | None = None,
    spacing: tuple[float, ...] | None = None,
    **more: Any,
) -> Recipe:
    """Make a recipe, with what is chosen automatically chosen.

    Args:
        training_set: what is trained on.
        cards: the models that it may start from, by name or path.
        method: name in the registry, or `AUTOMATIC`.
        name, minutes, iterations, size, spacing: as in `Recipe`; `iterations` go before `minutes`.
        start: as `start_of` takes it.
        more: of the other fields of `Recipe`.

    Raises:
        SemiSegError: this makes no training.
    """
    name = name.strip()
    check_name(name)
    length = None if iterations else minutes
    chosen = method_of(method, training_set, length)
    card = start_of(start, training_set, cards, chosen)
    if size is not None and len(size) in DIVISORS and card is None:
        check_size(size)
    return Recipe(
        method=chosen.name,
        name=name,
        minutes=length,
        iterations=iterations,
        start=None if card is None else Path(card.path),
        # A model that is trained further keeps what it reads.
        size=size if card is None else None,
        spacing=spacing if card is None and dimensions_of(training_set) == 3 else None,
        **more,
    )


def dimensions_of(training_set: TrainingSet) -> int:
    """Return 2 for pictures and frames, 3 for volumes; as the first annotated image says."""
    cases = training_set.used("labelled", "partly") or training_set.used("unlabelled")
    return 3 if cases and cases[0].shape[0] > 1 else 2


def has_unlabelled(training_set: TrainingSet) -> bool:
    """Return whether something is not annotated."""
    return bool(training_set.used("unlabelled", "partly"))


def lacks_images(training_set: TrainingSet) -> bool:
    """Return whether a case that is used has no image of some modality."""
    used = training_set.used("labelled", "partly", "unlabelled")
    return any(image is None for case in used for image in case.images)


def method_of(name: str, training_set: TrainingSet, minutes: float | None) -> MethodText:
    """Return the method of a name; of `AUTOMATIC`, and where there is no such method, the one for these data.

    Args:
        name: in the registry, or `AUTOMATIC`.
        training_set: what is trained on.
        minutes: how long the training may take; None where it is not limited by time.
    """
    known = {method.name: method for method in METHODS}
    return known.get(name) or proposed(
        dimensions_of(training_set), has_unlabelled(training_set), len(training_set.modalities), minutes,
        lacks_images(training_set),
    )  # fmt: skip


def start_of(
    choice: str, training_set: TrainingSet, cards: Mapping[str, ModelCard], method: MethodText
) -> ModelCard | None:
    """Return the model to start from; None for random weights.

    Args:
        choice: name of an installed model, path of a file, `SCRATCH`, or `AUTOMATIC`: the first model that the method
            can train further and that knows exactly the classes of the training set.
        training_set: what is trained on.
        cards: the installed models by name.
        method: what trains.

    Raises:
        SemiSegError: there is no such model, it cannot be read, or it cannot be the start.
    """
    if choice == SCRATCH:
        return None
    if choice == AUTOMATIC:
        known = (card for card in cards.values() if fits(card, training_set) and knows(card, training_set))
        return next((card for card in known if trains_further(method, card)), None)
    card = cards.get(choice)
    if card is None:
        cause = f"The model to start from, {Path(choice).name}, is not there any more"
        raise SemiSegError("missing-start", cause, "Choose another one under Start from", "settings")
    if (fault := failure_of(card)) is not None:
        raise fault
    if not fits(card, training_set):
        kind = "volumes" if card.spatial_dims == 3 else "single images"
        kind += f" of {len(card.modalities)} modalities" if len(card.modalities) > 1 else ""
        cause = f'The model to start from, "{card.name}", segments {kind}, and these are others'
        raise SemiSegError("wrong-start", cause, "Choose another one under Start from", "settings")
    if not trains_further(method, card):
        raise SemiSegError(
            "wrong-start",
            f'The method "{method.title}" trains a network for each modality, the starting model does not',
            "Choose a starting model that was trained so, or train from scratch", "settings",
        )  # fmt: skip
    return card


def fits(card: ModelCard, training_set: TrainingSet) -> bool:
    """Return whether a model reads such images."""
    same = card.spatial_dims == dimensions_of(training_set) and len(card.modalities) == len(training_set.modalities)
    return card.failure is None and same and places_of(training_set.modalities, card.modalities) is not None


def trains_further(method: MethodText, card: ModelCard) -> bool:
    """Return whether a method can begin with the networks of a model.

    A method that needs a network for each modality cannot make one of a network that reads several. Every other method
    trains whatever networks the model has, each on what it reads.
    """
    count = len(card.modalities)  # of one alone it is the data that are refused, not the model
    return not method.needs_modalities or count < 2 or card.reads == tuple((k,) for k in range(count))


def knows(card: ModelCard, training_set: TrainingSet) -> bool:
    """Return whether a model has exactly the classes of a training set, in whatever order."""
    wanted = {name_key(entry.name) for entry in training_set.classes}
    return bool(wanted) and {name_key(entry.name) for entry in card.classes} == wanted


def check_size(size: Sequence[int]) -> None:
    """Make sure that new networks can halve a grid as often as they do.

    Args:
        size: in array order.

    Raises:
        SemiSegError: they cannot, and what is near that they can.
    """
    divisor = DIVISORS[len(size)]
    near = [min(max(divisor, round(n / divisor) * divisor), LONGEST_SIDE) for n in size]
    if max(near) == divisor:  # at the deepest level more than one voxel has to be left
        near[-1] = 2 * divisor
    if list(size) != near:
        raise SemiSegError(
            "bad-size", f"The networks cannot halve the size {_written(size)} often enough, or it is too large",
            f"Write {_written(near)} under Advanced, multiples of {divisor}, or leave it empty", "settings",
        )  # fmt: skip


def _written(size: Sequence[int]) -> str:
    """Write a size as people do, x first."""
    return TIMES.join(str(n) for n in reversed(size))


def numbers(text: str, count: int, what: str) -> tuple[float, ...]:
    """Return positive numbers that people wrote in the order x, y, z, in array order; none for an empty text.

    Raises:
        SemiSegError: something else was written.
    """
    if not text.strip():
        return ()
    parts = [part for part in re.split(r"[x\N{MULTIPLICATION SIGN},;\s]+", text.strip().lower()) if part]
    try:
        found = tuple(float(part) for part in parts)
    except ValueError:
        found = ()
    if len(found) != count or not all(0 < value < 1e5 for value in found):
        example = " x ".join(("128", "96", "64")[:count])
        raise SemiSegError(
            "bad-number", f'{what} "{text.strip()}" cannot be read',
            f"Write {count} numbers such as {example} under Advanced, or leave it empty", "settings",
        )  # fmt: skip
    return found[::-1]
