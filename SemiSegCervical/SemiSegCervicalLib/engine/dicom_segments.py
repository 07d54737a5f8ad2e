"""DICOM SEG as label maps: segments found by their names, and laid onto the grid of the image that they belong to.

A DICOM SEG has no grid of its own: pictures without a segment are left out, and the others come in any order. Nor do
its numbers say much, for they count the segments that are there. So a picture goes where it lies in space, and a
segment is the class that has its name.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..affines import LPS_AND_RAS, says_nothing
from ..atomic import reason
from ..dicom_seg import one_line
from ..errors import SemiSegError
from ..formats import has_dicom_magic
from . import dicom_tags as tags
from .dicom_tags import read_tags

if TYPE_CHECKING:
    from pydicom import Dataset

# Segmentation Storage, and Label Map Segmentation Storage.
_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_OFF = 0.3
"""Voxels between a picture and the grid that rounding explains, and a grid that is laid evenly through a series whose
slices are not quite even: see `dicom_layout`."""
_SLICER = "Load both into 3D Slicer and export the segmentation as a label map on the image's grid"


@dataclass(frozen=True)
class _Picture:
    """One picture of a DICOM SEG.

    Attributes:
        index: which of its frames.
        segment: the number of its segment; None where its pixels are the numbers.
        place: 4x3, from (column, row, 1) to RAS in mm; None where it has none.
    """

    index: int
    segment: int | None
    place: np.ndarray | None


def is_dicom_seg(path: Path) -> bool:
    """Say whether a path is a file with a segmentation in DICOM."""
    try:
        return has_dicom_magic(path) and read_tags(path).text(tags.SOP_CLASS) in _CLASSES
    except (OSError, ValueError):
        return False


def read_dicom_seg(path: Path, shape: Sequence[int], affine: np.ndarray | None, names: Sequence[str]) -> np.ndarray:
    """Read a DICOM SEG as a label map on the grid of its image.

    Segments are told by their names, in any case; several of one name are one class. A segment that is no class is
    background where every class has a segment: elsewhere it may be one of them under another name.

    Args:
        path: the file.
        shape: of the image, ``(Y, X)`` or ``(Z, Y, X)``.
        affine: the image's 4x4 IJK-to-RAS matrix; None where it has none.
        names: of the classes, in the order of their values, which begin with 1.

    Returns:
        int64 array of that shape.

    Raises:
        SemiSegError: pydicom is missing, the file is damaged, its segments are shares, overlap, or are none of the
            classes, or it lies on another grid.
    """
    try:
        import pydicom
    except ImportError as error:
        raise SemiSegError(
            "missing-package", f"Reading the DICOM SEG {path} needs the package pydicom",
            "Install it: pip install pydicom", "reading",
        ) from error  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is unusual in the texts of other people's files
            found = pydicom.dcmread(path)
            _refuse_other_kinds(path, found)
            values = _values(path, found, names)
            size = (int(found.Rows), int(found.Columns))
            pictures = _pictures(found)
            whole = (1,) * (3 - len(shape)) + tuple(shape)
            steps = _places(path, pictures, size, whole, np.eye(4) if affine is None else affine)
            labels = _lay(path, _marks(found, pictures, values), steps, whole, names)
    except SemiSegError:
        raise
    except Exception as error:  # what a damaged file makes a decoder raise is not its contract
        raise SemiSegError(
            "unreadable", f"{path} cannot be read as DICOM SEG: {reason(error)}",
            "Load it into 3D Slicer, to see whether it is damaged, and export it as a label map", "reading",
        ) from error  # fmt: skip
    return labels.reshape(shape)


def _refuse_other_kinds(path: Path, found: Dataset) -> None:
    if found.SegmentationType == "FRACTIONAL":
        raise SemiSegError(
            "fractional-segments", f"The DICOM SEG {path} holds shares or probabilities (FRACTIONAL), not outlines",
            "Write it as BINARY or LABELMAP, or as a label map in another format", "reading",
        )  # fmt: skip
    if "TotalPixelMatrixRows" in found:
        raise SemiSegError(
            "tiled-segments", f"The DICOM SEG {path} is cut into tiles, as those of microscopes are",
            "Put it together first, and write it as a label map in another format", "reading",
        )  # fmt: skip


def _values(path: Path, found: Dataset, names: Sequence[str]) -> dict[int, int]:
    """Return the class of each segment's number, 0 for what is none."""
    keys = [one_line(name).casefold() for name in names]
    # Names that only differ beyond the letters that a file has room for name nothing.
    wanted = {key: value for value, key in enumerate(keys, start=1) if keys.count(key) == 1}
    # A label map may describe its background, too.
    told = {int(s.SegmentNumber): str(s.get("SegmentLabel") or "") for s in found.SegmentSequence}
    blank = {0, found.get("PixelPaddingValue", 0)} if found.SegmentationType == "LABELMAP" else set()
    values = {number: wanted.get(one_line(label).casefold(), 0) for number, label in told.items()}
    strange = [one_line(label) for number, label in told.items() if not values[number] and number not in blank]
    lacking = [name for value, name in enumerate(names, start=1) if value not in values.values()]
    if strange and lacking:
        raise SemiSegError(
            "unknown-segment", f"The DICOM SEG {path} has a segment {strange[0]!r}, which no class is called, and none "
            f"called {lacking[0]!r}",
            "Call segments as the classes are called, or add the class; what is no class is taken for background only "
            "where all classes are there", "reading",
        )  # fmt: skip
    return {**values, **dict.fromkeys(blank, 0)}


