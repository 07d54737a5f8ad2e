"""The section Result: each state by each control, and what its buttons do."""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from SemiSegCervicalLib.pieces import whole
from SemiSegCervicalLib.scene.cine import index_values, item_at
from SemiSegCervicalLib.scene.export import label_sequence_file_in_pieces
from SemiSegCervicalLib.scene.layers import views_of
from SemiSegCervicalLib.scene.marks import COMPUTED, segments_of
from SemiSegCervicalLib.scene.record_figures import frame_segments, frames_of
from SemiSegCervicalLib.scene.record_figures import segments_of as figures_of
from SemiSegCervicalLib.scene.records import Record, find_records
from SemiSegCervicalLib.scene.removing import remove_record
from SlicerRig import application, mrml, scenes
from SlicerRig.records import CLASSES, cine_record, more_frames, stack_record, volume_record


def show_in_views(volume: Any) -> None:
    for name in slicer.app.layoutManager().sliceViewNames():
        logic = slicer.app.layoutManager().sliceWidget(name).sliceLogic()
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        logic.FitSliceToAll()


def headers(table: Any) -> list[str]:
    return [table.horizontalHeaderItem(i).text().replace("\n", " ") for i in range(table.columnCount)]


def rows(table: Any) -> list[list[str]]:
    return [[table.item(r, c).text() for c in range(table.columnCount)] for r in range(table.rowCount)]


def browse(record: Record, number: int) -> None:
    record.browser.SetSelectedItemNumber(number)
    application.settle()


UNKNOWN = "\N{EN DASH}"
ALL = dict.fromkeys(range(20), 0.1)


def nothing() -> None:
    return None


def volume() -> Record:
    return volume_record()


def uncalibrated() -> Record:
    return volume_record(unit=None)


def picture() -> Record:
    return volume_record((1, 30, 40), unit="mm2")


def without_uncertainty() -> Record:
    return volume_record(doubt=None)


def without(record: Record, part: str) -> Record:
    """Delete a node of a result."""
    slicer.mrmlScene.RemoveNode(getattr(record, part))
    return record


def segmentation_deleted() -> Record:
    return without(volume_record(), "segmentation")


def uncertainty_deleted() -> Record:
    return without(volume_record(), "uncertainty")


def source_deleted() -> Record:
    return without(volume_record(), "source")


def picture_deleted() -> Record:
    return without(picture(), "source")


def picture_and_uncertainty_deleted() -> Record:
    return without(picture_deleted(), "uncertainty")


def whole_cine() -> Record:
    return cine_record(ALL)[0]


def half_a_cine() -> Record:
    return cine_record({1: 0.1, 2: 0.3, 3: 0.2})[0]


def empty_cine() -> Record:
    return cine_record({})[0]


def uncalibrated_cine() -> Record:
    return cine_record(ALL, unit=None)[0]


VOLUME = ["Segment", "Volume (mm³)", "Voxels", "Uncertainty", "Predicted Dice"]
AREA = ["Segment", "Area (mm²)", "Pixels", "Uncertainty", "Predicted Dice"]
PIXELS = ["Segment", "Pixels", "Uncertainty", "Predicted Dice"]
VOXELS = ["Segment", "Voxels", "Uncertainty", "Predicted Dice"]
NO_FRAME = "No frame is computed yet."
FIRST = "Frame 1 of 20: mean uncertainty 10 % over the picture."
DELETED, NO_DOUBT = "The segmentation was deleted.", "without uncertainty, or it was deleted"
# state: headers, 3D, correct, overlay, export of segmentation, uncertainty and table, frames: label, worst, before,
# after. For a button: None where it is not there, True where it can be clicked, else what its tool tip says.
STATES: dict[Callable[[], Record | None], list[Any]] = {
    volume: [VOLUME, True, True, True, True, True, True, None, None, None, None],
    uncalibrated: [VOXELS, True, True, True, True, True, True, None, None, None, None],
    picture: [AREA, None, True, True, True, True, True, None, None, None, None],
    without_uncertainty: [VOLUME, True, True, NO_DOUBT, True, NO_DOUBT, True, None, None, None, None],
    segmentation_deleted: [VOLUME, DELETED, DELETED, True, DELETED, True, True, None, None, None, None],
    uncertainty_deleted: [VOLUME, True, True, NO_DOUBT, True, NO_DOUBT, True, None, None, None, None],
    source_deleted: [VOLUME, True, True, True, "The image was deleted", True, True, None, None, None, None],
    picture_deleted: [AREA, None, True, True, "The image was deleted", True, True, None, None, None, None],
    picture_and_uncertainty_deleted: [AREA, None, True, NO_DOUBT, "The image was deleted", NO_DOUBT, True, None, None,
                                      None, None],
    whole_cine: [AREA, None, True, True, True, True, True, FIRST, True,
                 "There is no further one.", True],
    half_a_cine: [AREA, None, True, True, True, True, True, "Frame 1 of 20: not computed.", True,
                  "There is no further one.", True],
    empty_cine: [PIXELS, None, True, True, NO_FRAME, NO_FRAME, NO_FRAME, "Frame 1 of 20: not computed.",
                 NO_FRAME, NO_FRAME, NO_FRAME],
    uncalibrated_cine: [PIXELS, None, True, True, True, True, True, FIRST, True,
                        "There is no further one.", True],
}  # fmt: skip


