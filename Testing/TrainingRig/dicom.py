"""DICOM files as scanners write them: single slices, enhanced multi-frame files, ultrasound pictures and cine."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_CT, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.4.1"
ULTRASOUND, CINE = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"
SEGMENTATION, REPORT = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.33"
IMPLICIT, EXPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"

_ELEMENTS = {
    "image_type": (0x00080008, "CS"), "sop_class": (0x00080016, "UI"), "sop_instance": (0x00080018, "UI"),
    "modality": (0x00080060, "CS"), "description": (0x0008103E, "LO"), "patient": (0x00100010, "PN"),
    "thickness": (0x00180050, "DS"), "regions": (0x00186011, "SQ"), "region_format": (0x00186012, "US"),
    "region_type": (0x00186014, "US"), "units_x": (0x00186024, "US"), "units_y": (0x00186026, "US"),
    "delta_x": (0x0018602C, "FD"), "delta_y": (0x0018602E, "FD"), "study": (0x0020000D, "UI"),
    "series": (0x0020000E, "UI"), "series_number": (0x00200011, "IS"), "instance_number": (0x00200013, "IS"),
    "frame_of_reference": (0x00200052, "UI"),
    "position": (0x00200032, "DS"), "orientation": (0x00200037, "DS"), "plane_position": (0x00209113, "SQ"),
    "plane_orientation": (0x00209116, "SQ"), "samples": (0x00280002, "US"), "photometric": (0x00280004, "CS"),
    "planar": (0x00280006, "US"), "frame_count": (0x00280008, "IS"), "rows": (0x00280010, "US"),
    "columns": (0x00280011, "US"), "spacing": (0x00280030, "DS"), "allocated": (0x00280100, "US"),
    "stored": (0x00280101, "US"), "high_bit": (0x00280102, "US"), "signed": (0x00280103, "US"),
    "intercept": (0x00281052, "DS"), "slope": (0x00281053, "DS"), "measures": (0x00289110, "SQ"),
    "transformation": (0x00289145, "SQ"), "shared": (0x52009229, "SQ"), "frames": (0x52009230, "SQ"),
    "pixels": (0x7FE00010, "OW"),
}  # fmt: skip
_BINARY = {"US": "<H", "FD": "<d"}


def write(path: Path, pixels: np.ndarray | None, syntax: str = EXPLICIT, **attributes: Any) -> Path:
    """Write one DICOM file.

    Args:
        path: file to write.
        pixels: uint8, uint16 or int16: ``(Y, X)``, ``(Y, X, 3)``, ``(frames, Y, X)`` or ``(frames, Y, X, 3)``;
            None leaves them out.
        syntax: transfer syntax: `IMPLICIT`, `EXPLICIT` or `DEFLATED`.
        attributes: by the names above; a sequence is a list of dictionaries.
    """
    known: dict[str, Any] = {
        "sop_class": CT,
        "sop_instance": f"1.2.3.{zlib.crc32(str(path).encode())}",
        "study": "1.2.3",
    }
    known.update({"series": "1.2.3.4", "series_number": 1, "instance_number": 1, "patient": "Nobody", "modality": "OT"})
    if pixels is not None:
        colour = pixels.shape[-1] == 3 and pixels.dtype == np.uint8
        grid = pixels.shape[:-1] if colour else pixels.shape
        bits = 8 * pixels.itemsize
        known.update(samples=3 if colour else 1, photometric="RGB" if colour else "MONOCHROME2")
        known.update(rows=grid[-2], columns=grid[-1], allocated=bits, stored=bits, high_bit=bits - 1)
        known.update(signed=int(pixels.dtype.kind == "i"), pixels=pixels)
        if colour:
            known["planar"] = 0
        if len(grid) == 3:
            known["frame_count"] = grid[0]
    known.update(attributes)
    meta = _element(0x00020010, "UI", syntax, True)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = _data_set(known, syntax != IMPLICIT)
    path.write_bytes(bytes(128) + b"DICM" + meta + (deflated(data) if syntax == DEFLATED else data))
    return path


def deflated(data: bytes) -> bytes:
    """Pack a data set, or whatever pretends to be one."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(data) + packer.flush()
    return packed + bytes(len(packed) % 2)


