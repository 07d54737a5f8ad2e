"""Results of a model in the scene: exact on any geometry, beside the user's nodes and never instead of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.pieces import whole
from SemiSegCervicalLib.scene import marks
from SemiSegCervicalLib.scene.cine import frame_item, index_values, item_at, source_sequence
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.export import label_sequence_file_in_pieces
from SemiSegCervicalLib.scene.frames import CineResult, FrameResult, StackResult
from SemiSegCervicalLib.scene.geometry import array_spacing, calibration, copy_geometry, ijk_to_ras
from SemiSegCervicalLib.scene.overlay import new_uncertainty_volume, percent, perceptual_ramp, uncertainty_colors
from SemiSegCervicalLib.scene.reading import grey, is_color
from SemiSegCervicalLib.scene.segmentation import label_array, new_segmentation, segment_mask, slice_image
from SemiSegCervicalLib.scene.source import source_of
from SlicerRig import mrml, scenes

CODE = "Segmentation category and type~SCT^123037004^Anatomical Structure~SCT^71252005^Cervix uteri~^^~Anatomic~^^~^^"
CLASSES = [
    SegmentClass(1, "anterior lip", (0.9, 0.3, 0.2), CODE),
    SegmentClass(2, "posterior lip", (0.2, 0.4, 0.9)),
    SegmentClass(3, "canal", (0.1, 0.8, 0.3)),
]


def rotation(seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


def affine(kind: str) -> np.ndarray:
    directions = {
        "plain": np.eye(3),
        "lps": np.diag([-1.0, -1.0, 1.0]),
        "flipped": np.array([[0, 0, -1.0], [1.0, 0, 0], [0, -1.0, 0]]),
        "oblique": rotation(3),
        "oblique left-handed": rotation(3) @ np.diag([1.0, 1.0, -1.0]),
    }[kind]
    matrix = np.eye(4)
    matrix[:3, :3] = directions * [0.3, 0.71, 2.1]
    matrix[:3, 3] = [101.1, -33.3, 7.7]
    return matrix


GEOMETRIES = ["plain", "lps", "flipped", "oblique", "oblique left-handed"]


def labels_like(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Label noise within a box, so that cropping has something to get wrong."""
    labels = np.zeros(shape, dtype=np.uint8)
    inner = tuple(slice(size // 4, size - size // 5) for size in shape)
    labels[inner] = np.random.default_rng(seed).integers(0, 3, labels[inner].shape)
    return labels


def state(node: Any) -> dict[str, Any]:
    """What a user would notice of a node: everything that is saved with the scene, and the voxels."""
    found: dict[str, Any] = {"name": node.GetName(), "mtime": node.GetMTime()}
    found["attributes"] = {name: node.GetAttribute(name) for name in node.GetAttributeNames()}
    found["references"] = {
        role: [node.GetNthNodeReferenceID(role, i) for i in range(node.GetNumberOfNodeReferences(role))]
        for role in ("display", "storage", "transform", "referenceImageGeometryRef")
    }
    if node.IsA("vtkMRMLVolumeNode"):
        found["voxels"] = slicer.util.arrayFromVolume(node).tobytes()
        found["geometry"] = ijk_to_ras(node).tobytes()
    if node.IsA("vtkMRMLSegmentationNode"):
        for segment_id, segment in marks.segments_of(node):
            image = segment.GetRepresentation("Binary labelmap")
            found[segment_id] = (
                segment.GetName(),
                segment.GetColor(),
                segment.GetTerminology(),
                slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentStatus(segment),
                image.GetMTime() if image else None,
            )
    if node.IsA("vtkMRMLSequenceNode"):
        found["items"] = [(v, state(item_at(node, v))) for v in index_values(node)]
    if node.IsA("vtkMRMLSequenceBrowserNode"):
        del found["mtime"]
        found["selected"] = node.GetSelectedItemNumber()
        found["master"] = node.GetMasterSequenceNode().GetID()
    return found


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_a_volume_and_its_results_have_the_same_geometry_to_the_last_bit(scene, kind):
    rng = np.random.default_rng(1)
    voxels = rng.normal(size=(6, 9, 11)).astype(np.float32)
    volume = scenes.add_volume(voxels, "v", affine(kind))
    before = state(volume)

    image = grey(volume)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, voxels)
    np.testing.assert_allclose(ijk_to_ras(volume), affine(kind), atol=1e-12)
    np.testing.assert_allclose(array_spacing(volume), (2.1, 0.71, 0.3), rtol=1e-12)

    labels = labels_like(voxels.shape)
    segmentation = new_segmentation(volume, labels, CLASSES)
    uncertainty = rng.uniform(size=voxels.shape).astype(np.float32)
    overlay = new_uncertainty_volume(volume, uncertainty)

    values = {f"Segment_{c.value}": c.value for c in CLASSES}
    np.testing.assert_array_equal(label_array(segmentation, values, volume), labels)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(overlay), np.rint(uncertainty * 100))
    np.testing.assert_array_equal(ijk_to_ras(overlay), ijk_to_ras(volume))
    assert overlay.GetSpacing() == volume.GetSpacing()
    layer = segmentation.GetSegmentation().GetSegment("Segment_1").GetRepresentation("Binary labelmap")
    assert layer.GetSpacing() == volume.GetSpacing()
    assert layer.GetOrigin() == volume.GetOrigin()
    assert state(volume) == before


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_slicers_own_export_reads_the_same_labels(scene, kind):
    volume = scenes.add_volume(np.zeros((6, 9, 11), dtype=np.int16), "v", affine(kind))
    labels = labels_like((6, 9, 11))
    segmentation = new_segmentation(volume, labels, CLASSES)
    for entry in CLASSES:
        exported = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, f"Segment_{entry.value}", volume)
        np.testing.assert_array_equal(exported.astype(bool), labels == entry.value)