def says(button: Any) -> Any:
    """None where a button is not there, True where it can be clicked, else why it cannot."""
    if not button.isVisibleTo(button.window()):
        return None
    return True if button.enabled else button.toolTip


def test_names_of_segments_are_read_where_the_panel_is_as_narrow_as_it_can_be(panel, ui):
    volume()
    application.settle()
    parent, table = panel.widget.parent(), ui.segmentsTable
    parent.resize(application.least_width(parent), 900)
    application.settle()
    assert headers(table) == VOLUME
    assert table.columnWidth(0) > 24 + table.fontMetrics().horizontalAdvance("anterior")


def test_a_cine_widens_the_panel_no_more_than_an_image(panel, ui):
    picture()
    application.settle()
    wide = application.least_width(panel.widget.parent())
    whole_cine()
    application.settle()
    assert ui.worstFrameButton.isVisible()
    assert application.least_width(panel.widget.parent()) == wide


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_every_control_in_every_state(panel, ui, state, tmp_path):
    state()
    ui.exportButton.collapsed = False
    application.settle()
    application.screenshot(panel.widget, tmp_path / f"{state.__name__}.png")
    titles, surfaces, correct, overlay, *export, label, worst, before, after = STATES[state]
    assert headers(ui.segmentsTable) == titles
    assert [row[0] for row in rows(ui.segmentsTable)] == [c.name for c in CLASSES]
    framed = label is not None
    assert ui.framesHost.isVisibleTo(panel.widget) is framed
    assert ui.curveHost.isVisibleTo(panel.widget) is framed
    if framed:
        assert ui.frameLabel.text == label
    buttons = {
        ui.show3DButton: surfaces,
        ui.correctButton: correct,
        ui.overlayButton: overlay,
        ui.segmentationExportButton: export[0],
        ui.uncertaintyExportButton: export[1],
        ui.tableExportButton: export[2],
        ui.worstFrameButton: worst,
        ui.previousFrameButton: before,
        ui.nextFrameButton: after,
    }
    for button, expected in buttons.items():
        found = says(button)
        if isinstance(expected, str):
            assert isinstance(found, str), button.name
            assert expected in found, button.name
        else:
            assert found is expected, button.name
    for slider in (ui.opacitySlider, ui.thresholdSlider):
        assert slider.suffix == " %"
        assert not slider.enabled  # nothing is shown yet
    assert not ui.resultChoiceHost.isVisibleTo(panel.widget)


def test_without_a_result_there_is_no_section(panel, ui):
    application.settle()
    assert not ui.resultButton.isVisibleTo(panel.widget)
    assert not ui.exportButton.isVisibleTo(panel.widget)
    record = volume_record()
    application.settle()
    assert ui.resultButton.isVisibleTo(panel.widget)
    remove_record(record)
    application.settle()
    assert not ui.resultButton.isVisibleTo(panel.widget)


@pytest.mark.parametrize("state", [volume, half_a_cine], ids=lambda state: state.__name__)
def test_while_a_job_runs_nothing_can_be_corrected_or_saved(panel, ui, state):
    record = state()
    ui.exportButton.collapsed = False
    application.settle()
    running = replace(panel.state(), job=types.SimpleNamespace(ended=False, record=record), record=record)
    for section in (panel.results, panel.overlay, panel.curve, panel.export):
        section.refresh(running)
    for button in (ui.correctButton, ui.segmentationExportButton, ui.uncertaintyExportButton, ui.tableExportButton):
        assert "Wait until the job has ended" in says(button)
    assert ui.overlayButton.enabled
    if state is half_a_cine:
        assert ui.frameLabel.text == "Frame 1 of 20: not computed yet."
        assert ui.worstFrameButton.enabled


def test_the_figures_of_a_volume(panel, ui):
    volume_record()
    application.settle()
    assert rows(ui.segmentsTable) == [
        ["anterior lip", "1\u202f200.5", "12\u202f345", "12 %", "0.93"],
        ["posterior lip", "20.0", "80", "31 %", UNKNOWN],
    ]
    assert ui.resultInfoLabel.text == 'Model "cervix" on the processor in 2.3 s.'


