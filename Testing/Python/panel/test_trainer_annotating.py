"""The selected image in detail: its frames, the way there, and what a person accepts of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.scene import pairs
from SlicerRig import application, scenes

CINE = 6


@pytest.fixture
def module(opened_trainer: Callable[..., Any], partly: Any) -> Any:
    made = opened_trainer()
    made.settle()
    return made


def select(module: Any, row: int) -> None:
    module.ui.casesTable.setCurrentCell(row, 0)
    application.process_events(0.15)


def press(module: Any, name: str) -> None:
    button = getattr(module.ui, name)
    assert button.enabled, button.toolTip
    application.click(button)
    module.settle()


def case(module: Any, name: str) -> Any:
    return next(case for case in module.panel.training_set.cases if case.name == name)


def test_nothing_is_shown_before_an_image_is_selected(module: Any) -> None:
    assert not module.ui.detailsBox.isVisible()
    select(module, 5)
    assert module.ui.detailsBox.isVisible()
    assert module.ui.detailsBox.title == "Volume 5"
    assert not module.ui.framesTable.isVisible()


def test_a_long_name_makes_the_panel_no_wider(module: Any, partly: Any) -> None:
    select(module, 5)
    wide = application.least_width(module.widget.parent)
    name = "Smith & Jones, " + 12 * "as hospitals call it "
    partly.volumes[5].SetName(name)
    module.panel.look_again()
    module.settle()
    select(module, 5)
    box = module.ui.detailsBox
    assert box.title.startswith("Smith && Jones")
    assert name in box.toolTip
    assert application.least_width(module.widget.parent) == wide
    select(module, 0)
    assert (box.title, box.toolTip) == ("Volume 0", "")


def test_a_frame_is_accepted_and_taken_back(module: Any, partly: Any, pictures: Any) -> None:
    from SlicerRig import scenes
    from TrainingRig import cases

    ui = module.ui
    select(module, CINE)
    assert ui.framesTable.rowCount == 12
    value = partly.sequence.GetNthIndexValue(6)
    scenes.draw_frame(partly.drawn, partly.sequence, value, cases.draw(6)[1], partly.classes)
    ui.framesTable.cellClicked(6, 0)
    application.process_events(0.2)
    assert partly.browser.GetSelectedItemNumber() == 6
    assert ui.acceptHereButton.text == "Accept frame 7"
    assert not ui.withdrawButton.enabled
    application.screenshot(module.widget.parent, pictures / "trainer-frames.png")
    press(module, "acceptHereButton")
    assert case(module, "Cine, frame 7").read_labels is not None
    assert "frame 7 is accepted" in ui.messageLabel.text
    assert "6 of 12 frames" in ui.casesTable.cellWidget(CINE, 1).format
    press(module, "withdrawButton")
    assert case(module, "Cine, frame 7").read_labels is None
    assert "5 of 12 frames" in ui.casesTable.cellWidget(CINE, 1).format


def test_a_cine_in_which_nobody_has_drawn_cannot_be_accepted(module: Any, cine: Any) -> None:
    cine(3, name="Fresh")
    module.settle()
    select(module, CINE + 1)
    assert module.ui.framesTable.rowCount == 3
    assert not module.ui.acceptHereButton.enabled, "nobody sees it"
    assert "Show it first" in module.ui.acceptHereButton.toolTip
    press(module, "showButton")
    application.click(module.ui.acceptHereButton)
    assert "Nothing is drawn on Fresh, frame 1" in module.ui.messageLabel.text


def test_the_buttons_follow_what_is_looked_at(module: Any, partly: Any) -> None:
    select(module, CINE)
    partly.browser.SetSelectedItemNumber(3)
    application.process_events(0.3)
    assert module.ui.acceptHereButton.text == "Accept frame 4"
    assert module.ui.withdrawButton.enabled
    partly.browser.SetSelectedItemNumber(5)
    application.process_events(0.3)
    assert module.ui.acceptHereButton.text == "Accept frame 6"
    assert not module.ui.withdrawButton.enabled


def test_a_slice_is_accepted(module: Any, partly: Any) -> None:
    from SemiSegCervicalLib.scene.navigation import show_frame
    from SemiSegTrainerLib.scene.modes import set_mode

    set_mode(partly.segmentations[1], "unfinished")
    module.panel.look_again()
    module.settle()
    select(module, 1)
    assert not module.ui.acceptHereButton.enabled, "it is not shown"
    assert "Show it first" in module.ui.acceptHereButton.toolTip
    press(module, "showButton")
    show_frame(partly.volumes[1], 5)
    application.process_events(0.3)
    assert module.ui.acceptHereButton.text == "Accept slice 6"
    press(module, "acceptHereButton")
    assert case(module, "Volume 1").slices == (5,)
    press(module, "acceptAllButton")
    assert case(module, "Volume 1").slices is None
    assert case(module, "Volume 1").use == "labelled"


def test_what_is_accepted_is_told_to_be_empty(module: Any, partly: Any) -> None:
    """Every slice but one of an atlas is drawn: who accepts that one says that nothing is there."""
    from SemiSegCervicalLib.scene.navigation import show_frame
    from SemiSegCervicalLib.scene.segmentation import new_segmentation
    from SemiSegTrainerLib.scene.modes import set_mode
    from TrainingRig import cases

    labels = np.stack([cases.draw(50 + z)[1] for z in range(8)])
    labels[5] = 0
    set_mode(new_segmentation(partly.volumes[5], labels, partly.classes), "unfinished")
    module.panel.look_again()
    module.settle()
    select(module, 5)
    press(module, "showButton")
    for number, empty in ((4, False), (5, True)):
        show_frame(partly.volumes[5], number)
        application.process_events(0.3)
        press(module, "acceptHereButton")
        told = "Nothing is drawn on it: all of it counts as background." in module.ui.messageLabel.text
        assert told == empty
    press(module, "acceptAllButton")
    assert "Nothing is drawn on 1 slice between those that are" in module.ui.messageLabel.text


def test_hidden_segments_that_are_accepted_with_the_others_are_named(module: Any, partly: Any) -> None:
    select(module, 3)
    press(module, "showButton")
    segmentation = partly.segmentations[3]
    display = segmentation.GetDisplayNode()
    told = "What is hidden counts, too (dark): look at it, and flag what is not right."
    for button in ("acceptHereButton", "acceptAllButton"):
        display.SetSegmentVisibility("Segment_2", False)
        press(module, button)
        assert told in module.ui.messageLabel.text
        display.SetSegmentVisibility("Segment_2", True)
        press(module, button)
        assert "hidden" not in module.ui.messageLabel.text
    select(module, CINE)
    module.ui.framesTable.cellClicked(3, 0)
    application.process_events(0.2)
    shown = partly.browser.GetProxyNode(partly.drawn)
    shown.GetDisplayNode().SetRemoveUnusedDisplayProperties(False)  # as that of a model's result
    shown.GetDisplayNode().SetSegmentVisibility("Segment_2", False)
    press(module, "acceptHereButton")
    assert told in module.ui.messageLabel.text
    scenes.Status.SetSegmentStatus(segmentation.GetSegmentation().GetSegment("Segment_2"), scenes.Status.Flagged)
    display.SetSegmentVisibility("Segment_2", False)
    select(module, 3)
    press(module, "showButton")
    press(module, "acceptHereButton")
    assert "hidden" not in module.ui.messageLabel.text, "it does not count"


def test_the_outlines_of_another_image_are_not_taken_for_those_of_the_selected_one(module: Any, partly: Any) -> None:
    """Both lie in one place: what is accepted would not be what is seen."""
    import slicer

    own, other = (partly.segmentations[number].GetDisplayNode() for number in (0, 1))
    slicer.util.setSliceViewerLayers(background=partly.volumes[0])
    assert other.GetVisibility()
    select(module, 1)
    assert own.GetVisibility(), "no view shows the selected image"
    select(module, 0)
    assert module.ui.acceptHereButton.enabled
    assert (own.GetVisibility(), other.GetVisibility()) == (1, 0)
    other.SetVisibility(True)
    module.panel.refresh()
    application.process_events(0.3)
    assert other.GetVisibility(), "the user wants to see it"
    slicer.util.setSliceViewerLayers(background=partly.volumes[1])
    select(module, 1)
    assert (own.GetVisibility(), other.GetVisibility()) == (0, 1)
    slicer.util.selectModule("SegmentEditor")
    slicer.util.setSliceViewerLayers(background=partly.volumes[0])
    application.process_events(0.1)
    assert own.GetVisibility(), "who goes on drawing in it has to see it"


def test_an_image_is_shown_without_what_lay_over_another_one(module: Any, partly: Any) -> None:
    import slicer

    first, over, labels, other = (partly.volumes[number].GetID() for number in (0, 1, 2, 5))
    slicer.util.setSliceViewerLayers(background=first, foreground=over, label=labels)
    view = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceCompositeNode()

    def layers() -> list[Any]:
        return [view.GetBackgroundVolumeID(), view.GetForegroundVolumeID(), view.GetLabelVolumeID()]

    select(module, 0)
    press(module, "showButton")
    assert layers() == [first, over, labels]
    select(module, 5)
    press(module, "showButton")
    assert layers() == [other, None, None]


def test_a_models_result_counts_once_it_is_accepted(module: Any, partly: Any) -> None:
    from SemiSegCervicalLib.scene.segmentation import new_segmentation
    from TrainingRig import cases

    labels = np.stack([cases.draw(50 + z)[1] for z in range(8)])
    new_segmentation(partly.volumes[5], labels, partly.classes)
    module.panel.look_again()
    module.settle()
    assert case(module, "Volume 5").use == "unlabelled"
    select(module, 5)
    press(module, "acceptAllButton")
    assert module.ui.messageLabel.text == "Volume 5 is accepted as a whole: it counts from now on."
    assert case(module, "Volume 5").use == "labelled"
    assert np.array_equal(case(module, "Volume 5").labels, labels)


def test_of_several_results_the_one_that_is_marked_has_to_be_chosen(module: Any, partly: Any) -> None:
    """A choice of how far it is annotated would accept the first of them, whichever was looked at."""
    from SemiSegCervicalLib.scene.segmentation import new_segmentation
    from SemiSegTrainerLib.scene.modes import mode_of
    from TrainingRig import cases

    labels = np.stack([cases.draw(50 + z)[1] for z in range(8)])
    first, second = (new_segmentation(partly.volumes[5], labels, partly.classes, name) for name in ("one", "two"))
    module.panel.look_again()
    module.settle()
    select(module, 5)
    assert not module.ui.modeComboBox.isVisible()
    combo_choose(module, "segmentationComboBox", "two")
    combo_choose(module, "modeComboBox", "The whole volume")
    assert [mode_of(node).mode for node in (first, second)] == ["none", "whole"]


def test_an_image_without_a_segmentation_cannot_be_accepted(module: Any) -> None:
    select(module, 5)
    application.click(module.ui.acceptAllButton)
    assert "Nothing is drawn in this image" in module.ui.messageLabel.text
    module.panel.look_again()
    module.settle()
    assert module.ui.messageFrame.isVisible(), "it is still so"
    select(module, 4)
    assert not module.ui.messageFrame.isVisible(), "that was about another image"


def test_the_start_on_a_picture_is_accepted_where_the_picture_is(module: Any, partly: Any) -> None:
    from SemiSegTrainerLib.scene.places import Place
    from SemiSegTrainerLib.scene.starts import put_start
    from SlicerRig import scenes
    from TrainingRig import cases

    drawn = cases.draw(30)
    picture = scenes.add_volume(drawn[0], "Picture")
    assert put_start(Place(picture, 0), drawn[1], partly.classes)
    module.settle()
    select(module, 6)
    assert module.ui.detailsBox.title == "Picture"
    press(module, "acceptAllButton")
    assert module.ui.messageLabel.text == "Picture is accepted as a whole: it counts from now on."
    assert np.array_equal(case(module, "Picture").labels, drawn[1])


def test_frames_that_have_not_changed_are_left_alone(module: Any) -> None:
    table = module.ui.framesTable
    select(module, CINE)
    table.item(8, 1).setText("left alone")
    cases = module.panel.training_set.cases
    module.panel.look_again()
    module.settle()
    assert module.panel.training_set.cases is not cases
    assert table.item(8, 1).text() == "left alone"


def test_what_is_accepted_and_left_out_is_not_said_to_be_learned_from(module: Any) -> None:
    module.panel.cases.table._on_use(case(module, "Volume 0").id, "Left out")
    module.settle()
    select(module, 0)
    press(module, "acceptAllButton")
    assert 'does not learn from it while its use is "Left out"' in module.ui.messageLabel.text
    select(module, CINE)
    module.ui.framesTable.cellClicked(3, 0)
    application.process_events(0.2)
    press(module, "acceptHereButton")
    assert module.ui.messageLabel.text.endswith("frame 4 is accepted: it counts from now on.")


def test_drawing_goes_on_in_the_segment_editor(module: Any, partly: Any) -> None:
    import slicer

    select(module, 0)
    press(module, "showButton")
    application.process_events(0.2)
    application.click(module.ui.drawButton)
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    assert editor.segmentationNode() is partly.segmentations[0]
    assert editor.sourceVolumeNode() is partly.volumes[0]
    slicer.util.selectModule("SemiSegTrainer")


def test_drawing_goes_on_in_what_is_seen(module: Any, partly: Any) -> None:
    """A newer model's result hides the older one, in which frames were accepted before."""
    import slicer
    from SemiSegCervicalLib.scene.frames import CineResult, FrameResult
    from TrainingRig import cases

    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    drawn = partly.browser.GetProxyNode(partly.drawn)
    newer = CineResult(partly.sequence, partly.classes, uncertainty=False)
    while newer.prepare(12):
        pass
    values = [partly.sequence.GetNthIndexValue(k) for k in range(12)]
    newer.add_frames([FrameResult(value, cases.draw(1)[1]) for value in values])
    newer.finish()
    module.settle()
    select(module, CINE)
    for frame, node in ((5, newer.browser.GetProxyNode(newer.segmentations)), (4, drawn)):
        drawn.GetDisplayNode().SetVisibility(False)
        module.ui.framesTable.cellClicked(frame, 0)
        application.process_events(0.2)
        application.click(module.ui.drawButton)
        assert editor.segmentationNode() is node
        assert node.GetDisplayNode().GetVisibility(), "who draws in it has to see it"
        slicer.util.selectModule("SemiSegTrainer")
        application.process_events(0.2)


