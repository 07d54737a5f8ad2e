"""Results to files as Slicer writes them: never over an existing file unless asked, never half, and in pieces.

What is written stays as it is: a node's own file name and its "saved" state are the user's.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from ..errors import SemiSegError
from ..pieces import Pieces, Shares
from . import marks
from .bundle import write_bundle_in_pieces
from .cine import copy_index, index_values, item_at
from .classes import SegmentClass, names_without_class, segment_values
from .dicom import DicomSeg, dicom_seg_in_pieces, encoded_in_pieces
from .geometry import copy_geometry
from .placing import check, place
from .reading import grid, voxels_of
from .segmentation import LABELMAP, label_array_in_pieces, no_labelmap
from .stored import write_segmentation_in_pieces, write_sequence_in_pieces, write_volume_in_pieces
from .tables import column_values
from .unchanged import frame_at, unchanged

_VOLUME_SUFFIXES = (".nrrd", ".nii.gz")
_ROWS = 200


def segmentation_file_in_pieces(segmentation: Any, path: str | Path, overwrite: bool = False) -> Shares[Path]:
    """Write a segmentation with its names, colours, terminology and tags as ``.seg.nrrd``.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        path: file name ending in ``.seg.nrrd``.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        SemiSegError: its source are surfaces, it is changed meanwhile, another ending, the file exists, or it cannot
            be written.
    """
    # Slicer writes surfaces into another kind of file, and says that all went well.
    if segmentation.GetSegmentation().GetSourceRepresentationName() != LABELMAP:
        raise no_labelmap(segmentation)

    def write(temporary: Path) -> Shares[None]:
        yield from unchanged(segmentation, write_segmentation_in_pieces(segmentation, temporary))

    return (yield from place(path, (".seg.nrrd",), overwrite, write))


def labelmap_file_in_pieces(
    segmentation: Any,
    volume: Any,
    classes: Sequence[SegmentClass],
    path: str | Path,
    overwrite: bool = False,
) -> Shares[Path]:
    """Write a segmentation as a label map on the grid of its volume, label values as in the class list.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``; segments that fit no class are left out (`left_out_in_pieces` names
            them).
        volume: the volume whose grid is meant.
        classes: the class list (`classes.segment_values` says how segments are matched).
        path: file name ending in ``.nrrd``, ``.nii.gz`` or ``.seg.nrrd``.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        SemiSegError: an ambiguous segment, it is changed meanwhile, another ending, the file exists, or it cannot be
            written.
    """
    if str(path).lower().endswith(".seg.nrrd"):
        return (yield from segmentation_file_in_pieces(segmentation, path, overwrite))

    def write(temporary: Path) -> Shares[None]:
        values = segment_values(segmentation, classes)
        labels = yield from unchanged(segmentation, label_array_in_pieces(segmentation, values, volume))
        yield from write_volume_in_pieces(_label_node(volume), labels, temporary)

    return (yield from place(path, _VOLUME_SUFFIXES, overwrite, write))


def dicom_seg_file_in_pieces(
    segmentation: Any,
    volume: Any,
    path: str | Path,
    model: str,
    version: str,
    overwrite: bool = False,
    encode: Callable[[DicomSeg, Path], Pieces[None]] = encoded_in_pieces,
) -> Shares[Path]:
    """Write a segmentation of a volume that was loaded from DICOM as DICOM SEG, with all its segments.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        volume: the volume, whose files Slicer's DICOM database knows.
        path: file name ending in ``.dcm``.
        model: name of the model that drew it, or began to.
        version: the model's fingerprint.
        overwrite: replace an existing file.
        encode: writes the file; for a large volume that takes seconds here.

    Returns:
        The file.

    Raises:
        SemiSegError: no segment has a voxel, it is changed meanwhile, the image's files are gone or cannot have one,
            another ending, the file exists, or it cannot be written.
    """

    def write(temporary: Path) -> Shares[None]:
        content = yield from unchanged(segmentation, dicom_seg_in_pieces(segmentation, volume, model, version))
        yield from encode(content, temporary)

    return (yield from place(path, (".dcm",), overwrite, write))


def volume_file_in_pieces(volume: Any, path: str | Path, overwrite: bool = False) -> Shares[Path]:
    """Write a volume, for instance an uncertainty map in percent.

    Args:
        volume: ``vtkMRMLScalarVolumeNode``.
        path: file name ending in ``.nrrd`` or ``.nii.gz``.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        SemiSegError: it is changed meanwhile, another ending, the file exists, or it cannot be written.
    """

    def write(temporary: Path) -> Shares[None]:
        yield from unchanged(volume, write_volume_in_pieces(volume, voxels_of(volume), temporary))

    return (yield from place(path, _VOLUME_SUFFIXES, overwrite, write))


def segmentation_sequence_file_in_pieces(sequence: Any, path: str | Path, overwrite: bool = False) -> Shares[Path]:
    """Write a segmentation sequence as ``.seq.mrb``, the one format that keeps its segments.

    Raises:
        SemiSegError: no item yet, another ending, the file exists, or it cannot be written.
    """
    _require_items(sequence)
    return (yield from place(path, (".seq.mrb",), overwrite, partial(write_bundle_in_pieces, sequence)))


def label_sequence_file_in_pieces(
    segmentations: Any,
    source: Any,
    classes: Sequence[SegmentClass],
    path: str | Path,
    overwrite: bool = False,
) -> Shares[Path]:
    """Write the labels of a cine as a sequence of label volumes, ``.seq.nrrd``.

    Args:
        segmentations: the segmentation sequence.
        source: the image sequence; it gives grid and frames. A frame without segments becomes an empty one that
            carries the attribute ``computed`` = "0".
        classes: the class list.
        path: file name ending in ``.seq.nrrd``.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        SemiSegError: no item yet, an ambiguous segment, frames that lie in different places or are removed meanwhile,
            another ending, the file exists, or it cannot be written.
    """
    _require_items(segmentations)
    like = slicer.vtkMRMLSequenceNode()
    like.SetName(segmentations.GetName())
    copy_index(source, like)
    values = index_values(source)

    def label_node(value: str) -> Any:
        node = _label_node(frame_at(source, value))
        segmentation = item_at(segmentations, value)
        # While a result is corrected, a frame that is only passed gets an item too.
        there = segmentation is not None and segmentation.GetSegmentation().GetNumberOfSegments() > 0
        node.SetAttribute(marks.COMPUTED, "1" if there else "0")
        return node

    def labels(number: int) -> Shares[np.ndarray]:
        volume, segmentation = frame_at(source, values[number]), item_at(segmentations, values[number])
        if segmentation is None:
            return np.zeros(grid(volume), dtype=np.uint8)
        found = segment_values(segmentation, classes)
        return (yield from label_array_in_pieces(segmentation, found, volume))

    def write(temporary: Path) -> Shares[None]:
        frames = ((value, label_node(value)) for value in values)
        yield from write_sequence_in_pieces(like, frames, labels, temporary)

    return (yield from place(path, (".seq.nrrd",), overwrite, write))


def left_out_in_pieces(segmentation: Any, classes: Sequence[SegmentClass]) -> Pieces[list[str]]:
    """Return the names of the segments that a label map of these classes cannot hold, each once.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``, or the segmentation sequence of a cine.
        classes: the class list.
    """
    nodes = [segmentation]
    if segmentation.IsA("vtkMRMLSequenceNode"):
        nodes = [segmentation.GetNthDataNode(i) for i in range(segmentation.GetNumberOfDataNodes())]
    names: dict[str, None] = {}
    for node in nodes:
        names.update(dict.fromkeys(names_without_class(node, classes)))
        yield
    return list(names)


def volume_sequence_file_in_pieces(sequence: Any, path: str | Path, overwrite: bool = False) -> Shares[Path]:
    """Write a sequence of volumes of one geometry, for instance the uncertainty of a cine, as ``.seq.nrrd``.

    Raises:
        SemiSegError: no item yet, volumes that lie in different places or are removed meanwhile, another ending, the
            file exists, or it cannot be written.
    """
    _require_items(sequence)
    values = index_values(sequence)

    def voxels(number: int) -> Shares[np.ndarray]:
        yield None
        return voxels_of(frame_at(sequence, values[number]))

    def write(temporary: Path) -> Shares[None]:
        frames = ((value, frame_at(sequence, value)) for value in values)
        yield from write_sequence_in_pieces(sequence, frames, voxels, temporary)

    return (yield from place(path, (".seq.nrrd",), overwrite, write))


def _label_node(volume: Any) -> Any:
    """Return a label map node on the grid of a volume, outside the scene and without voxels."""
    node = slicer.vtkMRMLLabelMapVolumeNode()
    copy_geometry(volume, node)
    return node


def _require_items(sequence: Any) -> None:
    if sequence.GetNumberOfDataNodes() == 0:
        raise SemiSegError(
            "empty-sequence",
            f'"{sequence.GetName()}" has no frame yet',
            "Wait for the first result, or press Apply",
            "export",
        )


def table_files_in_pieces(
    tables: Mapping[str, Any],
    path: str | Path,
    overwrite: bool = False,
    more: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
) -> Shares[list[Path]]:
    """Write table nodes as CSV, each into a file of its own; a missing number is an empty cell.

    Args:
        tables: what is added to the file's name for each of them: ``{"": segments, "-frames": frames}``.
        path: file name ending in ``.csv``.
        overwrite: replace existing files.
        more: columns that the tables lack or that take the place of theirs, by what is added to the file's name and by
            title.

    Returns:
        The files.

    Raises:
        SemiSegError: another ending, a file exists (then none is written), or one cannot be written.
    """
    path = Path(path)
    files = {table_file(path, addition): table for addition, table in tables.items()}
    for file in files:
        check(file, (".csv",), overwrite)

    def writer(table: Any, added: Mapping[str, Sequence[Any]]) -> Callable[[Path], Shares[None]]:
        def write(temporary: Path) -> Shares[None]:
            columns: dict[str, Sequence[Any]] = {}
            for number in range(table.GetNumberOfColumns()):
                title = table.GetColumnName(number)
                columns[title] = column_values(table, title)
                yield None
            columns.update(added)
            # With a byte order mark, without which Excel takes UTF-8 for something else.
            with open(temporary, "w", encoding="utf-8-sig", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(columns)
                for number, row in enumerate(zip(*columns.values(), strict=True)):
                    rows.writerow(row)
                    if number % _ROWS == 0:
                        yield None

        return write

    added, written = more or {}, []
    for (file, table), addition in zip(files.items(), tables, strict=True):
        written.append((yield from place(file, (".csv",), overwrite, writer(table, added.get(addition, {})))))
    return written


def table_file(path: Path, addition: str) -> Path:
    """Return the file name of one of several tables."""
    return path.with_name(f"{path.stem}{addition}{path.suffix}")
