"""Images in, results out on the source's own grid, and files as they really come."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image as Pillow
from SemiSegCervicalLib import atomic
from SemiSegCervicalLib.atomic import write_atomically
from SemiSegCervicalLib.engine.files import read_image, read_labels, write_map
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.preprocess import from_network, labels_to_network, place, to_network
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.formats import ending, stem
from TrainingRig import cases, parts
from TrainingRig.card import CARD, Card


@pytest.fixture(scope="module")
def predictor():
    return Predictor(parts.pack(), "cpu")


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 49), (131, 17), (32, 48), (200, 301)])
def test_result_lies_on_the_source_grid(predictor, size):
    array = np.random.default_rng(0).normal(size=(1, *size)).astype(np.float32)
    result = predictor.predict(Image(array), probabilities=True)
    assert result.labels.shape == result.uncertainty.shape == result.disagreement.shape == size
    assert result.labels.dtype == np.uint8
    assert result.probabilities.shape == (3, *size)
    assert np.allclose(result.probabilities.sum(axis=0), 1, atol=1e-5)
    assert np.array_equal(result.labels, result.probabilities.argmax(axis=0))
    assert 0 <= result.uncertainty.min() <= result.uncertainty.max() <= 1
    assert sum(s.voxels for s in result.segments) == np.count_nonzero(result.labels)


def test_batch_equals_single_predictions(predictor):
    rng = np.random.default_rng(0)
    images = [Image(rng.normal(size=(1, *s)).astype(np.float32)) for s in ((20, 30), (41, 33))]
    for one, batched in zip(images, predictor.predict_batch(images), strict=True):
        alone = predictor.predict(one)
        assert np.allclose(alone.uncertainty, batched.uncertainty, atol=1e-5)
        assert np.mean(alone.labels == batched.labels) > 0.999


def test_figures_have_units_only_where_the_spacing_is_known(predictor):
    array = np.random.default_rng(0).normal(size=(1, 20, 30)).astype(np.float32)
    known = predictor.predict(Image(array, (0.5, 0.2)))
    for with_unit, without in zip(known.segments, predictor.predict(Image(array)).segments, strict=True):
        assert without.size is None
        assert without.size_unit is None
        assert with_unit.size == pytest.approx(0.1 * with_unit.voxels)
        assert with_unit.size_unit == "mm2"


@pytest.mark.parametrize("size", [(40, 60), (97, 61), (300, 450), (16, 24)])
def test_geometry_is_aligned_both_ways(size):
    """A ramp keeps its slope and place from the source grid to the network's and back."""
    y, x = np.mgrid[: size[0], : size[1]]
    for ramp in (x, y):
        spec = InputSpec(modalities=("a",), size=(64, 96), clip=100)
        tensor, where = to_network(Image(ramp[None].astype(np.float32)), spec)
        back = from_network(tensor[None], where)[0, 0].numpy()
        scaled = (ramp - ramp.mean()) / ramp.std()
        inner = (slice(size[0] // 8, -size[0] // 8), slice(size[1] // 8, -size[1] // 8))
        slope = abs(scaled[1, 1] - scaled[0, 0])
        # A twentieth of a pixel and the rounding of the grid's size.
        assert np.abs(back - scaled)[inner].max() < (0.05 + 0.5 * max(size) / max(where.content) / 8) * slope


def test_labels_travel_with_their_image():
    """Labels drawn from the image's own brightness still match it on the network's grid, without a new value."""
    labels = cases.draw(3, (75, 100))[1]
    clean = np.array([100.0, 200.0, 0.0], dtype=np.float32)[labels]
    spec = InputSpec(modalities=("a",), size=(32, 48))
    tensor, where = to_network(Image(clean[None]), spec)
    sets = labels_to_network(np.array([1, 2, 4])[labels], where, nothing=7)
    assert set(sets.unique().tolist()) == {0, 1, 2, 4}
    means = [float(tensor[0][sets == value].mean()) for value in (4, 1, 2)]
    assert means == sorted(means)
    nearest = torch.tensor([1, 2, 4])[
        (tensor[0][..., None] - torch.tensor([means[1], means[2], means[0]])).abs().argmin(dim=-1)
    ]
    content = tuple(slice(0, n) for n in where.content)
    assert float((nearest == sets)[content].float().mean()) > 0.95
    assert where.content == (32, 43)
    assert bool((sets[:, 43:] == 0).all())


@pytest.mark.parametrize("values", [[1, 2, 4, 7], [1, 2**30, 2**31 - 1]])
@pytest.mark.parametrize("size", [(17, 23), (120, 190)])
def test_resampled_labels_keep_the_value_set(values, size):
    possible = np.random.default_rng(0).choice(values, size=size)
    where = place(size, (32, 48))
    sets = labels_to_network(possible, where, nothing=0)
    assert set(sets.unique().tolist()) <= {*values, 0}
    for value in values:
        share = float((sets[: where.content[0], : where.content[1]] == value).float().mean())
        assert share == pytest.approx(1 / len(values), abs=0.08)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("kind", [".nrrd", ".nii.gz", ".mha", ".mhd"])
def test_single_slice_volume_keeps_its_geometry(tmp_path, predictor, dtype, kind):
    low = -500 if dtype in (np.int16, np.float32) else 0
    array = np.random.default_rng(0).integers(low, 200, size=(1, 37, 51)).astype(dtype)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.2, 0.7, 3.0))
    image.SetOrigin((-11.5, 22.25, 7.0))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    source = tmp_path / f"scan{kind}"
    sitk.WriteImage(image, str(source))
    read = read_image([source])
    assert read.spatial_shape == (37, 51)
    assert read.spacing == pytest.approx((0.7, 0.2))
    assert np.array_equal(read.array[0], array[0].astype(np.float32))
    result = predictor.predict(read)
    written = write_map(result.labels, source, tmp_path / "out", "scan_labels")
    back = sitk.ReadImage(str(written))
    original = sitk.ReadImage(str(source))
    assert back.GetSize() == original.GetSize()
    assert back.GetSpacing() == original.GetSpacing()
    assert back.GetOrigin() == original.GetOrigin()
    assert back.GetDirection() == original.GetDirection()
    assert np.array_equal(sitk.GetArrayFromImage(back)[0], result.labels)
    assert np.array_equal(read_labels(written, (37, 51)), result.labels)
    assert [p.name for p in (tmp_path / "out").iterdir()] == [written.name]


