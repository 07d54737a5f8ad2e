"""Files that are written in pieces: bit for bit what Slicer's storage nodes write at once, and never long at a time."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.pieces import whole
from SemiSegCervicalLib.scene import export, marks, pieces, stored
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.frames import CineResult, FrameResult
from SemiSegCervicalLib.scene.overlay import new_uncertainty_volume
from SemiSegCervicalLib.scene.segmentation import label_array, new_segmentation
from SlicerRig import scenes
from SlicerRig.clocks import timed_pieces
from TrainingRig.dicom import oblique

CLASSES = [SegmentClass(1, "anterior äöü", (1, 0, 0)), SegmentClass(2, "posterior", (0, 0, 1))]
SHAPES = [(5, 8, 10), (1, 8, 10), (3, 1, 4), (1, 1, 1)]
LONGEST = 0.1


def affine() -> np.ndarray:
    return oblique((0.3, 0.7, 2.1), seed=5)


def labels_of(shape: tuple[int, ...]) -> np.ndarray:
    labels = np.random.default_rng(0).integers(0, 3, shape, dtype=np.uint8)
    labels[..., :1] = min(1, labels.size - 1)
    return labels


def by_slicer(storage: Any, node: Any, path: Path) -> Path:
    storage.SetFileName(str(path))
    if node.GetScene() is not None:
        storage.SetScene(node.GetScene())
    assert storage.WriteData(node)
    return path


def content(path: Path) -> tuple[list[str], bytes]:
    """Return the lines of a NRRD's header and its voxels."""
    header, _, packed = path.read_bytes().partition(b"\n\n")
    lines = header.decode().split("\n")
    return sorted(lines), zlib.decompress(packed, wbits=47) if "encoding: gzip" in lines else packed


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz"])
def test_a_volume(scene, tmp_path, shape, dtype, ending):
    values = np.random.default_rng(1).integers(0, 99, shape).astype(dtype)
    volume = scenes.add_volume(values, "v", affine())
    ours = whole(export.volume_file_in_pieces(volume, tmp_path / f"ours{ending}"))
    theirs = by_slicer(slicer.vtkMRMLVolumeArchetypeStorageNode(), volume, tmp_path / f"theirs{ending}")
    if ending == ".nrrd":
        assert content(ours) == content(theirs)
    else:
        assert gzip.decompress(ours.read_bytes()) == gzip.decompress(theirs.read_bytes())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("boxed", [True, False], ids=["boxed", "whole"])
