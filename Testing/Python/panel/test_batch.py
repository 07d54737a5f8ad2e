"""Several images at once: which, in what order, what is seen meanwhile, and what ends it."""

from __future__ import annotations

import zipfile
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from SemiSegCervicalLib.figures import SegmentFigures
from SemiSegCervicalLib.packs import fingerprint
from SemiSegCervicalLib.scene.record_figures import set_segments
from SemiSegCervicalLib.scene.records import find_records, new_record
from SemiSegCervicalLib.scene.segmentation import new_segmentation
from SlicerRig import application, scenes

NAME, RESULT, DICE = range(3)


@pytest.fixture
def several(opened, picture):
    """Return what opens the panel with some pictures, the first of them chosen, and the section unfolded."""

    def make(count: int = 3, how: Any = "") -> SimpleNamespace:
        volumes = [picture(seed, f"Picture {seed}") for seed in range(count)]
        module = opened(how)
        slicer.util.setSliceViewerLayers(background=volumes[0], fit=True)
        module.choose(volumes[0])
        module.ui.batchButton.collapsed = False
        application.process_events(0.1)
        return SimpleNamespace(module=module, ui=module.ui, volumes=volumes, panel=module.panel)

    return make


def rows(ui: Any) -> list[tuple[str, str, str]]:
    table = ui.batchTable
    return [tuple(table.item(row, column).text() for column in range(3)) for row in range(table.rowCount)]


def ticked(ui: Any) -> list[str]:
    table = ui.batchTable
    items = [table.item(row, NAME) for row in range(table.rowCount)]
    return [item.text() for item in items if item.checkState() == 2]


def tick(ui: Any, number: int, on: bool) -> None:
    ui.batchTable.item(number, NAME).setCheckState(2 if on else 0)
    application.process_events(0.05)


def begin(on: SimpleNamespace) -> None:
    application.process_events(0.05)
    assert on.ui.batchStartButton.enabled, on.ui.batchStartButton.toolTip
    application.click(on.ui.batchStartButton)


def end(on: SimpleNamespace) -> None:
    on.module.until(lambda: not on.panel.state().busy)
    application.process_events(0.1)


def sources() -> list[str]:
    return [record.shown_source.GetName() for record in find_records(slicer.mrmlScene)]


def test_all_images_are_segmented_one_after_another(several, blobs, cine):
    cine(4)
    scenes.add_volume(np.zeros((5, 20, 30), np.uint8), "Volume")
    on = several()
    ui = on.ui
    assert rows(ui) == [(name, "none", "\N{EN DASH}") for name in ("Cine", "Picture 0", "Picture 1", "Picture 2")]
    assert ui.batchInfoLabel.text == "Not listed: 1 image that the model cannot read."
    assert ui.batchStartButton.text == "Segment 4 images"
    begin(on)
    assert ui.applyButton.text == "Cancel"
    assert not ui.batchStartButton.enabled
    assert not ui.modelComboBox.enabled
    said = set()
    on.module.until(lambda: said.add(ui.stageLabel.text.partition(". ")[0]) or not on.panel.state().busy)
    application.process_events(0.1)
    assert {f"Image {n} of 4" for n in range(1, 5)} <= said
    assert sources() == ["Cine", "Picture 0", "Picture 1", "Picture 2"]
    assert [row[RESULT] for row in rows(ui)] == ["done"] * 4
    assert all(0 < float(row[DICE].rstrip(" ?")) <= 1 for row in rows(ui))
    assert ticked(ui) == []
    assert "Tick the images first." in ui.batchStartButton.toolTip
    assert "All 4 images are segmented." in ui.messageLabel.text
    alone = on.module.run(on.volumes[1]).record
    together = find_records(slicer.mrmlScene)[2]
    for role in ("segmentation", "uncertainty"):
        arrays = [voxels(getattr(record, role)) for record in (alone, together)]
        assert arrays[0].any()
        assert np.array_equal(*arrays)


