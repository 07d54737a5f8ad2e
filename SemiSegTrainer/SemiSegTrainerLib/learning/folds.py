"""Where a run takes annotations from that its networks have not seen: the validation list, or two folds."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.errors import SemiSegError
from torch import Tensor

from .calibration import HeldOut, sampling_of
from .data import TrainingData, gather_cases
from .datalist import Datalist, Entry
from .seeds import mix_seed
from .targets import decided, every_class, segments_in

WAYS = ("auto", "validation", "folds", "none")
# Each fold learns for a third of the run: both together then cost two thirds of it.
FOLD_SHARE = 3
_ATTEMPTS = 50


@dataclass(frozen=True)
class Fold:
    """What one of two trainings learns from and what is then asked of it.

    Attributes:
        learned: indices of the cases that it learns from.
        asked: indices of the annotated cases that it is asked about.
        hidden: voxels of a case whose annotation is hidden from the training, broadcastable to its grid.
        only: voxels of a case that it is asked about; all where a case is not named.
    """

    learned: tuple[int, ...]
    asked: tuple[int, ...]
    hidden: dict[int, Tensor] = field(default_factory=dict)
    only: dict[int, Tensor] = field(default_factory=dict)


def choose_source(way: str, datalist: Datalist) -> str:
    """Return which of ``validation``, ``folds`` and ``none`` a wish comes to.

    Raises:
        SemiSegError: an unknown wish, or the validation list is wished for and has no annotated case.
    """
    if way not in WAYS:
        raise SemiSegError(
            "unknown-calibration", f"There is no calibration {way!r}", f"Use {', '.join(WAYS)}", "settings"
        )
    annotated = any(e.label for e in datalist["validation"])
    if way == "validation" and not annotated:
        raise SemiSegError(
            "no-validation", f"{datalist.path} has no annotated validation case",
            "Add some, or use --calibrate folds", "settings",
        )  # fmt: skip
    return way if way != "auto" else ("validation" if annotated else "folds")


def split(data: TrainingData, entries: Sequence[Entry], seed: int) -> tuple[list[Fold], str]:
    """Split the annotated cases in two so that what is asked has not been learned.

    Whole groups (patients, sequences) go to one side, with their unlabelled cases: a fold sees nothing of a group that
    it is asked about. An image that is listed twice is of one group, whatever its entries say and its files are called.
    A single group is split by the order of its frames, or of its cases where no frames are told, a single volume by its
    planes, with a gap between the sides, for neighbours are nearly copies.

    Args:
        data: the run's cases.
        entries: their entries in the same order.
        seed: of the run.

    Returns:
        Two folds and what they hold out in words; no fold and why where there is nothing to split.
    """
    known = _known_by(data, entries)
    groups = _groups(entries, known)
    annotated = list(dict.fromkeys(groups[i] for i in data.annotated))
    if len(annotated) > 1:
        first = _half(annotated, groups, data, seed)
        folds = []
        for asked in (first, [g for g in annotated if g not in first]):
            learned = tuple(i for i in range(len(entries)) if groups[i] not in asked)
            folds.append(Fold(learned, tuple(i for i in data.annotated if groups[i] in asked)))
        named = any(entries[i].group for i in data.annotated)
        several = f" of {len(annotated)} patients or sequences" if named else ""
        return folds, f"{len(data.annotated)} training cases{several}"
    if len(data.annotated) > 1:
        return _by_order(data, entries, known), f"{len(data.annotated)} training cases of one patient or sequence"
    only = data.annotated[0]
    if data.possible[only].ndim == 2:
        return [], "only one image is annotated: nothing can be held out"
    return _by_planes(data, only, len(entries))


def _known_by(data: TrainingData, entries: Sequence[Entry]) -> list[set[Hashable]]:
    """Return by what each case is known: by its files and, where they were looked at, by its planes."""
    seen = data.seen or (frozenset[str](),) * len(entries)
    return [{*entry.files, *planes} for entry, planes in zip(entries, seen, strict=True)]


def _groups(entries: Sequence[Entry], known: Sequence[set[Hashable]]) -> list[str]:
    """Name the patient or sequence of every case; those that share an image are one."""
    names = [e.group or f"case {i}" for i, e in enumerate(entries)]
    owner: dict[Hashable, str] = {}
    same = {name: name for name in names}

    def root(name: str) -> str:
        while same[name] != name:
            name = same[name]
        return name

    for name, keys in zip(names, known, strict=True):
        for key in keys:
            same[root(name)] = root(owner.setdefault(key, name))
    return [root(name) for name in names]


def _half(annotated: list[str], groups: list[str], data: TrainingData, seed: int) -> list[str]:
    """Choose half of the groups at random so that both halves hold every segment, and about as many cases."""
    cases = {g: [i for i in data.annotated if groups[i] == g] for g in annotated}
    found = {g: set().union(*(segments_in(data.possible[i]) for i in rows)) for g, rows in cases.items()}
    best: tuple[tuple[int, int], list[str]] | None = None
    for attempt in range(_ATTEMPTS):
        generator = torch.Generator().manual_seed(mix_seed(seed, "folds", attempt))
        order = [annotated[i] for i in torch.randperm(len(annotated), generator=generator).tolist()]
        sides = order[: len(order) // 2], order[len(order) // 2 :]
        held = [set().union(*(found[g] for g in side)) for side in sides]
        counts = [sum(len(cases[g]) for g in side) for side in sides]
        merit = (min(map(len, held)), -abs(counts[0] - counts[1]))
        if best is None or merit > best[0]:
            best = merit, sides[0]
    assert best
    return best[1]


def _by_order(data: TrainingData, entries: Sequence[Entry], known: Sequence[set[Hashable]]) -> list[Fold]:
    rows = data.annotated
    if all(entries[i].frame is not None for i in rows):
        rows = tuple(sorted(rows, key=lambda i: (entries[i].sequence or "", entries[i].frame or 0.0)))
    middle, gap = len(rows) // 2, len(rows) // 10
    folds = []
    for asked, learned in ((rows[:middle], rows[middle + gap :]), (rows[middle:], rows[: middle - gap])):
        spared = set(rows) - set(learned)
        seen = set[Hashable]().union(*(known[i] for i in asked))
        kept = (i for i in range(len(entries)) if i not in spared and seen.isdisjoint(known[i]))
        folds.append(Fold(tuple(kept), asked))
    return folds


def _by_planes(data: TrainingData, case: int, cases: int) -> tuple[list[Fold], str]:
    """Split the annotated planes of one volume into four blocks, two for each fold."""
    possible = data.possible[case]
    known = decided(possible) & (possible != 0)
    # Where some planes are annotated, they are the axis along which the fewest rows hold anything.
    rows = [known.movedim(axis, 0).flatten(1).any(dim=1) for axis in range(3)]
    axis = min(range(3), key=lambda a: float(rows[a].float().mean()))
    planes = torch.nonzero(rows[axis]).flatten()
    if len(planes) < 4:
        return [], f"only {len(planes)} planes of one volume are annotated: too few to hold some out"
    gap = max(2, len(rows[axis]) // 20)
    blocks = planes.tensor_split(4)
    folds = []
    for side in (0, 1):
        asked = torch.cat([blocks[side], blocks[side + 2]])
        only = torch.zeros(len(rows[axis]), dtype=torch.bool)
        only[asked] = True
        distance = (torch.arange(len(only))[:, None] - asked[None]).abs().amin(dim=1)
        shape = [-1 if a == axis else 1 for a in range(3)]
        folds.append(
            Fold(
                tuple(range(cases)), (case,),
                {case: (distance < gap).view(shape)}, {case: only.view(shape)},
            )
        )  # fmt: skip
    return folds, f"{len(planes)} planes of one volume, {gap} planes from any that were learned from"


def learned(data: TrainingData, fold: Fold, spec: InputSpec, classes: int) -> TrainingData:
    """Return the cases that a fold learns from, without the annotations that are hidden from it.

    Raises:
        SemiSegError: nothing, or no segment, is annotated in them.
    """
    pairs = []
    for i in fold.learned:
        possible = data.possible[i]
        if i in fold.hidden:
            possible = possible.masked_fill(fold.hidden[i] & (possible != 0), every_class(classes))
        pairs.append((data.images[i], possible))
    present, groups = (None if t is None else t[list(fold.learned)] for t in (data.present, data.groups))
    return replace(gather_cases(pairs, spec, classes, present, groups), spacing=data.spacing)


def asked(data: TrainingData, fold: Fold, entries: Sequence[Entry], spec: InputSpec, classes: int) -> Iterator[HeldOut]:
    """Yield the cases that a fold is asked about, with the annotations that it has not learned from."""
    for i in fold.asked:
        possible = data.possible[i]
        if i in fold.only:
            possible = possible.masked_fill(~fold.only[i] & (possible != 0), every_class(classes))
        yield HeldOut(data.images[i], possible, sampling_of(entries[i], spec), entries[i].present)
