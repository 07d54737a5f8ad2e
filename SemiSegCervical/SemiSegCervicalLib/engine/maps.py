"""Results on their source's own grid: as a picture, or as a volume with the geometry of the source's header."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image as PillowImage

from ..atomic import cannot_write, move
from ..errors import SemiSegError
from ..formats import PICTURES, ending, volume_of
from . import dicom, nifti, nrrd
from .dicom_layout import Layout

# Kinds that spread over two files, or that only name a use, are written as their one-file kind.
_ONE_FILE = {
    ".seg.nrrd": ".nrrd", ".seq.nrrd": ".nrrd", ".nhdr": ".nrrd", ".mhd": ".mha", ".hdr": ".nii", ".img": ".nii",
}  # fmt: skip
_HEADER_ROOM = 4096


@dataclass(frozen=True)
class Template:
    """What results take over from their source; of a DICOM series it takes reading every file's header.

    Attributes:
        path: the source, a file or DICOM folder.
        header: that a result in NRRD carries; None for other kinds.
        sequence: whether the source's first axis is time.
        layout: of a DICOM source how its files make the image; None for other kinds.
    """

    path: Path
    header: nrrd.Header | None
    sequence: bool
    layout: Layout | None = None

    @classmethod
    def of(cls, path: Path) -> Template:
        """Read it."""
        path, _ = volume_of(path)
        if ending(path) in PICTURES and path.is_file():
            return cls(path, None, False)
        if dicom.is_dicom(path):
            layout = dicom.read_layout(path)
            rows, columns = layout.frames[0].shape
            slices = 1 if layout.cine else len(layout.frames)
            return cls(path, nrrd.placed(layout.affine, (columns, rows, slices)), layout.cine, layout)
        if ending(path) in nrrd.ENDINGS:
            header = nrrd.read_header(path)
            return cls(path, header, "frames" in header.roles())
        return cls(path, None, False)


def write_map(array: np.ndarray, like: Path | Template, folder: Path, name: str, labels: bool = False) -> Path:
    """Write a result on the grid of its source, whole or not at all.

    Args:
        array: uint8 or float32 ``(Y, X)``, ``(Z, Y, X)`` or ``(frames, Y, X)``; uint8 for pictures.
        like: the source, a file or DICOM folder, which gives kind and geometry; or its template, read once for all.
        folder: where to.
        name: file name without ending.
        labels: a label map, which in a sequence Slicer wants to know.

    Returns:
        The path: ``.png`` for pictures; ``.seq.nrrd`` for sequences and DICOM cine; ``.nrrd`` for other DICOM; else the
        source's own ending (``.nrrd`` for ``.nhdr``, ``.mha`` for ``.mhd``, ``.nii`` for ``.hdr`` with ``.img``).

    Raises:
        SemiSegError: the file exists, the source cannot be read any more, or the disk is full.
    """
    template = like if isinstance(like, Template) else Template.of(like)
    like, header, frames = template.path, template.header, template.sequence
    picture = header is None and ending(like) in PICTURES
    plain = _ONE_FILE.get(ending(like), ending(like))
    kind = ".png" if picture else ".seq.nrrd" if frames else ".nrrd" if header is not None else plain
    target = folder / f"{name}{kind}"
    if target.exists():
        raise SemiSegError("exists", f"{target} already exists", "Choose another output folder", "writing")
    temporary = folder / f".writing-{name}{kind}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if picture:
            PillowImage.fromarray(array).save(temporary)
        elif header is not None:
            nrrd.write(temporary, array, header, frames, labels)
        elif kind in (".nii", ".nii.gz") and (bytes_ := nifti.read_header(like)) is not None:
            nifti.write(temporary, array, bytes_)
        else:
            _write_by_simpleitk(temporary, array, like)
        move(temporary, target)
    except (OSError, RuntimeError) as error:
        raise cannot_write(target, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return target


def is_sequence(path: Path) -> bool:
    """Say whether the first axis of what a file or DICOM folder holds is time."""
    return Template.of(path).sequence


def _write_by_simpleitk(temporary: Path, array: np.ndarray, like: Path) -> None:
    """Write with the geometry of a file, whose axes of length 1 the array may lack."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(like))
    reader.ReadImageInformation()
    image = sitk.GetImageFromArray(array.reshape(tuple(reversed(reader.GetSize()))), isVector=False)
    image.SetSpacing(reader.GetSpacing())
    image.SetOrigin(reader.GetOrigin())
    image.SetDirection(reader.GetDirection())
    # On a full disk some writers of SimpleITK print and go on: see whether there is room, then whether all is there.
    temporary.write_bytes(bytes(array.nbytes + _HEADER_ROOM))
    sitk.WriteImage(image, str(temporary), useCompression=True)
    if not np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(temporary))).ravel(), array.ravel()):
        raise OSError("it was cut short")
