"""What to annotate next: the frames and slices of which a model would learn most.

Expected gain is doubt times novelty. Doubt is the mean calibrated uncertainty in the band around the outlines that the
model draws itself; novelty the distance to the nearest frame or slice that is annotated or suggested already, so that
near copies are not suggested together (greedy k-centre, Sener and Savarese, arXiv:1708.00489, weighted by doubt). By
doubt alone, neighbours with the same fault would fill the list; by novelty alone, frames that the model masters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.intensity import limit, standardise
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.errors import SemiSegError
from torch.nn import functional

from .bands import BAND_WIDTH, boundary_band
from .data import read_sets
from .datalist import Datalist, Entry
from .evaluation import reading
from .targets import known

# Cells along each side of the coarse maps by which two frames or slices are compared.
CELLS = 8
# Where nothing is drawn there is no outline: the most uncertain pixels stand for it, about as many as a band has.
_MOST_UNCERTAIN = 0.01
# Neighbours in a cine or volume closer than this share of its length are nearly copies, as for `folds.split`.
_GAP_SHARE, _GAP_LEAST = 20, 2
# A predicted frame of a cine takes some hundredths of a second: so many are looked at, evenly spaced, of a long one.
_MOST_LOOKED_AT = 600

UNSURE = "unsure along the outline"
NOTHING_FOUND = "the model finds nothing here"
NOVEL = "unlike what is annotated"
NEW_GROUP = "nothing of this patient or sequence is annotated"


@dataclass(frozen=True)
class Ranked:
    """A frame or slice that is worth an annotation.

    Attributes:
        case: id of its entry.
        slice: first array axis of a volume; None for a picture or frame.
        score: expected gain in [0, 1]: 1 for the most doubtful one, if it is also as unlike the annotated ones as two
            that are drawn at random are unlike each other.
        reasons: why, in plain words.
    """

    case: str
    slice: int | None
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Sight:
    """One frame or slice as the model sees it.

    Attributes:
        case: id of its entry.
        slice: of a volume; None for a picture or frame.
        group: patient or sequence, where it is known.
        line: cine or volume along which neighbours are near copies; None for a picture of its own.
        position: frame (a number or a time) or slice on it.
        annotated: somebody has outlined something here.
        open: it may be suggested: nothing is known of it, and it is not held out for validation.
        doubt: see `doubt_at_outline`.
        drawn: the model draws something here.
        look: coarse maps of image and prediction, see `coarse`.
    """

    case: str
    slice: int | None
    group: str | None
    line: str | None
    position: float
    annotated: bool
    open: bool
    doubt: float
    drawn: bool
    look: np.ndarray


def rank(
    predictor: Predictor, datalist: Datalist, count: int = 4, on_progress: Callable[[int, int], None] | None = None
) -> list[Ranked]:
    """Look at the training and unlabelled cases and choose what to annotate next.

    Args:
        predictor: the model, best one that was trained on these cases; its segments may be others than the data's.
        datalist: what is annotated and what is not; its lists for validation and test are left alone.
        count: how many suggestions at most.
        on_progress: called with (cases looked at, cases in all); what it raises ends the ranking.

    Returns:
        The best first; fewer than `count` where less is left.

    Raises:
        SemiSegError: a file is at fault or does not fit the model, or everything is annotated.
    """
    entries = _worth_a_look(datalist.in_order_of(predictor.pack.manifest.input.modalities))
    seen: list[Sight] = []
    for done, entry in enumerate(entries):
        if on_progress:
            on_progress(done, len(entries))
        seen.extend(look_at(predictor, entry, len(datalist.classes) + 1))
    if on_progress:
        on_progress(len(entries), len(entries))
    if not any(sight.open for sight in seen):
        raise SemiSegError(
            "nothing-left", "Everything that could be suggested is annotated already",
            "Add images that are not annotated yet", "settings",
        )  # fmt: skip
    return choose(seen, count)


def drawn_at(predictor: Predictor, datalist: Datalist, ranked: Sequence[Ranked]) -> Iterator[tuple[Ranked, np.ndarray]]:
    """Yield what a model draws on suggested frames and slices, for a person to begin with.

    Args:
        predictor: the model.
        datalist: what was ranked.
        ranked: of `rank`.

    Yields:
        (suggestion, uint8 ``(Y, X)`` of the model's own class values).
    """
    listed = datalist.in_order_of(predictor.pack.manifest.input.modalities)
    entries = {entry.id: entry for entry in (*listed["unlabeled"], *listed["training"])}
    drawn: dict[str, np.ndarray] = {}
    for item in ranked:
        if item.case not in drawn:  # several slices of a volume are predicted at once
            entry = entries[item.case]
            drawn[item.case] = reading(predictor, entry).predict(read_image(entry.images, entry.spacing)).labels
        labels = drawn[item.case]
        yield item, labels if item.slice is None else labels[item.slice]


def _worth_a_look(datalist: Datalist) -> list[Entry]:
    """Return the annotated cases and, evenly spaced, not too many of the others."""
    others = datalist["unlabeled"]
    return [*datalist["training"], *others[:: max(1, math.ceil(len(others) / _MOST_LOOKED_AT))]]


def look_at(predictor: Predictor, entry: Entry, classes: int) -> Iterator[Sight]:
    """Predict a case and yield its picture, or each slice of its volume (first array axis).

    Args:
        predictor: the model.
        entry: the case.
        classes: of its label map, background included.

    Raises:
        SemiSegError: a file is at fault.
    """
    image = read_image(entry.images, entry.spacing)
    volume = len(image.spatial_shape) == 3
    flat = image.spatial_shape if volume else (1, *image.spatial_shape)
    sets = read_sets(entry, classes, image.spatial_shape, image.affine).reshape(flat)
    reader = reading(predictor, entry)
    prediction = reader.predict(image)
    spec = reader.pack.manifest.input
    pictures = standardise(limit(torch.from_numpy(image.array).float(), spec), spec).mean(dim=0)
    for number in range(flat[0]):
        picture = pictures.reshape(flat)[number].numpy()
        labels, uncertainty = (a.reshape(flat)[number] for a in (prediction.labels, prediction.uncertainty))
        voxels = sets[number] != 0  # none of a slice that is held out
        annotated = bool(known(sets[number], classes).any())
        yield Sight(
            case=entry.id,
            slice=number if volume else None,
            group=entry.group,
            line=entry.id if volume else _cine_of(entry),
            position=number if volume else entry.frame or 0.0,
            annotated=annotated,
            open=bool(voxels.any()) and not annotated,
            doubt=doubt_at_outline(labels, uncertainty),
            drawn=bool(labels.any()),
            look=coarse(picture, labels, predictor.pack.class_count),
        )


def _cine_of(entry: Entry) -> str | None:
    """Name the cine of which a case is a frame at a known place; cines of two patients may be called alike."""
    if entry.sequence is None or entry.frame is None:
        return None
    return f"{entry.group}: {entry.sequence}"


def doubt_at_outline(labels: np.ndarray, uncertainty: np.ndarray) -> float:
    """Return the mean uncertainty near the outlines that are drawn.

    Elsewhere it is nearly nothing, and its mean over the whole picture would tell how large the structure is. Where
    nothing is drawn, it is the mean over the most uncertain hundredth of the picture.

    Args:
        labels: integers ``(Y, X)``, predicted.
        uncertainty: ``(Y, X)`` in [0, 1].
    """
    band = boundary_band(1 << labels.astype(np.int32), BAND_WIDTH[2])
    if band.any():
        return float(uncertainty[band].mean())
    most = max(1, round(uncertainty.size * _MOST_UNCERTAIN))
    return float(np.partition(uncertainty, -most, axis=None)[-most:].mean())


def coarse(picture: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return what two frames or slices are compared by: a picture and where each class lies in it, in a few cells.

    Args:
        picture: float32 ``(Y, X)``, standardised.
        labels: integers ``(Y, X)``.
        classes: background included.

    Returns:
        float32 ``(classes, CELLS * CELLS)``: mean of the picture, and share of each class but the background.
    """
    maps = np.stack([picture, *(labels == c for c in range(1, classes))]).astype(np.float32)
    return functional.adaptive_avg_pool2d(torch.from_numpy(maps)[None], CELLS)[0].flatten(1).numpy()


def choose(seen: Sequence[Sight], count: int) -> list[Ranked]:
    """Choose greedily by doubt times novelty; each choice makes what looks like it less novel.

    Neighbours of what is annotated or chosen come last: see `_crowd`.
    """
    places = _comparable(np.stack([sight.look for sight in seen]))
    doubt = np.array([sight.doubt for sight in seen])
    free = np.array([sight.open for sight in seen])
    gaps = _gaps(seen)
    weight = doubt / max(float(doubt[free].max()), 1e-12)
    # As unlike as two drawn at random; where nothing is annotated everything is new.
    novelty, crowded = np.ones(len(seen)), np.zeros(len(seen), dtype=bool)
    taken = [i for i, sight in enumerate(seen) if sight.annotated]
    for i in taken:
        _crowd(seen, i, gaps, places, novelty, crowded)
    usual = np.median(doubt[free]), np.median(novelty[free])
    groups = {seen[i].group for i in taken}
    ranked: list[Ranked] = []
    while len(ranked) < count and free.any():
        allowed = free & ~crowded if (free & ~crowded).any() else free
        best = max(map(int, np.flatnonzero(allowed)), key=lambda i: (weight[i] * novelty[i], doubt[i]))
        sight = seen[best]
        reasons = [UNSURE if sight.drawn else NOTHING_FOUND] if doubt[best] >= usual[0] or not sight.drawn else []
        if taken and sight.group is not None and sight.group not in groups:
            reasons.append(NEW_GROUP)
        elif taken and novelty[best] >= usual[1]:
            reasons.append(NOVEL)
        ranked.append(Ranked(sight.case, sight.slice, float(weight[best] * novelty[best]), tuple(reasons) or (UNSURE,)))
        free[best] = False
        _crowd(seen, best, gaps, places, novelty, crowded)
    return ranked


def _comparable(looks: np.ndarray) -> np.ndarray:
    """Turn looks ``(n, K, cells)`` into points whose mean square distance is 1, picture and classes weighing the same.

    Returns:
        ``(n, K * cells)``; all 0 where all looks are equal.
    """
    parts = [part - part.mean(axis=0) for part in (looks[:, :1], looks[:, 1:])]
    scaled = [part / max(math.sqrt(2 * len(parts) * float((part**2).sum()) / len(looks)), 1e-12) for part in parts]
    return np.concatenate(scaled, axis=1).reshape(len(looks), -1)


def _gaps(seen: Sequence[Sight]) -> dict[str, float]:
    """Return by how much two suggestions of a cine or volume must be apart, in its own unit."""
    lines: dict[str, set[float]] = {}
    for sight in seen:
        if sight.line is not None:
            lines.setdefault(sight.line, set()).add(sight.position)
    gaps = {}
    for line, found in lines.items():
        places = sorted(found)
        step = float(np.median([b - a for a, b in pairwise(places)])) if len(places) > 1 else 0.0
        gaps[line] = max(_GAP_LEAST * step, (places[-1] - places[0]) / _GAP_SHARE)
    return gaps


def _crowd(
    seen: Sequence[Sight], taken: int, gaps: dict[str, float], places: np.ndarray, novelty: np.ndarray,
    crowded: np.ndarray,
) -> None:  # fmt: skip
    """Write into `novelty` and `crowded` what an annotation at `taken` leaves of them."""
    np.minimum(novelty, np.linalg.norm(places - places[taken], axis=1), out=novelty)
    line, position = seen[taken].line, seen[taken].position
    if line is not None:
        gap = gaps[line]
        crowded |= [s.line == line and abs(s.position - position) < gap for s in seen]