def test_the_figures_follow_the_frame_that_is_looked_at(panel, ui):
    record, result = cine_record({1: 0.1, 2: 0.3})
    application.settle()
    assert ui.resultInfoLabel.text == 'Model "cervix" on the processor in 2.3 s. 2 of 20 frames are computed.'
    browse(record, 2)
    assert rows(ui.segmentsTable) == [
        ["anterior lip", "6.0", "21", "60 %", "0.60"],
        ["posterior lip", "7.0", "22", "60 %", "0.60"],
    ]
    browse(record, 1)
    assert [row[2] for row in rows(ui.segmentsTable)] == ["11", "12"]
    browse(record, 7)
    assert headers(ui.segmentsTable) == AREA  # what is known of the others does not jump away
    assert rows(ui.segmentsTable) == [["anterior lip", *[UNKNOWN] * 4], ["posterior lip", *[UNKNOWN] * 4]]
    assert ui.frameLabel.text == "Frame 8 of 20: not computed."
    more_frames(record, result, {7: 0.25})
    application.settle()
    assert ui.frameLabel.text == "Frame 8 of 20: mean uncertainty 25 % over the picture."
    assert record.shown_uncertainty.GetAttribute(COMPUTED) == "1"


def test_the_buttons_go_through_the_most_uncertain_frames_of_a_cine(panel, ui):
    doubts = {i: 0.05 + 0.001 * i for i in range(40)} | {7: 0.9, 20: 0.5, 21: 0.6, 33: 0.7}
    record, _ = cine_record(doubts, 40)
    application.settle()
    selected = record.browser.GetSelectedItemNumber
    application.click(ui.worstFrameButton)
    assert selected() == 7
    application.settle()
    visited = []
    for _ in range(5):
        application.click(ui.nextFrameButton)
        application.settle()
        visited.append(selected())
    assert visited == [20, 21, 33, 33, 33]
    assert not ui.nextFrameButton.enabled
    application.click(ui.previousFrameButton)
    application.settle()
    assert selected() == 21
    assert ui.frameLabel.text == "Frame 22 of 40: mean uncertainty 60 % over the picture."


def test_a_result_is_shown_and_browsed_where_it_was_made(panel, ui):
    record, _ = cine_record(ALL | {7: 0.9}, second_browser=True)
    first, second = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    assert record.browser is second
    assert record.shown_source is second.GetProxyNode(record.source)
    first.SetSelectedItemNumber(3)
    second.SetSelectedItemNumber(5)
    application.settle()
    assert ui.frameLabel.text.startswith("Frame 6 of 20")
    application.click(ui.worstFrameButton)
    application.settle()
    assert ui.frameLabel.text == "Frame 8 of 20: mean uncertainty 90 % over the picture."
    assert [browser.GetSelectedItemNumber() for browser in (first, second)] == [3, 7]
    show_in_views(record.shown_source)
    application.click(ui.overlayButton)
    assert len(views_of(record)) == 3
    slicer.mrmlScene.RemoveNode(record.segmentation)
    assert record.browser is second, "the uncertainty is in it too"


def test_the_buttons_move_the_slices_of_a_stack(panel, ui):
    record = stack_record([0.1, 0.2, 0.8, 0.1, 0.3, 0.1])
    show_in_views(record.source)
    application.settle()
    application.click(ui.worstFrameButton)
    application.settle()
    assert ui.frameLabel.text == "Frame 3 of 6: mean uncertainty 80 % over the picture."
    assert [row[2] for row in rows(ui.segmentsTable)] == ["21", "22"]
    red = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()
    assert red.GetSliceOffset() == pytest.approx(4.0)  # slices are 2 mm apart
    red.SetSliceOffset(8.0)
    application.settle()
    assert ui.frameLabel.text == "Frame 5 of 6: mean uncertainty 30 % over the picture."


def test_a_view_of_another_layout_does_not_say_which_slice_is_shown(panel, ui):
    record = stack_record([0.1, 0.2, 0.8, 0.1, 0.3, 0.1])
    show_in_views(record.source)
    manager = slicer.app.layoutManager()
    red, green = (manager.sliceWidget(name).sliceLogic() for name in ("Red", "Green"))
    green.GetSliceNode().SetOrientation("Axial")
    red.SetSliceOffset(4.0)
    green.SetSliceOffset(8.0)
    application.settle()
    assert ui.frameLabel.text.startswith("Frame 3 of 6")
    before = manager.layout
    try:
        manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpGreenSliceView)
        application.settle()
        assert ui.frameLabel.text.startswith("Frame 5 of 6")
    finally:
        manager.setLayout(before)
        green.GetSliceNode().SetOrientation("Coronal")