def test_drawing_begins_where_nothing_is_drawn(module: Any, partly: Any) -> None:
    import slicer

    select(module, 5)
    press(module, "showButton")
    application.process_events(0.2)
    application.click(module.ui.drawButton)
    assert not module.ui.messageFrame.isVisible(), module.ui.messageLabel.text
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    made = editor.segmentationNode().GetSegmentation()
    assert [made.GetNthSegment(k).GetName() for k in range(made.GetNumberOfSegments())] == ["bright", "dark"]
    assert editor.sourceVolumeNode() is partly.volumes[5]
    slicer.util.selectModule("SemiSegTrainer")
    module.settle()
    assert case(module, "Volume 5").use == "unlabelled"


def combo_choose(module: Any, name: str, text: str) -> None:
    combo = getattr(module.ui, name)
    combo.currentIndex = next(i for i in range(combo.count) if text in combo.itemText(i))
    combo.activated(combo.currentIndex)
    module.settle()


def test_how_far_a_volume_is_annotated_is_said_in_one_choice(module: Any, partly: Any, pictures: Any) -> None:
    ui = module.ui
    select(module, 0)
    assert ui.modeComboBox.currentText == "The whole volume is finished"
    assert not ui.slicesLineEdit.isVisible()
    combo_choose(module, "modeComboBox", "Unfinished")
    assert case(module, "Volume 0").finished == ()
    combo_choose(module, "modeComboBox", "paint are finished")
    assert case(module, "Volume 0").use in ("labelled", "partly")
    combo_choose(module, "modeComboBox", "Scribbles")
    assert not case(module, "Volume 0").complete
    combo_choose(module, "modeComboBox", "These slices")
    assert not case(module, "Volume 0").complete, "nothing has changed before slices are named"
    assert ui.slicesLineEdit.isVisible()
    ui.slicesLineEdit.text = "1, 9"
    ui.slicesLineEdit.editingFinished()
    assert "1 to 8" in ui.messageLabel.text
    ui.slicesLineEdit.text = "2, 5-7"
    ui.slicesLineEdit.editingFinished()
    module.settle()
    assert case(module, "Volume 0").slices == (1, 4, 5, 6)
    application.screenshot(module.widget.parent, pictures / "trainer-mode.png")
    select(module, 3)
    assert ui.slicesLineEdit.text == "2, 5, 7"
    select(module, 5)
    assert not ui.modeComboBox.isVisible(), "it has no segmentation"