def test_a_segment_on_another_grid_is_brought_over_to_the_nearest_voxel(scene):
    fine = scenes.add_volume(np.zeros((8, 12, 16), dtype=np.uint8), "fine", np.diag([0.5, 0.5, 0.5, 1.0]))
    shifted = np.diag([1.0, 1.0, 1.0, 1.0])
    shifted[:3, 3] = [0.25, 0.25, 0.25]  # each coarse voxel covers 2 x 2 x 2 fine ones
    coarse = scenes.add_volume(np.zeros((4, 6, 8), dtype=np.uint8), "coarse", shifted)
    labels = labels_like((4, 6, 8))
    segmentation = scenes.add_segmentation(coarse, labels, CLASSES)
    values = {f"Segment_{c.value}": c.value for c in CLASSES}
    found = label_array(segmentation, values, fine)
    np.testing.assert_array_equal(found, labels.repeat(2, 0).repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize("shift", [(2, 3, 1), (-2, -3, -1), (50, 0, 0)])
def test_a_segment_reaching_over_the_edge_is_cut_there(scene, shift):
    """The volume is a crop of the grid that was drawn on, or only overlaps it."""
    whole = scenes.add_volume(np.zeros((6, 9, 11), np.uint8), "whole", affine("oblique"))
    labels = np.random.default_rng(4).integers(0, 3, (6, 9, 11)).astype(np.uint8)
    segmentation = scenes.add_segmentation(whole, labels, CLASSES)
    moved = np.eye(4)
    moved[:3, 3] = shift  # x, y, z
    part = scenes.add_volume(np.zeros((4, 5, 6), np.uint8), "part", affine("oblique") @ moved)
    expected = np.zeros((4, 5, 6), np.uint8)
    for voxel in np.ndindex(4, 5, 6):
        there = tuple(np.add(voxel, shift[::-1]))
        if all(0 <= i < size for i, size in zip(there, labels.shape, strict=True)):
            expected[voxel] = labels[there]
    values = {f"Segment_{c.value}": c.value for c in CLASSES}
    np.testing.assert_array_equal(label_array(segmentation, values, part), expected)


def test_results_follow_the_transform_of_their_source(scene):
    volume = scenes.add_volume(np.zeros((3, 4, 5), dtype=np.uint8), "v", affine("oblique"))
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    labels = labels_like((3, 4, 5))
    segmentation = new_segmentation(volume, labels, CLASSES)
    overlay = new_uncertainty_volume(volume, np.zeros((3, 4, 5)))
    assert segmentation.GetTransformNodeID() == transform.GetID() == overlay.GetTransformNodeID()
    values = {f"Segment_{c.value}": c.value for c in CLASSES}
    np.testing.assert_array_equal(label_array(segmentation, values, volume), labels)


def test_a_segmentation_carries_names_colours_terminology_and_its_origin(scene):
    volume = scenes.add_volume(np.zeros((1, 9, 11), dtype=np.uint8), "v")
    segmentation = new_segmentation(volume, labels_like((9, 11)), CLASSES)
    segments = [segment for _, segment in marks.segments_of(segmentation)]
    assert [s.GetName() for s in segments] == [c.name for c in CLASSES]
    np.testing.assert_allclose([s.GetColor() for s in segments], [c.color for c in CLASSES])
    assert segments[0].GetTerminology() == CODE
    assert [s.GetLabelValue() for s in segments] == [1, 2, 3]
    assert {marks.segment_tag(s, marks.ORIGIN) for s in segments} == {marks.PREDICTION}
    status = slicer.vtkSlicerSegmentationsModuleLogic
    assert {status.GetSegmentStatus(s) for s in segments} == {status.NotStarted}
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 1
    role = segmentation.GetReferenceImageGeometryReferenceRole()
    assert segmentation.GetNodeReferenceID(role) == volume.GetID()


@pytest.mark.parametrize(
    "labels",
    [np.zeros((1, 9, 10), np.uint8), np.zeros((1, 9, 11), np.int16), np.full((1, 9, 11), 7, np.uint8)],
)
def test_labels_that_do_not_fit_are_refused_before_anything_is_made(scene, labels):
    volume = scenes.add_volume(np.zeros((1, 9, 11), dtype=np.uint8), "v")
    count = scene.GetNumberOfNodes()
    with pytest.raises(ValueError, match="label"):
        new_segmentation(volume, labels, CLASSES)
    assert scene.GetNumberOfNodes() == count


def test_the_uncertainty_display_has_a_fixed_window_and_a_transparent_certain_end(scene):
    volume = scenes.add_volume(np.zeros((1, 9, 11), dtype=np.uint8), "v")
    overlay = new_uncertainty_volume(volume, np.full((9, 11), 0.3))
    display = overlay.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, 100)
    assert not display.GetAutoWindowLevel()
    assert overlay.GetImageData().GetScalarTypeAsString() == "unsigned char"
    table = uncertainty_colors(scene).GetLookupTable()
    rgba = np.array([table.GetTableValue(i) for i in range(101)])
    assert rgba[0, 3] == 0
    assert (np.diff(rgba[:, 3]) >= 0).all()
    linear = np.where(rgba <= 0.04045, rgba / 12.92, ((rgba + 0.055) / 1.055) ** 2.4)[:, :3]
    lightness = 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16  # CIE L*
    steps = np.diff(lightness[::10])
    assert steps.min() > 5
    assert steps.max() < 7
    assert uncertainty_colors(scene) is uncertainty_colors(scene)
    new_uncertainty_volume(volume, np.zeros((9, 11)))
    assert scene.GetNodesByName("SemiSeg uncertainty").GetNumberOfItems() == 1


