"""Many cases: the scene is listed at once, in pieces, and what has not changed is not read again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from SemiSegCervicalLib.scene import segmentation as reading_segments
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegTrainerLib.scene import annotation, choices, marks
from SemiSegTrainerLib.scene.collect import collect_steps, collect_training_set
from SemiSegTrainerLib.scene.memory import Memory
from SemiSegTrainerLib.scene.thumbnails import thumbnail, thumbnail_in_pieces
from SlicerRig import scenes
from SlicerRig.clocks import timed_pieces
from vtk.util.numpy_support import vtk_to_numpy

Status = slicer.vtkSlicerSegmentationsModuleLogic
CLASSES = [SegmentClass(1, "anterior", (1, 0, 0)), SegmentClass(2, "posterior", (0, 0, 1))]
BEGUN = {1: Status.InProgress, 2: Status.InProgress}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every reading of a segment's voxels."""
    seen: list[Any] = []

    def counted(*args: Any) -> Any:
        seen.append(args)
        return reading_segments.segment_mask(*args)

    monkeypatch.setattr(annotation, "segment_mask", counted)
    return seen


def block(depth: int = 24) -> np.ndarray:
    made = np.zeros((depth, 96, 96), np.uint8)
    made[4:-4, 10:50, 10:60] = 1
    made[6:-6, 60:80, 20:60] = 2
    return made


def test_two_hundred_volumes_and_frames_are_listed_without_reading_what_is_finished(scene, labels, reads):
    painted = block()
    for number in range(40):
        volume = scenes.add_volume(np.zeros(painted.shape, np.uint8), f"volume {number}")
        if number < 20:
            scenes.add_segmentation(volume, painted, CLASSES)
    frame = np.zeros((10, 12, 3), np.uint8)
    scenes.partly_segmented_scene(
        [], {}, CLASSES, cine=[frame] * 160, cine_labels=dict.fromkeys(range(0, 160, 8), labels)
    )
    durations, found = timed_pieces(collect_steps())
    assert sum(durations) < 3, "planned is 1 s, which a busy machine stretches"
    assert len(found.cases) == 200
    assert [len(found.used(use)) for use in ("labelled", "unlabelled")] == [40, 160]
    assert len(durations) >= 200
    assert max(durations) < 0.15, "planned are 20 ms, which a busy machine stretches"
    assert reads == []
    for case, slices, finished in ((found.cases[0], 24, 2), (found.cases[30], 0, 0)):
        assert (len(case.annotated_slices), len(case.finished)) == (slices, finished)
    assert reads == []


def test_whether_begun_segments_hold_paint_is_read_once(scene, labels, reads):
    painted = block()
    volume = scenes.add_volume(np.zeros(painted.shape, np.uint8), "v")
    segmentation = scenes.add_segmentation(volume, painted * (painted == 1), CLASSES, BEGUN)
    assert collect_training_set().cases[0].use == "partly"
    assert {args[1] for args in reads} == {"Segment_1", "Segment_2"}
    marks.set_annotated_slices(segmentation, None)
    first = collect_training_set().cases[0]
    assert first.slices == tuple(range(4, 20))
    counts = first.counts
    before = len(reads)
    again = collect_training_set().cases[0]
    assert again.slices == first.slices
    np.testing.assert_array_equal(again.counts, counts)
    assert len(reads) == before, "nothing changed, nothing is read"