@pytest.mark.parametrize(
    ("text", "slices"),
    [("", ()), ("3", (2,)), ("3, 8-10", (2, 7, 8, 9)), ("1 – 2; 4", (0, 1, 3)), ("2 to 3 10", (1, 2, 9))],  # noqa: RUF001
)
def test_slices_are_read_as_people_write_them(text: str, slices: tuple[int, ...]) -> None:
    from SemiSegTrainerLib.panel.marking import read_slices, write_slices

    assert read_slices(text, 10) == slices
    assert read_slices(write_slices(slices), 10) == slices


@pytest.mark.parametrize("text", ["0", "11", "5-3", "a", "1-2-3", "-4", "1.5"])
def test_other_slices_are_refused(text: str) -> None:
    from SemiSegCervicalLib.errors import SemiSegError
    from SemiSegTrainerLib.panel.marking import read_slices

    with pytest.raises(SemiSegError, match="names no slices"):
        read_slices(text, 10)


def test_one_of_several_segmentations_is_chosen(module: Any, partly: Any) -> None:
    from SlicerRig import scenes

    labels = np.zeros((8, 32, 48), np.uint8)
    labels[:, 4:8, 4:8] = 1
    other = scenes.add_segmentation(partly.volumes[0], labels, partly.classes[:1], name="Second reader")
    module.panel.look_again()
    module.settle()
    assert case(module, "Volume 0").use == "left out"
    select(module, 0)
    combo_choose(module, "segmentationComboBox", "Second reader")
    assert case(module, "Volume 0").segmentation == other.GetID()
    assert int(case(module, "Volume 0").labels.sum()) == int(labels.sum())
    combo_choose(module, "segmentationComboBox", "annotated")
    assert case(module, "Volume 0").use == "left out"


