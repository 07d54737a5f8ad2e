"""DICOM series, multi-frame files and pictures: what makes an image is read in its place, what does not is refused."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
import SimpleITK as sitk
from pydicom.pixels import apply_modality_lut
from scipy.spatial.transform import Rotation
from SemiSegCervicalLib.dicom_seg import DicomSegment, encode_dicom_seg
from SemiSegCervicalLib.engine.dicom import read_layout
from SemiSegCervicalLib.engine.files import read_image, write_map
from SemiSegCervicalLib.engine.image import grey_from_rgb
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.formats import PICTURES, ending, stem
from TrainingRig import dicom

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
REGION = {"region_format": 1, "region_type": 1, "units_x": 3, "units_y": 3, "delta_x": 0.02, "delta_y": 0.03}


def affine(seed=0, spacing=(0.7, 0.4, 2.5)):
    """An oblique place in LPS; seed 0 is axial."""
    rng = np.random.default_rng(seed)
    made = np.eye(4)
    rotation = Rotation.from_rotvec(rng.normal(size=3) * bool(seed)).as_matrix()
    made[:3, :3] = rotation * np.array(spacing)
    made[:3, 3] = rng.uniform(-100, 100, 3)
    return made


def volume(shape=(7, 8, 9), dtype=np.int16):
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


def refusal(path, **options):
    with pytest.raises(SemiSegError) as caught:
        read_image([path], **options)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("syntax", [dicom.IMPLICIT, dicom.EXPLICIT, dicom.DEFLATED])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_series_in_its_place(tmp_path, seed, syntax):
    place = affine(seed)
    folder = dicom.write_slices(tmp_path / "scan.1", volume(), place, syntax=syntax, slope=2, intercept=-1000)
    (folder / "notes.txt").write_text("not an image")
    dicom.write(folder / "report", None, sop_class=dicom.REPORT, series="1.2.9")
    image = read_image([folder])
    assert np.array_equal(image.array[0], volume() * 2.0 - 1000)
    assert np.allclose(image.affine, FLIP @ place, atol=1e-6)
    assert image.spacing == pytest.approx((2.5, 0.4, 0.7))
    assert stem(folder) == "scan.1"
    written = write_map(np.zeros((7, 8, 9), dtype=np.uint8), folder, tmp_path, "scan_labels")
    assert written.name == "scan_labels.nrrd"
    assert np.allclose(read_image([written]).affine, image.affine, atol=1e-9)


def test_series_written_and_read_by_gdcm(tmp_path):
    """Files and geometry of another author: SimpleITK writes the series and reads it back."""
    place = affine(3)
    spacing = np.linalg.norm(place[:3, :3], axis=0)
    whole = sitk.GetImageFromArray(volume())
    whole.SetSpacing(spacing.tolist())
    whole.SetDirection((place[:3, :3] / spacing).ravel().tolist())
    whole.SetOrigin(place[:3, 3].tolist())
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(whole.GetSize()[2]):
        piece = whole[:, :, k]
        position = whole.TransformIndexToPhysicalPoint((0, 0, k))
        orientation = np.array(whole.GetDirection()).reshape(3, 3)[:, :2].T.ravel()
        for tag, value in {
            "0008|0060": "MR", "0020|000e": "1.2.3.4.5", "0020|000d": "1.2.3.4", "0008|0016": dicom.MR,
            "0020|0032": "\\".join(f"{v:.10g}" for v in position), "0020|0013": str(k),
            "0020|0037": "\\".join(f"{v:.10g}" for v in orientation), "0018|0050": "2.5",
        }.items():  # fmt: skip
            piece.SetMetaData(tag, value)
        writer.SetFileName(str(tmp_path / f"{(k * 5) % 7}.dcm"))
        writer.Execute(piece)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    by_gdcm = sitk.ReadImage(names)
    ours = read_image([tmp_path])
    assert np.array_equal(ours.array[0], sitk.GetArrayFromImage(by_gdcm))
    lps = FLIP @ ours.affine
    assert np.allclose(lps[:3, 3], by_gdcm.GetOrigin(), atol=1e-6)
    direction = np.array(by_gdcm.GetDirection()).reshape(3, 3)
    assert np.allclose(lps[:3, :3], direction * np.array(by_gdcm.GetSpacing()), atol=1e-6)


def several(folder):
    dicom.write_slices(folder, volume(), affine(), description="Ax T1", series_number=3)
    dicom.write_slices(folder, volume((2, 8, 9)), affine(), prefix="s", series="1.2.3.5", description="\x1b[1mScout")


def missing(folder):
    dicom.write_slices(folder, volume(), affine(), pieces=[0, 1, 2, 4, 5, 6])


def uneven(folder):
    dicom.write_slices(folder, volume((4, 8, 9)), affine())
    place = affine()
    place[:3, 3] += 4.5 * place[:3, 2]
    dicom.write_slices(folder, volume((4, 8, 9)), place, prefix="b")


def tilted(folder):
    place = affine(1)
    place[:3, 2] += 0.4 * place[:3, 1]
    dicom.write_slices(folder, volume(), place)


def localizers(folder):
    dicom.write_slices(folder, volume(), affine())
    dicom.write_slices(folder, volume((1, 8, 9)), affine()[:, [1, 2, 0, 3]], prefix="l", spacing=[0.4, 0.7])


def sizes(folder):
    dicom.write_slices(folder, volume(), affine())
    dicom.write_slices(folder, volume((1, 16, 9)), affine(), prefix="l")


def repeated(folder):
    for prefix in "ab":
        dicom.write_slices(folder, volume(), affine(), prefix=prefix)


def placeless(folder):
    dicom.write_slices(folder, volume(), affine())
    dicom.write(folder / "still", volume((8, 9)), spacing=[0.4, 0.7])


def of_segments(folder):
    dicom.write(folder / "seg", volume(dtype=np.uint8), sop_class=dicom.SEGMENTATION)


def cines(folder):
    for number in (1, 2):
        dicom.write(folder / f"{number}", volume((3, 8, 9), np.uint8), sop_class=dicom.CINE, instance_number=number)


def cine_and_still(folder):
    dicom.write(folder / "cine", volume((3, 8, 9), np.uint8), sop_class=dicom.CINE)
    dicom.write(folder / "still", volume((16, 9), np.uint8), sop_class=dicom.ULTRASOUND)


def stills(folder):
    for name, rows in (("a", 8), ("b", 16)):
        dicom.write(folder / name, volume((rows, 9), np.uint8), sop_class=dicom.ULTRASOUND)


def mosaic(folder):
    dicom.write(folder / "m", volume((8, 9)), image_type=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (several, "several-series", ["2 series", "number 3, 'Ax T1', 7 slices", "Scout', 2 slices", "one series"]),
        (missing, "uneven-slices", ["5.00 mm between slices 3 and 4", "2.50 mm elsewhere", "missing"]),
        (uneven, "uneven-slices", ["3.75 mm between slices 4 and 5", "3D Slicer"]),
        (tilted, "tilted", ["gantry", "3D Slicer", "NRRD"]),
        (localizers, "mixed-series", ["2 orientations (7 and 1 slices)", "localizers"]),
        (sizes, "mixed-series", ["7 of 8 x 9, 1 of 16 x 9"]),
        (repeated, "repeated-slices", ["7 of its 14 slices", "time series"]),
        (placeless, "mixed-series", ["1 slices"]),
        (of_segments, "no-image", ["DICOM SEG", "by its file"]),
        (cines, "several-cines", ["2 files of one series, 2 of them cine", "one by one"]),
        (cine_and_still, "several-cines", ["2 files of one series, 1 of them cine"]),
        (stills, "mixed-series", ["1 of 8 x 9, 1 of 16 x 9", "one by one"]),
        (mosaic, "unreadable", ["mosaic"]),
        (lambda folder: folder.mkdir(), "no-image", ["no DICOM images"]),
    ],
)
def test_what_makes_no_volume_is_refused(tmp_path, make, code, words):
    make(tmp_path / "scan")
    error = refusal(tmp_path / "scan", frames=True)
    assert error.code == code
    assert str(tmp_path / "scan") in error.cause
    assert "\x1b" not in str(error)
    for word in words:
        assert word in str(error)


def test_rounded_positions_are_no_fault(tmp_path):
    place = affine(1, (0.7, 0.4, 1.25))
    numbers = {}
    for k in range(40):
        numbers[k] = [round(v, 2) for v in (place @ [0, 0, k, 1])[:3]]
        dicom.write_slices(tmp_path, volume((40, 8, 9)), place, pieces=[k], position=numbers[k])
    assert np.allclose(read_image([tmp_path]).affine, FLIP @ place, atol=0.02)


def enhanced(path, order, gaps=None, rescale=None, **attributes):
    """A multi-frame file whose frames come in any order and may each have a rescaling of its own."""
    place = affine(2)
    spacing = np.linalg.norm(place[:3, :3], axis=0)
    frames = [
        {
            "plane_position": [{"position": [*(place @ [0, 0, k + (gaps or {}).get(k, 0), 1])[:3]]}],
            "transformation": [{"slope": rescale[k], "intercept": -1000}] if rescale else None,
        }
        for k in order
    ]
    shared = {
        "plane_orientation": [{"orientation": (place[:3, :2] / spacing[:2]).T.ravel().tolist()}],
        "measures": [{"spacing": [spacing[1], spacing[0]], "thickness": 3}],
    }
    kind = {"sop_class": dicom.ENHANCED_CT, "shared": [shared], "frames": frames, **attributes}
    return dicom.write(path, volume()[order], **kind), place


@pytest.mark.parametrize("rescale", [None, [1, 2, 3, 0.5, 5, 6, 7]])
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5, 6], [3, 0, 6, 1, 5, 2, 4]])
def test_enhanced_multiframe_is_a_volume(tmp_path, order, rescale):
    path, place = enhanced(tmp_path / "1.2.840.7", order, rescale=rescale)
    image = read_image([path])
    expected = volume() if rescale is None else volume() * np.array(rescale)[:, None, None] - 1000
    assert np.allclose(image.array[0], expected)
    assert np.allclose(image.affine, FLIP @ place, atol=1e-6)
    assert stem(path) == "1.2.840.7"
    assert refusal(enhanced(tmp_path / "b", order, gaps={6: 1})[0]).code == "uneven-slices"


@pytest.mark.parametrize("regions", [[], [REGION], [REGION, REGION], [{**REGION, "units_x": 4}]])
@pytest.mark.parametrize("colour", [False, True])
def test_ultrasound_cine_only_as_frames(tmp_path, regions, colour):
    shape = (5, 8, 9, 3) if colour else (5, 8, 9)
    pixels = volume(shape, np.uint8)
    path = dicom.write(tmp_path / "cine.dcm", pixels, sop_class=dicom.CINE, modality="US", regions=regions)
    error = refusal(path)
    assert error.code == "cine"
    assert "5 frames" in error.cause
    assert "--as-frames" in error.remedy
    image = read_image([path], frames=True)
    grey = pixels @ np.array([0.299, 0.587, 0.114]) if colour else pixels
    assert np.allclose(image.array[0], grey, atol=1e-3)
    assert image.from_rgb == colour
    calibrated = regions == [REGION]
    assert image.spacing == (pytest.approx((1, 0.3, 0.2)) if calibrated else None)
    written = write_map(np.zeros((5, 8, 9), dtype=np.uint8), path, tmp_path, "cine_labels", labels=True)
    assert written.name == "cine_labels.seq.nrrd"


def test_ybr_is_the_same_grey(tmp_path):
    rgb = volume((8, 9, 3), np.uint8)
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    ybr = np.rint(rgb @ matrix.T + [0, 128, 128]).astype(np.uint8)
    grey = {}
    for name, pixels, photometric in (("rgb", rgb, "RGB"), ("ybr", ybr, "YBR_FULL")):
        path = dicom.write(tmp_path / name, pixels, sop_class=dicom.ULTRASOUND, photometric=photometric)
        image = read_image([path])
        assert image.from_rgb
        assert image.spatial_shape == (8, 9)
        grey[name] = image.array
    assert np.abs(grey["rgb"] - grey["ybr"]).max() < 2


def test_ultrasound_picture(tmp_path):
    pixels = volume((8, 9), np.uint8)
    path = dicom.write(tmp_path / "a.dcm", pixels, sop_class=dicom.ULTRASOUND, regions=[REGION])
    image = read_image([path])
    assert np.array_equal(image.array[0], pixels)
    assert image.spacing == pytest.approx((0.3, 0.2))
    written = write_map(pixels, path, tmp_path, "a_labels")
    assert ending(written) == ".nrrd"
    assert ending(path) not in PICTURES
    result = sitk.ReadImage(str(written))
    assert result.GetSize() == (9, 8, 1)
    assert result.GetSpacing() == pytest.approx((0.2, 0.3, 1))
    assert np.array_equal(sitk.GetArrayFromImage(result)[0], pixels)


def test_dynamic_series_at_one_place_is_cine(tmp_path):
    for k in range(4):
        dicom.write_slices(tmp_path, volume((1, 8, 9)) + k, affine(1), prefix=str(k), instance_number=9 - k)
    assert refusal(tmp_path).code == "cine"
    image = read_image([tmp_path], frames=True)
    assert np.array_equal(image.array[0], volume((1, 8, 9)) + np.arange(4)[::-1, None, None])
    assert np.allclose(image.affine, FLIP @ affine(1), atol=1e-6)


def test_one_slice_keeps_thickness_and_place(tmp_path):
    image = read_image([dicom.write_slices(tmp_path / "one", volume((1, 8, 9)), affine(1))])
    assert image.spatial_shape == (8, 9)
    assert np.allclose(image.affine, FLIP @ affine(1), atol=1e-6)


@pytest.mark.parametrize("length", [140, 300, 450, -1])
def test_damaged_file_of_a_series_is_named(tmp_path, length):
    folder = dicom.write_slices(tmp_path / "a", volume((3, 8, 9)), affine())
    path = folder / "07-1"
    path.write_bytes(path.read_bytes()[:length])
    error = refusal(folder)
    assert error.code == "unreadable"
    assert str(folder) in error.cause
    assert "07-1" in error.cause


def test_what_unpacks_to_more_than_any_header_is_not_unpacked(tmp_path):
    """A few kilobytes from a stranger would otherwise fill the memory."""
    path = dicom.write(tmp_path / "bomb", volume((8, 9)), syntax=dicom.DEFLATED)
    whole = path.read_bytes()
    meta = whole[: whole.index(dicom.DEFLATED.encode()) + len(dicom.DEFLATED)]
    private = struct.pack("<HH2sHL", 0x0009, 0x1010, b"OB", 0, 2**28)
    path.write_bytes(meta + dicom.deflated(private + bytes(2**28)))
    tracemalloc.start()
    error = refusal(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.code == "unreadable"
    assert most < 2**27


def test_a_segmentation_of_shuffled_frames_goes_back_to_each(tmp_path):
    order = [3, 0, 6, 1, 5, 2, 4]
    path, place = enhanced(tmp_path / "multi", order, frame_of_reference="1.2.9")
    layout = read_layout(path)
    drawn = np.random.default_rng(0).integers(0, 2, volume().shape).astype(np.uint8)
    segments = [DicomSegment("a", (1, 0, 0))]
    (tmp_path / "seg.dcm").write_bytes(encode_dicom_seg(drawn, layout.affine, [path], segments, "M", "v"))
    found, slices = np.zeros_like(drawn), []
    for number, position, mask, _ in dicom.read_segmentation(tmp_path / "seg.dcm"):
        at = np.linalg.solve(layout.affine, [*position, 1])
        np.testing.assert_allclose(at[:3], [0, 0, round(at[2])], atol=1e-3)
        found[round(at[2])][mask] = number
        slices.append(round(np.linalg.solve(place, [*position, 1])[2]))
    np.testing.assert_array_equal(found, drawn)
    referenced = [
        int(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
        for groups in pydicom.dcmread(tmp_path / "seg.dcm").PerFrameFunctionalGroupsSequence
    ]
    assert [order[number - 1] for number in referenced] == slices


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm", "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm", "MR_small.dcm", "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm", "MR_small_padded.dcm",
        "ExplVR_BigEnd.dcm", "examples_rgb_color.dcm", "examples_jpeg2k.dcm", "examples_ybr_color.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle_2frame.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
    ],
)  # fmt: skip
def test_files_of_real_devices_read_as_another_library_reads_them(name):
    path = pydicom.data.get_testdata_file(name, download=False)
    found = pydicom.dcmread(path)
    pixels = found.pixel_array
    colour = found.SamplesPerPixel > 1
    frames = pixels.reshape(-1, *pixels.shape[-3:] if colour else pixels.shape[-2:])
    expected = np.stack([grey_from_rgb(f) if colour else np.asarray(apply_modality_lut(f, found)) for f in frames])
    image = read_image([Path(path)], frames=True)
    assert image.from_rgb == colour
    # Decoders of lossy JPEG round differently.
    assert np.abs(image.array[0].reshape(expected.shape) - expected).max() <= (2 if colour else 0.01)
