"""A result of the real worker arrives in the panel: what is shown, in what order, and what stays as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.scene.layers import hide_uncertainty, show_uncertainty, views_of
from SemiSegCervicalLib.scene.record_figures import frames_of
from SemiSegCervicalLib.scene.records import find_records
from SlicerRig import application, scenes
from TrainingRig import cases


def show_in(names: list[str], volume: Any) -> list[Any]:
    """Show a volume in some views and nothing in the others; return the views' composite nodes."""
    found = []
    for name in ("Red", "Yellow", "Green"):
        composite = slicer.app.layoutManager().sliceWidget(name).sliceLogic().GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(volume.GetID() if name in names else None)
        composite.SetForegroundVolumeID(None)
        found.append(composite)
    return found


def looks(composites: list[Any]) -> list[tuple[Any, ...]]:
    return [(c.GetBackgroundVolumeID(), c.GetForegroundVolumeID(), c.GetForegroundOpacity()) for c in composites]


def test_the_uncertainty_that_was_asked_for_is_shown_over_the_image(opened, blobs):
    volume = scenes.add_volume(cases.draw(0)[0], "blobs", np.diag([-0.3, -0.3, 1.0, 1.0]))
    composites = show_in(["Red"], volume)
    before = looks(composites)
    module = opened()
    ui = module.panel.results.ui
    record = module.run(volume).record
    assert [c.GetForegroundVolumeID() for c in composites] == [record.uncertainty.GetID(), None, None]
    assert ui.overlayButton.checked
    application.click(ui.overlayButton)
    assert looks(composites) == before

    second = module.run(volume).record  # hidden or not, a new result is shown once
    assert len(views_of(second)) == 1
    third = module.run(volume).record
    assert views_of(second) == []
    assert len(views_of(third)) == 1
    application.click(ui.overlayButton)
    assert looks(composites) == before
    assert [r for r in find_records(slicer.mrmlScene) if views_of(r)] == []


@pytest.mark.parametrize("beside", [False, True])
def test_outlines_of_another_picture_are_not_drawn_over_this_one(opened, blobs, beside):
    """Pictures share one place: those of the patient before would be seen over the next one's."""
    affine = np.diag([-0.3, -0.3, 1.0, 1.0])
    first, second = (scenes.add_volume(cases.draw(i)[0], f"picture {i}", affine) for i in range(2))
    module = opened()

    def segment(volume: Any) -> Any:
        composites = show_in(["Red"], volume)
        if beside:
            composites[1].SetBackgroundVolumeID(first.GetID())
        return module.run(volume).record.segmentation.GetDisplayNode()

    one, other = segment(first), segment(second)
    assert (bool(one.GetVisibility()), bool(other.GetVisibility())) == (beside, True)
    if beside:
        return
    show_in(["Red"], first)
    module.choose(first)
    assert (one.GetVisibility(), other.GetVisibility()) == (1, 0), "they come back with their own"
    other.SetVisibility(True)
    module.panel.refresh()
    assert other.GetVisibility(), "the user wants to see it"


def test_outlines_follow_the_picture_in_the_views(opened, blobs):
    """Also before the next picture is segmented, when the views show the one before again, and without uncertainty."""
    affine = np.diag([-0.3, -0.3, 1.0, 1.0])
    first, second = (scenes.add_volume(cases.draw(i)[0], f"picture {i}", affine) for i in range(2))
    module = opened()
    module.ui.uncertaintyCheckBox.checked = False

    def segment(volume: Any) -> tuple[Any, Any]:
        show_in(["Red"], volume)
        record = module.run(volume).record
        return record, record.segmentation.GetDisplayNode()

    def seen() -> list[bool]:
        application.process_events(0.05)
        return [bool(display.GetVisibility()) for display in (one, other)]

    before, one = segment(first)
    show_in(["Red"], second)
    application.process_events(0.05)
    assert one.GetVisibility(), "nobody says that it is another patient's"
    module.choose(second)
    assert not one.GetVisibility()
    _, other = segment(second)
    assert seen() == [False, True]
    module.choose(first)
    assert seen() == [False, True], "the views show the second one still"
    show_in(["Red"], first)
    assert seen() == [True, False]
    other.SetVisibility(True)
    show_in([], first)
    show_in(["Red"], first)
    assert seen() == [True, True], "the user wants to see it"
    composites = show_in(["Red"], second)
    assert seen() == [False, True]
    results = module.panel.results.ui.resultComboBox
    results.currentIndex = 1
    results.activated.emit(1)
    assert module.panel.state().record == before
    assert seen() == [True, False]
    assert composites[0].GetBackgroundVolumeID() == first.GetID(), "it is seen over its own picture"


