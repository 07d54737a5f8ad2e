"""Starts for annotations: put where a person should draw next, a label only when accepted, never over a person's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.pieces import whole
from SemiSegCervicalLib.scene.cine import item_at
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.export import segmentation_file_in_pieces
from SemiSegCervicalLib.scene.frames import CineResult, FrameResult
from SemiSegCervicalLib.scene.geometry import copy_geometry
from SemiSegCervicalLib.scene.marks import ORIGIN, segment_tag, segments_of
from SemiSegCervicalLib.scene.pairs import pair
from SemiSegCervicalLib.scene.segmentation import image_of, label_array, new_segmentation, oriented_image
from SemiSegTrainerLib.scene.choices import choose_segmentation
from SemiSegTrainerLib.scene.collect import collect_training_set
from SemiSegTrainerLib.scene.drawn import RESIZED
from SemiSegTrainerLib.scene.marks import accept_frame, accept_slice, accepted_frames, annotated_slices, start_slice
from SemiSegTrainerLib.scene.modes import ModeNow, mode_of, set_mode
from SemiSegTrainerLib.scene.places import Place, find_place
from SemiSegTrainerLib.scene.starts import (
    accept,
    accept_volume,
    annotation_at,
    annotation_of,
    begin_drawing,
    empty_between,
    is_empty,
    put_start,
    shown_annotation,
)
from SlicerRig import mrml, scenes

CLASSES = (SegmentClass(1, "wall", (1.0, 0.0, 0.0)), SegmentClass(2, "lumen", (0.0, 0.0, 1.0)))
ALL = tuple(SegmentClass(value, str(value), (1.0, 1.0, 1.0)) for value in range(1, 10))
Status = slicer.vtkSlicerSegmentationsModuleLogic


@pytest.fixture
def cine(scene: Any, labels: np.ndarray) -> tuple[Any, Any]:
    frames = [np.full(labels.shape, 20 * number, np.uint8) for number in range(6)]
    return scenes.add_cine(frames, "cine", np.diag([-0.5, -0.5, 1, 1]))


@pytest.fixture
def volume(scene: Any) -> Any:
    return scenes.add_volume(np.zeros((8, 10, 12), np.uint8), "CT", np.diag([-0.5, -0.5, 2, 1]))


def case_at(place: Place) -> Any:
    found = collect_training_set(slicer.mrmlScene).cases
    wanted = f"{place.node.GetID()}:{place.index_value}" if place.is_frame else place.node.GetID()
    return next(case for case in found if case.id == wanted)


def voxels(segmentation: Any, volume: Any) -> np.ndarray:
    """The label array by the names of the segments."""
    values = {"wall": 1, "lumen": 2}
    return label_array(segmentation, {i: values[s.GetName()] for i, s in segments_of(segmentation)}, volume)


# -- finding --


def test_a_case_is_found_again(cine: Any, volume: Any, scene: Any) -> None:
    sequence, _ = cine
    for case in collect_training_set(scene).cases:
        place = find_place(scene, case.id, 3)
        assert place.node is (sequence if case.frame else volume)
        assert place.number == (place.node.GetItemNumberFromIndexValue(case.frame, True) if case.frame else 3)
    assert find_place(scene, f"{volume.GetID()}:5", None) == Place(volume, 5)
    assert find_place(scene, volume.GetID(), None).title == "CT, slice 1"
    assert find_place(scene, f"{sequence.GetID()}:0.08", None).title == "cine, frame 3"


@pytest.mark.parametrize("case", ["nobody", "nobody:3", "{volume}:99", "{cine}:7.5"])
def test_what_is_gone_is_refused(cine: Any, volume: Any, scene: Any, case: str) -> None:
    case = case.format(volume=volume.GetID(), cine=cine[0].GetID())
    with pytest.raises(SemiSegError, match="not in the scene") as caught:
        find_place(scene, case, None)
    assert "suggestion" not in caught.value.remedy, "worst cases lead to places too"


# -- cine --


def drawn_at(sequence: Any) -> list[str]:
    """The index values of the frames that hold segments."""
    items = [(sequence.GetNthIndexValue(i), sequence.GetNthDataNode(i)) for i in range(sequence.GetNumberOfDataNodes())]
    return [value for value, item in items if item.GetSegmentation().GetNumberOfSegments()]


def test_a_frame_gets_a_start_that_counts_only_once_accepted(cine: Any, labels: np.ndarray) -> None:
    sequence, browser = cine
    place = Place(sequence, 3)
    browser.SetSelectedItemNumber(1)
    assert put_start(place, labels, CLASSES)
    assert browser.GetSelectedItemNumber() == 1
    drawn = annotation_at(place)
    assert (case_at(place).use, case_at(place).reason) == ("unlabelled", "not accepted")
    assert drawn_at(drawn) == ["0.12"]
    assert browser.GetSaveChanges(drawn)
    browser.SetSelectedItemNumber(3)
    mrml.process_events()
    shown = shown_annotation(place)
    assert np.array_equal(voxels(shown, place.shown)[0], labels)
    accept(place)
    case = case_at(place)
    assert (case.use, np.array_equal(case.labels, labels)) == ("labelled", True)
    # A second one goes into the same sequence.
    browser.SetSelectedItemNumber(5)
    assert put_start(Place(sequence, 5), labels[::-1].copy(), CLASSES)
    assert annotation_at(Place(sequence, 5)) is drawn
    mrml.process_events()
    assert np.array_equal(voxels(shown_annotation(place), place.shown)[0], labels[::-1])
    assert [c.use for c in collect_training_set(slicer.mrmlScene).cases].count("labelled") == 1


def test_what_is_corrected_before_accepting_is_what_counts(cine: Any, labels: np.ndarray) -> None:
    sequence, browser = cine
    place = Place(sequence, 2)
    put_start(place, labels, CLASSES)
    browser.SetSelectedItemNumber(2)
    mrml.process_events()
    image = shown_annotation(place).GetSegmentation().GetSegment("Segment_1").GetRepresentation("Binary labelmap")
    image.GetPointData().GetScalars().Fill(1)
    shown_annotation(place).GetSegmentation().Modified()
    shown_annotation(place).Modified()
    for number in (4, 2):
        browser.SetSelectedItemNumber(number)
        mrml.process_events()
    accept(place)
    assert (case_at(place).labels == 1).sum() > (labels > 0).sum()


def test_the_users_sequence_is_taken_and_its_frames_stay(cine: Any, labels: np.ndarray) -> None:
    sequence, browser = cine
    drawn = scenes.add_drawn_sequence(sequence, browser, "by hand")
    for number, accepted in ((0, True), (2, False)):
        value = sequence.GetNthIndexValue(number)
        scenes.draw_frame(drawn, sequence, value, np.where(labels == 1, labels, 0), CLASSES)
        if accepted:
            accept_frame(drawn, value)
    before = voxels(drawn.GetDataNodeAtValue("0.08"), Place(sequence, 2).volume)
    for number in (0, 2):
        assert not put_start(Place(sequence, number), labels, CLASSES)
    assert np.array_equal(voxels(drawn.GetDataNodeAtValue("0.08"), Place(sequence, 2).volume), before)
    assert put_start(Place(sequence, 4), labels, CLASSES)
    assert not put_start(Place(sequence, 4), labels[::-1].copy(), CLASSES), "there is one already"
    assert annotation_at(Place(sequence, 4)) is drawn
    accept(Place(sequence, 4))
    assert np.array_equal(case_at(Place(sequence, 4)).labels, labels)
    assert case_at(Place(sequence, 2)).use == "unlabelled"


def drawn_and_browsed(cine: Any, name: str, labels: np.ndarray, frames: int) -> Any:
    """Draw on a cine's first frame, accept it, and look at the first few, which copies the outlines to each."""
    sequence, browser = cine
    drawn = scenes.add_drawn_sequence(sequence, browser, name)
    browser.SetMissingItemMode(drawn, browser.MissingItemCreateFromPrevious)
    browser.SetSaveChanges(drawn, True)
    scenes.draw_frame(drawn, sequence, "0.00", labels, CLASSES)
    accept_frame(drawn, "0.00")
    for number in range(frames):
        browser.SetSelectedItemNumber(number)
        mrml.process_events()
    return drawn