def voxels(node: Any) -> np.ndarray:
    if node.IsA("vtkMRMLSegmentationNode"):
        ids = node.GetSegmentation().GetSegmentIDs()
        return np.stack([slicer.util.arrayFromSegmentBinaryLabelmap(node, name) for name in ids])
    return slicer.util.arrayFromVolume(node).copy()


def test_what_is_ticked_is_what_has_no_result_of_this_model_or_what_the_user_says(several, blobs):
    on = several()
    on.module.run(on.volumes[1])
    assert ticked(on.ui) == ["Picture 0", "Picture 2"]
    assert rows(on.ui)[1][RESULT] == "there"
    tick(on.ui, 0, False)
    tick(on.ui, 1, True)
    assert on.ui.batchStartButton.text == "Segment 2 images"
    begin(on)
    end(on)
    assert sources() == ["Picture 1", "Picture 1", "Picture 2"], "nothing is replaced"
    assert ticked(on.ui) == ["Picture 0"]
    application.click(on.ui.batchNoneButton)
    assert ticked(on.ui) == []
    application.click(on.ui.batchRestButton)
    assert ticked(on.ui) == ["Picture 0"]


def test_a_new_version_of_a_model_has_segmented_nothing_yet(several, blobs):
    """It is trained to be used on all images again, and they must not be left out as if it had seen them."""
    on = several()
    on.module.run(on.volumes[1])
    assert ticked(on.ui) == ["Picture 0", "Picture 2"]
    with zipfile.ZipFile(blobs, "a") as archive:
        archive.comment = b"the next one"
    on.panel.exit()
    on.panel.enter()
    application.process_events(0.1)
    assert ticked(on.ui) == ["Picture 0", "Picture 1", "Picture 2"]
    assert rows(on.ui)[1][RESULT] == "none"
    tip = on.ui.batchTable.item(1, RESULT).toolTip()
    assert tip == "Another version of this model has segmented it, this one has not."
    begin(on)
    end(on)
    assert [row[RESULT] for row in rows(on.ui)] == ["done"] * 3
    assert sources() == ["Picture 1", "Picture 0", "Picture 1", "Picture 2"]


def test_of_two_results_of_an_image_the_newer_one_is_seen_when_it_is_looked_at(several, blobs):
    """Of an image that was not in the views they were hidden both, and came back both, over each other."""
    on = several()
    for _ in range(2):
        for number in range(3):
            tick(on.ui, number, True)
        begin(on)
        end(on)
    records = find_records(slicer.mrmlScene)
    assert sources() == 2 * ["Picture 0", "Picture 1", "Picture 2"]
    on.ui.batchTable.cellActivated(1, NAME)
    application.process_events(0.2)
    shown = [bool(record.segmentation.GetDisplayNode().GetVisibility()) for record in records]
    assert shown == [False, False, False, False, True, False]
    assert on.panel.state().record == records[4]


def test_the_chosen_image_stays_chosen_and_another_may_be_looked_at_meanwhile(several, blobs):
    on = several()
    first = on.module.run(on.volumes[0]).record
    application.process_events(0.1)
    begin(on)
    on.module.until(lambda: len(find_records(slicer.mrmlScene)) == 2)
    application.process_events(0.05)
    assert on.panel.state().record == first
    assert on.panel.state().source.node is on.volumes[0]
    hidden = find_records(slicer.mrmlScene)[1].segmentation.GetDisplayNode()
    assert not hidden.GetVisibility(), "it would lie over the picture that is seen"
    assert first.segmentation.GetDisplayNode().GetVisibility()
    assert on.ui.sourceSelector.enabled
    on.ui.batchTable.setCurrentCell(1, NAME)
    QTest.keyClick(on.ui.batchTable._qt, Qt.Key.Key_Return)
    application.process_events(0.1)
    assert on.panel.state().source.node is on.volumes[1]
    assert on.panel.state().record.source is on.volumes[1]
    assert hidden.GetVisibility()
    end(on)
    assert sources() == ["Picture 0", "Picture 1", "Picture 2"]
    assert on.panel.state().source.node is on.volumes[1]
    table = on.ui.batchTable._qt
    place = table.visualItemRect(table.item(2, RESULT)).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert on.panel.state().source.node is on.volumes[1]
    QTest.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    application.process_events(0.1)
    assert on.panel.state().source.node is on.volumes[2]


