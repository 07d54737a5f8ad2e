"""DICOM SEG read as label maps, as we write them and as other programs do."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from SemiSegCervicalLib.dicom_seg import DicomSegment, encode_dicom_seg
from SemiSegCervicalLib.engine.files import is_dicom_seg, read_image, read_labels
from SemiSegCervicalLib.errors import SemiSegError
from TrainingRig import dicom

SHAPE = (5, 7, 9)
NAMES = ("Anterior lip", "posterior äöü")


def place(seed: int = 3) -> np.ndarray:
    return dicom.oblique([0.4, 0.7, 2.5], seed)


@pytest.fixture
def labels() -> np.ndarray:
    made = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)
    made[[0, 3]] = 0  # slices that a DICOM SEG leaves out
    return made


@pytest.fixture
def series(tmp_path: Path) -> Path:
    attributes = {"sop_class": dicom.MR, "frame_of_reference": "1.2.9"}
    return dicom.write_slices(tmp_path / "series", np.zeros(SHAPE, np.int16), place(), **attributes)


def ours(path: Path, labels: np.ndarray, series: Path, names=NAMES) -> Path:
    segments = [DicomSegment(name, (1, 0, 0)) for name in names]
    path.write_bytes(encode_dicom_seg(labels, place(), sorted(series.iterdir()), segments, "M", "v"))
    return path


def by_highdicom(path: Path, labels: np.ndarray, series: Path, kind: str, syntax=dicom.EXPLICIT) -> Path:
    code = highdicom.sr.CodedConcept("85756007", "SCT", "Tissue")
    images = [pydicom.dcmread(file, stop_before_pixels=True) for file in series.iterdir()]
    for image in images:
        for keyword in ("PatientID", "PatientSex", "PatientBirthDate", "StudyID", "StudyDate", "StudyTime"):
            setattr(image, keyword, "")
        image.PatientName, image.AccessionNumber, image.ReferringPhysicianName = "Nobody^", "", ""
    highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=highdicom.Volume(labels, place()[:, [2, 1, 0, 3]], "PATIENT", "1.2.9"),
        segmentation_type=kind,
        segment_descriptions=[
            highdicom.seg.SegmentDescription(number, name, code, code, "MANUAL") for number, name in enumerate(NAMES, 1)
        ],
        series_instance_uid=highdicom.UID(), series_number=2, sop_instance_uid=highdicom.UID(), instance_number=1,
        manufacturer="A", manufacturer_model_name="B", software_versions="1", device_serial_number="2",
        transfer_syntax_uid=syntax,
    ).save_as(path)  # fmt: skip
    return path


def read(path: Path, series: Path, names=NAMES) -> np.ndarray:
    image = read_image([series])
    return read_labels(path, image.spatial_shape, image.affine, names)


def refusal(*arguments, **options) -> SemiSegError:
    with pytest.raises(SemiSegError) as caught:
        read(*arguments, **options)
    assert caught.value.remedy
    return caught.value


def test_our_own_comes_back(tmp_path, labels, series):
    path = ours(tmp_path / "a", labels, series)
    assert is_dicom_seg(path)
    assert not is_dicom_seg(next(series.iterdir()))
    assert not is_dicom_seg(series)
    assert not is_dicom_seg(tmp_path / "none")
    np.testing.assert_array_equal(read(path, series), labels)


@pytest.mark.parametrize(
    ("kind", "syntax"),
    [("BINARY", dicom.EXPLICIT), ("LABELMAP", dicom.EXPLICIT), ("LABELMAP", pydicom.uid.RLELossless)],
)
def test_kinds_of_highdicom(tmp_path, labels, series, kind, syntax):
    path = by_highdicom(tmp_path / "a.dcm", labels, series, kind, syntax)
    assert is_dicom_seg(path)
    np.testing.assert_array_equal(read(path, series), labels)


@pytest.mark.parametrize("seed", range(3))
def test_frames_in_any_order_and_axes_in_any_direction(tmp_path, labels, series, seed):
    """As of a program whose volume runs another way than the scanner's pictures."""
    rng = np.random.default_rng(seed)
    axes = rng.permutation(3)
    turned = np.transpose(labels, axes)
    step = np.eye(4)[:, [2, 1, 0, 3]] @ np.pad(np.eye(3)[:, axes], ((0, 1), (0, 1)))  # (a, b, c) to (i, j, k)
    step[3, 3] = 1
    for axis in range(3):
        if rng.integers(2):
            turned = np.flip(turned, axis)
            step[:3, 3] += step[:3, axis] * (turned.shape[axis] - 1)
            step[:3, axis] *= -1
    affine = (place() @ step)[:, [2, 1, 0, 3]]
    frames = [
        (2 - value, (affine @ [0, 0, k, 1])[:3], turned[k] == value + 1)
        for k, value in product(range(len(turned)), range(2))
        if (turned[k] == value + 1).any()
    ]
    rng.shuffle(frames)
    path = dicom.write_segmentation(tmp_path / "a", frames, {1: NAMES[1], 2: NAMES[0]}, affine)
    np.testing.assert_array_equal(read(path, series), labels)