def test_what_browsing_copied_makes_room_unless_somebody_drew_in_it(cine: Any, labels: np.ndarray) -> None:
    sequence, browser = cine
    drawn = drawn_and_browsed(cine, "by hand", labels, 3)
    assert drawn.GetNumberOfDataNodes() == 3
    edited = drawn.GetDataNodeAtValue("0.08")
    edited.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap").GetPointData().GetScalars().Fill(1)
    assert put_start(Place(sequence, 1), labels[::-1].copy(), CLASSES)
    assert not put_start(Place(sequence, 2), labels[::-1].copy(), CLASSES)
    browser.SetSelectedItemNumber(1)
    mrml.process_events()
    place = Place(sequence, 1)
    assert np.array_equal(voxels(shown_annotation(place), place.shown)[0], labels[::-1])


def test_after_a_start_drawings_on_any_frame_stay_and_passing_by_makes_none(cine: Any, labels: np.ndarray) -> None:
    sequence, browser = cine
    drawn = scenes.add_drawn_sequence(sequence, browser, "by hand")
    browser.SetMissingItemMode(drawn, browser.MissingItemCreateFromPrevious)
    scenes.draw_frame(drawn, sequence, "0.00", labels, CLASSES)
    assert put_start(Place(sequence, 2), labels, CLASSES)
    for number in range(6):
        browser.SetSelectedItemNumber(number)
        mrml.process_events()
    assert drawn_at(drawn) == ["0.00", "0.08"]
    with pytest.raises(SemiSegError, match="holds no segmentation"):
        accept_frame(drawn, "0.16")
    browser.SetSelectedItemNumber(4)
    mrml.process_events()
    browser.GetProxyNode(drawn).GetSegmentation().AddEmptySegment("mine", "mine")
    for number in (5, 4):
        browser.SetSelectedItemNumber(number)
        mrml.process_events()
    assert drawn_at(drawn) == ["0.00", "0.08", "0.16"]


def test_a_result_of_another_model_is_left_alone(cine: Any, labels: np.ndarray) -> None:
    sequence, _ = cine
    result = CineResult(sequence, CLASSES)
    while result.prepare(50):
        pass
    result.add_frames([FrameResult("0.08", labels, np.zeros(labels.shape))])
    assert put_start(Place(sequence, 2), labels[::-1].copy(), CLASSES)
    assert annotation_at(Place(sequence, 2)) is not result.segmentations
    assert np.array_equal(voxels(result.segmentations.GetNthDataNode(0), Place(sequence, 2).volume)[0], labels)


def result_of(sequence: Any, labels: np.ndarray, frames: Sequence[int] = range(6)) -> Any:
    """A model's result on some frames of a cine; returns its segmentation sequence."""
    made = CineResult(sequence, CLASSES, uncertainty=False)
    while made.prepare(50):
        pass
    made.add_frames([FrameResult(sequence.GetNthIndexValue(k), labels) for k in frames])
    made.finish()
    return made.segmentations


def correct(segmentation: Any, value: int) -> None:
    """Paint all of a segmentation, or erase it, as the Segment Editor does."""
    for _, segment in segments_of(segmentation):
        segment.GetRepresentation("Binary labelmap").GetPointData().GetScalars().Fill(value)
        Status.SetSegmentStatus(segment, Status.InProgress)


@pytest.mark.parametrize("models", [1, 2])
@pytest.mark.parametrize("value", [1, 0])
def test_a_frame_of_a_result_that_was_corrected_is_the_annotation(
    cine: Any, labels: np.ndarray, models: int, value: int
) -> None:
    """What a model draws there is not put over it, and it is not asked which of several results is meant."""
    sequence, _ = cine
    corrected, *_ = [result_of(sequence, labels) for _ in range(models)]
    correct(corrected.GetNthDataNode(2), value)
    assert put_start(Place(sequence, 4), labels, CLASSES), "elsewhere the model's are left alone"
    accept(Place(sequence, 4))
    place = Place(sequence, 2)
    assert not put_start(place, labels, CLASSES)
    assert annotation_at(place) is corrected
    assert case_at(place).reason == "corrected, but not accepted"
    assert case_at(Place(sequence, 3)).reason == "not accepted"
    accept(place)
    assert case_at(place).use == "labelled"
    painted = np.count_nonzero(case_at(place).labels)
    assert painted > np.count_nonzero(labels) if value else painted == 0
    assert annotation_at(place) is corrected, "it can be taken back"
    assert case_at(Place(sequence, 4)).use == "labelled"


