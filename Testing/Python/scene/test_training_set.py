"""What of a partly segmented scene counts: status, marks and accepted frames decide, zeros never do."""

from __future__ import annotations

import itertools
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
from SemiSegCervicalLib.scene.overlay import new_uncertainty_volume
from SemiSegCervicalLib.scene.segmentation import new_segmentation
from SemiSegTrainerLib.scene import choices, marks
from SemiSegTrainerLib.scene.annotation import CERTAIN_BACKGROUND, IGNORE
from SemiSegTrainerLib.scene.collect import collect_training_set
from SemiSegTrainerLib.scene.training_set import TrainingCase
from SlicerRig import clocks, mrml, scenes

Status = slicer.vtkSlicerSegmentationsModuleLogic
CLASSES = [SegmentClass(1, "anterior", (1, 0, 0)), SegmentClass(2, "posterior", (0, 0, 1))]
BOTH = {1: Status.Completed, 2: Status.Completed}


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (10, 12), dtype=np.uint8)


@pytest.fixture
def full(scene, labels):
    """A finished picture beside, so that both classes always exist."""
    volume = scenes.add_volume(picture(9), "full")
    scenes.add_segmentation(volume, labels, CLASSES)
    return volume


def case_of(volume: Any) -> TrainingCase:
    (case,) = [c for c in collect_training_set().cases if c.id == volume.GetID()]
    return case


def drawn(labels: np.ndarray, statuses: dict[int, int] | None = None, shape: Any = None) -> tuple[Any, Any]:
    volume = scenes.add_volume(picture() if shape is None else np.zeros(shape, np.uint8), "image")
    return volume, scenes.add_segmentation(volume, labels, CLASSES, statuses)


def segment(segmentation: Any, value: int) -> Any:
    return segmentation.GetSegmentation().GetSegment(f"Segment_{value}")


def test_completed_segments_make_a_labelled_case(scene, labels):
    volume, _ = drawn(labels)
    case = case_of(volume)
    assert (case.use, case.finished, case.complete, case.slices) == ("labelled", (1, 2), True, None)
    assert case.annotated == 1
    np.testing.assert_array_equal(case.labels, labels)
    np.testing.assert_array_equal(case.image[0], slicer.util.arrayFromVolume(volume)[0])
    assert case.completeness(case.labels) == {}


def test_an_empty_completed_segment_says_that_the_class_is_absent(full, labels):
    volume, _ = drawn(np.where(labels == 1, labels, 0), BOTH)
    assert case_of(volume).use == "labelled"


def test_an_unfinished_segment_counts_where_it_is_painted(full, labels):
    volume, _ = drawn(labels, {1: Status.Completed, 2: Status.InProgress})
    case = case_of(volume)
    assert (case.use, case.finished) == ("partly", (1,))
    np.testing.assert_array_equal(case.labels, labels)
    assert case.completeness(case.labels) == {"segments": [1]}
    painted = (labels != 0).mean()
    assert case.annotated == pytest.approx((1 + painted) / 2)
    assert "1 of 2" in case.reason


def test_a_segment_not_begun_or_not_there_is_not_looked_at(full, labels):
    begun, _ = drawn(np.where(labels == 1, labels, 0), {1: Status.Completed, 2: Status.NotStarted})
    other = scenes.add_volume(picture(), "other")
    scenes.add_segmentation(other, np.where(labels == 1, labels, 0), CLASSES[:1])
    for volume in (begun, other):
        case = case_of(volume)
        assert (case.use, case.finished) == ("partly", (1,))
        assert case.completeness(case.labels) == {"segments": [1]}


def test_paint_of_unknown_standing_does_not_count(full, labels):
    """Imported label maps start as "not started": nobody has said what they are."""
    volume, segmentation = drawn(labels, {1: Status.NotStarted, 2: Status.NotStarted})
    case = case_of(volume)
    assert (case.use, case.labels, case.annotated) == ("unlabelled", None, 0)
    assert "status" in case.reason
    marks.accept_segmentation(segmentation)
    assert case_of(volume).use == "labelled"