def test_slices_are_found_where_a_transform_puts_them(panel, ui):
    record = stack_record([0.1, 0.2, 0.8, 0.1, 0.3, 0.1])
    turned = vtk.vtkTransform()
    turned.RotateX(90)
    turned.Translate(3, 4, 5)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turned")
    transform.SetMatrixTransformToParent(turned.GetMatrix())
    record.source.SetAndObserveTransformNodeID(transform.GetID())
    show_in_views(record.source)
    application.settle()
    red, green = (slicer.app.layoutManager().sliceWidget(name).sliceLogic() for name in ("Red", "Green"))
    before = red.GetSliceOffset()
    application.click(ui.worstFrameButton)
    application.settle()
    assert ui.frameLabel.text == "Frame 3 of 6: mean uncertainty 80 % over the picture."
    # The slices along z lie along y now, 2 mm apart from -5 on, as the coronal view sees them.
    assert green.GetSliceOffset() == pytest.approx(-9.0)
    assert red.GetSliceOffset() == before
    green.SetSliceOffset(-13.0)
    application.settle()
    assert ui.frameLabel.text == "Frame 5 of 6: mean uncertainty 30 % over the picture."


def place(volume: Any, affine: np.ndarray) -> None:
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(affine.ravel())
    volume.SetIJKToRASMatrix(matrix)


def array_of(matrix: Any) -> np.ndarray:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


SHEARED = np.array([[-0.48, 0.1, 0.35, 12.0], [0.12, -0.24, 1.9, -30.0], [0.05, 0.06, -2.2, 44.5], [0, 0, 0, 1.0]])


def turned(x: float, y: float = 0.0) -> np.ndarray:
    transform = vtk.vtkTransform()
    transform.RotateX(x)
    transform.RotateY(y)
    transform.Scale(-0.5, -0.5, 2.0)
    return array_of(transform.GetMatrix())


@pytest.mark.parametrize("affine", [turned(3), turned(40, 20), SHEARED], ids=["little", "much", "sheared"])
def test_a_view_is_rotated_to_the_slices_of_an_oblique_stack(panel, ui, affine):
    record = stack_record([0.1, 0.2, 0.8, 0.1, 0.3, 0.1])
    place(record.source, affine)
    show_in_views(record.source)
    application.settle()
    remedy = 'Press "Rotate to volume plane" in the bar of a view'
    assert ui.frameLabel.text == f"No view lies in the plane of the slices. {remedy}."
    views = {name: slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode() for name in ("Red", "Green", "Yellow")}
    before = {name: array_of(view.GetSliceToRAS()) for name, view in views.items()}
    application.click(ui.worstFrameButton)
    application.settle()
    assert ui.frameLabel.text == "Frame 3 of 6: mean uncertainty 80 % over the picture."
    assert [row[2] for row in rows(ui.segmentsTable)] == ["21", "22"]
    moved = [name for name, view in views.items() if (array_of(view.GetSliceToRAS()) != before[name]).any()]
    assert moved == ["Red"]  # the nearest, and no other
    rotated = array_of(views["Red"].GetSliceToRAS())
    np.testing.assert_allclose(rotated[:3, :3].T @ rotated[:3, :3], np.eye(3), atol=1e-6)
    views["Red"].SetOrientation("Axial")


def test_a_view_is_rotated_to_slices_that_are_not_the_nearest_plane_of_the_volume(panel, ui):
    record = stack_record([0.1, 0.2, 0.8, 0.1, 0.3, 0.1])
    place(record.source, turned(60))
    red = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()
    red.GetSliceCompositeNode().SetBackgroundVolumeID(record.source.GetID())  # one view alone, 60 degrees away
    application.settle()
    application.click(ui.worstFrameButton)
    application.settle()
    assert ui.frameLabel.text == "Frame 3 of 6: mean uncertainty 80 % over the picture."
    red.GetSliceNode().SetOrientation("Axial")


def test_surfaces_are_made_only_when_they_are_asked_for(panel, ui):
    record = volume_record()
    application.settle()
    content = record.segmentation.GetSegmentation()
    assert not content.ContainsRepresentation("Closed surface")
    application.click(ui.show3DButton)
    assert content.ContainsRepresentation("Closed surface")
    assert record.segmentation.GetDisplayNode().GetVisibility3D()
    application.settle()
    assert ui.show3DButton.checked
    application.click(ui.show3DButton)
    application.settle()
    assert not content.ContainsRepresentation("Closed surface")
    assert not ui.show3DButton.checked


