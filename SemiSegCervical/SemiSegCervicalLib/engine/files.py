"""Image and label files of every kind, in and out.

Pictures (PNG, JPEG, BMP, TIFF) go through Pillow; NRRD with Slicer's sequences, NIfTI, MetaImage and DICOM through
SimpleITK; DICOM SEG through pydicom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..affines import SAME_VOXEL, lies_elsewhere, runs_otherwise, same_axes, says_nothing, turned
from ..errors import SemiSegError
from .dicom import is_dicom
from .dicom_segments import is_dicom_seg, read_dicom_seg
from .image import Image, filled
from .maps import Template, is_sequence, write_map
from .reading import Stored, count_volumes, read_affine, read_stored

__all__ = [
    "Spacing", "Template", "count_volumes", "is_dicom", "is_dicom_seg", "is_sequence", "read_affine", "read_image",
    "read_labels", "write_map",
]  # fmt: skip

Spacing = tuple[float, ...] | None | Literal["file"]
# Of a label from a whole number: files that are stored with a slope, or in floats, come back as 0.999.
_ROUNDING = 0.01


def read_image(paths: Sequence[Path], spacing: Spacing = "file", frames: bool = False) -> Image:
    """Read one case of one or several modalities.

    A volume of a single slice becomes a 2D image; its affine still holds the slice's thickness and place.

    Args:
        paths: one file, or DICOM folder, per modality, on the same grid; ``FILE/2`` is the third volume of a file that
            holds several.
        spacing: ``"file"`` believes the file (a picture has none), None says unknown, a tuple in array order overrides.
        frames: take cine (``.seq.nrrd``, multi-frame ultrasound) as ``(M, frames, Y, X)`` instead of refusing it.

    Raises:
        SemiSegError: missing, unreadable, without any number, time series, cine unasked for, DICOM slices that make no
            volume, or modalities on different grids.
    """
    parts = [read_stored(Path(p)) for p in paths]
    first = parts[0]
    for path, part in zip(paths, parts, strict=True):
        if part.cine and not frames:
            raise SemiSegError(
                "cine", f"{path} is a sequence of {len(part.array)} frames",
                "Segment it frame by frame (--as-frames); for training, save its frames as single files", "reading",
            )  # fmt: skip
        if part.array.shape != first.array.shape or not np.allclose(part.affine, first.affine, atol=1e-3):
            raise SemiSegError(
                "grids-differ", f"{path} lies on another grid than {paths[0]}",
                "Resample the modalities of a case onto one grid first", "reading",
            )  # fmt: skip
    array, gaps = filled(np.stack([part.array for part in parts]))
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
    affine = first.affine if spacing == "file" or known is None else _rescaled(first.affine, known)
    try:
        return Image(array, known, affine, any(part.from_rgb for part in parts), gaps)
    except SemiSegError as error:
        raise SemiSegError(error.code, f"{paths[0]}: {error.cause}", error.remedy, error.stage) from error


def read_labels(
    path: Path,
    shape: Sequence[int] | None = None,
    affine: np.ndarray | None = None,
    names: Sequence[str] = (),
) -> np.ndarray:
    """Read a label map; a cine's has the frames first.

    Args:
        path: the file.
        shape: the image's grid ``(Y, X)`` or ``(Z, Y, X)`` that it must have.
        affine: the image's 4x4 IJK-to-RAS matrix: a label map that was cropped, as Slicer does with segmentations on
            request, then goes back to its place, with 0 around it, and one that was turned by right angles or mirrored,
            as programs do that know a single orientation, back into the image's directions; one whose voxels run
            otherwise is refused, and one of the image's size that lies in another place.
        names: what the label values 1, 2, ... are called: a DICOM SEG has names instead.

    Returns:
        int64 array of that shape.

    Raises:
        SemiSegError: missing, unreadable, not whole numbers, or of another size, direction or place than the image; a
            DICOM SEG, of which `read_dicom_seg` says more, without a grid and names.
    """
    if is_dicom_seg(path):
        if shape is None or not names:
            raise SemiSegError(
                "segments-alone", f"{path} is a DICOM SEG, which has names and places instead of values on a grid",
                "List it in a datalist with its image, whose labels have names", "reading",
            )  # fmt: skip
        return read_dicom_seg(path, shape, affine, names)
    stored = read_stored(Path(path), labels=True)
    array = stored.array
    if shape is not None and affine is not None:
        whole = (1,) * (3 - len(shape)) + tuple(shape)
        stored = _turned_back(stored, whole, affine, path)
        array = stored.array
        if array.shape == whole and lies_elsewhere(stored.affine, affine):
            raise SemiSegError(
                "grids-differ", f"The label map {path} lies in another place than its image, as if it were of another",
                "Export the label map on the image's own grid", "reading",
            )  # fmt: skip
        array = _uncropped(stored, whole, affine)
    if array.shape[0] == 1 and (shape is None or len(shape) == 2):
        array = array[0]
    if shape is not None and array.shape != tuple(shape):
        raise SemiSegError(
            "size-differs", f"The label map {path} has the size {_times(array.shape)}, its image {_times(shape)}",
            "Export the label map on the image's own grid", "reading",
        )  # fmt: skip
    if not np.isfinite(array).all() or np.abs(array - np.rint(array)).max(initial=0) > _ROUNDING:
        raise SemiSegError(
            "not-labels", f"The label map {path} holds values that are not whole numbers",
            "Export it as a label map, not as an image or probability", "reading",
        )  # fmt: skip
    return np.rint(array).astype(np.int64)


def _rescaled(affine: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Return an affine whose columns are as long as the spacing says, slowest axis first; a missing one is kept."""
    result = affine.copy()
    for column, wanted in enumerate(reversed(spacing)):
        result[:3, column] *= wanted / np.linalg.norm(result[:3, column])
    return result