@pytest.mark.parametrize(
    ("mode", "array"),
    [
        ("L", np.arange(200, dtype=np.uint8).reshape(10, 20)),
        ("I;16", (257 * np.arange(200)).astype(np.uint16).reshape(10, 20)),
        ("RGB", np.arange(600).astype(np.uint8).reshape(10, 20, 3)),
        ("RGBA", np.arange(800).astype(np.uint8).reshape(10, 20, 4)),
    ],
)
def test_pictures_of_every_kind(tmp_path, predictor, mode, array):
    path = tmp_path / "a.png"
    Pillow.fromarray(array).save(path)
    read = read_image([path])
    assert read.spatial_shape == (10, 20)
    assert read.spacing is None
    assert read.from_rgb == (array.ndim == 3)
    expected = array.astype(float) if array.ndim == 2 else array[..., :3] @ np.array([0.299, 0.587, 0.114])
    assert np.allclose(read.array[0], expected, rtol=1e-4, atol=1e-2)
    written = write_map(predictor.predict(read).labels, path, tmp_path, "a_labels")
    assert read_labels(written, (10, 20)).shape == (10, 20)


def test_grey_value_is_no_matter_of_the_picture_kind(tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (10, 20), dtype=np.uint8)
    Pillow.fromarray(grey).save(tmp_path / "grey.png")
    Pillow.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "rgb.png")
    a, b = (read_image([tmp_path / n]).array for n in ("grey.png", "rgb.png"))
    assert np.allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("mode", ["P", "PA", "CMYK", "YCbCr"])
def test_other_colours_are_those_that_a_viewer_shows(tmp_path, mode):
    shown = np.kron(np.array([[0, 255, 0], [255, 0, 255]], dtype=np.uint8), np.ones((5, 5), np.uint8))
    Pillow.fromarray(shown).convert("RGB").convert("P").convert(mode).save(tmp_path / "a.tif")
    assert Pillow.open(tmp_path / "a.tif").mode == mode
    assert np.allclose(read_image([tmp_path / "a.tif"]).array[0], shown, atol=2)


