"""What was exported, read back by another program; and what must never be written over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.pieces import whole
from SemiSegCervicalLib.scene import export, marks
from SemiSegCervicalLib.scene.classes import SegmentClass, segment_values
from SemiSegCervicalLib.scene.frames import CineResult, FrameResult
from SemiSegCervicalLib.scene.geometry import ijk_to_ras
from SemiSegCervicalLib.scene.overlay import new_uncertainty_volume
from SemiSegCervicalLib.scene.segmentation import label_array, new_segmentation
from SlicerRig import scenes
from TrainingRig.dicom import oblique

CODE = "Category~SCT^123037004^Anatomical Structure~SCT^71252005^Cervix uteri~^^~Anatomic~^^~^^"
CLASSES = [SegmentClass(1, "anterior", (1, 0, 0), CODE), SegmentClass(2, "posterior", (0, 0, 1))]


def affine() -> np.ndarray:
    return oblique((0.3, 0.7, 2.1), seed=5)


def file_affine(image: sitk.Image) -> np.ndarray:
    """IJK-to-RAS of a file that SimpleITK reads as LPS."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


@pytest.fixture
def labels() -> np.ndarray:
    made = np.zeros((5, 8, 10), dtype=np.uint8)
    made[1:3, 2:6, 3:9] = np.random.default_rng(0).integers(0, 3, (2, 4, 6))
    return made


@pytest.fixture
def volume(scene):
    return scenes.add_volume(np.zeros((5, 8, 10), dtype=np.int16), "v", affine())


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz"])
def test_a_labelmap_reads_back_with_values_and_geometry(volume, labels, tmp_path, ending):
    segmentation = new_segmentation(volume, labels, CLASSES)
    path = whole(export.labelmap_file_in_pieces(segmentation, volume, CLASSES, tmp_path / f"out{ending}"))
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), labels)
    tolerance = 1e-5 if ending == ".nii.gz" else 1e-12  # NIfTI holds its geometry in single precision
    np.testing.assert_allclose(file_affine(image), ijk_to_ras(volume), atol=tolerance)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_segmentation_file_reads_back_with_names_and_tags(volume, labels, tmp_path, scene):
    segmentation = new_segmentation(volume, labels, CLASSES)
    path = whole(export.labelmap_file_in_pieces(segmentation, volume, CLASSES, tmp_path / "out.seg.nrrd"))
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), labels)
    np.testing.assert_allclose(file_affine(image), ijk_to_ras(volume), atol=1e-12)
    assert [image.GetMetaData(f"Segment{i}_Name") for i in (0, 1)] == ["anterior", "posterior"]
    assert "71252005" in image.GetMetaData("Segment0_Tags")
    assert f"{marks.ORIGIN}:{marks.PREDICTION}" in image.GetMetaData("Segment1_Tags")


def test_label_values_follow_the_class_list_not_the_order_of_the_segments(volume, labels, tmp_path):
    users = [SegmentClass(1, "Posterior ", (0, 0, 1)), SegmentClass(2, "front", (1, 0, 0), CODE)]
    segmentation = scenes.add_segmentation(volume, labels, users)
    assert list(segment_values(segmentation, CLASSES).values()) == [2, 1]
    path = whole(export.labelmap_file_in_pieces(segmentation, volume, CLASSES, tmp_path / "out.nrrd"))
    swapped = np.choose(labels, np.array([0, 2, 1], np.uint8))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), swapped)


def test_the_same_values_as_slicers_own_export_with_a_colour_table(volume, labels, scene):
    users = [SegmentClass(1, "posterior", (0, 0, 1)), SegmentClass(2, "front", (1, 0, 0), CODE)]
    segmentation = scenes.add_segmentation(volume, labels, users)
    table = scene.AddNewNodeByClass("vtkMRMLColorTableNode", "classes")
    table.SetTypeToUser()
    table.SetNumberOfColors(3)
    table.SetColor(0, "background", 0, 0, 0, 0)
    for entry in CLASSES:
        table.SetColor(entry.value, entry.name, *entry.color, 1)
        if entry.terminology:
            table.SetTerminologyFromString(entry.value, entry.terminology)
    ids = [segment_id for segment_id, _ in marks.segments_of(segmentation)]
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "exported")
    assert slicer.modules.segmentations.logic().ExportSegmentsToLabelmapNode(
        segmentation, ids, node, volume, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, table
    )
    ours = label_array(segmentation, segment_values(segmentation, CLASSES), volume)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), ours)