def test_a_frame_is_accepted_as_the_model_drew_it_that_is_seen(cine: Any, labels: np.ndarray) -> None:
    """Also where other frames are annotated in another sequence, and another model's result is hidden."""
    sequence, browser = cine
    hidden, seen = (result_of(sequence, one) for one in (labels[::-1].copy(), labels))
    put_start(Place(sequence, 4), labels, CLASSES)
    accept(Place(sequence, 4))
    with pytest.raises(SemiSegError, match="Several"):
        accept(Place(sequence, 2))
    browser.GetProxyNode(hidden).GetDisplayNode().SetVisibility(False)
    accept(Place(sequence, 2))
    assert annotation_at(Place(sequence, 2)) is seen
    assert np.array_equal(case_at(Place(sequence, 2)).labels, labels)


@pytest.mark.parametrize("finds", [1, 0])
def test_a_frame_of_a_newer_result_is_accepted_where_the_older_one_is_hidden(
    cine: Any, labels: np.ndarray, finds: int
) -> None:
    """After a training the new model's result is seen; the one in which frames were accepted before lies behind it."""
    sequence, browser = cine
    older, newer = result_of(sequence, labels), result_of(sequence, np.uint8(finds) * labels[::-1])
    accept_frame(older, "0.00")
    correct(older.GetNthDataNode(1), 1)
    behind = browser.GetProxyNode(older).GetDisplayNode()
    assert annotation_at(Place(sequence, 3)) is older
    behind.SetVisibility(False)
    for number in (0, 1, 3):
        assert (annotation_at(Place(sequence, number)) is newer) == (number == 3), "what a person has worked on stays"
        accept(Place(sequence, number))
        assert annotation_at(Place(sequence, number)) is newer
        assert np.array_equal(case_at(Place(sequence, number)).labels, finds * labels[::-1])
    assert np.array_equal(voxels(older.GetNthDataNode(0), Place(sequence, 0).volume)[0], labels), "nothing is lost"
    behind.SetVisibility(True)
    accept(Place(sequence, 3))
    assert annotation_at(Place(sequence, 3)) is newer, "it is accepted already"
    third = result_of(sequence, labels)
    browser.GetProxyNode(newer).GetDisplayNode().SetVisibility(False)
    with pytest.raises(SemiSegError, match="Several"):
        accept(Place(sequence, 4))
    choose_segmentation(sequence, older)
    behind.SetVisibility(False)
    with pytest.raises(SemiSegError, match="was chosen for"):
        accept(Place(sequence, 5))
    behind.SetVisibility(True)
    accept(Place(sequence, 5))
    assert [s for s in (older, newer, third) if "0.20" in accepted_frames(s)] == [older]


def test_a_frame_that_was_drawn_on_twice_is_not_guessed(cine: Any, labels: np.ndarray) -> None:
    sequence, _ = cine
    for result in [result_of(sequence, labels) for _ in range(2)]:
        correct(result.GetNthDataNode(2), 1)
    for act in (accept, lambda place: put_start(place, labels, CLASSES)):
        with pytest.raises(SemiSegError, match="Several segmentations could count"):
            act(Place(sequence, 2))


def test_of_two_sequences_the_one_that_a_person_drew_in_is_the_annotation_of_a_frame(
    cine: Any, labels: np.ndarray
) -> None:
    """One with empty segments there, as the Segment Editor begins with, is not."""
    sequence, _ = cine
    first, second = (result_of(sequence, 0 * labels) for _ in range(2))
    for drawn in (first, second):
        for k in range(6):
            for _, segment in segments_of(drawn.GetNthDataNode(k)):
                segment.RemoveTag(ORIGIN)
    for drawn, k in ((first, 2), (second, 3)):
        correct(drawn.GetNthDataNode(k), 1)
        assert annotation_at(Place(sequence, k)) is drawn
        assert not put_start(Place(sequence, k), labels, CLASSES)


def test_what_browsing_copied_is_not_taken_for_drawn_where_another_sequence_has_the_frame(cine, labels) -> None:
    sequence, browser = cine
    browsed = drawn_and_browsed(cine, "browsed", labels, 2)
    assert item_at(browsed, "0.04") is not None
    other = scenes.add_drawn_sequence(sequence, browser, "by hand")
    scenes.draw_frame(other, sequence, "0.04", labels[::-1].copy(), CLASSES)
    assert annotation_at(Place(sequence, 1)) is other
    assert annotation_at(Place(sequence, 0)) is browsed


@pytest.mark.parametrize("kind", ["picture", "volume", "cine"])
def test_outlines_of_an_image_that_was_given_another_spacing_are_not_learned_from(
    kind: str, scene: Any, volume: Any, cine: Any, labels: np.ndarray
) -> None:
    """They keep their place in mm: half of a picture would be learned as what it does not show."""
    if kind == "picture":
        place = Place(scenes.add_volume(np.zeros(labels.shape, np.uint8), "picture"), 0)
    else:
        place = Place(cine[0] if kind == "cine" else volume, 2)
    put_start(place, labels, CLASSES)
    accept(place)
    assert case_at(place).read_labels is not None
    before = place.volume.GetSpacing()
    place.volume.SetSpacing(before[0], before[1], 3.0)
    assert (case_at(place).read_labels is None) == (kind == "volume"), "between the slices of a picture is nothing"
    place.volume.SetSpacing(0.2, 0.2, before[2])
    said = case_at(place)
    assert (said.use, said.reason) == ("left out", RESIZED)
    with pytest.raises(SemiSegError, match="cannot be accepted: its spacing was changed"):
        accept(place)
    if kind == "volume":
        with pytest.raises(SemiSegError, match="cannot be accepted: its spacing was changed"):
            accept_volume(volume)
    place.volume.SetSpacing(*before)
    accept(place)
    assert np.array_equal(case_at(place).labels[2] if kind == "volume" else case_at(place).labels, labels)


def test_an_annotation_on_the_grid_of_a_paired_image_is_read(scene: Any, labels: np.ndarray) -> None:
    """Both begin in one corner, and have as many pixels of another size."""
    flair, t1 = (
        scenes.add_volume(np.zeros(labels.shape, np.uint8), name, np.diag([-size, -size, 1, 1]))
        for name, size in (("flair", 0.5), ("t1", 0.4))
    )
    pair(flair, t1, ("FLAIR", "T1"))
    scenes.add_segmentation(t1, labels, CLASSES)
    assert case_at(Place(flair, 0)).use == "labelled"


