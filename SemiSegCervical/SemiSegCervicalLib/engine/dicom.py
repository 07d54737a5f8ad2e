"""DICOM: a series in a folder, a multi-frame file, or a single picture, laid out as a volume or as frames.

SimpleITK (GDCM) decodes the pixels; where the slices lie is read here from their headers, for GDCM trusts the order of
frames in a file and the first one's rescaling. What cannot be laid on one even grid is refused: 3D Slicer regularises
such series, and its result can be saved as NRRD.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import SemiSegError
from ..formats import has_dicom_magic
from . import dicom_tags as tags
from .dicom_layout import ONE_SERIES, Frame, Layout, lay_out
from .dicom_tags import Tags, dicom_files, read_tags
from .image import grey_from_rgb

# Segmentations, surfaces, registrations, presentation states, doses: pictures of numbers that are no image.
_NO_IMAGE = ("1.2.840.10008.5.1.4.1.1.66", "1.2.840.10008.5.1.4.1.1.11.", "1.2.840.10008.5.1.4.1.1.481.2")
_CENTIMETRES = 3
_MOST_FRAMES = 2**20


def is_dicom(path: Path) -> bool:
    """Say whether a path is a DICOM file, or a folder (which holds a series or is no input at all)."""
    return path.is_dir() or has_dicom_magic(path)


def read_layout(path: Path) -> Layout:
    """Find out from the headers how a DICOM file or a folder's one series lies in space.

    Raises:
        SemiSegError: no image, several series, or slices that do not lie on one even grid.
        ValueError: a header is damaged.
    """
    files = {file: _read_header(file) for file in (dicom_files(path) if path.is_dir() else [path])}
    images = {file: found for file, found in files.items() if _is_image(found)}
    if not images:
        what = "no DICOM images" if path.is_dir() else "no image but other DICOM data"
        raise SemiSegError(
            "no-image", f"{path} holds {what}",
            "Give image files or the folder of a DICOM series; a DICOM SEG is a label map, and named by its file",
            "reading",
        )  # fmt: skip
    series: dict[str, list[Frame]] = {}
    first: dict[str, Tags] = {}
    for file, found in images.items():
        uid = found.text(tags.SERIES_UID)
        first.setdefault(uid, found)
        series.setdefault(uid, []).extend(_frames(file, found))
    if len(series) > 1:
        listed = "; ".join(f"{_called(first[uid])}, {len(frames)} slices" for uid, frames in series.items())
        raise SemiSegError("several-series", f"{path} holds {len(series)} series: {listed}", ONE_SERIES, "reading")
    return lay_out(path, next(iter(series.values())))


def read_pixels(layout: Layout) -> tuple[np.ndarray, bool]:
    """Decode the pixels in the order of a layout, rescaled to their unit (Hounsfield for CT).

    Returns:
        float32 ``(frames, Y, X)``, and whether colour was turned into grey.

    Raises:
        ValueError: a file cannot be decoded.
    """
    array = np.empty((len(layout.frames), *layout.frames[0].shape), dtype=np.float32)
    from_rgb = False
    files: dict[Path, list[tuple[int, Frame]]] = {}
    for at, frame in enumerate(layout.frames):
        files.setdefault(frame.path, []).append((at, frame))
    for path, wanted in files.items():
        try:
            image = sitk.ReadImage(str(path), sitk.sitkUnknown, "GDCMImageIO")
        except RuntimeError as error:
            raise ValueError(f"the pixels of {path.name} cannot be decoded") from error
        pixels = sitk.GetArrayViewFromImage(image)
        colour = image.GetNumberOfComponentsPerPixel() > 1
        pixels = pixels.reshape(-1, *layout.frames[0].shape, *pixels.shape[pixels.ndim - 1 :] * colour)
        applied = min((frame for _, frame in wanted), key=lambda frame: frame.index).rescale
        for at, frame in wanted:
            part = grey_from_rgb(pixels[frame.index]) if colour else pixels[frame.index]
            if frame.rescale != applied:
                stored = (part.astype(np.float64) - applied[1]) / applied[0]
                part = stored * frame.rescale[0] + frame.rescale[1]
            array[at] = part
        from_rgb |= colour
    return array, from_rgb


def _read_header(path: Path) -> Tags:
    try:
        return read_tags(path)
    except ValueError as error:
        raise ValueError(f"the DICOM header of {path.name} is cut short or damaged") from error


def _is_image(found: Tags) -> bool:
    return bool(found.short(tags.ROWS)) and not found.text(tags.SOP_CLASS).startswith(_NO_IMAGE)


def _called(found: Tags) -> str:
    number = found.text(tags.SERIES_NUMBER) or "without number"
    return f"number {number}, {found.text(tags.SERIES_DESCRIPTION) or found.text(tags.MODALITY) or 'not described'!r}"


def _frames(path: Path, found: Tags) -> list[Frame]:
    count = int(found.number(tags.FRAME_COUNT) or 1)
    shared = next(iter(found.items(tags.SHARED_GROUPS)), Tags())
    each = found.items(tags.FRAME_GROUPS)
    if not 0 < count <= _MOST_FRAMES or (each and len(each) != count):
        raise ValueError(f"it holds {count} frames and describes {len(each)}")
    if "MOSAIC" in found.text(tags.IMAGE_TYPE).split("\\"):
        raise ValueError("it is a mosaic, many slices in one picture; convert it to NIfTI or NRRD first")
    frames = []
    for index in range(count):
        own = each[index] if each else Tags()

        def group(sequence: int, own: Tags = own) -> Tags:
            """What is said of this frame, else of all frames, else of the file."""
            return next(iter(own.items(sequence) or shared.items(sequence)), found)

        measures, transformation = group(tags.PIXEL_MEASURES), group(tags.PIXEL_TRANSFORMATION)
        slope, intercept = transformation.number(tags.SLOPE), transformation.number(tags.INTERCEPT)
        frames.append(
            Frame(
                path=path,
                index=index,
                number=found.number(tags.INSTANCE_NUMBER) or 0.0,
                shape=(found.short(tags.ROWS) or 0, found.short(tags.COLUMNS) or 0),
                position=_vector(group(tags.PLANE_POSITION).numbers(tags.POSITION), 3),
                orientation=_directions(group(tags.PLANE_ORIENTATION).numbers(tags.ORIENTATION)),
                spacing=_pixel_spacing(measures.numbers(tags.PIXEL_SPACING), found),
                thickness=_positive(measures.number(tags.SLICE_SPACING) or measures.number(tags.SLICE_THICKNESS)),
                rescale=(slope or 1.0, intercept or 0.0),
            )
        )
    # A file of several frames with one place for all of them shows time, whatever that place is.
    if count > 1 and not any(item.items(tags.PLANE_POSITION) for item in each):
        frames = [replace(frame, position=None) for frame in frames]
    return frames


def _vector(numbers: Sequence[float], length: int) -> np.ndarray | None:
    return np.array(numbers) if len(numbers) == length and np.isfinite(numbers).all() else None


def _directions(numbers: Sequence[float]) -> np.ndarray | None:
    found = _vector(numbers, 6)
    if found is None:
        return None
    row, column = found[:3], found[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(lengths) < 0.5 or abs(row @ column) > 0.01 * lengths[0] * lengths[1]:
        raise ValueError("its image orientation is not one of two perpendicular directions")
    row = row / lengths[0]
    column = column - (column @ row) * row
    return np.stack([row, column / np.linalg.norm(column)])


def _positive(value: float | None) -> float | None:
    return abs(value) if value and np.isfinite(value) else None


def _pixel_spacing(numbers: Sequence[float], found: Tags) -> tuple[float, float] | None:
    """Return mm between rows and columns: as stated, else of an ultrasound image's only region, if that is in cm."""
    if len(numbers) == 2 and min(numbers) > 0:
        return (numbers[0], numbers[1])
    regions = found.items(tags.REGIONS)
    if len(regions) != 1:
        return None
    units = {regions[0].short(tags.REGION_UNITS_X), regions[0].short(tags.REGION_UNITS_Y)}
    deltas = [regions[0].double(tags.REGION_DELTA_Y), regions[0].double(tags.REGION_DELTA_X)]
    # Format 1 is a 2D picture; data type 1 tissue, 2 colour flow.
    of_tissue = regions[0].short(tags.REGION_FORMAT) == 1 and regions[0].short(tags.REGION_TYPE) in (1, 2)
    if not of_tissue or units != {_CENTIMETRES} or not all(deltas):
        return None
    return (10 * abs(deltas[0] or 0.0), 10 * abs(deltas[1] or 0.0))