def cielab(color: Any) -> np.ndarray:
    """sRGB in 0 to 1 as L*, a*, b*."""
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    x, y, z = np.moveaxis(np.cbrt(xyz / [0.95047, 1, 1.08883]), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@pytest.mark.parametrize("opacity", [1.0, 0.6])
@pytest.mark.parametrize("grey", [0.02, 0.5, 1.0])
@pytest.mark.parametrize(
    "outline", [(1, 0.62, 0.26), (0.34, 0.71, 0.98), (0.5, 0.68, 0.5), (0.95, 0.84, 0.57)], ids=str
)
def test_outlines_stand_out_against_every_uncertainty(opacity, grey, outline):
    """The colours of the shipped models' segments, and the first two that Slicer gives: 30 is far more than is seen."""
    shown = opacity * perceptual_ramp(101)[1:] + (1 - opacity) * grey
    distances = np.linalg.norm(cielab(shown) - cielab(np.array(outline)), axis=-1)
    assert distances.min() > 30


def test_percent_rounds_and_refuses_what_is_no_uncertainty():
    np.testing.assert_array_equal(percent(np.array([0.0, 0.004, 0.006, 1.0])), [0, 0, 1, 100])
    for bad in (np.array([1.1]), np.array([-0.1]), np.array([np.nan]), np.array([101], np.uint8)):
        with pytest.raises(ValueError, match="uncertainty"):
            percent(bad)


def test_colour_becomes_luma_and_says_so(scene):
    rgb = np.random.default_rng(0).integers(0, 256, (7, 8, 3), dtype=np.uint8)
    volume = scenes.add_volume(rgb, "rgb")
    assert is_color(volume)
    np.testing.assert_allclose(grey(volume), (rgb @ np.array([0.299, 0.587, 0.114]))[None], atol=1e-4)
    assert not is_color(scenes.add_volume(rgb[..., 0], "grey"))


def test_volumes_of_any_class_are_read(scene):
    rgb = np.random.default_rng(0).integers(0, 256, (7, 8, 3), dtype=np.uint8)
    for kind in ("vtkMRMLScalarVolumeNode", "vtkMRMLDiffusionWeightedVolumeNode"):
        volume = scene.AddNewNodeByClass(kind)
        volume.SetAndObserveImageData(scenes.add_volume(rgb, "rgb").GetImageData())
        np.testing.assert_array_equal(source_of(volume).voxels(), rgb)
        np.testing.assert_allclose(grey(volume), (rgb @ np.array([0.299, 0.587, 0.114]))[None], atol=1e-4)


def test_calibration_is_known_only_where_somebody_said_it(scene):
    voxels = np.zeros((4, 5), np.uint8)
    assert calibration(scenes.add_volume(voxels, "v", np.diag([0.2, 0.2, 1, 1]))) == "yes"
    assert calibration(scenes.add_volume(voxels, "v")) == "unknown"
    picture = scenes.add_volume(voxels, "picture")
    picture.AddDefaultStorageNode()
    picture.GetStorageNode().SetFileName("/somewhere/Picture.PNG")
    assert calibration(picture) == "no"
    assert calibration(scenes.add_volume(np.zeros((4, 5, 3), np.uint8), "rgb")) == "no"
    picture.SetAttribute(marks.CALIBRATED, "yes")
    assert calibration(picture) == "yes"
    picture.RemoveAttribute(marks.CALIBRATED)
    picture.SetSpacing(0.2, 0.2, 1)  # in the module Volumes: the file itself cannot say it
    assert calibration(picture) == "yes"
    sequence, _ = scenes.add_cine([voxels], "cine")
    assert calibration(sequence.GetNthDataNode(0), sequence) == "unknown"
    sequence.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    assert calibration(sequence.GetNthDataNode(0), sequence) == "no"


@pytest.mark.parametrize("file", ["/somewhere/image.JPG", "/somewhere/image.tiff", "/somewhere/image.jpg Copy"])
@pytest.mark.parametrize("dots", [72, 96, 300])
def test_size_at_which_a_picture_would_be_printed_is_not_measured_with(scene, file, dots):
    picture = scenes.add_volume(np.zeros((4, 5), np.uint8), "p", np.diag([25.4 / dots, 25.4 / dots, 1, 1]))
    picture.AddDefaultStorageNode()
    picture.GetStorageNode().SetFileName(file)
    assert calibration(picture) == "no"
    picture.SetAttribute(marks.CALIBRATED, "yes")
    assert calibration(picture) == "yes"


def test_size_of_a_screens_pixels_is_not_measured_with_after_the_scene_was_saved(scene):
    for dots, known in ((72, "no"), (96, "no"), (73, "yes")):
        # As it comes back from a .nrrd file.
        picture = scenes.add_volume(np.zeros((4, 5), np.uint8), "p", np.diag([-25.4 / dots, -25.4 / dots, 1, 1]))
        assert calibration(picture) == known


def test_frames_that_are_close_in_time_keep_their_own_results(scene, tmp_path):
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "fast")
    sequence.SetNumericIndexValueTolerance(1e-6)
    item = slicer.vtkMRMLScalarVolumeNode()
    item.SetAndObserveImageData(scenes.add_volume(np.zeros((4, 5), np.uint8), "v").GetImageData())
    values = [f"{number * 0.0005:.4f}" for number in range(6)]
    for value in values:
        sequence.SetDataNodeAtValue(item, value)
    classes = [SegmentClass(1, "lip", (1, 0, 0))]
    result = CineResult(sequence, classes)
    while result.prepare(10):
        pass
    doubts = {value: np.full((4, 5), number / 10) for number, value in enumerate(values)}
    result.add_frames([FrameResult(value, np.ones((4, 5), np.uint8), doubt) for value, doubt in doubts.items()])
    assert result.computed() == values
    for value, doubt in doubts.items():
        stored = item_at(result.uncertainty, value)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(stored)[0], percent(doubt))
    file = whole(label_sequence_file_in_pieces(result.segmentations, sequence, classes, tmp_path / "fast.seq.nrrd"))
    assert f"index values:={' '.join(values)}" in file.read_bytes()[:4000].decode("latin1")


