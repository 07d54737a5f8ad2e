"""Results to files through MRML's storage nodes: never over an existing file unless asked, never half."""

from __future__ import annotations

import csv
import gzip
import shutil
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from ..atomic import move
from ..errors import SemiSegError
from . import marks
from .cine import copy_index, index_values, item_at
from .classes import SegmentClass, names_without_class, segment_values
from .dicom import encode_dicom_seg
from .geometry import copy_geometry
from .overlay import image_data
from .segmentation import LABELMAP, label_array, no_labelmap
from .tables import column_values

_VOLUME_SUFFIXES = (".nrrd", ".nii.gz", ".nii", ".mha")


def export_segmentation(segmentation: Any, path: str | Path, overwrite: bool = False) -> Path:
    """Write a segmentation with its names, colours, terminology and tags as ``.seg.nrrd``.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        path: file name ending in ``.seg.nrrd``.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        SemiSegError: its source are surfaces, another ending, the file exists, or it cannot be written.
    """
    # Slicer writes surfaces into another kind of file, and says that all went well.
    if segmentation.GetSegmentation().GetSourceRepresentationName() != LABELMAP:
        raise no_labelmap(segmentation)
    return _write(segmentation, slicer.vtkMRMLSegmentationStorageNode(), path, (".seg.nrrd",), overwrite)


def export_labelmap(
    segmentation: Any,
    volume: Any,
    classes: Sequence[SegmentClass],
    path: str | Path,
    overwrite: bool = False,
) -> Path:
    """Write a segmentation as a label map on the grid of its volume, label values as in the class list.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``; segments that fit no class are left out (`left_out` names them).
        volume: the volume whose grid is meant.
        classes: the class list (`classes.segment_values` says how segments are matched).
        path: file name ending in ``.nrrd``, ``.nii.gz``, ``.nii``, ``.mha`` or ``.seg.nrrd``.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        SemiSegError: an ambiguous segment, another ending, the file exists, or it cannot be written.
    """
    if str(path).lower().endswith(".seg.nrrd"):
        return export_segmentation(segmentation, path, overwrite)
    node = _label_node(segmentation, volume, classes)
    return _write(node, slicer.vtkMRMLVolumeArchetypeStorageNode(), path, _VOLUME_SUFFIXES, overwrite)


def export_dicom_seg(
    segmentation: Any, volume: Any, path: str | Path, model: str, version: str, overwrite: bool = False
) -> Path:
    """Write a segmentation of a volume that was loaded from DICOM as DICOM SEG, with all its segments.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        volume: the volume, whose files Slicer's DICOM database knows.
        path: file name ending in ``.dcm``.
        model: name of the model that drew it, or began to.
        version: the model's fingerprint.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        SemiSegError: no segment has a voxel, the image's files are gone or cannot have one, another ending, the file
            exists, or it cannot be written.
    """
    path = Path(path)
    _check(path, (".dcm",), overwrite)
    content = encode_dicom_seg(segmentation, volume, model, version)
    return _place(path, lambda temporary: temporary.write_bytes(content) > 0)


def export_volume(volume: Any, path: str | Path, overwrite: bool = False) -> Path:
    """Write a volume, for instance an uncertainty map in percent.

    Args:
        volume: ``vtkMRMLScalarVolumeNode``.
        path: file name ending in ``.nrrd``, ``.nii.gz``, ``.nii`` or ``.mha``.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        SemiSegError: another ending, the file exists, or it cannot be written.
    """
    return _write(volume, slicer.vtkMRMLVolumeArchetypeStorageNode(), path, _VOLUME_SUFFIXES, overwrite)


def export_segmentation_sequence(sequence: Any, path: str | Path, overwrite: bool = False) -> Path:
    """Write a segmentation sequence as ``.seq.mrb``, the one format that keeps its segments.

    Raises:
        SemiSegError: no item yet, another ending, the file exists, or it cannot be written.
    """
    _require_items(sequence)
    return _write(sequence, slicer.vtkMRMLSequenceStorageNode(), path, (".seq.mrb",), overwrite)


