"""The files that a result becomes: which parts in which formats, under which names, and what speaks against it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from itertools import chain, count
from pathlib import Path
from typing import Any

from ..dicom_seg import can_write
from ..errors import SemiSegError
from ..pieces import Pieces
from ..scene.corrections import correction_columns_in_pieces
from ..scene.dicom import encoded_in_pieces, has_dicom_files
from ..scene.export import (
    dicom_seg_file_in_pieces,
    label_sequence_file_in_pieces,
    labelmap_file_in_pieces,
    left_out_in_pieces,
    segmentation_sequence_file_in_pieces,
    table_file,
    table_files_in_pieces,
    volume_file_in_pieces,
    volume_sequence_file_in_pieces,
)
from ..scene.record_figures import FRAME, frame_numbers, frames_of
from ..scene.records import Record
from .exporting import Encode

PARTS = ("segmentation", "uncertainty", "table")
_LONGEST_NAME = 110
"""Bytes of a proposed name before its ending: file systems take 255, some less."""
# What a person reads, and the ending; the first is offered first.
_VOLUME_FORMATS: dict[str, dict[str, str]] = {
    "segmentation": {
        "Segmentation (.seg.nrrd)": ".seg.nrrd",
        "Label map (.nii.gz)": ".nii.gz",
        "Label map (.nrrd)": ".nrrd",
    },
    "uncertainty": {"Volume in percent (.nrrd)": ".nrrd", "Volume in percent (.nii.gz)": ".nii.gz"},
    "table": {"Table (.csv)": ".csv"},
}
_DICOM_SEG = {"DICOM SEG (.dcm)": ".dcm"}
_CINE_FORMATS: dict[str, dict[str, str]] = {
    "segmentation": {
        "Label maps of all frames (.seq.nrrd)": ".seq.nrrd",
        "Segmentations of all frames (.seq.mrb)": ".seq.mrb",
    },
    "uncertainty": {"Frames in percent (.seq.nrrd)": ".seq.nrrd"},
    "table": {"Tables of segments and frames (.csv)": ".csv"},
}


def write_in_pieces(
    record: Record,
    part: str,
    path: Path,
    overwrite: bool = False,
    encode: Encode = encoded_in_pieces,
) -> Generator[Any, None, list[Path]]:
    """Write a part of a result.

    Args:
        record: the result.
        part: "segmentation", "uncertainty" or "table".
        path: the file; its ending chooses the format.
        overwrite: replace what is there.
        encode: writes DICOM SEG.

    Returns:
        The files.

    Raises:
        SemiSegError: it cannot be written, or a part of the result is gone.
    """
    if why := why_not(record, part, busy=False):
        raise SemiSegError("nothing-to-write", why.rstrip("."), "Press Apply to make it again", "export")
    if part == "table":
        corrected = yield from correction_columns_in_pieces(record)
        numbers = [None if number is None else number + 1 for number in frame_numbers(record)]
        frames: dict[str, list[Any]] = {FRAME: numbers, **corrected.get("-frames", {})}  # as they are counted now
        return (yield from table_files_in_pieces(_tables(record), path, overwrite, {**corrected, "-frames": frames}))
    cine = _is_cine(record)
    if part == "uncertainty":
        write = volume_sequence_file_in_pieces if cine else volume_file_in_pieces
        return [(yield from write(record.uncertainty, path, overwrite))]
    segmentation, source = record.segmentation, record.source
    if path.name.lower().endswith(".dcm"):
        model, version = str(record.run.get("model", "")), str(record.run.get("fingerprint", ""))
        return [(yield from dicom_seg_file_in_pieces(segmentation, source, path, model, version, overwrite, encode))]
    if not cine:
        return [(yield from labelmap_file_in_pieces(segmentation, source, record.classes, path, overwrite))]
    if path.name.lower().endswith(".seq.mrb"):
        return [(yield from segmentation_sequence_file_in_pieces(segmentation, path, overwrite))]
    return [(yield from label_sequence_file_in_pieces(segmentation, source, record.classes, path, overwrite))]


def describe_left_out_in_pieces(record: Record, path: Path) -> Pieces[str]:
    """Say which segments a file of label maps does not hold, and what helps; an empty text where it holds all."""
    whole = ".seq.mrb" if _is_cine(record) else ".seg.nrrd"
    if path.name.lower().endswith((whole, ".dcm")):
        return ""
    names = yield from left_out_in_pieces(record.segmentation, record.classes)
    if not names:
        return ""
    rename = "it" if len(names) == 1 else "them"
    return f"Left out, as the model has no such class: {', '.join(names)}. Rename {rename}, or save as {whole}."


def formats_of(record: Record) -> dict[str, dict[str, str]]:
    """Return the formats of each part; DICOM SEG is among them where the image came from DICOM."""
    if _is_cine(record):
        return _CINE_FORMATS
    if not has_dicom_files(record.source) or not can_write():
        return _VOLUME_FORMATS
    return {**_VOLUME_FORMATS, "segmentation": {**_VOLUME_FORMATS["segmentation"], **_DICOM_SEG}}


def _is_cine(record: Record) -> bool:
    return any(
        node is not None and bool(node.IsA("vtkMRMLSequenceNode")) for node in (record.segmentation, record.source)
    )


def _tables(record: Record) -> dict[str, Any]:
    tables = {"": record.table}
    if record.frames_table is not None:
        tables["-frames"] = record.frames_table
    return tables


def written_files(record: Record, part: str, path: Path) -> list[Path]:
    """Return the files that a part of a result becomes."""
    return [table_file(path, addition) for addition in _tables(record)] if part == "table" else [path]


def different_names(names: Iterable[str]) -> list[str]:
    """Return names of which no two are equal, also where case does not count."""
    found: dict[str, str] = {}
    for name in names:
        free = next(n for n in chain([name], (f"{name}_{k}" for k in count(2))) if n.lower() not in found)
        found[free.lower()] = free
    return list(found.values())


def why_not(record: Record, part: str, busy: bool) -> str:
    """Say why a part cannot be written now; an empty text where it can."""
    if busy:
        return "Wait until the job has ended, or cancel it."
    if not record.exists:
        return "The result was deleted."
    if record.frames_table is not None and not frames_of(record):
        return "No frame is computed yet."
    if part == "uncertainty" and record.uncertainty is None:
        return "This result was made without uncertainty, or it was deleted."
    if part == "segmentation" and record.segmentation is None:
        return "The segmentation was deleted."
    if part == "segmentation" and record.source is None:
        return "The image was deleted, on whose grid the segmentation is written."
    return ""


def safe_name(name: str) -> str:
    """Return a name that every file system takes."""
    kept = "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in name)
    return kept.encode()[:_LONGEST_NAME].decode(errors="ignore").strip(" .") or "result"