def test_hidden_outlines_come_back_with_their_picture_also_in_another_module(opened, blobs):
    """Who opens them in the Segment Editor would paint and see nothing."""
    affine = np.diag([-0.3, -0.3, 1.0, 1.0])
    first, second = (scenes.add_volume(cases.draw(i)[0], f"picture {i}", affine) for i in range(2))
    drawn = scenes.add_segmentation(first, cases.draw(0)[1], scenes.BLOBS).GetDisplayNode()
    module = opened()
    show_in(["Red"], second)
    module.choose(second)
    assert not drawn.GetVisibility()
    application.leave_module("SemiSegCervical")
    application.process_events(0.05)
    assert not drawn.GetVisibility()
    show_in(["Red"], first)
    application.process_events(0.05)
    assert drawn.GetVisibility()
    show_in(["Red"], second)
    application.process_events(0.05)
    assert drawn.GetVisibility(), "nothing is hidden in other modules"


def test_another_result_of_the_picture_is_looked_at_where_the_user_has_zoomed_to(opened, blobs):
    volume = scenes.add_volume(cases.draw(0)[0], "picture", np.diag([-0.3, -0.3, 1.0, 1.0]))
    module = opened()
    show_in(["Red"], volume)
    older, _ = (module.run(volume).record for _ in range(2))
    view = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    view.SetFieldOfView(3.0, 4.0, 1.0)
    results = module.panel.results.ui.resultComboBox
    results.currentIndex = 1
    results.activated.emit(1)
    assert module.panel.state().record == older
    assert view.GetFieldOfView()[:2] == (3.0, 4.0)


@pytest.mark.parametrize("clipped", [False, True])
def test_a_result_elsewhere_is_looked_at_with_its_image_and_not_beside_it(opened, blobs, clipped):
    """The views would else take over the image where they are, and show nothing of it.

    Where what lies over an image may reach beyond its edges, Slicer fits the views to that, too.
    """
    affine = np.diag([-0.3, -0.3, 1.0, 1.0])
    far = affine.copy()
    far[:3, 3] = 900.0
    first, second = (scenes.add_volume(cases.draw(i)[0], f"picture {i}", a) for i, a in enumerate((affine, far)))
    module = opened()
    for volume in (first, second):
        slicer.util.setSliceViewerLayers(background=volume, foreground=None, fit=True)
        module.run(volume)
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        composite.SetClipToBackgroundVolume(clipped)
    view = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    assert view.GetSliceOffset() == pytest.approx(900)
    results = module.panel.results.ui.resultComboBox
    results.currentIndex = 1
    results.activated.emit(1)
    application.process_events(0.1)
    composite = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == first.GetID()
    assert composite.GetForegroundVolumeID() == module.panel.state().record.uncertainty.GetID()
    assert view.GetSliceOffset() == pytest.approx(0)
    slicer.util.setSliceViewerLayers(background=second, foreground=None, fit=True)
    application.process_events(0.1)
    for shown, offset in ((first, 0), (second, 900)):
        application.click(module.panel.results.ui.overlayButton)
        assert composite.GetBackgroundVolumeID() == shown.GetID()
        assert view.GetSliceOffset() == pytest.approx(offset)