@pytest.mark.parametrize("value", [1, 0])
def test_a_picture_whose_result_was_corrected_gets_no_start(scene: Any, labels: np.ndarray, value: int) -> None:
    """Of two results the corrected one is meant."""
    picture = scenes.add_volume(np.zeros((10, 12), np.uint8), "picture")
    corrected, _ = (new_segmentation(picture, labels[None], CLASSES) for _ in range(2))
    correct(corrected, value)
    place = Place(picture, 0)
    assert not put_start(place, labels, CLASSES)
    assert shown_annotation(place) is corrected
    assert case_at(place).reason == "only a model's result, which nobody has accepted since it was corrected"
    accept(place)
    painted = np.count_nonzero(case_at(place).labels)
    assert painted > np.count_nonzero(labels) if value else painted == 0


def test_a_slice_of_a_volume_whose_result_was_corrected_gets_no_start(volume: Any, labels: np.ndarray) -> None:
    corrected = new_segmentation(volume, np.stack([labels] * 4 + [0 * labels] * 4), CLASSES)
    assert put_start(Place(volume, 1), labels, CLASSES), "a model's"
    for _, segment in segments_of(corrected):
        Status.SetSegmentStatus(segment, Status.InProgress)
    assert not put_start(Place(volume, 2), labels[::-1].copy(), CLASSES)
    assert annotation_at(Place(volume, 2)) is corrected
    assert put_start(Place(volume, 6), labels, CLASSES), "nothing is drawn there"


def test_a_cine_that_nothing_shows_and_an_empty_frame(cine: Any, scene: Any, labels: np.ndarray) -> None:
    sequence, browser = cine
    with pytest.raises(SemiSegError, match="Nothing is drawn on cine, frame 2"):
        accept(Place(sequence, 1))
    put_start(Place(sequence, 3), labels, CLASSES)
    with pytest.raises(SemiSegError, match="no segmentation"):
        accept(Place(sequence, 1))
    scene.RemoveNode(browser)
    with pytest.raises(SemiSegError, match="No sequence browser"):
        put_start(Place(sequence, 3), labels, CLASSES)


@pytest.mark.parametrize("together", [True, False])
def test_what_is_drawn_on_a_paired_cine_is_the_annotation(cine: Any, labels: np.ndarray, together: bool) -> None:
    """With one browser for both, or one each, the segmentation sequence may belong to the partner."""
    partner, browser = cine
    frames = [np.full(labels.shape, 255 - 20 * number, np.uint8) for number in range(6)]
    values = [partner.GetNthIndexValue(number) for number in range(6)]
    reference, own = scenes.add_cine(frames, "flow", np.diag([-0.5, -0.5, 1, 1]), index_values=values)
    if together:
        slicer.mrmlScene.RemoveNode(own)
        browser.AddSynchronizedSequenceNode(reference)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    drawn = scenes.add_drawn_sequence(partner, browser, "by hand")
    scenes.draw_frame(drawn, partner, values[2], labels, CLASSES)
    pair(reference, partner, ("flow", "grey"))
    place = Place(reference, 2)
    assert case_at(place).segmentation == drawn.GetID()
    accept(place)
    assert annotation_at(place) is drawn
    case = case_at(place)
    assert (case.use, case.name, np.array_equal(case.labels, labels)) == ("labelled", "flow, frame 3", True)
    assert shown_annotation(place) is browser.GetProxyNode(drawn)
    if not together:
        assert browser.GetSelectedItemNumber() == 2, "what is drawn into is this frame"
    assert put_start(Place(reference, 4), labels, CLASSES)
    assert drawn_at(drawn) == [values[2], values[4]]


def test_what_is_drawn_in_a_second_browser_is_the_annotation(cine: Any, labels: np.ndarray) -> None:
    sequence, _ = cine
    second = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "beside")
    second.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    mrml.process_events()
    drawn = scenes.add_drawn_sequence(sequence, second, "by hand")
    values = [sequence.GetNthIndexValue(number) for number in range(6)]
    scenes.draw_frame(drawn, sequence, values[2], labels, CLASSES)
    place = Place(sequence, 2)
    accept(place)
    case = case_at(place)
    assert (case.use, case.segmentation, np.array_equal(case.labels, labels)) == ("labelled", drawn.GetID(), True)
    assert put_start(Place(sequence, 4), labels, CLASSES)
    assert drawn_at(drawn) == [values[2], values[4]]
    assert place.browser is second
    assert shown_annotation(place) is second.GetProxyNode(drawn)


def test_drawing_begins_on_a_cine_of_which_nothing_is_drawn(cine: Any, labels: np.ndarray) -> None:
    """Without a model that draws a start, and without the module Sequences."""
    sequence, browser = cine
    for number in (2, 5):
        place = Place(sequence, number)
        browser.SetSelectedItemNumber(number)
        mrml.process_events()
        shown = begin_drawing(place, CLASSES)
        assert browser.GetSelectedItemNumber() == number
        assert shown is browser.GetProxyNode(annotation_at(place))
        assert [segment.GetName() for _, segment in segments_of(shown)] == ["wall", "lumen"]
        assert not any(segment_tag(segment, ORIGIN) for _, segment in segments_of(shown))
        assert case_at(place).use == "unlabelled"
        paint(shown, place.shown, labels[None])
        assert begin_drawing(place, CLASSES) is shown
        assert np.array_equal(voxels(shown, place.shown)[0], labels), "what is drawn stays"
        accept(place)
        assert (case_at(place).use, np.array_equal(case_at(place).labels, labels)) == ("labelled", True)
    browser.SetSelectedItemNumber(0)
    mrml.process_events()
    assert [case.use for case in collect_training_set().cases].count("labelled") == 2
    assert np.array_equal(case_at(Place(sequence, 2)).labels, labels)


def test_drawing_begins_on_a_frame_that_the_users_sequence_lacks(cine: Any, labels: np.ndarray) -> None:
    sequence, browser = cine
    drawn = scenes.add_drawn_sequence(sequence, browser, "by hand")
    scenes.draw_frame(drawn, sequence, "0.00", labels, CLASSES)
    browser.SetSelectedItemNumber(2)
    mrml.process_events()
    shown = begin_drawing(Place(sequence, 2), CLASSES)
    assert shown is browser.GetProxyNode(drawn)
    assert [segment.GetName() for _, segment in segments_of(shown)] == ["wall", "lumen"]
    assert is_empty(Place(sequence, 2))
    assert np.array_equal(voxels(item_at(drawn, "0.00"), Place(sequence, 0).shown)[0], labels), "what is drawn stays"


# -- volumes --


