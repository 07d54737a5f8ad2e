"""Which annotated patients, images, frames or slices are held out: about a fifth, every class on both sides.

What validated in an earlier training goes on to validate, and what one learned from does not begin to: a model that
goes on from an earlier one would be measured with what it knows. What the user put on a side counts before all that:
the rest is chosen to go with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, product

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
    """Choose images, cines or patients to hold out; where all of them were learned from, among those.

    Those that the user holds out are among them, and count in the share; none of which the user trains on a part is.

    Returns:
        Their ids; none where the user trains on all of them.
    """
    refused = {layout.units[case.id][level] for case in annotated if case.side == "training"}
    learned_from = {layout.units[case.id][level] for case in annotated if case.past.learned}
    measured_with = {layout.units[case.id][level] for case in usable if case.past.validated} - learned_from
    measured_with = (measured_with | _put_aside(annotated, level, layout)) - refused
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
    kept = [rows[unit] for unit in units if unit in measured_with][: len(units) - 1]
    free = [rows[unit] for unit in units if unit not in measured_with | learned_from | refused]
    if not kept and not free:
        free = [rows[unit] for unit in units if unit not in refused]
    if not kept and not free:
        return set()
    more = min(max(0, count - len(kept)), len(free))
    if math.comb(len(free), more) <= _MAX_CANDIDATES:
        drawn = list(combinations(free, more))
    else:
        drawn = [tuple(rng.choice(free, more, replace=False)) for _ in range(_MAX_CANDIDATES)]
    chosen = np.array([(*kept, *some) for some in drawn])
    held = painted[chosen].sum(axis=1)
    learned = (painted.sum(axis=0) > held).sum(axis=1)
    share = weight[chosen].sum(axis=1) / weight.sum()
    best = _best([learned, (held > 0).sum(axis=1), -np.round(np.abs(share - SHARE), 3)], rng)
    return {units[k] for k in chosen[best]}


def choose_positions(
    members: Sequence[TrainingCase], annotated: Sequence[TrainingCase], layout: Layout, rng: np.random.Generator
) -> tuple[dict[str, tuple[int, ...] | None], dict[str, tuple[int, ...]], str] | None:
    """Choose a run of neighbouring annotated frames of one cine, or slices of one volume.

    One run, since each of its ends costs a gap. Where none without what was learned from can be had, any. Frames that
    the user trains on are neither in it nor beside it.

    Returns:
        (validation, gap, what was held out in plain words); None where too little would be left for training.
    """
    first = members[0]
    if first.stack is not None:
        frames = layout.stacks[first.stack]
        length = len(frames)
        present = {frames.index(case.id): layout.present[case.id][0] for case in members}
        learned_from = {frames.index(case.id) for case in members if case.past.learned}
        measured_with = {frames.index(case.id) for case in members if case.past.validated}
    else:
        length = first.shape[0]
        present = {k: layout.present[first.id][k] for k in first.annotated_slices}
        learned_from, measured_with = set(first.past.learned), set(first.past.validated)
    positions = np.array(sorted(present))
    before = np.cumsum([np.zeros(len(layout.classes), int), *(present[k] for k in positions)], axis=0)
    refused = {layout.stacks[case.stack].index(case.id) for case in members if case.stack and case.side == "training"}
    total = np.sum([layout.present[case.id].sum(axis=0) for case in annotated], axis=0)
    gap = gap_of(length)
    known = np.cumsum([0, *(p in learned_from for p in positions)])
    barred = np.cumsum([0, *(p in refused for p in positions)])
    kept = [k for k, p in enumerate(positions) if p in measured_with]
    longest = max(1, round(SHARE * len(positions)), kept[-1] - kept[0] + 1 if kept else 0)
    for fresh, count in product((True, False), range(longest, 0, -1)):
        start = np.arange(len(positions) - count + 1)
        low = np.searchsorted(positions, positions[start] - gap)
        high = np.searchsorted(positions, positions[start + count - 1] + gap, side="right")
        fits = (len(positions) - (high - low) >= max(2, len(positions) / 2)) & (barred[high] == barred[low])
        if fresh:
            fits &= known[high] == known[low]
            if kept:
                fits &= (start <= kept[0]) & (start + count > kept[-1])
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
    said = f'{len(held)} of {len(positions)} annotated {kind} of "{name}" kept aside{aside}'
    if first.stack is not None:
        return {frames[k]: None for k in held}, {}, said
    beside = tuple(k for k in around(held, length) if k not in held)
    return {first.id: tuple(held)}, {first.id: beside}, said


def _put_aside(annotated: Sequence[TrainingCase], level: int, layout: Layout) -> set[str]:
    """Return what holds an image or cine of which the user put all that is annotated into validation."""
    sides: dict[tuple[str, str], set[str | None]] = {}
    for case in annotated:
        sides.setdefault(layout.units[case.id], set()).add(case.side)
    return {units[level] for units, found in sides.items() if found == {"validation"}}


def _best(scores: Sequence[np.ndarray], rng: np.random.Generator) -> int:
    """Return the number of the candidate whose first score is highest, then the second one, and so on.

    Chance decides among equal ones.
    """
    best = np.arange(len(scores[0]))
    for score in scores:
        best = best[score[best] == score[best].max()]
    return int(rng.choice(best))