def test_begun_without_paint_says_nothing(full, labels):
    volume, _ = drawn(np.zeros_like(labels), {1: Status.InProgress, 2: Status.InProgress})
    assert case_of(volume).use == "unlabelled"


def test_a_flagged_segment_is_left_out_and_its_paint_is_unknown(full, labels):
    volume, segmentation = drawn(labels, {1: Status.Completed, 2: Status.Flagged})
    case = case_of(volume)
    assert (case.use, case.finished) == ("partly", (1,))
    np.testing.assert_array_equal(case.labels, np.choose(labels, np.array([0, 1, IGNORE], np.uint8)))
    assert case.completeness(case.labels) == {"segments": [1], "ignore": IGNORE}
    assert "posterior" in case.reason
    Status.SetSegmentStatus(segment(segmentation, 1), Status.Flagged)
    case = case_of(volume)
    assert (case.use, case.labels) == ("left out", None)


def test_scribbles_decide_only_where_they_are(full, labels):
    made = scenes.partly_segmented_scene([picture()], {0: labels}, CLASSES, scribbled=[0])
    case = case_of(made.volumes[0])
    assert (case.use, case.complete, case.background) == ("partly", False, CERTAIN_BACKGROUND)
    found = case.labels
    assert set(np.unique(found)) == {0, 1, 2, CERTAIN_BACKGROUND}
    assert (labels[found == 1] == 1).all()
    assert (labels[found == 2] == 2).all()
    assert (labels[found == CERTAIN_BACKGROUND] == 0).all()
    assert case.completeness(found) == {"complete": False, "background": CERTAIN_BACKGROUND}
    assert case.annotated == pytest.approx((found != 0).mean())
    names = [c.name for c in collect_training_set().classes]
    assert names == ["anterior", "posterior"]  # background strokes are no class


def test_scribbles_win_over_completed(full, labels):
    volume, segmentation = drawn(labels)
    marks.set_scribbles(segmentation, True)
    case = case_of(volume)
    assert (case.use, case.finished, case.completeness(labels)) == ("partly", (), {"complete": False})
    marks.set_scribbles(segmentation, False)
    assert case_of(volume).use == "labelled"


def test_accepting_the_whole_ends_the_scribbles_though_background_strokes_stay(full, labels):
    made = scenes.partly_segmented_scene([picture()], {0: labels}, CLASSES, scribbled=[0])
    before = case_of(made.volumes[0]).labels
    marks.accept_segmentation(made.segmentations[0])
    case = case_of(made.volumes[0])
    assert (case.use, case.complete, case.finished) == ("labelled", True, (1, 2))
    np.testing.assert_array_equal(case.labels, before)


def volume_labels() -> np.ndarray:
    made = np.zeros((6, 10, 12), np.uint8)
    made[:, 2:5, 2:10] = 1
    made[:, 6:9, 2:10] = 2
    return made


def test_annotated_slices_are_finished_and_elsewhere_paint_counts(full):
    painted = volume_labels()
    painted[[0, 2, 5]] = 0
    volume, segmentation = drawn(painted, {1: Status.InProgress, 2: Status.InProgress}, shape=painted.shape)
    assert case_of(volume).finished == ()
    marks.set_annotated_slices(segmentation, [1, 3])
    marks.accept_slice(segmentation, 0)
    case = case_of(volume)
    assert (case.use, case.finished, case.slices) == ("partly", (1, 2), (0, 1, 3))
    assert case.completeness(case.labels) == {"slices": [0, 1, 3]}
    np.testing.assert_array_equal(case.labels, painted)
    known = (painted != 0).mean(axis=(1, 2))
    assert case.annotated == pytest.approx((3 + known[4]) / 6)
    assert "3 of 6 slices" in case.reason