def paint(segmentation: Any, volume: Any, values: np.ndarray) -> None:
    """Paint as the Segment Editor does, in segments that are there; values as in the class list."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    for entry, (segment_id, segment) in zip(CLASSES, segments_of(segmentation), strict=True):
        image = oriented_image(volume, np.uint8(segment.GetLabelValue()) * (values == entry.value), ALL)
        logic.SetBinaryLabelmapToSegment(image, segmentation, segment_id, logic.MODE_MERGE_MAX)
        Status.SetSegmentStatus(segment, Status.InProgress)
    mrml.process_events()


def test_drawing_begins_in_a_volume_of_which_nothing_is_drawn(volume: Any, labels: np.ndarray) -> None:
    place = Place(volume, 3)
    drawn = begin_drawing(place, CLASSES)
    assert image_of(drawn) is volume
    assert [segment.GetName() for _, segment in segments_of(drawn)] == ["wall", "lumen"]
    assert case_at(place).use == "unlabelled"
    painted = np.zeros((8, 10, 12), np.uint8)
    painted[3] = labels
    paint(drawn, volume, painted)
    assert begin_drawing(Place(volume, 5), CLASSES) is drawn
    accept(place)
    assert (case_at(place).slices, np.array_equal(case_at(place).labels, painted)) == ((3,), True)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1


def test_drawing_goes_on_in_the_only_result(volume: Any, cine: Any, labels: np.ndarray) -> None:
    result = new_segmentation(volume, np.stack([labels] * 8), CLASSES)
    assert begin_drawing(Place(volume, 3), CLASSES) is result
    new_segmentation(volume, np.stack([labels] * 8), CLASSES)
    with pytest.raises(SemiSegError, match="Several"):
        begin_drawing(Place(volume, 3), CLASSES)
    sequence, browser = cine
    made = CineResult(sequence, CLASSES, uncertainty=False)
    while made.prepare(50):
        pass
    made.add_frames([FrameResult(sequence.GetNthIndexValue(0), labels)])
    made.finish()
    for number in (0, 1):
        browser.SetSelectedItemNumber(number)
        mrml.process_events()
        assert begin_drawing(Place(sequence, number), CLASSES) is browser.GetProxyNode(made.segmentations)
    assert browser.GetSaveChanges(made.segmentations)


def test_segments_to_draw_in_have_the_colour_and_the_terminology_of_their_class(volume: Any) -> None:
    kind = "c~SCT^123037004^Anatomical Structure~SCT^71252005^Cervix~^^~c~^^~^^"
    drawn = begin_drawing(Place(volume, 3), (SegmentClass(1, "lip", (0.0, 0.5, 1.0), kind), CLASSES[0]))
    (_, lip), (_, wall) = segments_of(drawn)
    assert (lip.GetColor(), lip.GetTerminology()) == ((0.0, 0.5, 1.0), kind)
    assert wall.GetColor() == (1.0, 0.0, 0.0)


def test_where_nothing_is_drawn_is_known(volume: Any, cine: Any, labels: np.ndarray) -> None:
    assert (empty_between(volume), is_empty(Place(volume, 3))) == (0, False), "there is nothing to draw in"
    drawn = begin_drawing(Place(volume, 3), CLASSES)
    accept_slice(drawn, 3)
    assert (empty_between(volume), is_empty(Place(volume, 3))) == (0, True)
    painted = np.zeros((8, 10, 12), np.uint8)
    for number, between in ((3, 0), (4, 0), (7, 2)):
        painted[number] = labels
        paint(drawn, volume, painted)
        assert empty_between(volume) == between
    assert [number for number in range(8) if is_empty(Place(volume, number))] == [0, 1, 2, 5, 6]
    sequence, _ = cine
    places = [Place(sequence, number) for number in range(3)]
    for place, values in zip(places, (labels, 0 * labels), strict=False):
        put_start(place, values, CLASSES)
    assert [is_empty(place) for place in places] == [False, True, False], "the last has no item to draw in"


def test_an_empty_segmentation_is_drawn_in(volume: Any) -> None:
    empty = begin_drawing(Place(volume, 3), ())
    assert begin_drawing(Place(volume, 3), CLASSES) is empty
    assert len(segments_of(empty)) == 2


def test_a_slice_gets_a_start_and_the_first_accepted_one_becomes_the_annotation(volume: Any, labels) -> None:
    one, other = Place(volume, 3), Place(volume, 6)
    assert put_start(one, labels, CLASSES)
    assert put_start(other, labels[::-1].copy(), CLASSES)
    assert case_at(one).use == "unlabelled"
    start = annotation_at(one)
    assert start.GetName() == "CT slice 4 (suggested)"
    expected = np.zeros((8, 10, 12), np.uint8)
    expected[3] = labels
    assert np.array_equal(voxels(start, volume), expected)
    assert not put_start(one, labels, CLASSES)
    accept(one)
    case = case_at(one)
    assert (case.use, case.slices) == ("partly", (3,))
    assert start.GetName() == "CT segmentation"
    accept(other)
    expected[6] = labels[::-1]
    case = case_at(one)
    assert case.slices == (3, 6)
    assert np.array_equal(case.labels, expected)
    assert annotation_at(other) is start
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1


def complete(segmentation: Any) -> None:
    """What the Segment Editor's status does."""
    for _, segment in segments_of(segmentation):
        Status.SetSegmentStatus(segment, Status.Completed)


def test_a_start_that_is_completed_in_the_segment_editor_is_finished_on_its_slice(volume: Any, labels) -> None:
    """Else the slices on which nobody has drawn would be learned as background."""
    place = Place(volume, 3)
    put_start(place, labels, CLASSES)
    start = annotation_at(place)
    complete(start)
    assert (case_at(place).use, case_at(place).slices) == ("partly", (3,))
    assert mode_of(start) == ModeNow("chosen", (3,))
    accept(place)
    assert (case_at(place).use, case_at(place).slices) == ("partly", (3,))
    put_start(Place(volume, 6), labels, CLASSES)
    complete(annotation_at(Place(volume, 6)))
    accept(Place(volume, 6))
    assert case_at(place).slices == (3, 6)


def test_a_start_is_finished_in_the_whole_volume_where_that_is_said(volume: Any, labels: np.ndarray) -> None:
    place = Place(volume, 3)
    put_start(place, labels, CLASSES)
    set_mode(annotation_at(place), "whole")
    assert (case_at(place).use, case_at(place).slices) == ("labelled", None)
    assert annotation_of(volume) is annotation_at(place)


