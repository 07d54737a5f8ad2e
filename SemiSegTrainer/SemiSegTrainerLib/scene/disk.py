"""Image files on disk: their size and place from the header, their voxels when they are needed."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import vtk
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.formats import PICTURES, ending
from SemiSegCervicalLib.scene.reading import luma
from vtk.util.numpy_support import vtk_to_numpy

COSTLY_BYTES = 16 << 20
"""Files above this size are not read only to look at them."""
_HEADER_BYTES = 1 << 16


@dataclass(frozen=True)
class Header:
    """Size and place of an image file.

    Attributes:
        shape: ``(Z, Y, X)``.
        spacing: mm, ``(z, y, x)``; None for pictures, which have none.
        affine: IJK-to-RAS, float64 ``(4, 4)``.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float] | None
    affine: np.ndarray


def file_stamp(path: Path) -> Hashable:
    """Return a value that is another one after any change of a file.

    Raises:
        SemiSegError: it is not there.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise _unreadable(path) from error
    return str(path), found.st_mtime_ns, found.st_size


def read_header(path: Path) -> Header:
    """Read size and place of an image file, without its voxels where the format allows.

    Raises:
        SemiSegError: it is missing, or no image.
    """
    if ending(path) in PICTURES:
        return Header(read_voxels(path).shape, None, np.eye(4))
    reader = _volume_reader(path)
    extent = reader.GetOutputInformation(0).Get(vtk.vtkStreamingDemandDrivenPipeline.WHOLE_EXTENT())
    x, y, z = (extent[2 * k + 1] - extent[2 * k] + 1 for k in range(3))
    matrix = reader.GetRasToIjkMatrix()
    affine = np.linalg.inv([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return Header((z, y, x), (float(sizes[2]), float(sizes[1]), float(sizes[0])), affine)


def read_voxels(path: Path) -> np.ndarray:
    """Read the voxels of an image file ``(Z, Y, X)``: numbers as they are stored, colour as grey.

    Raises:
        SemiSegError: it is missing, or no image.
    """
    return _voxels(path, file_stamp(path))


def stored_segments(path: Path) -> list[dict[str, str]]:
    """Return what a ``.seg.nrrd`` says of each of its segments: "Name", "LabelValue", "Layer", "Tags" and more.

    Returns:
        Those that have a name and a label value; none for another file.
    """
    if ending(path) != ".seg.nrrd":
        return []
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES).split(b"\n\n")[0].decode("utf-8", errors="replace")
    found: dict[str, dict[str, str]] = {}
    for number, name, value in re.findall(r"^Segment(\d+)_(\w+):=(.*?)\r?$", header, flags=re.MULTILINE):
        found.setdefault(number, {})[name] = value
    return [fields for fields in found.values() if "Name" in fields and "LabelValue" in fields]


@lru_cache(maxsize=1)
def _voxels(path: Path, stamp: Hashable) -> np.ndarray:
    """Read a file; the last one is kept, for its planes are asked for one after another."""
    if ending(path) in PICTURES:
        reader = vtk.vtkImageReader2Factory.CreateImageReader2(str(path))
        if reader is None:
            raise _unreadable(path)
        reader.SetFileName(str(path))
    else:
        reader = _volume_reader(path)
    reader.Update()
    image = reader.GetOutput()
    scalars = image.GetPointData().GetScalars()
    if reader.GetErrorCode() or scalars is None:
        raise _unreadable(path)
    x, y, z = image.GetDimensions()
    parts = scalars.GetNumberOfComponents()
    # A copy: the reader's own memory goes with the reader.
    voxels = vtk_to_numpy(scalars).reshape((z, y, x) if parts == 1 else (z, y, x, parts)).copy()
    if parts == 2:  # grey with alpha
        voxels = voxels[..., 0]
    elif parts > 2:
        grey = (voxels[..., 0] == voxels[..., 1]).all() and (voxels[..., 0] == voxels[..., 2]).all()
        voxels = voxels[..., 0] if grey else luma(voxels)
    # VTK counts the rows of a picture from the bottom, save those of a TIFF.
    upside_down = ending(path) in PICTURES and ending(path) not in (".tif", ".tiff")
    return np.ascontiguousarray(voxels[:, ::-1] if upside_down else voxels)


def _volume_reader(path: Path) -> Any:
    import vtkITK  # a module of its own, of which ``slicer`` has none of the classes

    reader = vtkITK.vtkITKArchetypeImageSeriesScalarReader()
    reader.SetArchetype(str(path))
    reader.SetSingleFile(1)
    reader.SetOutputScalarTypeToNative()
    reader.SetDesiredCoordinateOrientationToNative()
    reader.SetUseNativeOriginOn()
    if path.is_file():
        reader.UpdateInformation()
    if not path.is_file() or reader.GetErrorCode():
        raise _unreadable(path)
    return reader


def _unreadable(path: Path) -> SemiSegError:
    return SemiSegError("unreadable", f'"{path}" cannot be read as an image', "Check the file, or remove it", "reading")