def test_accepting_a_slice_takes_nothing_back(full):
    painted = volume_labels()
    volume, segmentation = drawn(painted, {1: Status.Completed, 2: Status.InProgress}, shape=painted.shape)
    marks.accept_slice(segmentation, 3)
    case = case_of(volume)
    assert (case.finished, case.slices) == ((1, 2), (3,))
    assert marks.annotated_slices(segment(segmentation, 1)) == set(), "finished everywhere, as before"
    marks.accept_segmentation(segmentation)
    marks.accept_slice(segmentation, 3)
    assert (case_of(volume).use, case_of(volume).slices) == ("labelled", None)


@pytest.mark.parametrize("status", [Status.NotStarted, Status.InProgress, Status.Completed])
def test_accepting_a_slice_of_scribbles_finishes_this_slice_alone(full, status):
    painted = volume_labels()
    volume, segmentation = drawn(painted, {1: status, 2: status}, shape=painted.shape)
    marks.set_scribbles(segmentation, True)
    before = case_of(volume).counts.copy()
    marks.accept_slice(segmentation, 3)
    case = case_of(volume)
    assert (case.complete, case.finished, case.slices) == (True, (1, 2), (3,))
    np.testing.assert_array_equal(case.labels, painted)
    np.testing.assert_array_equal(case.counts[:, 1:], before[:, 1:])
    assert np.flatnonzero(case.counts[:, 0]).tolist() == [3]


def test_slices_with_paint_can_be_the_annotated_ones(full):
    painted = volume_labels()
    painted[[0, 2, 5]] = 0
    volume, segmentation = drawn(painted, {1: Status.InProgress, 2: Status.InProgress}, shape=painted.shape)
    marks.set_annotated_slices(segmentation, None)
    assert case_of(volume).slices == (1, 3, 4)
    marks.accept_slice(segmentation, 0)
    assert case_of(volume).slices == (0, 1, 3, 4)


def test_a_segment_without_the_mark_stays_open_on_annotated_slices(full):
    painted = volume_labels()
    volume, segmentation = drawn(painted, {1: Status.InProgress, 2: Status.InProgress}, shape=painted.shape)
    marks.set_annotated_slices(segmentation, [1, 3], segments=["Segment_1"])
    case = case_of(volume)
    assert (case.finished, case.slices) == ((1,), (1, 3))
    assert case.completeness(case.labels) == {"segments": [1], "slices": [1, 3]}


def test_all_slices_annotated_is_the_whole_volume(full):
    volume, segmentation = drawn(volume_labels(), {1: 1, 2: 1}, shape=(6, 10, 12))
    marks.set_annotated_slices(segmentation, range(6))
    case = case_of(volume)
    assert (case.use, case.slices) == ("labelled", None)


def test_a_models_result_counts_only_where_it_was_accepted(full):
    predicted = volume_labels()
    volume = scenes.add_volume(np.zeros((6, 10, 12), np.uint8), "image")
    segmentation = new_segmentation(volume, predicted, CLASSES)
    assert "nobody has accepted" in case_of(volume).reason
    Status.SetSegmentStatus(segment(segmentation, 1), Status.InProgress)  # a first edit does this
    case = case_of(volume)
    assert (case.use, case.labels) == ("unlabelled", None)

    marks.accept_slice(segmentation, 2)
    case = case_of(volume)
    assert (case.use, case.finished, case.slices) == ("partly", (1, 2), (2,))
    expected = np.zeros_like(predicted)
    expected[2] = predicted[2]
    np.testing.assert_array_equal(case.labels, expected)

    marks.set_annotated_slices(segmentation, None)  # "slices with paint" means a person's paint
    assert case_of(volume).use == "unlabelled"

    marks.accept_segmentation(segmentation)
    case = case_of(volume)
    assert (case.use, case.slices) == ("labelled", None)
    np.testing.assert_array_equal(case.labels, predicted)


