"""Datalists: which files are training, unlabelled, validation and test cases, and how complete their labels are.

The JSON is the one that MONAI's `load_decathlon_datalist` reads, with the list `unlabeled` and, per entry, what the
zeros of its label map mean (see `targets.Completeness`).
"""

from __future__ import annotations

import colorsys
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from SemiSegCervicalLib.engine.files import Spacing, count_volumes
from SemiSegCervicalLib.engine.schema import SegmentClass
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.formats import stem, volume_of
from SemiSegCervicalLib.words import many

from ..modality_places import places_of
from .nnunet import as_datalist, is_nnunet, numbered
from .targets import Completeness

LISTS = ("training", "unlabeled", "validation", "test")
MODALITIES_MOST, SEGMENTS_MOST = 8, 30  # of a model
_FOLDERS_MOST = 4
# What a datalist may hold; numTraining and numTest are counts that those of the Decathlon have.
_KEYS = (*LISTS, "labels", "segments", "modality", "name", "numTraining", "numTest")
# What an entry may hold of which a slip would change what is learned. That an image lacks is seen at once.
_ENTRY_KEYS = (
    "label", "spacing", "group", "sequence", "complete", "background", "ignore", "slices", "segments", "held_out",
)  # fmt: skip
_ALIKE = 0.8
# What other programs call the lists.
_OTHER_NAMES = {"train": "training", "val": "validation", "valid": "validation"}
_USUAL_NAMES = ("datalist.json", "dataset.json")
# A path and the number of what lies there; see `_file`.
File = tuple[str, int]


@dataclass(frozen=True)
class Entry:
    """One case of a datalist.

    Attributes:
        id: name of the case, from its entry or its first file, with its folders where others of a list have this name.
        images: one file per modality that the case has; FILE/2 is the third volume of one that holds all.
        label: label map, or None.
        spacing: what the entry says of the voxel size.
        completeness: what the zeros of the label map mean.
        group: patient or sequence; a group must not be split across training and evaluation.
        present: which of the datalist's modalities the images are, ascending; None means all of them.
        sequence: the cine that the case is a frame of, or None.
        frame: its place in the cine, a number or a time; None where the entry gives none.
        held_out: 3D only: planes (first array axis) that are not learned from, annotated or not: those of the same
            volume that validate, and their neighbours.
        only: 3D only: planes that alone count; None for all. So validates a volume that is trained on elsewhere.
        names: of the datalist's segments, in the order of their values, for label maps that name theirs.
    """

    id: str
    images: tuple[Path, ...]
    label: Path | None
    spacing: Spacing
    completeness: Completeness
    group: str | None
    present: tuple[int, ...] | None = None
    sequence: str | None = None
    frame: float | None = None
    held_out: tuple[int, ...] = ()
    only: tuple[int, ...] | None = None
    names: tuple[str, ...] = ()

    @property
    def modalities(self) -> tuple[int, ...]:
        """Which of the datalist's modalities the images are."""
        return tuple(range(len(self.images))) if self.present is None else self.present

    @property
    def files(self) -> set[File]:
        """The images, however their paths are written."""
        return {_file(image) for image in self.images}

    @property
    def stem(self) -> str:
        """The id as a file name."""
        return file_stem(self.id)


