"""Segmentations as DICOM SEG, for archives and other viewers, written by highdicom, which 3D Slicer brings along.

A segmentation is one file, in the study of its image, and names the pictures of the image that it was drawn on. Of
pictures without a place in space it can describe a single one: a cine has no DICOM SEG.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .errors import SemiSegError, first_line
from .packages import is_there

if TYPE_CHECKING:
    from pydicom import Dataset

Algorithm = Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]
Code = tuple[str, str, str]
"""Value, scheme, meaning."""
# What Slicer calls a segment that nobody has described, and what a model is.
_TISSUE = ("85756007", "SCT", "Tissue")
_AI = ("123110", "DCM", "Artificial Intelligence")
# What every DICOM file must have, though it may be empty; those who take names out of files often leave them out.
_MAY_BE_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
_PERPENDICULAR = 1e-2
# What a segmentation of an image says of it, and cannot do without.
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "Modality", "Rows", "Columns")
_UTF8 = "ISO_IR 192"
_LONGEST = 64
"""Letters of a text of one line (value representation LO)."""
_SERIES_NUMBER_ADDED = 100
"""3D Slicer counts its segmentations' series so far behind their image's."""


@dataclass(frozen=True)
class DicomSegment:
    """One segment.

    Attributes:
        name: what people read.
        color: red, green, blue, each 0 to 1.
        terminology: Slicer's serialised terminology entry; empty for none.
        algorithm: who drew it: a model, a model and a person, or a person.
    """

    name: str
    color: Sequence[float]
    terminology: str = ""
    algorithm: Algorithm = "AUTOMATIC"


def can_write() -> bool:
    """Say whether the packages are there: with 3D Slicer 5.12 and newer they are."""
    return is_there("highdicom") and is_there("pydicom")


def encode_dicom_seg(
    labels: np.ndarray,
    affine: np.ndarray,
    sources: Sequence[Path],
    segments: Sequence[DicomSegment],
    model: str,
    version: str,
    name: str = "Segmentation",
) -> bytes:
    """Return a segmentation as the content of one DICOM SEG file.

    Args:
        labels: uint8 ``(Z, Y, X)`` or ``(Y, X)``, k where the k-th segment is; or, for segments that overlap, bool
            ``(Z, Y, X, K)``.
        affine: 4x4, voxel indices (i, j, k) to LPS in mm; unused where the files say nothing of a place in space.
        sources: the files of the image's series.
        segments: the K segments, in order.
        model: name of the model that drew them, or began to.
        version: which state of the model: its fingerprint.
        name: description of the new series.

    Raises:
        SemiSegError: no segment has a voxel, or these sources cannot have a segmentation.
    """
    if not labels.any():
        raise SemiSegError(
            "nothing-to-write", "No segment has a voxel, and DICOM SEG holds none without",
            "Save it in another format", "writing",
        )  # fmt: skip
    content = io.BytesIO()
    try:
        import highdicom

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is unusual in the names and dates of other people's files
            images = [_header(file) for file in sources]
            found = highdicom.seg.Segmentation(
                source_images=images,
                pixel_array=_placed(labels, affine, images[0], len(segments)),
                segmentation_type="BINARY",
                segment_descriptions=[_described(k, each, model, version) for k, each in enumerate(segments, start=1)],
                series_instance_uid=highdicom.UID(),
                series_number=int(images[0].get("SeriesNumber") or 0) + _SERIES_NUMBER_ADDED,
                series_description=one_line(name),
                sop_instance_uid=highdicom.UID(),
                instance_number=1,
                manufacturer="SemiSeg",
                manufacturer_model_name=one_line(model),
                software_versions=one_line(version),
                device_serial_number=one_line(version),
            )
            found.SpecificCharacterSet = _UTF8
            found.ContentCreatorName = None  # must be there, and may be empty
            found.save_as(content)
    except Exception as error:  # what is missing in a file of which only reading the pixels was asked for before
        raise SemiSegError(
            "no-dicom-seg", f"The image's DICOM files cannot have a DICOM SEG: {first_line(error).rstrip('.')}",
            "Save it in another format", "writing",
        ) from error  # fmt: skip
    return content.getvalue()


def _placed(labels: np.ndarray, affine: np.ndarray, image: Dataset, count: int) -> Any:
    """Return labels in their place; as they are where the image's file, whose rows and columns they have, has none.

    Raises:
        ValueError: they have others, or axes that are not perpendicular.
    """
    import highdicom

    labels = labels[None] if labels.ndim == 2 else labels
    if "FrameOfReferenceUID" in image:
        # From (i, j, k), the order of the matrix's columns, to (k, j, i), that of the array's axes.
        turned = _squared(affine)[:, [2, 1, 0, 3]]
        channels: Any = {"SegmentNumber": list(range(1, count + 1))} if labels.ndim == 4 else None
        return highdicom.Volume(labels, turned, "PATIENT", image.FrameOfReferenceUID, channels)
    if labels.shape[1:3] != (image.Rows, image.Columns):
        raise ValueError(f"{image.Rows} rows and {image.Columns} columns in them, unlike in the segmentation")
    return labels


def _squared(affine: np.ndarray) -> np.ndarray:
    """Return an affine with the perpendicular axes that are nearest to its own, which rounding in a header turned.

    Raises:
        ValueError: they are not nearly perpendicular.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / spacing
    left, _, right = np.linalg.svd(directions)
    if np.abs(left @ right - directions).max() > _PERPENDICULAR:
        raise ValueError("the image's axes are not perpendicular")
    squared = affine.copy()
    squared[:3, :3] = left @ right * spacing
    return squared