def test_a_person_takes_over_one_of_a_models_segments(full):
    predicted = volume_labels()
    predicted[[0, 3]] = 0
    volume = scenes.add_volume(np.zeros((6, 10, 12), np.uint8), "image")
    segmentation = new_segmentation(volume, predicted, CLASSES)
    marks.accept_segmentation(segmentation, ["Segment_1"])
    Status.SetSegmentStatus(segment(segmentation, 1), Status.InProgress)  # taken up again
    only_first = np.where(predicted == 1, predicted, 0)
    case = case_of(volume)
    assert (case.use, case.finished) == ("partly", ())
    np.testing.assert_array_equal(case.labels, only_first)

    marks.set_annotated_slices(segmentation, None)
    case = case_of(volume)
    assert (case.finished, case.slices) == ((1,), (1, 2, 4, 5))
    np.testing.assert_array_equal(case.labels, only_first)


def test_voxels_that_two_segments_claim_are_nobodys(full, labels):
    volume, segmentation = drawn(labels)
    extra = scenes.add_segmentation(volume, np.where(labels == 1, 1, 0), [SegmentClass(1, "third", (0, 1, 0))])
    segmentation.GetSegmentation().CopySegmentFromSegmentation(extra.GetSegmentation(), "Segment_1", False)
    volume.GetScene().RemoveNode(extra)
    case = case_of(volume)
    np.testing.assert_array_equal(case.labels, np.choose(labels, np.array([0, IGNORE, 2], np.uint8)))
    assert case.completeness(case.labels) == {"ignore": IGNORE}


def test_two_segmentations_of_one_image_are_asked_about(full, labels):
    volume, _ = drawn(labels)
    second = scenes.add_segmentation(volume, labels, CLASSES, name="second")
    case = case_of(volume)
    assert case.use == "left out"
    assert "choose one" in case.reason
    new_segmentation(volume, labels[None], CLASSES)  # a result beside it is no second opinion
    volume.GetScene().RemoveNode(second)
    assert case_of(volume).use == "labelled"


def test_results_label_maps_and_shown_frames_are_no_cases(scene, labels):
    volume, _ = drawn(labels)
    new_uncertainty_volume(volume, np.zeros((10, 12)))
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "map")
    sequence, _ = scenes.add_cine([picture(k) for k in range(3)], "cine")
    result = CineResult(sequence, CLASSES)
    result.prepare(99)
    result.add_frames([FrameResult("0.04", labels, np.zeros((10, 12)))])
    found = collect_training_set()
    assert [c.name for c in found.cases] == ["image", "cine, frame 1", "cine, frame 2", "cine, frame 3"]
    assert [c.use for c in found.cases] == ["labelled", "unlabelled", "unlabelled", "unlabelled"]
    assert found.notes == []


def test_screenshots_of_scene_views_are_no_cases(scene, labels):
    """Slicer keeps them as a hidden sequence of colour pictures."""
    drawn(labels)
    mrml.slice_logic("Red")
    screenshot = scenes.add_volume(np.zeros((20, 30, 3), np.uint8), "screenshot").GetImageData()
    scene.RemoveNode(slicer.util.getNode("screenshot"))
    for name in ("before", "after"):
        slicer.modules.sceneviews.logic().CreateSceneView(name, "", 0, screenshot)
    assert slicer.util.getNode("SceneViewSequence_SceneViewScreenshot").GetNumberOfDataNodes() == 2
    found = collect_training_set()
    assert ([case.name for case in found.cases], found.notes) == (["image"], [])


def test_what_cannot_be_used_is_said(scene, labels):
    volume, segmentation = drawn(labels)
    segmentation.RemoveNodeReferenceIDs(segmentation.GetReferenceImageGeometryReferenceRole())
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")
    sequence, browser = scenes.add_cine([picture()], "cine")
    scenes.add_segmentation(browser.GetProxyNode(sequence), labels, CLASSES, name="over the frame")
    found = collect_training_set()
    assert len(found.notes) == 3
    for text in ("belongs to no image", '"hollow" holds no image', "belongs to no frame"):
        assert any(text in note for note in found.notes)
    assert case_of(volume).use == "unlabelled"
    assert {c.use for c in found.cases} == {"unlabelled"}