def cine(count: int = 5, color: bool = False) -> tuple[Any, Any, np.ndarray]:
    shape = (count, 6, 8, 3) if color else (count, 6, 8)
    frames = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    sequence, browser = scenes.add_cine(list(frames), "cine", affine("oblique"))
    browser.SetSelectedItemNumber(2)
    mrml.process_events()
    return sequence, browser, frames


def test_a_cine_is_found_behind_whatever_shows_it(scene):
    sequence, browser, frames = cine()
    before = [state(node) for node in (sequence, browser, browser.GetProxyNode(sequence))]
    for node in (sequence, browser, browser.GetProxyNode(sequence)):
        assert source_sequence(node) is sequence
    found = [grey(frame_item(sequence, number)) for number in range(5)]
    np.testing.assert_array_equal(np.concatenate(found), frames)
    with pytest.raises(SemiSegError, match="has no frame 5"):
        frame_item(sequence, 5)
    assert [state(node) for node in (sequence, browser, browser.GetProxyNode(sequence))] == before


def frame_result(value: str, seed: int) -> FrameResult:
    uncertainty = np.random.default_rng(seed).uniform(size=(6, 8)).astype(np.float32)
    return FrameResult(value, labels_like((6, 8), seed), uncertainty)


@pytest.mark.parametrize("color", [False, True])
def test_a_cine_result_streams_in_beside_the_source(scene, color):
    sequence, browser, _ = cine(color=color)
    users = scenes.add_drawn_sequence(sequence, browser, "drawn")
    scenes.draw_frame(users, sequence, "0.04", labels_like((6, 8), 9), CLASSES)
    before = [state(node) for node in (sequence, browser, users)]
    displayable = {n.GetID() for n in slicer.util.getNodesByClass("vtkMRMLDisplayableNode")}

    result = CineResult(sequence, CLASSES)
    with pytest.raises(RuntimeError, match="prepare"):
        result.add_frames([])
    assert result.prepare(3) == 2
    assert result.browser is None  # nothing is shown before each frame has its item
    assert result.prepare(3) == 0
    assert result.browser is browser
    assert [item_at(result.uncertainty, v).GetAttribute("computed") for v in index_values(sequence)] == ["0"] * 5
    made = {n.GetID() for n in slicer.util.getNodesByClass("vtkMRMLDisplayableNode")} - displayable
    assert made == {browser.GetProxyNode(s).GetID() for s in (result.segmentations, result.uncertainty)}

    result.add_frames([frame_result("0.16", 1), frame_result("0.08", 2)])
    assert result.computed() == ["0.08", "0.16"]
    for value, seed in (("0.16", 1), ("0.08", 2)):
        expected = frame_result(value, seed)
        item = item_at(result.segmentations, value)
        source_item = item_at(sequence, value)
        found = label_array(item, {f"Segment_{c.value}": c.value for c in CLASSES}, source_item)
        np.testing.assert_array_equal(found[0], expected.labels)
        stored = item_at(result.uncertainty, value)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(stored)[0], percent(expected.uncertainty))
        np.testing.assert_array_equal(ijk_to_ras(stored), ijk_to_ras(source_item))
        assert stored.GetAttribute("computed") == "1"
    result.finish()

    assert [state(node) for node in (sequence, browser, users)] == before
    assert browser.GetMissingItemMode(result.uncertainty) == browser.MissingItemSetToDefault
    assert not browser.GetSaveChanges(result.uncertainty)
    for node in (result.segmentations, result.uncertainty):
        assert node.GetIndexName() == "time"
        assert node.GetIndexUnit() == "s"