@pytest.mark.parametrize("shared", [True, False])
def test_a_slice_moves_into_the_users_segmentation_and_nothing_else_changes(volume, labels, shared: bool) -> None:
    drawn = np.zeros((8, 10, 12), np.uint8)
    drawn[2, 4:6, 3:7] = 1
    drawn[2, 7:9, 3:7] = 2
    statuses = {1: Status.InProgress, 2: Status.InProgress}
    own = scenes.add_segmentation(volume, drawn, CLASSES, statuses)
    if not shared:
        own.GetSegmentation().SeparateSegmentLabelmap(own.GetSegmentation().GetNthSegmentID(1))
    own.GetSegmentation().GetNthSegment(0).SetName("WALL ")
    accept_slice(own, 2)
    place = Place(volume, 5)
    assert put_start(place, labels, CLASSES)
    assert case_at(place).slices == (2,)
    assert np.array_equal(case_at(place).labels, drawn), "not accepted, so not there"
    accept(place)
    drawn[5] = labels
    assert case_at(place).slices == (2, 5)
    assert np.array_equal(case_at(place).labels, drawn)
    assert annotation_at(place) is own
    assert [s.GetName() for _, s in segments_of(own)] == ["WALL ", "lumen"]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1


def test_a_slice_moves_into_segments_of_large_label_values(volume: Any, labels: np.ndarray) -> None:
    """As FreeSurfer's label maps have: Slicer keeps them as the values of the layer."""
    drawn = np.zeros((8, 10, 12), np.int16)
    drawn[[4, 6], 4:6, 3:7], drawn[[4, 6], 7:9, 3:7] = 1024, 2035
    imported = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    copy_geometry(volume, imported)
    slicer.util.updateVolumeFromArray(imported, drawn)
    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    own.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    assert slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(imported, own)
    for (_, segment), entry in zip(segments_of(own), CLASSES, strict=True):
        segment.SetName(entry.name)
    for number in (4, 6):
        accept_slice(own, number)
    put_start(Place(volume, 5), labels, CLASSES)
    accept(Place(volume, 5))
    expected = np.select([drawn == 1024, drawn == 2035], [1, 2]).astype(np.uint8)
    expected[5] = labels
    assert np.array_equal(voxels(own, volume), expected)


def test_a_class_that_the_user_has_not_drawn_yet_is_added(volume: Any, labels: np.ndarray) -> None:
    drawn = np.zeros((8, 10, 12), np.uint8)
    drawn[2, 4:6, 3:7] = 1
    own = scenes.add_segmentation(volume, drawn, CLASSES[:1], {1: Status.InProgress})
    accept_slice(own, 2)
    put_start(Place(volume, 5), labels, CLASSES)
    accept(Place(volume, 5))
    drawn[5] = labels
    assert np.array_equal(voxels(own, volume), drawn)


@pytest.mark.parametrize(("names", "kinds"), [(("wall", "lumen"), "tt"), (("Wand", "Lumen"), "tu"), (("a", "b"), "tt")])
def test_segments_find_their_class_by_name_and_terminology(volume: Any, labels: np.ndarray, names, kinds) -> None:
    """Parts of one structure share its terminology; where names differ, a terminology of one's own decides."""
    kind = {
        letter: f"c~SCT^123037004^Anatomical Structure~SCT^{code}^Vessel~^^~c~^^~^^"
        for letter, code in (("t", "71252005"), ("u", "59820001"))
    }
    ours = [SegmentClass(c.value, c.name, c.color, kind[k]) for c, k in zip(CLASSES, kinds, strict=True)]
    theirs = [SegmentClass(c.value, n, c.color, c.terminology) for c, n in zip(ours, names, strict=True)]
    drawn = np.zeros((8, 10, 12), np.uint8)
    drawn[2] = labels
    own = scenes.add_segmentation(volume, drawn, theirs, {1: Status.InProgress, 2: Status.InProgress})
    accept_slice(own, 2)
    put_start(Place(volume, 5), labels, ours)
    accept(Place(volume, 5))
    added = names == ("a", "b")
    assert [s.GetName() for _, s in segments_of(own)] == [*names, *(("wall", "lumen") if added else ())]
    ids = [i for i, _ in segments_of(own)][-2:]
    drawn[5] = labels
    if added:
        drawn[2] = 0
    assert np.array_equal(label_array(own, {i: n for n, i in enumerate(ids, 1)}, volume), drawn)


def test_what_a_person_has_drawn_on_the_slice_stays(volume: Any, labels: np.ndarray) -> None:
    drawn = np.zeros((8, 10, 12), np.uint8)
    drawn[2] = drawn[5] = np.where(labels == 1, 1, 0)
    own = scenes.add_segmentation(volume, drawn, CLASSES, {1: Status.InProgress, 2: Status.InProgress})
    accept_slice(own, 2)
    assert not put_start(Place(volume, 5), labels, CLASSES)
    assert annotation_at(Place(volume, 5)) is own
    # Drawn after the start was put there.
    assert put_start(Place(volume, 6), labels, CLASSES)
    drawn[6, 9, 9] = 1
    again = new_segmentation(volume, drawn, CLASSES)
    own.GetSegmentation().DeepCopy(again.GetSegmentation())
    for _, segment in segments_of(own):
        segment.RemoveTag("SemiSeg.Origin")
        Status.SetSegmentStatus(segment, Status.InProgress)
    slicer.mrmlScene.RemoveNode(again)
    accept_slice(own, 2)
    with pytest.raises(SemiSegError, match="both hold paint"):
        accept(Place(volume, 6))
    assert np.array_equal(voxels(own, volume), drawn)
    accept(Place(volume, 5))
    assert case_at(Place(volume, 5)).slices == (2, 5)


@pytest.fixture
def beside(volume: Any, labels: np.ndarray) -> tuple[Any, Any]:
    """What a person has outlined on slices 0 and 4, and a model's result of all slices."""
    every = np.repeat(labels[None], 8, axis=0)
    own = every.copy()
    own[[1, 2, 3, 5, 6, 7]] = 0
    drawn = scenes.add_segmentation(volume, own, CLASSES)
    set_mode(drawn, "painted")
    return drawn, new_segmentation(volume, every, CLASSES)