def test_slices_as_frames(module: Any, partly: Any) -> None:
    ui = module.ui
    select(module, 0)
    ui.slicesAreFramesCheckBox.click()
    module.settle()
    assert ui.framesTable.isVisible()
    assert ui.framesTable.rowCount == 8
    assert len(module.panel.training_set.cases) == 6 + 12 + 7
    assert "8 of 8 frames" in ui.casesTable.cellWidget(0, 1).format
    ui.framesTable.setCurrentCell(2, 0)
    combo_choose(module, "frameUseComboBox", "Left out")
    assert case(module, "Volume 0, slice 3").use == "left out"
    ui.slicesAreFramesCheckBox.click()
    module.settle()
    assert len(module.panel.training_set.cases) == 6 + 12


def test_a_frame_is_used_otherwise_than_its_cine(module: Any, partly: Any) -> None:
    ui = module.ui
    select(module, CINE)
    assert not ui.frameUseComboBox.enabled
    ui.framesTable.setCurrentCell(4, 0)
    ui.framesTable.cellClicked(4, 0)
    assert ui.frameUseComboBox.enabled
    combo_choose(module, "frameUseComboBox", "Left out")
    assert ui.framesTable.item(4, 2).text() == "Left out"
    assert ui.frameUseComboBox.currentText == "Left out"
    combo_choose(module, "frameUseComboBox", "As the cine")
    assert ui.framesTable.item(4, 2).text() != "Left out" or "too much" in ui.framesTable.item(4, 1).text()