@dataclass(frozen=True)
class Datalist:
    """A datalist with its paths resolved."""

    path: Path
    modalities: tuple[str, ...]
    classes: tuple[SegmentClass, ...]
    lists: dict[str, tuple[Entry, ...]]

    def __getitem__(self, name: str) -> tuple[Entry, ...]:
        """Return the list `name`, empty where the file has none."""
        return self.lists.get(name, ())

    def named(self, name: str) -> tuple[Entry, ...]:
        """Return the list that a user asks for.

        Raises:
            SemiSegError: there is no such list.
        """
        if name not in LISTS:
            raise SemiSegError("unknown-list", f"There is no list {name!r}", f"Use {', '.join(LISTS)}", "settings")
        return self[name]

    def in_order_of(self, modalities: Sequence[str]) -> Datalist:
        """Return the same data with the modalities in the order in which a model reads them, told apart by name.

        Raises:
            SemiSegError: one has the place of another, and the rest is not the same.
        """
        if len(self.modalities) != len(modalities):  # refused by whoever reads the images
            return self
        places = places_of(self.modalities, modalities)
        if places is None:
            raise SemiSegError(
                "wrong-modalities",
                f"The model reads {', '.join(modalities)}, the datalist has {', '.join(self.modalities)}",
                "Call them alike in both", "reading",
            )  # fmt: skip
        if places == sorted(places):
            return self
        lists = {name: tuple(_in_places(entry, places) for entry in entries) for name, entries in self.lists.items()}
        return replace(self, modalities=tuple(modalities), lists=lists)


def _file(path: Path) -> File:
    """Name a file; two paths to the same one give the same name.

    File systems of Windows and macOS do not tell ``A.png`` from ``a.png``, nor the two ways in which Unicode writes an
    accent; where both are there, their numbers tell them apart.
    """
    file, volume = volume_of(path)
    whole = file.resolve()
    try:
        name = unicodedata.normalize("NFC", str(whole)).casefold()
        return name if volume is None else f"{name}/{volume}", whole.stat().st_ino
    except OSError:  # whoever reads it says so
        return str(whole), 0


def _in_places(entry: Entry, places: Sequence[int]) -> Entry:
    """Put the images of an entry in the new places of its modalities."""
    files = sorted(zip((places[k] for k in entry.modalities), entry.images, strict=True))
    present = None if entry.present is None else tuple(k for k, _ in files)
    return replace(entry, images=tuple(file for _, file in files), present=present)


def file_stem(name: str) -> str:
    """Turn the name of a case into a file name: what file systems refuse or take for a folder becomes ``_``."""
    return re.sub(r"[^\w.+() -]|^\.+", "_", name)


