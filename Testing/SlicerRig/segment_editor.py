"""The editor widget of the Segment Editor: which nodes it edits and shows, without its effects."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtWidgets

from .mrml_widgets import MRMLWidget, Observer, node_argument
from .objects import rig_class
from .widget_parts import stored


@rig_class("qMRMLSegmentEditorWidget")
class SegmentEditorWidget(MRMLWidget):
    """Keeps segmentation, source volume and current segment; there is nothing to draw with."""

    LOOKS: ClassVar = {
        "segmentationNodeSelectorVisible": True,
        "sourceVolumeNodeSelectorVisible": True,
        "switchToSegmentationsButtonVisible": True,
        "addRemoveSegmentButtonsVisible": True,
        "maskingSectionVisible": True,
    }
    segmentationNodeChanged = QtCore.Signal(object)
    sourceVolumeNodeChanged = QtCore.Signal(object)
    currentSegmentIDChanged = QtCore.Signal(str)
    SIGNALS = {
        **MRMLWidget.SIGNALS,
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)": "segmentationNodeChanged",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)": "sourceVolumeNodeChanged",
    }

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._segmentation: Any = None
        self._source: Any = None
        self._segment = ""
        self._parameters: Any = None
        self._observer = Observer(self)

    def setMRMLScene(self, scene: Any) -> None:
        super().setMRMLScene(scene)
        self._observer.clear()
        if scene is not None:
            self._observer.watch(scene, slicer.vtkMRMLScene.NodeRemovedEvent, node_argument(self._removed))

    def _removed(self, node: Any) -> None:
        if node is self._source:
            self.setSourceVolumeNode(None)
        if node is self._segmentation:
            self.setSegmentationNode(None)
        if node is self._parameters:
            self._parameters = None

    def mrmlSegmentEditorNode(self) -> Any:
        return self._parameters

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self._parameters = node

    def segmentationNode(self) -> Any:
        return self._segmentation

    def setSegmentationNode(self, node: Any) -> None:
        if node is self._segmentation or self._parameters is None:
            return
        self._segmentation = node
        content = node.GetSegmentation() if node is not None else None
        if node is not None:
            self.setSourceVolumeNode(node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()))
            for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
                view.SetLabelVolumeID(None)
        first = content.GetNthSegmentID(0) if content is not None and content.GetNumberOfSegments() else ""
        self.setCurrentSegmentID(first)
        self.segmentationNodeChanged.emit(node)

    def sourceVolumeNode(self) -> Any:
        return self._source

    def setSourceVolumeNode(self, node: Any) -> None:
        if node is self._source or self._segmentation is None:
            return
        self._source = node
        if node is not None:
            self._show_source()
        self.sourceVolumeNodeChanged.emit(node)

    def _show_source(self) -> None:
        """Let all slice views show the source volume alone, but for those that show it already."""
        for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if self._source.GetID() not in (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID()):
                view.SetBackgroundVolumeID(self._source.GetID())
                view.SetForegroundVolumeID(None)
                view.SetLabelVolumeID(None)

    def currentSegmentID(self) -> str:
        return self._segment

    def setCurrentSegmentID(self, name: str) -> None:
        if name != self._segment:
            self._segment = name
            self.currentSegmentIDChanged.emit(name)

    def activeEffect(self) -> Any:
        return None

    def setActiveEffectByName(self, name: str) -> None:
        """Choose none, which is all there is: an unknown name leaves none active without an error in Slicer, too."""

    undoEnabled = stored(bool, "undoEnabled", True)
    readOnly = stored(bool, "readOnly", False)
