"""Cases that are not in the scene: a folder with a data list, or one of images with label maps beside them.

Nothing is loaded into the scene and nothing is copied: training reads the files where they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from SemiSegCervicalLib.affines import lies_elsewhere, runs_otherwise
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.formats import PICTURES, VOLUMES, ending, files_in, has_dicom_magic, stem
from SemiSegCervicalLib.pieces import Pieces
from SemiSegCervicalLib.scene.marks import ORIGIN, PREDICTION

from .annotation import CERTAIN_BACKGROUND, IGNORE, Annotation, SegmentReading
from .classes import SegmentKey
from .disk import Header, file_stamp, read_header, read_voxels, stored_segments
from .marks import ACCEPTED, SCRIBBLES, SLICES, START
from .memory import Memory
from .training_set import Side

# The value of a mask in black and white; beside others it may mean what does not count.
_WHITE = 255
LABEL_SUFFIXES = ("_labels", "_label", "_seg")
# How public data sets call theirs; beside an image of the rest of the name, for an image may be called so as well.
_OTHER_SUFFIX = re.compile(r"_(mask|gt|segmentation|annotation)(_?\d+)?$", re.IGNORECASE)
_GREY = (0.5, 0.5, 0.5)
_FOUND: Memory[tuple[int, ...]] = Memory()
_HEADERS: Memory[Header] = Memory()


@dataclass
class OutsideCase:
    """One case on disk.

    Attributes:
        id: of the training case.
        name, group: as in `training_set.TrainingCase`.
        folder: the folder that it came with.
        images: a file per modality; None where the case lacks one.
        modalities: their names; one empty name where there is only one.
        label: file of the label map, if any.
        names: of the classes by label value; None where nobody says what the values are.
        terminologies, colors: of the classes by label value, where they are known.
        complete, background, ignore, slices, segments: as in a data list's entry.
        spacing: in mm as the data list says; None for unknown, "file" where the file knows.
        side: where the data list has it.
        grouped: somebody said of which patient or sequence it is.
        sequence, frame: as the data list says.
        why_not: why it cannot be used.
        header, values: of the files, when they have been looked at: size and place, and the label values that occur.
    """

    id: str
    name: str
    group: str
    folder: Path
    images: tuple[Path | None, ...]
    modalities: tuple[str, ...] = ("",)
    label: Path | None = None
    names: Mapping[int, str] | None = None
    terminologies: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, tuple[float, float, float]] = field(default_factory=dict)
    complete: bool = True
    background: int | None = None
    ignore: int | None = None
    slices: tuple[int, ...] | None = None
    segments: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | str | None = "file"
    side: Side | None = None
    grouped: bool = False
    sequence: str | None = None
    frame: str | None = None
    why_not: str = ""
    header: Header | None = None
    values: tuple[int, ...] = ()

    @property
    def special(self) -> tuple[int, ...]:
        """Label values that are no class."""
        return tuple(value for value in (self.background, self.ignore) if value is not None)

    def annotation(self) -> Annotation | None:
        """Return what the label map says, None without one."""
        if self.label is None or self.why_not:
            return None
        named = self.names if self.names is not None else {v: f"{self.folder.name} label {v}" for v in self.values}
        readings = [
            SegmentReading(
                id=str(value),
                name=name,
                terminology=self.terminologies.get(value, ""),
                color=self.colors.get(value, _GREY),
                background=False,
                paint="all",
                finished=self.complete and (self.segments is None or value in self.segments),
                slices=self.slices,
            )
            for value, name in named.items()
            if value not in self.special
        ]
        if self.background is not None:
            readings.append(SegmentReading("background", "", "", _GREY, True, "all", False, None))
        return Annotation(tuple(readings), not self.complete, predicted=False)

    def read_labels(self, values: Mapping[str, int], first: int, last: int) -> np.ndarray:
        """Read planes of the label map in the values of the training set, uint8 ``(planes, Y, X)``."""
        if self.label is None:
            raise ValueError(f"{self.name} has no label map")
        meaning = np.full(256, IGNORE, dtype=np.uint8)
        meaning[0] = 0
        for segment_id, value in values.items():
            meaning[int(segment_id)] = value
        if self.background is not None:
            meaning[self.background] = CERTAIN_BACKGROUND
        return meaning[read_voxels(self.label)[first:last].astype(np.uint8)]

    def as_it_is(self, values: Mapping[str, int]) -> bool:
        """Return whether the file's label values are those of the training set, so that it need not be rewritten."""
        return all(values.get(str(value)) == value for value in self.values)


