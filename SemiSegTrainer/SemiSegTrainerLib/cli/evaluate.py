"""`semiseg evaluate`: predictions against references."""

from __future__ import annotations

import json as json_module
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from SemiSegCervicalLib.affines import same_axes, turned
from SemiSegCervicalLib.atomic import write_atomically
from SemiSegCervicalLib.engine.files import is_dicom_seg, is_sequence, read_affine, read_image, read_labels
from SemiSegCervicalLib.engine.schema import SegmentClass
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.formats import PICTURES, VOLUMES, ending, files_in, stem
from SemiSegCervicalLib.words import many

from SemiSegTrainerLib.learning.datalist import SEGMENTS_MOST, Entry, file_stem, read_datalist
from SemiSegTrainerLib.learning.evaluation import CaseFigures, compare_labels, summarise, translation
from SemiSegTrainerLib.learning.targets import Completeness

from .predict import SUMMARY
from .reporting import Reporter

_SUFFIXES = ("_labels", "_label", "_seg")
_COLOR = (1.0, 0.8, 0.2)


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of label maps, as predict writes it.")],
    references: Annotated[Path, typer.Argument(help="Folder of reference label maps or DICOM SEG, or a datalist.")],
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    list_name: Annotated[str, typer.Option("--list", help="Which list of a datalist.")] = "test",
    json: Annotated[bool, typer.Option("--json", help="Print events instead of a table.")] = False,
) -> None:
    """Compare predictions with references: Dice, HD95, ASSD per case and segment."""
    if out.exists():
        raise SemiSegError("exists", f"{out} already exists", "Choose another file name", "settings")
    if not predictions.is_dir():
        raise SemiSegError("missing-file", f"There is no folder {predictions}", "Check the path", "reading")
    found = label_maps(predictions)
    told = _told(predictions / SUMMARY)
    own = _classes_of(told)
    entries, classes, unpredicted = _references(references, list_name, found, own)
    values = _other_values(own, classes)
    figures: list[CaseFigures] = []
    with Reporter(json) as reporter:
        for done, entry in enumerate(entries):
            reporter.progress("comparing", done, len(entries), 0.0, {})
            figures.append(_compare(found[entry.stem], entry, classes, values))
        reporter.progress("comparing", len(entries), len(entries), 0.0, {})
        summary = summarise(figures)
        summary["predictions_without_reference"] = sorted(set(found) - {e.stem for e in entries})
        summary["references_without_prediction"] = unpredicted
        summary["learned_from"] = learned = sorted(_learned_from(told) & {e.stem for e in entries})
        write_atomically(out, json_module.dumps(summary, indent=1).encode())
        reporter.event("done", summary=summary)
        unit = summary["distances_in"] or ""
        for name, s in summary["segments"].items():
            distances = f"HD95 {_say(s['hd95'], unit)}, ASSD {_say(s['assd'], unit)}"
            reporter.say(f"{name}: Dice {_say(s['dice'])}, {distances}, failures {s['failures']}")
        if values is not None:
            reporter.say(f"Compared by name: the classes of {predictions / SUMMARY} have other numbers in {references}")
        if without := summary["distances_left_out"]:
            reporter.say(f"{many(without, 'case')} without a known spacing: the distances are means of the others")
        if learned:
            reporter.say(f"{many(len(learned), 'image')} that the model had learned from, the first is {learned[0]}")
        if unpredicted:
            reporter.say(f"{many(len(unpredicted), 'reference')} without a prediction, the first is {unpredicted[0]}")
        reporter.say(f"Mean Dice {_say(summary['dice'])} over {many(summary['dice_cases'], 'case')}. Written: {out}")