def test_a_segment_that_fits_two_classes_is_asked_about(volume, labels, tmp_path):
    twins = [SegmentClass(1, "left", (1, 0, 0), CODE), SegmentClass(2, "right", (0, 0, 1), CODE)]
    segmentation = scenes.add_segmentation(volume, labels, [SegmentClass(1, "lip", (1, 0, 0), CODE)])
    with pytest.raises(SemiSegError, match="left, right"):
        whole(export.labelmap_file_in_pieces(segmentation, volume, twins, tmp_path / "out.nrrd"))
    doubled = scenes.add_segmentation(
        volume, labels, [SegmentClass(1, "a", (1, 0, 0), CODE), SegmentClass(2, "b", (0, 0, 1), CODE)]
    )
    with pytest.raises(SemiSegError, match="both"):
        whole(export.labelmap_file_in_pieces(doubled, volume, CLASSES, tmp_path / "out.nrrd"))
    assert list(tmp_path.iterdir()) == []


def test_uncertainty_reads_back_in_percent(volume, tmp_path):
    overlay = new_uncertainty_volume(volume, np.full((5, 8, 10), 0.37))
    image = sitk.ReadImage(str(whole(export.volume_file_in_pieces(overlay, tmp_path / "u.nrrd"))))
    assert image.GetPixelIDTypeAsString() == "8-bit unsigned integer"
    assert set(sitk.GetArrayFromImage(image).ravel()) == {37}
    np.testing.assert_allclose(file_affine(image), ijk_to_ras(volume), atol=1e-12)


def cine_result() -> tuple[CineResult, np.ndarray]:
    sequence, _ = scenes.add_cine([np.zeros((8, 10), np.uint8)] * 3, "cine", affine())
    sequence.SetIndexName("position")
    sequence.SetIndexUnit("mm")
    result = CineResult(sequence, CLASSES)
    result.prepare(99)
    labels = np.zeros((3, 8, 10), np.uint8)
    labels[1, 2:5, 3:7] = 2
    labels[2, 4:6, 1:9] = 1
    result.add_frames(FrameResult(f"{k * 0.04:.2f}", labels[k], np.full((8, 10), k / 10)) for k in (1, 2))
    return result, labels


def test_a_cine_reads_back_as_sequences(scene, tmp_path):
    result, labels = cine_result()
    path = whole(
        export.label_sequence_file_in_pieces(result.segmentations, result.source, CLASSES, tmp_path / "l.seq.nrrd")
    )
    # SimpleITK reads the frames as components of a voxel
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    np.testing.assert_array_equal(np.moveaxis(found[0], -1, 0), labels)
    header = path.read_bytes()[:4000].decode("latin1")
    assert "axis 3 index values:=0.00 0.04 0.08" in header
    assert "axis 3 item 0000 computed:=0" in header
    assert 'labels: "" "" "" "position"\nunits: "" "" "" "mm"' in header
    assert "DataNodeClassName:=vtkMRMLLabelMapVolumeNode" in header

    path = whole(export.volume_sequence_file_in_pieces(result.uncertainty, tmp_path / "u.seq.nrrd"))
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    np.testing.assert_array_equal(values[0, 0, 0], [0, 10, 20])

    path = whole(export.segmentation_sequence_file_in_pieces(result.segmentations, tmp_path / "s.seq.mrb"))
    again = slicer.vtkMRMLSequenceNode()
    scene.AddNode(again)
    storage = slicer.vtkMRMLSequenceStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(again)
    assert [again.GetNthIndexValue(i) for i in range(again.GetNumberOfDataNodes())] == ["0.04", "0.08"]
    assert (again.GetIndexName(), again.GetIndexUnit()) == ("position", "mm")
    segments = marks.segments_of(again.GetNthDataNode(0))
    assert [segment.GetName() for _, segment in segments] == ["anterior", "posterior"]
    assert marks.segment_tag(segments[0][1], marks.ORIGIN) == marks.PREDICTION
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.seq.nrrd", "s.seq.mrb", "u.seq.nrrd"]


def test_frames_in_different_places_are_refused_where_the_file_could_not_hold_them(scene, tmp_path):
    sequence, _ = scenes.add_cine([np.zeros((6, 8), np.uint8)] * 2, "cine")
    sequence.GetNthDataNode(1).SetOrigin(0, 0, 5)  # as in cine MRI
    result = CineResult(sequence, CLASSES)
    while result.prepare(10):
        pass
    labels, doubt = np.ones((6, 8), np.uint8), np.full((6, 8), 0.5)
    result.add_frames([FrameResult(sequence.GetNthIndexValue(k), labels, doubt) for k in range(2)])
    for write in (
        lambda path: whole(export.label_sequence_file_in_pieces(result.segmentations, sequence, CLASSES, path)),
        lambda path: whole(export.volume_sequence_file_in_pieces(result.uncertainty, path)),
    ):
        with pytest.raises(SemiSegError, match="different places") as fault:
            write(tmp_path / "cine.seq.nrrd")
        assert ".seq.mrb" in fault.value.remedy
    assert whole(export.segmentation_sequence_file_in_pieces(result.segmentations, tmp_path / "cine.seq.mrb")).is_file()


