"""Widgets of CTK and Slicer on the real scene, dialogs, and slicer.packaging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from SlicerRig import application


def volume(name: str = "V", kind: str = "vtkMRMLScalarVolumeNode") -> Any:
    return slicer.mrmlScene.AddNewNodeByClass(kind, name)


@pytest.fixture
def selector() -> Any:
    made = slicer.qMRMLNodeComboBox()
    made.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    return made


def test_47_a_selector_is_empty_until_it_has_a_scene(selector: Any) -> None:
    first = volume()
    assert selector.currentNode() is None
    assert selector.nodeCount() == 0
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.currentNode() is first
    assert selector.currentNodeID == first.GetID()


def test_47_child_types_can_be_left_out(selector: Any) -> None:
    volume("labels", "vtkMRMLLabelMapVolumeNode")
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.nodeCount() == 1
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 0


def test_a_selector_with_none_stays_on_none(selector: Any) -> None:
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    volume()
    assert (selector.currentNode(), selector.nodeCount()) == (None, 1)


def test_a_selector_by_attribute_and_hidden_ids(selector: Any) -> None:
    one, two = volume("one"), volume("two")
    one.SetAttribute("kind", "a")
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    selector.sortFilterProxyModel().hiddenNodeIDs = [one.GetID()]
    assert selector.nodeCount() == 1
    later = volume("later")
    assert selector.nodeCount() == 2
    selector.sortFilterProxyModel().hiddenNodeIDs = []
    selector.addAttribute("vtkMRMLScalarVolumeNode", "kind", "a")
    assert [selector.nodeFromIndex(i) for i in range(selector.nodeCount())] == [one]
    selector.removeAttribute("vtkMRMLScalarVolumeNode", "kind")
    assert selector.nodeCount() == 3
    selector.addAttribute("vtkMRMLScalarVolumeNode", "kind")
    two.SetAttribute("kind", "b")
    two.SetName("renamed")
    assert [selector.nodeFromIndex(i) for i in range(selector.nodeCount())] == [one, two]
    assert selector.findChild("QComboBox").itemText(2) == "renamed"
    selector.removeAttribute("vtkMRMLScalarVolumeNode", "kind")
    assert {two, later} < {selector.nodeFromIndex(i) for i in range(3)}


def test_a_removed_node_leaves_its_selector(selector: Any) -> None:
    seen: list[Any] = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    selector.setMRMLScene(slicer.mrmlScene)
    one = volume("one")
    slicer.mrmlScene.RemoveNode(one)
    assert seen == [one, None]


def test_a_neighbour_takes_the_place_of_a_removed_node(selector: Any) -> None:
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    one, two, three = (volume(name) for name in ("one", "two", "three"))
    seen: list[Any] = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    selector.setCurrentNode(two)
    slicer.mrmlScene.RemoveNode(two)
    assert seen == [two, three]
    selector.sortFilterProxyModel().hiddenNodeIDs = [three.GetID()]
    assert seen[2:] == [one]
    slicer.mrmlScene.RemoveNode(one)
    assert seen[3:] == [None]


def test_choosing_another_node_of_the_same_name_is_told_by_one_signal_only(selector: Any) -> None:
    one, two = volume("same"), volume("same")
    selector.setMRMLScene(slicer.mrmlScene)
    told: list[tuple[str, Any]] = []
    for name in ("currentNodeChanged", "nodeActivated"):
        selector.connect(f"{name}(vtkMRMLNode*)", lambda node, name=name: told.append((name, node)))
    application.choose(selector, two)
    assert told == [("nodeActivated", two)]
    assert selector.currentNode() is two
    two.SetName("other")
    application.choose(selector, one)
    assert told[-2:] == [("currentNodeChanged", one), ("nodeActivated", one)]


def test_a_node_that_a_program_chooses_counts_as_a_person_s_choice(selector: Any) -> None:
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    node, told = volume("one"), []
    selector.connect("nodeActivated(vtkMRMLNode*)", told.append)
    for chosen in (node, node, None):
        selector.setCurrentNode(chosen)
        assert selector.currentNode() is chosen
    assert told == [node]


def test_another_word_for_none_chooses_the_first_node_where_none_was_chosen(selector: Any) -> None:
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    one, two = volume("one"), volume("two")
    selector.noneDisplay = "Nothing"
    assert selector.currentNode() is one
    selector.setCurrentNode(two)
    selector.noneDisplay = "No volume"
    assert selector.currentNode() is two
    selector.setCurrentNode(None)
    assert selector.currentNode() is None


def test_an_imported_scene_leaves_a_selector_with_none(selector: Any, tmp_path: Path) -> None:
    other, path = slicer.vtkMRMLScene(), str(tmp_path / "other.mrml")
    other.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "added")
    other.SetURL(path)
    assert other.Commit(path)
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    one = volume("one")
    selector.setCurrentNode(one)
    seen: list[Any] = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    slicer.util.loadScene(path)
    assert (seen, selector.nodeCount()) == ([None], 2)


def test_slice_widgets_have_the_real_logics() -> None:
    manager = slicer.app.layoutManager()
    made = slicer.util.addVolumeFromArray(np.zeros((2, 3, 4)))
    slicer.util.setSliceViewerLayers(background=made, fit=True)
    composite = manager.sliceWidget("Red").sliceLogic().GetSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == made.GetID()
    assert manager.sliceWidget("Red").mrmlSliceNode().GetLayoutName() == "Red"
    assert manager.mrmlSliceLogics().GetNumberOfItems() == 3
    slicer.mrmlScene.Clear(0)
    assert manager.sliceWidget("Red").sliceLogic().GetSliceCompositeNode().GetScene() is slicer.mrmlScene


def test_handing_over_to_the_segment_editor() -> None:
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    source = volume()
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(source)
    assert slicer.util.selectedModule() == "SegmentEditor"
    assert (editor.segmentationNode(), editor.sourceVolumeNode()) == (segmentation, source)
    assert editor.mrmlSegmentEditorNode() is not None
    slicer.mrmlScene.RemoveNode(segmentation)
    assert editor.segmentationNode() is None
    editor.setActiveEffectByName("Nope")
    assert editor.activeEffect() is None
    slicer.util.selectModule("Welcome")


def test_layout_changes_are_told() -> None:
    manager, seen = slicer.app.layoutManager(), []
    old = manager.layout
    manager.connect("layoutChanged(int)", seen.append)
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)
    assert (old, manager.layout, seen) == (3, 2, [2])
    manager.layout = old
    manager.disconnect("layoutChanged(int)", seen.append)


def test_every_plot_view_node_without_an_owner_counts_as_a_view_of_the_layout() -> None:
    manager = slicer.app.layoutManager()
    before = manager.plotViewCount
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotViewNode")
    assert manager.plotViewCount == before + 1
    widgets = [manager.plotWidget(number) for number in range(manager.plotViewCount)]
    assert node in [widget.mrmlPlotViewNode() for widget in widgets]
    assert manager.plotWidget(before + 1) is None
    slicer.mrmlScene.RemoveNode(node)
    assert manager.plotViewCount == before


def test_a_plot_view_node_with_an_owner_becomes_a_view_of_the_layout_after_a_batch() -> None:
    manager, scene = slicer.app.layoutManager(), slicer.mrmlScene
    before = manager.plotViewCount
    node = slicer.vtkMRMLPlotViewNode()
    node.SetAndObserveParentLayoutNodeID(scene.AddNewNodeByClass("vtkMRMLPlotChartNode").GetID())
    scene.AddNode(node)
    assert manager.plotViewCount == before
    scene.StartState(scene.BatchProcessState)
    scene.EndState(scene.BatchProcessState)
    assert manager.plotViewCount == before + 1
    scene.RemoveNode(node)
    assert manager.plotViewCount == before


def test_collapsible_button() -> None:
    import ctk
    import qt

    made, seen = ctk.ctkCollapsibleButton(), []
    qt.QVBoxLayout(made).addWidget(qt.QLabel("inside"))
    made.connect("contentsCollapsed(bool)", seen.append)
    made.collapsed = True
    assert made.findChild(qt.QLabel).isVisibleTo(made) is False
    made.collapsed = False
    assert (seen, made.findChild(qt.QLabel).isVisibleTo(made)) == ([True, False], True)


def test_a_closed_section_shows_nothing_and_remembers_what_was_wished() -> None:
    import ctk
    import qt

    made = ctk.ctkCollapsibleButton()
    layout, first, second = qt.QVBoxLayout(made), qt.QLabel("first"), qt.QLabel("second")
    layout.addWidget(first)
    layout.addWidget(second)
    second.visible = False
    made.show()
    made.collapsed = True
    first.visible, second.visible = False, True
    assert not first.isVisibleTo(made)
    assert not second.isVisibleTo(made)
    made.collapsed = False
    assert not first.isVisibleTo(made)
    assert second.isVisibleTo(made)
    made.hide()


def test_slider_widget() -> None:
    import ctk

    made, seen = ctk.ctkSliderWidget(), []
    made.minimum, made.maximum, made.singleStep, made.decimals = 0, 1, 0.01, 2
    made.connect("valueChanged(double)", seen.append)
    made.value = 0.25
    made.value = 7
    assert (made.value, seen) == (1.0, [0.25, 1.0])


def test_a_disabled_button_ignores_click() -> None:
    import qt

    button, calls = qt.QPushButton(), []
    button.clicked.connect(calls.append)
    button.enabled = False
    button.click()
    button.toolTip = "why"
    assert (calls, button.toolTip) == ([], "<p>why</p>")


def test_34_dialogs_do_not_block() -> None:
    import qt

    assert slicer.util.confirmYesNoDisplay("?") is False
    assert slicer.util.confirmOkCancelDisplay("?") is False
    for show in (slicer.util.errorDisplay, slicer.util.infoDisplay, slicer.util.warningDisplay):
        assert show("text") is None
    assert slicer.util.messageBox("text") == 1024
    with pytest.raises(RuntimeError, match="waits for a person"):
        qt.QFileDialog.getOpenFileName(None, "title", "/", "*")
    with pytest.raises(ValueError, match="matching overload"):
        qt.QFileDialog.getOpenFileName(None, "title", "/", "*", "", 0, 0)
    application.answer_dialogs("/chosen")
    assert qt.QFileDialog.getOpenFileName(None, "title", "/", "*") == "/chosen"


def test_thumbnails() -> None:
    import qt

    rgb = np.full((4, 8, 3), (10, 200, 30), np.uint8)
    picture = qt.QPixmap()
    assert picture.loadFromData(qt.QByteArray(b"P6\n8 4\n255\n" + rgb.tobytes()))
    assert (picture.width(), picture.height(), picture.toImage().pixelColor(3, 2).green()) == (8, 4, 200)
    with pytest.raises(ValueError, match="overload"):
        qt.QImage(rgb.tobytes(), 8, 4, 24, qt.QImage.Format_RGB888)


def test_packaging() -> None:
    import slicer.packaging

    assert slicer.packaging.pip_check("numpy>=1.20")
    assert not slicer.packaging.pip_check(["numpy", "no-such-package-anywhere"])
    assert not slicer.packaging.pip_check("numpy>=999")
    with pytest.raises(RuntimeError, match="nothing is installed in tests"):
        slicer.packaging.pip_install("x")
    asked: list[Any] = []
    application.on_pip_install(lambda requirements, **keywords: asked.append((requirements, keywords["blocking"])))
    slicer.util.pip_install(["x", "y"], blocking=False)
    application.on_pip_install(None)
    assert asked == [(["x", "y"], False)]


def test_aboutToQuit_is_sent() -> None:
    calls: list[int] = []
    quits = lambda: calls.append(1)  # noqa: E731
    slicer.app.connect("aboutToQuit()", quits)
    application.quit_application()
    slicer.app.disconnect("aboutToQuit()", quits)
    assert calls == [1]