def test_a_slice_of_a_result_is_accepted_where_it_is_what_is_seen(volume: Any, labels: np.ndarray, beside: Any) -> None:
    """The person's own segmentation holds nothing there: all of the slice would be learned as background."""
    drawn, result = beside
    accept(Place(volume, 5))
    found = voxels(drawn, volume)
    assert np.array_equal(found[5], labels)
    assert np.flatnonzero(found.any(axis=(1, 2))).tolist() == [0, 4, 5]
    assert case_at(Place(volume, 0)).annotated_slices == (0, 4, 5)
    assert voxels(result, volume).any(axis=(1, 2)).all(), "the result stays"
    result.GetDisplayNode().SetVisibility(False)
    accept(Place(volume, 6))
    assert not voxels(drawn, volume)[6].any(), "nothing is seen there"
    assert case_at(Place(volume, 0)).annotated_slices == (0, 4, 5, 6)
    result.GetDisplayNode().SetVisibility(True)
    accept(Place(volume, 4))
    choose_segmentation(volume, drawn)
    accept(Place(volume, 7))
    assert not voxels(drawn, volume)[7].any(), "this one was chosen"


@pytest.mark.parametrize("finds", [1, 0])
def test_a_slice_of_a_newer_result_is_accepted_where_the_older_one_is_hidden(
    volume: Any, labels: np.ndarray, finds: int
) -> None:
    older, newer = (
        new_segmentation(volume, np.repeat(one[None], 8, axis=0), CLASSES)
        for one in (labels, np.uint8(finds) * labels[::-1])
    )
    older.GetDisplayNode().SetVisibility(True)
    newer.GetDisplayNode().SetVisibility(False)
    accept(Place(volume, 0))
    older.GetDisplayNode().SetVisibility(False)
    newer.GetDisplayNode().SetVisibility(True)
    accept(Place(volume, 3))
    found = case_at(Place(volume, 0))
    assert found.slices == (0, 3)
    assert np.array_equal(found.labels[0], labels)
    assert np.array_equal(found.labels[3], finds * labels[::-1])
    rest = voxels(older, volume)[[1, 2, 4, 5, 6, 7]]
    assert np.array_equal(rest, np.repeat(labels[None], 6, axis=0)), "on other slices nothing changes"
    with pytest.raises(SemiSegError, match="holds other outlines"):
        accept(Place(volume, 0))
    with pytest.raises(SemiSegError, match="Several segmentations could count"):
        accept_volume(volume)
    correct(older, 1)
    with pytest.raises(SemiSegError, match="holds other outlines") as caught:
        accept(Place(volume, 5))
    assert newer.GetName() in caught.value.remedy
    newer.GetDisplayNode().SetVisibility(False)
    accept(Place(volume, 5))
    assert case_at(Place(volume, 0)).slices == (0, 3, 5), "nothing else is seen"


def test_a_picture_of_which_another_result_is_seen_is_not_guessed(scene: Any, labels: np.ndarray) -> None:
    picture = scenes.add_volume(np.zeros(labels.shape, np.uint8), "picture", np.diag([-0.5, -0.5, 1, 1]))
    older = new_segmentation(picture, labels[None], CLASSES)
    accept(Place(picture, 0))
    newer = new_segmentation(picture, labels[None, ::-1].copy(), CLASSES)
    older.GetDisplayNode().SetVisibility(False)
    with pytest.raises(SemiSegError, match="Several segmentations could count"):
        accept(Place(picture, 0))
    choose_segmentation(picture, older)
    with pytest.raises(SemiSegError, match="was chosen for"):
        accept(Place(picture, 0))
    choose_segmentation(picture, newer)
    accept(Place(picture, 0))
    assert np.array_equal(case_at(Place(picture, 0)).labels, labels[::-1])


def test_a_corrected_slice_of_a_result_gets_no_start_beside_the_annotation(
    volume: Any, labels: np.ndarray, beside: Any
) -> None:
    drawn, result = beside
    assert not put_start(Place(volume, 4), labels, CLASSES)
    correct(result, 1)
    assert not put_start(Place(volume, 5), labels, CLASSES)
    accept(Place(volume, 5))
    assert np.count_nonzero(voxels(drawn, volume)[5]) > np.count_nonzero(labels)


def test_several_results_on_the_slice_are_not_guessed_between(volume: Any, labels: np.ndarray, beside: Any) -> None:
    new_segmentation(volume, np.repeat(labels[None], 8, axis=0), CLASSES)
    with pytest.raises(SemiSegError, match="Several segmentations could count"):
        accept(Place(volume, 5))
    assert case_at(Place(volume, 0)).annotated_slices == (0, 4)


def test_the_whole_volume_is_not_accepted_while_a_result_is_seen_where_nothing_is_drawn(
    volume: Any, labels: np.ndarray, beside: Any
) -> None:
    drawn, result = beside
    with pytest.raises(SemiSegError, match="Several segmentations could count") as caught:
        accept_volume(volume)
    assert "Choose one of them" in caught.value.remedy
    assert mode_of(drawn).mode == "painted"
    choose_segmentation(volume, result)
    accept_volume(volume)
    assert [mode_of(node).mode for node in (drawn, result)] == ["painted", "whole"]
    assert case_at(Place(volume, 0)).labels.any(axis=(1, 2)).all()


def test_paint_on_other_slices_of_a_start_is_not_lost(volume: Any, labels: np.ndarray) -> None:
    put_start(Place(volume, 1), labels, CLASSES)
    accept(Place(volume, 1))
    put_start(Place(volume, 3), labels, CLASSES)
    start = annotation_at(Place(volume, 3))
    more = np.zeros((8, 10, 12), np.uint8)
    more[3] = more[4] = labels
    image = slicer.vtkOrientedImageData()
    image.DeepCopy(
        new_segmentation(volume, more, CLASSES).GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    )
    for _, segment in segments_of(start):
        segment.AddRepresentation("Binary labelmap", image)
    accept(Place(volume, 3))
    assert case_at(Place(volume, 3)).slices == (1, 3)
    assert np.array_equal(voxels(start, volume), more)


def test_what_is_drawn_on_a_paired_volume_is_accepted(volume: Any, labels: np.ndarray) -> None:
    reference = scenes.add_volume(np.ones((8, 10, 12), np.uint8), "PET", np.diag([-0.5, -0.5, 2, 1]))
    painted = np.zeros((8, 10, 12), np.uint8)
    painted[3] = labels
    drawn = scenes.add_segmentation(volume, painted, CLASSES, dict.fromkeys((1, 2), Status.NotStarted))
    pair(reference, volume, ("PET", "CT"))
    place = Place(reference, 3)
    assert annotation_of(reference) is drawn
    accept(place)
    case = case_at(place)
    assert (case.use, case.slices, np.array_equal(case.labels[3], labels)) == ("partly", (3,), True)
    assert put_start(Place(reference, 5), labels[::-1].copy(), CLASSES)
    accept(Place(reference, 5))
    case = case_at(place)
    assert case.slices == (3, 5)
    assert np.array_equal(case.labels[5], labels[::-1])


