"""Results as a job would have left them in the scene, without running one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import slicer
from SemiSegCervicalLib.figures import FrameFigures, SegmentFigures
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.frames import CineResult, FrameResult, StackResult
from SemiSegCervicalLib.scene.overlay import new_uncertainty_volume
from SemiSegCervicalLib.scene.record_figures import add_frames, finish_record, set_segments
from SemiSegCervicalLib.scene.records import Record, new_record
from SemiSegCervicalLib.scene.segmentation import new_segmentation

from . import mrml, scenes

CLASSES = (
    SegmentClass(1, "anterior lip", (0.9, 0.45, 0.2)),
    SegmentClass(2, "posterior lip", (0.2, 0.5, 0.9)),
)
RUN = {"device": "cpu", "backend": "openvino", "precision": "bf16", "seconds": 2.34, "notes": []}


def labels_of(shape: tuple[int, ...]) -> np.ndarray:
    """Two bars, classes 1 and 2, in every plane."""
    labels = np.zeros(shape, np.uint8)
    height, width = shape[-2:]
    labels[..., height // 5 : height // 2, width // 4 : -width // 4] = 1
    labels[..., 3 * height // 5 : 4 * height // 5, width // 4 : -width // 4] = 2
    return labels


def volume_record(
    shape: tuple[int, int, int] = (6, 30, 40),
    name: str = "CT",
    unit: str | None = "mm3",
    doubt: float | None = 0.6,
    source: Any = None,
) -> Record:
    """Add a volume with its result: segments of 1200.5 and 20 units, 12 and 31 % uncertain."""
    if source is None:
        source = scenes.add_volume(np.full(shape, 90, np.uint8), name, np.diag([-0.5, -0.5, 2.0, 1.0]))
        source.GetDisplayNode().SetAutoWindowLevel(False)
        source.GetDisplayNode().SetWindowLevelMinMax(0, 255)
    segmentation = new_segmentation(source, labels_of(shape), CLASSES)
    uncertainty = new_uncertainty_volume(source, np.full(shape, doubt)) if doubt is not None else None
    record = new_record(slicer.mrmlScene, name, source, segmentation, uncertainty, CLASSES, {"model": "cervix"})
    sizes = (1200.5, 20.0) if unit else (None, None)
    figures = [
        SegmentFigures(CLASSES[0].name, 1, 12345, sizes[0], unit, 0.12, 0.934),
        SegmentFigures(CLASSES[1].name, 2, 80, sizes[1], unit, 0.31, None),
    ]
    set_segments(record, figures, None if unit is None else "volume" if unit == "mm3" else "area")
    finish_record(record, RUN)
    return record


def frame_figures(
    number: int, doubt: float, unit: str | None = "mm2", atypicality: float | None = None
) -> FrameFigures:
    """Return the figures of a frame: areas that tell the frame, each segment twice as uncertain as the frame."""
    rows = []
    for c in CLASSES:
        size = 2.5 * number + c.value if unit else None
        rows.append(SegmentFigures(c.name, c.value, 10 * number + c.value, size, unit, 2 * doubt, 0.9 - doubt))
    return FrameFigures(number, doubt, 0.9 - doubt, tuple(rows), atypicality)


def cine_record(
    doubts: dict[int, float],
    count: int = 20,
    size: tuple[int, int] = (30, 40),
    unit: str | None = "mm2",
    unlike: Collection[int] | None = None,
    second_browser: bool = False,
    source: Any = None,
) -> tuple[Record, CineResult]:
    """Add a cine with its result, of which these frames are computed, each as uncertain as is said.

    The model tells frames unlike its training images from others only where `unlike` says which they are. With a
    second browser the result is in that one; with a source it is one more of that cine.
    """
    browser = None
    if source is None:
        frames = [np.full(size, 60 + 2 * i % 150, np.uint8) for i in range(count)]
        source, browser = scenes.add_cine(frames, "cine", np.diag([-0.5, -0.5, 1.0, 1.0]))
    if second_browser:
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "beside")
        browser.SetAndObserveMasterSequenceNodeID(source.GetID())
        mrml.process_events()
    result = CineResult(source, CLASSES, browser=browser)
    while result.prepare(10):
        pass
    told = {"model": "cervix", "asked": count}
    record = new_record(
        slicer.mrmlScene, "cine", source, result.segmentations, result.uncertainty, CLASSES, told, frames=True
    )
    more_frames(record, result, doubts, unit, unlike)
    finish_record(record, RUN, complete=len(doubts) == count)
    return record, result


def stack_record(doubts: Sequence[float]) -> Record:
    """Add a volume whose slices are frames, each with its result."""
    size = (30, 40)
    source = scenes.add_volume(np.full((len(doubts), *size), 90, np.uint8), "stack", np.diag([-0.5, -0.5, 2.0, 1.0]))
    result = StackResult(source, CLASSES)
    while result.prepare(10):
        pass
    told = {"model": "cervix", "asked": len(doubts)}
    record = new_record(
        slicer.mrmlScene, "stack", source, result.segmentation, result.uncertainty, CLASSES, told, frames=True
    )
    labels = labels_of(size)
    result.add_frames([FrameResult(str(i), labels, np.full(size, doubt)) for i, doubt in enumerate(doubts)])
    add_frames(record, [frame_figures(i, doubt) for i, doubt in enumerate(doubts)])
    finish_record(record, RUN)
    return record


def more_frames(
    record: Record,
    result: CineResult,
    doubts: dict[int, float],
    unit: str | None = "mm2",
    unlike: Collection[int] | None = None,
) -> None:
    """Let frames of a cine arrive."""
    source = record.source
    size = slicer.util.arrayFromVolume(source.GetNthDataNode(0)).shape[1:3]
    labels = labels_of(size)
    result.add_frames(
        [FrameResult(source.GetNthIndexValue(i), labels, np.full(size, doubt)) for i, doubt in doubts.items()]
    )
    atypicality = {i: None if unlike is None else 1.5 if i in unlike else 0.5 for i in doubts}
    add_frames(record, [frame_figures(i, doubt, unit, atypicality[i]) for i, doubt in doubts.items()])