def test_the_shown_frame_appears_as_soon_as_it_is_done(scene):
    sequence, browser, _ = cine()
    result = CineResult(sequence, CLASSES)
    result.prepare(99)
    shown = browser.GetProxyNode(result.uncertainty)
    outline = browser.GetProxyNode(result.segmentations)
    assert shown.GetAttribute("computed") == "0"
    result.add_frames([frame_result("0.00", 1)])
    assert shown.GetAttribute("computed") == "0"
    result.add_frames([frame_result("0.08", 2)])
    assert shown.GetAttribute("computed") == "1"
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(shown)[0], percent(frame_result("0.08", 2).uncertainty))
    assert outline.GetSegmentation().GetNumberOfSegments() == 3
    assert shown.GetDisplayNode().GetWindowLevelMax() == 100
    assert not outline.GetDisplayNode().GetRemoveUnusedDisplayProperties()


def test_what_is_drawn_into_a_whole_result_stays(scene):
    sequence, browser, _ = cine()
    result = CineResult(sequence, CLASSES)
    result.prepare(99)
    values = index_values(sequence)
    result.add_frames([frame_result(value, number) for number, value in enumerate(values)])
    result.finish()
    before = [item_at(result.segmentations, value).GetMTime() for value in values]
    browse(browser, 0, 1, 2, 4, 1)
    assert [item_at(result.segmentations, value).GetMTime() for value in values] == before, "browsing writes nothing"
    browser.GetProxyNode(result.segmentations).GetSegmentation().AddEmptySegment("drawn", "drawn")
    browse(browser, 2, 4, 1)
    counts = [item_at(result.segmentations, v).GetSegmentation().GetNumberOfSegments() for v in values]
    assert counts == [3, 4, 3, 3, 3]
    assert browser.GetProxyNode(result.segmentations).GetSegmentation().GetNumberOfSegments() == 4


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "still computed"])
def test_what_is_corrected_in_a_result_with_gaps_stays(scene, ended):
    sequence, browser, _ = cine()
    result = CineResult(sequence, CLASSES)
    result.prepare(99)
    result.add_frames([frame_result("0.04", 1), frame_result("0.12", 2)])
    if ended:
        result.finish()
    shown = browser.GetProxyNode(result.segmentations)
    browse(browser, 1)
    shown.GetSegmentation().AddEmptySegment("drawn", "drawn")
    browse(browser, 2)
    if ended:
        shown.GetSegmentation().AddEmptySegment("drawn", "drawn")
    else:
        assert result.computed() == ["0.04", "0.12"], "what is only passed gets no item before its result"
        result.add_frames([frame_result("0.16", 3)])
    browse(browser, 4, 0, 3, 1)
    items = {v: item_at(result.segmentations, v) for v in index_values(result.segmentations)}
    counts = {value: item.GetSegmentation().GetNumberOfSegments() for value, item in items.items()}
    expected = {"0.04": 4, "0.12": 3, **({"0.00": 0, "0.08": 1, "0.16": 0} if ended else {"0.16": 3})}
    assert counts == expected
    assert shown.GetSegmentation().GetNumberOfSegments() == 4


