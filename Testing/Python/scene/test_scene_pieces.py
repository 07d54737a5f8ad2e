"""Large results arrive in pieces: the same as at once, never long at a time, and nothing of one that is given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from SemiSegCervicalLib.pieces import whole
from SemiSegCervicalLib.scene import pieces
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.export import segmentation_file_in_pieces
from SemiSegCervicalLib.scene.overlay import new_uncertainty_volume, uncertainty_volume_in_pieces
from SemiSegCervicalLib.scene.segmentation import label_array, new_segmentation, segmentation_in_pieces
from SlicerRig import scenes
from SlicerRig.clocks import timed_pieces

CLASSES = [SegmentClass(1, "lip", (0.9, 0.3, 0.2)), SegmentClass(2, "canal", (0.1, 0.8, 0.3))]
VALUES = {"Segment_1": 1, "Segment_2": 2}


def nodes(scene: Any) -> list[str]:
    found = scene.GetNodes()
    return [found.GetItemAsObject(i).GetID() for i in range(found.GetNumberOfItems())]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 300)


@pytest.fixture
def case(scene, small_pieces) -> tuple[Any, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.zeros((9, 10, 12), np.uint8)
    labels[2:8, 3:6, 1:12] = rng.integers(0, 3, (6, 3, 11))
    volume = scenes.add_volume(np.zeros(labels.shape, np.int16), "v", np.diag([-0.4, 0.5, 2, 1]))
    return volume, labels, rng.uniform(size=labels.shape).astype(np.float32)


def test_pieces_give_what_the_whole_gives(scene, case, tmp_path):
    volume, labels, doubt = case
    np.save(tmp_path / "labels.npy", labels)
    steps, node = run(segmentation_in_pieces(volume, np.load(tmp_path / "labels.npy", mmap_mode="r"), CLASSES, "s"))
    assert steps > 4
    np.testing.assert_array_equal(label_array(node, VALUES, volume), labels)
    layer = node.GetSegmentation().GetSegment("Segment_1").GetRepresentation("Binary labelmap")
    used = [(int(i.min()), int(i.max())) for i in np.nonzero(labels)]
    assert layer.GetExtent() == tuple(bound for pair in reversed(used) for bound in pair)
    assert node.GetSegmentation().GetSegment("Segment_2").GetRepresentation("Binary labelmap") is layer

    steps, node = run(uncertainty_volume_in_pieces(volume, doubt, "u"))
    assert steps > 4
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), np.rint(doubt * 100))
    whole = new_uncertainty_volume(volume, doubt)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), slicer.util.arrayFromVolume(whole))


def run(steps: pieces.Pieces[Any]) -> tuple[int, Any]:
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return count, end.value
        count += 1


@pytest.mark.parametrize("kind", ["segmentation", "uncertainty"])
def test_what_is_given_up_at_any_moment_leaves_nothing_in_the_scene(scene, case, kind):
    volume, labels, doubt = case
    new_uncertainty_volume(volume, doubt)  # the shared colours
    before = nodes(scene)

    def start() -> Any:
        if kind == "segmentation":
            return segmentation_in_pieces(volume, labels, CLASSES)
        return uncertainty_volume_in_pieces(volume, doubt)

    total = run(start())[0]
    node = run(start())[1]
    for found in nodes(scene):
        if found not in before:
            scene.RemoveNode(scene.GetNodeByID(found))
    assert node.GetScene() is None
    for moment in range(total + 1):
        steps = start()
        for _ in range(moment):
            next(steps)
        steps.close()
        assert nodes(scene) == before


def test_an_empty_result_is_as_large_as_its_source(scene, case):
    volume, labels, _ = case
    node = new_segmentation(volume, np.zeros_like(labels), CLASSES)
    layer = node.GetSegmentation().GetSegment("Segment_1").GetRepresentation("Binary labelmap")
    assert layer.GetDimensions() == (12, 10, 9)
    assert not label_array(node, VALUES, volume).any()


def test_a_wrong_value_in_any_piece_is_found(scene, case):
    volume, labels, _ = case
    labels[8, 9, 11] = 3
    before = nodes(scene)
    with pytest.raises(ValueError, match=r"outside the class list: \[3\]"):
        new_segmentation(volume, labels, CLASSES)
    with pytest.raises(ValueError, match=r"outside the class list: \[2\]"):
        new_segmentation(volume, labels, [CLASSES[0], SegmentClass(3, "other", (0, 0, 1))])
    assert nodes(scene) == before


def test_a_result_takes_the_place_of_the_segments_of_a_node_that_was_chosen(scene, case):
    volume, labels, _ = case
    chosen = scenes.add_segmentation(volume, np.ones_like(labels), [SegmentClass(1, "old", (1, 1, 1))], name="mine")
    before = nodes(scene)
    _, node = run(segmentation_in_pieces(volume, labels, CLASSES, "another name", replace=chosen))
    assert node is chosen
    assert nodes(scene) == before
    assert chosen.GetName() == "mine"
    assert [chosen.GetSegmentation().GetNthSegment(i).GetName() for i in range(2)] == ["lip", "canal"]
    assert chosen.GetSegmentation().GetNumberOfSegments() == 2
    np.testing.assert_array_equal(label_array(chosen, VALUES, volume), labels)


def test_a_result_in_the_place_of_surfaces_is_saved_as_a_label_map(scene, case, tmp_path):
    volume, labels, _ = case
    chosen = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    chosen.GetSegmentation().SetSourceRepresentationName("Closed surface")
    sphere = vtk.vtkSphereSource()
    sphere.Update()
    chosen.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "ball", [1, 0, 0])
    run(segmentation_in_pieces(volume, labels, CLASSES, replace=chosen))
    assert chosen.GetSegmentation().GetSourceRepresentationName() == "Binary labelmap"
    path = whole(segmentation_file_in_pieces(chosen, tmp_path / "out.seg.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), labels)


@pytest.mark.parametrize("kind", ["segmentation", "uncertainty"])
def test_no_piece_of_a_large_volume_takes_long(scene, kind):
    """Generous, as a test on a busy computer must be; the benchmark measures."""
    shape = (160, 256, 256)
    volume = scenes.add_volume(np.zeros(shape, np.uint8), "large")
    values = np.random.default_rng(0).integers(0, 3, shape, dtype=np.uint8)
    start: Callable[[], Any] = {
        "segmentation": lambda: segmentation_in_pieces(volume, values, CLASSES),
        "uncertainty": lambda: uncertainty_volume_in_pieces(volume, values),
    }[kind]
    longest = min(max(timed_pieces(start())[0]) for _ in range(3))
    assert longest < 0.1
