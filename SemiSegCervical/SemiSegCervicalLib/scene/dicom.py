"""The DICOM files that an image was loaded from, and DICOM SEG of its segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import slicer

from ..affines import LPS_AND_RAS
from ..dicom_seg import DicomSegment, encode_dicom_seg
from ..errors import SemiSegError
from ..pieces import Pieces
from .corrections import drawn_by
from .geometry import ijk_to_ras
from .marks import segments_of
from .segmentation import stacked_segments_in_pieces

_INSTANCES = "DICOM.instanceUIDs"


class DicomSeg(NamedTuple):
    """What DICOM SEG is made of: the arguments of `dicom_seg.encode_dicom_seg`."""

    labels: np.ndarray
    affine: np.ndarray
    sources: Sequence[Path]
    segments: Sequence[DicomSegment]
    model: str
    version: str
    name: str


def has_dicom_files(volume: Any) -> bool:
    """Return whether a volume says that it was loaded from DICOM; the files may be gone since."""
    return volume is not None and bool(volume.GetAttribute(_INSTANCES))


def dicom_files(volume: Any) -> list[Path]:
    """Return the files that a volume was loaded from, by Slicer's DICOM database.

    Raises:
        SemiSegError: the database does not know them, or one is gone.
    """
    database = getattr(slicer, "dicomDatabase", None)
    instances = (volume.GetAttribute(_INSTANCES) or "").split()
    files = [Path(str(database.fileForInstance(uid) or "")) for uid in instances] if database is not None else []
    missing = [file for file in files if not file.is_file()]
    if not files or missing:
        raise SemiSegError(
            "no-dicom-files",
            f'The DICOM files of "{volume.GetName()}" are not in the DICOM database any more',
            "Import them again in the module DICOM, or save in another format",
            "export",
        )
    return files


def dicom_seg_in_pieces(segmentation: Any, volume: Any, model: str, version: str) -> Pieces[DicomSeg]:
    """Gather what DICOM SEG is made of, with all segments, also those that overlap.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        volume: the volume; it gives grid and files.
        model: name of the model that drew it, or began to.
        version: the model's fingerprint.

    Raises:
        SemiSegError: the files are gone, or they do not lie where the volume does.
    """
    if volume.GetParentTransformNode() is not None:
        raise SemiSegError(
            "moved-image",
            f'"{volume.GetName()}" lies under a transform, its DICOM files do not',
            "Save in another format",
            "export",
        )
    segments = [
        DicomSegment(segment.GetName(), segment.GetColor(), segment.GetTerminology() or "", drawn_by(segment))
        for _, segment in segments_of(segmentation)
    ]
    files = dicom_files(volume)
    yield
    labels = yield from stacked_segments_in_pieces(segmentation, volume)
    return DicomSeg(labels, LPS_AND_RAS @ ijk_to_ras(volume), files, segments, model, version, segmentation.GetName())


def encoded_in_pieces(content: DicomSeg, path: Path) -> Pieces[None]:
    """Write DICOM SEG here and now.

    Raises:
        SemiSegError: no segment has a voxel, or these files cannot have a segmentation.
        OSError: it cannot be written.
    """
    path.write_bytes(encode_dicom_seg(*content))
    yield