def test_a_segmentation(scene, tmp_path, shape, boxed):
    labels = labels_of(shape)
    if boxed:
        labels[:, : shape[1] // 3] = 0
    volume = scenes.add_volume(np.zeros(shape, np.int16), "v", affine())
    segmentation = new_segmentation(volume, labels, CLASSES)
    same_as_slicers(segmentation, tmp_path)


def same_as_slicers(segmentation: Any, folder: Path) -> None:
    """Make sure that a segmentation's file differs from Slicer's in no more than how tight its extents are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_BYTES", 400)  # a few planes at once, as of a large image
        ours = whole(export.segmentation_file_in_pieces(segmentation, folder / "ours.seg.nrrd"))
    theirs = by_slicer(slicer.vtkMRMLSegmentationStorageNode(), segmentation, folder / "theirs.seg.nrrd")
    (lines, voxels), (expected, expected_voxels) = content(ours), content(theirs)
    assert voxels == expected_voxels
    extents = [[line for line in found if "_Extent:=" in line] for found in (lines, expected)]
    assert {*lines} - {*extents[0]} ^ {*expected} - {*extents[1]} == set()
    for line, tight in zip(*extents, strict=True):
        name, _, bounds = line.partition(":=")
        own, inner = ([int(n) for n in text.split()] for text in (bounds, tight.partition(":=")[2]))
        assert tight.startswith(f"{name}:=")
        assert inner[0] > inner[1] or all(
            (low >= outer) if i % 2 == 0 else (low <= outer)
            for i, (low, outer) in enumerate(zip(inner, own, strict=True))
        )


def layer_of(volume: Any, mask: np.ndarray, first: tuple[int, int, int] = (0, 0, 0)) -> Any:
    """Return a label map of its own that begins at a voxel (x, y, z) of a volume's grid."""
    segmentation = scenes.add_segmentation(volume, mask.astype(np.uint8), [SegmentClass(1, "drawn", (0, 1, 0))])
    image = segmentation.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    z, y, x = mask.shape
    image.SetExtent(first[0], first[0] + x - 1, first[1], first[1] + y - 1, first[2], first[2] + z - 1)
    return image


def add_layer(segmentation: Any, image: Any, name: str, value: int = 1) -> None:
    segment = slicer.vtkSegment()
    segment.SetName(name)
    segment.SetLabelValue(value)
    segment.SetTag("mine", "kept")
    segment.AddRepresentation("Binary labelmap", image)
    segmentation.GetSegmentation().AddSegment(segment, name)


def test_a_segmentation_with_overlapping_empty_and_undrawn_segments(scene, tmp_path):
    volume = scenes.add_volume(np.zeros((5, 8, 10), np.int16), "v", affine())
    segmentation = new_segmentation(volume, labels_of((5, 8, 10)), CLASSES)
    add_layer(segmentation, layer_of(volume, np.ones((2, 3, 4)), (2, 1, 1)), "over")
    segmentation.GetSegmentation().AddEmptySegment("empty", "empty")
    undrawn = slicer.vtkSegment()
    undrawn.SetName("undrawn")
    segmentation.GetSegmentation().AddSegment(undrawn, "undrawn")
    same_as_slicers(segmentation, tmp_path)
    assert "dimension: 4" in content(tmp_path / "ours.seg.nrrd")[0]


def masks(segmentation: Any, volume: Any) -> dict[str, bytes]:
    """Return where each segment is, by its id."""
    return {
        segment_id: label_array(segmentation, {segment_id: 1}, volume).tobytes()
        for segment_id, _ in marks.segments_of(segmentation)
    }


def read_by_slicer(path: Path) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    return node


@pytest.mark.parametrize(
    "beside",
    [
        {"only": 3},
        {"low": 1, "high": 3},
        {"low": 1, "high": 2, "": 0, "apart": 5},
    ],
    ids=["alone", "two", "three layers"],
)
def test_a_segmentation_whose_overlapping_segments_share_label_maps(scene, tmp_path, beside):
    """So Slicer itself puts them together when it saves, and numbers them anew."""
    volume = scenes.add_volume(np.zeros((5, 8, 10), np.int16), "v", affine())
    segmentation = new_segmentation(volume, labels_of((5, 8, 10)), CLASSES)
    drawn = np.random.default_rng(4).choice(list(beside.values()), (2, 3, 4))
    image = layer_of(volume, drawn, (2, 1, 1))
    for name, value in beside.items():
        if name == "apart":
            image = layer_of(volume, np.full((2, 3, 4), value), (3, 2, 2))
        if name:
            add_layer(segmentation, image, name, value)
    segmentation.GetSegmentation().AddEmptySegment("empty", "empty")
    expected = masks(segmentation, volume)
    written = read_by_slicer(whole(export.segmentation_file_in_pieces(segmentation, tmp_path / "s.seg.nrrd")))
    assert masks(written, volume) == expected
    assert len({*expected.values()}) == len(expected), "every segment is another one"


@pytest.mark.parametrize("grid", ["its own", "another", "none"])
def test_a_segmentation_whose_first_segment_is_empty(scene, tmp_path, grid):
    """Slicer would bring what is drawn to a grid of its own making, in the file and in the scene, and lose voxels."""
    volume = scenes.add_volume(np.zeros((6, 20, 20), np.int16), "v", oblique((0.5, 0.5, 2.0), seed=3))
    other = scenes.add_volume(np.zeros((6, 20, 20), np.int16), "w", oblique((0.7, 0.7, 2.0), seed=3))
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    if grid != "none":
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume if grid == "its own" else other)
    segmentation.GetSegmentation().SetSourceRepresentationName("Binary labelmap")
    segmentation.GetSegmentation().AddEmptySegment("empty", "empty")
    for name, first in (("drawn", (2, 3, 1)), ("over", (4, 4, 2))):
        add_layer(segmentation, layer_of(volume, np.ones((2, 9, 7)), first), name)
    segmentation.CreateClosedSurfaceRepresentation()
    before = masks(segmentation, volume)
    written = read_by_slicer(whole(export.segmentation_file_in_pieces(segmentation, tmp_path / "s.seg.nrrd")))
    assert masks(segmentation, volume) == before
    if grid != "another":  # on whose larger voxels it is written
        assert masks(written, volume) == before
    assert written.GetSegmentation().ContainsRepresentation("Closed surface")


