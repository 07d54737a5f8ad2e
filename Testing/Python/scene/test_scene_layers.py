"""The uncertainty over the image: drawn for real, looked at pixel by pixel, and taken off without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.scene import marks
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.frames import CineResult, FrameResult
from SemiSegCervicalLib.scene.layers import (
    DEFAULT_OPACITY,
    composites,
    hide_uncertainty,
    opacity_of,
    set_opacity,
    set_segmentation,
    show_uncertainty,
    tidy,
    views_of,
)
from SemiSegCervicalLib.scene.overlay import (
    DEFAULT_THRESHOLD,
    legend_of,
    new_uncertainty_volume,
    set_threshold,
    threshold_of,
    uncertainty_colors,
)
from SemiSegCervicalLib.scene.records import Record, find_records, new_record
from SemiSegCervicalLib.scene.removing import forget_results_of, remove_record
from SemiSegCervicalLib.scene.segmentation import new_segmentation
from SlicerRig import mrml, scenes
from SlicerRig.slice_views import SliceView

GREEN = (0.0, 1.0, 0.0)
CLASSES = [SegmentClass(1, "lip", GREEN)]
SHAPE = (1, 60, 80)
CERTAIN, LOW, HIGH, FULL, INSIDE = (55, 40), (12, 12), (12, 40), (12, 70), (38, 40)
"""Voxels (row, column) of certain, low, high and full uncertainty, and of one deep in the segment."""


@pytest.fixture
def view(scene, drawing) -> Iterator[SliceView]:
    made = SliceView("Red")
    yield made
    made.close()


def picture_record(offset: int = 0, volume: Any = None) -> Record:
    """Grey image, a segment in its lower half, three squares of uncertainty in its upper half."""
    if volume is None:
        volume = scenes.add_volume(np.full(SHAPE, 100 + offset, np.uint8), f"us {offset}", np.diag([-0.5, -0.5, 1, 1]))
        volume.GetDisplayNode().SetAutoWindowLevel(False)
        volume.GetDisplayNode().SetWindowLevelMinMax(0, 255)
    labels = np.zeros(SHAPE, np.uint8)
    labels[0, 28:50, 10:70] = 1
    doubt = np.zeros(SHAPE, np.uint8)
    doubt[0, 5:20, 5:25], doubt[0, 5:20, 30:50], doubt[0, 5:20, 60:78] = 10, 60, 100
    segmentation = new_segmentation(volume, labels, CLASSES)
    uncertainty = new_uncertainty_volume(volume, doubt)
    return new_record(slicer.mrmlScene, "us", volume, segmentation, uncertainty, CLASSES, {})


def color(view: SliceView, pixels: np.ndarray, record: Record, voxel: tuple[int, int]) -> np.ndarray:
    row, column = view.pixel_of(record.shown_source, voxel[1], voxel[0])
    return pixels[row, column].astype(int)


def ramp(value: int) -> np.ndarray:
    rgba = [0.0] * 4
    uncertainty_colors(slicer.mrmlScene).GetColor(value, rgba)
    return 255 * np.array(rgba[:3])


def blended(value: int, opacity: float, grey: int = 100) -> np.ndarray:
    return opacity * ramp(value) + (1 - opacity) * grey


def outline_pixels(pixels: np.ndarray) -> int:
    red, green, blue = np.moveaxis(pixels.astype(int), -1, 0)
    return int(((green > 150) & (red < 110) & (blue < 110)).sum())


def test_uncertain_places_are_coloured_and_certain_ones_are_the_image(view, tmp_path):
    record = picture_record()
    view.show(record.source)
    filled = view.draw(tmp_path / "before.png")
    red, green, _ = color(view, filled, record, INSIDE)
    assert green > red + 50  # the segment's fill
    assert show_uncertainty(record)
    view.fit()
    drawn = view.draw(tmp_path / "shown.png")

    np.testing.assert_array_equal(color(view, drawn, record, CERTAIN), [100, 100, 100])
    np.testing.assert_array_equal(color(view, drawn, record, LOW), [100, 100, 100])  # below the threshold
    np.testing.assert_allclose(color(view, drawn, record, HIGH), blended(60, DEFAULT_OPACITY), atol=2)
    np.testing.assert_allclose(color(view, drawn, record, FULL), blended(100, DEFAULT_OPACITY), atol=2)
    np.testing.assert_array_equal(color(view, drawn, record, INSIDE), [100, 100, 100])  # outline only
    assert outline_pixels(drawn) > 500
    # The outline lies where the segment ends: its upper edge, between rows 27 and 28.
    row, column = view.pixel_of(record.source, 40, 28)
    assert outline_pixels(drawn[row - 8 : row + 4, column - 2 : column + 3]) >= 5


def test_opacity_and_threshold_are_seen(view, tmp_path):
    record = picture_record()
    view.show(record.source)
    show_uncertainty(record)
    view.fit()
    assert opacity_of(record) == DEFAULT_OPACITY
    assert threshold_of(record.uncertainty) == DEFAULT_THRESHOLD
    set_opacity(record, 1.0)
    set_threshold(record.uncertainty, 5)
    drawn = view.draw(tmp_path / "all.png")
    np.testing.assert_allclose(color(view, drawn, record, LOW), ramp(10), atol=5)  # 256 steps on the way to 101
    np.testing.assert_allclose(color(view, drawn, record, HIGH), ramp(60), atol=2)
    set_threshold(record.uncertainty, 80)
    drawn = view.draw(tmp_path / "worst.png")
    np.testing.assert_array_equal(color(view, drawn, record, HIGH), [100, 100, 100])
    np.testing.assert_allclose(color(view, drawn, record, FULL), ramp(100), atol=2)
    set_threshold(record.uncertainty, 0)  # even then what is certain stays clear
    np.testing.assert_array_equal(color(view, view.draw(), record, CERTAIN), [100, 100, 100])


def test_the_legend_comes_and_goes_with_the_layer(view, tmp_path):
    record = picture_record()
    view.show(record.source)
    before = view.draw()
    show_uncertainty(record)
    view.fit()
    set_opacity(record, 0.0)  # so that only the legend and the outline differ
    height, width, _ = before.shape
    right = np.s_[height // 3 : 2 * height // 3, 9 * width // 10 :]
    shown = view.draw(tmp_path / "legend.png")
    pink, violet = ramp(98), ramp(2)
    part = shown[right].reshape(-1, 3).astype(int)
    assert (np.abs(part - pink).max(axis=1) < 12).any()  # both ends of the scale
    assert (np.abs(part - violet).max(axis=1) < 12).any()
    assert legend_of(record.uncertainty).GetTitleText() == "Uncertainty (%)"
    hide_uncertainty(record)
    np.testing.assert_array_equal(view.draw(tmp_path / "after.png"), before)


def looks(views: list[SliceView], record: Record) -> list[Any]:
    display = record.shown_segmentation.GetDisplayNode()
    return [
        (
            c.GetBackgroundVolumeID(),
            c.GetForegroundVolumeID(),
            c.GetLabelVolumeID(),
            c.GetForegroundOpacity(),
            c.GetLabelOpacity(),
            c.GetCompositing(),
        )
        for c in (v.composite for v in views)
    ] + [display.GetVisibility2DFill(), display.GetVisibility2DOutline(), display.GetSliceIntersectionThickness()]


@pytest.fixture
def views(scene) -> list[SliceView]:
    return [SliceView(name) for name in ("Red", "Yellow", "Green")]


@pytest.mark.parametrize("way", ["at once", "twice", "after saving", "loaded beside"])
def test_every_view_becomes_what_it_was(scene, views, tmp_path, way):
    record = picture_record()
    other = scenes.add_volume(np.zeros(SHAPE, np.uint8), "prior study")
    labelmap = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "map")
    views[0].show(record.source, other, 0.25)
    views[0].composite.SetCompositing(views[0].composite.Add)
    views[0].composite.SetLabelVolumeID(labelmap.GetID())
    views[0].composite.SetLabelOpacity(0.4)
    views[1].show(record.source)
    views[2].show(other, record.source, 0.75)  # not a view of the source
    record.segmentation.GetDisplayNode().SetSliceIntersectionThickness(1)
    before = looks(views, record)
    show_uncertainty(record)
    assert [v.composite.GetForegroundVolumeID() for v in views] == [record.uncertainty.GetID()] * 2 + [
        record.source.GetID()
    ]
    assert looks(views, record)[-3:] == [0, 1, 2]
    if way == "twice":
        show_uncertainty(record, 0.9)
    if way in ("after saving", "loaded beside"):
        path = str(tmp_path / "shown.mrb")
        assert scene.WriteToMRB(path)
        if way == "after saving":
            mrml.clear()
            views[:] = [SliceView(name) for name in ("Red", "Yellow", "Green")]
        assert scene.ReadFromMRB(path, way == "after saving")
        record = find_records(scene)[-1]
        other = scene.GetNodesByName("prior study")
        assert len(views_of(record)) == 2
        hide_uncertainty(record)
        assert views_of(record) == []
        names = [[scene.GetNodeByID(i).GetName() if i else None for i in look[:2]] for look in looks(views, record)[:3]]
        assert names == [["us 0", "prior study"], ["us 0", None], ["prior study", "us 0"]]
        assert looks(views, record)[0][3:] == before[0][3:]
        assert looks(views, record)[-3:] == before[-3:]
    else:
        hide_uncertainty(record)
        assert looks(views, record) == before
    assert record.table.GetAttribute(marks.LAYERS) is None
    assert not legend_of(record.uncertainty).GetVisibility()


def test_where_no_view_shows_the_source_all_of_them_do(scene, views):
    record = picture_record()
    other = scenes.add_volume(np.zeros(SHAPE, np.uint8), "other")
    views[0].show(other)
    before = looks(views, record)
    show_uncertainty(record)
    for view in views:
        assert view.composite.GetBackgroundVolumeID() == record.source.GetID()
        assert view.composite.GetForegroundVolumeID() == record.uncertainty.GetID()
    hide_uncertainty(record)
    assert looks(views, record) == before


@pytest.mark.parametrize("fill", [True, False])
@pytest.mark.parametrize("outline", [True, False])
def test_segments_become_what_they_were(scene, views, fill, outline):
    record = picture_record()
    display = record.segmentation.GetDisplayNode()
    display.SetVisibility2DFill(fill)
    display.SetVisibility2DOutline(outline)
    before = looks(views, record)
    show_uncertainty(record)
    assert looks(views, record)[-3:-1] == [0, 1]
    hide_uncertainty(record)
    assert looks(views, record) == before


@pytest.mark.parametrize("segments", ["a model's", "replaced", "the user's own"])
def test_a_result_removed_while_it_is_shown_leaves_all_as_it_was(scene, views, segments):
    record = picture_record()
    other = scenes.add_volume(np.zeros(SHAPE, np.uint8), "PET")
    views[0].show(record.source, other, 0.3)
    segmentation = record.segmentation
    if segments == "the user's own":
        segmentation.GetSegmentation().AddEmptySegment("mine", "mine")
    before = looks(views, record)
    show_uncertainty(record)
    if segments == "replaced":
        forget_results_of(segmentation)
    else:
        remove_record(record)
    display = segmentation.GetDisplayNode()
    assert (display is None) is (segments == "a model's")
    assert (views[0].composite.GetForegroundVolumeID(), views[0].composite.GetForegroundOpacity()) == (
        other.GetID(),
        0.3,
    )
    if display is not None:
        found = [display.GetVisibility2DFill(), display.GetVisibility2DOutline()]
        assert [*found, display.GetSliceIntersectionThickness()] == before[-3:]


def test_another_segmentation_of_a_result_is_outlined_in_the_place_of_the_former(scene, views):
    record, other = picture_record(), picture_record().segmentation
    former, filled = record.segmentation, looks(views, record)[-3:]
    show_uncertainty(record)
    set_segmentation(record, other)
    assert looks(views, record)[-3:] == [0, 1, 2]
    hide_uncertainty(record)
    assert looks(views, record)[-3:] == filled
    set_segmentation(record, former)  # while it is not shown
    assert looks(views, record)[-3:] == filled


def test_the_fill_of_another_result_of_the_image_does_not_cover_it(view, tmp_path):
    first = picture_record()
    second = picture_record(volume=first.source)
    view.show(first.source)
    before = view.draw()
    show_uncertainty(second)
    view.fit()
    drawn = view.draw(tmp_path / "two results.png")
    np.testing.assert_array_equal(color(view, drawn, second, INSIDE), [100, 100, 100])
    hide_uncertainty(second)
    np.testing.assert_array_equal(view.draw(), before)


@pytest.fixture
def several(scene, views) -> list[Record]:
    """Three results of one image, one of them shown without fill, and one of another image."""
    first = picture_record()
    found = [first, picture_record(volume=first.source), picture_record(volume=first.source), picture_record(50)]
    found[1].segmentation.GetDisplayNode().SetVisibility2DFill(False)
    found[1].segmentation.GetDisplayNode().SetSliceIntersectionThickness(1)
    views[0].show(first.source)
    return found


OUTLINED = [0, 1, 2]


def segments(records: list[Record]) -> list[list[int]]:
    return [looks([], record) for record in records]


@pytest.mark.parametrize("way", ["hidden", "hidden by hand", "one over the other", "removed", "saved"])
def test_all_results_of_the_image_are_outlines_while_it_is_shown(scene, views, several, tmp_path, way):
    drawn = scenes.add_segmentation(several[0].source, np.ones(SHAPE, np.uint8), CLASSES)
    before = segments(several)
    show_uncertainty(several[2])
    assert segments(several) == [OUTLINED, OUTLINED, OUTLINED, before[3]]
    assert drawn.GetDisplayNode().GetVisibility2DFill()
    if way == "hidden":
        hide_uncertainty(several[2])
    elif way == "hidden by hand":
        views[0].composite.SetForegroundVolumeID(None)
        tidy(several[0])
    elif way == "one over the other":
        show_uncertainty(several[0])
        tidy(several[2])
        hide_uncertainty(several[0])
        assert segments(several) == [OUTLINED, OUTLINED, OUTLINED, before[3]]
        assert len(views_of(several[2])) == 1
        hide_uncertainty(several[2])
        assert views[0].composite.GetForegroundVolumeID() is None
    elif way == "removed":
        remove_record(several.pop(2))
        before.pop(2)
    else:
        path = str(tmp_path / "shown.mrb")
        assert scene.WriteToMRB(path)
        mrml.clear()
        assert scene.ReadFromMRB(path)
        several = find_records(scene)
        hide_uncertainty(several[2])
    assert segments(several) == before
    assert {record.table.GetAttribute(marks.LAYERS) for record in several} == {None}


def test_a_scene_view_that_was_made_while_it_was_shown_leaves_no_outlines(scene, views, several):
    """Slicer brings back how everything is drawn, and knows nothing of our tables."""
    before = segments(several)
    show_uncertainty(several[2])
    slicer.modules.sceneviews.logic().CreateSceneView("with uncertainty", "", 0, None)
    hide_uncertainty(several[2])
    assert segments(several) == before
    slicer.modules.sceneviews.logic().RestoreSceneView(0)
    assert segments(several) == [OUTLINED, OUTLINED, OUTLINED, before[3]]
    hide_uncertainty(several[2])
    assert segments(several) == before


def test_a_result_removed_while_another_is_shown_gives_the_users_segments_back(scene, views, several):
    segmentation = several[0].segmentation
    segmentation.GetSegmentation().AddEmptySegment("mine", "mine")
    before = segments(several)
    show_uncertainty(several[2])
    remove_record(several.pop(0))
    display = segmentation.GetDisplayNode()
    found = [display.GetVisibility2DFill(), display.GetVisibility2DOutline(), display.GetSliceIntersectionThickness()]
    assert found == before[0]
    assert segments(several) == [OUTLINED, OUTLINED, before[3]]


def test_what_the_user_changed_meanwhile_stays(scene, views):
    record = picture_record()
    other = scenes.add_volume(np.zeros(SHAPE, np.uint8), "other")
    for view in views:
        view.show(record.source)
    show_uncertainty(record)
    views[0].composite.SetForegroundVolumeID(other.GetID())
    views[0].composite.SetForegroundOpacity(0.33)
    views[1].composite.SetBackgroundVolumeID(other.GetID())
    display = record.segmentation.GetDisplayNode()
    display.SetVisibility2DFill(True)
    display.SetSliceIntersectionThickness(5)
    hide_uncertainty(record)
    first, second, third = (view.composite for view in views)
    assert (first.GetForegroundVolumeID(), first.GetForegroundOpacity()) == (other.GetID(), 0.33)
    assert second.GetForegroundVolumeID() is None
    assert second.GetBackgroundVolumeID() == other.GetID()
    assert (third.GetBackgroundVolumeID(), third.GetForegroundVolumeID()) == (record.source.GetID(), None)
    assert display.GetVisibility2DFill()
    assert display.GetSliceIntersectionThickness() == 5


def test_the_last_view_that_the_user_takes_it_off_takes_the_legend_with_it(scene, views):
    record = picture_record()
    for view in views:
        view.show(record.source)
    show_uncertainty(record)
    for view in views[:2]:
        view.composite.SetForegroundVolumeID(None)
        tidy(record)
        assert legend_of(record.uncertainty).GetVisibility()
        assert not record.segmentation.GetDisplayNode().GetVisibility2DFill()
    views[2].composite.SetForegroundVolumeID(None)
    tidy(record)
    assert not legend_of(record.uncertainty).GetVisibility()
    assert record.segmentation.GetDisplayNode().GetVisibility2DFill()


@pytest.mark.parametrize("gone", ["uncertainty", "segmentation", "source", "table", "all"])
def test_what_is_deleted_while_it_is_shown_does_no_harm(scene, views, gone):
    record = picture_record()
    views[0].show(record.source)
    show_uncertainty(record)
    if gone == "all":
        mrml.clear()
    else:
        scene.RemoveNode(getattr(record, gone))
    hide_uncertainty(record)
    tidy(record)
    set_opacity(record, 0.5)
    assert show_uncertainty(record) is (gone in ("segmentation", "source"))


def test_a_damaged_memory_still_lets_the_layer_go(scene, views):
    record = picture_record()
    views[0].show(record.source)
    show_uncertainty(record)
    record.table.SetAttribute(marks.LAYERS, '{"views": [1], "segments": 3')
    hide_uncertainty(record)
    assert views_of(record) == []
    assert composites(scene)[0].GetBackgroundVolumeID() == record.source.GetID()


def test_a_frame_that_is_not_computed_is_drawn_as_the_image_alone(view, tmp_path):
    frames = [np.full(SHAPE[1:], 60 + 20 * i, np.uint8) for i in range(4)]
    source, browser = scenes.add_cine(frames, "cine", np.diag([-0.5, -0.5, 1, 1]))
    result = CineResult(source, CLASSES)
    while result.prepare(10):
        pass
    shown = browser.GetProxyNode(source)
    shown.CreateDefaultDisplayNodes()
    shown.GetDisplayNode().SetAutoWindowLevel(False)
    shown.GetDisplayNode().SetWindowLevelMinMax(0, 255)
    record = new_record(slicer.mrmlScene, "c", source, result.segmentations, result.uncertainty, CLASSES, {}, True)
    labels = np.zeros(SHAPE[1:], np.uint8)
    labels[28:50, 10:70] = 1
    result.add_frames([FrameResult("0.04", labels, np.full(SHAPE[1:], 60, np.uint8))])
    browser.SetSelectedItemNumber(1)
    mrml.process_events()
    view.show(shown)
    show_uncertainty(record, 1.0)
    view.fit()
    looked = {}
    for number in (1, 2, 1, 0):
        browser.SetSelectedItemNumber(number)
        mrml.process_events()
        pixels = view.draw(Path(tmp_path) / f"{number}.png")
        looked[number] = color(view, pixels, record, CERTAIN)
        assert (outline_pixels(pixels) > 500) is (number == 1)
        assert legend_of(record.shown_uncertainty).GetVisibility()
    np.testing.assert_allclose(looked[1], ramp(60), atol=2)
    np.testing.assert_array_equal(looked[2], [100] * 3)
    np.testing.assert_array_equal(looked[0], [60] * 3)
    hide_uncertainty(record)
    np.testing.assert_array_equal(color(view, view.draw(), record, FULL), [60] * 3)