def label_maps(folder: Path) -> dict[str, Path]:
    """Find the label maps of a folder by case name: the stem without ``_labels``, ``_label`` or ``_seg``.

    Files without such a suffix are taken only in a folder that has none with it: beside label maps they are images.
    Segmentations of Slicer (``.seg.nrrd``) and DICOM SEG need no suffix. A DICOM SEG beside another label map of its
    case is the same once more.

    Raises:
        SemiSegError: two files have the same case name.
    """
    marked: dict[str, list[Path]] = {}
    plain: dict[str, list[Path]] = {}
    coded: dict[str, list[Path]] = {}
    for path in files_in(folder):
        known = ending(path) in (*PICTURES, *VOLUMES)
        if not known and not is_dicom_seg(path):
            continue
        name = stem(path)
        suffix = next((s for s in _SUFFIXES if name.endswith(s)), "")
        kind = coded if not known else marked if suffix or ending(path) == ".seg.nrrd" else plain
        kind.setdefault(file_stem(name.removesuffix(suffix)), []).append(path)
    chosen = {**coded, **marked} if marked or coded else plain
    twice = next((paths for paths in chosen.values() if len(paths) > 1), None)
    if twice:
        raise SemiSegError(
            "same-stem", f"{twice[0]} and {twice[1]} are label maps of the same case", "Remove one of them", "reading"
        )
    return {name: paths[0] for name, paths in chosen.items()}