def test_a_segmentation_on_a_grid_that_does_not_begin_at_0(scene, tmp_path):
    volume = scenes.add_volume(np.zeros((5, 8, 10), np.int16), "v", affine())
    segmentation = new_segmentation(volume, labels_of((5, 8, 10)), CLASSES)
    content_, converter = segmentation.GetSegmentation(), slicer.vtkSegmentationConverter
    name, larger = converter.GetReferenceImageGeometryParameterName(), slicer.vtkOrientedImageData()
    converter.DeserializeImageGeometry(content_.GetConversionParameter(name), larger, False)
    larger.SetExtent(-2, 11, -3, 9, -1, 6)
    content_.SetConversionParameter(name, converter.SerializeImageGeometry(larger))
    same_as_slicers(segmentation, tmp_path)
    written = read_by_slicer(tmp_path / "ours.seg.nrrd")
    assert masks(written, volume) == masks(segmentation, volume)


def test_a_segment_that_was_named_by_hand_is_not_named_anew(scene, tmp_path):
    volume = scenes.add_volume(np.zeros((5, 8, 10), np.int16), "v", affine())
    segmentation = new_segmentation(volume, labels_of((5, 8, 10)), CLASSES)
    segmentation.GetSegmentation().GetNthSegment(0).SetNameAutoGenerated(False)
    segmentation.GetSegmentation().GetNthSegment(1).SetColorAutoGenerated(False)
    same_as_slicers(segmentation, tmp_path)


def test_a_segmentation_without_a_drawn_segment(scene, tmp_path):
    volume = scenes.add_volume(np.zeros((5, 8, 10), np.int16), "v", affine())
    same_as_slicers(new_segmentation(volume, np.zeros((5, 8, 10), np.uint8), CLASSES), tmp_path)


def test_a_segmentation_with_surfaces_beside_them(scene, tmp_path):
    volume = scenes.add_volume(np.zeros((5, 8, 10), np.int16), "v", affine())
    segmentation = new_segmentation(volume, labels_of((5, 8, 10)), CLASSES)
    segmentation.CreateClosedSurfaceRepresentation()
    same_as_slicers(segmentation, tmp_path)


def test_what_is_drawn_beyond_the_image_is_kept(scene, tmp_path):
    volume = scenes.add_volume(np.zeros((5, 8, 10), np.int16), "v", affine())
    segmentation = new_segmentation(volume, labels_of((5, 8, 10)), CLASSES)
    add_layer(segmentation, layer_of(volume, np.ones((2, 3, 4)), (8, 6, 4)), "beyond")
    same_as_slicers(segmentation, tmp_path)
    larger = content(tmp_path / "ours.seg.nrrd")[0]
    assert not any(line.endswith("sizes: 10 8 5") for line in larger)


