"""Training and validation: which annotated images, frames or slices are kept out of training to measure with.

Whole patients are held out where three or more are annotated, or two with several images of which one can be spared;
else whole images or cines, else frames of a cine or slices of a volume. What lies within the gap around a held-out
frame or slice looks almost like it; it is neither trained on nor measured with.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from SemiSegCervicalLib.errors import SemiSegError

from .choosing import choose_positions, choose_units
from .layout import Layout, around, frames_of, layout_of, near, present_classes
from .training_set import Side, TrainingCase, TrainingSet

_MIN_UNITS = 3
_IMAGES, _PATIENTS = 0, 1  # the levels of `Layout.units`
_BY_HAND = "; changed by hand"


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

    def among(self, cases: Collection[str]) -> Split:
        """Return the split of some of the cases, by their ids."""
        return replace(
            self,
            validation={case_id: slices for case_id, slices in self.validation.items() if case_id in cases},
            gap={case_id: slices for case_id, slices in self.gap.items() if case_id in cases},
            dropped=tuple(case_id for case_id in self.dropped if case_id in cases),
        )

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
        return _split(validation, gap, _counted(validation, self.layout) + _BY_HAND, self.layout)


def propose_split(training_set: TrainingSet, seed: int = 0) -> Split:
    """Choose what validates: about a fifth of what is annotated, every class on both sides where possible.

    Cases that the user put on a side (`TrainingCase.side`) are on it, and the rest is chosen to go with them. What
    validated in an earlier training stays aside, and what one learned from is not held out (`TrainingCase.past`), so
    that models that go on from each other are measured with what none of them knows.

    Args:
        training_set: its annotated cases' `counts` are read.
        seed: decides among equally good choices.

    Returns:
        The split; nothing validates where too little is annotated, and its `how` says what to do.
    """
    layout = layout_of(training_set)
    cases = {case.id: case for case in training_set.cases}
    annotated = [cases[i] for i in layout.annotated]
    usable = [case for case in annotated if case.id in layout.usable]
    rng = np.random.default_rng(seed)
    gap: dict[str, tuple[int, ...]] = {}
    found = _whole_units(usable, annotated, layout, rng)
    if found is not None:
        validation, how = found
    else:
        validation, gap, how = _positions(usable, annotated, layout, rng)
    split = _split(validation, gap, how, layout)
    for case in annotated:
        slices = split.validation.get(case.id, ())
        if (case.side == "validation" and slices is not None) or (case.side == "training" and slices != ()):
            split = split.with_case(case.id, case.side)
    if any(case.side for case in annotated) and (not split.validation or not split.how.endswith(_BY_HAND)):
        split = replace(split, how=_counted(split.validation, layout) + _BY_HAND)
    return split


def _whole_units(
    usable: Sequence[TrainingCase], annotated: Sequence[TrainingCase], layout: Layout, rng: np.random.Generator
) -> tuple[dict[str, tuple[int, ...] | None], str] | None:
    """Choose patients, else images or cines; None where there are too few of them."""
    for level in (_PATIENTS, _IMAGES):
        every = {layout.units[case.id][level] for case in annotated}
        images = {layout.units[case.id][_IMAGES] for case in annotated}
        if len(images) < _MIN_UNITS or len({layout.units[case.id][level] for case in usable}) < 2:
            continue
        chosen = choose_units(usable, annotated, level, layout, rng)
        validation: dict[str, tuple[int, ...] | None]
        validation = {case.id: None for case in usable if layout.units[case.id][level] in chosen}
        if level == _PATIENTS and not validation:  # the user trains on a part of each of them
            continue
        if len(every) < _MIN_UNITS and not _can_be_spared(validation, annotated, layout):
            continue
        kinds = dict.fromkeys(_kind(case, level) for case in annotated)
        return validation, f"{len(chosen)} of {len(every)} {' and '.join(kinds)} kept aside"
    return None


def _can_be_spared(
    validation: Mapping[str, tuple[int, ...] | None], annotated: Sequence[TrainingCase], layout: Layout
) -> bool:
    """Say whether one of two patients can be held out: nothing of them was learned from, the other has every class,
    and at least as much is annotated there."""
    held, rest = ([case for case in annotated if (case.id in validation) is aside] for aside in (True, False))
    learned, measured = present_classes(validation, {}, (), layout)
    share = [sum(max(1, len(case.annotated_slices)) for case in side) for side in (held, rest)]
    return not any(case.past.learned for case in held) and bool((learned | ~measured).all()) and share[0] <= share[1]


def _positions(
    usable: Sequence[TrainingCase], annotated: Sequence[TrainingCase], layout: Layout, rng: np.random.Generator
) -> tuple[dict[str, tuple[int, ...] | None], dict[str, tuple[int, ...]], str]:
    """Choose frames of each cine and slices of each volume, save where the user has."""
    validation: dict[str, tuple[int, ...] | None] = {}
    gap: dict[str, tuple[int, ...]] = {}
    said = []
    for unit in dict.fromkeys(layout.units[case.id][_IMAGES] for case in usable):
        members = [case for case in usable if layout.units[case.id][_IMAGES] == unit]
        by_hand = {case.side for case in annotated if layout.units[case.id][_IMAGES] == unit}
        if "validation" in by_hand or (members[0].stack is None and "training" in by_hand):
            continue
        found = choose_positions(members, annotated, layout, rng)
        if found is not None:
            validation |= found[0]
            gap |= found[1]
            said.append(found[2])
    return validation, gap, "; ".join(said) or _too_little(usable)


def check_split(training_set: TrainingSet, split: Split) -> None:
    """Make sure that no voxel that validates, nor one within the gap around it, would be trained on.

    Args:
        training_set: as it is now.
        split: perhaps edited, or made of an earlier state of the set.

    Raises:
        SemiSegError: it would be, or a case of the split cannot validate any more.
    """
    cases = {case.id: case for case in training_set.cases}
    stacks = frames_of(training_set.cases)
    dropped = set(split.dropped)
    for case_id, slices in split.validation.items():
        case = cases.get(case_id)
        if case is None or case.use not in ("labelled", "partly") or case.read_labels is None:
            name = f'"{case.name}"' if case is not None else "An image"
            raise _stale(f"{name} was chosen for validation and is not annotated any more")
        if case_id in dropped:
            raise _stale(f'"{case.name}" was chosen for validation and is left out')
        neighbours = near(case_id, stacks.get(case.stack or "", ()))
        beside = [cases[i] for i in neighbours if i not in split.validation and i not in dropped]
        beside = [other for other in beside if other.use != "left out"]
        if beside:
            raise _leak(f'"{beside[0].name}" lies next to "{case.name}", which validates, and would be trained on')
        if slices is None:
            continue
        depth = case.shape[0]
        if not slices or not all(0 <= k < depth for k in slices):
            raise _stale(f'The slices of "{case.name}" that validate do not exist')
        open_slices = set(around(slices, depth)) - set(split.held_out(case_id))
        if open_slices:
            raise _leak(f'Slice {min(open_slices)} of "{case.name}" lies next to one that validates')


def _split(
    validation: Mapping[str, tuple[int, ...] | None], gap: Mapping[str, tuple[int, ...]], how: str, layout: Layout
) -> Split:
    """Find what the chosen validation keeps out of training, and what it cannot show."""
    whole = {case_id for case_id, slices in validation.items() if slices is None}
    dropped = {other for i in whole for other in near(i, layout.stacks.get(layout.units[i][0], ()))}
    held: set[str] = set()
    for level in (0, 1):
        touched = {layout.units[i][level] for i in whole}
        training = {layout.units[i][level] for i in layout.usable - whole - dropped}
        held |= touched - training
    dropped |= {case_id for case_id, units in layout.units.items() if held & set(units)}
    dropped -= whole
    out = tuple(case_id for case_id in layout.units if case_id in dropped)
    order = {case_id: validation[case_id] for case_id in layout.annotated if case_id in validation}
    return Split(order, dict(gap), out, how, tuple(_warnings(order, gap, out, layout)), layout)


def _warnings(
    validation: Mapping[str, tuple[int, ...] | None],
    gap: Mapping[str, tuple[int, ...]],
    dropped: Sequence[str],
    layout: Layout,
) -> list[str]:
    if not validation:
        return ["Nothing is kept aside: how good the model is cannot be measured"]
    found = []
    known = sum(
        bool(layout.learned[i] if slices is None else layout.learned[i].intersection(slices))
        for i, slices in validation.items()
    )
    if known:
        what = "An image that is kept aside was" if known == 1 else f"{known} images that are kept aside were"
        found.append(f"{what} learned from in an earlier training: a model that goes on from it would look too good")
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
            found.append(f'"{name}" is not in what is kept aside: how well it is found cannot be measured')
    return found


def _kind(case: TrainingCase, level: int) -> str:
    """Return what is held out at a level, in the plural."""
    if level == _PATIENTS and case.grouped and case.group not in (case.stack, case.id):
        return "patients"
    return "cines" if case.stack is not None else "images"


def _counted(validation: Mapping[str, tuple[int, ...] | None], layout: Layout) -> str:
    """Say how much is kept aside after a change by hand, in plain words."""
    found = []
    for kind, in_stack in (("image", False), ("frame", True)):
        every = [i for i in layout.annotated if (layout.units[i][0] in layout.stacks) == in_stack]
        whole = [i for i in every if validation.get(i, ()) is None]
        if whole:
            found.append(f"{len(whole)} of {len(every)} annotated {kind}{'s' * (len(every) > 1)}")
    slices = [len(some) for some in validation.values() if some]
    if slices:
        volumes = "1 volume" if len(slices) == 1 else f"{len(slices)} volumes"
        found.append(f"{sum(slices)} slice{'s' * (sum(slices) > 1)} of {volumes}")
    return f"{' and '.join(found)} kept aside" if found else "Nothing is kept aside"


def _too_little(usable: Sequence[TrainingCase]) -> str:
    """Say why nothing is held out, and what to do."""
    if not usable:
        return "Nothing is kept aside: no outline is finished. Finish the outlines of an image, frame or slice"
    return (
        "Nothing is kept aside: too little is annotated to spare any of it. Annotate three images, or three frames or "
        "slices that do not lie next to each other"
    )


def _stale(cause: str) -> SemiSegError:
    return SemiSegError("split-stale", cause, "Propose the split again, or put the image on another side", "scene")


def _leak(cause: str) -> SemiSegError:
    return SemiSegError("split-leak", cause, "Propose the split again, or leave one of the two out", "scene")
