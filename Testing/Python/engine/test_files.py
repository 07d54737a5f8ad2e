"""Volumes and sequences: results carry their source's geometry to the last bit, and Slicer's own files go both ways."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from scipy.spatial.transform import Rotation
from SemiSegCervicalLib.engine import nifti, nrrd
from SemiSegCervicalLib.engine.files import count_volumes, is_sequence, read_affine, read_image, read_labels, write_map
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.formats import stem

SHAPE = (3, 4, 5)
GEOMETRY = ("GetSize", "GetSpacing", "GetOrigin", "GetDirection")
SPACE = "(0.5,0,0) (0,0.6,0) (0,0,2)"


def oblique(seed, shape=SHAPE, dtype=np.int16):
    rng = np.random.default_rng(seed)
    image = sitk.GetImageFromArray(rng.integers(0, 100, shape).astype(dtype))
    image.SetSpacing(rng.uniform(0.1, 3, 3).tolist())
    image.SetOrigin(rng.uniform(-200, 200, 3).tolist())
    mirror = np.diag([1, 1, (-1) ** seed])
    image.SetDirection((Rotation.from_rotvec(rng.normal(size=3)).as_matrix() @ mirror).ravel().tolist())
    return image


def write_nrrd(path, array, kinds, directions, extra=""):
    sizes = " ".join(map(str, reversed(array.shape)))
    head = f"NRRD0004\ntype: unsigned char\ndimension: {array.ndim}\nspace: left-posterior-superior\nsizes: {sizes}\n"
    head += f"space directions: {directions}\nkinds: {kinds}\nencoding: raw\nspace origin: (1,2,3)\n{extra}\n"
    path.write_bytes(head.encode() + array.astype(np.uint8).tobytes())
    return path


@pytest.mark.parametrize("kind", [".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_results_have_the_sources_geometry_to_the_last_bit(tmp_path, kind, dtype):
    for seed in range(12):
        path = tmp_path / f"scan{seed}{kind}"
        sitk.WriteImage(oblique(seed), str(path))
        values = np.random.default_rng(seed).uniform(0, 200, SHAPE).astype(dtype)
        written = write_map(values, path, tmp_path, f"scan{seed}_map")
        result, source = sitk.ReadImage(str(written)), sitk.ReadImage(str(path))
        assert np.array_equal(sitk.GetArrayFromImage(result), values)
        assert result.GetPixelID() == {np.uint8: sitk.sitkUInt8, np.float32: sitk.sitkFloat32}[dtype]
        for get in GEOMETRY:
            assert getattr(result, get)() == getattr(source, get)()


@pytest.mark.parametrize("order", "<>")
def test_nifti_of_either_byte_order(tmp_path, order):
    sitk.WriteImage(oblique(1), str(tmp_path / "a.nii"))
    raw = (tmp_path / "a.nii").read_bytes()
    fields = np.dtype(
        "i4, S10, S18, i4, i2, S1, S1, 8i2, 3f4, i2, i2, i2, i2, 8f4, f4, f4, f4, i2, S1, S1, f4, f4, f4, f4, i4, i4,"
        "S80, S24, i2, i2, 6f4, 12f4, S16, S4"
    )
    assert fields.itemsize == 348
    header = np.frombuffer(raw[:348], fields).astype(fields.newbyteorder(order)).tobytes()
    header = header[:148] + b"Somebody's name".ljust(80, b"\0") + header[228:]
    voxels = np.frombuffer(raw[352:], "<i2").astype(f"{order}i2").tobytes()
    path = tmp_path / "b.nii.gz"
    path.write_bytes(gzip.compress(header + bytes(4) + voxels))
    assert np.array_equal(read_image([path]).array[0], sitk.GetArrayFromImage(oblique(1)))
    values = np.random.default_rng(0).uniform(size=SHAPE).astype(np.float32)
    result = sitk.ReadImage(str(write_map(values, path, tmp_path, "c")))
    assert np.array_equal(sitk.GetArrayFromImage(result), values)
    for get in GEOMETRY:
        assert getattr(result, get)() == getattr(sitk.ReadImage(str(path)), get)()
    assert b"Somebody" not in gzip.decompress((tmp_path / "c.nii.gz").read_bytes())


def test_rescaled_nifti_does_not_rescale_its_result(tmp_path):
    sitk.WriteImage(oblique(2), str(tmp_path / "a.nii"))
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[112:120] = np.array([2.5, -7], "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(raw)
    expected = sitk.GetArrayFromImage(oblique(2)) * 2.5 - 7
    assert np.allclose(read_image([tmp_path / "a.nii"]).array[0], expected)
    labels = np.full(SHAPE, 3, dtype=np.uint8)
    assert np.array_equal(read_labels(write_map(labels, tmp_path / "a.nii", tmp_path, "b")), labels)


@pytest.mark.parametrize("count", [1, 7])
def test_result_of_a_colour_nifti_has_no_colours(tmp_path, count):
    """SimpleITK and ITK-SNAP write the parts of a colour as a fifth axis."""
    parts = [np.full((count, *SHAPE[1:]), value, np.uint8) for value in (10, 20, 30)]
    colour = sitk.GetImageFromArray(np.stack(parts, axis=-1), isVector=True)
    colour.CopyInformation(oblique(1, (count, *SHAPE[1:])))
    sitk.WriteImage(colour, str(tmp_path / "a.nii.gz"))
    image = read_image([tmp_path / "a.nii.gz"])
    assert image.from_rgb
    labels = np.arange(image.array.size, dtype=np.uint8).reshape(image.array.shape[1:])
    written = write_map(labels, tmp_path / "a.nii.gz", tmp_path, "a_labels")
    result, source = sitk.ReadImage(str(written)), sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(result).ravel(), labels.ravel())
    for get in GEOMETRY:
        assert getattr(result, get)() == getattr(source, get)()


def test_sheared_nifti_is_not_called_damaged(tmp_path):
    path = tmp_path / "a.nii"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6), dtype=np.int16)), str(path))
    content = bytearray(path.read_bytes())
    content[252:256] = struct.pack("<hh", 0, 2)  # qform_code, sform_code
    content[280:328] = struct.pack("<12f", 1, 0.1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    path.write_bytes(content)
    with pytest.raises(SemiSegError) as caught:
        read_image([path])
    assert caught.value.code == "sheared"
    assert "right angles" in caught.value.cause


def test_nifti_that_is_not_packed_as_its_name_says(tmp_path):
    sitk.WriteImage(oblique(2), str(tmp_path / "a.nii"))
    (tmp_path / "a.nii").rename(tmp_path / "a.nii.gz")
    assert read_image([tmp_path / "a.nii.gz"]).spatial_shape == SHAPE
    written = write_map(np.ones(SHAPE, np.uint8), tmp_path / "a.nii.gz", tmp_path, "a_labels")
    assert written.read_bytes()[:2] == b"\x1f\x8b"
    for get in GEOMETRY:
        assert (
            getattr(sitk.ReadImage(str(written)), get)() == getattr(sitk.ReadImage(str(tmp_path / "a.nii.gz")), get)()
        )


@pytest.mark.parametrize("ending", [".hdr", ".img"])
def test_result_of_an_image_in_two_files_is_one_file(tmp_path, ending):
    sitk.WriteImage(oblique(1), str(tmp_path / "a.hdr"))
    source = tmp_path / f"a{ending}"
    assert read_image([source]).spatial_shape == SHAPE
    values = np.arange(60, dtype=np.uint8).reshape(SHAPE)
    written = write_map(values, source, tmp_path / "out", "a_labels")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_labels.nii"]
    result = sitk.ReadImage(str(written))
    assert np.array_equal(sitk.GetArrayFromImage(result), values)
    for get in GEOMETRY:
        assert getattr(result, get)() == pytest.approx(getattr(sitk.ReadImage(str(source)), get)(), abs=1e-5)


def test_other_space_and_measurement_frame_stay(tmp_path):
    extra = 'measurement frame: (0,1,0) (1,0,0) (0,0,1)\nspace units: "mm" "mm" "mm"\n'
    path = write_nrrd(tmp_path / "a.nrrd", np.zeros(SHAPE), "domain domain domain", SPACE, extra)
    path.write_bytes(path.read_bytes().replace(b"left-posterior-superior", b"right-anterior-superior"))
    written = write_map(np.ones(SHAPE, dtype=np.uint8), path, tmp_path, "b")
    header, source = nrrd.read_header(written), nrrd.read_header(path)
    for name in ("space", "space directions", "space origin", "measurement frame", "space units", "sizes", "kinds"):
        assert header.fields[name] == source.fields[name]
    assert np.allclose(read_image([written]).affine, read_image([path]).affine)


@pytest.mark.parametrize("kind", [".nrrd", ".nii", ".mha"])
def test_a_slice_keeps_its_thickness_and_place(tmp_path, kind):
    path = tmp_path / f"a{kind}"
    source = oblique(5, (1, 4, 5))
    sitk.WriteImage(source, str(path))
    image = read_image([path])
    assert image.spatial_shape == (4, 5)
    assert np.linalg.norm(image.affine[:3, :3], axis=0) == pytest.approx(source.GetSpacing())
    assert image.affine[:3, 3] * [-1, -1, 1] == pytest.approx(source.GetOrigin(), rel=1e-5)


def test_given_spacing_is_the_affines_too(tmp_path):
    sitk.WriteImage(oblique(5), str(tmp_path / "a.nrrd"))
    image = read_image([tmp_path / "a.nrrd"], (3.0, 2.0, 1.0))
    assert image.spacing == (3.0, 2.0, 1.0)
    assert np.linalg.norm(image.affine[:3, :3], axis=0) == pytest.approx((1, 2, 3))
    unknown = read_image([tmp_path / "a.nrrd"], None)
    assert unknown.spacing is None


FRAMES = np.random.default_rng(0).integers(0, 255, (6, 1, 4, 5)).astype(np.uint8)


@pytest.mark.parametrize(
    ("array", "kinds", "directions"),
    [
        (FRAMES, "domain domain domain list", f"{SPACE} none"),
        (np.moveaxis(FRAMES, 0, -1), "list domain domain domain", f"none {SPACE}"),
        (FRAMES[:3], "domain domain domain list", f"{SPACE} none"),
        (FRAMES[:1], "domain domain domain list", f"{SPACE} none"),
        (np.stack([FRAMES] * 3, axis=-1), "vector domain domain domain list", f"none {SPACE} none"),
    ],
    ids=["last", "first", "three", "one", "colour"],
)
def test_sequences_in_either_order_of_axes(tmp_path, array, kinds, directions):
    frames = FRAMES[: 6 if array.size == FRAMES.size or array.ndim == 5 else array.shape[0]]
    values = "axis 3 index type:=numeric\naxis 3 index values:=0 0.5 1 1.5 2 2.5\n"
    path = write_nrrd(tmp_path / "cine.seq.nrrd", array, kinds, directions, values)
    assert is_sequence(path)
    if len(frames) > 1:
        with pytest.raises(SemiSegError) as caught:
            read_image([path])
        assert caught.value.code == "cine"
        assert f"{len(frames)} frames" in caught.value.cause
    image = read_image([path], frames=True)
    assert np.allclose(image.array[0], frames[:, 0] if len(frames) > 1 else frames[0, 0], atol=1e-3)
    assert image.spacing == pytest.approx((2, 0.6, 0.5) if len(frames) > 1 else (0.6, 0.5))
    assert image.from_rgb == (array.ndim == 5)
    labels = (frames[:, 0] > 100).astype(np.uint8)
    written = write_map(labels, path, tmp_path, f"{stem(path)}_labels", labels=True)
    assert written.name == "cine_labels.seq.nrrd"
    assert np.array_equal(read_labels(written).reshape(labels.shape), labels)
    header = nrrd.read_header(written)
    assert header.fields["kinds"] == "domain domain domain list"
    assert header.fields["space directions"] == f"{SPACE} none"
    assert header.keys["axis 3 index values"] == "0 0.5 1 1.5 2 2.5"


@pytest.mark.parametrize("count", [3, 4, 6])
def test_frames_without_a_third_axis_are_no_colours(tmp_path, count):
    frames = FRAMES[:count, 0]
    path = tmp_path / "cine.seq.nrrd"
    head = f"NRRD0005\ntype: uint8\ndimension: 3\nspace dimension: 2\nsizes: 5 4 {count}\nkinds: domain domain list\n"
    head += "space directions: (0.5,0) (0,0.6) none\nspace origin: (1,2)\nencoding: raw\n\n"
    path.write_bytes(head.encode() + frames.tobytes())
    image = read_image([path], frames=True)
    assert not image.from_rgb
    assert np.array_equal(image.array[0], frames)
    assert image.spacing == pytest.approx((1, 0.6, 0.5))
    labels = (frames > 100).astype(np.uint8)
    written = write_map(labels, path, tmp_path, "cine_labels", labels=True)
    assert np.array_equal(read_labels(written), labels)


@pytest.mark.parametrize("colour", [False, True])
def test_slicer_writes_and_reads_sequences(tmp_path, colour):
    slicer = pytest.importorskip("slicer", reason="Slicer's own reader is in slicer-core: pip install slicer-core")
    from SlicerRig import mrml
    from vtk import vtkImageData, vtkMatrix4x4
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    scene = mrml.clear()
    pixels = np.random.default_rng(0).integers(0, 255, (5, 20, 3 if colour else 1)).astype(np.uint8)
    sequence = slicer.vtkMRMLSequenceNode()
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    for k, frame in enumerate(pixels):
        node = slicer.vtkMRMLVectorVolumeNode() if colour else slicer.vtkMRMLScalarVolumeNode()
        data = vtkImageData()
        data.SetDimensions(5, 4, 1)
        data.GetPointData().SetScalars(numpy_to_vtk(frame, deep=True))
        node.SetAndObserveImageData(data)
        node.SetSpacing(0.2, 0.3, 1.5)
        node.SetOrigin(10, 20, 30)
        node.SetIJKToRASDirections(0, 1, 0, 1, 0, 0, 0, 0, -1)
        sequence.SetDataNodeAtValue(node, f"{k / 4}")
    path = tmp_path / "cine.seq.nrrd"
    storage = slicer.vtkMRMLVolumeSequenceStorageNode()
    storage.SetFileName(str(path))
    assert storage.WriteData(sequence)

    image = read_image([path], frames=True)
    grey = pixels @ np.array([0.299, 0.587, 0.114]) if colour else pixels[..., 0]
    assert np.allclose(image.array[0], grey.reshape(5, 4, 5), atol=1e-3)
    assert image.spacing == pytest.approx((1.5, 0.3, 0.2))
    matrix = vtkMatrix4x4()
    sequence.GetNthDataNode(0).GetIJKToRASMatrix(matrix)
    assert np.allclose(image.affine, [[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])

    for labels in (True, False):
        values = np.random.default_rng(1).integers(0, 200, (5, 4, 5)).astype(np.uint8)
        written = write_map(values, path, tmp_path, f"cine_{labels}", labels=labels)
        storage = slicer.vtkMRMLVolumeSequenceStorageNode()
        storage.SetFileName(str(written))
        storage.SetScene(scene)
        back = slicer.vtkMRMLSequenceNode()
        assert storage.ReadData(back)
        assert back.GetNumberOfDataNodes() == 5
        assert back.GetIndexName() == "time"
        assert back.GetIndexUnit() == "s"
        for k in range(5):
            node = back.GetNthDataNode(k)
            assert back.GetNthIndexValue(k) == sequence.GetNthIndexValue(k)
            assert node.IsA("vtkMRMLLabelMapVolumeNode") == labels
            scalars = vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())
            assert scalars.dtype == np.uint8
            assert np.array_equal(scalars, values[k].ravel())
            for get in ("GetSpacing", "GetOrigin"):
                assert getattr(node, get)() == pytest.approx(getattr(sequence.GetNthDataNode(k), get)())


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("four.nrrd", "time-series", "7 volumes"),
        ("time.nrrd", "time-series", "7 volumes"),
        ("list.seq.nrrd", "time-series", "7 volumes"),
        ("four.nii.gz", "time-series", "7 volumes"),
        ("four.mha", "time-series", "7 volumes"),
        ("vector.nrrd", "vector-volume", "2 values per voxel"),
        ("field.nii.gz", "vector-volume", "3 values per voxel"),
        ("field.mha", "vector-volume", "3 values per voxel"),
        ("over.seg.nrrd", "overlapping-segments", "label map"),
    ],
)
def test_what_is_no_single_image_is_refused(tmp_path, name, code, words):
    path, four = tmp_path / name, np.zeros((7, 3, 4, 5))
    kinds = {
        "four.nrrd": "domain " * 4,
        "time.nrrd": "domain domain domain time",
        "list.seq.nrrd": "domain " * 3 + "list",
    }
    if name in kinds:
        write_nrrd(path, four, kinds[name], f"{SPACE} none")
    elif name == "over.seg.nrrd":
        layers = "Segmentation_ReferenceImageExtentOffset:=0 0 0\n"
        write_nrrd(path, np.zeros((3, 4, 5, 2)), "list domain domain domain", f"none {SPACE}", layers)
    elif name.startswith("four"):
        sitk.WriteImage(sitk.GetImageFromArray(four.astype(np.int16), isVector=False), str(path))
    else:
        parts = 2 if name.startswith("vector") else 3
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5, parts), np.float32), isVector=True), str(path))
    with pytest.raises(SemiSegError) as caught:
        read_image([path], frames=True)
    assert caught.value.code == code
    assert words in str(caught.value)


@pytest.mark.parametrize("kind", [".nii", ".nii.gz"])
def test_one_volume_of_a_file_of_several(tmp_path, kind):
    """The Medical Segmentation Decathlon keeps the modalities of a case so."""
    volumes = [oblique(3), *(sitk.Cast(oblique(3) * k, sitk.sitkInt16) for k in (2, 3))]
    path = tmp_path / f"a{kind}"
    sitk.WriteImage(sitk.JoinSeries(volumes), str(path))
    sitk.WriteImage(volumes[0], str(tmp_path / f"b{kind}"))
    assert [count_volumes(tmp_path / f"{name}{kind}") for name in "ab"] == [3, 1]
    image = read_image([path / "2", path / "0"])
    assert np.array_equal(image.array[0], sitk.GetArrayFromImage(volumes[2]))
    assert np.array_equal(image.array[1], sitk.GetArrayFromImage(volumes[0]))
    alone = read_image([tmp_path / f"b{kind}"])
    assert (image.spacing, stem(path / "2")) == (alone.spacing, "a_2")
    assert np.array_equal(image.affine, alone.affine)
    assert np.array_equal(read_affine(path / "1"), alone.affine)
    labels = np.arange(60, dtype=np.uint8).reshape(SHAPE)
    written = sitk.ReadImage(str(write_map(labels, path / "0", tmp_path, "a_labels")))
    assert np.array_equal(sitk.GetArrayFromImage(written), labels)
    for get in GEOMETRY:
        assert getattr(written, get)() == getattr(sitk.ReadImage(str(tmp_path / f"b{kind}")), get)()
    for number in ("3", "x"):
        with pytest.raises(SemiSegError):
            read_image([path / number])
    with pytest.raises(SemiSegError) as caught:
        read_image([path])
    assert caught.value.code == "time-series"
    assert f"name one as a{kind}/0" in caught.value.remedy


@pytest.mark.parametrize("kind", [".nii.gz", ".mha"])
def test_four_axes_of_single_slices_are_frames(tmp_path, kind):
    path = tmp_path / f"cine{kind}"
    sitk.WriteImage(sitk.GetImageFromArray(FRAMES, isVector=False), str(path))
    image = read_image([path], frames=True)
    assert np.array_equal(image.array[0], FRAMES[:, 0])
    written = write_map(FRAMES[:, 0], path, tmp_path, "cine_labels")
    assert written.name == f"cine_labels{kind}"
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(written))), FRAMES)


def test_voxels_without_a_number_become_the_darkest_or_the_brightest(tmp_path):
    rng = np.random.default_rng(0)
    whole = [rng.normal(50, 9, (4, 6, 7)).astype(np.float32) for _ in range(2)]
    paths = [tmp_path / "t1.nrrd", tmp_path / "adc.nrrd"]
    holes = [array.copy() for array in whole]
    holes[1][0, :2] = np.nan
    holes[1][1, 2, 3], holes[1][1, 2, 4] = np.inf, -np.inf
    for path, array in zip(paths, holes, strict=True):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    image = read_image(paths)
    numbers = holes[1][np.isfinite(holes[1])]
    expected = np.nan_to_num(holes[1], nan=numbers.min(), neginf=numbers.min(), posinf=numbers.max())
    np.testing.assert_array_equal(image.array, np.stack([whole[0], expected]))
    assert image.filled
    assert not read_image(paths[:1]).filled


def test_cropped_segmentation_goes_back_to_its_place(tmp_path):
    image = oblique(3, (8, 9, 10))
    labels = np.zeros((8, 9, 10), dtype=np.uint8)
    labels[2:5, 3:8, 4:9] = 1
    whole = sitk.GetImageFromArray(labels)
    whole.CopyInformation(image)
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    sitk.WriteImage(whole[4:9, 3:8, 2:5], str(tmp_path / "a.seg.nrrd"))
    affine = read_image([tmp_path / "a.nrrd"]).affine
    assert np.array_equal(read_labels(tmp_path / "a.seg.nrrd", labels.shape, affine), labels)
    for change in (lambda i: i.SetSpacing((9, 9, 9)), lambda i: i.SetOrigin((0, 0, 0))):
        elsewhere = whole[4:9, 3:8, 2:5]
        change(elsewhere)
        sitk.WriteImage(elsewhere, str(tmp_path / "b.seg.nrrd"))
        with pytest.raises(SemiSegError) as caught:
            read_labels(tmp_path / "b.seg.nrrd", labels.shape, affine)
        assert caught.value.code == "size-differs"


def test_smaller_label_map_without_a_place_is_no_crop(tmp_path):
    """A picture at half the size, or a bare array: in the corner of the image it would be wrong everywhere."""
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[::2, ::2] > 9).save(tmp_path / "a_label.png")
    volume = np.stack([pixels] * 4)
    sitk.WriteImage(sitk.GetImageFromArray(volume), str(tmp_path / "b.nrrd"))
    sitk.WriteImage(sitk.GetImageFromArray(volume[::2, ::2, ::2]), str(tmp_path / "b_label.nrrd"))
    for image, labels in (("a.png", "a_label.png"), ("b.nrrd", "b_label.nrrd")):
        found = read_image([tmp_path / image])
        with pytest.raises(SemiSegError) as caught:
            read_labels(tmp_path / labels, found.spatial_shape, found.affine)
        assert caught.value.code == "size-differs"


TURNS = [
    lambda i: i[::-1],
    lambda i: i[:, ::-1, ::-1],
    lambda i: sitk.PermuteAxes(i, [1, 0, 2]),
    lambda i: sitk.PermuteAxes(i, [2, 0, 1])[:, ::-1],
]


@pytest.mark.parametrize("turn", TURNS)
def test_label_map_that_was_turned_comes_back(tmp_path, turn):
    """As by programs that know one orientation: the same voxels in another order, and the header tells which."""
    image = oblique(3, (8, 9, 9))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    affine = read_image([tmp_path / "a.nrrd"]).affine
    labels = sitk.Cast(image, sitk.sitkUInt8)
    for name, stored in (("same", labels), ("turned", turn(labels)), ("cropped", turn(labels[2:8, 1:7, 3:6]))):
        sitk.WriteImage(stored, str(tmp_path / f"{name}.nrrd"))
        expected = sitk.GetArrayFromImage(labels)
        if name == "cropped":
            inside = np.zeros_like(expected)
            inside[3:6, 1:7, 2:8] = expected[3:6, 1:7, 2:8]
            expected = inside
        assert np.array_equal(read_labels(tmp_path / f"{name}.nrrd", (8, 9, 9), affine), expected)


@pytest.mark.parametrize("turn", TURNS)
def test_label_map_that_was_turned_comes_back_to_an_image_at_the_origin(tmp_path, turn):
    """Such an image looks like one without a place of its own; that the turned map lies right upon it says more."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 9, (8, 9, 10)).astype(np.uint8))
    image.SetSpacing((1.0, 1.2, 3.0))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    sitk.WriteImage(turn(image), str(tmp_path / "turned.nrrd"))
    affine = read_image([tmp_path / "a.nrrd"]).affine
    assert np.array_equal(read_labels(tmp_path / "turned.nrrd", (8, 9, 10), affine), sitk.GetArrayFromImage(image))