def test_label_maps_are_not_read_and_the_way_to_have_them_read_is_said(scene, labels):
    volume = scenes.add_volume(picture(), "image")
    label_map = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "outlined elsewhere")
    slicer.util.updateVolumeFromArray(label_map, labels[None])
    (note,) = collect_training_set().notes
    assert note.startswith('Label map "outlined elsewhere" is not read')
    converted = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "converted")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label_map, converted)
    converted.SetReferenceImageGeometryParameterFromVolumeNode(label_map)
    note = next(note for note in collect_training_set().notes if "converted" in note)
    assert 'belongs to the label map "outlined elsewhere" and to no image' in note
    converted.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    marks.accept_segmentation(converted)
    assert case_of(volume).use == "labelled"
    assert not any("converted" in note for note in collect_training_set().notes)


MODES = ["CreateFromPrevious", "CreateFromDefault", "SetToDefault", "Ignore", "DisplayHidden"]


@pytest.mark.parametrize(("mode", "save"), list(itertools.product(MODES, [False, True])))
def test_browsing_never_changes_the_number_of_training_frames(scene, labels, mode, save):
    frames = [picture(k) for k in range(6)]
    made = scenes.partly_segmented_scene([], {}, CLASSES, cine=frames, cine_labels={0: labels, 3: labels})
    browser, sequence = made.browser, made.drawn
    browser.SetMissingItemMode(sequence, getattr(browser, f"MissingItem{mode}"))
    browser.SetSaveChanges(sequence, save)

    def annotated() -> dict[str, str]:
        found = collect_training_set()
        assert found.notes == []
        return {c.frame: c.use for c in found.cases if c.use != "unlabelled"}

    expected = {"0.00": "labelled", "0.12": "labelled"}
    assert annotated() == expected
    proxy = browser.GetProxyNode(sequence)
    for number in (0, 1, 2, 3, 4, 5, 2, 0, 5, 1):
        browser.SetSelectedItemNumber(number)
        mrml.process_events()
        proxy.Modified()  # as a display change or an edit would
        mrml.process_events()
        assert annotated() == expected
    if (mode, save) == ("CreateFromPrevious", True):
        assert sequence.GetNumberOfDataNodes() == 6  # the trap: browsing did make items
        copied = item_at(sequence, "0.04").GetSegmentation().GetSegment("Segment_1")
        assert Status.GetSegmentStatus(copied) == Status.Completed
    assert marks.accepted_frames(sequence) == ["0.00", "0.12"]
    for value in ("0.00", "0.12"):
        case = next(c for c in collect_training_set().cases if c.frame == value)
        np.testing.assert_array_equal(case.labels, labels)


def test_a_fabricated_copy_does_not_count_even_where_its_value_was_recorded(scene, labels):
    made = scenes.partly_segmented_scene([], {}, CLASSES, cine=[picture(k) for k in range(3)], cine_labels={0: labels})
    made.drawn.SetDataNodeAtValue(item_at(made.drawn, "0.00"), "0.08")
    made.drawn.SetAttribute(marks.ACCEPTED_FRAMES, '["0.00", "0.08"]')
    assert marks.accepted_frames(made.drawn) == ["0.00"]
    marks.accept_frame(made.drawn, "0.08")
    assert marks.accepted_frames(made.drawn) == ["0.00", "0.08"]
    made.drawn.SetAttribute(marks.ACCEPTED_FRAMES, '["0.00"]')  # nor does an item's mark alone
    assert marks.accepted_frames(made.drawn) == ["0.00"]
    marks.accept_frame(made.drawn, "0.08")
    marks.withdraw_frame(made.drawn, "0.00")
    assert marks.accepted_frames(made.drawn) == ["0.08"]
    assert made.drawn.GetNumberOfDataNodes() == 2


