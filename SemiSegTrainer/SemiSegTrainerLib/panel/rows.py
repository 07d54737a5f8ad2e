"""The training set as rows of a table: one for each volume and each cine, in words that people read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from SemiSegCervicalLib.words import many

from ..catalogue import MethodText
from ..scene.choices import ChosenUse, chosen_use
from ..scene.places import Place
from ..scene.split import Split
from ..scene.starts import empty_between, hidden_at, is_empty
from ..scene.training_set import TrainingCase, TrainingSet

TRAINING, VALIDATION, UNLABELLED, LEFT_OUT = "Training", "Validation", "Unlabelled", "Left out"
MIXED = "Both"
CHOSEN_USES: dict[str, ChosenUse | None] = {
    TRAINING: "training",
    VALIDATION: "validation",
    UNLABELLED: "unlabelled",
    LEFT_OUT: "left out",
    MIXED: None,
}
"""What `choices.set_use` takes; a mixture can only be proposed."""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        key: id of the volume, or of the cine.
        name: of the volume or the cine.
        cases: the volume, or all frames of the cine.
        annotated, total: how many slices or frames (or, for a single image, classes) are annotated.
        amount: the same in words.
        use: `TRAINING`, `VALIDATION`, `MIXED`, `UNLABELLED` or `LEFT_OUT`.
        why: why it is used so.
    """

    key: str
    name: str
    cases: tuple[TrainingCase, ...]
    annotated: int
    total: int
    amount: str
    use: str
    why: str

    @property
    def is_cine(self) -> bool:
        """Whether its cases are frames."""
        return self.cases[0].frame is not None

    @property
    def shown(self) -> tuple[object, ...]:
        """All that the table shows of it."""
        return self.key, self.name, self.annotated, self.total, self.amount, self.use, self.why, self.can_teach

    @property
    def outside(self) -> bool:
        """Whether it lies on disk and not in the scene."""
        return self.cases[0].source != "scene"

    @property
    def ids(self) -> tuple[str, ...]:
        """What `choices.set_use` is called with: the whole volume or cine, or each image from disk."""
        return tuple(case.id for case in self.cases) if self.outside else (self.key,)

    @property
    def can_teach(self) -> bool:
        """Whether anything in it is annotated."""
        return any(case.read_labels is not None for case in self.cases)


def rows_of(training_set: TrainingSet, split: Split) -> list[Row]:
    """Return the rows of a training set, in its order."""
    found: dict[str, list[TrainingCase]] = {}
    for case in training_set.cases:
        cine = f"{case.group}:{case.sequence}" if case.source == "folder" and case.sequence else None
        found.setdefault(case.stack or cine or case.id, []).append(case)
    return [_row(key, tuple(cases), split) for key, cases in found.items()]


def use_of(case: TrainingCase, split: Split) -> str:
    """Return what one case is used for."""
    if case.use == "left out":
        return LEFT_OUT
    if split.side(case.id) is None:
        return LEFT_OUT
    if case.use == "unlabelled":
        return UNLABELLED
    if split.side(case.id) == "validation":
        return VALIDATION
    return MIXED if split.validation.get(case.id) else TRAINING


def why_of(case: TrainingCase, split: Split) -> str:
    """Say why one case is used so."""
    if case.use != "left out" and split.side(case.id) is None:
        return "too much like what is kept aside: not used"
    slices = split.validation.get(case.id)
    if slices:
        return f"{case.reason}; {many(len(slices), 'slice')} of it validate"
    return case.reason