def test_surfaces_that_are_all_there_is_are_only_hidden(panel, ui):
    record = volume_record()
    application.settle()
    application.click(ui.show3DButton)
    content = record.segmentation.GetSegmentation()
    content.SetSourceRepresentationName("Closed surface")
    content.RemoveRepresentation("Binary labelmap")
    application.settle()
    application.click(ui.show3DButton)
    application.settle()
    assert content.ContainsRepresentation("Closed surface")
    assert not record.segmentation.GetDisplayNode().GetVisibility3D()
    assert not ui.show3DButton.checked
    application.click(ui.show3DButton)
    assert record.segmentation.GetDisplayNode().GetVisibility3D()


@pytest.fixture
def editor(monkeypatch) -> Any:
    """Where the Segment Editor would be, which needs the application: it remembers what it was given."""
    given = types.SimpleNamespace(module=None, segmentation=None, source=None)
    stand_in = types.SimpleNamespace(
        setSegmentationNode=lambda node: setattr(given, "segmentation", node),
        setSourceVolumeNode=lambda node: setattr(given, "source", node),
    )
    module = types.SimpleNamespace(
        widgetRepresentation=lambda: types.SimpleNamespace(self=lambda: types.SimpleNamespace(editor=stand_in))
    )
    monkeypatch.setattr(slicer.modules, "segmenteditor", module, raising=False)
    monkeypatch.setattr(slicer.util, "selectModule", lambda name: setattr(given, "module", name))
    return given


def test_correcting_opens_the_segment_editor_with_image_and_result(panel, ui, editor):
    record = volume_record()
    application.settle()
    application.click(ui.correctButton)
    assert (editor.module, editor.segmentation, editor.source) == ("SegmentEditor", record.segmentation, record.source)


def test_the_uncertainty_stays_in_the_views_while_it_is_corrected(panel, ui):
    other = scenes.add_volume(np.zeros((4, 5, 6), np.int16), "of another patient")
    scenes.add_segmentation(other, np.ones((4, 5, 6), np.uint8), CLASSES)
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(None)  # as where it was never opened
    record = volume_record()
    slicer.util.setSliceViewerLayers(background=record.source)
    panel.results._on_choose(record)
    application.settle()
    ui.overlayButton.checked = True
    application.settle()
    application.click(ui.correctButton)
    assert slicer.util.selectedModule() == "SegmentEditor"
    assert (editor.segmentationNode(), editor.sourceVolumeNode()) == (record.segmentation, record.source)
    for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        assert view.GetBackgroundVolumeID() == record.source.GetID()
        assert view.GetForegroundVolumeID() == record.uncertainty.GetID()


def test_a_corrected_frame_of_a_cine_is_not_lost(panel, ui, editor):
    record, _ = cine_record({1: 0.1, 2: 0.3})
    application.settle()
    browse(record, 1)
    application.click(ui.correctButton)
    assert editor.segmentation is record.shown_segmentation
    assert editor.source is record.shown_source
    image = editor.segmentation.GetSegmentation().GetSegment("Segment_1").GetRepresentation("Binary labelmap")
    image.GetPointData().GetScalars().Fill(1)
    editor.segmentation.GetSegmentation().Modified()
    editor.segmentation.Modified()
    for number in (2, 5, 1):
        browse(record, number)
    item = record.segmentation.GetDataNodeAtValue("0.04")
    image = item.GetSegmentation().GetSegment("Segment_1").GetRepresentation("Binary labelmap")
    assert image.GetScalarRange() == (1.0, 1.0)
    made_up = [v for v in index_values(record.segmentation) if v not in ("0.04", "0.08")]
    assert not any(item_at(record.segmentation, v).GetSegmentation().GetNumberOfSegments() for v in made_up)
    assert len(frames_of(record)) == 2, "passing a frame does not compute it"


def test_what_is_drawn_on_a_frame_without_result_stays(panel, ui, editor, tmp_path):
    record, _ = cine_record({1: 0.1, 2: 0.3})
    application.settle()
    application.click(ui.correctButton)
    browse(record, 4)
    editor.segmentation.GetSegmentation().AddEmptySegment("drawn", "drawn")
    for number in (5, 2, 4):
        browse(record, number)
    for node in (editor.segmentation, item_at(record.segmentation, index_values(record.source)[4])):
        assert [segment.GetName() for _, segment in segments_of(node)] == ["drawn"]
    path = tmp_path / "labels.seq.nrrd"
    whole(label_sequence_file_in_pieces(record.segmentation, record.source, record.classes, path))
    header = path.read_bytes().split(b"\n\n")[0].decode()
    assert re.findall(r"axis 3 item 000(\d) computed:=1", header) == ["1", "2", "4"]


CORRECTED = "The figures are the model's, before your corrections."


