"""Models on the same annotated cases, and the cases on which each does worst."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.pack import Pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.result import Prediction
from SemiSegCervicalLib.engine.schema import SegmentClass
from SemiSegCervicalLib.engine.uncertainty import percent

from .data import read_sets
from .datalist import Datalist, Entry
from .evaluation import CaseFigures, Meaning, compare_labels, nan_mean, reading
from .learned import Unseen
from .previews import Picture, most_outlined, reference_of, stretched
from .targets import decided, known


@dataclass(frozen=True)
class Worst:
    """A case of low Dice, at the slice with most voxels that are wrong.

    Attributes:
        case: its id.
        slice: index along the first axis; None for a picture.
        dice: mean over the case's segments; None where there is none.
        picture: with the labels in the references' values.
        aspect: height of a pixel over its width.
    """

    case: str
    slice: int | None
    dice: float | None
    picture: Picture
    aspect: float


@dataclass(frozen=True)
class Measurement:
    """What a model is worth.

    Attributes:
        dice: of each class of the references, in value order, mean over the cases that have one; None where none has.
        mean: of the cases' means; None where there is none.
        voxels: annotated ones.
        cases: annotated ones.
        worst: the worst first.
    """

    dice: tuple[float | None, ...]
    mean: float | None
    voxels: int
    cases: int
    worst: tuple[Worst, ...]


def unseen_by_all(
    packs: Sequence[Pack], datalist: Datalist, name: str, on_case: Callable[[], None] = lambda: None
) -> tuple[Datalist, str]:
    """Keep of a list what none of the models has learned from, as far as they tell (`learned`).

    Args:
        packs: the models.
        datalist: the data.
        name: of the list; of volumes that were learned from in part the other slices are kept.
        on_case: called before each case that is looked at.

    Returns:
        The data with this list shortened, cases without annotation left out, and what was left out in words; empty
        where nothing was.

    Raises:
        SemiSegError: a file is at fault, or a model cannot read the cases.
    """
    kept = [entry for entry in datalist.named(name) if entry.label is not None]
    classes, said = len(datalist.classes) + 1, []
    learned: dict[tuple[str, ...], set[str]] = {}  # what earlier versions kept depends on the order of the modalities
    for pack in packs:
        learned.setdefault(pack.manifest.input.modalities, set()).update(pack.manifest.provenance.learned)
    who = "the model" if len(packs) == 1 else "one of the models"
    for modalities, digests in learned.items():
        if not digests:
            continue
        ordered = replace(datalist, lists={**datalist.lists, name: tuple(kept)}).in_order_of(modalities)
        unseen, left = Unseen(digests, classes, who=who), []
        for entry, read in zip(kept, ordered[name], strict=True):
            on_case()
            image = read_image(read.images, read.spacing)
            before = len(unseen.entries)
            unseen.look(read, image, read_sets(read, classes, image.spatial_shape, image.affine))
            left += [replace(entry, only=found.only) for found in unseen.entries[before:]]
        kept = left
        said += [unseen.left_out] if unseen.left_out else []
    return replace(datalist, lists={**datalist.lists, name: tuple(kept)}), "; ".join(said)


def measure_model(
    predictor: Predictor,
    entries: Sequence[Entry],
    classes: Sequence[SegmentClass],
    worst: int,
    on_case: Callable[[], None],
) -> Measurement:
    """Measure a model.

    Args:
        predictor: the model.
        entries: annotated cases.
        classes: of their references; the model's are matched to them by name.
        worst: how many of the worst cases to keep pictures of.
        on_case: called after every case.

    Raises:
        SemiSegError: a file is at fault, the model cannot read the cases, or knows none of their segments.
    """
    meaning = Meaning(predictor.pack.manifest.classes, classes)
    figures: list[CaseFigures] = []
    kept: list[Worst] = []
    for entry in entries:
        image = read_image(entry.images, entry.spacing)
        found = reading(predictor, entry).predict(image)
        labels = meaning(found.labels)
        told = meaning.known(compare_labels(labels, entry, classes, image.spacing, False, image.affine))
        figures.append(told)
        # Only pictures are kept: whole volumes of every case would fill the memory.
        if len(kept) < worst or (kept and _order(told.dice) < _order(kept[-1].dice)):
            kept.append(_look(entry, image, labels, found, told.dice, len(classes) + 1))
            kept = sorted(kept, key=lambda shown: _order(shown.dice))[:worst]
        on_case()
    by_class = [[f.segments[c.name].dice for f in figures if c.name in f.segments] for c in classes]
    return Measurement(
        tuple(_number(nan_mean(values)) for values in by_class), _number(nan_mean([f.dice for f in figures])),
        sum(f.voxels for f in figures), len(figures), tuple(kept),
    )  # fmt: skip


def _look(entry: Entry, image: Image, labels: np.ndarray, found: Prediction, dice: float, classes: int) -> Worst:
    sets = read_sets(entry, classes, image.spatial_shape, image.affine)
    reference = reference_of(sets, classes)
    assert reference is None or reference.shape == labels.shape
    grey, doubt, at = image.array[0], found.uncertainty, None
    truth = np.zeros(sets.shape, dtype=np.uint8) if reference is None else reference
    if sets.ndim == 3:
        wrong = (decided(sets) & known(sets, classes) & (labels != truth)).sum(axis=(1, 2))
        at = int(wrong.argmax()) if wrong.any() else most_outlined(sets, classes)
        grey, doubt, labels, truth = grey[at], doubt[at], labels[at], truth[at]
    aspect = image.spacing[-2] / image.spacing[-1] if image.spacing is not None else 1.0
    return Worst(entry.id, at, _number(dice), Picture(stretched(grey), labels, percent(doubt), truth), aspect)


def _order(dice: float | None) -> float:
    """A case without any segment, on which nothing can be wrong but what is invented, comes last."""
    return math.inf if dice is None or math.isnan(dice) else dice


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