def describe(training_set: TrainingSet | None, split: Split | None, method: MethodText | None) -> str:
    """Say in a few words what the scene holds and what it is used for, by a method if one is known; HTML."""
    if training_set is None or split is None:
        return "Looking at the scene ..."
    if not training_set.cases:
        return "The scene holds no image. Load volumes or a cine, and segment some of them."
    count = Counter(use_of(case, split) for case in training_set.cases)
    count[TRAINING] += count[MIXED]
    learns = method is None or method.needs_unlabelled
    unlabelled = "learned from all the same" if learns else "this method does not learn from them"
    words = (
        (TRAINING, "annotated to learn from"), (VALIDATION, "kept aside to measure"),
        (UNLABELLED, f"not annotated: {unlabelled}"), (LEFT_OUT, "not used"),
    )  # fmt: skip
    parts = [f"<b>{count[use]}</b> {text}" for use, text in words if count[use]]
    return "<br>".join(parts)


def _row(key: str, cases: tuple[TrainingCase, ...], split: Split) -> Row:
    first = cases[0]
    if first.frame is None:
        annotated, total, amount = _amount(first)
        return Row(key, first.name, cases, annotated, total, amount, use_of(first, split), why_of(first, split))
    done = [case for case in cases if case.read_labels is not None and case.use != "left out"]
    amount = f"{len(done)} of {many(len(cases), 'frame')}"
    uses = Counter(use_of(case, split) for case in cases)
    name = first.sequence or first.name
    return Row(key, name, cases, len(done), len(cases), amount, _together(uses), _why_together(uses, done))


def _amount(case: TrainingCase) -> tuple[int, int, str]:
    """Return how much of one image is annotated: slices of a volume, classes of a single image."""
    depth, done = case.shape[0], len(case.annotated_slices)
    if case.read_labels is None:
        return 0, 1, "nothing"
    if not case.complete:
        return 1, 4, "scribbles"
    if not case.finished:
        return 1, 4, "begun"
    if len(case.finished) < case.classes:
        part = f"{len(case.finished)} of {many(case.classes, 'segment')}"
        if done < depth:
            return done * len(case.finished), depth * case.classes, f"{part}, {done} of {many(depth, 'slice')}"
        return len(case.finished), case.classes, part
    if done < depth:
        return done, depth, f"{done} of {many(depth, 'slice')}"
    return 1, 1, "everything"


def _together(uses: Counter[str]) -> str:
    if uses[MIXED] or (uses[TRAINING] and uses[VALIDATION]):
        return MIXED
    return next(use for use in (TRAINING, VALIDATION, UNLABELLED, LEFT_OUT) if uses[use])


def _why_together(uses: Counter[str], done: Iterable[TrainingCase]) -> str:
    words = (
        (TRAINING, "to learn from"), (VALIDATION, "to measure"), (UNLABELLED, "unlabelled"), (LEFT_OUT, "not used"),
    )  # fmt: skip
    parts = [f"{uses[use]} {text}" for use, text in words if uses[use]]
    return ", ".join(parts) if list(done) else "no frame accepted"


def accepted_note(place: Place, whole: bool = False) -> str:
    """Say what was accepted at a place, or the whole image of it, and what becomes of it."""
    note = f"{place.node.GetName() if whole else place.title} is accepted{' as a whole' * whole}: {_what_for(place)}."
    between = empty_between(place.node) if whole else 0
    if between:
        note += (
            f" Nothing is drawn on {many(between, 'slice')} between those that are: all there counts as background. If "
            "they are not finished, say under Annotated which are."
        )
    elif not whole and is_empty(place):
        note += " Nothing is drawn on it: all of it counts as background."
    hidden = hidden_at(place, whole)
    if hidden:
        note += f" What is hidden counts, too ({', '.join(hidden)}): look at it, and flag what is not right."
    return note


def _what_for(place: Place) -> str:
    """Say what a training does with an annotation that was accepted at a place, as the user may have chosen before."""
    use = chosen_use(place.node, place.index_value if place.is_frame else str(place.number))
    if use == "training":
        return "the training learns from it"
    if use == "validation":
        return "models are measured with it"
    if use in ("unlabelled", "left out"):
        return f'the training does not learn from it while its use is "{use.capitalize()}" in the table of cases'
    return "it counts from now on"
