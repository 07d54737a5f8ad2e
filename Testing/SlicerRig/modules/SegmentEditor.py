"""The Segment Editor, as far as other modules hand over to it: ``slicer.modules.segmenteditor``."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget


class SegmentEditor(ScriptedLoadableModule):
    """Metadata."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "Segment Editor"


class SegmentEditorWidget(ScriptedLoadableModuleWidget):
    """The panel: nothing but the editor."""

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self._select_parameters()
        self.editor.setMRMLScene(slicer.mrmlScene)
        self.layout.addWidget(self.editor)
        slicer.mrmlScene.AddObserver(slicer.mrmlScene.StartCloseEvent, lambda *_: self.editor.setSegmentationNode(None))

    def enter(self) -> None:
        """Where nothing is edited, take the first segmentation there is, and the first image in the views."""
        self._select_parameters()
        if self.editor.segmentationNode() is not None:
            return
        scene = slicer.mrmlScene
        first = scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        self.editor.setSegmentationNode(first or scene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
        if self.editor.sourceVolumeNode() is None:
            views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
            shown = (scene.GetNodeByID(view.GetBackgroundVolumeID() or "") for view in views)
            self.editor.setSourceVolumeNode(next((node for node in shown if node is not None), None))

    def _select_parameters(self) -> None:
        scene, tag, kind = slicer.mrmlScene, "SegmentEditor", "vtkMRMLSegmentEditorNode"
        node = scene.GetSingletonNode(tag, kind)
        if node is None:
            node = getattr(slicer, kind)()
            node.SetSingletonTag(tag)
            node = scene.AddNode(node)
        self.editor.setMRMLSegmentEditorNode(node)
