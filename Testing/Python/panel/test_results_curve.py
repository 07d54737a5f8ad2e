"""Overlay and curve: seen in a slice view and in the panel, and moved by clicks."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.scene.layers import views_of
from SemiSegCervicalLib.scene.overlay import legend_of, threshold_of
from SlicerRig import application
from SlicerRig.records import cine_record, more_frames, volume_record


@pytest.fixture
def red(panel) -> Iterator[Any]:
    from SlicerRig import slice_views

    reason = slice_views.available()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    view = slice_views.SliceView("Red")
    yield view
    view.close()


def test_one_button_shows_and_hides_what_is_uncertain(panel, ui, red, tmp_path):
    record = volume_record()
    red.show(record.source)
    application.settle()
    before = red.draw(tmp_path / "before.png")
    assert ui.overlayButton.text == "Show uncertainty"
    application.click(ui.overlayButton)
    application.settle()
    assert ui.overlayButton.text == "Hide uncertainty"
    assert ui.opacitySlider.enabled
    red.fit()
    shown = red.draw(tmp_path / "shown.png")
    row, column = red.pixel_of(record.source, 3, 3, 3)
    assert before[row, column].tolist() == [90, 90, 90]
    assert np.ptp(shown[row, column].astype(int)) > 60  # coloured
    ui.thresholdSlider.value = 70  # all of it is 60 % uncertain
    assert threshold_of(record.uncertainty) == 70
    assert red.draw()[row, column].tolist() == [90, 90, 90]
    ui.thresholdSlider.value = 0
    ui.opacitySlider.value = 100
    opaque = red.draw(tmp_path / "opaque.png")[row, column].astype(int)
    assert np.ptp(opaque) > np.ptp(shown[row, column].astype(int))
    application.click(ui.overlayButton)
    np.testing.assert_array_equal(red.draw(), before)
    assert not legend_of(record.uncertainty).GetVisibility()


def test_the_button_follows_what_is_done_elsewhere(panel, ui, red):
    record = volume_record()
    red.show(record.source)
    application.settle()
    application.click(ui.overlayButton)
    for view in views_of(record):
        view.SetForegroundOpacity(0.25)
    application.settle()
    assert ui.opacitySlider.value == 25
    for view in views_of(record):
        view.SetForegroundVolumeID(None)
    application.settle()
    assert not ui.overlayButton.checked
    assert ui.overlayButton.text == "Show uncertainty"
    assert record.segmentation.GetDisplayNode().GetVisibility2DFill()
    assert not legend_of(record.uncertainty).GetVisibility()


def plot(panel: Any) -> Any:
    """The Qt widget that draws the curve."""
    return panel.curve._plot.view._qt


def click_at(view: Any, x: float, y: float) -> None:
    from PySide6 import QtCore
    from PySide6.QtTest import QTest

    QTest.mouseClick(view, QtCore.Qt.MouseButton.LeftButton, pos=view.place(x, y).toPoint())
    application.settle()


def test_a_click_on_the_curve_goes_to_the_frame_and_only_a_new_one_counts(panel, ui, tmp_path):
    record, _ = cine_record({0: 0.1, 4: 0.3, 9: 0.2, 15: 0.4})
    application.settle()
    application.screenshot(panel.widget, tmp_path / "curve.png")
    selected = record.browser.GetSelectedItemNumber
    click_at(plot(panel), 10, 20)
    assert selected() == 9
    click_at(plot(panel), 16, 40)
    assert selected() == 15
    record.browser.SetSelectedItemNumber(2)
    application.settle()
    click_at(plot(panel), 12, 2)  # beside the curve: Slicer tells the old selection once more
    assert selected() == 2
    click_at(plot(panel), 5, 30)
    assert selected() == 4


def test_figures_stay_with_their_frames_when_others_are_removed_from_the_cine(panel, ui, tmp_path):
    from SemiSegCervicalLib.panel.export_files import write_in_pieces
    from SemiSegCervicalLib.pieces import whole

    doubts = {number: 0.01 * number for number in range(20)} | {9: 0.9}
    record, _ = cine_record(doubts, unlike=(9,))
    application.settle()
    for number in (4, 0):
        record.source.RemoveDataNodeAtValue(record.source.GetNthIndexValue(number))
    application.settle()
    chart = panel.curve._plot.nodes["chart"]
    curve, dots = chart.GetNthPlotSeriesNode(0), chart.GetNthPlotSeriesNode(2)
    expected = [(n + 1.0, 100 * doubts[old]) for n, old in enumerate([1, 2, 3, *range(5, 20)])]
    np.testing.assert_allclose(plot(panel).points(curve), expected)
    assert plot(panel).points(dots) == [(8.0, 90.0)]
    assert tuple(chart.GetXAxisRange()) == (1.0, 18.0)
    application.click(ui.worstFrameButton)
    application.settle()
    assert record.browser.GetSelectedItemNumber() == 7
    assert ui.frameLabel.text.startswith("Frame 8 of 18: mean uncertainty 90 % over the picture.")
    assert ui.segmentsTable.item(0, 2).text() == "91", "10 for each frame before it at the time, and 1"
    click_at(plot(panel), 4, 5)
    assert record.browser.GetSelectedItemNumber() == 3
    assert ui.frameLabel.text == "Frame 4 of 18: mean uncertainty 5 % over the picture."
    _, file = whole(write_in_pieces(record, "table", tmp_path / "figures.csv"))
    lines = [line.split(",")[:2] for line in file.read_text(encoding="utf-8-sig").splitlines()]
    assert lines[:7] == [
        ["Frame", "Index value"], ["", "0.00"], ["1", "0.04"], ["2", "0.08"], ["3", "0.12"], ["", "0.16"], ["4", "0.20"]
    ]  # fmt: skip


def test_the_line_marks_the_frame_that_is_looked_at(panel, ui):
    record, _ = cine_record({0: 0.1, 4: 0.3})
    application.settle()
    for number in (0, 7, 19):
        record.browser.SetSelectedItemNumber(number)
        application.settle()
        chart = panel.curve._plot.nodes["chart"]
        marker = chart.GetNthPlotSeriesNode(1)
        assert [x for x, _ in plot(panel).points(marker)] == [number + 1] * 2


def test_frames_unlike_the_training_are_dotted_and_said(panel, ui, tmp_path):
    doubts = {number: 0.1 + 0.01 * number for number in range(20)}
    record, result = cine_record({0: 0.1, 4: 0.3}, unlike=())
    application.settle()
    dots = panel.curve._plot.nodes["dots"]
    assert all(math.isnan(value) for point in plot(panel).points(dots) for value in point)
    more_frames(record, result, {number: doubts[number] for number in range(5, 20)}, unlike=(7, 13))
    panel._frames_added()
    assert plot(panel).points(dots) == [(8.0, 17.0), (14.0, 23.0)]
    application.screenshot(panel.widget, tmp_path / "unlike.png")
    click_at(plot(panel), 14, 23)
    assert record.browser.GetSelectedItemNumber() == 13
    assert ui.frameLabel.text == (
        "Frame 14 of 20: mean uncertainty 23 % over the picture. It looks unlike the images of the training."
    )
    table = ui.segmentsTable
    assert [table.item(row, table.columnCount - 1).text() for row in range(2)] == ["0.67 ?"] * 2
    click_at(plot(panel), 12, 21)
    assert [table.item(row, table.columnCount - 1).text() for row in range(2)] == ["0.69"] * 2
    assert record.browser.GetSelectedItemNumber() == 11
    assert ui.frameLabel.text == "Frame 12 of 20: mean uncertainty 21 % over the picture."
    # Of a result whose model cannot tell, nothing is dotted, and nothing is left of the one before.
    cine_record({2: 0.2, 3: 0.2})
    application.settle()
    assert all(math.isnan(value) for point in plot(panel).points(panel.curve._plot.nodes["dots"]) for value in point)


def test_the_axis_is_that_of_the_whole_cine_while_frames_come(panel, ui):
    record, result = cine_record({0: 0.02})
    application.settle()
    chart = panel.curve._plot.nodes["chart"]
    assert tuple(chart.GetXAxisRange()) == (1.0, 20.0)
    assert tuple(chart.GetYAxisRange()) == (0.0, 5.0)
    more_frames(record, result, {3: 0.37, 2: 0.1})
    panel._frames_added()
    assert tuple(chart.GetXAxisRange()) == (1.0, 20.0)
    assert tuple(chart.GetYAxisRange()) == (0.0, 40.0)
    series = chart.GetNthPlotSeriesNode(0)
    assert plot(panel).points(series) == [(1.0, 2.0), (3.0, 10.0), (4.0, 37.0)]


def test_the_curve_is_no_view_of_the_layout(panel, ui):
    before = slicer.app.layoutManager().plotViewCount
    cine_record({0: 0.1})
    application.settle()
    assert panel.curve._plot.there
    assert slicer.app.layoutManager().plotViewCount == before


def test_the_curve_is_no_view_of_the_layout_after_a_batch_of_nodes_either(panel, ui):
    # As when a scene is added: the layout then takes every plot view for its own.
    before = slicer.app.layoutManager().plotViewCount
    cine_record({0: 0.1, 1: 0.2})
    application.settle()
    slicer.mrmlScene.StartState(slicer.vtkMRMLScene.BatchProcessState)
    slicer.mrmlScene.EndState(slicer.vtkMRMLScene.BatchProcessState)
    application.settle()
    assert slicer.app.layoutManager().plotViewCount == before
    assert panel.curve._plot.there
    series = panel.curve._plot.nodes["chart"].GetNthPlotSeriesNode(0)
    assert plot(panel).points(series) == [(1.0, 10.0), (2.0, 20.0)]


def test_the_curves_nodes_are_neither_listed_nor_saved_and_go_with_the_panel(panel, ui, tmp_path):
    cine_record({0: 0.1})
    application.settle()
    nodes = list(panel.curve._plot.nodes.values())
    assert len(nodes) == 8
    assert all(node.GetHideFromEditors() and not node.GetSaveWithScene() for node in nodes)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.Commit()
    assert "PlotView" not in (tmp_path / "scene.mrml").read_text()
    panel.close()
    assert all(node.GetScene() is None for node in nodes)