@pytest.mark.parametrize("turn", TURNS)
def test_label_map_that_was_turned_and_lies_elsewhere_is_refused(tmp_path, turn):
    """Directions that were lost: turned as its header says, it would lie beside the image."""
    image = oblique(3, (8, 9, 9))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    affine = read_image([tmp_path / "a.nrrd"]).affine
    labels = turn(sitk.Cast(image, sitk.sitkUInt8))
    labels.SetOrigin(np.add(image.GetOrigin(), 20).tolist())
    sitk.WriteImage(labels, str(tmp_path / "turned.nrrd"))
    with pytest.raises(SemiSegError) as caught:
        read_labels(tmp_path / "turned.nrrd", (8, 9, 9), affine)
    assert caught.value.code == "grids-differ"


def test_label_map_in_directions_of_its_own_is_refused(tmp_path):
    image = oblique(3, (8, 9, 9))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    labels = sitk.Cast(image, sitk.sitkUInt8)
    labels.SetDirection(oblique(5).GetDirection())
    sitk.WriteImage(labels, str(tmp_path / "b.nrrd"))
    with pytest.raises(SemiSegError) as caught:
        read_labels(tmp_path / "b.nrrd", (8, 9, 9), read_image([tmp_path / "a.nrrd"]).affine)
    assert caught.value.code == "grids-differ"


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("blur", [1, 4])
def test_masks_in_jpeg_are_black_and_white(tmp_path, quality, blur):
    """As data sets of polyps and of thyroid nodules have them."""
    y, x = np.mgrid[:120, :160]
    mask = (((y - 60) / 30) ** 2 + ((x - 80) / 40) ** 2 < 1) | ((y - 10) ** 2 + (x - 10) ** 2 < 9)
    white = Image.fromarray(np.uint8(255 * mask))
    white.resize((160 // blur, 120 // blur), Image.Resampling.BOX).resize((160, 120)).convert("RGB").save(
        tmp_path / "a.jpg", quality=quality
    )
    found = read_labels(tmp_path / "a.jpg", (120, 160))
    assert np.unique(found).tolist() == [0, 255]
    assert (found != 255 * mask).mean() < 0.01
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "empty.jpg")
    assert not read_labels(tmp_path / "empty.jpg").any()


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 100, 255), (0, 85, 170)])
def test_label_maps_of_several_values_in_jpeg_are_refused(tmp_path, values):
    labels = np.array(values, np.uint8)[np.arange(60)[:, None] // 20 * np.ones((1, 60), int)]
    Image.fromarray(labels).save(tmp_path / "a.jpg", quality=90)
    with pytest.raises(SemiSegError) as caught:
        read_labels(tmp_path / "a.jpg")
    assert caught.value.code == "not-labels"
    assert "PNG" in caught.value.remedy


@pytest.mark.parametrize(("name", "remedy"), [("a.avi", "ffmpeg"), ("a.npy", "NRRD"), ("a.gif", "PNG"), ("a", "PNG")])
def test_other_kinds_of_files_are_not_called_damaged(tmp_path, name, remedy):
    (tmp_path / name).write_bytes(bytes(range(200)))
    with pytest.raises(SemiSegError) as caught:
        read_image([tmp_path / name])
    assert caught.value.code == "unknown-kind"
    assert remedy in caught.value.remedy


def test_labels_may_be_stored_with_rounding(tmp_path):
    """As NIfTI with a slope, or whatever was resampled in floats by nearest neighbour."""
    labels = np.arange(60).reshape(SHAPE) % 3
    sitk.WriteImage(sitk.GetImageFromArray((labels * 0.999).astype(np.float32)), str(tmp_path / "a.nii.gz"))
    assert np.array_equal(read_labels(tmp_path / "a.nii.gz"), labels)
    sitk.WriteImage(sitk.GetImageFromArray((labels * 0.9).astype(np.float32)), str(tmp_path / "b.nii.gz"))
    with pytest.raises(SemiSegError) as caught:
        read_labels(tmp_path / "b.nii.gz")
    assert caught.value.code == "not-labels"


def test_label_map_that_lies_in_another_place_is_refused(tmp_path):
    """Of equal size and direction: the next scan of a protocol has such a one."""
    image = oblique(3, (8, 9, 9))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    affine = read_image([tmp_path / "a.nrrd"]).affine
    labels = sitk.Cast(sitk.Greater(image, 0), sitk.sitkUInt8)
    for voxels, refused in ((0.5, False), (3, True)):
        labels.SetOrigin(image.TransformContinuousIndexToPhysicalPoint((0, voxels, 0)))
        sitk.WriteImage(labels, str(tmp_path / "moved.nrrd"))
        if not refused:
            found = read_labels(tmp_path / "moved.nrrd", (8, 9, 9), affine)
            assert np.array_equal(found, sitk.GetArrayFromImage(labels))
            continue
        with pytest.raises(SemiSegError, match="another place") as caught:
            read_labels(tmp_path / "moved.nrrd", (8, 9, 9), affine)
        assert caught.value.code == "grids-differ"


def test_label_map_that_says_nothing_of_its_place_is_believed(tmp_path):
    image = oblique(3, (8, 9, 9))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    labels = (sitk.GetArrayFromImage(image) > 0).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(tmp_path / "bare.nrrd"))
    found = read_labels(tmp_path / "bare.nrrd", labels.shape, read_image([tmp_path / "a.nrrd"]).affine)
    assert np.array_equal(found, labels)