def test_nothing_is_written_over_unless_it_was_allowed(volume, labels, tmp_path):
    segmentation = new_segmentation(volume, labels, CLASSES)
    for name in ("out.nrrd", "out.seg.nrrd", "out.nii.gz"):
        path = tmp_path / name
        path.write_text("precious")
        with pytest.raises(SemiSegError, match="exists already") as error:
            whole(export.labelmap_file_in_pieces(segmentation, volume, CLASSES, path))
        assert error.value.code == "file-exists"
        assert path.read_text() == "precious"
        whole(export.labelmap_file_in_pieces(segmentation, volume, CLASSES, path, overwrite=True))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), labels)
    assert len(list(tmp_path.iterdir())) == 3


def test_faults_of_the_target_are_explained_and_leave_nothing(volume, labels, tmp_path):
    segmentation = new_segmentation(volume, labels, CLASSES)
    for name, code in (("out.txt", "bad-ending"), ("missing/out.nrrd", "missing-folder")):
        with pytest.raises(SemiSegError) as error:
            whole(export.labelmap_file_in_pieces(segmentation, volume, CLASSES, tmp_path / name))
        assert error.value.code == code
    with pytest.raises(SemiSegError) as error:
        whole(
            export.segmentation_sequence_file_in_pieces(
                scenes.add_drawn_sequence(*scenes.add_cine([np.zeros((4, 5), np.uint8)], "c"), "drawn"),
                tmp_path / "s.seq.mrb",
            )
        )
    assert error.value.code == "empty-sequence"
    assert list(tmp_path.iterdir()) == []


def test_surfaces_are_refused(volume, labels, tmp_path, scene):
    segmentation = new_segmentation(volume, labels, CLASSES)
    segmentation.CreateClosedSurfaceRepresentation()
    # surfaces beside them do no harm
    whole(export.segmentation_file_in_pieces(segmentation, tmp_path / "labels.seg.nrrd"))
    segmentation.GetSegmentation().SetSourceRepresentationName("Closed surface")
    with pytest.raises(SemiSegError, match="holds surfaces") as error:
        whole(export.segmentation_file_in_pieces(segmentation, tmp_path / "surfaces.seg.nrrd"))
    assert error.value.code == "no-labelmap"
    assert [path.name for path in tmp_path.iterdir()] == ["labels.seg.nrrd"]


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Let writing fail beyond so many bytes, as it does on a full disk."""
    resource = pytest.importorskip("resource", reason="the limit on file sizes is a POSIX one")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nrrd", ".nii.gz"])
def test_a_full_disk_leaves_the_old_file(scene, tmp_path, ending):
    noise = np.random.default_rng(0).integers(0, 3, (40, 60, 70), dtype=np.uint8)
    volume = scenes.add_volume(noise, "v")
    segmentation = new_segmentation(volume, noise, CLASSES)
    path = tmp_path / f"out{ending}"
    path.write_text("precious")
    with files_end_at(10000), pytest.raises(SemiSegError) as error:
        whole(export.labelmap_file_in_pieces(segmentation, volume, CLASSES, path, overwrite=True))
    assert error.value.code == "cannot-write"
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", [".seq.nrrd", ".seq.mrb"])
def test_a_full_disk_leaves_the_old_sequence(scene, tmp_path, ending):
    noise = np.random.default_rng(0).integers(0, 3, (8, 90, 90), dtype=np.uint8)
    sequence, _ = scenes.add_cine(list(noise), "cine")
    result = CineResult(sequence, CLASSES)
    result.prepare(99)
    result.add_frames(FrameResult(sequence.GetNthIndexValue(k), noise[k], noise[k] / 2) for k in range(8))
    path = tmp_path / f"out{ending}"
    path.write_text("precious")
    write, node = {
        ".seq.mrb": (export.segmentation_sequence_file_in_pieces, result.segmentations),
        ".seq.nrrd": (export.volume_sequence_file_in_pieces, result.uncertainty),
    }[ending]
    with files_end_at(5000), pytest.raises(SemiSegError) as error:
        whole(write(node, path, overwrite=True))
    assert error.value.code == "cannot-write"
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_exporting_leaves_the_nodes_as_they_are(volume, labels, tmp_path, scene):
    segmentation = new_segmentation(volume, labels, CLASSES)
    count = scene.GetNumberOfNodes()
    before = (segmentation.GetMTime(), segmentation.GetStorageNode(), segmentation.GetModifiedSinceRead())
    whole(export.labelmap_file_in_pieces(segmentation, volume, CLASSES, tmp_path / "out.nrrd"))
    whole(export.segmentation_file_in_pieces(segmentation, tmp_path / "out.seg.nrrd"))
    assert (segmentation.GetMTime(), segmentation.GetStorageNode(), segmentation.GetModifiedSinceRead()) == before
    assert scene.GetNumberOfNodes() == count