def _pictures(found: Dataset) -> list[_Picture]:
    shared = next(iter(found.get("SharedFunctionalGroupsSequence") or ()), None)
    pictures = []
    for index, own in enumerate(found.PerFrameFunctionalGroupsSequence):

        def group(keyword: str, own: Any = own) -> Any:
            """What is said of this picture, else of all; None where nothing is."""
            for holder in (own, shared):
                if holder is not None and holder.get(keyword):
                    return holder[keyword][0]
            return None

        segment, place = group("SegmentIdentificationSequence"), None
        position, turned = group("PlanePositionSequence"), group("PlaneOrientationSequence")
        if position is not None and turned is not None:
            between_rows, between_columns = map(float, group("PixelMeasuresSequence").PixelSpacing)
            directions = np.array(turned.ImageOrientationPatient, dtype=float).reshape(2, 3)
            place = np.zeros((4, 3))
            place[:3, 0], place[:3, 1] = directions[0] * between_columns, directions[1] * between_rows
            place[:, 2] = [*map(float, position.ImagePositionPatient), 1.0]
            place = LPS_AND_RAS @ place
        number = None if found.SegmentationType == "LABELMAP" else int(segment.ReferencedSegmentNumber)
        pictures.append(_Picture(index, number, place))
    return pictures


def _places(
    path: Path, pictures: Sequence[_Picture], size: tuple[int, int], shape: tuple[int, ...], affine: np.ndarray
) -> list[np.ndarray]:
    """Return for each picture whole numbers ``(3, 3)``, from (column, row, 1) to (i, j, k) of the image.

    Args:
        path: for messages.
        pictures: all of them.
        size: their rows and columns.
        shape: of the image, ``(Z, Y, X)``.
        affine: its 4x4 IJK-to-RAS matrix.

    Raises:
        SemiSegError: they lie on another grid, or a segment is there more than once.
    """
    at_once = len({None if picture.place is None else picture.place.tobytes() for picture in pictures}) == 1
    found: list[np.ndarray] = []
    taken = set()
    for picture in pictures:
        steps: np.ndarray | None
        if at_once and shape == (1, *size) and (picture.place is None or says_nothing(affine)):
            # What says nothing of its place is believed to lie where the other one does.
            steps = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]])
        else:
            steps = None if picture.place is None else _steps(np.linalg.solve(affine, picture.place)[:3], size)
        if steps is None:
            raise SemiSegError(
                "grids-differ", f"The DICOM SEG {path} lies on another grid than its image", _SLICER, "reading"
            )
        if (picture.segment, steps.tobytes()) in taken:
            raise SemiSegError(
                "time-series", f"The DICOM SEG {path} shows a segment more than once at one place, as over time",
                "Export one of its times as a label map", "reading",
            )  # fmt: skip
        taken.add((picture.segment, steps.tobytes()))
        found.append(steps)
    return found