def _told(summary: Path) -> Any:
    """Return what predict has written of its predictions; None where nothing is."""
    try:
        return json_module.loads(summary.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _classes_of(told: Any) -> tuple[SegmentClass, ...]:
    """Return the classes of predictions by their summary; empty where unknown."""
    try:
        names = told["classes"]
        return tuple(SegmentClass(value=v, name=names[str(v)], color=_COLOR) for v in range(1, len(names) + 1))
    except (ValueError, KeyError, TypeError):
        return ()


def _learned_from(told: Any) -> set[str]:
    """Return the cases whose images the model had learned from, as far as a summary tells."""
    try:
        return {row["case"] for row in told["cases"] if row.get("learned_from")}
    except (AttributeError, KeyError, TypeError):
        return set()


def _other_values(own: Sequence[SegmentClass], classes: Sequence[SegmentClass]) -> np.ndarray | None:
    """Return the references' value for each of the predictions'; None where no class has another one, or none is known.

    A datalist may number the model's classes in another order; then values would compare one segment with another.
    """
    values = {entry.name.casefold(): entry.value for entry in own}
    same = all(values.get(entry.name.casefold(), entry.value) == entry.value for entry in classes)
    return None if same else translation(own, classes)


def _references(
    source: Path, list_name: str, found: dict[str, Path], own: Sequence[SegmentClass]
) -> tuple[list[Entry], Sequence[SegmentClass], list[str]]:
    """Return the references that have a prediction, the classes, and the names of the references that have none.

    Args:
        source: a datalist, or a folder of references.
        list_name: which list of a datalist.
        found: the predictions by case.
        own: their classes; empty where unknown.

    Raises:
        SemiSegError: nothing can be compared, or not said what with what.
    """
    if source.suffix == ".json":
        datalist = read_datalist(source)
        known = [e for e in datalist.named(list_name) if e.label is not None]
        if not known:
            raise SemiSegError(
                "no-cases", f"The list {list_name} of {source} has no case with a label map", "Use another list",
                "reading",
            )  # fmt: skip
        twice = next((name for name, count in Counter(e.stem for e in known).items() if count > 1), None)
        if twice is not None:
            raise SemiSegError(
                "same-stem", f"Two cases of the list {list_name} are called {twice}: a prediction may be of either",
                "Give each an id of its own in the datalist", "reading",
            )  # fmt: skip
        absent = [e.id for e in known if e.stem not in found]
        if absent:
            raise SemiSegError(
                "missing-prediction",
                f"{many(len(absent), 'case')} of the list {list_name} without a prediction, the first is {absent[0]}",
                "Predict the whole list first", "reading",
            )  # fmt: skip
        entries, classes, absent = known, datalist.classes, []
    elif source.is_dir():
        references = label_maps(source)
        names = tuple(entry.name for entry in own)
        entries = [_listed(n, p, found[n], names) for n, p in sorted(references.items()) if n in found]
        absent = sorted(set(references) - set(found))
        # A segment that only a prediction has is a failure, too.
        maps = {p for e in entries for p in (e.label, found[e.stem]) if p is not None and not is_dicom_seg(p)}
        highest = {path: int(read_labels(path).max(initial=0)) for path in sorted(maps)}
        strange = next((path for path, value in highest.items() if value > SEGMENTS_MOST), None)
        if strange is not None:
            raise SemiSegError(
                "unknown-label", f"{strange} holds the value {highest[strange]}, and segments are numbered 1, 2, 3 ...",
                "Give a datalist in place of the folder, whose labels may name any value (255 as well)", "reading",
            )  # fmt: skip
        further = range(len(names) + 1, max((len(names), *highest.values())) + 1)
        classes = (*own, *(SegmentClass(value=v, name=f"segment {v}", color=_COLOR) for v in further))
    else:
        raise SemiSegError("missing-file", f"There is no folder or datalist {source}", "Check the path", "reading")
    if not entries:
        raise SemiSegError(
            "nothing-to-compare", f"No prediction has a reference in {source}",
            "Name predictions like their references (a trailing _labels, _label or _seg does not count)", "reading",
        )  # fmt: skip
    return entries, classes, absent


def _listed(name: str, reference: Path, predicted: Path, names: tuple[str, ...]) -> Entry:
    """Return a reference of a folder as an entry, of which either file gives the grid.

    Raises:
        SemiSegError: a DICOM SEG does not say enough of itself.
    """
    coded = [path for path in (reference, predicted) if is_dicom_seg(path)]
    if coded and not names:
        raise SemiSegError(
            "segments-alone", f"{coded[0]} names its segments, and of the predictions no names are known",
            f"Keep predict's {SUMMARY} beside the predictions, or give a datalist, whose labels have names", "reading",
        )  # fmt: skip
    if len(coded) > 1:
        raise SemiSegError(
            "segments-alone", f"{reference} and {predicted} are both DICOM SEG, which leave empty slices out",
            "Give a datalist, which lists their images too", "reading",
        )  # fmt: skip
    # Of a reference from a bare array the prediction knows how large the voxels are.
    image = predicted if reference in coded or (not coded and _bare(read_affine(reference))) else reference
    return Entry(name, (image,), reference, "file", Completeness(), None, names=names)


def _compare(predicted: Path, entry: Entry, classes: Sequence[SegmentClass], values: np.ndarray | None) -> CaseFigures:
    image = read_image(entry.images, entry.spacing, frames=True)
    if is_dicom_seg(predicted):
        labels = read_labels(predicted, image.spatial_shape, image.affine, entry.names)
        return compare_labels(labels, entry, classes, image.spacing, affine=image.affine)
    affine = read_affine(predicted)
    _refuse_another_place(predicted, affine, entry)
    labels = read_labels(predicted)
    if values is not None:
        known = (labels >= 0) & (labels < len(values))
        labels[known] = values[labels[known]]
    # Between the frames of a cine there is no distance in mm.
    distances = not is_sequence(predicted)
    return compare_labels(labels, entry, classes, image.spacing, distances, affine)


def _refuse_another_place(predicted: Path, affine: np.ndarray | None, entry: Entry) -> None:
    """Refuse a reference whose voxels are of other size or run in other directions, though it may have as many.

    A file that says nothing of its place (identity, as written from a bare array) is believed to lie where it should.
    """
    assert entry.label is not None
    reference = read_affine(entry.label)
    if affine is None or reference is None or _bare(affine) or _bare(reference):
        return
    turns = turned(np.empty((1, 1, 1)), reference, affine)  # reading it undoes that
    if turns is None or not same_axes(turns[1], affine):
        raise SemiSegError(
            "grids-differ", f"The voxels of {entry.label} have another size or direction than those of {predicted}",
            "Resample the reference onto the image's grid", "reading",
        )  # fmt: skip


def _bare(affine: np.ndarray | None) -> bool:
    """Say whether a file has no place of its own: a picture, or written from a bare array."""
    return affine is None or np.allclose(abs(affine), np.eye(4))


def _say(value: float | None, unit: str = "") -> str:
    return "n/a" if value is None else f"{value:.3f} {unit}".rstrip()
