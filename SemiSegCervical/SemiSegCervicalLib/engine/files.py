"""Image and label files: PNG, JPEG, BMP, TIFF through Pillow; NRRD, NIfTI, MetaImage through SimpleITK."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk
from PIL import Image as PillowImage

from ..errors import SemiSegError
from .image import Image, grey_from_rgb

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
VOLUMES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd")
# Kinds that spread over two files, or that only name a use, are written as their one-file kind.
_ONE_FILE = {".seg.nrrd": ".nrrd", ".nhdr": ".nrrd", ".mhd": ".mha"}
_HEADER_ROOM = 4096
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

Spacing = tuple[float, ...] | None | Literal["file"]


def ending(path: Path) -> str:
    """Return the known ending of a file name in lower case (``.nii.gz``, ``.png``), or the plain suffix."""
    name = path.name.lower()
    return next((e for e in (*VOLUMES, *PICTURES) if name.endswith(e)), path.suffix.lower())


def stem(path: Path) -> str:
    """Return the file name without its ending."""
    return path.name[: len(path.name) - len(ending(path))]


def read_image(paths: Sequence[Path], spacing: Spacing = "file") -> Image:
    """Read one case of one or several modalities.

    A volume file of a single slice becomes a 2D image.

    Args:
        paths: one file per modality, on the same grid.
        spacing: ``"file"`` believes the file (a picture has none), None says unknown, a tuple in array order overrides.

    Raises:
        SemiSegError: missing, unreadable, NaN, time series, or modalities on different grids.
    """
    parts = [_read_grid(Path(p)) for p in paths]
    first = parts[0]
    for path, part in zip(paths[1:], parts[1:], strict=True):
        if part.array.shape != first.array.shape or not np.allclose(part.affine, first.affine, atol=1e-3):
            raise SemiSegError(
                "grids-differ", f"{path} lies on another grid than {paths[0]}",
                "Resample the modalities of a case onto one grid first", "reading",
            )  # fmt: skip
    array = np.stack([part.array for part in parts])
    known = first.spacing if spacing == "file" else None if spacing is None else tuple(map(float, spacing))
    if array.shape[1] == 1:
        array = array[:, 0]
    if known is not None:
        known = known[-(array.ndim - 1) :]
        if len(known) != array.ndim - 1 or min(known) <= 0:
            raise SemiSegError(
                "bad-spacing", f"The spacing {list(known)} of {paths[0]} does not fit its {array.ndim - 1} dimensions",
                "Give one positive number in mm per dimension, slowest axis first", "reading",
            )  # fmt: skip
    try:
        return Image(array, known, first.affine, any(part.from_rgb for part in parts))
    except SemiSegError as error:
        raise SemiSegError(error.code, f"{paths[0]}: {error.cause}", error.remedy, error.stage) from error


def read_labels(path: Path, shape: Sequence[int] | None = None) -> np.ndarray:
    """Read a label map.

    Args:
        path: the file.
        shape: the image's grid ``(Y, X)`` or ``(Z, Y, X)`` that it must have.

    Returns:
        int64 array of that shape.

    Raises:
        SemiSegError: missing, unreadable, not whole numbers, or of another size than the image.
    """
    array = _read_grid(Path(path), labels=True).array
    if (shape is not None and array.shape[0] == 1 and len(shape) == 2) or (shape is None and array.shape[0] == 1):
        array = array[0]
    if shape is not None and array.shape != tuple(shape):
        raise SemiSegError(
            "size-differs", f"The label map {path} has the size {_times(array.shape)}, its image {_times(shape)}",
            "Export the label map on the image's own grid", "reading",
        )  # fmt: skip
    if not np.isfinite(array).all() or not np.array_equal(array, np.rint(array)):
        raise SemiSegError(
            "not-labels", f"The label map {path} holds values that are not whole numbers",
            "Export it as a label map, not as an image or probability", "reading",
        )  # fmt: skip
    return np.rint(array).astype(np.int64)


def write_map(array: np.ndarray, like: Path, folder: Path, name: str) -> Path:
    """Write a result on the grid of its source file, whole or not at all.

    Args:
        array: ``(Y, X)`` or ``(Z, Y, X)``; written in its own type (uint8 for pictures).
        like: the source file, which gives kind and geometry.
        folder: where to.
        name: file name without ending.

    Returns:
        The path: ``.png`` for pictures, else the source's own ending (``.nrrd`` for ``.nhdr``, ``.mha`` for ``.mhd``).

    Raises:
        SemiSegError: the file exists, or the disk is full.
    """
    picture = ending(like) in PICTURES
    kind = ".png" if picture else _ONE_FILE.get(ending(like), ending(like))
    target = folder / f"{name}{kind}"
    if target.exists():
        raise SemiSegError("exists", f"{target} already exists", "Choose another output folder", "writing")
    temporary = folder / f".writing-{name}{kind}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if picture:
            PillowImage.fromarray(array).save(temporary)
        else:
            image = _on_grid(array, like)
            # On a full disk some writers of SimpleITK print and go on: see whether there is room, then whether all is
            # there.
            temporary.write_bytes(bytes(array.nbytes + _HEADER_ROOM))
            sitk.WriteImage(image, str(temporary), useCompression=True)
            if not np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(temporary))).ravel(), array.ravel()):
                raise OSError("it was cut short")
        os.replace(temporary, target)
    except (OSError, RuntimeError) as error:
        raise _cannot_write(target, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return target


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file so that a crash at any moment leaves the old or the new one.

    Raises:
        SemiSegError: the disk is full or the folder cannot be written.
    """
    # One name per target: what a killed run leaves is written over by the next one instead of piling up.
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _cannot_write(path: Path, error: Exception) -> SemiSegError:
    return SemiSegError(
        "cannot-write", f"{path} could not be written: {_reason(error)}",
        "Free some space or choose another folder; a training run can be resumed", "writing",
    )  # fmt: skip


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system lets a folder be opened (not on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _on_grid(array: np.ndarray, like: Path) -> sitk.Image:
    """Wrap an array as an image with the geometry of a file, whose axes of length 1 it may lack."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(like))
    reader.ReadImageInformation()
    image = sitk.GetImageFromArray(array.reshape(tuple(reversed(reader.GetSize()))), isVector=False)
    image.SetSpacing(reader.GetSpacing())
    image.SetOrigin(reader.GetOrigin())
    image.SetDirection(reader.GetDirection())
    return image


@dataclass(frozen=True)
class _Grid:
    array: np.ndarray
    spacing: tuple[float, ...] | None
    affine: np.ndarray
    from_rgb: bool


def _read_grid(path: Path, labels: bool = False) -> _Grid:
    """Read any file as ``(Z, Y, X)``; pictures have Z = 1 and no spacing."""
    if not path.is_file():
        raise SemiSegError("missing-file", f"There is no file {path}", "Check the path", "reading")
    try:
        return _read_picture(path, labels) if ending(path) in PICTURES else _read_volume(path)
    except Exception as error:  # what a decoder raises on a damaged file is not its contract
        raise SemiSegError(
            "unreadable", f"{path} cannot be read as an image: {_reason(error)}",
            "Open it in another program to see whether it is damaged, or export it again", "reading",
        ) from error  # fmt: skip


def _read_picture(path: Path, labels: bool) -> _Grid:
    with PillowImage.open(path) as picture:
        if getattr(picture, "n_frames", 1) > 1:
            raise ValueError("it holds several pictures; split it or use NRRD")
        if labels and picture.mode in ("P", "1"):
            array = np.asarray(picture)  # the palette index is the label value, a bit is 0 or 1
        else:
            array = np.asarray(picture.convert("RGB") if picture.mode in ("P", "CMYK", "YCbCr", "1") else picture)
    rgb = array.ndim == 3
    if rgb:
        same = labels and all(np.array_equal(array[..., 0], array[..., i]) for i in (1, 2) if i < array.shape[2])
        array = array[..., 0] if same or array.shape[2] < 3 else grey_from_rgb(array)
    return _Grid(array.astype(np.float32)[None], None, np.eye(4), rgb)


def _read_volume(path: Path) -> _Grid:
    image = sitk.ReadImage(str(path))
    dims = image.GetDimension()
    if dims == 4 and image.GetSize()[3] == 1:
        image, dims = image[:, :, :, 0], 3
    if dims > 3:
        raise ValueError("it is a time series; export its frames as single files")
    array = sitk.GetArrayFromImage(image)
    rgb = image.GetNumberOfComponentsPerPixel() in (3, 4)
    if image.GetNumberOfComponentsPerPixel() > 1 and not rgb:
        raise ValueError(f"it has {image.GetNumberOfComponentsPerPixel()} values per voxel")
    if rgb:
        array = grey_from_rgb(array)
    lps = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(dims, dims)
    lps[:dims, :dims] = direction * np.array(image.GetSpacing())
    lps[:dims, 3] = image.GetOrigin()
    spacing = tuple(reversed(image.GetSpacing()))
    if dims == 2:
        array, spacing = array[None], (1.0, *spacing)
    return _Grid(array.astype(np.float32), spacing, _LPS_TO_RAS @ lps, rgb)


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return (text.strip().splitlines() or [type(error).__name__])[-1].strip()