def test_two_modalities_are_paired_and_taken_apart(module: Any, partly: Any, pictures: Any) -> None:
    ui = module.ui
    select(module, 0)
    assert not ui.pairButton.isVisible()
    ui.partnerSelector.setCurrentNode(partly.volumes[5])
    application.process_events(0.05)
    application.click(ui.pairButton)
    assert "different modalities" in ui.messageLabel.text
    ui.modalityLineEdit.text, ui.partnerModalityLineEdit.text = "T1", "FLAIR"
    application.click(ui.pairButton)
    module.settle()
    assert case(module, "Volume 0").image.shape[0] == 2
    assert "Volume 5 (FLAIR)" in ui.pairedLabel.text
    application.screenshot(module.widget.parent, pictures / "trainer-paired.png")
    assert [c.name for c in module.panel.training_set.cases if c.name == "Volume 5"] == []
    assert "semi_cml" not in module.panel.recipe().method, "others have one image only"
    application.click(ui.unpairButton)
    module.settle()
    assert case(module, "Volume 5").use == "unlabelled"
    assert not ui.pairedLabel.isVisible()


def test_others_that_are_named_like_a_pair_become_pairs_at_once(module: Any, partly: Any, pictures: Any) -> None:
    ui = module.ui
    names = ("Ann T1", "Ann FLAIR", "Bob T1", "Bob FLAIR", "Cy T1", "Cy FLAIR")
    for volume, name in zip(partly.volumes, names, strict=True):
        volume.SetName(name)
    module.settle()
    select(module, 0)
    assert not ui.pairAlikeButton.isVisible()
    pairs.pair(partly.volumes[4], partly.volumes[0], ("T1", "FLAIR"))  # somebody's mistake is nobody's model
    module.settle()
    assert not ui.pairAlikeButton.isVisible()
    pairs.unpair(partly.volumes[4])
    module.settle()
    ui.partnerSelector.setCurrentNode(partly.volumes[1])
    ui.modalityLineEdit.text, ui.partnerModalityLineEdit.text = "T1", "FLAIR"
    application.click(ui.pairButton)
    module.settle()
    assert ui.pairAlikeButton.text == "Pair 2 others named alike"
    assert 'one case of "Bob T1" with "Bob FLAIR", of "Cy T1" with "Cy FLAIR".' in ui.pairAlikeButton.toolTip
    application.screenshot(module.widget.parent, pictures / "trainer-pair-alike.png")
    slicer.mrmlScene.RemoveNode(partly.volumes[5])
    application.click(ui.pairAlikeButton)
    module.settle()
    found = module.panel.training_set
    assert found.modalities == ("T1", "FLAIR")
    images = {c.name: c.image.shape[0] for c in found.cases if c.name in names}
    assert images == {"Ann T1": 2, "Bob T1": 2, "Cy T1": 1}
    assert case(module, "Cy T1").use == "left out"
    assert not ui.pairAlikeButton.isVisible()