def test_colours_that_are_no_mixture_of_lights_are_refused(tmp_path):
    Pillow.new("LAB", (4, 5), (200, 128, 128)).save(tmp_path / "a.tif")
    with pytest.raises(SemiSegError, match="LAB; save it in grey or as RGB"):
        read_image([tmp_path / "a.tif"])


def test_labels_in_palettes_and_bits(tmp_path):
    labels = cases.draw(0)[1]
    palette = Pillow.fromarray(labels).convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    palette.putdata(labels.ravel().tolist())
    palette.save(tmp_path / "palette.png")
    palette.convert("PA").save(tmp_path / "palette-with-alpha.tif")
    Pillow.fromarray(labels > 0).save(tmp_path / "bits.png")
    Pillow.fromarray(np.stack([labels] * 3, axis=-1)).save(tmp_path / "grey-as-rgb.png")
    assert np.array_equal(read_labels(tmp_path / "palette.png"), labels)
    assert np.array_equal(read_labels(tmp_path / "palette-with-alpha.tif"), labels)
    assert np.array_equal(read_labels(tmp_path / "bits.png"), labels > 0)
    assert np.array_equal(read_labels(tmp_path / "grey-as-rgb.png"), labels)
    palette.convert("RGB").save(tmp_path / "colours.png")
    with pytest.raises(SemiSegError, match=r"a picture in colours\. Save it in grey or with a palette"):
        read_labels(tmp_path / "colours.png")


def test_names():
    for name, kind in (("a.nii.gz", ".nii.gz"), ("A.SEG.NRRD", ".seg.nrrd"), ("b.c.PNG", ".png"), ("x.json", ".json")):
        assert ending(Path(name)) == kind
    assert stem(Path("b.c.PNG")) == "b.c"
    assert stem(Path("A.nii.gz")) == "A"


def nan_volume(path):
    array = np.full((1, 8, 8), np.nan, dtype=np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))


def damaged(path):
    cases.write_case(path.parent, "whole", 0)
    path.write_bytes((path.parent / "whole.png").read_bytes()[:300])


def series(path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 2, 8, 8), dtype=np.uint8), isVector=False), str(path))


@pytest.mark.parametrize(
    ("name", "make", "code"),
    [
        ("none.png", None, "missing-file"),
        ("text.png", lambda p: p.write_text("hello"), "unreadable"),
        ("text.nrrd", lambda p: p.write_text("NRRD0004\n"), "unreadable"),
        ("empty.nii", lambda p: p.write_bytes(b""), "unreadable"),
        ("cut.png", damaged, "unreadable"),
        ("strange.xyz", lambda p: p.write_bytes(os.urandom(500)), "unknown-kind"),
        ("series.nrrd", series, "time-series"),
        ("nan.nrrd", nan_volume, "not-finite"),
    ],
)
def test_bad_files_are_named(tmp_path, capfd, name, make, code):
    path = tmp_path / name
    if make:
        make(path)
    with pytest.raises(SemiSegError) as caught:
        read_image([path])
    assert caught.value.code == code
    assert str(path) in caught.value.cause
    assert "\n" not in str(caught.value)


def test_modalities_must_share_a_grid(tmp_path):
    cases.write_case(tmp_path, "a", 0)
    Pillow.fromarray(np.zeros((5, 5), dtype=np.uint8)).save(tmp_path / "b.png")
    assert read_image([tmp_path / "a.png"] * 2).array.shape == (2, 32, 48)
    with pytest.raises(SemiSegError) as caught:
        read_image([tmp_path / "a.png", tmp_path / "b.png"])
    assert caught.value.code == "grids-differ"


def test_spacing_of_the_entry_overrides(tmp_path):
    cases.write_case(tmp_path, "a", 0)
    assert read_image([tmp_path / "a.png"], (0.3, 0.4)).spacing == (0.3, 0.4)
    for wrong in ((0.3,), (0.3, 0.0)):
        with pytest.raises(SemiSegError) as caught:
            read_image([tmp_path / "a.png"], wrong)
        assert caught.value.code == "bad-spacing"