def test_a_grid_that_begins_before_the_image(scene, tmp_path):
    """As that of a segmentation does which was drawn on a larger image, or read from a file of one."""
    volume = scenes.add_volume(np.zeros((5, 8, 10), np.int16), "v", affine())
    labels = labels_of((5, 8, 10))
    segmentation = new_segmentation(volume, labels, CLASSES)
    grid, converter = slicer.vtkOrientedImageData(), slicer.vtkSegmentationConverter
    name = converter.GetReferenceImageGeometryParameterName()
    converter.DeserializeImageGeometry(segmentation.GetSegmentation().GetConversionParameter(name), grid, False)
    grid.SetExtent(-1, 11, -2, 9, -3, 5)
    segmentation.GetSegmentation().SetConversionParameter(name, converter.SerializeImageGeometry(grid))
    same_as_slicers(segmentation, tmp_path)
    assert any(line.endswith("sizes: 13 12 9") for line in content(tmp_path / "ours.seg.nrrd")[0])
    again = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "ours.seg.nrrd"))
    assert storage.ReadData(again)
    values = {segment_id: value for value, (segment_id, _) in enumerate(marks.segments_of(again), start=1)}
    np.testing.assert_array_equal(label_array(again, values, volume), labels)


@pytest.mark.parametrize("other", [np.zeros((3, 5), np.uint8), np.zeros((3, 4), np.int16)], ids=["size", "type"])
def test_frames_that_do_not_fit_together_are_refused(scene, tmp_path, other):
    sequence, _ = scenes.add_cine([np.zeros((3, 4), np.uint8)] * 2 + [other], "cine", affine())
    with pytest.raises(SemiSegError, match="different places"):
        whole(export.volume_sequence_file_in_pieces(sequence, tmp_path / "ours.seq.nrrd"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [3, 450])
@pytest.mark.parametrize("color", [False, True], ids=["grey", "colour"])
def test_a_sequence(scene, tmp_path, count, color):
    frames = np.random.default_rng(2).integers(0, 255, (count, 3, 4, 3) if color else (count, 3, 4), dtype=np.uint8)
    sequence, _ = scenes.add_cine(list(frames), "cine äöü", affine())
    sequence.SetIndexName("position")
    sequence.SetIndexUnit("mm")
    sequence.SetAttribute("of", "the sequence")
    for number in range(0, count, 2):
        sequence.GetNthDataNode(number).SetAttribute("of.one", f"frame {number}")
    ours = whole(export.volume_sequence_file_in_pieces(sequence, tmp_path / "ours.seq.nrrd"))
    theirs = by_slicer(slicer.vtkMRMLVolumeSequenceStorageNode(), sequence, tmp_path / "theirs.seq.nrrd")
    (lines, voxels), (expected, expected_voxels) = content(ours), content(theirs)
    assert voxels == expected_voxels
    assert set(lines) ^ set(expected) == {
        line for line in (*lines, *expected) if line.startswith(("space d", "space o"))
    }
    for own, other in zip(
        *([line for line in found if line.startswith("space ")] for found in (lines, expected)), strict=True
    ):
        # Slicer takes a matrix apart, and puts it together again, with every copy of a volume.
        np.testing.assert_allclose(
            *(np.array(re.findall(r"-?\d[\d.e-]*", text), float) for text in (own, other)), atol=1e-12
        )


@pytest.mark.parametrize("moved", range(5))
def test_a_frame_that_lies_elsewhere_is_noticed_in_whatever_part_of_the_header(scene, tmp_path, monkeypatch, moved):
    monkeypatch.setattr(stored, "_FRAMES_AT_ONCE", 2)
    sequence, _ = scenes.add_cine([np.zeros((3, 4), np.uint8)] * 5, "cine", affine())
    whole(export.volume_sequence_file_in_pieces(sequence, tmp_path / "alike.seq.nrrd"))
    sequence.GetNthDataNode(moved).SetOrigin(1.0, 2.0, 3.0)
    with pytest.raises(SemiSegError, match="different places"):
        whole(export.volume_sequence_file_in_pieces(sequence, tmp_path / "apart.seq.nrrd"))
    assert [path.name for path in tmp_path.iterdir()] == ["alike.seq.nrrd"]


def bundled(path: Path) -> list[tuple[str, str, dict[str, str], np.ndarray]]:
    """Read a ``.seq.mrb`` as Slicer does: index value, name, attributes and segments' voxels of each frame."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    found = []
    for number in range(node.GetNumberOfDataNodes()):
        item = node.GetNthDataNode(number)
        kept = {name: item.GetAttribute(name) for name in item.GetAttributeNames()}
        segments = [(s.GetName(), s.GetColor(), marks.segment_tag(s, marks.ORIGIN)) for _, s in marks.segments_of(item)]
        assert item.GetSegmentation().GetSourceRepresentationName() == "Binary labelmap"
        values = {segment_id: value for value, (segment_id, _) in enumerate(marks.segments_of(item), start=1)}
        volume = scenes.add_volume(np.zeros((1, 8, 10), np.uint8), "v", affine())
        found.append(
            (
                node.GetNthIndexValue(number),
                item.GetName(),
                kept | {"": str(segments)},
                label_array(item, values, volume),
            )
        )
    index = (node.GetIndexName(), node.GetIndexUnit(), node.GetIndexType(), node.GetNumericIndexValueTolerance())
    return [(str(index), "", {}, np.zeros(0)), *found]


def cine(count: int = 3, size: tuple[int, int] = (8, 10), name: str = "cine äöü") -> CineResult:
    sequence, _ = scenes.add_cine([np.zeros(size, np.uint8)] * count, name, affine())
    result = CineResult(sequence, CLASSES)
    while result.prepare(99):
        pass
    rng = np.random.default_rng(3)
    for number in range(count):
        labels = rng.integers(0, 3, size, dtype=np.uint8)
        result.add_frames([FrameResult(sequence.GetNthIndexValue(number), labels, labels)])
    return result


def test_a_bundle(scene, tmp_path):
    segmentations = cine().segmentations
    segmentations.GetNthDataNode(1).SetAttribute("mine", "kept")
    segmentations.SetDataNodeAtValue(slicer.vtkMRMLSegmentationNode(), "5.00")  # a frame that was only passed
    ours = whole(export.segmentation_sequence_file_in_pieces(segmentations, tmp_path / "ours äöü.seq.mrb"))
    inside = segmentations.GetSequenceScene().GetNumberOfNodes()
    theirs = by_slicer(slicer.vtkMRMLSequenceStorageNode(), segmentations, tmp_path / "theirs.seq.mrb")
    for own, expected in zip(bundled(ours), bundled(theirs), strict=True):
        assert own[:3] == expected[:3]
        np.testing.assert_array_equal(own[3], expected[3])
    assert inside == segmentations.GetNumberOfDataNodes(), "no file is remembered for a frame"


def test_a_bundle_of_a_cine_with_an_odd_name(scene, tmp_path):
    segmentations = cine(name='cine <äöü> & "co";:\'').segmentations
    segmentations.GetNthDataNode(1).SetAttribute("mine", 'a "b": <c> & d')
    path = whole(export.segmentation_sequence_file_in_pieces(segmentations, tmp_path / "s.seq.mrb"))
    _, first, second, _ = bundled(path)
    assert first[1] == second[1] == segmentations.GetName()
    assert second[2]["mine"] == 'a "b": <c> & d'
    np.testing.assert_array_equal(second[3].any(), True)


def pieces_of_a_volume(folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    shape = (60, 400, 400)
    labels = np.zeros(shape, np.uint8)
    for k in range(30):
        labels[2 * k : 2 * k + 3, 50:350, 100:300] = k + 1
    classes = [SegmentClass(k + 1, f"s{k}", (0.5, 0.5, k / 30)) for k in range(30)]
    volume = scenes.add_volume(np.zeros(shape, np.int16), "v", affine())
    segmentation = new_segmentation(volume, labels, classes)
    doubt = new_uncertainty_volume(volume, labels)
    for ending in (".seg.nrrd", ".nrrd", ".nii.gz"):
        yield export.labelmap_file_in_pieces(segmentation, volume, classes, folder / f"s{ending}")
    for ending in (".nrrd", ".nii.gz"):
        yield export.volume_file_in_pieces(doubt, folder / f"u{ending}")


def pieces_of_a_cine(folder: Path) -> Iterator[Any]:
    result = cine(450, (60, 80))
    yield export.label_sequence_file_in_pieces(result.segmentations, result.source, CLASSES, folder / "s.seq.nrrd")
    yield export.segmentation_sequence_file_in_pieces(result.segmentations, folder / "s.seq.mrb")
    yield export.volume_sequence_file_in_pieces(result.uncertainty, folder / "u.seq.nrrd")


@pytest.mark.parametrize("steps", [pieces_of_a_volume, pieces_of_a_cine])
def test_no_piece_takes_long(scene, tmp_path, steps):
    for each in steps(tmp_path):
        durations, path = timed_pieces(each)
        assert path.is_file()
        assert len(durations) > 5
        assert max(durations) < LONGEST, path


@pytest.mark.parametrize("at", [0, 1, 5, 12])
def test_what_is_given_up_leaves_nothing(scene, tmp_path, at):
    result = cine(5)
    volume = scenes.add_volume(np.zeros((5, 8, 10), np.int16), "v", affine())
    segmentation = new_segmentation(volume, labels_of((5, 8, 10)), CLASSES)
    before = scene.GetNumberOfNodes()
    for steps in (
        export.label_sequence_file_in_pieces(result.segmentations, result.source, CLASSES, tmp_path / "s.seq.nrrd"),
        export.segmentation_sequence_file_in_pieces(result.segmentations, tmp_path / "s.seq.mrb"),
        export.segmentation_file_in_pieces(segmentation, tmp_path / "s.seg.nrrd"),
        export.labelmap_file_in_pieces(segmentation, volume, CLASSES, tmp_path / "s.nii.gz"),
    ):
        for _ in range(at):
            next(steps, None)
        if not list(tmp_path.glob("s.*")):
            steps.close()
        for file in tmp_path.glob("s.*"):
            file.unlink()
        assert list(tmp_path.iterdir()) == []
    assert scene.GetNumberOfNodes() == before


def test_a_file_that_somebody_makes_meanwhile_stays(scene, tmp_path):
    volume = scenes.add_volume(np.zeros((5, 8, 10), np.uint8), "v", affine())
    path = tmp_path / "u.nrrd"
    steps = export.volume_file_in_pieces(volume, path)
    next(steps)
    path.write_text("mine")
    with pytest.raises(SemiSegError, match="exists already"):
        whole(steps)
    assert [file.name for file in tmp_path.iterdir()] == ["u.nrrd"]
    assert path.read_text() == "mine"


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nrrd"])
def test_what_is_changed_meanwhile_is_not_half_written(scene, tmp_path, monkeypatch, ending):
    monkeypatch.setattr(stored, "_PACKED_BYTES", 50)
    volume = scenes.add_volume(np.zeros((5, 8, 10), np.int16), "v", affine())
    segmentation = new_segmentation(volume, labels_of((5, 8, 10)), CLASSES)
    steps = export.labelmap_file_in_pieces(segmentation, volume, CLASSES, tmp_path / f"s{ending}")
    next(steps)
    next(steps)
    image = segmentation.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    image.GetPointData().GetScalars().Fill(1)
    image.Modified()
    with pytest.raises(SemiSegError, match="was changed while it was saved"):
        whole(steps)
    assert list(tmp_path.iterdir()) == []


def test_frames_that_are_removed_meanwhile_are_missed(scene, tmp_path):
    result = cine(5)
    value = result.source.GetNthIndexValue(4)
    for node, steps in (
        (
            result.source,
            export.label_sequence_file_in_pieces(result.segmentations, result.source, CLASSES, tmp_path / "s.seq.nrrd"),
        ),
        (
            result.segmentations,
            export.segmentation_sequence_file_in_pieces(result.segmentations, tmp_path / "s.seq.mrb"),
        ),
        (result.uncertainty, export.volume_sequence_file_in_pieces(result.uncertainty, tmp_path / "u.seq.nrrd")),
    ):
        next(steps)
        next(steps)
        node.RemoveDataNodeAtValue(value)
        with pytest.raises(SemiSegError, match="was changed while it was saved"):
            whole(steps)
        assert list(tmp_path.iterdir()) == []