def test_nothing_lies_over_what_is_seen_while_another_module_is_open(several, blobs):
    on = several()
    begin(on)
    on.module.widget.exit()
    on.panel.exit()
    end(on)
    shown = [r.segmentation.GetDisplayNode().GetVisibility() for r in find_records(slicer.mrmlScene)]
    assert shown == [1, 0, 0]


def test_cancel_ends_all_and_keeps_what_is_done(several, blobs):
    on = several(4)
    begin(on)
    on.module.until(lambda: len(find_records(slicer.mrmlScene)) == 1)
    on.module.until(lambda: on.panel.state().job is not None)
    application.click(on.ui.applyButton)
    end(on)
    found = sources()
    assert found in (["Picture 0"], ["Picture 0", "Picture 1"]), "a result that has arrived is not taken back"
    results = [row[RESULT] for row in rows(on.ui)]
    assert results == ["done"] * len(found) + ["cancelled"] * (4 - len(found))
    assert f"{len(found)} of 4 images are segmented. {4 - len(found)} were not begun or" in on.ui.messageLabel.text
    assert ticked(on.ui) == [f"Picture {n}" for n in range(len(found), 4)]


def test_a_deleted_image_is_passed_over(several, blobs):
    on = several(4)
    begin(on)
    slicer.mrmlScene.RemoveNode(on.volumes[2])
    on.module.until(lambda: len(find_records(slicer.mrmlScene)) == 1)
    on.module.until(lambda: on.panel.state().job is not None or not on.panel.state().busy)
    slicer.mrmlScene.RemoveNode(on.volumes[1])
    end(on)
    assert "Picture 3" in sources()
    assert [row[NAME] for row in rows(on.ui)] == ["Picture 0", "Picture 3"]


@pytest.mark.parametrize("gone", ["scene", "panel"])
def test_nothing_goes_on_without_a_scene_or_a_panel(several, blobs, gone):
    on = several(4)
    begin(on)
    on.module.until(lambda: on.panel.state().job is not None)
    if gone == "scene":
        slicer.mrmlScene.Clear(0)
        on.module.until(lambda: not on.panel.state().busy)
        application.process_events(0.3)
        assert not on.ui.batchButton.visible
        assert not on.ui.messageFrame.visible
    else:
        on.panel.close()
        application.process_events(0.3)
    assert find_records(slicer.mrmlScene) == []


def test_images_of_a_batch_are_let_go_with_their_scene(several, blobs):
    on = several(3)
    begin(on)
    end(on)
    kept = scenes.kept_images()
    assert kept() >= 3
    on.volumes.clear()
    slicer.mrmlScene.Clear(0)
    application.process_events(0.3)
    assert kept() == 0


@pytest.mark.parametrize("number", [1, 2])
def test_one_that_fails_is_told_and_the_others_go_on(several, blobs, number):
    on = several(3)
    begin(on)
    odd = np.zeros((1, 32, 1), np.uint8)
    slicer.util.updateVolumeFromArray(on.volumes[number], odd)  # after it was offered: a line is no picture
    end(on)
    assert sources() == [f"Picture {n}" for n in range(3) if n != number]
    said = on.ui.messageLabel.text
    assert said.startswith(f"2 of 3 images are segmented. Failed: Picture {number}. The slices of")
    assert said.endswith("Orient Scalar Volume.")


