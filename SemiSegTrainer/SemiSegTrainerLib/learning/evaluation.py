"""A model against reference labels: per case, per segment, and in the mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import SegmentClass
from SemiSegCervicalLib.errors import SemiSegError

from .data import read_sets
from .datalist import Entry
from .metrics import UNKNOWN, Agreement, compare
from .targets import absent, decided, every_class, informative


@dataclass(frozen=True)
class CaseFigures:
    """The figures of one case.

    Attributes:
        case: its id.
        segments: by name.
        voxels: of it are annotated, so that they could be compared.
        in_mm: its distances are; else they are in voxels, for its spacing is unknown.
    """

    case: str
    segments: dict[str, Agreement]
    voxels: int = 0
    in_mm: bool = False

    @property
    def dice(self) -> float:
        """Mean Dice over the segments that have one; a segment missed or invented counts 0."""
        return nan_mean([a.dice for a in self.segments.values()])


def compare_labels(
    labels: np.ndarray,
    entry: Entry,
    classes: Sequence[SegmentClass],
    spacing: Sequence[float] | None,
    distances: bool = True,
    affine: np.ndarray | None = None,
) -> CaseFigures:
    """Compare a label map with an entry's reference on the voxels that the reference decides.

    A segment that nobody has outlined there has no figures: it can only be found wrongly, upon the paint of others.

    Args:
        labels: integers ``(*spatial)`` on the source grid.
        entry: the case; it must have a label map.
        classes: the class list.
        spacing: mm, or None for distances in voxels.
        distances: compute HD95 and ASSD.
        affine: 4x4 IJK-to-RAS matrix of the source grid, which puts a cropped reference back into its place.

    Raises:
        SemiSegError: the reference is at fault, of another size, or the label map holds unknown values.
    """
    assert entry.label is not None
    sets = read_sets(entry, len(classes) + 1, labels.shape, affine)
    sets[sets == 0] = every_class(len(classes) + 1)  # what is held out is not compared
    strange = int(labels.max()) if labels.size and labels.max() > len(classes) else int(min(labels.min(), 0))
    if strange:
        raise SemiSegError(
            "unknown-label", f"The prediction for {entry.id} holds the value {strange}, which is not in the class list",
            "Compare it with references of the same class list", "reading",
        )  # fmt: skip
    single = decided(sets)
    segments = {}
    for c in classes:  # one at a time: maps of all classes of a large volume would fill the memory
        member = (sets & (1 << c.value)) != 0
        reference = single & member
        known = reference | ~member
        if not (reference | absent(sets, c.value)).any():
            segments[c.name] = UNKNOWN
            continue
        segments[c.name] = compare(labels == c.value, reference, spacing, None if known.all() else known, distances)
    return CaseFigures(entry.id, segments, int(informative(sets, len(classes) + 1).sum()), spacing is not None)


def translation(known: Sequence[SegmentClass], wanted: Sequence[SegmentClass]) -> np.ndarray:
    """Return the value in one class list for each value of another, by name; 0 for background and what is unknown.

    Returns:
        uint8 ``(len(known) + 1,)``.
    """
    by_name = {entry.name.casefold(): entry.value for entry in wanted}
    found = np.zeros(len(known) + 1, dtype=np.uint8)
    for entry in known:
        found[entry.value] = by_name.get(entry.name.casefold(), 0)
    return found


class Meaning:
    """What a model's label values are called by references with a class list of their own."""

    def __init__(self, own: Sequence[SegmentClass], classes: Sequence[SegmentClass] | None = None) -> None:
        """Match by name.

        Args:
            own: the model's classes.
            classes: the references'; None where they are the model's.

        Raises:
            SemiSegError: none of them are the same.
        """
        self.classes = tuple(own if classes is None else classes)
        self._table = translation(own, self.classes)
        found = set(self._table[1:].tolist()) - {0}
        self._names = {c.name for c in self.classes if c.value in found}
        if not found:
            raise SemiSegError(
                "other-classes", f"The model knows none of {', '.join(c.name for c in self.classes)}",
                "Choose a model of the same segments", "reading",
            )  # fmt: skip

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """Return a label map in the references' values; a class that they do not have becomes background."""
        return self._table[labels]

    def known(self, figures: CaseFigures) -> CaseFigures:
        """Leave out the segments that the model does not know."""
        return replace(figures, segments={n: a for n, a in figures.segments.items() if n in self._names})


