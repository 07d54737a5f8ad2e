"""A result of the real worker arrives in the panel: what is shown, in what order, and what stays as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from SemiSegCervicalLib.scene.layers import views_of
from SemiSegCervicalLib.scene.records import find_records, frames_of
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
