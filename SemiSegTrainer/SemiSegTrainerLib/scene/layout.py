"""What a split needs to know of a training set: which images belong together, which are neighbours, what is where."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from .training_set import TrainingCase, TrainingSet


@dataclass(frozen=True)
class Layout:
    """What a split needs to know of its training set.

    Attributes:
        units: ids of image or cine, and of patient, by case id.
        stacks: ids of the frames of each cine in their order, by its id.
        annotated: ids of the cases that are annotated in any way, in the order of the set.
        usable: ids of those among them with a finished outline.
        present: by id of an annotated case: bool ``(Z, classes)``, which class is painted on which slice.
        classes: names of the classes.
        learned: by id of an annotated case: the planes that earlier trainings learned from.
    """

    units: Mapping[str, tuple[str, str]]
    stacks: Mapping[str, tuple[str, ...]]
    annotated: tuple[str, ...]
    usable: frozenset[str]
    present: Mapping[str, np.ndarray]
    classes: tuple[str, ...]
    learned: Mapping[str, frozenset[int]]


def gap_of(length: int) -> int:
    """Return how many frames or slices around a held-out one are not trained on: a twentieth, from 2 to 15."""
    return min(max(2, math.ceil(length / 20)), 15)


def layout_of(training_set: TrainingSet) -> Layout:
    """Return the layout of a training set; the `counts` of its annotated cases are read."""
    annotated = [case for case in training_set.used("labelled", "partly") if case.read_labels is not None]
    return Layout(
        units={c.id: (c.stack or c.id, c.group) for c in training_set.cases if c.use != "left out"},
        stacks=frames_of(training_set.cases),
        annotated=tuple(case.id for case in annotated),
        usable=frozenset(case.id for case in annotated if case.annotated_slices),
        present={case.id: case.counts[:, 1:] > 0 for case in annotated},
        classes=tuple(entry.name for entry in training_set.classes),
        learned={case.id: case.past.learned for case in annotated},
    )


def frames_of(cases: Iterable[TrainingCase]) -> dict[str, tuple[str, ...]]:
    """Return the ids of the frames of each cine, by its id."""
    found: dict[str, list[str]] = {}
    for case in cases:
        if case.stack is not None:
            found.setdefault(case.stack, []).append(case.id)
    return {stack: tuple(ids) for stack, ids in found.items()}


def near(case_id: str, frames: tuple[str, ...]) -> tuple[str, ...]:
    """Return the other frames of a cine within the gap around one of them; none for another image."""
    if case_id not in frames:
        return ()
    number = frames.index(case_id)
    return tuple(frames[k] for k in around([number], len(frames)) if k != number)


def around(positions: Iterable[int], length: int) -> list[int]:
    """Return the positions themselves and all within the gap around them."""
    gap = gap_of(length)
    return sorted({k for p in positions for k in range(max(0, p - gap), min(length, p + gap + 1))})


def present_classes(
    validation: Mapping[str, tuple[int, ...] | None],
    gap: Mapping[str, tuple[int, ...]],
    dropped: Iterable[str],
    layout: Layout,
) -> tuple[np.ndarray, np.ndarray]:
    """Return which classes are painted in training and in validation, bool ``(classes,)`` each."""
    learned, measured = (np.zeros(len(layout.classes), dtype=bool) for _ in range(2))
    unused = set(dropped)
    for case_id in layout.annotated:
        present = layout.present[case_id]
        slices = validation.get(case_id, ())
        if slices is None:
            measured |= present.any(axis=0)
        elif case_id not in unused:
            measured |= present[list(slices)].any(axis=0)
            trained = np.ones(len(present), dtype=bool)
            trained[[*slices, *gap.get(case_id, ())]] = False
            learned |= present[trained].any(axis=0)
    return learned, measured