def _steps(place: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """Return the whole numbers of a picture's place among the voxels of an image; None where it lies between them.

    Args:
        place: 3x3, from (column, row, 1) to (i, j, k) of the image.
        size: rows and columns.
    """
    steps = np.rint(place).astype(np.int64)
    along = np.abs(steps[:, :2])
    if not (along.sum(axis=0) == 1).all() or (along.sum(axis=1) > 1).any():
        return None
    corners = np.array([[c, r, 1] for c in (0, size[1] - 1) for r in (0, size[0] - 1)]).T
    return steps if np.abs((place - steps) @ corners).max() <= _OFF else None


def _marks(found: Dataset, pictures: Sequence[_Picture], values: Mapping[int, int]) -> Iterable[tuple[int, np.ndarray]]:
    """Decode the pictures that may show a class, one after the other.

    Returns:
        Their indices, and int64 ``(Y, X)``, the classes' values.

    Raises:
        ValueError: they show a segment that is not described.
    """
    from pydicom.pixels import iter_pixels

    def value(number: int) -> int:
        if number not in values:
            raise ValueError(f"it does not describe its segment {number}")
        return values[number]

    wanted = {p.index: None if p.segment is None else value(p.segment) for p in pictures}
    wanted = {index: told for index, told in wanted.items() if told != 0}
    count = int(found.Rows) * int(found.Columns)
    if found.BitsAllocated == 1 and not found.file_meta.TransferSyntaxUID.is_encapsulated:
        # Eight pixels to a byte, wherever in it a picture begins.
        packed = np.frombuffer(found.PixelData, np.uint8)
        for index, told in wanted.items():
            first = index * count
            bits = np.unpackbits(packed[first // 8 : -(-(first + count) // 8)], bitorder="little")
            yield index, bits[first % 8 :][:count].reshape(found.Rows, found.Columns) * np.int64(told or 0)
        return
    decoded = iter_pixels(found, raw=True, indices=list(wanted)) if wanted else ()
    for (index, told), pixels in zip(wanted.items(), decoded, strict=True):
        if told is not None:
            yield index, (pixels != 0) * np.int64(told)
        else:
            numbers, where = np.unique(pixels, return_inverse=True)
            yield index, np.array([value(int(n)) for n in numbers], dtype=np.int64)[where].reshape(pixels.shape)


def _lay(
    path: Path,
    marks: Iterable[tuple[int, np.ndarray]],
    places: Sequence[np.ndarray],
    shape: tuple[int, ...],
    names: Sequence[str],
) -> np.ndarray:
    """Put what pictures show in their places on the grid ``(Z, Y, X)``.

    Raises:
        SemiSegError: it reaches beyond the grid, or classes overlap.
    """
    labels = np.zeros(shape, dtype=np.int64)
    for index, values in marks:
        row, column = np.nonzero(values)
        at = (places[index] @ np.stack([column, row, np.ones_like(row)]))[::-1]
        if (at < 0).any() or (at >= np.reshape(shape, (3, 1))).any():
            raise SemiSegError(
                "grids-differ", f"The DICOM SEG {path} has segments that reach beyond its image", _SLICER, "reading"
            )
        there, new = labels[tuple(at)], values[row, column]
        both = (there != 0) & (there != new)
        if both.any():
            first = int(np.flatnonzero(both)[0])
            raise SemiSegError(
                "overlapping-segments",
                f"The segments {names[there[first] - 1]!r} and {names[new[first] - 1]!r} of {path} overlap",
                "Export it from 3D Slicer as a label map", "reading",
            )  # fmt: skip
        labels[tuple(at)] = new
    return labels
