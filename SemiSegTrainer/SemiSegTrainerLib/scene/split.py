"""Training and validation: which annotated images, frames or slices are kept out of training to measure with.

Whole patients are held out where three or more are annotated, else whole images or cines, else frames of a cine or
slices of a volume. What lies within the gap around a held-out frame or slice looks almost like it; it is neither
trained on nor measured with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from SemiSegCervicalLib.errors import SemiSegError

from .training_set import Side, TrainingCase, TrainingSet

SHARE = 0.2
"""The share of what is annotated that validates."""
_MIN_UNITS = 3
_MAX_CANDIDATES = 2000
_LEVELS = (
    (1, "patient or sequence", "patients or sequences"),
    (0, "image or cine", "images or cines"),
)


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
    """

    units: Mapping[str, tuple[str, str]]
    stacks: Mapping[str, tuple[str, ...]]
    annotated: tuple[str, ...]
    usable: frozenset[str]
    present: Mapping[str, np.ndarray]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """Which annotations validate; all others train.

    Attributes:
        validation: by case id: None where the whole case validates, else the slices of the volume that do.
        gap: by case id: slices of the volume next to validation slices, on which no voxel is trained on.
        dropped: ids of cases that are not used: frames next to a validation frame, and what else belongs to an
            image, cine or patient that is held out.
        how: what was held out, or why nothing was and what to do, in plain words.
        warnings: what the split does not show, in plain words.
        layout: of the training set; what `with_case` needs.
    """

    validation: Mapping[str, tuple[int, ...] | None]
    gap: Mapping[str, tuple[int, ...]]
    dropped: tuple[str, ...]
    how: str
    warnings: tuple[str, ...]
    layout: Layout = field(repr=False)

    def side(self, case_id: str) -> Side | None:
        """Return where a case is used; a volume of which slices validate is a training case; None if dropped."""
        if case_id in self.dropped:
            return None
        return "validation" if self.validation.get(case_id, ()) is None else "training"

    def held_out(self, case_id: str) -> tuple[int, ...]:
        """Return the slices of a volume that are not trained on: those that validate, and the gap around them."""
        return tuple(sorted({*(self.validation.get(case_id) or ()), *self.gap.get(case_id, ())}))

    def with_case(self, case_id: str, side: Side) -> Split:
        """Return the split with one case put on a side by hand.

        A frame put into training stays unused while a frame within the gap around it validates.

        Args:
            case_id: an annotated case; all of it changes sides.
            side: "training" or "validation".

        Raises:
            SemiSegError: the case is not annotated, so that nothing could be measured with it.
        """
        if case_id not in self.layout.annotated:
            if side == "training":
                return self
            raise SemiSegError(
                "not-annotated",
                "An image without annotation cannot be used for validation",
                "Annotate it first, or choose another one",
                "scene",
            )
        validation = {key: value for key, value in self.validation.items() if key != case_id}
        if side == "validation":
            validation[case_id] = None
        if validation == self.validation:
            return self
        gap = {key: value for key, value in self.gap.items() if key != case_id}
        how = self.how.removesuffix(_BY_HAND) + _BY_HAND
        return _split(validation, gap, how, self.layout)


_BY_HAND = "; changed by hand"


def gap_of(length: int) -> int:
    """Return how many frames or slices around a held-out one are not trained on: a twentieth, from 2 to 15."""
    return min(max(2, math.ceil(length / 20)), 15)


def propose_split(training_set: TrainingSet, seed: int = 0) -> Split:
    """Choose what validates: about a fifth of what is annotated, every class on both sides where possible.

    Cases that the user put on a side (`TrainingCase.side`) are on it.

    Args:
        training_set: its annotated cases' `counts` are read.
        seed: decides among equally good choices.

    Returns:
        The split; nothing validates where too little is annotated, and its `how` says what to do.
    """
    layout = _layout(training_set)
    cases = {case.id: case for case in training_set.cases}
    annotated = [cases[i] for i in layout.annotated]
    usable = [case for case in annotated if case.id in layout.usable]
    rng = np.random.default_rng(seed)
    validation: dict[str, tuple[int, ...] | None] = {}
    gap: dict[str, tuple[int, ...]] = {}
    how = _too_little(usable)
    for level, one, several in _LEVELS:
        every = {layout.units[case.id][level] for case in annotated}
        if len(every) >= _MIN_UNITS and len({layout.units[case.id][level] for case in usable}) > 1:
            chosen = _choose_units(usable, annotated, level, layout, rng)
            validation = {case.id: None for case in usable if layout.units[case.id][level] in chosen}
            validates = (
                f"{one} of {len(every)} validates" if len(chosen) == 1 else f"of {len(every)} {several} validate"
            )
            how = f"{len(chosen)} {validates}"
            break
    else:
        said = []
        for unit in dict.fromkeys(layout.units[case.id][0] for case in usable):
            members = [case for case in usable if layout.units[case.id][0] == unit]
            found = _choose_positions(members, annotated, layout, rng)
            if found is not None:
                validation |= found[0]
                gap |= found[1]
                said.append(found[2])
        how = "; ".join(said) or how
    split = _split(validation, gap, how, layout)
    for case in annotated:
        if case.side is not None and split.side(case.id) != case.side:
            split = split.with_case(case.id, case.side)
    return split