def browse(browser: Any, *numbers: int) -> None:
    for number in numbers:
        browser.SetSelectedItemNumber(number)
        mrml.process_events()


def test_browsing_a_result_shows_each_frames_own_uncertainty_and_makes_no_items(scene):
    sequence, browser, _ = cine()
    result = CineResult(sequence, CLASSES)
    result.prepare(99)
    result.add_frames([frame_result("0.04", 1)])
    shown, outline = (browser.GetProxyNode(s) for s in (result.uncertainty, result.segmentations))
    for number in (0, 1, 2, 4, 1, 3):
        browser.SetSelectedItemNumber(number)
        mrml.process_events()
        values = slicer.util.arrayFromVolume(shown)
        assert (shown.GetAttribute("computed"), bool(values.any())) == (("1", True) if number == 1 else ("0", False))
        assert outline.GetSegmentation().GetNumberOfSegments() == (3 if number == 1 else 0)
    assert result.segmentations.GetNumberOfDataNodes() == 1
    assert result.uncertainty.GetNumberOfDataNodes() == 5


def test_a_lone_sequence_gets_a_browser(scene):
    sequence, browser, _ = cine()
    proxy = browser.GetProxyNode(sequence)
    scene.RemoveNode(browser)
    scene.RemoveNode(proxy)
    result = CineResult(sequence, CLASSES, uncertainty=False)
    assert result.prepare(1) == 0
    assert result.browser.GetMasterSequenceNode() is sequence
    result.add_frames([FrameResult("0.04", labels_like((6, 8)))])
    assert result.computed() == ["0.04"]


