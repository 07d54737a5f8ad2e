"""A scene as a person would have left it half-way: most images untouched, some outlined, some only partly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import slicer
from scipy import ndimage
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.marks import CALIBRATED
from SemiSegTrainerLib.scene.marks import BACKGROUND, accept_frame, set_scribbles
from SlicerRig import mrml, scenes

from . import plan
from .samples import Samples

Annotated = Literal["outlined", "one lip", "scribbles", "none"]
# A picture's rows run down and its columns to the patient's left, as Slicer loads pictures.
_PICTURE = np.diag([-1.0, -1.0, 1.0, 1.0])
_BRUSH = 3
_LOOP_DISTANCE = 26


@dataclass
class DemoScene:
    """The scene and what was put into it.

    Attributes:
        scene: ``vtkMRMLScene``.
        volumes: picture by sample name.
        painted: what a person drew, uint8 ``(Y, X)``, by sample name; strokes of certain background have the value
            after the last class.
        annotated: how each sample (frames included) is annotated.
        cine: the image sequence, None without one; `frames` are its samples in order.
    """

    scene: Any
    volumes: dict[str, Any] = field(default_factory=dict)
    painted: dict[str, np.ndarray] = field(default_factory=dict)
    annotated: dict[str, Annotated] = field(default_factory=dict)
    cine: Any = None
    frames: tuple[str, ...] = ()


def build_scene(samples: Samples) -> DemoScene:
    """Empty the scene and fill it with the samples, the held-out ones excepted.

    Args:
        samples: where images and references come from.

    Returns:
        The scene. Of the references only what a person is supposed to have drawn is in it.
    """
    made = DemoScene(mrml.clear())
    shown = sorted({*samples.labelled, *samples.unlabelled} - set(plan.CINE))
    for name in shown:
        made.volumes[name] = add_picture(samples.image(name), name)
        made.annotated[name] = "none"
    for name in plan.OUTLINED:
        made.painted[name] = samples.labels(name)
        made.annotated[name] = "outlined"
        scenes.add_segmentation(made.volumes[name], made.painted[name], samples.classes)
    for name in plan.HALF_OUTLINED:
        _outline_first(made, samples, name)
    for name in plan.SCRIBBLED:
        _scribble(made, samples, name)
    _add_cine(made, samples)
    return made


def add_picture(image: np.ndarray, name: str) -> Any:
    """Add an uncalibrated picture ``(Y, X)`` to the scene and return its volume node."""
    volume = scenes.add_volume(image, name, _PICTURE)
    volume.SetAttribute(CALIBRATED, "no")
    return volume


def strokes(labels: np.ndarray, classes: tuple[SegmentClass, ...]) -> np.ndarray:
    """Draw what a person in a hurry might: a line along each class, and a loose loop around all of them.

    Args:
        labels: the reference, uint8 ``(Y, X)``.
        classes: the class list.

    Returns:
        uint8 ``(Y, X)``: class values, the value after the last class for certain background, 0 elsewhere.
    """
    painted = np.zeros_like(labels)
    brush = ndimage.generate_binary_structure(2, 1)
    around = ndimage.distance_transform_edt(labels == 0)
    loop = np.abs(around - _LOOP_DISTANCE) <= _BRUSH
    painted[loop] = max(entry.value for entry in classes) + 1
    for entry in classes:
        mask = labels == entry.value
        columns = np.flatnonzero(mask.any(axis=0))
        # Nobody draws to the very edge: the middle three fifths of the segment's width.
        columns = columns[columns.size // 5 : columns.size - columns.size // 5]
        rows = np.array([np.median(np.flatnonzero(mask[:, column])) for column in columns])
        rows = np.rint(ndimage.uniform_filter1d(rows, 25, mode="nearest")).astype(int)
        line = np.zeros_like(mask)
        line[rows, columns] = True
        line = ndimage.binary_dilation(line, brush, iterations=_BRUSH)
        painted[line & mask] = entry.value
    return painted


def _outline_first(made: DemoScene, samples: Samples, name: str) -> None:
    """Finish the first class; the others are not yet begun."""
    first = samples.classes[0].value
    labels = samples.labels(name)
    made.painted[name] = np.where(labels == first, labels, 0).astype(np.uint8)
    made.annotated[name] = "one lip"
    not_begun = {entry.value: scenes.Status.NotStarted for entry in samples.classes[1:]}
    statuses = {first: scenes.Status.Completed, **not_begun}
    scenes.add_segmentation(made.volumes[name], made.painted[name], samples.classes, statuses)


def _scribble(made: DemoScene, samples: Samples, name: str) -> None:
    """Paint strokes of every class and of certain background."""
    made.painted[name] = strokes(samples.labels(name), samples.classes)
    made.annotated[name] = "scribbles"
    outside = SegmentClass(max(c.value for c in samples.classes) + 1, BACKGROUND, (0.45, 0.45, 0.45))
    shown = [*samples.classes, outside]
    node = scenes.add_segmentation(
        made.volumes[name], made.painted[name], shown, {entry.value: scenes.Status.InProgress for entry in shown}
    )
    set_scribbles(node, True)


def _add_cine(made: DemoScene, samples: Samples) -> None:
    """Add a sequence of which some frames are drawn and accepted."""
    made.frames = plan.CINE
    values = [str(number + 1) for number in range(len(plan.CINE))]
    images = [samples.image(name) for name in plan.CINE]
    made.cine, browser = scenes.add_cine(images, plan.CINE_NAME, _PICTURE, values)
    made.cine.SetIndexName("frame")
    made.cine.SetIndexUnit("")
    made.cine.SetAttribute(CALIBRATED, "no")
    drawn = scenes.add_drawn_sequence(made.cine, browser, f"{plan.CINE_NAME} drawn")
    for number, name in enumerate(plan.CINE):
        made.annotated[name] = "none"
        if number in plan.ACCEPTED_FRAMES:
            made.painted[name] = samples.labels(name)
            made.annotated[name] = "outlined"
            scenes.draw_frame(drawn, made.cine, values[number], made.painted[name], samples.classes)
            accept_frame(drawn, values[number])


def tidy(made: DemoScene, shown: str) -> None:
    """Sort the scene into folders and show one image, so that it opens as something a person can read.

    All pictures lie in the same place: without this all segmentations would be drawn over one another.

    Args:
        made: the scene.
        shown: sample whose image and result are visible.
    """
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(made.scene)
    titles = {
        "outlined": "Outlined by hand",
        "one lip": "One lip outlined by hand",
        "scribbles": "Scribbled by hand",
        "none": "Not segmented by hand",
        "held out": "Held out: added after training",
    }
    folders: dict[str, int] = {}
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    segmentations = made.scene.GetNodesByClass("vtkMRMLSegmentationNode")
    segmentations.UnRegister(None)
    belonging: dict[str, list[Any]] = {}
    for i in range(segmentations.GetNumberOfItems()):
        node = segmentations.GetItemAsObject(i)
        belonging.setdefault(node.GetNodeReferenceID(role) or "", []).append(node)
    for name, volume in made.volumes.items():
        kind = made.annotated.get(name, "held out")
        if kind not in folders:
            folders[kind] = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), titles[kind])
            hierarchy.SetItemExpanded(folders[kind], False)
        hierarchy.CreateItem(folders[kind], volume)
        for node in belonging.get(volume.GetID(), []):
            hierarchy.CreateItem(folders[kind], node)
            node.GetDisplayNode().SetVisibility(name == shown)
        doubt = made.scene.GetFirstNodeByName(f"{name} uncertainty (%)")
        if doubt is not None:
            hierarchy.CreateItem(folders[kind], doubt)
    view = slicer.vtkMRMLSliceCompositeNode()
    view.SetSingletonTag("Red")
    view.SetLayoutName("Red")
    view.SetBackgroundVolumeID(made.volumes[shown].GetID())
    made.scene.AddNode(view)