def test_results_are_never_written_over(tmp_path):
    cases.write_case(tmp_path, "a", 0)
    labels = np.zeros((32, 48), dtype=np.uint8)
    write_map(labels, tmp_path / "a.png", tmp_path, "b")
    with pytest.raises(SemiSegError) as caught:
        write_map(labels + 1, tmp_path / "a.png", tmp_path, "b")
    assert caught.value.code == "exists"
    assert not read_labels(tmp_path / "b.png").any()


def test_atomic_writing_leaves_old_or_new(tmp_path):
    path = tmp_path / "sub" / "a.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SemiSegError) as caught:
        write_atomically(tmp_path / "file" / "a.json", b"")
    assert caught.value.code == "cannot-write"


@pytest.mark.skipif(os.name == "nt", reason="Windows opens no folder")
@pytest.mark.parametrize("code", [errno.EINVAL, errno.EIO, errno.ENOTSUP])
def test_folders_that_cannot_be_flushed_are_written_all_the_same(tmp_path, monkeypatch, code):
    real = os.fsync

    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(code, os.strerror(code))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(tmp_path / "a.json", b"1")
    assert (tmp_path / "a.json").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("number", "times", "written"), [(32, 3, b"new"), (5, 3, b"new"), (5, 10**6, b"old"), (17, 1, b"old")]
)
def test_a_file_that_windows_holds_open_for_a_moment_is_waited_for(tmp_path, monkeypatch, number, times, written):
    """As virus scanners do with whatever is new."""
    write_atomically(tmp_path / "a.json", b"old")
    real, left = os.replace, [times]

    def replace(source, target):
        left[0] -= 1
        if left[0] >= 0:
            error = PermissionError(errno.EACCES, "Access is denied", str(source))
            error.winerror = number
            raise error
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(atomic, "_HELD_SECONDS", 0.2 if times > 3 else 60.0)
    with nullcontext() if written == b"new" else pytest.raises(SemiSegError):
        write_atomically(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == written
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_wrong_image_for_the_model(predictor):
    for shape, code in (((2, 8, 8), "wrong-modalities"), ((1, 4, 8, 8), "wrong-dimensions")):
        with pytest.raises(SemiSegError) as caught:
            predictor.predict(Image(np.zeros(shape, dtype=np.float32)))
        assert caught.value.code == code


@pytest.mark.parametrize("dims", [2, 3])
def test_devices_without_float64_predict_too(dims):
    windows = InputSpec(spatial_dims=3, modalities=("mri",), sampling="windows", size=(16, 16, 16), spacing=(2.0,) * 3)
    pack = parts.pack(spec=parts.SPEC if dims == 2 else windows)
    predictor = Predictor(pack, "cpu", backend="torch")
    predictor.backend._active.device = CARD
    image = Image(np.ones((1, 30, 20, 40)[: dims + 1], dtype=np.float32), (1.0,) * dims)
    with Card() as card:
        result = predictor.predict(image, probabilities=True)
    assert card.computed
    assert result.labels.shape == image.spatial_shape


def test_unknown_device():
    with pytest.raises(SemiSegError) as caught:
        Predictor(parts.pack(), "abacus")
    assert caught.value.code == "unknown-device"


@pytest.mark.parametrize("count", [1, 2])
def test_further_views_vote(count):
    image = Image(np.random.default_rng(0).normal(size=(1, 32, 48)).astype(np.float32))
    pack = parts.pack(count)
    plain, more = (Predictor(pack, "cpu", backend="torch", tta=n).predict(image, probabilities=True) for n in (0, 4))
    tensor, _ = to_network(image, parts.SPEC)
    views = [tensor[None], 1.2 * tensor[None], tensor[None] / 1.2, tensor[None] + 0.2, tensor[None] - 0.2]
    with torch.inference_mode():
        votes = torch.stack([b(v).logits.softmax(dim=1)[0] for v in views for b in pack.branches])
    assert np.allclose(more.probabilities, votes.mean(dim=0).numpy(), atol=1e-5)
    assert not np.allclose(plain.probabilities, more.probabilities, atol=1e-3)
    assert (more.disagreement is None) == (count == 1), "views of one network are no second network"
    with pytest.raises(ValueError, match="views"):
        Predictor(pack, "cpu", backend="torch", tta=99)
