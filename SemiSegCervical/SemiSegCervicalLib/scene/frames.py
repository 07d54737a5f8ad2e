"""Results that arrive frame by frame: for a cine as synchronised sequences, for a stack plane by plane."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk

from . import marks
from .cine import browser_of, copy_index, index_values
from .classes import SegmentClass
from .geometry import copy_geometry, copy_transform
from .overlay import image_data, new_uncertainty_display, percent
from .pieces import allocated
from .reading import grid
from .segmentation import LABELMAP, check_values, checked_shape, fill_segmentation, oriented_image, slice_image


@dataclass(frozen=True)
class FrameResult:
    """What a model says about one frame.

    Attributes:
        index_value: the frame's index value in the source; the slice number as text for a stack.
        labels: uint8 ``(Y, X)``, or ``(Z, Y, X)`` where frames are volumes.
        uncertainty: same shape, float 0 to 1 or uint8 percent; None where none was asked for.
    """

    index_value: str
    labels: np.ndarray
    uncertainty: np.ndarray | None = None


def keep_changes(browser: Any, segmentations: Any) -> None:
    """Have what is drawn into the segmentations of a cine stored, also on a frame that had none.

    Otherwise a correction would be lost with the next frame, and what is drawn on a frame that no model has seen at
    once. A frame that is only passed then gets an item without segments, which says nothing of it.
    """
    # In this order: a frame that is shown meanwhile would get a copy of another's.
    browser.SetMissingItemMode(segmentations, browser.MissingItemCreateFromDefault)
    browser.SetSaveChanges(segmentations, True)


class CineResult:
    """The result of a cine: a segmentation sequence and an uncertainty sequence beside the source.

        result = CineResult(source, classes)
        while result.prepare(50):      # a few at a time, so that the application stays responsive
            pass
        result.add_frames([...])       # as they are done, a few at a time

    A frame without uncertainty would show the one of the frame before it, whatever the browser's settings: so
    every frame first gets an item of zeros that is marked as not computed (`marks.COMPUTED` "0"). Segments
    need none, they vanish by themselves. The source sequence, its browser's selected item and the user's
    nodes stay as they are.
    """

    def __init__(
        self,
        source: Any,
        classes: Sequence[SegmentClass],
        name: str = "",
        uncertainty: bool = True,
        browser: Any = None,
    ) -> None:
        """Make the empty sequences; nothing is shown yet.

        Args:
            source: the image sequence (`cine.source_sequence`).
            classes: the class list.
            name: what the new nodes' names start with; by default the source's name.
            uncertainty: also make an uncertainty sequence.
            browser: that of the source which is to show them; by default the first.
        """
        self.source = source
        self.classes = tuple(classes)
        self._name = name or source.GetName()
        self.segmentations = self._new_sequence("segmentation", marks.SEGMENTATION)
        self.uncertainty: Any = self._new_sequence("uncertainty (%)", marks.UNCERTAINTY) if uncertainty else None
        self.browser: Any = None
        self._wished = browser
        self._segmentation = slicer.vtkMRMLSegmentationNode()
        self._segmentation.SetName(self.segmentations.GetName())
        self._volume = slicer.vtkMRMLScalarVolumeNode()
        self._empty: Any = None
        if self.uncertainty is not None:
            self._volume.SetName(self.uncertainty.GetName())

    def prepare(self, limit: int) -> int:
        """Give the next frames their empty uncertainty item, and show the sequences after the last one.

        Args:
            limit: how many frames at most.

        Returns:
            How many frames are left; 0 means that `add_frames` may begin.
        """
        if self.uncertainty is not None:
            first = self.uncertainty.GetNumberOfDataNodes()
            last = min(first + limit, self.source.GetNumberOfDataNodes())
            for number in range(first, last):
                item = self.source.GetNthDataNode(number)
                if self._empty is None or self._empty.GetDimensions() != item.GetImageData().GetDimensions():
                    self._empty = image_data(np.zeros(grid(item), dtype=np.uint8))
                self._put_uncertainty(self.source.GetNthIndexValue(number), item, self._empty, "0")
            left = self.source.GetNumberOfDataNodes() - last
            if left:
                return left
        if self.browser is None:
            self._show()
        return 0

    def add_frames(self, frames: Iterable[FrameResult]) -> None:
        """Put finished frames into the sequences, without disturbing a browser that plays.

        The current frame is redrawn when it is among them, and nothing else is.

        Args:
            frames: the finished frames, a few.

        Raises:
            RuntimeError: before `prepare` has come to its end.
            ValueError: an index value that the source lacks, or arrays of a wrong size, type or range.
        """
        if self.browser is None:
            raise RuntimeError("prepare() must have returned 0 first")
        done = set()
        sequences = [s for s in (self.segmentations, self.uncertainty) if s is not None]
        for sequence in sequences:
            sequence.SetDisableModifiedEvent(1)
        try:
            for frame in frames:
                self._put(frame)
                done.add(frame.index_value)
        finally:
            for sequence in sequences:
                sequence.SetDisableModifiedEvent(0)
        if done:
            self.browser.SetMissingItemMode(self.segmentations, self.browser.MissingItemSetToDefault)
            # Whoever corrects a frame while others are computed would lose it with the next step; no item comes of it.
            self.browser.SetSaveChanges(self.segmentations, True)
        master = self.browser.GetMasterSequenceNode()
        selected = self.browser.GetSelectedItemNumber()
        if 0 <= selected < master.GetNumberOfDataNodes() and master.GetNthIndexValue(selected) in done:
            slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(self.browser)

    def finish(self) -> None:
        """Tell the lists of items that the sequences have grown, once, after the last frame.

        What is drawn is kept from now on, also on frames without a result: whoever goes to the Segment Editor without
        being led there would lose it with the next frame.
        """
        if self.segmentations.GetScene() is not None and self.segmentations.GetNumberOfDataNodes():
            keep_changes(self.browser, self.segmentations)
        self.segmentations.Modified()
        if self.uncertainty is not None:
            self.uncertainty.Modified()

    def computed(self) -> list[str]:
        """Return the index values of the frames that have a result, in the source's order."""
        done = set(index_values(self.segmentations))
        return [value for value in index_values(self.source) if value in done]

    def _new_sequence(self, suffix: str, content: str) -> Any:
        scene = self.source.GetScene()
        node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName(f"{self._name} {suffix}"))
        copy_index(self.source, node)
        node.SetAttribute(marks.CONTENT, content)
        node.SetNodeReferenceID(marks.SOURCE_ROLE, self.source.GetID())
        return node

    def _put(self, frame: FrameResult) -> None:
        number = self.source.GetItemNumberFromIndexValue(frame.index_value, True)
        if number < 0:
            raise ValueError(f"the source has no frame {frame.index_value!r}")
        item = self.source.GetNthDataNode(number)
        image = oriented_image(item, checked_shape(frame.labels, grid(item)), self.classes)
        if self._segmentation.GetSegmentation().GetNumberOfSegments() == 0:
            fill_segmentation(self._segmentation, item, image, self.classes)
        else:
            self._segmentation.SetReferenceImageGeometryParameterFromVolumeNode(item)
            for _, segment in marks.segments_of(self._segmentation):
                segment.AddRepresentation(LABELMAP, image)
        self.segmentations.SetDataNodeAtValue(self._segmentation, frame.index_value)
        if self.uncertainty is not None and frame.uncertainty is not None:
            values = percent(frame.uncertainty)
            values = values[None] if values.ndim == 2 else values
            if values.shape != grid(item):
                raise ValueError(f"uncertainty must have the shape {grid(item)}, not {values.shape}")
            self._put_uncertainty(frame.index_value, item, image_data(values), "1")

    def _put_uncertainty(self, index_value: str, item: Any, image: Any, computed: str) -> None:
        copy_geometry(item, self._volume)
        self._volume.SetAttribute(marks.CONTENT, marks.UNCERTAINTY)
        self._volume.SetAttribute(marks.COMPUTED, computed)
        self._volume.SetAndObserveImageData(image)
        self.uncertainty.SetDataNodeAtValue(self._volume, index_value)

    def _show(self) -> None:
        """Synchronise the sequences with the source's browser, through proxies whose display is ours."""
        scene = self.source.GetScene()
        logic = slicer.modules.sequences.logic()
        browser = self._wished or browser_of(self.source)
        if browser is None:
            browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{self.source.GetName()} browser")
            browser.SetAndObserveMasterSequenceNodeID(self.source.GetID())
            logic.UpdateAllProxyNodes()
        shown = browser.GetProxyNode(self.source)

        outline = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", self.segmentations.GetName())
        outline.CreateDefaultDisplayNodes()
        # Otherwise every step to another frame makes hidden segments visible again.
        outline.GetDisplayNode().SetRemoveUnusedDisplayProperties(False)
        self._attach(browser, self.segmentations, outline)
        if shown is not None:
            outline.SetNodeReferenceID(outline.GetReferenceImageGeometryReferenceRole(), shown.GetID())
            copy_transform(shown, outline)
        if self.uncertainty is not None:
            overlay = new_uncertainty_display(scene, self.uncertainty.GetName())
            self._attach(browser, self.uncertainty, overlay)
            if shown is not None:
                copy_transform(shown, overlay)
        self.browser = browser
        logic.UpdateProxyNodesFromSequences(browser)

    def _attach(self, browser: Any, sequence: Any, proxy: Any) -> None:
        # In one step: between the two calls the browser would make a proxy of its own.
        was_modifying = browser.StartModify()
        browser.AddSynchronizedSequenceNode(sequence)
        browser.AddProxyNode(proxy, sequence, False)
        # The default item is made after the first one; while there is none, Slicer would complain on every step.
        empty = sequence.GetNumberOfDataNodes() == 0
        mode = browser.MissingItemIgnore if empty else browser.MissingItemSetToDefault
        browser.SetMissingItemMode(sequence, mode)
        browser.SetSaveChanges(sequence, False)
        browser.SetRecording(sequence, False)
        browser.SetOverwriteProxyName(sequence, False)
        browser.EndModify(was_modifying)