@pytest.fixture
def red_only():
    """A layout with one slice view; the others live on unseen."""
    manager, nodes = slicer.app.layoutManager(), slicer.vtkMRMLLayoutNode
    manager.layout = nodes.SlicerLayoutOneUpRedSliceView
    yield
    manager.layout = nodes.SlicerLayoutFourUpView


def test_a_view_that_is_not_in_the_layout_does_not_keep_the_outlines_of_another_picture(opened, blobs, red_only):
    affine = np.diag([-0.3, -0.3, 1.0, 1.0])
    first, second = (scenes.add_volume(cases.draw(i)[0], f"picture {i}", affine) for i in range(2))
    module = opened()
    show_in(["Red", "Green"], first)
    one = module.run(first).record.segmentation.GetDisplayNode()
    show_in(["Red"], second)[2].SetBackgroundVolumeID(first.GetID())
    module.run(second)
    assert not one.GetVisibility()


def segment_looks(segmentation: Any) -> tuple[bool, bool, int]:
    display = segmentation.GetDisplayNode()
    return (
        bool(display.GetVisibility2DFill()),
        bool(display.GetVisibility2DOutline()),
        display.GetSliceIntersectionThickness(),
    )


def blobs_of(kind: str) -> Any:
    """Add a volume of one slice or, as a stack, of three, or a cine; return the volume that shows it."""
    frames = [cases.draw(i)[0] for i in range(3)]
    if kind != "cine":
        return scenes.add_volume(np.stack(frames[: 1 if kind == "volume" else 3]), "blobs")
    cine, browser = scenes.add_cine(frames, "cine", np.diag([-0.3, -0.3, 1.0, 1.0]))
    application.process_events(0.1)
    return browser.GetProxyNode(cine)


@pytest.mark.parametrize("kind", ["volume", "stack", "cine"])
def test_what_is_replaced_while_it_is_shown_leaves_no_trace(opened, blobs, kind):
    volume = blobs_of(kind)
    pet = scenes.add_volume(cases.draw(0)[0], "PET")
    composites = show_in(["Red"], volume)
    composites[0].SetForegroundVolumeID(pet.GetID())
    composites[0].SetForegroundOpacity(0.3)
    before = looks(composites)
    module = opened({"start": "good", "prediction": ""})
    module.choose(volume)
    module.ui.slicesAsFramesCheckBox.checked = kind == "stack"
    first = module.run().record
    assert len(views_of(first)) == 1
    target = first.shown_segmentation
    application.click(module.panel.results.ui.overlayButton)
    filled = segment_looks(target)
    application.click(module.panel.results.ui.overlayButton)
    assert segment_looks(target) == (False, True, 2)

    module.ui.replaceSelector.setCurrentNode(target)
    second = module.run().record
    assert find_records(slicer.mrmlScene) == [second]
    assert second.shown_segmentation is target or kind == "cine"
    assert [c.GetForegroundVolumeID() for c in composites] == [second.shown_uncertainty.GetID(), None, None]
    assert segment_looks(second.shown_segmentation) == (False, True, 2)
    application.click(module.panel.results.ui.overlayButton)
    assert looks(composites) == before
    assert segment_looks(second.shown_segmentation) == filled


def test_an_earlier_result_of_the_image_does_not_cover_the_uncertainty_of_the_next(opened, blobs):
    volume = scenes.add_volume(cases.draw(0)[0], "blobs")
    show_in(["Red"], volume)
    module = opened({"start": "good", "prediction": ""})
    button = module.panel.results.ui.overlayButton
    first = module.run(volume).record
    application.click(button)
    filled = segment_looks(first.segmentation)
    application.click(button)
    second = module.run().record
    assert len(views_of(second)) == 1
    both = [first.segmentation, second.segmentation]
    assert [segment_looks(segmentation) for segmentation in both] == [(False, True, 2)] * 2
    application.click(button)
    assert [segment_looks(segmentation) for segmentation in both] == [filled] * 2