@pytest.mark.parametrize("kind", [".nrrd", ".nii", ".nii.gz", ".mha"])
@pytest.mark.parametrize("missing", [1, 9, 300])
def test_a_file_that_is_cut_short_is_refused(tmp_path, kind, missing):
    """Of NIfTI ITK made the rest zeros: half of an image, or a label map without its upper slices."""
    path = tmp_path / f"a{kind}"
    for dtype in (np.int16, np.float32):
        sitk.WriteImage(oblique(1, (9, 10, 11), dtype), str(path))
        whole = path.read_bytes()
        assert read_image([path]).spatial_shape == (9, 10, 11)
        path.write_bytes(whole[:-missing])
        for read in (lambda: read_image([path]), lambda: read_labels(path)):
            with pytest.raises(SemiSegError) as caught:
                read()
            assert caught.value.code == "unreadable"


def test_nifti_in_several_gzip_parts_or_with_more_behind_it_is_whole(tmp_path):
    sitk.WriteImage(oblique(1), str(tmp_path / "a.nii"))
    raw = (tmp_path / "a.nii").read_bytes()
    for content in (gzip.compress(raw[:400]) + gzip.compress(raw[400:]), gzip.compress(raw + bytes(7))):
        (tmp_path / "a.nii.gz").write_bytes(content)
        assert np.array_equal(read_image([tmp_path / "a.nii.gz"]).array[0], sitk.GetArrayFromImage(oblique(1)))
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(raw[:400]) + gzip.compress(raw[400:-2]))
    with pytest.raises(SemiSegError, match="end is missing"):
        read_image([tmp_path / "a.nii.gz"])