def test_modalities_of_the_pair_before_go_to_the_images_that_are_called_so(module: Any, partly: Any) -> None:
    """Who then begins with the other image of the patient would have each learned as what the other one is."""
    names = ("A T1", "B T1 post", "A T1 post", "B T1", "somebody", "somebody else")
    for volume, name in zip(partly.volumes, names, strict=True):
        volume.SetName(name)
    ui = module.ui

    def choose(first: int, second: int) -> tuple[str, str]:
        select(module, first)
        ui.partnerSelector.setCurrentNode(partly.volumes[second])
        application.process_events(0.05)
        return ui.modalityLineEdit.text, ui.partnerModalityLineEdit.text

    assert choose(0, 2) == ("", "")
    ui.modalityLineEdit.text, ui.partnerModalityLineEdit.text = "T1", "T1 post"
    assert choose(1, 3) == ("T1 post", "T1")
    assert choose(4, 5) == ("T1 post", "T1"), "nothing tells"
    assert choose(0, 2) == ("T1", "T1 post")


def test_only_other_images_are_offered_as_partners(module: Any, partly: Any) -> None:
    import slicer
    from SemiSegCervicalLib.scene.overlay import new_uncertainty_volume

    drawn = partly.volumes[1]
    new_uncertainty_volume(drawn, np.zeros_like(slicer.util.arrayFromVolume(drawn), np.uint8))
    module.settle()
    selector = module.ui.partnerSelector
    select(module, 0)
    offered = [selector.nodeFromIndex(k) for k in range(selector.nodeCount())]
    assert offered == partly.volumes[1:]
    selector.setCurrentNode(partly.volumes[2])
    slicer.mrmlScene.RemoveNode(partly.volumes[2])
    assert selector.currentNode() is None
    assert not module.ui.pairButton.isVisible()