def edit(segmentation: Any, segment_id: str = "Segment_1") -> None:
    """Do to a segment what the Segment Editor does when it draws in one."""
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    status = slicer.vtkSlicerSegmentationsModuleLogic
    status.SetSegmentStatus(segment, status.InProgress)
    segmentation.Modified()
    application.settle()


def test_figures_of_a_corrected_volume_say_that_they_are_the_models(panel, ui):
    record = volume_record()
    application.settle()
    edit(record.segmentation)
    assert ui.resultInfoLabel.text == f'Model "cervix" on the processor in 2.3 s. {CORRECTED}'


@pytest.mark.parametrize("change", ["removed", "added"])
def test_a_segment_more_or_less_is_a_correction(panel, ui, change):
    content = volume_record().segmentation.GetSegmentation()
    application.settle()
    assert CORRECTED not in ui.resultInfoLabel.text
    if change == "removed":
        content.RemoveSegment("Segment_2")
    else:
        content.AddEmptySegment("cyst", "cyst")
    panel.enter()
    application.settle()
    assert CORRECTED in ui.resultInfoLabel.text


def test_figures_of_a_corrected_frame_say_that_they_are_the_models(panel, ui, editor):
    record, _ = cine_record({1: 0.1, 2: 0.3})
    application.settle()
    browse(record, 1)
    application.click(ui.correctButton)
    edit(record.shown_segmentation)
    assert ui.frameLabel.text == f"Frame 2 of 20: mean uncertainty 10 % over the picture. {CORRECTED}"
    browse(record, 2)
    assert ui.frameLabel.text == "Frame 3 of 20: mean uncertainty 30 % over the picture."
    browse(record, 1)
    assert CORRECTED in ui.frameLabel.text


def test_long_names_do_not_widen_the_panel(panel, ui):
    for number in range(2):
        volume_record(name=f"US abdomen of a patient, with all that the scanner knows of the series, {number}")
    application.settle()
    panel.ui.modelComboBox.addItem("a model whose name says everything about what it was trained on and how")
    for combo in (ui.resultComboBox, panel.ui.modelComboBox):
        assert combo.sizeHint.width() < 250


def test_a_cine_that_no_browser_shows_any_more_is_not_called_deleted(panel, ui):
    record, _ = cine_record(ALL)
    application.settle()
    slicer.mrmlScene.RemoveNode(record.browser)
    application.settle()
    missing = "No sequence browser shows this cine."
    assert not ui.correctButton.enabled
    assert missing in ui.correctButton.toolTip
    assert missing in ui.overlayButton.toolTip
    assert ui.frameLabel.text == (
        f"{missing} Add its sequence, and those of its results, to one in the module Sequences."
    )
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "again")
    for sequence in (record.source, record.segmentation, record.uncertainty):
        browser.AddSynchronizedSequenceNode(sequence)
    browser.SetSelectedItemNumber(0)
    application.settle()
    assert ui.frameLabel.text.startswith("Frame 1 of 20: mean uncertainty")
    assert ui.correctButton.enabled


def test_one_of_several_results_is_chosen(panel, ui):
    first = volume_record(name="first")
    second = volume_record(name="second", unit=None)
    application.settle()
    assert ui.resultChoiceHost.isVisibleTo(panel.widget)
    assert [ui.resultComboBox.itemText(i) for i in range(ui.resultComboBox.count)] == [
        "second (cervix)", "first (cervix)"
    ]  # fmt: skip
    assert ui.resultComboBox.currentText == "second (cervix)"
    assert headers(ui.segmentsTable) == VOXELS
    ui.resultComboBox.activated.emit(1)
    application.settle()
    assert ui.resultComboBox.currentText == "first (cervix)"
    assert headers(ui.segmentsTable) == VOLUME
    remove_record(first)
    application.settle()
    assert headers(ui.segmentsTable) == VOXELS
    assert not ui.resultChoiceHost.isVisibleTo(panel.widget)
    remove_record(second)


def is_seen(record: Record) -> bool:
    return bool(record.shown_segmentation.GetDisplayNode().GetVisibility())


def see(record: Record, on: bool) -> None:
    record.shown_segmentation.GetDisplayNode().SetVisibility(on)