def write_slices(
    folder: Path, volume: np.ndarray, affine: np.ndarray, pieces: Any = None, prefix: str = "", **attributes: Any
) -> Path:
    """Write the slices of a volume as a series whose file names say nothing of their order.

    Args:
        folder: where to.
        volume: ``(Z, Y, X)``.
        affine: 4x4, voxel indices (i, j, k) to LPS in mm.
        pieces: the indices of the slices to write; None means all.
        prefix: of the file names.
        attributes: further attributes of every file.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / spacing
    for k in range(len(volume)) if pieces is None else pieces:
        place = {
            "position": [*map(float, (affine @ [0, 0, k, 1])[:3])],
            "orientation": [*directions[:, 0], *directions[:, 1]],
            "spacing": [spacing[1], spacing[0]],
            "thickness": spacing[2],
        }
        name = f"{prefix}{k * 7 % 11:02}-{k}"
        write(folder / name, volume[k], **{**place, "instance_number": 100 - k, **attributes})
    return folder


def _data_set(attributes: dict[str, Any], explicit: bool) -> bytes:
    elements = sorted((*_ELEMENTS[name], value) for name, value in attributes.items() if value is not None)
    return b"".join(_element(tag, kind, value, explicit) for tag, kind, value in elements)


def _element(tag: int, kind: str, value: Any, explicit: bool) -> bytes:
    data = _value(kind, value, explicit)
    data += (b"\0" if kind in ("UI", "OW", "SQ") else b" ") * (len(data) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if not explicit:
        return head + struct.pack("<L", len(data)) + data
    if kind in ("SQ", "OW"):
        return head + kind.encode() + bytes(2) + struct.pack("<L", len(data)) + data
    return head + kind.encode() + struct.pack("<H", len(data)) + data


def _value(kind: str, value: Any, explicit: bool) -> bytes:
    if kind == "SQ":
        items = [_data_set(item, explicit) for item in value]
        # One item of stated length, the next of open length, as both occur.
        return b"".join(
            struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item
            if at % 2 == 0
            else struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + item + struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
            for at, item in enumerate(items)
        )
    if kind in _BINARY:
        return struct.pack(_BINARY[kind], value)
    if kind == "OW":
        return np.ascontiguousarray(value).tobytes()
    parts = value if isinstance(value, (list, tuple)) else [value]
    if kind == "DS":
        parts = [f"{part:.10g}" for part in parts]
    return "\\".join(map(str, parts)).encode()


def oblique(spacing: Sequence[float], seed: int) -> np.ndarray:
    """Return voxel indices (i, j, k) to LPS in mm, 4x4, oblique and right-handed."""
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    rotation[:, 2] *= np.sign(np.linalg.det(rotation))
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * spacing
    matrix[:3, 3] = [10.1, -3.3, 7.7]
    return matrix


def write_segmentation(
    path: Path,
    frames: Sequence[tuple[int, np.ndarray | None, np.ndarray]],
    names: Mapping[int, str],
    affine: np.ndarray,
) -> Path:
    """Write a DICOM SEG of type BINARY with what geometry and segments need, and nothing else.

    Args:
        path: file to write.
        frames: of each its segment's number, the place of its first pixel (LPS in mm; None without), and its mask.
        names: of the segments.
        affine: 4x4, voxel indices to LPS in mm, whose first two columns are the axes of the frames.
    """
    found = pydicom.Dataset()
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = EXPLICIT
    found.SOPClassUID, found.SOPInstanceUID, found.SegmentationType = SEGMENTATION, "1.2.5", "BINARY"
    found.SpecificCharacterSet = "ISO_IR 100"
    found.Rows, found.Columns = frames[0][2].shape
    found.NumberOfFrames, found.SamplesPerPixel, found.PhotometricInterpretation = len(frames), 1, "MONOCHROME2"
    found.BitsAllocated, found.BitsStored, found.HighBit, found.PixelRepresentation = 1, 1, 0, 0
    found.SegmentSequence = [_item(SegmentNumber=number, SegmentLabel=name) for number, name in names.items()]
    spacing = np.linalg.norm(affine[:3, :2], axis=0)
    turned = [f"{part:.10g}" for part in (affine[:3, :2] / spacing).T.ravel()]
    found.SharedFunctionalGroupsSequence = [
        _item(PixelMeasuresSequence=[_item(PixelSpacing=[f"{part:.10g}" for part in spacing[::-1]])])
    ]
    found.PerFrameFunctionalGroupsSequence = []
    for number, place, _ in frames:
        groups = _item(SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=number)])
        if place is not None:
            groups.PlaneOrientationSequence = [_item(ImageOrientationPatient=turned)]
            groups.PlanePositionSequence = [_item(ImagePositionPatient=[f"{part:.10g}" for part in place])]
        found.PerFrameFunctionalGroupsSequence.append(groups)
    packed = np.packbits(np.stack([mask for *_, mask in frames]).ravel(), bitorder="little").tobytes()
    found.PixelData = packed + bytes(len(packed) % 2)
    found.save_as(path, enforce_file_format=True)
    return path


def _item(**attributes: Any) -> pydicom.Dataset:
    made = pydicom.Dataset()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def read_segmentation(path: Path) -> list[tuple[int, np.ndarray | None, np.ndarray, str]]:
    """Read a DICOM SEG by its elements alone.

    Returns:
        For each frame its segment's number, the place of its first pixel (LPS in mm; None without), its mask, and the
        instance that it is drawn on.
    """
    found = pydicom.dcmread(path)
    bits = np.unpackbits(np.frombuffer(found.PixelData, np.uint8), bitorder="little")
    count, size = int(found.NumberOfFrames), found.Rows * found.Columns
    masks = bits[: count * size].reshape(count, found.Rows, found.Columns).astype(bool)
    frames = []
    for mask, groups in zip(masks, found.PerFrameFunctionalGroupsSequence, strict=True):
        # What all frames share is said once.
        holder = groups if "SegmentIdentificationSequence" in groups else found.SharedFunctionalGroupsSequence[0]
        number = int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        place = groups.PlanePositionSequence[0].ImagePositionPatient if "PlanePositionSequence" in groups else None
        source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        frames.append((number, None if place is None else np.array(place, dtype=float), mask, str(source)))
    return frames