def check_split(training_set: TrainingSet, split: Split) -> None:
    """Make sure that no voxel that validates, nor one within the gap around it, would be trained on.

    Args:
        training_set: as it is now.
        split: perhaps edited, or made of an earlier state of the set.

    Raises:
        SemiSegError: it would be, or a case of the split cannot validate any more.
    """
    cases = {case.id: case for case in training_set.cases}
    stacks = _frames(training_set.cases)
    dropped = set(split.dropped)
    for case_id, slices in split.validation.items():
        case = cases.get(case_id)
        if case is None or case.use not in ("labelled", "partly") or case.read_labels is None:
            name = f'"{case.name}"' if case is not None else "An image"
            raise _stale(f"{name} was chosen for validation and is not annotated any more")
        if case_id in dropped:
            raise _stale(f'"{case.name}" was chosen for validation and is left out')
        near = _near(case_id, stacks.get(case.stack or "", ()))
        beside = [cases[i] for i in near if i not in split.validation and i not in dropped]
        beside = [other for other in beside if other.use != "left out"]
        if beside:
            raise _leak(f'"{beside[0].name}" lies next to "{case.name}", which validates, and would be trained on')
        if slices is None:
            continue
        depth = case.shape[0]
        if not slices or not all(0 <= k < depth for k in slices):
            raise _stale(f'The slices of "{case.name}" that validate do not exist')
        open_slices = set(_around(slices, depth)) - set(split.held_out(case_id))
        if open_slices:
            raise _leak(f'Slice {min(open_slices)} of "{case.name}" lies next to one that validates')


def _split(
    validation: Mapping[str, tuple[int, ...] | None], gap: Mapping[str, tuple[int, ...]], how: str, layout: Layout
) -> Split:
    """Find what the chosen validation keeps out of training, and what it cannot show."""
    whole = {case_id for case_id, slices in validation.items() if slices is None}
    dropped = {other for i in whole for other in _near(i, layout.stacks.get(layout.units[i][0], ()))}
    held: set[str] = set()
    for level in (0, 1):
        touched = {layout.units[i][level] for i in whole}
        training = {layout.units[i][level] for i in layout.usable - whole - dropped}
        held |= touched - training
    dropped |= {case_id for case_id, units in layout.units.items() if held & set(units)}
    out = tuple(case_id for case_id in layout.units if case_id in dropped - whole)
    order = {case_id: validation[case_id] for case_id in layout.annotated if case_id in validation}
    return Split(order, dict(gap), out, how, tuple(_warnings(order, gap, out, layout)), layout)


def _warnings(
    validation: Mapping[str, tuple[int, ...] | None],
    gap: Mapping[str, tuple[int, ...]],
    dropped: Sequence[str],
    layout: Layout,
) -> list[str]:
    if not validation:
        return ["Nothing is held out: how good the model is cannot be measured"]
    found = []
    shared = {layout.units[i][1] for i in validation} & {
        layout.units[i][1] for i in layout.annotated if validation.get(i, ()) is not None and i not in dropped
    }
    if shared:
        found.append("Training and validation share a patient or sequence: the figures say little about other patients")
    learned, measured = present_classes(validation, gap, dropped, layout)
    for value, name in enumerate(layout.classes):
        if measured[value] and not learned[value]:
            found.append(f'"{name}" is annotated in validation only: it cannot be learned')
        if learned[value] and not measured[value]:
            found.append(f'"{name}" is not in what validates: how well it is found cannot be measured')
    return found


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


def _layout(training_set: TrainingSet) -> Layout:
    annotated = [case for case in training_set.used("labelled", "partly") if case.read_labels is not None]
    return Layout(
        units={c.id: (c.stack or c.id, c.group) for c in training_set.cases if c.use != "left out"},
        stacks=_frames(training_set.cases),
        annotated=tuple(case.id for case in annotated),
        usable=frozenset(case.id for case in annotated if case.annotated_slices),
        present={case.id: case.counts[:, 1:] > 0 for case in annotated},
        classes=tuple(entry.name for entry in training_set.classes),
    )


def _frames(cases: Iterable[TrainingCase]) -> dict[str, tuple[str, ...]]:
    """Return the ids of the frames of each cine, by its id."""
    found: dict[str, list[str]] = {}
    for case in cases:
        if case.stack is not None:
            found.setdefault(case.stack, []).append(case.id)
    return {stack: tuple(ids) for stack, ids in found.items()}


def _near(case_id: str, frames: tuple[str, ...]) -> tuple[str, ...]:
    """Return the other frames of a cine within the gap around one of them; none for another image."""
    if case_id not in frames:
        return ()
    number = frames.index(case_id)
    return tuple(frames[k] for k in _around([number], len(frames)) if k != number)


def _around(positions: Iterable[int], length: int) -> list[int]:
    """Return the positions themselves and all within the gap around them."""
    gap = gap_of(length)
    return sorted({k for p in positions for k in range(max(0, p - gap), min(length, p + gap + 1))})


def _choose_units(
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


def _choose_positions(
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
    beside = tuple(k for k in _around(held, length) if k not in held)
    return {first.id: tuple(held)}, {first.id: beside}, said


def _best(scores: Sequence[np.ndarray], rng: np.random.Generator) -> int:
    """Return the number of the candidate whose first score is highest, then the second one, and so on.

    Chance decides among equal ones.
    """
    best = np.arange(len(scores[0]))
    for score in scores:
        best = best[score[best] == score[best].max()]
    return int(rng.choice(best))


def _too_little(usable: Sequence[TrainingCase]) -> str:
    """Say why nothing is held out, and what to do."""
    if not usable:
        return "Nothing is held out: no outline is finished. Finish the outlines of an image, frame or slice"
    return (
        "Nothing is held out: too little is annotated to spare any of it. Annotate three images, or three frames or "
        "slices that do not lie next to each other"
    )


def _stale(cause: str) -> SemiSegError:
    return SemiSegError("split-stale", cause, "Propose the split again, or put the image on another side", "scene")


def _leak(cause: str) -> SemiSegError:
    return SemiSegError("split-leak", cause, "Propose the split again, or leave one of the two out", "scene")
