"""Segmentations of images from DICOM, written as DICOM SEG and read by their elements alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
import slicer
from SemiSegCervicalLib.dicom_seg import DicomSegment, coded_parts, encode_dicom_seg
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.pieces import whole
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.dicom import dicom_files, has_dicom_files
from SemiSegCervicalLib.scene.export import dicom_seg_file_in_pieces
from SemiSegCervicalLib.scene.segmentation import new_segmentation, stacked_segments_in_pieces
from SlicerRig import scenes
from SlicerRig.dicom_database import DICOMDatabase
from TrainingRig import dicom

SHAPE = (5, 8, 10)
CODE = (
    "List~SCT^123037004^Anatomical Structure~SCT^71252005^Cervix uteri~SCT^7771000^Left~Regions~SCT^37117007^Pelvis~^^"
)
CLASSES = [SegmentClass(1, "anterior", (1, 0, 0), CODE), SegmentClass(2, "posterior äöü", (0, 0, 1))]
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_Status = slicer.vtkSlicerSegmentationsModuleLogic


def oblique() -> np.ndarray:
    return dicom.oblique([0.3, 0.7, 2.1], 5)


@pytest.fixture
def labels() -> np.ndarray:
    made = np.zeros(SHAPE, dtype=np.uint8)
    made[1:4, 2:6, 3:9] = np.random.default_rng(0).integers(0, 3, (3, 4, 6))
    return made


def load(folder: Path, monkeypatch: pytest.MonkeyPatch, affine: np.ndarray, beside: float = 0.0, **attributes):
    """Write a series, and load it as the module DICOM does: with its instances, whose files the database knows.

    Its axes are turned by `beside`, as rounding in a header does.
    """
    attributes = {"sop_class": dicom.MR, "frame_of_reference": "1.2.9", "study": "1.2.77", **attributes}
    dicom.write_slices(folder, np.zeros(SHAPE, np.uint16), affine, **attributes)
    headers = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in folder.iterdir()}
    monkeypatch.setattr(
        slicer, "dicomDatabase", DICOMDatabase({h.SOPInstanceUID: path for path, h in headers.items()}), raising=False
    )
    turned = affine.copy()
    turned[0, 1] += beside
    volume = scenes.add_volume(np.zeros(SHAPE, np.int16), "MR", LPS @ turned)
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(str(h.SOPInstanceUID) for h in headers.values()))
    return volume, {str(h.SOPInstanceUID): np.array(h.ImagePositionPatient, dtype=float) for h in headers.values()}


def gathered(path: Path, affine: np.ndarray, places: dict[str, np.ndarray]) -> dict[int, np.ndarray]:
    """Return the mask of each segment on the grid, after making sure that each frame names the picture it lies on."""
    masks: dict[int, np.ndarray] = {}
    for number, place, mask, source in dicom.read_segmentation(path):
        at = np.linalg.solve(affine, [*place, 1])
        np.testing.assert_allclose(at[:3], [0, 0, round(at[2])], atol=1e-3)
        np.testing.assert_allclose(places[source], place, atol=1e-3)
        masks.setdefault(number, np.zeros(SHAPE, bool))[round(at[2])] = mask
    return masks


@pytest.mark.parametrize("rounding", [0, 1e-4])
def test_every_voxel_lies_where_it_was_drawn(scene, tmp_path, monkeypatch, labels, rounding):
    affine = oblique()
    volume, places = load(tmp_path / "series", monkeypatch, affine, rounding)
    segmentation = new_segmentation(volume, labels, CLASSES)
    path = whole(dicom_seg_file_in_pieces(segmentation, volume, tmp_path / "out.dcm", "Cervix, 2D", "0123abc"))
    masks = gathered(path, affine, places)
    assert {number: mask.sum() for number, mask in masks.items()} == {k: (labels == k).sum() for k in (1, 2)}
    for number, mask in masks.items():
        np.testing.assert_array_equal(mask, labels == number)


def test_it_says_whose_what_and_who_drew_it(scene, tmp_path, monkeypatch, labels):
    volume, _ = load(tmp_path / "series", monkeypatch, oblique())
    for path in (tmp_path / "series").iterdir():
        header = pydicom.dcmread(path)
        header.SpecificCharacterSet, header.PatientName = "ISO_IR 100", "Müller^Jörg"
        header.StudyDate, header.PatientBirthDate = "20240131", "1950"  # one of them as nobody should write it
        header.save_as(path)
    segmentation = new_segmentation(volume, labels, CLASSES, "MR segmentation")
    content = segmentation.GetSegmentation()
    _Status.SetSegmentStatus(content.GetNthSegment(1), _Status.InProgress)
    drawn = slicer.vtkSegment()
    drawn.SetName("cyst")
    content.AddSegment(drawn)
    found = pydicom.dcmread(
        whole(dicom_seg_file_in_pieces(segmentation, volume, tmp_path / "out.dcm", "Cervix, 2D", "0123abc"))
    )
    assert found.SOPClassUID == dicom.SEGMENTATION
    assert found.StudyInstanceUID == "1.2.77"
    assert found.FrameOfReferenceUID == "1.2.9"
    assert str(found.PatientName) == "Müller^Jörg"
    assert found.StudyDate == "20240131"
    assert not found.PatientBirthDate  # was none
    assert "ContentCreatorName" in found
    assert (found.Modality, found.SeriesDescription, found.SeriesNumber) == ("SEG", "MR segmentation", 101)
    first, second, third = found.SegmentSequence
    assert [item.SegmentLabel for item in (first, second, third)] == ["anterior", "posterior äöü", "cyst"]
    kinds = [item.SegmentAlgorithmType for item in (first, second, third)]
    assert kinds == ["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]
    identified = first.SegmentationAlgorithmIdentificationSequence[0]
    assert (identified.AlgorithmName, identified.AlgorithmVersion) == ("Cervix, 2D", "0123abc")
    kind = first.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == ("71252005", "SCT", "Cervix uteri")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert first.AnatomicRegionSequence[0].CodeMeaning == "Pelvis"
    assert second.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Tissue"


@pytest.mark.parametrize("file", ["chrH31.dcm", "chrI2.dcm", "chrArab.dcm", "chrX2.dcm"])
def test_names_in_every_writing_are_kept(tmp_path, file):
    source = Path(str(pydicom.data.get_charset_files(file)[0]))
    drawn = np.zeros((32, 32), np.uint8)
    drawn[4:9, 4:9] = 1
    (tmp_path / "out.dcm").write_bytes(
        encode_dicom_seg(drawn, np.eye(4), [source], [DicomSegment("a", (1, 0, 0))], "M", "v")
    )
    kept, name = pydicom.dcmread(tmp_path / "out.dcm").PatientName, pydicom.dcmread(source).PatientName
    assert [str(part) for part in kept.components] == [str(part) for part in name.components]
    assert not str(name).isascii()


def test_a_file_that_lacks_what_names_it_is_refused(tmp_path):
    picture = dicom.write(tmp_path / "us", np.zeros((8, 10), np.uint8), sop_class=dicom.ULTRASOUND, study=None)
    with pytest.raises(SemiSegError, match="us lacks StudyInstanceUID"):
        encode_dicom_seg(np.ones((8, 10), np.uint8), np.eye(4), [picture], [DicomSegment("a", (1, 0, 0))], "M", "v")


def test_segments_that_overlap_are_all_there(scene, tmp_path, monkeypatch, labels):
    affine = oblique()
    volume, places = load(tmp_path / "series", monkeypatch, affine)
    segmentation = new_segmentation(volume, labels, CLASSES)
    both = new_segmentation(volume, (labels > 0).astype(np.uint8), [SegmentClass(1, "both", (0, 1, 0))])
    segmentation.GetSegmentation().CopySegmentFromSegmentation(both.GetSegmentation(), "Segment_1")
    assert whole(stacked_segments_in_pieces(segmentation, volume)).shape == (*SHAPE, 3)
    masks = gathered(
        whole(dicom_seg_file_in_pieces(segmentation, volume, tmp_path / "o.dcm", "M", "v")), affine, places
    )
    for number, expected in ((1, labels == 1), (2, labels == 2), (3, labels > 0)):
        np.testing.assert_array_equal(masks[number], expected)


@pytest.mark.parametrize("frame", [None, "1.2.9"])
def test_a_picture_without_a_place_in_space(tmp_path, frame):
    drawn = np.random.default_rng(1).integers(0, 3, (8, 10)).astype(np.uint8)
    kind = {"sop_class": dicom.ULTRASOUND, "frame_of_reference": frame}
    picture = dicom.write(tmp_path / "us", np.zeros((8, 10), np.uint8), **kind)
    segments = [DicomSegment("a", (1, 0, 0)), DicomSegment("b", (0, 1, 0))]
    (tmp_path / "out.dcm").write_bytes(encode_dicom_seg(drawn, np.eye(4), [picture], segments, "M", "v"))
    frames = dicom.read_segmentation(tmp_path / "out.dcm")
    assert [number for number, *_ in frames] == [1, 2]
    for number, place, mask, _ in frames:
        assert place is None
        np.testing.assert_array_equal(mask, drawn == number)
    with pytest.raises(SemiSegError, match="8 rows and 10 columns"):
        encode_dicom_seg(drawn[:5], np.eye(4), [picture], segments, "M", "v")
    cine = dicom.write(tmp_path / "cine", np.zeros((3, 8, 10), np.uint8), sop_class=dicom.CINE)
    with pytest.raises(SemiSegError) as caught:
        encode_dicom_seg(np.stack([drawn] * 3), np.eye(4), [cine], segments, "M", "v")
    assert caught.value.code == "no-dicom-seg"


def test_what_cannot_be_written_is_refused_and_nothing_lost(scene, tmp_path, monkeypatch, labels):
    volume, _ = load(tmp_path / "series", monkeypatch, oblique())
    segmentation = new_segmentation(volume, labels, CLASSES)
    path = tmp_path / "out.dcm"
    path.write_text("mine")

    def refused(code: str, overwrite: bool = True) -> str:
        with pytest.raises(SemiSegError) as caught:
            whole(dicom_seg_file_in_pieces(segmentation, volume, path, "M", "v", overwrite))
        assert caught.value.code == code
        assert caught.value.remedy
        assert path.read_text() == "mine"
        assert sorted(item.name for item in tmp_path.iterdir()) == ["out.dcm", "series"]
        return str(caught.value)

    refused("file-exists", overwrite=False)
    moved = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(moved.GetID())
    refused("moved-image")
    volume.SetAndObserveTransformNodeID(None)
    segmentation.SetAndObserveTransformNodeID(None)
    for item in segmentation.GetSegmentation().GetSegmentIDs():
        segmentation.GetSegmentation().RemoveSegment(item)
    refused("nothing-to-write")
    segmentation = new_segmentation(volume, labels, CLASSES)
    next((tmp_path / "series").iterdir()).unlink()
    assert "Import them again" in refused("no-dicom-files")
    monkeypatch.setattr(slicer, "dicomDatabase", DICOMDatabase({}))
    refused("no-dicom-files")
    monkeypatch.delattr(slicer, "dicomDatabase")  # Slicer was built without the module DICOM
    refused("no-dicom-files")


def test_an_image_whose_axes_are_not_perpendicular_has_none(scene, tmp_path, monkeypatch, labels):
    volume, _ = load(tmp_path / "series", monkeypatch, oblique(), 0.1)
    with pytest.raises(SemiSegError, match="perpendicular"):
        whole(dicom_seg_file_in_pieces(new_segmentation(volume, labels, CLASSES), volume, tmp_path / "o.dcm", "M", "v"))


def test_files_are_those_of_the_volume(scene, tmp_path, monkeypatch):
    volume, places = load(tmp_path / "series", monkeypatch, oblique())
    assert sorted(dicom_files(volume)) == sorted((tmp_path / "series").iterdir())
    assert has_dicom_files(volume)
    assert not has_dicom_files(None)
    assert not has_dicom_files(scenes.add_volume(np.zeros(SHAPE, np.int16), "v"))
    assert len(places) == SHAPE[0]


@pytest.mark.parametrize("entry", ["", "List", "~~~~~~", "List~a^b~SCT^1^~^^~x~y^^z~"])
def test_damaged_terminology_is_none(entry):
    assert coded_parts(entry) == (None,) * 7
