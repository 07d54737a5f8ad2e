"""A result as nodes of the scene: found again after saving, alive when half of it was deleted, gone when removed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.figures import FrameFigures, SegmentFigures
from SemiSegCervicalLib.scene import marks
from SemiSegCervicalLib.scene.cine import item_at
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.frames import CineResult, FrameResult
from SemiSegCervicalLib.scene.overlay import new_uncertainty_volume
from SemiSegCervicalLib.scene.record_figures import (
    add_frames,
    atypicality_of,
    finish_record,
    frame_segments,
    frames_of,
    segments_of,
    set_segments,
)
from SemiSegCervicalLib.scene.records import Record, find_records, is_complete, new_record
from SemiSegCervicalLib.scene.removing import remove_record
from SemiSegCervicalLib.scene.segmentation import new_segmentation
from SlicerRig import mrml, scenes

CLASSES = [
    SegmentClass(1, 'anterior "lip"; é', (0.9, 0.3, 0.2), "a~SCT^1^b~SCT^71252005^Cervix uteri~^^~Anatomic~^^~^^"),
    SegmentClass(2, "canal", (0.1, 0.8, 0.3)),
]
FIGURES = [
    SegmentFigures(CLASSES[0].name, 1, 1234567, 98765.4, "mm3", 0.125, 0.91),
    SegmentFigures("canal", 2, 0, 0.0, "mm3", None, None),
]
ATYPICAL = 1.25
MODEL = {"model": "cervix", "fingerprint": "ab12", "asked": 6}
RUN = {"device": "cpu", "backend": "openvino", "precision": "bf16", "seconds": 1.5, "notes": ['the "second"; note: é']}


def frame(number: int, doubt: float = 0.1, voxels: int = 10, unit: str | None = "mm2") -> FrameFigures:
    size = None if unit is None else voxels * 0.25
    rows = (
        SegmentFigures(CLASSES[0].name, 1, voxels, size, unit, doubt if voxels else None, 0.8 if voxels else None),
        SegmentFigures("canal", 2, 0, None if unit is None else 0.0, unit, None, None),
    )
    return FrameFigures(number, doubt, 0.8 if voxels else None, rows)


def volume_record(name: str = "case", source: Any = None) -> Record:
    source = source or scenes.add_volume(np.zeros((4, 10, 12), np.int16), "ct", np.diag([0.5, 0.5, 2, 1]))
    labels = np.zeros((4, 10, 12), np.uint8)
    labels[1:3, 2:5, 3:7] = 1
    segmentation = new_segmentation(source, labels, CLASSES)
    uncertainty = new_uncertainty_volume(source, np.full((4, 10, 12), 0.5))
    record = new_record(slicer.mrmlScene, name, source, segmentation, uncertainty, CLASSES, MODEL)
    set_segments(record, FIGURES, "volume", ATYPICAL)
    finish_record(record, RUN)
    return record


def cine_record(count: int = 6) -> tuple[Record, CineResult]:
    frames = [np.full((10, 12), 20 * i, np.uint8) for i in range(count)]
    source, _ = scenes.add_cine(frames, "cine", np.diag([0.5, 0.5, 1, 1]))
    result = CineResult(source, CLASSES)
    while result.prepare(4):
        pass
    record = new_record(
        slicer.mrmlScene, "cine", source, result.segmentations, result.uncertainty, CLASSES, MODEL, frames=True
    )
    return record, result


def saved_and_reopened(tmp_path: Any, first: bool = True) -> None:
    """Through a real .mrb; without `first` into a scene that already uses the same ids."""
    path = str(tmp_path / "scene.mrb")
    scene = slicer.mrmlScene
    assert scene.WriteToMRB(path)
    if first:
        mrml.clear()
        assert scene.ReadFromMRB(path)
    else:
        assert scene.ReadFromMRB(path, False)
    mrml.process_events()


def nodes() -> set[str]:
    found = slicer.mrmlScene.GetNodes()
    return {found.GetItemAsObject(i).GetID() for i in range(found.GetNumberOfItems())}


def check_volume(record: Record) -> None:
    assert record.source.GetName() == "ct"
    assert record.shown_segmentation is record.segmentation
    assert record.segmentation.IsA("vtkMRMLSegmentationNode")
    assert record.shown_uncertainty is record.uncertainty
    assert record.uncertainty.GetAttribute(marks.CONTENT) == marks.UNCERTAINTY
    assert record.frames_table is None
    assert record.browser is None
    assert record.classes == tuple(CLASSES)
    assert record.run == {**MODEL, **RUN, "complete": True}
    assert is_complete(record)
    assert frames_of(record) == []
    assert atypicality_of(record) == ATYPICAL
    found = segments_of(record)
    assert found[0].size == pytest.approx(98765.4, abs=0.06)  # a table file keeps six digits
    assert (found[0].name, found[0].value, found[0].voxels) == (CLASSES[0].name, 1, 1234567)
    assert (found[0].mean_uncertainty, found[0].predicted_dice) == (0.125, 0.91)
    assert found[1] == FIGURES[1]


def test_a_volumes_result_is_found_again_with_all_that_is_known(scene):
    record = volume_record()
    assert find_records(scene) == [record]
    check_volume(record)
    table = record.table
    assert [table.GetColumnName(i) for i in range(table.GetNumberOfColumns())] == [
        "Segment",
        "Voxels",
        "Volume (mm3)",
        "Mean uncertainty (%)",
        "Predicted Dice",
        "Atypicality (beyond 1 unlike the training)",
    ]
    assert table.GetName() == "case figures"


def test_segments_say_in_slicers_own_export_that_a_model_drew_them(scene):
    volume = scenes.add_volume(np.zeros((2, 8, 9), np.int16), "CT")
    segmentation = new_segmentation(volume, np.zeros((2, 8, 9), np.uint8), CLASSES)
    new_record(scene, "CT", volume, segmentation, None, CLASSES, MODEL)
    for _, segment in marks.segments_of(segmentation):
        assert marks.segment_tag(segment, "DICOM.SegmentAlgorithmType") == "AUTOMATIC"
        assert marks.segment_tag(segment, "DICOM.SegmentAlgorithmName") == "cervix"


@pytest.mark.parametrize("first", [True, False], ids=["alone", "beside the same again"])
def test_a_volumes_result_survives_saving(scene, tmp_path, first):
    volume_record()
    saved_and_reopened(tmp_path, first)
    records = find_records(scene)
    assert len(records) == (1 if first else 2)
    for record in records:
        check_volume(record)
    if not first:
        assert records[0].source is not records[1].source
        assert records[0].segmentation is not records[1].segmentation


def test_several_results_of_one_source_stay_apart_and_the_newest_is_last(scene):
    first = volume_record()
    second = volume_record("case", first.source)
    assert [record.name for record in find_records(scene)] == ["case", "case_1"]
    assert second.source is first.source
    assert second.segmentation is not first.segmentation
    remove_record(first)
    assert not first.exists
    assert find_records(scene) == [second]
    check_volume(second)


def test_an_uncalibrated_result_has_no_sizes(scene):
    record = volume_record()
    set_segments(record, [SegmentFigures("canal", 2, 7, None, None, 0.5, None)], None)
    assert record.table.GetTable().GetColumnByName("Volume (mm3)") is None
    assert segments_of(record) == [SegmentFigures("canal", 2, 7, None, None, 0.5, None)]


def test_frames_in_any_order_end_up_in_the_sources_order_and_tell_their_observers_once(scene):
    record, _ = cine_record()
    events = []
    record.frames_table.AddObserver("ModifiedEvent", lambda *_: events.append(1))
    add_frames(record, [frame(4, 0.4), frame(1, 0.1)])
    assert len(events) == 1
    add_frames(record, [frame(2, 0.2), frame(1, 0.15), frame(5, 0.5, voxels=0)])
    assert len(events) == 2
    rows = frames_of(record)
    assert [row.number for row in rows] == [1, 2, 4, 5]
    assert [row.index_value for row in rows] == ["0.04", "0.08", "0.16", "0.20"]
    assert [row.mean_uncertainty for row in rows] == pytest.approx([15, 20, 40, 50])
    assert [row.predicted_dice for row in rows] == [0.8, 0.8, 0.8, None]
    assert frame_segments(record, 2) == list(frame(2, 0.2).segments)
    assert frame_segments(record, 0) == []
    assert record.frames_table.GetColumnName(0) == "Frame"
    assert record.frames_table.GetCellText(0, 0) == "2"  # people count from 1


def test_a_frame_without_sizes_has_none_among_others_that_have(scene):
    record, _ = cine_record()
    add_frames(record, [frame(1), frame(2, unit=None)])
    assert [figure.size for figure in frame_segments(record, 1)] == [2.5, 0]
    assert [figure.size for figure in frame_segments(record, 2)] == [None, None]


@pytest.mark.parametrize("unit", ["mm2", None])
def test_a_cines_result_survives_saving_while_it_is_half_done(scene, tmp_path, unit):
    record, result = cine_record()
    labels = np.zeros((10, 12), np.uint8)
    labels[2:4, 3:8] = 1
    result.add_frames([FrameResult("0.08", labels, np.full((10, 12), 0.4))])
    figures = [frame(2, 0.4, unit=unit), frame(5, 0.5, voxels=30, unit=unit), frame(3, 0.1, 0, unit)]
    add_frames(record, [replace(f, atypicality=a) for f, a in zip(figures, (1.5, None, 0.5), strict=True)])
    before = [frames_of(record), frame_segments(record, 2), frame_segments(record, 3)]
    assert [f.atypicality for f in before[0]] == [1.5, 0.5, None]
    assert not is_complete(record)

    saved_and_reopened(tmp_path)
    (record,) = find_records(scene)
    assert [frames_of(record), frame_segments(record, 2), frame_segments(record, 3)] == before
    assert before[1] == list(frame(2, 0.4, unit=unit).segments)
    assert record.segmentation.IsA("vtkMRMLSequenceNode")
    assert record.browser.GetMasterSequenceNode() is record.source
    assert record.shown_segmentation is record.browser.GetProxyNode(record.segmentation)
    assert record.shown_uncertainty.GetAttribute(marks.COMPUTED) == "0"
    assert record.shown_source is record.browser.GetProxyNode(record.source)
    record.browser.SetSelectedItemNumber(2)
    mrml.process_events()
    assert record.shown_uncertainty.GetAttribute(marks.COMPUTED) == "1"
    assert not is_complete(record)


def test_a_finished_cine_sums_up_the_frames_that_show_the_segment(scene):
    record, _ = cine_record()
    add_frames(record, [frame(0, 0.2, 10), frame(1, 0.5, 30), frame(2, 0.9, 0)])
    finish_record(record, RUN, complete=False)
    assert not is_complete(record)
    first, second = segments_of(record)
    assert (first.voxels, first.size, first.size_unit) == (20, 5.0, "mm2")
    assert first.mean_uncertainty == pytest.approx((0.2 * 10 + 0.5 * 30) / 40)
    assert first.predicted_dice == 0.8
    assert second == SegmentFigures("canal", 2, 0, 0.0, "mm2", None, None)


@pytest.mark.parametrize("gone", ["source", "segmentation", "uncertainty", "frames_table", "browser", "table", "all"])
@pytest.mark.parametrize("kind", ["volume", "cine"])
def test_what_the_user_deletes_reads_as_none_and_nothing_raises(scene, kind, gone):
    record = volume_record() if kind == "volume" else cine_record()[0]
    if kind == "cine":
        add_frames(record, [frame(0)])
    if gone == "all":
        mrml.clear()
    elif getattr(record, gone) is not None:
        scene.RemoveNode(getattr(record, gone))
    mrml.process_events()
    names = ["source", "segmentation", "uncertainty", "frames_table", "browser"]
    found = {
        name: getattr(record, name) for name in [*names, "shown_source", "shown_segmentation", "shown_uncertainty"]
    }
    if gone in found:
        assert found[gone] is None
    if gone in ("table", "all"):
        assert set(found.values()) == {None}
        assert find_records(scene) == []
    else:
        assert find_records(scene) == [record]
    assert is_complete(record) is (kind == "volume" and gone in ("uncertainty", "frames_table", "browser"))
    add_frames(record, [frame(1)])
    set_segments(record, FIGURES, "volume")
    finish_record(record, RUN)
    frames_of(record)
    frame_segments(record, 1)
    segments_of(record)
    remove_record(record)
    assert not record.exists


@pytest.mark.parametrize("kind", ["volume", "cine"])
def test_a_removed_result_leaves_nothing_but_the_source(scene, kind):
    if kind == "volume":
        source = scenes.add_volume(np.zeros((4, 10, 12), np.int16), "ct")
        first = volume_record(source=source)  # makes what all results share: the colours
        before = nodes()
        record = volume_record(source=source)
        remove_record(record)
        assert nodes() == before
        remove_record(first)
    else:
        record, result = cine_record()
        result.add_frames([FrameResult("0.08", np.zeros((10, 12), np.uint8), np.zeros((10, 12)))])
        source, browser = record.source, record.browser
        remove_record(record)
        mrml.process_events()
        assert browser.GetMasterSequenceNode() is source
        assert browser.GetNumberOfSynchronizedSequenceNodes(True) == 1
    left = [scene.GetNodeByID(name) for name in nodes()]
    assert [node for node in left if node.GetAttribute(marks.CONTENT) not in (None, marks.UNCERTAINTY)] == []
    assert not [n for n in left if n.IsA("vtkMRMLSegmentationNode") or n.IsA("vtkMRMLSegmentationDisplayNode")]
    assert source.GetScene() is scene


def test_the_users_own_segments_are_never_removed(scene):
    record = volume_record()
    drawn = slicer.vtkSegment()
    drawn.SetName("drawn by hand")
    record.segmentation.GetSegmentation().AddSegment(drawn)
    segmentation = record.segmentation
    remove_record(record)
    assert not record.exists
    assert segmentation.GetScene() is scene


def test_what_the_user_drew_on_a_frame_that_is_not_shown_is_never_removed(scene):
    record, result = cine_record()
    result.add_frames([FrameResult(value, np.zeros((10, 12), np.uint8)) for value in ("0.04", "0.08")])
    drawn = slicer.vtkSegment()
    drawn.SetName("drawn by hand")
    item_at(record.segmentation, "0.08").GetSegmentation().AddSegment(drawn)
    record.browser.SetSelectedItemNumber(1)
    segmentation = record.segmentation
    remove_record(record)
    assert not record.exists
    assert segmentation.GetScene() is scene
    assert item_at(segmentation, "0.08").GetSegmentation().GetNumberOfSegments() == len(CLASSES) + 1


def test_a_damaged_record_is_still_read(scene):
    record = volume_record()
    record.table.SetAttribute(marks.RUN, "{not json")
    record.table.SetAttribute(marks.CLASSES, '"text"')
    assert record.run == {}
    assert record.classes == ()
    assert not is_complete(record)
    assert [(figure.value, figure.voxels) for figure in segments_of(record)] == [(1, 1234567), (2, 0)]


def hierarchy_parent(node: Any) -> int:
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(node)
    return hierarchy.GetItemParent(item) if item else 0


@pytest.mark.parametrize("kind", ["volume", "cine"])
def test_a_result_lies_in_the_study_of_its_image(scene, kind):
    """As a DICOM series does: of two patients everybody then sees whose result is whose."""
    hierarchy = scene.GetSubjectHierarchyNode()
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "somebody")
    study = hierarchy.CreateStudyItem(patient, "today")
    if kind == "volume":
        source = scenes.add_volume(np.zeros((4, 10, 12), np.int16), "ct")
        hierarchy.CreateItem(study, source)
        record = volume_record(source=source)
    else:
        frames = [np.full((10, 12), 20 * i, np.uint8) for i in range(3)]
        sequence, browser = scenes.add_cine(frames, "cine")
        hierarchy.CreateItem(study, browser.GetProxyNode(sequence))
        result = CineResult(sequence, CLASSES)
        while result.prepare(4):
            pass
        # As the application does with whatever is added to its scene.
        hierarchy.CreateItem(hierarchy.GetSceneItemID(), browser.GetProxyNode(result.segmentations))
        record = new_record(
            scene, "cine", sequence, result.segmentations, result.uncertainty, CLASSES, MODEL, frames=True
        )
        assert hierarchy_parent(record.frames_table) == study
    for node in (record.shown_segmentation, record.shown_uncertainty, record.table):
        assert hierarchy_parent(node) == study


def test_a_segmentation_that_somebody_put_into_a_folder_stays_there(scene):
    hierarchy = scene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "today")
    folder = hierarchy.CreateFolderItem(study, "mine")
    source = scenes.add_volume(np.zeros((4, 10, 12), np.int16), "ct")
    segmentation = new_segmentation(source, np.zeros((4, 10, 12), np.uint8), CLASSES)
    hierarchy.CreateItem(study, source)
    hierarchy.CreateItem(folder, segmentation)
    record = new_record(scene, "case", source, segmentation, None, CLASSES, MODEL)
    assert hierarchy_parent(segmentation) == folder
    assert hierarchy_parent(record.table) == study


def test_without_a_study_the_hierarchy_stays_as_it_is(scene):
    record = volume_record()
    assert [hierarchy_parent(node) for node in (record.segmentation, record.uncertainty, record.table)] == [0, 0, 0]