@pytest.mark.parametrize("kind", [".nrrd", ".nii", ".nii.gz", ".mha"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_promises_too_much_is_refused_unread(tmp_path, monkeypatch, kind, packed):
    """Its size is believed by no reader that would fill the memory with it."""
    path = tmp_path / f"x{kind}"
    sitk.WriteImage(sitk.Image(9, 8, 7, sitk.sitkUInt8), str(path), useCompression=packed)
    unpacked = gzip.decompress if kind == ".nii.gz" else bytes
    data = bytearray(unpacked(path.read_bytes()))
    if kind.startswith(".nii"):
        data[42:48] = struct.pack("<3h", 9, 30000, 30000)
    else:
        data = bytearray(bytes(data).replace(b"9 8 7", b"9 30000 30000"))
    path.write_bytes(gzip.compress(data) if kind == ".nii.gz" else data)
    monkeypatch.setattr(sitk.ImageFileReader, "Execute", lambda reader: pytest.fail("it was read"))
    with pytest.raises(SemiSegError, match="too short") as caught:
        read_image([path])
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize("count", ["-1", "0", "99", "4294967296", "1e308", "3 4", ""])
@pytest.mark.parametrize("read", [lambda path: read_image([path]), read_affine])
def test_a_header_of_absurd_axes_is_refused_unread(tmp_path, monkeypatch, read, count):
    """ITK would take the whole process with it, and the work that other cases have cost."""
    path = tmp_path / "x.mha"
    sitk.WriteImage(sitk.Image(9, 8, 7, sitk.sitkUInt8), str(path))
    assert np.array_equal(read_affine(path), np.diag([-1, -1, 1, 1]))
    path.write_bytes(path.read_bytes().replace(b"NDims = 3", f"NDims = {count}".encode()))
    monkeypatch.setattr(sitk.ImageFileReader, "ReadImageInformation", lambda reader: pytest.fail("it was read"))
    with pytest.raises(SemiSegError, match="axes") as caught:
        read(path)
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize("kind", [".nrrd", ".nhdr", ".mha", ".mhd"])
def test_voxels_beside_their_header_may_be_many(tmp_path, kind):
    image = sitk.GetImageFromArray(np.arange(2**20, dtype=np.uint8).reshape(64, 128, 128))
    folder = tmp_path / "written"
    folder.mkdir()
    sitk.WriteImage(image, str(folder / f"x{'.nhdr' if kind in ('.nrrd', '.nhdr') else '.mhd'}"))
    header = next(path for path in folder.iterdir() if path.suffix in (".nhdr", ".mhd"))
    path = header.rename(header.with_suffix(kind))
    assert np.array_equal(read_image([path]).array[0], sitk.GetArrayFromImage(image))


@pytest.mark.parametrize("absent", [0, -1])
def test_nifti_that_counts_an_absent_axis_as_none(tmp_path, absent):
    path = tmp_path / "x.nii"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((1, 8, 9), dtype=np.uint8)), str(path))
    data = bytearray(path.read_bytes())
    data[46:48] = struct.pack("<h", absent)
    path.write_bytes(data)
    image = read_image([path])
    assert image.spatial_shape == (8, 9)
    labels = np.eye(8, 9, dtype=np.uint8)
    assert np.array_equal(read_labels(write_map(labels, path, tmp_path, "labels"), (8, 9)), labels)


def test_full_disk_leaves_nothing(tmp_path, monkeypatch):
    for kind in (".nrrd", ".nii.gz"):
        sitk.WriteImage(oblique(0), str(tmp_path / f"a{kind}"))

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(gzip.GzipFile, "write", full)
        with pytest.raises(SemiSegError) as caught:
            write_map(np.zeros(SHAPE, dtype=np.uint8), tmp_path / f"a{kind}", tmp_path / "out", "a")
        assert caught.value.code == "cannot-write"
        assert not list((tmp_path / "out").iterdir())
        monkeypatch.undo()


def test_headers_of_other_files_are_none(tmp_path):
    (tmp_path / "a.nii").write_bytes(bytes(400))
    assert nifti.read_header(tmp_path / "a.nii") is None
    (tmp_path / "a.nrrd").write_text("NRRD0004\nsizes: 0 3\n\n")
    with pytest.raises(ValueError, match="sizes"):
        nrrd.read_header(tmp_path / "a.nrrd")