def test_what_is_accepted_after_the_scene_was_saved_is_offered_to_be_saved(scene, labels, tmp_path):
    cine_labels = {0: labels, 2: labels}
    made = scenes.partly_segmented_scene([], {}, CLASSES, cine=[picture(k) for k in range(3)], cine_labels=cine_labels)
    storage = scene.AddNewNodeByClass("vtkMRMLSequenceStorageNode")
    storage.SetFileName(str(tmp_path / "drawn.seq.mrb"))
    made.drawn.SetAndObserveStorageNodeID(storage.GetID())
    for change in (marks.withdraw_frame, marks.accept_frame):
        assert storage.WriteData(made.drawn)
        assert not made.drawn.GetModifiedSinceRead()
        change(made.drawn, "0.08")  # which the browser does not show
        assert made.drawn.GetModifiedSinceRead(), change.__name__


def test_accepting_the_shown_frame_takes_what_is_seen(scene, labels):
    made = scenes.partly_segmented_scene([], {}, CLASSES, cine=[picture(k) for k in range(3)])
    browser, sequence = made.browser, made.drawn
    browser.SetMissingItemMode(sequence, browser.MissingItemSetToDefault)
    browser.SetSaveChanges(sequence, False)
    browser.SetSelectedItemNumber(1)
    mrml.process_events()
    with pytest.raises(SemiSegError, match="no segmentation at"):
        marks.accept_frame(sequence, "0.04")
    proxy = browser.GetProxyNode(sequence)
    drawn_over = scenes.add_segmentation(browser.GetProxyNode(made.cine), labels, CLASSES)
    proxy.GetSegmentation().DeepCopy(drawn_over.GetSegmentation())
    scene.RemoveNode(drawn_over)
    assert sequence.GetNumberOfDataNodes() == 0
    marks.accept_frame(sequence, "0.04")
    for number in (0, 2, 1):
        browser.SetSelectedItemNumber(number)
        mrml.process_events()
    case = next(c for c in collect_training_set().cases if c.frame == "0.04")
    assert case.use == "labelled"
    np.testing.assert_array_equal(case.labels, labels)


def test_edits_after_accepting_do_not_lose_the_mark(scene, labels):
    made = scenes.partly_segmented_scene([], {}, CLASSES, cine=[picture(k) for k in range(3)], cine_labels={1: labels})
    browser, sequence = made.browser, made.drawn
    browser.SetSaveChanges(sequence, True)
    browser.SetSelectedItemNumber(1)
    mrml.process_events()
    marks.withdraw_frame(sequence, "0.04")
    assert marks.accepted_frames(sequence) == []
    marks.accept_frame(sequence, "0.04")
    proxy = browser.GetProxyNode(sequence)
    proxy.GetSegmentation().GetSegment("Segment_1").SetName("renamed")
    proxy.Modified()
    mrml.process_events()
    assert marks.accepted_frames(sequence) == ["0.04"]


@pytest.mark.parametrize("mode", ["Ignore", "DisplayHidden"])
def test_a_stale_picture_of_another_frame_is_not_accepted(scene, labels, mode):
    made = scenes.partly_segmented_scene([], {}, CLASSES, cine=[picture(k) for k in range(3)], cine_labels={0: labels})
    made.browser.SetMissingItemMode(made.drawn, getattr(made.browser, f"MissingItem{mode}"))
    for number in (0, 1):
        made.browser.SetSelectedItemNumber(number)
        mrml.process_events()
    with pytest.raises(SemiSegError, match="no segmentation at"):
        marks.accept_frame(made.drawn, "0.04")