class StackResult:
    """The result of a volume whose slices are frames: two nodes, filled plane by plane.

    The counterpart of `CineResult` with the same two calls. A plane that no model has seen yet is empty and
    its uncertainty 0; `computed` tells which ones have been.
    """

    def __init__(self, source: Any, classes: Sequence[SegmentClass], name: str = "", uncertainty: bool = True) -> None:
        """Make both nodes, still without voxels.

        Args:
            source: the volume node, slices along its last axis (k).
            classes: the class list.
            name: what the new nodes' names start with; by default the source's name.
            uncertainty: also make an uncertainty volume.
        """
        scene = source.GetScene()
        name = name or source.GetName()
        depth, height, width = grid(source)
        self.source = source
        self.classes = tuple(classes)
        self.segmentation = scene.AddNewNodeByClass(
            "vtkMRMLSegmentationNode", scene.GenerateUniqueName(f"{name} segmentation")
        )
        self.segmentation.CreateDefaultDisplayNodes()
        copy_transform(source, self.segmentation)
        self.segmentation.SetNodeReferenceID(self.segmentation.GetReferenceImageGeometryReferenceRole(), source.GetID())
        self._labels_image = slicer.vtkOrientedImageData()
        self._labels_image.SetDimensions(width, height, depth)
        copy_geometry(source, self._labels_image)
        self._labels = allocated(self._labels_image)
        self._scalars = self._labels_image.GetPointData().GetScalars()
        self.uncertainty: Any = None
        if uncertainty:
            self.uncertainty = new_uncertainty_display(scene, f"{name} uncertainty (%)")
            copy_geometry(source, self.uncertainty)
            copy_transform(source, self.uncertainty)
            self.uncertainty.SetAttribute(marks.COMPUTED, "0")
            self._doubt_image = vtk.vtkImageData()
            self._doubt_image.SetDimensions(width, height, depth)
            self._doubt = allocated(self._doubt_image)
        self._prepared = 0
        self._computed: set[str] = set()

    def prepare(self, limit: int) -> int:
        """Empty the next planes, and show the nodes after the last one.

        Args:
            limit: how many planes at most.

        Returns:
            How many are left; 0 means that `add_frames` may begin.
        """
        depth = len(self._labels)
        if self._prepared == depth:
            return 0
        part = slice(self._prepared, min(self._prepared + limit, depth))
        self._labels[part] = 0
        if self.uncertainty is not None:
            self._doubt[part] = 0
        self._prepared = part.stop
        if self._prepared == depth:
            fill_segmentation(self.segmentation, self.source, self._labels_image, self.classes)
            if self.uncertainty is not None:
                self.uncertainty.SetAndObserveImageData(self._doubt_image)
        return depth - self._prepared

    def add_frames(self, frames: Iterable[FrameResult]) -> None:
        """Put finished planes into place.

        Args:
            frames: the finished frames, index values being slice numbers.

        Raises:
            RuntimeError: before `prepare` has come to its end.
            ValueError: a slice number that the volume lacks, or arrays of a wrong size, type or range.
        """
        depth, height, width = self._labels.shape
        if self._prepared < depth:
            raise RuntimeError("prepare() must have returned 0 first")
        for frame in frames:
            number = int(frame.index_value)
            if not 0 <= number < depth:
                raise ValueError(f"the source has no slice {number}")
            labels = checked_shape(frame.labels, (1, height, width))
            check_values(labels, self.classes)
            if self._is_untouched():
                self._labels[number] = labels[0]
            else:
                self._draw(number, labels[0])
            if self.uncertainty is not None and frame.uncertainty is not None:
                self._doubt[number] = percent(frame.uncertainty)
            self._computed.add(frame.index_value)
        self._labels_image.GetPointData().GetScalars().Modified()
        self._labels_image.Modified()
        self.segmentation.StorableModified()  # else Slicer would save no more planes after it was saved once
        if self.uncertainty is not None:
            if len(self._computed) == depth:
                self.uncertainty.SetAttribute(marks.COMPUTED, "1")
            self._doubt_image.GetPointData().GetScalars().Modified()
            self._doubt_image.Modified()

    def _is_untouched(self) -> bool:
        """Return whether the segments are still in the image that is filled here: who draws in one of them meanwhile
        has Slicer put its voxels, and perhaps all, elsewhere."""
        content = self.segmentation.GetSegmentation()
        segments = (content.GetSegment(f"Segment_{entry.value}") for entry in self.classes)
        return self._labels_image.GetPointData().GetScalars() is self._scalars and all(
            segment is not None and segment.GetRepresentation(LABELMAP) is self._labels_image for segment in segments
        )

    def _draw(self, number: int, labels: np.ndarray) -> None:
        """Add a plane to what somebody has drawn in meanwhile, beside what is there; a removed segment stays so."""
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        for entry in self.classes:
            name, mask = f"Segment_{entry.value}", labels == entry.value
            segment = self.segmentation.GetSegmentation().GetSegment(name)
            if segment is not None and mask.any():
                # The image has to hold the value that the segment has in its layer, which it may share with others.
                image = slice_image(self.source, mask * np.uint8(segment.GetLabelValue()), number)
                logic.SetBinaryLabelmapToSegment(image, self.segmentation, name, logic.MODE_MERGE_MAX)

    def finish(self) -> None:
        """Do nothing: see `CineResult.finish`."""

    def computed(self) -> list[str]:
        """Return the slice numbers that have a result, as text, in order."""
        return sorted(self._computed, key=int)