@pytest.mark.parametrize("kind", ["volume", "cine"])
def test_the_result_that_is_chosen_is_seen_alone(panel, ui, kind):
    """The outlines of two models over each other tell neither."""
    make = volume_record if kind == "volume" else lambda **what: cine_record(ALL, **what)[0]
    of_another_image, first = make(), make()
    second = make(source=first.source)
    application.settle()
    assert is_seen(first), "what only came into the scene hides nothing"
    drawn_by_hand = scenes.add_segmentation(first.shown_source, np.zeros((1, 30, 40), np.uint8), CLASSES)
    for chosen, others in ((first, second), (second, first)):
        ui.resultComboBox.activated.emit(find_records(slicer.mrmlScene)[::-1].index(chosen))
        application.settle()
        assert is_seen(chosen)
        assert not is_seen(others)
        if kind == "cine":
            browse(first, 3)
            assert (is_seen(chosen), is_seen(others)) == (True, False)
    assert drawn_by_hand.GetDisplayNode().GetVisibility()
    remove_record(second)
    application.settle()
    assert is_seen(first), "nothing else could bring it back"
    slicer.util.setSliceViewerLayers(background=of_another_image.shown_source)
    application.settle()
    assert is_seen(of_another_image)


def test_what_the_user_has_drawn_or_hidden_is_left_so(panel, ui):
    first = volume_record(name="first")
    second = volume_record(name="second", source=first.source)
    third = volume_record(name="third", source=first.source)
    second.segmentation.GetSegmentation().AddEmptySegment("mine")
    see(third, False)
    application.settle()
    see(first, False)
    ui.resultComboBox.activated.emit(2)
    application.settle()
    assert is_seen(first), "it was chosen to be looked at"
    assert is_seen(second), "it holds what the user has drawn"
    remove_record(first)
    application.settle()
    assert ui.resultComboBox.currentText == "third (cervix)"
    assert not is_seen(third), "the user has hidden it"