def image_slices(segmentation: Any) -> set[Any]:
    return set.union(*(annotated_slices(segment) for _, segment in segments_of(segmentation)))


def test_the_segmentation_that_was_chosen_is_the_one_that_is_worked_in(volume: Any, labels: np.ndarray) -> None:
    painted = np.zeros((8, 10, 12), np.uint8)
    painted[1] = labels
    other = scenes.add_segmentation(volume, painted, CLASSES)
    mine = scenes.add_segmentation(volume, painted, CLASSES, dict.fromkeys((1, 2), Status.NotStarted))
    choose_segmentation(volume, mine)
    accept(Place(volume, 1))
    assert annotation_at(Place(volume, 1)) is annotation_of(volume) is mine
    assert put_start(Place(volume, 4), labels, CLASSES)
    accept(Place(volume, 4))
    assert [image_slices(node) for node in (mine, other)] == [{1, 4}, set()]
    case = case_at(Place(volume, 0))
    assert (case.segmentation, case.slices) == (mine.GetID(), (1, 4))
    assert np.array_equal(case.labels[4], labels)


def test_the_sequence_that_was_chosen_is_the_one_that_is_worked_in(cine: Any, labels: np.ndarray) -> None:
    """A frame that is accepted in another one, where more is accepted already, would not count."""
    sequence, browser = cine
    other, mine = (scenes.add_drawn_sequence(sequence, browser, name) for name in ("other", "mine"))
    scenes.draw_frame(other, sequence, "0.00", labels, CLASSES)
    accept_frame(other, "0.00")
    for drawn in (other, mine):
        scenes.draw_frame(drawn, sequence, "0.08", labels, CLASSES)
    choose_segmentation(sequence, mine)
    place = Place(sequence, 2)
    accept(place)
    assert annotation_at(place) is mine
    assert case_at(place).use == "labelled"
    assert put_start(Place(sequence, 4), labels, CLASSES)
    assert drawn_at(mine) == ["0.08", "0.16"]


def test_several_that_count_are_not_guessed_between(volume: Any, labels: np.ndarray) -> None:
    drawn = np.zeros((8, 10, 12), np.uint8)
    drawn[1] = labels
    for _ in range(2):
        scenes.add_segmentation(volume, drawn, CLASSES)
    with pytest.raises(SemiSegError, match="Several segmentations could count"):
        put_start(Place(volume, 3), labels, CLASSES)


def test_a_result_that_a_person_takes_over_counts(volume: Any, cine: Any, labels: np.ndarray) -> None:
    """What a model made counts for nobody; accepting it on one slice or frame makes it a label there."""
    drawn = np.zeros((8, 10, 12), np.uint8)
    drawn[2:5] = labels
    new_segmentation(volume, drawn, CLASSES)
    assert case_at(Place(volume, 3)).use == "unlabelled"
    accept(Place(volume, 3))
    assert case_at(Place(volume, 3)).slices == (3,)
    sequence, _ = cine
    result = CineResult(sequence, CLASSES, uncertainty=False)
    while result.prepare(50):
        pass
    result.add_frames([FrameResult(sequence.GetNthIndexValue(k), labels) for k in range(6)])
    result.finish()
    accept(Place(sequence, 4))
    assert case_at(Place(sequence, 4)).use == "labelled"
    assert case_at(Place(sequence, 3)).use == "unlabelled"


def test_a_picture_and_a_model_that_finds_nothing(scene: Any, labels: np.ndarray) -> None:
    picture = scenes.add_volume(np.zeros(labels.shape, np.uint8), "picture")
    place = Place(picture, 0)
    assert put_start(place, np.zeros_like(labels), CLASSES)
    assert annotation_at(place).GetName() == "picture (suggested)"
    assert case_at(place).use == "unlabelled"
    accept(place)
    assert case_at(place).use == "labelled"
    assert not case_at(place).labels.any()
    assert place.title == "picture"


@pytest.mark.parametrize(
    "wrong", [np.zeros((9, 12), np.uint8), np.zeros((10, 12), np.int16), np.full((10, 12), 3, np.uint8)]
)
def test_labels_that_do_not_fit_are_refused(volume: Any, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="label"):
        put_start(Place(volume, 0), wrong, CLASSES)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


@pytest.mark.parametrize("drawn_beside", [False, True])
def test_a_start_that_is_saved_alone_is_finished_on_its_slice_only(volume: Any, labels, tmp_path, drawn_beside) -> None:
    """A file of one segmentation keeps the segments' tags, and not the attributes of their node."""
    place = Place(volume, 3)
    put_start(place, labels, CLASSES)
    start = annotation_at(place)
    complete(start)
    if drawn_beside:
        start.GetSegmentation().AddEmptySegment("mine")
    path = tmp_path / "start.seg.nrrd"
    whole(segmentation_file_in_pieces(start, path))
    slicer.mrmlScene.RemoveNode(start)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    again = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert storage.ReadData(again)
    again.SetNodeReferenceID(again.GetReferenceImageGeometryReferenceRole(), volume.GetID())
    assert again.GetAttribute("SemiSeg.Start") is None
    if drawn_beside:
        assert start_slice(again) is None, "something else was made of it"
        return
    assert annotation_at(place) is again
    assert (case_at(place).use, case_at(place).slices) == ("partly", (3,))
    accept(place)
    assert (case_at(place).use, case_at(place).slices) == ("partly", (3,))
    assert start_slice(again) is None


def test_starts_survive_saving_the_scene(cine: Any, volume: Any, labels: np.ndarray, tmp_path) -> None:
    put_start(Place(volume, 3), labels, CLASSES)
    put_start(Place(cine[0], 2), labels, CLASSES)
    path = str(tmp_path / "scene.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(path)
    mrml.process_events()
    nodes = [slicer.mrmlScene.GetFirstNodeByClass(kind) for kind in ("vtkMRMLScalarVolumeNode",)]
    again = Place(next(n for n in [slicer.mrmlScene.GetFirstNodeByName("CT"), *nodes] if n), 3)
    sequence = slicer.mrmlScene.GetFirstNodeByName("cine")
    for place in (again, Place(sequence, 2)):
        assert not put_start(place, labels[::-1].copy(), CLASSES)
        accept(place)
        assert case_at(place).use in ("partly", "labelled")