def folder_cases(folder: Path) -> list[OutsideCase]:
    """Find the cases of a folder.

    Args:
        folder: with a ``datalist.json``, whose lists say what is used for what; or with images and, beside some of
            them, label maps of the same name and ``_label``, ``_labels`` or ``_seg``.

    Raises:
        SemiSegError: the folder is not there, holds no image, or its data list cannot be used.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise SemiSegError(
            "no-folder", f'The folder "{folder}" is not there', "Connect its disk, or remove it", "reading"
        )
    path = folder / "datalist.json"
    cases = list(_listed(path)) if path.is_file() else list(_paired(folder))
    if not cases:
        raise SemiSegError(
            "no-images", f'"{folder}" holds no image', "Choose the folder that holds the images", "reading"
        )
    return cases


def look_in_pieces(case: OutsideCase) -> Pieces[None]:
    """Read the headers of a case's files and the values in its label map; a fault becomes `why_not`."""
    try:
        files = [path for path in case.images if path is not None]
        headers = [_header(path) for path in files]
        case.header = headers[0]
        yield
        if any(other.shape != case.header.shape for other in headers):
            case.why_not = "its images are of different sizes"
        if any(not 0 <= number < case.header.shape[0] for number in case.slices or ()):
            case.why_not = f"its data list names slices that it has not; it has {case.header.shape[0]}, counted from 0"
        if case.label is not None and has_dicom_magic(case.label):
            case.why_not = "its label map is in DICOM, where numbers are no classes: load it into the scene"
        if case.label is None or case.why_not:
            return
        case.values = _values(case.label)
        yield
        label = _header(case.label)
        unsaid = [value for value in case.values if value not in case.special]
        if label.shape != case.header.shape:
            case.why_not = "its label map is of another size"
        elif runs_otherwise(label.affine, case.header.affine):
            case.why_not = "its label map runs in other directions; save it on the image's own grid"
        elif lies_elsewhere(label.affine, case.header.affine):
            case.why_not = "its label map lies in another place; save it on the image's own grid"
        elif any(not 0 < value < CERTAIN_BACKGROUND for value in unsaid) and unsaid != [_WHITE]:
            case.why_not = "its label map holds values that are no labels"
        elif case.names is not None:
            strange = [value for value in unsaid if value not in case.names]
            if strange:
                case.why_not = f"its label map holds the value {strange[0]}, which no class has"
    except SemiSegError as error:
        case.why_not = error.cause


def _listed(path: Path) -> Iterator[OutsideCase]:
    """Read the cases of a data list; its test list is left alone."""
    try:
        raw = json.loads(path.read_bytes())
        names = {int(value): str(name) for value, name in raw["labels"].items() if int(value) != 0}
        said = {int(value): entry for value, entry in raw.get("segments", {}).items()}
        names = {value: str(said.get(value, {}).get("name", name)) for value, name in names.items()}
        modality = raw.get("modality") or {"0": ""}
        modalities = tuple(str(modality[key]) for key in sorted(modality, key=int))
        if len(modalities) == 1:
            modalities = ("",)
        values = {name: value for value, name in names.items()}
        for key in ("training", "unlabeled", "validation"):
            for entry in raw.get(key, ()):
                case = _entry(entry, path.parent, modalities, values)
                case.names = names
                case.terminologies = {value: entry.get("terminology", "") for value, entry in said.items()}
                case.colors = {v: _color(entry["color"]) for v, entry in said.items() if entry.get("color")}
                case.side = "validation" if key == "validation" else None
                if key == "unlabeled":
                    case.label = None
                yield case
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise SemiSegError(
            "bad-datalist", f'"{path}" is not a usable data list: {why}', "Correct it, or move it elsewhere", "reading"
        ) from error


def _entry(raw: dict[str, Any], folder: Path, modalities: tuple[str, ...], values: Mapping[str, int]) -> OutsideCase:
    listed = raw["image"] if isinstance(raw["image"], list) else [raw["image"]]
    if len(listed) != len(modalities) or not any(listed):
        raise ValueError(f"an entry has {len(listed)} images for {len(modalities)} modalities")
    images = tuple(folder / name if name is not None else None for name in listed)
    first = next(path for path in images if path is not None)
    group = raw.get("sequence") if raw.get("group") is None else raw["group"]
    segments = raw.get("segments")
    spacing = raw.get("spacing", "file")
    return OutsideCase(
        id=f"file:{first}",
        name=str(raw.get("id") or stem(first)),
        group=f"{folder}:{group if group is not None else first.name}",
        folder=folder,
        grouped=group is not None,
        images=images,
        modalities=modalities,
        label=folder / raw["label"] if raw.get("label") else None,
        complete=bool(raw.get("complete", True)),
        background=raw.get("background"),
        ignore=raw.get("ignore"),
        slices=tuple(map(int, raw["slices"])) if raw.get("slices") is not None else None,
        segments=tuple(s if isinstance(s, int) else values[s] for s in segments) if segments is not None else None,
        spacing=tuple(map(float, spacing)) if isinstance(spacing, list) else spacing,
        sequence=raw.get("sequence"),
        frame=raw.get("frame"),
    )