def test_a_saved_scene_shows_the_result_that_was_chosen(panel, ui, tmp_path):
    first = volume_record(name="first")
    second = volume_record(name="second", source=first.source)
    application.settle()
    ui.resultComboBox.activated.emit(1)
    application.settle()
    assert not is_seen(second)
    path = str(tmp_path / "scene.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(path)
    application.settle()
    mrml.process_events()
    application.settle()
    assert ui.resultComboBox.currentText == "first (cervix)"
    found = {record.name: is_seen(record) for record in find_records(slicer.mrmlScene)}
    assert found == {"first": True, "second": False}


def test_the_overlay_follows_the_result_that_is_chosen(panel, ui):
    first = volume_record(name="first")
    show_in_views(first.source)
    application.settle()
    application.click(ui.overlayButton)
    assert len(views_of(first)) == 3
    second = volume_record(source=first.source, name="second")
    application.settle()
    assert ui.resultComboBox.currentText == "second (cervix)"
    assert views_of(first) == []
    assert len(views_of(second)) == 3
    assert ui.overlayButton.checked
    ui.resultComboBox.activated.emit(1)
    application.settle()
    assert (len(views_of(first)), len(views_of(second))) == (3, 0)


@pytest.mark.parametrize("kind", ["volume", "cine", "half a cine"])
def test_a_reopened_scene_shows_its_result_again(panel, ui, tmp_path, kind):
    {"volume": volume_record, "cine": lambda: cine_record(ALL), "half a cine": half_a_cine}[kind]()
    application.settle()
    before = (rows(ui.segmentsTable), ui.resultInfoLabel.text, ui.frameLabel.text)
    path = str(tmp_path / "scene.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)
    slicer.mrmlScene.Clear(0)
    application.settle()
    assert not ui.resultButton.isVisibleTo(panel.widget)
    assert slicer.mrmlScene.ReadFromMRB(path)
    application.settle()
    mrml.process_events()
    application.settle()
    assert (rows(ui.segmentsTable), ui.resultInfoLabel.text, ui.frameLabel.text) == before
    plots = slicer.mrmlScene.GetNodesByClass("vtkMRMLPlotViewNode")
    plots.UnRegister(None)
    assert plots.GetNumberOfItems() == (kind != "volume")


@pytest.mark.parametrize("part", ["table", "frames_table", "segmentation", "uncertainty", "source", "browser", "all"])
def test_what_is_deleted_while_it_is_shown_does_no_harm(panel, ui, part):
    record, _ = cine_record(ALL)
    application.settle()
    application.click(ui.overlayButton)
    application.settle()
    if part == "all":
        slicer.mrmlScene.Clear(0)
    else:
        slicer.mrmlScene.RemoveNode(getattr(record, part))
    application.settle()
    for button in (ui.worstFrameButton, ui.nextFrameButton, ui.overlayButton, ui.overlayButton):
        application.click(button)
    application.settle()
    assert ui.resultButton.isVisibleTo(panel.widget) is (part not in ("table", "all"))
    assert not application.slot_errors()


@pytest.mark.parametrize("kind", ["cine", "stack"])
def test_frames_whose_image_is_gone_are_not_looked_for_in_the_views(panel, ui, kind):
    record = cine_record({1: 0.1, 2: 0.3})[0] if kind == "cine" else stack_record([0.1, 0.3])
    application.settle()
    slicer.mrmlScene.RemoveNode(record.source)
    application.settle()
    assert "The image was deleted" in ui.frameLabel.text
    assert "slice view" not in ui.frameLabel.text


def test_closing_the_module_leaves_only_results(ui, panel):
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    record, _ = cine_record(ALL)
    application.settle()
    application.click(ui.worstFrameButton)
    application.close_module("SemiSegCervical")
    left = [n for n in slicer.util.getNodesByClass("vtkMRMLNode") if n.GetID() not in before and n.IsA("vtkMRMLPlot*")]
    assert left == []
    assert not [n for n in slicer.util.getNodesByClass("vtkMRMLPlotViewNode")]
    assert not record.table.HasObserver("ModifiedEvent") or find_records(slicer.mrmlScene) == [record]
    application.open_module("SemiSegCervical")


def test_stepping_through_a_cine_is_quick(panel, ui):
    """Generous, as a test on a busy computer must be; the benchmark measures."""
    record, _ = cine_record({i: 0.001 * i for i in range(100)}, 100, (20, 30))
    application.settle()
    longest = []
    for start in (0, 30, 60):
        application.reset()
        for number in range(start, start + 30, 3):
            record.browser.SetSelectedItemNumber(number)
            application.process_events(0.02)
        longest.append(application.longest_call())
    assert min(call.seconds for call in longest) < 0.1, longest


def test_a_volume_of_many_nodes_and_no_slices_is_survived(panel, ui):
    """A result whose image lost its voxels."""
    record = volume_record()
    record.source.SetAndObserveImageData(None)
    application.settle()
    assert headers(ui.segmentsTable) == VOLUME
    scenes.add_volume(np.zeros((2, 3, 4), np.uint8), "other")
    application.settle()
    assert not application.slot_errors()


def say(panel: Any, image: Any, index: int) -> None:
    """Choose an image and say something else of its pixel size: 0 as in the file, 1 calibrated, 2 not."""
    panel.ui.sourceSelector.setCurrentNode(image)
    application.settle()
    panel.ui.calibratedComboBox.activated(index)
    application.settle()


def test_what_is_said_of_the_pixel_size_holds_for_results_that_are_there(panel, ui, tmp_path):
    from SemiSegCervicalLib.panel.export_files import write_in_pieces

    doubts = {number: 0.1 for number in range(4)}
    picture, film = volume_record((1, 30, 40), "Picture", "mm2"), cine_record(doubts, 4)[0]
    solid, other = volume_record(), volume_record(name="Other")
    before = rows_of(other.table)
    for record in (picture, film, solid):
        sized, unsized = (VOLUME, VOXELS) if record is solid else (AREA, PIXELS)
        panel._choose(record)
        application.settle()
        for index, titles in ((2, unsized), (1, sized), (2, unsized), (0, sized)):
            say(panel, record.shown_source, index)
            assert headers(ui.segmentsTable) == titles
            files = whole(write_in_pieces(record, "table", tmp_path / "figures.csv", overwrite=True))
            written = "".join(file.read_text("utf-8-sig") for file in files)
            assert ("mm" in written) == (titles is sized)
        assert all(frame_segments(record, number) for number in range(4)) == (record is film)
    # Pixels of 0.5 by 0.5 mm, voxels 2 mm high; the mean of 10 * number + 1 over four frames is 16.
    assert [figure.size for figure in figures_of(solid)] == [12345 * 0.5, 40.0]
    assert [figure.size for figure in figures_of(picture)] == [12345 * 0.25, 20.0]
    assert [figure.size for figure in frame_segments(film, 3)] == [31 * 0.25, 32 * 0.25]
    assert figures_of(film)[0].size == 16 * 0.25
    assert rows_of(other.table) == before, "the pixel size of another image"


def rows_of(table: Any) -> list[list[str]]:
    """What a table node holds."""
    content = table.GetTable()
    columns, count = range(content.GetNumberOfColumns()), content.GetNumberOfRows()
    return [[content.GetValue(row, column).ToString() for column in columns] for row in range(count)]


def test_a_result_whose_displays_were_deleted_can_still_be_looked_at(panel, ui):
    """The legend is a display of the uncertainty, too, and becomes its first one."""
    record = volume_record()
    mrml.slice_logic("Red")
    application.process_events(0.1)
    application.click(ui.overlayButton)
    for node in (record.uncertainty, record.segmentation):
        slicer.mrmlScene.RemoveNode(node.GetDisplayNode())
    application.process_events(0.1)
    assert ui.overlayButton.checked
    ui.thresholdSlider.value = 40
    application.click(ui.show3DButton)
    assert ui.show3DButton.checked
    assert record.segmentation.GetDisplayNode().GetVisibility3D()