def _header(file: Path) -> Dataset:
    """Read a file without its pixels, its texts in UTF-8, and complete what may be empty but must be there.

    Raises:
        ValueError: it lacks what cannot be empty.
    """
    import pydicom
    from pydicom.valuerep import DA, TM

    found = pydicom.dcmread(file, stop_before_pixels=True)
    lacking = [keyword for keyword in _NEEDED if keyword not in found]
    if lacking:
        raise ValueError(f"{file.name} lacks {', '.join(lacking)}")
    if "ImagePositionPatient" not in found and "PerFrameFunctionalGroupsSequence" not in found:
        found.pop("FrameOfReferenceUID", None)  # a frame in which it lies nowhere
    found.decode()  # highdicom refuses some ways in which Japanese, Chinese and Korean scanners write names
    found.SpecificCharacterSet = _UTF8
    checks: dict[str, Callable[[Any], Any]] = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}
    for keyword in _MAY_BE_EMPTY:
        try:
            checks.get(keyword, str)(found.get(keyword) or "")
            known = keyword in found
        except ValueError:
            known = False
        if not known:
            setattr(found, keyword, "" if keyword == "PatientID" else None)
    return found


def _described(number: int, segment: DicomSegment, model: str, version: str) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from highdicom.sr import CodedConcept

    _, category, kind, modifier, _, region, region_modifier = coded_parts(segment.terminology)
    found = SegmentDescription(
        segment_number=number,
        segment_label=one_line(segment.name),
        segmented_property_category=CodedConcept(*(category or _TISSUE)),
        segmented_property_type=CodedConcept(*(kind or _TISSUE)),
        algorithm_type=segment.algorithm,
        algorithm_identification=None
        if segment.algorithm == "MANUAL"
        else AlgorithmIdentificationSequence(one_line(model), CodedConcept(*_AI), one_line(version), source="SemiSeg"),
        anatomic_regions=[CodedConcept(*region)] if region else None,
        display_color=CIELabColor.from_rgb(*(round(255 * part) for part in segment.color)),
    )
    if kind and modifier:
        found.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [CodedConcept(*modifier)]
    if region and region_modifier:
        found.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [CodedConcept(*region_modifier)]
    return found


def coded_parts(terminology: str) -> tuple[Code | None, ...]:
    """Return the seven parts of Slicer's serialised terminology entry as (value, scheme, meaning); None for what is no
    code: the first and fifth, which name the lists that the codes are of, and what is empty."""
    parts = (terminology.split("~") + [""] * 7)[:7]
    fields = [part.split("^") for part in parts]
    return tuple((f[1], f[0], f[2]) if len(f) == 3 and all(f) else None for f in fields)


def one_line(text: str) -> str:
    """Return what a text of one line may hold: of a segment's name what is in a file."""
    kept = "".join(" " if letter == "\\" or not letter.isprintable() else letter for letter in text)
    return kept[:_LONGEST].strip() or "unknown"