def test_an_image_of_another_format_and_axes(tmp_path, labels, series):
    image = read_image([series])
    affine = image.affine[:, [1, 2, 0, 3]].copy()
    affine[:3, 3] += affine[:3, 0] * (SHAPE[1] - 1)
    affine[:3, 0] *= -1
    path = ours(tmp_path / "a", labels, series)
    shape = (SHAPE[2], SHAPE[0], SHAPE[1])
    expected = np.transpose(labels, (2, 0, 1))[:, :, ::-1]
    np.testing.assert_array_equal(read_labels(path, shape, affine + 1e-5 * np.eye(4), NAMES), expected)


def test_segments_are_told_by_their_names(tmp_path, labels, series):
    path = ours(tmp_path / "a", labels, series)
    swapped = np.array([0, 2, 1])[labels]
    np.testing.assert_array_equal(read(path, series, ("POSTERIOR ÄÖÜ", "anterior lip")), swapped)
    several = ours(tmp_path / "several", labels, series, ("Lesion", "lesion"))
    np.testing.assert_array_equal(read(several, series, ["lesion"]), labels > 0)
    long = ["a" * 80, "b\\" * 50]  # a file has no room for them
    np.testing.assert_array_equal(read(ours(tmp_path / "long", labels, series, long), series, long), labels)
    twins = ["a" * 70 + "1", "a" * 70 + "2"]
    assert refusal(ours(tmp_path / "twins", labels, series, twins), series, names=twins).code == "unknown-segment"


def test_a_segment_that_is_no_class(tmp_path, labels, series):
    path = ours(tmp_path / "a", labels, series, ("cyst", "lip"))
    np.testing.assert_array_equal(read(path, series, ["lip"]), labels == 2)
    error = refusal(path, series, names=["lip", "zyst"])
    assert error.code == "unknown-segment"
    for word in ("'cyst'", "'zyst'", str(path)):
        assert word in error.cause
    # A class of which a case has nothing may be absent.
    np.testing.assert_array_equal(read(path, series, ["lip", "other", "cyst"]), np.array([0, 3, 1])[labels])


def test_overlap_is_refused_between_classes_alone(tmp_path, labels, series):
    both = np.stack([labels > 0, labels == 1, labels == 2], axis=-1)
    path = ours(tmp_path / "a", both, series, ("whole", "first", "second"))
    error = refusal(path, series, names=["whole", "second"])
    assert error.code == "overlapping-segments"
    assert "'whole'" in error.cause
    assert "'second'" in error.cause
    np.testing.assert_array_equal(read(path, series, ["first", "second"]), labels)