def export_label_sequence(
    segmentations: Any,
    source: Any,
    classes: Sequence[SegmentClass],
    path: str | Path,
    overwrite: bool = False,
) -> Path:
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
        SemiSegError: no item yet, an ambiguous segment, frames that lie in different places, another ending, the file
            exists, or it cannot be written.
    """
    _require_items(segmentations)
    labels = slicer.vtkMRMLSequenceNode()
    labels.SetName(segmentations.GetName())
    copy_index(source, labels)
    for value in index_values(source):
        segmentation = item_at(segmentations, value)
        node = _label_node(segmentation, item_at(source, value), classes)
        # While a result is corrected, a frame that is only passed gets an item too.
        there = segmentation is not None and segmentation.GetSegmentation().GetNumberOfSegments() > 0
        node.SetAttribute(marks.COMPUTED, "1" if there else "0")
        labels.SetDataNodeAtValue(node, value)
    return export_volume_sequence(labels, path, overwrite)


def left_out(segmentation: Any, classes: Sequence[SegmentClass]) -> list[str]:
    """Return the names of the segments that a label map of these classes cannot hold, each once.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``, or the segmentation sequence of a cine.
        classes: the class list.
    """
    nodes = [segmentation]
    if segmentation.IsA("vtkMRMLSequenceNode"):
        nodes = [segmentation.GetNthDataNode(i) for i in range(segmentation.GetNumberOfDataNodes())]
    return list(dict.fromkeys(name for node in nodes for name in names_without_class(node, classes)))


def export_volume_sequence(sequence: Any, path: str | Path, overwrite: bool = False) -> Path:
    """Write a sequence of volumes of one geometry, for instance the uncertainty of a cine, as ``.seq.nrrd``.

    Raises:
        SemiSegError: no item yet, volumes that lie in different places, another ending, the file exists, or it cannot
            be written.
    """
    _require_items(sequence)
    storage = slicer.vtkMRMLVolumeSequenceStorageNode()
    if not storage.CanWriteFromReferenceNode(sequence):  # cine MRI, each frame of which may have its own plane
        raise SemiSegError(
            "different-places",
            f'The frames of "{sequence.GetName()}" lie in different places, and a .seq.nrrd file can hold one only',
            "Save the segmentations as .seq.mrb, or everything with the scene",
            "export",
        )
    return _write(sequence, storage, path, (".seq.nrrd",), overwrite)


def _label_node(segmentation: Any, volume: Any, classes: Sequence[SegmentClass]) -> Any:
    """Return a label map node outside the scene; empty where there is no segmentation."""
    node = slicer.vtkMRMLLabelMapVolumeNode()
    copy_geometry(volume, node)
    if segmentation is None:
        x, y, z = volume.GetImageData().GetDimensions()
        labels = np.zeros((z, y, x), dtype=np.uint8)
    else:
        labels = label_array(segmentation, segment_values(segmentation, classes), volume)
    node.SetAndObserveImageData(image_data(labels))
    return node


def _require_items(sequence: Any) -> None:
    if sequence.GetNumberOfDataNodes() == 0:
        raise SemiSegError(
            "empty-sequence",
            f'"{sequence.GetName()}" has no frame yet',
            "Wait for the first result, or press Apply",
            "export",
        )


def export_tables(
    tables: Mapping[str, Any],
    path: str | Path,
    overwrite: bool = False,
    more: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
) -> list[Path]:
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
        _check(file, (".csv",), overwrite)

    def writer(table: Any, added: Mapping[str, Sequence[Any]]) -> Callable[[Path], bool]:
        def write(temporary: Path) -> bool:
            titles = [table.GetColumnName(i) for i in range(table.GetNumberOfColumns())]
            columns = {**{title: column_values(table, title) for title in titles}, **added}
            # With a byte order mark, without which Excel takes UTF-8 for something else.
            with open(temporary, "w", encoding="utf-8-sig", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(columns)
                rows.writerows(zip(*columns.values(), strict=True))
            return True

        return write

    added = more or {}
    return [
        _place(file, writer(table, added.get(addition, {})))
        for (file, table), addition in zip(files.items(), tables, strict=True)
    ]


def table_file(path: Path, addition: str) -> Path:
    """Return the file name of one of several tables."""
    return path.with_name(f"{path.stem}{addition}{path.suffix}")


def _write(node: Any, storage: Any, path: str | Path, suffixes: tuple[str, ...], overwrite: bool) -> Path:
    """Write a node to a file.

    The storage node is not the user's: a node's own file name and its "saved" state stay as they are.
    """
    path = Path(path)
    _check(path, suffixes, overwrite)

    def write(temporary: Path) -> bool:
        storage.SetFileName(str(temporary))
        if storage.IsA("vtkMRMLSequenceStorageNode") and node.GetScene() is not None:
            storage.SetScene(node.GetScene())
        return bool(storage.WriteData(node)) and _is_whole(temporary)

    return _place(path, write)


def _check(path: Path, suffixes: tuple[str, ...], overwrite: bool) -> None:
    """Raise where a file may not be written."""
    if not path.name.lower().endswith(suffixes):
        raise SemiSegError(
            "bad-ending",
            f'"{path.name}" does not end in {" or ".join(suffixes)}',
            "Choose such a name",
            "export",
        )
    try:
        exists, has_folder = path.exists(), path.parent.is_dir()
    except OSError as error:  # the name is too long, the folder may not be looked into, its disk is gone
        raise SemiSegError(
            "cannot-write", f'"{path}" cannot be written ({error.strerror})', "Choose another name or folder", "export"
        ) from error
    if exists and not overwrite:
        raise SemiSegError(
            "file-exists",
            f'"{path}" exists already',
            "Choose another name, or allow it to be replaced",
            "export",
        )
    if not has_folder:
        raise SemiSegError(
            "missing-folder",
            f'The folder "{path.parent}" does not exist',
            "Make it, or choose another",
            "export",
        )


def _place(path: Path, write: Callable[[Path], bool]) -> Path:
    """Let a file be written into a temporary folder beside its target, then move it there."""
    failed = SemiSegError(
        "cannot-write",
        f'"{path}" could not be written',
        "Check that the folder may be written to and that the disk is not full",
        "export",
    )
    folder = None
    try:
        # A folder of its own, because some writers leave scraps beside their file when the disk is full.
        folder = Path(tempfile.mkdtemp(prefix=".export-", dir=path.parent))
        temporary = folder / path.name
        if not write(temporary):
            raise failed
        move(temporary, path)
    except OSError as error:
        raise failed from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return path


def _is_whole(path: Path) -> bool:
    """Return whether a file is there and, for ``.gz``, ends where it should: that writer hides a full disk."""
    if path.suffix != ".gz":
        return path.is_file()
    try:
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error):
        return False
    return True
