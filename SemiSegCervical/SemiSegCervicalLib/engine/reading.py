"""Any image file as an array ``(Z, Y, X)`` with its place in space; what is no single image is refused."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image as PillowImage
from scipy import ndimage

from ..affines import LPS_AND_RAS
from ..atomic import reason
from ..errors import SemiSegError
from ..formats import PICTURES, VOLUMES, ending, volume_of
from . import dicom, nifti, nrrd
from .image import grey_from_rgb

_COLOURS = (sitk.sitkVectorUInt8, sitk.sitkVectorUInt16)
# Modes of Pillow whose numbers are grey or RGB as they are.
_PLAIN = {"L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N", "F", "RGB", "RGBA", "RGBX"}
_SEGMENTATION = "Segmentation_ReferenceImageExtentOffset"
# No byte of a gzip stream unpacks into more.
_DENSEST = 1032
_HEAD = 2**16
_META_IMAGES = (".mha", ".mhd")
_META_AXES = re.compile(rb"^\s*NDims\s*[=:]\s*(.*?)\s*$", re.MULTILINE)
_MOST_AXES = 10
"""That the MetaImage format knows."""
_LOSSY = (".jpg", ".jpeg")
# Of 0 to 255: what JPEG leaves of black and of white. Grey between them is an edge, or a value of its own where it is
# even over some pixels.
_BLACK, _WHITE, _EVEN, _PIXELS = 48, 207, 12, 5
_VIDEOS = (".avi", ".mp4", ".mov", ".wmv", ".mkv", ".mpg", ".mpeg", ".m4v")


@dataclass(frozen=True)
class Stored:
    """What a file holds.

    Attributes:
        array: float32 ``(Z, Y, X)``; a picture has Z = 1, of a cine Z counts the frames.
        spacing: mm, (z, y, x); None where unknown.
        affine: 4x4 IJK-to-RAS in mm; its columns are as long as the voxels even along an axis of length 1.
        from_rgb: colour was turned into grey.
        cine: the first axis is time.
    """

    array: np.ndarray
    spacing: tuple[float, ...] | None
    affine: np.ndarray
    from_rgb: bool = False
    cine: bool = False


def read_stored(path: Path, labels: bool = False) -> Stored:
    """Read an image file, or a folder with one DICOM series.

    Args:
        path: the file or folder; ``FILE/2`` is the third volume of a file of several.
        labels: keep the values of label maps in palettes and colours.

    Raises:
        SemiSegError: missing, unreadable, a time series of volumes, several values per voxel, or DICOM slices that make
            no volume.
    """
    file, volume = volume_of(path)
    if not file.exists():
        raise SemiSegError("missing-file", f"There is no file {path}", "Check the path", "reading")
    try:
        if ending(path) in PICTURES and path.is_file():
            return _read_picture(path, labels)
        return _read_dicom(path) if dicom.is_dicom(path) else _read_volume(file, volume)
    except SemiSegError:
        raise
    except Exception as error:  # what a decoder raises on a damaged file is not its contract
        if "orthonormal" in str(error):  # ITK's word; nothing is damaged
            raise SemiSegError(
                "sheared", f"The axes of {path} are not at right angles to each other",
                "Resample it onto axes that are, its label map by nearest neighbour (nibabel: resample_to_output)",
                "reading",
            ) from error  # fmt: skip
        if "determine ImageIO reader" in str(error) and ending(path) not in VOLUMES:
            raise _other_kind(path) from error
        raise SemiSegError(
            "unreadable", f"{path} cannot be read as an image: {reason(error)}",
            "Open it in another program to see whether it is damaged, or export it again", "reading",
        ) from error  # fmt: skip


def read_affine(path: Path, of_dicom: bool = False) -> np.ndarray | None:
    """Return the IJK-to-RAS matrix of a volume file from its header; None where it has none of its own.

    Args:
        path: the file.
        of_dicom: look into the headers of DICOM images as well; a DICOM SEG is none.

    Raises:
        SemiSegError: unreadable.
    """
    path = volume_of(path)[0]
    if ending(path) in PICTURES:
        return None
    try:
        if dicom.is_dicom(path):
            layout = dicom.read_layout(path) if of_dicom else None
            return None if layout is None or layout.spacing is None else LPS_AND_RAS @ layout.affine
        reader = _header_reader(path)
        return _affine(reader, reader.GetDimension())
    except (RuntimeError, ValueError) as error:
        raise SemiSegError(
            "unreadable", f"{path} cannot be read as an image: {reason(error)}", "Export it again", "reading"
        ) from error


def count_volumes(path: Path) -> int:
    """Return how many volumes a NIfTI file holds along a fourth axis, by its header; 1 for other files.

    Raises:
        SemiSegError: unreadable.
    """
    if ending(path) not in (".nii", ".nii.gz") or not path.is_file():
        return 1
    try:
        size = _header_reader(path).GetSize()
    except (RuntimeError, ValueError) as error:
        raise SemiSegError(
            "unreadable", f"{path} cannot be read as an image: {reason(error)}", "Export it again", "reading"
        ) from error
    return int(size[3]) if len(size) == 4 else 1


def _read_picture(path: Path, labels: bool) -> Stored:
    with PillowImage.open(path) as picture:
        if getattr(picture, "n_frames", 1) > 1:
            raise ValueError("it holds several pictures; split it or use NRRD")
        if labels and picture.mode in ("P", "PA", "1"):
            array = np.asarray(picture)  # the palette index is the label value, a bit is 0 or 1
        else:
            if picture.mode == "LAB":
                raise ValueError("its colours are stored as LAB; save it in grey or as RGB")
            array = np.asarray(picture if picture.mode in _PLAIN else picture.convert("RGB"))
    rgb = array.ndim == 3
    if rgb:
        grey = array.shape[2] < 3
        if labels and not grey:
            grey = all(np.array_equal(array[..., 0], array[..., channel]) for channel in (1, 2))
            if not grey:
                raise SemiSegError(
                    "not-labels", f"The label map {path} is a picture in colours",
                    "Save it in grey or with a palette, with a value for each segment", "reading",
                )  # fmt: skip
        array = array[..., 0] if grey else grey_from_rgb(array)
    if labels and ending(path) in _LOSSY:
        array = _black_and_white(array, path)
    return Stored(array.astype(np.float32)[None], None, np.eye(4), rgb)


def _black_and_white(array: np.ndarray, path: Path) -> np.ndarray:
    """Return a mask that was saved as JPEG, which blurs its edges, as 0 and 255.

    Raises:
        SemiSegError: it holds other greys, whose values are lost.
    """
    spread = ndimage.maximum_filter(array, _PIXELS) - ndimage.minimum_filter(array, _PIXELS)
    between = (array > _BLACK) & (array < _WHITE)
    dark = array.any() and array.max() <= _BLACK
    if dark or bool((between & (spread <= _EVEN)).any()):
        raise SemiSegError(
            "not-labels", f"The label map {path} is a JPEG in several greys, whose values do not stay as they were",
            "Save it as PNG, with a value for each segment; JPEG can only hold black and white", "reading",
        )  # fmt: skip
    return np.where(array > 127, 255, 0).astype(np.uint8)


def _other_kind(path: Path) -> SemiSegError:
    """Name what to do with a file of a kind that is not read here."""
    if ending(path) in _VIDEOS:
        remedy = "Save its frames as PNG (ffmpeg -i FILE frame%04d.png); the frames of one video need one sequence key"
    else:
        remedy = "Save it as PNG, NRRD or NIfTI; read as well are JPEG, BMP, TIFF, MetaImage and DICOM"
    return SemiSegError("unknown-kind", f"{path} is of a kind that cannot be read", remedy, "reading")


def _read_dicom(path: Path) -> Stored:
    layout = dicom.read_layout(path)
    array, from_rgb = dicom.read_pixels(layout)
    return Stored(array, layout.spacing, LPS_AND_RAS @ layout.affine, from_rgb, layout.cine)


def _read_volume(path: Path, volume: int | None = None) -> Stored:
    cine = False
    if ending(path) in nrrd.ENDINGS:
        header = nrrd.read_header(path)
        roles = header.roles()
        extent = [size for size, role in zip(header.sizes, roles, strict=True) if role in ("space", "time")]
        if _SEGMENTATION in header.keys and "frames" in roles:
            raise SemiSegError(
                "overlapping-segments", f"The segmentation {path} has segments that overlap",
                "Export it from 3D Slicer as a label map", "reading",
            )  # fmt: skip
        if "time" in roles or len(extent) > 3:
            raise _time_series(path, extent[-1])
        cine = "frames" in roles
        if cine and len(extent) == 3 and extent[2] > 1:
            raise _time_series(path, header.sizes[roles.index("frames")])
    reader = _header_reader(path)
    promised = math.prod(reader.GetSize()) * reader.GetNumberOfComponents()
    if promised > _DENSEST * path.stat().st_size and _holds_its_voxels(path):
        # ITK would fill as much memory before it finds the file too short.
        raise ValueError(f"its header promises {promised} values, and the file is too short for them")
    if ending(path) in (".nii", ".nii.gz") and nifti.is_cut_short(path):
        raise ValueError("its end is missing, as after a download or a copy that broke off")
    image = reader.Execute()
    dims, parts = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    affine = _affine(image, dims)
    spacing = (1.0, *reversed(image.GetSpacing())) if dims == 2 else tuple(reversed(image.GetSpacing()[:3]))
    array = sitk.GetArrayViewFromImage(image)
    if cine and dims < 4 and parts > 1:
        array, parts = np.moveaxis(array, -1, 0), 1  # the frames, which SimpleITK takes for the parts of a voxel
    elif volume is not None:
        if dims != 4 or volume >= len(array):
            raise ValueError(f"it holds no volume {volume}, counted from 0")
        array = array[volume]
    elif dims > 3:
        cine = True
        if image.GetSize()[2] > 1 and array.shape[0] > 1:
            raise _time_series(path, image.GetSize()[3])
    rgb = parts > 1
    if rgb and (parts not in (3, 4) or image.GetPixelID() not in _COLOURS):
        raise SemiSegError(
            "vector-volume", f"{path} has {parts} values per voxel",
            "Export one of them, or its magnitude, as a scalar volume", "reading",
        )  # fmt: skip
    # Frame by frame, for a colour cine in floats is large.
    frames = array.reshape(-1, *array.shape[-2 - rgb :])
    array = np.stack([grey_from_rgb(f) if rgb else f.astype(np.float32) for f in frames])
    return Stored(array, spacing, affine, rgb, cine and len(array) > 1)


def _header_reader(path: Path) -> sitk.ImageFileReader:
    """Return a reader that knows the header of a volume file.

    Raises:
        RuntimeError, ValueError: it is damaged.
    """
    if ending(path) in _META_IMAGES:
        with path.open("rb") as stream:
            found = _META_AXES.findall(stream.read(_HEAD))
        for count in found:
            # With such a header ITK writes beyond its own memory, which ends the process.
            if not (count.isdigit() and 1 <= int(count) <= _MOST_AXES):
                raise ValueError(f"its header says that it has {count[:30].decode('utf-8', 'replace')} axes")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


def _holds_its_voxels(path: Path) -> bool:
    """Say whether a file is known to hold header and voxels, which some kinds may keep in a file beside it."""
    if ending(path) in nrrd.ENDINGS:
        return not {"data file", "datafile"} & nrrd.read_header(path).fields.keys()
    if ending(path) == ".mha":
        with path.open("rb") as stream:
            return b"ElementDataFile = LOCAL" in stream.read(_HEAD)
    return ending(path) in (".nii", ".nii.gz")


def _time_series(path: Path, count: int) -> SemiSegError:
    remedy = "Save the volumes as files of their own (3D Slicer: Sequences), and give the ones that you mean"
    if volume_of(path / "0")[1] is not None:
        remedy = f"{remedy}; or on the command line and in datalists name one as {path.name}/0, the first"
    return SemiSegError("time-series", f"{path} is a time series of {count} volumes", remedy, "reading")


def _affine(image: sitk.Image | sitk.ImageFileReader, dims: int) -> np.ndarray:
    lps = np.eye(4)
    n = min(dims, 3)
    direction = np.array(image.GetDirection()).reshape(dims, dims)[:n, :n]
    lps[:n, :n] = direction * np.array(image.GetSpacing()[:n])
    lps[:n, 3] = image.GetOrigin()[:n]
    return LPS_AND_RAS @ lps