def test_a_stack_of_frames_is_filled_plane_by_plane(scene):
    voxels = np.random.default_rng(0).integers(0, 99, (4, 6, 8), dtype=np.uint8)
    volume = scenes.add_volume(voxels, "stack", affine("oblique"))
    before = state(volume)
    result = StackResult(volume, CLASSES)
    with pytest.raises(RuntimeError):
        result.add_frames([frame_result("3", 3)])
    assert [result.prepare(3), result.prepare(3), result.prepare(3)] == [1, 0, 0]
    result.add_frames([frame_result("3", 3)])
    result.add_frames([frame_result("1", 1)])
    expected = np.zeros((4, 6, 8), np.uint8)
    expected[3], expected[1] = frame_result("3", 3).labels, frame_result("1", 1).labels
    values = {f"Segment_{c.value}": c.value for c in CLASSES}
    np.testing.assert_array_equal(label_array(result.segmentation, values, volume), expected)
    np.testing.assert_array_equal(
        slicer.util.arrayFromVolume(result.uncertainty)[3], percent(frame_result("3", 3).uncertainty)
    )
    assert result.computed() == ["1", "3"]
    assert result.uncertainty.GetAttribute(marks.COMPUTED) == "0"
    result.add_frames([frame_result(str(k), k) for k in (0, 2)])
    assert result.uncertainty.GetAttribute(marks.COMPUTED) == "1"
    assert state(volume) == before


def test_planes_that_arrive_after_the_scene_was_saved_are_offered_to_be_saved(scene, tmp_path):
    labels = np.zeros((6, 8), np.uint8)
    labels[2:4, 2:5] = 1
    volume = scenes.add_volume(np.zeros((4, 6, 8), np.uint8), "stack")
    result = StackResult(volume, CLASSES[:1])
    while result.prepare(9):
        pass
    result.add_frames([FrameResult("0", labels, labels.astype(np.float32))])
    for node, name in ((result.segmentation, "labels.seg.nrrd"), (result.uncertainty, "uncertainty.nrrd")):
        node.AddDefaultStorageNode()
        node.GetStorageNode().SetFileName(str(tmp_path / name))
        assert node.GetStorageNode().WriteData(node)
        assert not node.GetModifiedSinceRead()
    result.add_frames([FrameResult("1", labels, labels.astype(np.float32))])
    assert result.segmentation.GetModifiedSinceRead()
    assert result.uncertainty.GetModifiedSinceRead()


@pytest.mark.parametrize("how", ["beside", "over another segment", "a segment less"])
def test_planes_arrive_also_where_somebody_draws_in_the_stack_meanwhile(scene, how):
    """Slicer then has the voxels elsewhere: nobody would see what is filled on in the former place."""
    volume = scenes.add_volume(np.zeros((4, 20, 30), np.uint8), "stack", affine("oblique"))
    result = StackResult(volume, CLASSES[:2])
    while result.prepare(9):
        pass
    labels = np.zeros((20, 30), np.uint8)
    labels[2:6, 2:6], labels[10:14, 10:14] = 1, 2
    result.add_frames([FrameResult("0", labels)])
    drawn = np.zeros_like(labels)
    drawn[(slice(11, 16), slice(11, 13)) if how == "over another segment" else (slice(15, 18), slice(20, 25))] = 1
    if how == "a segment less":
        result.segmentation.GetSegmentation().RemoveSegment("Segment_2")
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetBinaryLabelmapToSegment(
        slice_image(volume, drawn, 0), result.segmentation, "Segment_1", logic.MODE_MERGE_MAX
    )
    logic.SetBinaryLabelmapToSegment(
        slice_image(volume, drawn, 2), result.segmentation, "Segment_1", logic.MODE_MERGE_MAX
    )
    result.add_frames([FrameResult(str(number), labels) for number in (1, 2, 3)])
    found = [segment_mask(result.segmentation, name, volume) for name, _ in marks.segments_of(result.segmentation)]
    masks = [np.zeros((4, 20, 30), bool) for _ in found]
    for mask, part in zip(masks, found, strict=True):
        mask[part.box] = part.mask
    for number in (1, 3):
        assert np.array_equal(masks[0][number], labels == 1)
    for number in (0, 2):
        assert np.array_equal(masks[0][number], (labels == 1) | (drawn == 1))
    if how != "a segment less":
        assert all(np.array_equal(masks[1][number], labels == 2) for number in (1, 3))
    assert result.computed() == ["0", "1", "2", "3"]


def test_copying_a_geometry_loses_nothing(scene):
    volume = scenes.add_volume(np.zeros((2, 3, 4), np.uint8), "v", affine("oblique"))
    other = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "w")
    copy_geometry(volume, other)
    np.testing.assert_array_equal(ijk_to_ras(other), ijk_to_ras(volume))
    assert array_spacing(other) == array_spacing(volume)