@pytest.mark.parametrize("replacing", [False, True], ids=["new", "replacing"])
@pytest.mark.parametrize("kind", ["volume", "stack", "cine"])
def test_an_image_that_is_shown_with_its_uncertainty_alone_stays_for_the_next_result(opened, blobs, kind, replacing):
    volume = blobs_of(kind)
    composites = show_in([], volume)
    module = opened({"start": "good", "prediction": ""})
    module.choose(volume)
    module.ui.slicesAsFramesCheckBox.checked = kind == "stack"
    first = module.run().record
    before = looks(composites)
    button = module.panel.results.ui.overlayButton
    application.click(button)
    assert len(views_of(first)) == 3
    module.ui.replaceSelector.setCurrentNode(first.shown_segmentation if replacing else None)
    second = module.run().record
    assert len(views_of(second)) == 3
    application.click(button)
    assert looks(composites) == before


@pytest.mark.parametrize("kind", ["volume", "stack", "cine"])
def test_a_script_that_replaces_what_is_shown_shows_the_next(opened, blobs, kind):
    volume = blobs_of(kind)
    composites = show_in(["Red"], volume)
    before = looks(composites)
    logic = opened({"start": "good", "prediction": ""}).widget.logic
    first = logic.process(volume, slicesAsFrames=kind == "stack")
    show_uncertainty(first, 0.4)
    second = logic.process(volume, slicesAsFrames=kind == "stack", replace=first.shown_segmentation)
    assert [composite.GetForegroundOpacity() for composite in views_of(second)] == [0.4]
    assert segment_looks(second.shown_segmentation) == (False, True, 2)
    hide_uncertainty(second)
    assert looks(composites) == before
    assert segment_looks(second.shown_segmentation)[0]


def test_views_that_show_something_else_are_left_alone(opened, blobs):
    volume = scenes.add_volume(cases.draw(0)[0], "blobs")
    other = scenes.add_volume(cases.draw(1)[0], "other")
    composites = show_in(["Red", "Green"], other)
    before = looks(composites)
    module = opened()
    module.run(volume)
    assert looks(composites) == before
    assert not module.panel.results.ui.overlayButton.checked


def test_frames_appear_in_table_and_curve_as_they_are_done_and_what_is_hidden_stays_hidden(opened, blobs):
    cine, browser = scenes.add_cine([cases.draw(i)[0] for i in range(12)], "cine", np.diag([-0.3, -0.3, 1.0, 1.0]))
    browser.SetSelectedItemNumber(3)
    application.process_events(0.1)
    shown = browser.GetProxyNode(cine)
    composites = show_in(["Red"], shown)
    module = opened()
    ui = module.panel.results.ui
    module.choose(shown)
    job = module.apply()
    module.until(lambda: job.kept >= 1)
    application.process_events(0.1)
    assert ui.frameLabel.text.startswith("Frame 4 of 12: mean uncertainty ")  # the one that is looked at comes first
    assert composites[0].GetForegroundVolumeID() == job.record.shown_uncertainty.GetID()
    application.click(ui.overlayButton)
    module.until(lambda: job.ended)
    application.process_events(0.1)
    assert composites[0].GetForegroundVolumeID() is None
    assert browser.GetSelectedItemNumber() == 3
    rows = frames_of(job.record)
    assert len(rows) == 12
    assert "All 12 frames are computed." in ui.resultInfoLabel.text
    plot = module.panel.curve._plot
    drawn = plot.view._qt.points(plot.nodes["chart"].GetNthPlotSeriesNode(0))
    assert [y for _, y in drawn] == [row.mean_uncertainty for row in rows]
    application.click(ui.worstFrameButton)
    assert browser.GetSelectedItemNumber() == max(rows, key=lambda row: row.mean_uncertainty).number