def _turned_back(stored: Stored, shape: tuple[int, ...], affine: np.ndarray, path: Path) -> Stored:
    """Return a label map in the directions of its image; turned, it must lie within the image, or is of another one.

    Where one of the two may be without a place of its own, turned it must lie exactly upon the other: no accident.

    Raises:
        SemiSegError: it runs in directions of its own, or lies elsewhere.
    """
    found = turned(stored.array, stored.affine, affine)
    otherwise = runs_otherwise(stored.affine, affine)
    if found is not None:
        first = np.linalg.solve(affine[:3, :3], found[1][:3, 3] - affine[:3, 3])[::-1]
        upon = found[0].shape == shape and same_axes(found[1], affine) and np.abs(first).max() < SAME_VOXEL
        if not otherwise:
            return replace(stored, array=found[0], affine=found[1]) if upon else stored
        lengths = [np.linalg.norm(matrix[:3, 2::-1], axis=0) for matrix in (found[1], affine)]
        last = first + np.array(found[0].shape) * lengths[0] / lengths[1]
        if first.min() >= -1 and (last <= np.array(shape) + 1).all():
            return replace(stored, array=found[0], affine=found[1])
    if not otherwise:
        return stored
    raise SemiSegError(
        "grids-differ", f"The voxels of the label map {path} run in other directions than its image's",
        "Export the label map on the image's own grid", "reading",
    )  # fmt: skip


def _uncropped(stored: Stored, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Return a cropped array in its place on the whole grid, or as it is where it is no part of that grid's voxels.

    What has no place of its own, a picture or a bare array, is no crop when it is smaller: it may as well be coarser.
    """
    if stored.array.shape == shape or says_nothing(stored.affine) or not same_axes(stored.affine, affine):
        return stored.array
    first = (np.linalg.inv(affine) @ stored.affine[:, 3])[2::-1]
    start = np.rint(first).astype(int)
    stop = start + stored.array.shape
    if np.abs(first - start).max() > SAME_VOXEL or start.min() < 0 or (stop > shape).any():
        return stored.array
    whole = np.zeros(shape, dtype=stored.array.dtype)
    whole[tuple(map(slice, start, stop))] = stored.array
    return whole


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
