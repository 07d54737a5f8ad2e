"""Which annotated patients, images, frames or slices are held out: about a fifth, every class on both sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from .layout import Layout, around, gap_of
from .training_set import TrainingCase

SHARE = 0.2
"""The share of what is annotated that validates."""
_MAX_CANDIDATES = 2000


def choose_units(
    usable: Sequence[TrainingCase],
    annotated: Sequence[TrainingCase],
    level: int,
    layout: Layout,
    rng: np.random.Generator,
) -> set[str]:
    """Choose images, cines or patients to hold out."""
    units = list(dict.fromkeys(layout.units[case.id][level] for case in usable))
    others = list(dict.fromkeys(layout.units[case.id][level] for case in annotated))
    rows = {unit: row for row, unit in enumerate(dict.fromkeys([*units, *others]))}
    painted = np.zeros((len(rows), len(layout.classes)), dtype=np.int64)
    weight = np.zeros(len(rows))
    for case in annotated:
        row = rows[layout.units[case.id][level]]
        painted[row] += layout.present[case.id].sum(axis=0)
        weight[row] += max(1, len(case.annotated_slices))
    count = min(max(1, round(SHARE * len(rows))), len(units) - 1)
    if math.comb(len(units), count) <= _MAX_CANDIDATES:
        chosen = np.array(list(combinations(range(len(units)), count)))
    else:
        chosen = np.array([rng.choice(len(units), count, replace=False) for _ in range(_MAX_CANDIDATES)])
    held = painted[chosen].sum(axis=1)
    learned = (painted.sum(axis=0) > held).sum(axis=1)
    share = weight[chosen].sum(axis=1) / weight.sum()
    best = _best([learned, (held > 0).sum(axis=1), -np.round(np.abs(share - SHARE), 3)], rng)
    return {units[k] for k in chosen[best]}


def choose_positions(
    members: Sequence[TrainingCase], annotated: Sequence[TrainingCase], layout: Layout, rng: np.random.Generator
) -> tuple[dict[str, tuple[int, ...] | None], dict[str, tuple[int, ...]], str] | None:
    """Choose a run of neighbouring annotated frames of one cine, or slices of one volume.

    One run, since each of its ends costs a gap.

    Returns:
        (validation, gap, what was held out in plain words); None where too little would be left for training.
    """
    first = members[0]
    if first.stack is not None:
        frames = layout.stacks[first.stack]
        length = len(frames)
        present = {frames.index(case.id): layout.present[case.id][0] for case in members}
    else:
        length = first.shape[0]
        present = {k: layout.present[first.id][k] for k in first.annotated_slices}
    positions = np.array(sorted(present))
    before = np.cumsum([np.zeros(len(layout.classes), int), *(present[k] for k in positions)], axis=0)
    total = np.sum([layout.present[case.id].sum(axis=0) for case in annotated], axis=0)
    gap = gap_of(length)
    for count in range(max(1, round(SHARE * len(positions))), 0, -1):
        start = np.arange(len(positions) - count + 1)
        low = np.searchsorted(positions, positions[start] - gap)
        high = np.searchsorted(positions, positions[start + count - 1] + gap, side="right")
        fits = len(positions) - (high - low) >= max(2, len(positions) / 2)
        start, low, high = start[fits], low[fits], high[fits]
        if len(start):
            learned = (total > before[high] - before[low]).sum(axis=1)
            measured = (before[start + count] > before[start]).sum(axis=1)
            k = _best([learned, measured, low - high], rng)
            held = [int(p) for p in positions[start[k] : start[k] + count]]
            lost = int(high[k] - low[k]) - count
            break
    else:
        return None
    kind, name = ("slices", first.name) if first.stack is None else ("frames", first.sequence)
    aside = f" ({lost} annotated ones next to them are not used)" if lost else ""
    said = f'{len(held)} of {len(positions)} annotated {kind} of "{name}" validate{aside}'
    if first.stack is not None:
        return {frames[k]: None for k in held}, {}, said
    beside = tuple(k for k in around(held, length) if k not in held)
    return {first.id: tuple(held)}, {first.id: beside}, said


def _best(scores: Sequence[np.ndarray], rng: np.random.Generator) -> int:
    """Return the number of the candidate whose first score is highest, then the second one, and so on.

    Chance decides among equal ones.
    """
    best = np.arange(len(scores[0]))
    for score in scores:
        best = best[score[best] == score[best].max()]
    return int(rng.choice(best))