@pytest.mark.parametrize("change", ["array", "edit", "moved", "status"])
def test_what_was_changed_is_read_again(scene, labels, change):
    painted = block()
    volume = scenes.add_volume(np.zeros(painted.shape, np.uint8), "v")
    segmentation = scenes.add_segmentation(volume, painted, CLASSES)
    marks.set_annotated_slices(segmentation, None)
    case = collect_training_set().cases[0]
    before = case.counts.copy()
    if change == "array":
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            (painted == 1).astype(np.uint8) * (np.arange(24) < 9)[:, None, None], segmentation, "Segment_1", volume
        )
    elif change == "edit":
        image = segmentation.GetSegmentation().GetSegment("Segment_1").GetRepresentation("Binary labelmap")
        eraser = slicer.vtkOrientedImageData()
        eraser.DeepCopy(image)
        vtk_to_numpy(eraser.GetPointData().GetScalars())[: painted.size // 2] = 0
        slicer.vtkOrientedImageDataResample.ModifyImage(
            image, eraser, slicer.vtkOrientedImageDataResample.OPERATION_MINIMUM
        )
    elif change == "moved":
        volume.SetOrigin(0, 0, 3)
    else:
        Status.SetSegmentStatus(segmentation.GetSegmentation().GetSegment("Segment_1"), Status.Flagged)
    again = collect_training_set().cases[0]
    assert not np.array_equal(again.counts, before)
    np.testing.assert_array_equal(again.counts[:, 1:].sum(axis=1), np.isin(again.labels, (1, 2)).sum(axis=(1, 2)))


@pytest.mark.parametrize("nested", [False, True])
def test_a_transform_that_moves_the_paint_is_a_change(scene, labels, nested):
    """The node's modification time stays the same when its matrix, or that of a transform above it, changes."""
    volume = scenes.add_volume(np.zeros((5, 10, 12), np.float32), "v", np.eye(4))
    painted = np.zeros((5, 10, 12), np.uint8)
    painted[1:3] = labels
    segmentation = scenes.add_segmentation(volume, painted, CLASSES)
    marks.set_annotated_slices(segmentation, None)
    above, moving = (scene.AddNewNodeByClass("vtkMRMLLinearTransformNode") for _ in range(2))
    moving.SetAndObserveTransformNodeID(above.GetID())
    segmentation.SetAndObserveTransformNodeID(moving.GetID())
    before = collect_training_set().cases[0]
    assert (before.slices, before.counts[:, 1:].any(axis=1).tolist()) == ((1, 2), [False, True, True, False, False])
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(2, 3, 2)
    (above if nested else moving).SetMatrixTransformToParent(matrix)
    after = collect_training_set().cases[0]
    assert (after.slices, after.counts[:, 1:].any(axis=1).tolist()) == ((3, 4), [False, False, False, True, True])


def test_a_thumbnail_shows_the_slice_with_the_most_paint(scene, labels):
    voxels = np.zeros((9, 40, 60), np.int16)
    voxels[:, 5:15, 10:30] = np.arange(1, 10)[:, None, None] * 100
    volume = scenes.add_volume(voxels, "v", np.diag([-0.5, -1.0, 2, 1]))
    middle = thumbnail(collect_training_set().cases[0], 30)
    assert middle.shape == (40, 30)
    assert middle.dtype == np.uint8
    assert middle[10, 10] == 255
    assert middle[30, 25] == 0
    painted = np.zeros(voxels.shape, np.uint8)
    painted[7, 5:15, 10:30] = 1
    painted[2, 5:9, 10:12] = 1
    scenes.add_segmentation(volume, painted, CLASSES, BEGUN)
    case = collect_training_set().cases[0]
    seen: list[Any] = []
    original = case.images[0].read
    object.__setattr__(case.images[0], "read", lambda *planes: seen.append(planes) or original(*planes))
    durations, shown = timed_pieces(thumbnail_in_pieces(case, 31))
    assert seen == [(7, 8)]
    assert shown.shape == (41, 31)
    assert len(durations) > 1
    thumbnail(case, 31)
    assert len(seen) == 1, "it was remembered"


@pytest.mark.parametrize(
    ("diagonal", "corner"), [((-1, -1, 1), (0, 0)), ((1, -1, 1), (0, -1)), ((-1, 1, 1), (-1, 0)), ((1, 1, 1), (-1, -1))]
)
def test_a_thumbnail_is_turned_as_slice_views_show_it(scene, diagonal, corner):
    voxels = np.zeros((20, 20), np.uint8)
    voxels[:6, :6] = 200
    scenes.add_volume(voxels, "v", np.diag([*map(float, diagonal), 1.0]))
    shown = thumbnail(collect_training_set().cases[0], 20)
    assert shown[corner] == 255
    assert sum(shown[k] == 255 for k in ((0, 0), (0, -1), (-1, 0), (-1, -1))) == 1


@pytest.mark.parametrize("kind", ["colour", "empty", "nan", "tiny"])
def test_any_image_has_a_thumbnail(scene, kind):
    array = {
        "colour": np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8),
        "empty": np.zeros((4, 30, 40), np.float32),
        "nan": np.full((4, 30, 40), np.nan, np.float32),
        "tiny": np.ones((2, 3), np.uint8),
    }[kind]
    scenes.add_volume(array, "v")
    shown = thumbnail(collect_training_set().cases[0], 48)
    assert shown.dtype == np.uint8
    assert shown.shape[1] == 48
    assert (shown.std() > 0) == (kind == "colour")


def test_a_case_names_its_nodes(scene, labels):
    made = scenes.partly_segmented_scene(
        [np.zeros((10, 12), np.uint8)] * 2,
        {0: labels},
        CLASSES,
        cine=[np.zeros((10, 12), np.uint8)] * 3,
        cine_labels={1: labels},
    )
    found = collect_training_set().cases
    volume, segmentation = made.volumes[0], made.segmentations[0]
    assert (found[0].volume, found[0].stack, found[0].segmentation) == (volume.GetID(), None, segmentation.GetID())
    assert found[1].segmentation is None
    assert {(case.volume, case.stack, case.segmentation) for case in found[2:]} == {
        (None, made.cine.GetID(), made.drawn.GetID())
    }
    choices.set_slices_as_frames(volume, True)
    assert collect_training_set().cases[0].volume == volume.GetID()


def test_the_oldest_is_forgotten_first():
    memory: Memory[int] = Memory(2)
    memory.put("a", 1)
    memory.put("b", 2)
    assert memory.get("a") == 1
    memory.put("c", 3)
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == (1, None, 3)