def test_two_failures_of_one_kind_end_it(several, blobs):
    on = several(4, {"start": "good", "prediction": "disk-full"})
    begin(on)
    end(on)
    assert [row[RESULT] for row in rows(on.ui)] == ["failed", "failed", "cancelled", "cancelled"]
    assert "0 of 4 images are segmented. Failed: Picture 0, Picture 1. It is full. Free" in on.ui.messageLabel.text
    assert "2 were not begun" in on.ui.messageLabel.text
    assert "Free some space" in on.ui.batchTable.item(0, RESULT).toolTip()


def test_another_scene_begins_anew(several, blobs, picture):
    on = several(2)
    begin(on)
    end(on)
    assert on.ui.messageLabel.text
    application.click(on.ui.batchNoneButton)
    ids = [volume.GetID() for volume in on.volumes]
    slicer.mrmlScene.Clear(0)
    assert not on.ui.messageFrame.visible, "it was about other images"
    again = [picture(seed, f"New {seed}") for seed in range(2)]
    application.process_events(0.2)
    assert [volume.GetID() for volume in again] == ids
    assert ticked(on.ui) == ["New 0", "New 1"]


def test_one_image_is_no_batch(opened, blobs, picture):
    module = opened("good")
    module.choose(picture())
    helper = picture(1, "what another module works with")
    helper.SetHideFromEditors(True)
    application.process_events(0.1)
    module.panel.refresh()
    assert not module.ui.batchButton.visible
    helper.SetHideFromEditors(False)
    module.panel.refresh()
    assert module.ui.batchButton.visible


def test_the_lowest_predicted_dice_is_told_and_doubted_where_the_image_looks_unlike(several, blobs):
    on = several(2, "good")
    empty = new_segmentation(on.volumes[0], np.zeros((1, 32, 48), np.uint8), scenes.BLOBS)
    run = {"pack": blobs.name, "fingerprint": fingerprint(blobs)}
    record = new_record(slicer.mrmlScene, "Result", on.volumes[0], empty, None, scenes.BLOBS, run)
    shown = [((0.91, 0.84), 0.5, "0.84"), ((None, 0.91), 1.2, "0.91 ?"), ((None, None), 1.2, "\N{EN DASH}")]
    for dice, atypicality, said in shown:
        figures = [SegmentFigures(name, 1, 5, None, None, 0.1, share) for name, share in zip("ab", dice, strict=True)]
        set_segments(record, figures, None, atypicality)
        on.panel.refresh()
        assert rows(on.ui)[0] == ("Picture 0", "there", said)
    assert rows(on.ui)[1] == ("Picture 1", "none", "\N{EN DASH}")


@pytest.mark.parametrize(
    ("states", "unlike", "said"),
    [
        ("dd", 0, "All 2 images are segmented."),
        ("dd", 1, "All 2 images are segmented. Picture 0 looks unlike the images of the training."),
        ("dd", 2, "All 2 images are segmented. Picture 0, Picture 1 look unlike the images of the training."),
        ("dddd", 4, "All 4 images are segmented. Picture 0, Picture 1, Picture 2 and 1 more look unlike"),
        ("ddc", 0, "2 of 3 images are segmented. 1 was not begun or not finished."),
        ("dcc", 0, "1 of 3 images are segmented. 2 were not begun or not finished."),
        ("dg", 0, "1 of 2 images are segmented."),
    ],
)
def test_what_is_told_of_how_several_went(clean, picture, states, unlike, said):
    from SemiSegCervicalLib.panel import batch

    words = {"d": batch.DONE, "c": batch.CANCELLED, "g": batch.GONE}
    cases = [{0: picture(0, f"Picture {n}")} for n in range(len(states))]
    done = batch.Batch(cases, lambda images: images, lambda job: job)
    for number, (item, state) in enumerate(zip(done.items, states, strict=True)):
        item.state, item.doubts = words[state], ("It is odd",) * (number < unlike)
    told, look = batch.summary(done)
    assert told.startswith(said)
    assert look == (unlike > 0), "only then is it a warning"
    assert not done.active