def evaluate_model(
    predictor: Predictor,
    entries: Sequence[Entry],
    distances: bool = True,
    progress: Callable[[int, int], None] | None = None,
    classes: Sequence[SegmentClass] | None = None,
) -> list[CaseFigures]:
    """Predict every entry that has a label map and compare.

    Args:
        predictor: the model.
        entries: cases; those without a label map are passed over.
        distances: compute HD95 and ASSD.
        progress: called with (done, total).
        classes: of the references; None where they are the model's. A segment that the model does not know by its name
            has no figures then.

    Raises:
        SemiSegError: a file is at fault, or the model knows none of the segments.
    """
    meaning = Meaning(predictor.pack.manifest.classes, classes)
    usable = [e for e in entries if e.label is not None]
    figures = []
    for done, entry in enumerate(usable):
        image = read_image(entry.images, entry.spacing)
        labels = meaning(reading(predictor, entry).predict(image).labels)
        found = compare_labels(labels, entry, meaning.classes, image.spacing, distances, image.affine)
        figures.append(meaning.known(found))
        if progress:
            progress(done + 1, len(usable))
    return figures


def reading(predictor: Predictor, entry: Entry) -> Predictor:
    """Return what can predict a case that may lack some of the model's modalities."""
    if entry.present is None:
        return predictor
    pack = predictor.pack.reading(entry.modalities)
    return Predictor(pack, predictor.device.type, predictor.memory_gib, tta=predictor.tta)


def summarise(figures: Sequence[CaseFigures]) -> dict[str, Any]:
    """Collect figures for a JSON file: means over cases, per segment, failures, and every case.

    The mean Dice rests on `dice_cases`: where neither the reference nor the model has a segment there is none.
    Millimetres and voxels have no mean: where distances are in mm in some cases, their means leave out the other cases,
    whose number is told.
    """
    names = list(figures[0].segments) if figures else []
    have = [f for f in figures if any(not np.isnan(a.hd95) for a in f.segments.values())]
    in_mm = any(f.in_mm for f in have)
    alike = [f for f in figures if f.in_mm == in_mm]
    per_segment = {}
    for name in names:
        agreements = [f.segments[name] for f in figures]
        distant = [f.segments[name] for f in alike]
        per_segment[name] = {
            "dice": _plain(nan_mean([a.dice for a in agreements])),
            "hd95": _plain(nan_mean([a.hd95 for a in distant])),
            "assd": _plain(nan_mean([a.assd for a in distant])),
            "failures": sum(a.failed for a in agreements),
            "voxels": sum(a.voxels for a in agreements),
        }
    every = [a for f in figures for a in f.segments.values()]
    distant = [a for f in alike for a in f.segments.values()]
    return {
        "cases_count": len(figures),
        "voxels": sum(f.voxels for f in figures),
        "dice": _plain(nan_mean([f.dice for f in figures])),
        "dice_cases": sum(not np.isnan(f.dice) for f in figures),
        "hd95": _plain(nan_mean([a.hd95 for a in distant])),
        "assd": _plain(nan_mean([a.assd for a in distant])),
        "distances_in": ("mm" if in_mm else "voxels") if have else None,
        "distances_left_out": sum(f.in_mm != in_mm for f in have),
        "failures": sum(a.failed for a in every),
        "segments": per_segment,
        "cases": [
            {
                "case": f.case,
                "dice": _plain(f.dice),
                "distances_in": "mm" if f.in_mm else "voxels",
                "segments": {n: {k: _plain(v) for k, v in asdict(a).items()} for n, a in f.segments.items()},
            }
            for f in figures
        ],
    }


def nan_mean(values: Sequence[float]) -> float:
    """Mean over the values that are numbers; NaN if none is."""
    numbers = [v for v in values if not np.isnan(v)]
    return float(np.mean(numbers)) if numbers else float("nan")


def _plain(value: Any) -> Any:
    """NaN is not JSON: null."""
    return None if isinstance(value, float) and np.isnan(value) else value