def test_a_frame_that_was_only_passed_is_not_accepted_as_empty(scene, labels):
    made = scenes.partly_segmented_scene([], {}, CLASSES, cine=[picture(k) for k in range(3)], cine_labels={0: labels})
    made.browser.SetSaveChanges(made.drawn, True)
    made.browser.SetMissingItemMode(made.drawn, made.browser.MissingItemCreateFromDefault)
    for number in (0, 1, 2):
        made.browser.SetSelectedItemNumber(number)
        mrml.process_events()
    assert made.drawn.GetNumberOfDataNodes() == 3
    for value in ("0.04", "0.08"):
        with pytest.raises(SemiSegError, match="no segmentation at"):
            marks.accept_frame(made.drawn, value)
    uses = {c.frame: c.use for c in collect_training_set(classes=CLASSES).cases}
    assert uses == {"0.00": "labelled", "0.04": "unlabelled", "0.08": "unlabelled"}


def test_a_models_frames_count_when_accepted(scene, labels):
    sequence, _ = scenes.add_cine([picture(k) for k in range(3)], "cine")
    result = CineResult(sequence, CLASSES)
    result.prepare(99)
    result.add_frames([FrameResult(v, labels, None) for v in ("0.00", "0.04")])
    marks.accept_frame(result.segmentations, "0.04", segments=["Segment_1"])
    uses = {c.frame: (c.use, c.finished) for c in collect_training_set(classes=CLASSES).cases}
    assert uses == {"0.00": ("unlabelled", ()), "0.04": ("partly", (1,)), "0.08": ("unlabelled", ())}


def test_acceptance_survives_saving_the_scene(scene, labels, tmp_path):
    scenes.partly_segmented_scene(
        [picture()], {0: labels}, CLASSES, cine=[picture(k) for k in range(3)], cine_labels={1: labels}, scribbled=[0]
    )
    before = [(c.name, c.use, c.reason) for c in collect_training_set().cases]
    path = tmp_path / "scene.mrb"
    assert scene.WriteToMRB(str(path))
    mrml.clear()
    scene.SetURL(str(path))
    assert scene.ReadFromMRB(str(path), True)
    mrml.process_events()
    after = collect_training_set()
    assert [(c.name, c.use, c.reason) for c in after.cases] == before
    np.testing.assert_array_equal(next(c for c in after.cases if c.frame == "0.04").labels, labels)


def test_marks_travel_in_a_lone_segmentation_file(full, labels, tmp_path, scene):
    volume, segmentation = drawn(volume_labels(), {1: 1, 2: 1}, shape=(6, 10, 12))
    marks.set_annotated_slices(segmentation, [1, 4])
    path = whole(segmentation_file_in_pieces(segmentation, tmp_path / "s.seg.nrrd"))
    scene.RemoveNode(segmentation)
    assert case_of(volume).use == "unlabelled"
    again = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "again")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(again)
    again.SetNodeReferenceID(again.GetReferenceImageGeometryReferenceRole(), volume.GetID())
    case = case_of(volume)
    assert (case.slices, case.finished) == ((1, 4), (1, 2))
    np.testing.assert_array_equal(case.labels, volume_labels())


def test_a_stack_of_frames_becomes_a_case_per_slice(full):
    painted = volume_labels()
    painted[[0, 2]] = 0
    volume, segmentation = drawn(painted, {1: 1, 2: 1}, shape=painted.shape)
    marks.set_annotated_slices(segmentation, [1, 2])
    choices.set_slices_as_frames(volume, True)
    found = collect_training_set()
    frames = {c.frame: c for c in found.cases if c.sequence == "image"}
    assert {c.group for c in frames.values()} == {volume.GetID()}
    assert {f: (c.use, c.finished) for f, c in frames.items()} == {
        "0": ("unlabelled", ()),
        "1": ("labelled", (1, 2)),
        "2": ("labelled", (1, 2)),
        "3": ("partly", ()),
        "4": ("partly", ()),
        "5": ("partly", ()),
    }
    np.testing.assert_array_equal(frames["1"].labels, painted[1])
    assert frames["1"].image.shape == (1, 10, 12)
    assert frames["1"].completeness(frames["1"].labels) == {}
    assert frames["3"].completeness(frames["3"].labels) == {"segments": []}