def test_a_patient_may_lack_a_modality(module: Any, partly: Any) -> None:
    ui = module.ui
    select(module, 0)
    ui.partnerSelector.setCurrentNode(partly.volumes[5])
    application.process_events(0.05)
    ui.modalityLineEdit.text, ui.partnerModalityLineEdit.text = "T1", "FLAIR"
    assert not ui.loneModalityComboBox.isVisible(), "there is one modality only, as far as anybody has said"
    application.click(ui.pairButton)
    module.settle()
    assert not ui.loneModalityComboBox.isVisible(), "a pair has its names"
    select(module, 1)
    alone = case(module, "Volume 1")
    assert (alone.use, "choose it" in alone.reason) == ("left out", True)
    assert ui.loneModalityComboBox.isVisible()
    assert ui.loneModalityComboBox.currentText == "Not known"
    combo_choose(module, "loneModalityComboBox", "FLAIR")
    alone = case(module, "Volume 1")
    assert alone.use in ("labelled", "partly")
    assert [image is not None for image in alone.images] == [False, True]
    assert ui.loneModalityComboBox.currentText == "FLAIR"
    combo_choose(module, "loneModalityComboBox", "Not known")
    assert case(module, "Volume 1").use == "left out"


def test_choices_come_back_with_a_saved_scene(module: Any, partly: Any, tmp_path: Any) -> None:
    import slicer

    select(module, 0)
    combo_choose(module, "modeComboBox", "Unfinished")
    module.panel._use_chosen(module.panel.cases._rows[partly.volumes[1].GetID()], "Left out")
    module.settle()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    module.settle()
    assert module.panel.training_set.cases == []
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    module.settle()
    assert case(module, "Volume 0").finished == ()
    assert case(module, "Volume 1").reason == "left out by you"


@pytest.mark.parametrize("row", [0, CINE])
def test_the_image_that_was_looked_at_goes_with_its_scene(module: Any, partly: Any, row: int) -> None:
    select(module, row)
    press(module, "showButton")
    kept = scenes.kept_images()
    assert kept() > CINE
    vars(partly).clear()
    slicer.mrmlScene.Clear(0)
    module.settle()
    assert kept() == 0


def test_of_two_browsers_the_one_that_shows_the_outlines_is_gone_through(opened_trainer: Callable[..., Any]) -> None:
    """What is accepted was never seen otherwise: the first browser shows the frame, and no outline of it."""
    from SemiSegTrainerLib.scene.marks import accepted_frames
    from SlicerRig import mrml
    from SlicerRig.records import cine_record

    mrml.slice_logic("Red")
    record, _ = cine_record(dict.fromkeys(range(6), 0.1), 6, second_browser=True)
    first, second = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    second.SetSelectedItemNumber(5)
    application.process_events(0.1)
    module = opened_trainer()
    module.settle()
    slicer.util.setSliceViewerLayers(background=first.GetProxyNode(record.source))
    select(module, 0)
    assert not module.ui.acceptHereButton.enabled
    module.ui.framesTable.cellClicked(2, 0)
    application.process_events(0.2)
    composite = slicer.util.getNode("vtkMRMLSliceCompositeNodeRed")
    assert composite.GetBackgroundVolumeID() == record.shown_source.GetID()
    assert (first.GetSelectedItemNumber(), second.GetSelectedItemNumber()) == (0, 2)
    assert record.shown_segmentation.GetDisplayNode().GetVisibility()
    assert module.ui.acceptHereButton.text == "Accept frame 3"
    press(module, "acceptHereButton")
    assert accepted_frames(record.segmentation) == [record.source.GetNthIndexValue(2)]