def test_shares_are_no_label_map(tmp_path, labels, series):
    path = by_highdicom(tmp_path / "a.dcm", labels, series, "FRACTIONAL")
    error = refusal(path, series)
    assert error.code == "fractional-segments"
    assert "BINARY" in error.remedy


def test_a_grid_that_is_another(tmp_path, labels, series):
    path = ours(tmp_path / "a", labels, series)
    affine = read_image([series]).affine
    for moved in ([0.5, 0, 0], [0, 0, 0.4]):
        other = affine.copy()
        other[:3, 3] += affine[:3, :3] @ moved
        with pytest.raises(SemiSegError, match="another grid"):
            read_labels(path, SHAPE, other, NAMES)
    for changed in (affine * [[2, 1, 1, 1]], affine @ np.diag([1, 1, 2, 1]), affine[:, [0, 0, 2, 3]] + np.eye(4)):
        with pytest.raises(SemiSegError, match="another grid"):
            read_labels(path, SHAPE, changed, NAMES)
    with pytest.raises(SemiSegError, match="beyond its image"):
        read_labels(path, (4, *SHAPE[1:]), affine, NAMES)
    # An image that was cropped to where the segments are.
    inside = affine.copy()
    inside[:3, 3] += affine[:3, 2]
    np.testing.assert_array_equal(read_labels(path, (4, *SHAPE[1:]), inside, NAMES), labels[1:])


def test_a_picture_without_a_place(tmp_path):
    drawn = np.random.default_rng(1).integers(0, 3, SHAPE[1:]).astype(np.uint8)
    picture = dicom.write(tmp_path / "us", np.zeros(SHAPE[1:], np.uint8), sop_class=dicom.ULTRASOUND)
    segments = [DicomSegment(name, (1, 0, 0)) for name in NAMES]
    path = tmp_path / "seg"
    path.write_bytes(encode_dicom_seg(drawn, np.eye(4), [picture], segments, "M", "v"))
    np.testing.assert_array_equal(read(path, picture), drawn)
    np.testing.assert_array_equal(read_labels(path, drawn.shape, None, NAMES), drawn)
    with pytest.raises(SemiSegError, match="another grid"):
        read_labels(path, (8, 9), None, NAMES)
    cine = [(1, None, drawn == 1), (1, None, drawn == 2)]
    with pytest.raises(SemiSegError, match="more than once at one place"):
        read_labels(dicom.write_segmentation(tmp_path / "cine", cine, {1: "a"}, place()), drawn.shape, None, ["a"])


def test_a_slice_saved_as_a_picture(tmp_path, labels, series):
    """A picture says nothing of its place: one slice is believed to be it, and of several none is."""
    one = np.where(np.arange(SHAPE[0])[:, None, None] == 2, labels, 0)
    path = ours(tmp_path / "one", one, series)
    np.testing.assert_array_equal(read_labels(path, SHAPE[1:], np.eye(4), NAMES), labels[2])
    with pytest.raises(SemiSegError, match="another grid"):
        read_labels(ours(tmp_path / "all", labels, series), SHAPE[1:], np.eye(4), NAMES)


def test_what_is_damaged_or_lacks_its_image(tmp_path, labels, series, monkeypatch):
    path = ours(tmp_path / "a", labels, series)
    with pytest.raises(SemiSegError, match="names and places"):
        read_labels(path)
    found = pydicom.dcmread(path)
    found.SegmentSequence = found.SegmentSequence[:1]
    found.save_as(tmp_path / "fewer")
    assert "does not describe its segment 2" in refusal(tmp_path / "fewer", series, names=NAMES[:1]).cause
    (tmp_path / "short").write_bytes(path.read_bytes()[:-20])
    assert refusal(tmp_path / "short", series).code == "unreadable"
    monkeypatch.setitem(sys.modules, "pydicom", None)
    error = refusal(path, series)
    assert error.code == "missing-package"
    assert "pip install pydicom" in error.remedy