def read_datalist(path: Path) -> Datalist:
    """Read and check a datalist.

    Raises:
        SemiSegError: missing, not JSON, without classes, with a malformed entry, or with a case or group in two of:
            what is trained on, the validation list, the test list.
    """
    if path.is_dir():
        inside = next((path / name for name in _USUAL_NAMES if (path / name).is_file()), None)
        example = '{"labels": {"1": "liver"}, "training": [{"image": "a.nii.gz", "label": "a_label.nii.gz"}]}'
        remedy = f"Give {inside}" if inside else f"Write a JSON file of what lies there, as {example}, and give that"
        raise SemiSegError("missing-file", f"{path} is a folder, and no datalist", remedy, "reading")
    if not path.is_file():
        raise SemiSegError("missing-file", f"There is no datalist {path}", "Check the path", "reading")
    try:
        raw = _parsed(path)
        if not isinstance(raw, dict):
            raise ValueError("it is not a JSON object")
        if is_nnunet(raw):
            raw = as_datalist(raw, path.parent)
        _refuse_slips("it", raw, _KEYS)
        values, classes = _classes(raw)
        modality = raw.get("modality") or {"0": "image"}
        modalities = tuple(str(modality[k]) for k in sorted(modality, key=int))
        if len(modalities) > MODALITIES_MOST or not all(name.strip() for name in modalities):
            raise ValueError(f"modality must name one to {MODALITIES_MOST} modalities")
        _refuse_twins("modalities", modalities)
        count = len(modalities)
        lists = {
            name: _told_apart([_entry(e, path.parent, classes, values, count) for e in _cases(raw, name)])
            for name in LISTS
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise SemiSegError(
            "bad-datalist", f"{path} is not a usable datalist: {why}",
            "Compare it with the datalist section of the README", "reading",
        ) from error  # fmt: skip
    # Benchmarks list what their unlabelled cases look like: nobody who trains may know it.
    lists["unlabeled"] = tuple(replace(entry, label=None) for entry in lists["unlabeled"])
    datalist = Datalist(path, modalities, classes, lists)
    shared = _refuse_leaks(datalist)
    for name in LISTS[2:]:
        lists[name] = tuple(
            replace(entry, only=entry.completeness.slices) if shared & entry.files else entry for entry in lists[name]
        )
    return datalist


def _parsed(path: Path) -> Any:
    """Return what a JSON file holds; in UTF-8, or as Windows' own tools write it: UTF-16, or with a mark before it."""
    try:
        return json.loads(path.read_bytes())
    except UnicodeDecodeError as error:
        raise ValueError("its characters are not in UTF-8; save it in that encoding") from error


def _refuse_slips(what: str, raw: dict[str, Any], known: Sequence[str]) -> None:
    """Refuse a key that is nearly one of the known: passed over, `slice` would make a label map a finished one.

    So are lists under the names of other programs: nobody would miss that nothing validates.

    Others are passed over, for datalists hold what other programs want to know; so are numbered ones (image2).
    """
    for key in raw:
        plain = key.casefold().replace("-", "_")
        close = get_close_matches(plain, known, 1, _ALIKE)
        if raw[key] and _OTHER_NAMES.get(plain) in known:
            close = [_OTHER_NAMES[plain]]
        if close and key not in known and not key[-1:].isdigit():
            raise ValueError(f"{what} has the unknown key {key!r}, which may be meant for {close[0]!r}")


def _cases(raw: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return what a list of a datalist holds; nothing where there is no such list.

    The Decathlon's own datalists give of a test case just the image; MONAI's Auto3DSeg calls that list testing.
    """
    entries = raw.get(name) or (raw.get("testing") if name == "test" else None) or []
    if isinstance(entries, list) and name == "test":
        entries = [{"image": entry} if isinstance(entry, str) else entry for entry in entries]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f'{name} must be a list of cases as {{"image": "a.png", "label": "a_label.png"}}')
    return entries


def _classes(raw: dict[str, Any]) -> tuple[tuple[int, ...], tuple[SegmentClass, ...]]:
    """Return the label values that stand for segments, ascending, and the classes, which are numbered in that order."""
    if not isinstance(raw["labels"], dict):
        raise ValueError('labels must name label values as {"0": "background", "1": "liver"}')
    strange = next((key for key in raw["labels"] if not key.strip().removeprefix("-").isdecimal()), None)
    if strange is not None:  # of nnU-Net names come first, and cases are not listed at all
        raise ValueError(f'labels must name label values as {{"0": "background", "1": "liver"}}, not {strange!r}')
    labels = {int(k): str(v) for k, v in raw["labels"].items() if int(k) != 0}
    if not labels or min(labels) < 0:
        raise ValueError("labels must name the label values of one segment or more (0 is background)")
    if len(labels) > SEGMENTS_MOST:
        raise ValueError(f"labels name {len(labels)} segments: there may be no more than {SEGMENTS_MOST}")
    details = raw.get("segments", {})
    classes = []
    for value, (label, name) in enumerate(sorted(labels.items()), 1):
        detail = details.get(str(label), {})
        # Hues a golden angle apart stay distinct however many there are.
        color = tuple(detail.get("color") or colorsys.hsv_to_rgb((0.11 + 0.618034 * value) % 1, 0.75, 0.95))
        told = {"name": detail.get("name", name), "color": color, "terminology": detail.get("terminology", "")}
        try:
            classes.append(SegmentClass(value=value, **told))
        except ValidationError as error:
            field = str(error.errors()[0]["loc"][0])
            raise ValueError(f"segment {label} is not usable: its {field} cannot be {told[field]!r}") from error
    _refuse_twins("segments", [c.name for c in classes])
    return tuple(sorted(labels)), tuple(classes)


def _refuse_twins(what: str, names: Sequence[str]) -> None:
    """Refuse two of a name, in any case: figures, models and their users tell segments and modalities apart by it."""
    folded = [name.casefold() for name in names]
    twice = next((name for k, name in enumerate(names) if folded[k] in folded[:k]), None)
    if twice is not None:
        raise ValueError(f"two {what} are called {twice!r}")


def _entry(
    raw: dict[str, Any], folder: Path, classes: Sequence[SegmentClass], values: tuple[int, ...], modalities: int
) -> Entry:
    listed = raw["image"] if isinstance(raw["image"], list) else _files(folder, raw["image"], modalities)
    present = tuple(k for k, file in enumerate(listed) if file is not None)
    images = [listed[k] for k in present]
    if not all(isinstance(file, str) for file in (*images, raw.get("label") or "")):
        raise ValueError(f"image and label must be files, not {raw['image']!r} and {raw.get('label')!r}")
    files = tuple(_located(folder, file) for file in images)
    first = files[0] if isinstance(raw["image"], list) and files else _located(folder, str(raw["image"]))
    name = str(raw.get("id") or (stem(first) if files else "an entry"))
    _refuse_slips(name, raw, _ENTRY_KEYS)
    if len(listed) != modalities:
        hint = "; if it holds all of them, save each as a file of its own" if len(listed) == 1 else ""
        raise ValueError(f"{name} has {many(len(listed), 'image')} for {modalities} modalities{hint}")
    if not images:
        raise ValueError(f"{name} has no image in any modality")
    numbers = {c.name: c.value for c in classes} | {label: c.value for label, c in zip(values, classes, strict=True)}

    def finished(segments: Sequence[int | str]) -> tuple[int, ...]:
        if not isinstance(segments, list) or any(s not in numbers for s in segments):
            raise ValueError(f"segments {segments} are not all in the class list, or no list")
        return tuple(numbers[s] for s in segments)

    def special(key: str) -> int | None:
        value = raw.get(key)
        if value is not None and (not isinstance(value, int) or value in (0, *values)):
            raise ValueError(f"{key} must be a label value that is none of the classes' and not 0, not {value!r}")
        return value

    if not isinstance(raw.get("complete", True), bool):
        raise ValueError(f"complete must be true or false, not {raw['complete']!r}")
    completeness = Completeness(
        complete=raw.get("complete", True),
        background=special("background"),
        ignore=special("ignore"),
        slices=_planes(raw, "slices"),
        segments=finished(raw["segments"]) if raw.get("segments") is not None else None,
        values=None if values == tuple(c.value for c in classes) else values,
    )
    if completeness.background is not None and completeness.background == completeness.ignore:
        raise ValueError(f"{name} has one value, {completeness.ignore}, for background and for what does not count")
    spacing: Spacing = "file"
    if "spacing" in raw:
        spacing = _lengths(raw["spacing"], name)
    sequence = raw.get("sequence")
    group = sequence if raw.get("group") is None else raw["group"]
    return Entry(
        id=name,
        images=files,
        label=_located(folder, raw["label"]) if raw.get("label") else None,
        spacing=spacing,
        completeness=completeness,
        group=None if group is None else str(group),
        present=None if len(present) == modalities else present,
        held_out=_planes(raw, "held_out") or (),
        sequence=None if sequence is None else str(sequence),
        frame=_place(raw.get("frame")),
        names=tuple(c.name for c in classes),
    )


def _located(folder: Path, text: str) -> Path:
    """Return where a listed file is; a list that was made on Windows may have its relative paths in Windows' way."""
    path = folder / text
    return folder / text.replace("\\", "/") if "\\" in text and not path.exists() else path


def _files(folder: Path, image: Any, modalities: int) -> list[Any]:
    """Return what one file stands for: itself, or the modalities of a case.

    The Decathlon keeps them along a fourth axis, nnU-Net in files that are numbered, which it lists by a single name.
    """
    path = _located(folder, image) if isinstance(image, str) else folder
    if not path.exists():
        return numbered(path, list(range(modalities))) or [image]
    several = modalities > 1 and count_volumes(path) == modalities
    return [str(path / str(k)) for k in range(modalities)] if several else [image]


def _told_apart(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Name cases by their folders, too, where their files are called alike, as in `anna/t1.nii` and `ben/t1.nii`."""
    named = list(entries)
    for depth in range(1, _FOLDERS_MOST + 1):
        count = Counter(entry.stem.casefold() for entry in named)
        for k, entry in enumerate(entries):
            file = entry.images[0]
            if count[named[k].stem.casefold()] > 1 and entry.id in (stem(file), stem(volume_of(file)[0])):
                # Of the same file listed again the name is the old one in the end.
                folders = volume_of(file)[0].parent.parts[-depth:] if depth < _FOLDERS_MOST else ()
                named[k] = replace(entry, id="_".join((*folders, entry.id)))
    return tuple(named)


def _lengths(spacing: Any, name: str) -> tuple[float, ...] | None:
    """Return a spacing that an entry gives; None for an unknown one."""
    if spacing is None:
        return None
    try:
        lengths = tuple(map(float, spacing))
    except (TypeError, ValueError):
        lengths = (0.0,)
    if not all(0 < length < math.inf for length in lengths):
        raise ValueError(f"the spacing of {name} must be lengths in mm, not {spacing!r}")
    return lengths


def _planes(raw: dict[str, Any], key: str) -> tuple[int, ...] | None:
    """Return the numbers of planes that an entry lists; None where it lists none."""
    planes = raw.get(key)
    if planes is None:
        return None
    if not isinstance(planes, list) or any(type(plane) is not int for plane in planes):
        raise ValueError(f"{key} must be a list of whole numbers, not {planes!r}")
    return tuple(planes)


def _place(frame: Any) -> float | None:
    """Return a frame's place in its cine; an index value may be a number, a text that is one, or a name."""
    try:
        place = float(frame)
    except (TypeError, ValueError):
        return None
    return place if math.isfinite(place) else None


def _refuse_leaks(datalist: Datalist) -> set[File]:
    """A case or group that is trained on must not be evaluated on, and what chooses must not judge.

    Planes of a volume that is trained on elsewhere may be evaluated, where all that train hold them out.

    Returns:
        The images that are trained on and evaluated, in different planes.
    """
    trained = [e for name in LISTS[:2] for e in datalist[name]]
    taken: dict[File | str, str] = {}
    validated: dict[File, str] = {}  # in planes of their own
    for name, lists in (("trained on", LISTS[:2]), ("validation", ("validation",)), ("test", ("test",))):
        for entry in (e for listed in lists for e in datalist[listed]):
            keys: list[File | str] = [*sorted(entry.files)]
            if entry.group is not None:
                keys.append(entry.group)
            twice = [k for k in keys if isinstance(k, tuple) and taken.get(k, name) == "trained on" != name]
            apart = {k for k in twice if validated.get(k, name) == name and _held_out(entry, k, trained)}
            validated.update(dict.fromkeys(apart, name))
            other = next((taken[k] for k in keys if taken.get(k, name) != name and k not in apart), None)
            if other is not None:
                used = "is also trained on" if other == "trained on" else f"is also in the list {other}"
                raise SemiSegError(
                    "leak", f"{entry.id} is in the list {name}, but it or its group {used}",
                    "Keep every patient or sequence in one list only", "reading",
                )  # fmt: skip
            taken.update({k: name for k in keys if k not in apart})
    return set(validated)


def _held_out(entry: Entry, image: File, trained: Iterable[Entry]) -> bool:
    """Say whether every case that learns from an image holds the planes out that `entry` evaluates in it."""
    planes = entry.completeness.slices
    return planes is not None and all(set(planes) <= set(e.held_out) for e in trained if image in e.files)