def _paired(folder: Path) -> Iterator[OutsideCase]:
    """Pair images and label maps by name, as ``semiseg evaluate`` does; or by what else label maps are called.

    Taken for an image, a mask would be learned from as one that nobody has segmented.
    """
    files = [path for path in files_in(folder) if path.is_file() and ending(path) in (*PICTURES, *VOLUMES)]
    labels: dict[str, list[Path]] = {}
    for path in files:
        suffix = next((s for s in LABEL_SUFFIXES if stem(path).endswith(s)), None)
        if suffix is not None or ending(path) == ".seg.nrrd":
            labels.setdefault(stem(path).removesuffix(suffix or ""), []).append(path)
    names, others = {stem(path) for path in files}, dict[str, list[Path]]()
    for path in files:
        image = _OTHER_SUFFIX.sub("", stem(path))
        if image != stem(path) and image in names:
            others.setdefault(image, []).append(path)
    taken = {path for found in (labels, others) for beside in found.values() for path in beside}
    for path in files:
        if path in taken or ending(path) == ".seq.nrrd":
            continue
        beside = labels.get(stem(path)) or others.get(stem(path), [])
        label = beside[0] if beside else None
        segments = stored_segments(label) if label is not None else []
        why_not = _why_unfinished(segments)
        if len(beside) > 1:
            why_not = f"several label maps lie beside it ({', '.join(map_.name for map_ in beside)}): leave one there"
        yield OutsideCase(
            id=f"file:{path}",
            name=stem(path),
            group=f"{folder}:{path.name}",
            folder=folder,
            images=(path,),
            label=label,
            names={int(segment["LabelValue"]): segment["Name"] for segment in segments} or None,
            why_not=why_not,
        )


def _why_unfinished(segments: Sequence[Mapping[str, str]]) -> str:
    """Say why a file that Slicer wrote is no finished label map; empty where it is one, as far as it says."""
    tags = [dict(tag.partition(":")[::2] for tag in s.get("Tags", "").split("|")) for s in segments]
    status = [tag.get("Segmentation.Status") for tag in tags]
    if len({segment.get("Layer", "0") for segment in segments}) > 1:
        return "the segments of its label map cover each other: load it into the scene"
    if any(tag.get(SLICES) or tag.get(START) or tag.get(SCRIBBLES) == "1" for tag in tags) or "flagged" in status:
        return "its label map is marked as not finished everywhere: load it into the scene, where its marks count"
    accepted = [tag.get(ACCEPTED) == "1" or said == "completed" for tag, said in zip(tags, status, strict=True)]
    if any(tag.get(ORIGIN) == PREDICTION and not taken for tag, taken in zip(tags, accepted, strict=True)):
        return "only a model's result, which nobody has accepted: load it into the scene, and accept it there"
    return ""


def unnamed(cases: Sequence[OutsideCase]) -> dict[SegmentKey, tuple[str, list[str]]]:
    """Return what stands for the label values that nobody named: its name, and the names of the cases that hold it."""
    found: dict[SegmentKey, tuple[str, list[str]]] = {}
    for case in cases:
        annotation = case.annotation() if case.names is None else None
        for segment in annotation.segments if annotation is not None else ():
            found.setdefault(SegmentKey.of(segment), (segment.name, []))[1].append(case.name)
    return found


def _header(path: Path) -> Header:
    stamp = file_stamp(path)
    return _HEADERS.get(stamp) or _HEADERS.put(stamp, read_header(path))


def _values(path: Path) -> tuple[int, ...]:
    """Return the label values that occur in a file; -1 stands for numbers that are no label."""
    stamp = file_stamp(path)
    known = _FOUND.get(stamp)
    if known is not None:
        return known
    voxels = read_voxels(path)
    low, high = voxels.min(), voxels.max()
    if not (low >= 0 and high <= 255) or (voxels.dtype.kind == "f" and not np.array_equal(voxels, np.rint(voxels))):
        return _FOUND.put(stamp, (-1,))
    counts = np.bincount(voxels.astype(np.uint8).ravel(), minlength=256)
    return _FOUND.put(stamp, tuple(int(value) for value in np.flatnonzero(counts) if value != 0))


def _color(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
