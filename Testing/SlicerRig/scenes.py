"""Scenes made from arrays, as a person would have left them: images of which only some are segmented."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
import vtk
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegTrainerLib.scene.marks import accept_frame, set_scribbles
from vtk.util.numpy_support import numpy_to_vtk

from . import mrml

Status = slicer.vtkSlicerSegmentationsModuleLogic
# What `TrainingRig.cases` draws.
BLOBS = (SegmentClass(1, "bright", (0.9, 0.2, 0.1)), SegmentClass(2, "dark", (0.1, 0.2, 0.9)))


@dataclass
class PartlySegmentedScene:
    """The nodes that `partly_segmented_scene` made.

    Attributes:
        volumes: one volume per image, in the order given.
        segmentations: the hand-drawn segmentation by image number, for those that have one.
        cine: the image sequence, its browser, and the segmentation sequence beside it; None without a cine.
    """

    volumes: list[Any] = field(default_factory=list)
    segmentations: dict[int, Any] = field(default_factory=dict)
    cine: Any = None
    browser: Any = None
    drawn: Any = None


def partly_segmented_scene(
    images: Sequence[np.ndarray],
    labels: Mapping[int, np.ndarray],
    classes: Sequence[SegmentClass],
    names: Sequence[str] = (),
    one_finished: Collection[int] = (),
    scribbled: Collection[int] = (),
    cine: Sequence[np.ndarray] = (),
    cine_labels: Mapping[int, np.ndarray] | None = None,
    spacing: tuple[float, float] | None = None,
) -> PartlySegmentedScene:
    """Add pictures and a cine to the scene, only some of them segmented.

    Args:
        images: pictures ``(Y, X)``, ``(Y, X, 3)`` for colour, or volumes ``(Z, Y, X)``.
        labels: label array by image number; images without one stay unsegmented. All outlines are finished
            ("completed") unless the number is listed below.
        classes: the class list; each becomes a segment.
        names: of the images; ``image 1`` and so on by default.
        one_finished: numbers of images where only the first class is outlined and the others not yet begun.
        scribbled: numbers of images with strokes along the middle of each class and of the background.
        cine: frames ``(Y, X)`` or ``(Y, X, 3)``; none means no cine.
        cine_labels: label array by frame number; these frames are drawn and accepted.
        spacing: voxel size (y, x) in mm; 1 mm by default, which means uncalibrated or unknown.

    Returns:
        The nodes.
    """
    made = PartlySegmentedScene()
    y, x = spacing or (1.0, 1.0)
    affine = np.diag([-x, -y, 1.0, 1.0])
    for number, image in enumerate(images):
        name = names[number] if names else f"image {number + 1}"
        volume = add_volume(image, name, affine)
        made.volumes.append(volume)
        if number in labels:
            made.segmentations[number] = _drawn(
                volume, labels[number], classes, number in one_finished, number in scribbled
            )
    if len(cine):
        made.cine, made.browser = add_cine(cine, "cine", affine)
        made.drawn = add_drawn_sequence(made.cine, made.browser, "cine drawn by hand")
        for number, frame_labels in sorted((cine_labels or {}).items()):
            value = made.cine.GetNthIndexValue(number)
            draw_frame(made.drawn, made.cine, value, frame_labels, classes)
            accept_frame(made.drawn, value)
    return made


def add_volume(array: np.ndarray, name: str, affine: np.ndarray | None = None) -> Any:
    """Add a volume node.

    Args:
        array: ``(Y, X)`` or ``(Z, Y, X)``; with a last axis of 3 for colour where it is ``uint8``.
        name: of the node.
        affine: IJK-to-RAS matrix, the identity by default.

    Returns:
        ``vtkMRMLScalarVolumeNode``, or ``vtkMRMLVectorVolumeNode`` for colour.
    """
    color = array.ndim > 2 and array.shape[-1] == 3 and array.dtype == np.uint8
    kind = "vtkMRMLVectorVolumeNode" if color else "vtkMRMLScalarVolumeNode"
    node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    _fill(node, array, color, affine)
    node.CreateDefaultDisplayNodes()
    return node


def add_segmentation(
    volume: Any,
    labels: np.ndarray,
    classes: Sequence[SegmentClass],
    statuses: Mapping[int, int] | None = None,
    name: str = "",
) -> Any:
    """Add a segmentation as the Segment Editor would have left it.

    Args:
        volume: its source volume.
        labels: ``(Y, X)`` or ``(Z, Y, X)``, uint8.
        classes: one segment each, also for those without voxels.
        statuses: segment status by class value; "completed" by default.
        name: of the node.

    Returns:
        ``vtkMRMLSegmentationNode``.
    """
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name or f"{volume.GetName()} drawn")
    node.CreateDefaultDisplayNodes()
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), volume.GetID())
    _draw(node, volume, labels, classes, statuses or {})
    return node


def add_cine(
    frames: Sequence[np.ndarray],
    name: str,
    affine: np.ndarray | None = None,
    index_values: Sequence[str] | None = None,
) -> tuple[Any, Any]:
    """Add an image sequence with its browser, index in seconds at 25 frames a second by default.

    Returns:
        (sequence node, browser node).
    """
    scene = slicer.mrmlScene
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    color = frames[0].ndim == 3 and frames[0].shape[-1] == 3
    item = slicer.vtkMRMLVectorVolumeNode() if color else slicer.vtkMRMLScalarVolumeNode()
    item.SetName(name)
    for number, frame in enumerate(frames):
        _fill(item, frame, color, affine)
        sequence.SetDataNodeAtValue(item, index_values[number] if index_values else f"{number * 0.04:.2f}")
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{name} browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    mrml.process_events()
    return sequence, browser


def add_drawn_sequence(source: Any, browser: Any, name: str, proxy: bool = True) -> Any:
    """Add an empty segmentation sequence beside a cine, synchronised as the Sequences module does it."""
    scene = slicer.mrmlScene
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName(source.GetIndexName())
    sequence.SetIndexUnit(source.GetIndexUnit())
    sequence.SetIndexType(source.GetIndexType())
    if proxy:
        shown = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        shown.CreateDefaultDisplayNodes()
        shown.SetNodeReferenceID(shown.GetReferenceImageGeometryReferenceRole(), browser.GetProxyNode(source).GetID())
        was_modifying = browser.StartModify()
        browser.AddSynchronizedSequenceNode(sequence)
        browser.AddProxyNode(shown, sequence, False)
        browser.EndModify(was_modifying)
    else:
        browser.AddSynchronizedSequenceNode(sequence)
    return sequence


def draw_frame(
    sequence: Any,
    source: Any,
    index_value: str,
    labels: np.ndarray,
    classes: Sequence[SegmentClass],
) -> None:
    """Store a hand-drawn segmentation at one frame, in progress: nobody has accepted it yet."""
    item = source.GetDataNodeAtValue(index_value)
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(sequence.GetName())
    _draw(node, item, labels, classes, {entry.value: Status.InProgress for entry in classes})
    sequence.SetDataNodeAtValue(node, index_value)
    mrml.process_events()


def strokes(mask: np.ndarray) -> np.ndarray:
    """Return strokes along the middle of a region: in each column the median voxel and its neighbours.

    Args:
        mask: bool ``(Y, X)``.

    Returns:
        bool ``(Y, X)``, inside the region.
    """
    drawn = np.zeros_like(mask)
    for column in np.flatnonzero(mask.any(axis=0)):
        rows = np.flatnonzero(mask[:, column])
        middle = rows[rows.size // 2]
        drawn[max(middle - 1, 0) : middle + 2, column] = True
    return drawn & mask


def kept_images() -> Callable[[], int]:
    """Return what counts how many of the images and frames that the scene holds now are still in memory then."""
    sequences = slicer.util.getNodesByClass("vtkMRMLSequenceNode")
    frames = [each.GetNthDataNode(i) for each in sequences for i in range(each.GetNumberOfDataNodes())]
    seen = []
    for node in (*slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"), *frames):
        seen.append(vtk.vtkWeakReference())
        seen[-1].Set(node)
    del sequences, frames, node

    def count() -> int:
        gc.collect()
        return sum(each.Get() is not None for each in seen)

    return count


def _drawn(
    volume: Any, labels: np.ndarray, classes: Sequence[SegmentClass], one_finished: bool, scribbled: bool
) -> Any:
    if scribbled:
        painted = np.zeros_like(labels)
        for entry in classes:
            painted[strokes(labels == entry.value)] = entry.value
        outside = SegmentClass(max(c.value for c in classes) + 1, "Background", (0.4, 0.4, 0.4))
        painted[strokes(labels == 0)] = outside.value
        shown = [*classes, outside]
        node = add_segmentation(volume, painted, shown, {c.value: Status.InProgress for c in shown})
        set_scribbles(node, True)
        return node
    if one_finished:
        first = classes[0].value
        rest = {entry.value: Status.NotStarted for entry in classes[1:]}
        return add_segmentation(
            volume, np.where(labels == first, labels, 0), classes, {first: Status.Completed, **rest}
        )
    return add_segmentation(volume, labels, classes)


def _draw(
    node: Any,
    volume: Any,
    labels: np.ndarray,
    classes: Sequence[SegmentClass],
    statuses: Mapping[int, int],
) -> None:
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    shaped = labels[None] if labels.ndim == 2 else labels
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(shaped.shape[2], shaped.shape[1], shaped.shape[0])
    directions = [[0.0] * 3 for _ in range(3)]
    volume.GetIJKToRASDirections(directions)
    image.SetSpacing(volume.GetSpacing())
    image.SetOrigin(volume.GetOrigin())
    image.SetDirections(directions)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(shaped, dtype=np.uint8).ravel(), deep=True))
    for entry in classes:
        segment = slicer.vtkSegment()
        segment.SetName(entry.name)
        segment.SetColor(*entry.color)
        segment.SetLabelValue(entry.value)
        if entry.terminology:
            segment.SetTerminology(entry.terminology)
        Status.SetSegmentStatus(segment, statuses.get(entry.value, Status.Completed))
        segment.AddRepresentation("Binary labelmap", image)
        node.GetSegmentation().AddSegment(segment, f"Segment_{entry.value}")


def _fill(node: Any, array: np.ndarray, color: bool, affine: np.ndarray | None) -> None:
    shaped = array[None] if array.ndim == (3 if color else 2) else array
    image = vtk.vtkImageData()
    image.SetDimensions(shaped.shape[2], shaped.shape[1], shaped.shape[0])
    flat = np.ascontiguousarray(shaped).reshape(-1, 3) if color else np.ascontiguousarray(shaped).ravel()
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
    node.SetAndObserveImageData(image)
    if affine is not None:
        matrix = vtk.vtkMatrix4x4()
        matrix.DeepCopy(affine.ravel())
        node.SetIJKToRASMatrix(matrix)