def test_a_volume_of_an_unusual_class_does_not_keep_the_others_from_being_read(scene, labels):
    unusual = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "unusual")
    unusual.SetAndObserveImageData(scenes.add_volume(np.zeros((10, 12, 3), np.uint8), "colour").GetImageData())
    for case in collect_training_set().cases:
        assert case.image.shape == (1, 10, 12)


def test_patients_of_the_subject_hierarchy_are_groups(scene, labels):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "somebody")
    study = hierarchy.CreateStudyItem(patient, "study")
    first, second, alone = (scenes.add_volume(picture(k), f"v{k}") for k in range(3))
    for volume in (first, second):
        hierarchy.CreateItem(study, volume)
    _, browser = scenes.add_cine([picture(k) for k in range(2)], "cine")
    hierarchy.CreateItem(study, browser)
    groups = {c.name: c.group for c in collect_training_set().cases}
    assert groups["v0"] == groups["v1"] == groups["cine, frame 1"] == groups["cine, frame 2"] != groups["v2"]
    assert "somebody" not in groups["v0"]
    assert groups["v2"] == alone.GetID()


@pytest.mark.parametrize("how", ["added to the open scene", "beside the open scene"])
def test_a_patient_whom_dicom_names_is_one_group_in_two_scenes(scene, tmp_path, how):
    def load(name: str, patient: str, study: str) -> None:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), scenes.add_volume(picture(0), name))
        hierarchy.SetItemUID(item, "DICOM", f"{study}.1")
        logic = slicer.vtkSlicerSubjectHierarchyModuleLogic
        logic.InsertDicomSeriesInHierarchy(hierarchy, patient, study, f"{study}.1")

    path = str(tmp_path / "first.mrb")
    load("before", "P1", "1.2")
    load("stranger", "P2", "1.3")
    assert scene.WriteToMRB(path)
    mrml.clear()
    load("after", "P1", "1.4")
    if how == "added to the open scene":
        assert scene.ReadFromMRB(path, False)
    else:
        choices.add_scene(path)
    groups = {c.name.partition(" ")[0]: c.group for c in collect_training_set().cases}
    assert groups["before"] == groups["after"] != groups["stranger"]
    assert "P1" not in groups["after"]


def test_reading_the_scene_changes_nothing_in_it(scene, labels):
    made = scenes.partly_segmented_scene(
        [picture(k) for k in range(4)],
        {0: labels, 1: labels, 2: labels},
        CLASSES,
        one_finished=[1],
        scribbled=[2],
        cine=[picture(k) for k in range(4)],
        cine_labels={0: labels, 2: labels},
    )
    made.browser.SetSelectedItemNumber(3)
    mrml.process_events()
    nodes = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
    before = [(node.GetID(), node.GetMTime()) for node in nodes]
    found = collect_training_set()
    uses = {name: [c.use for c in found.cases if (c.sequence or "pictures") == name] for name in ("pictures", "cine")}
    assert uses["pictures"] == ["labelled", "partly", "partly", "unlabelled"]
    assert uses["cine"] == ["labelled", "unlabelled", "labelled", "unlabelled"]
    for case in found.cases:
        _ = case.image, case.labels, case.annotated
    nodes = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
    assert [(node.GetID(), node.GetMTime()) for node in nodes] == before
    assert made.browser.GetSelectedItemNumber() == 3


def test_two_hundred_cases_are_listed_at_once(scene, labels):
    big = np.kron(labels, np.ones((30, 40), np.uint8))
    scenes.partly_segmented_scene(
        [np.zeros(big.shape, np.uint8)] * 200, {k: big for k in range(100)}, CLASSES, one_finished=range(0, 100, 3)
    )
    begin = clocks.cpu_seconds()
    found = collect_training_set()
    assert clocks.cpu_seconds() - begin < 6, "planned are 2 s, which a busy machine stretches"
    assert [len(found.used(use)) for use in ("labelled", "partly", "unlabelled")] == [66, 34, 100]
