"""Where results lie: the same scene in every orientation, oblique, flipped, anisotropic or cut to one slice."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.engine.files import read_image, read_labels, write_map
from SemiSegCervicalLib.engine.grid import NetworkView, labels_to_grid, plan_grid
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import BranchSpec, Calibration, InputSpec
from SemiSegCervicalLib.errors import SemiSegError
from TrainingRig import dicom, parts

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
GEOMETRY = ("GetSize", "GetSpacing", "GetOrigin", "GetDirection")
EVERY_TURN = [(p, f) for p in itertools.permutations(range(3)) for f in itertools.product((False, True), repeat=3)]
# Centre in LPS mm and radius of each ball: no turn or mirror image of the scene is the scene.
BALLS = {1: ((-11.0, 7.0, 9.0), 9.0), 2: ((9.0, -8.0, -10.0), 7.0)}
GREY = np.array([100.0, 200.0, 0.0])
SIDE = 56.0


def write(path, array, affine):
    """Write an array with its voxel-to-LPS matrix; NIfTI, NRRD and MetaImage take left-handed ones too."""
    image = sitk.GetImageFromArray(array)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    sitk.WriteImage(image, str(path))
    return path


def assert_on_grid_of(source, written):
    a, b = sitk.ReadImage(str(source)), sitk.ReadImage(str(written))
    for get in GEOMETRY:
        assert getattr(a, get)() == getattr(b, get)()


def turned(array, affine, axes, flips):
    """Store an array the other way round: axis a of the result is axis ``axes[a]``, reversed where ``flips[a]``."""
    result = array.transpose(axes)[tuple(slice(None, None, -1 if flip else None) for flip in flips)]
    to_old = np.zeros((4, 4))  # (i, j, k) of the result to those of the array
    to_old[3, 3] = 1
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        to_old[2 - old, 2 - new] = -1 if flip else 1
        to_old[2 - old, 3] = result.shape[new] - 1 if flip else 0
    return np.ascontiguousarray(result), affine @ to_old


@pytest.mark.parametrize("spacing", [None, (1.0, 0.6, 0.9)], ids=["own voxels", "resampled"])
def test_all_forty_eight_orientations_are_one_to_the_network(tmp_path, spacing):
    """Stored in any order, a volume gives the network the same input and gets the same labels at the same place."""
    rng = np.random.default_rng(0)
    array = np.kron(rng.integers(0, 500, (4, 5, 6)), np.ones((4, 4, 4), int)).astype(np.int16)[:14, :19, :22]
    affine = np.diag([0.7, 0.8, 1.3, 1.0])
    affine[:3, 3] = (-20, 35, 4)
    spec = InputSpec(spatial_dims=3, modalities=("mr",), sampling="windows", size=(16, 16, 16), spacing=spacing)
    predictor = Predictor(parts.pack(spec=spec), "cpu", backend="torch")
    expected = None
    for number, (axes, flips) in enumerate(EVERY_TURN):
        kind = (".nrrd", ".nii.gz", ".mha")[number % 3]
        stored, place = turned(array, affine, axes, flips)
        path = write(tmp_path / f"{number}{kind}", stored, place)
        image = read_image([path])
        grid = plan_grid(image, spec)
        view = NetworkView(image, grid, spec).whole()
        labels = labels_to_grid(stored.astype(np.int64), grid, -1)
        if expected is not None and spacing is not None and number % 7:
            back = expected[2]  # resampled, a few are enough: the views above are all compared
        else:
            written = write_map(predictor.predict(image).labels, path, tmp_path, f"{number}_labels")
            assert_on_grid_of(path, written)
            back = grid.turn(read_labels(written))
        if expected is None:
            assert not any(flips)
            if spacing is None:
                assert np.array_equal(labels.numpy(), array)
            expected = view, labels, back
            assert len(np.unique(back)) > 1
        assert torch.allclose(view, expected[0], atol=1e-5)
        assert torch.equal(labels, expected[1])
        assert np.mean(back == expected[2]) > 0.999


@pytest.mark.parametrize("shape", [(8, 9, 10), (1, 9, 10), (8, 1, 10), (8, 9, 1)])
def test_single_planes_of_every_orientation_are_read(shape):
    """Prediction looks at single slices of a volume; a plane that runs backwards is one like any other."""
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    spec = InputSpec(spatial_dims=3, modalities=("mr",), sampling="windows", size=(16, 16, 16), clip=100)
    for axes, flips in EVERY_TURN:
        stored, place = turned(array, affine, axes, flips)
        image = Image(stored[None], None, place)
        view = NetworkView(image, plan_grid(image, spec), spec)
        whole = view.whole()
        assert np.allclose(whole[0], (array - array.mean()) / array.std(), atol=1e-4)
        for axis, n in enumerate(shape):
            block = [(0, m) for m in shape]
            block[axis] = (n - 1, n)
            assert torch.allclose(view.read(block), whole.narrow(1 + axis, n - 1, 1), atol=1e-5)


def scene(shape, affine):
    """Sample the balls on a grid: label map, and a picture of it with noise."""
    k, j, i = np.indices(shape)
    points = np.stack([i, j, k, np.ones(shape)], axis=-1) @ affine.T
    labels = np.zeros(shape, dtype=np.uint8)
    for value, (centre, radius) in BALLS.items():
        labels[np.linalg.norm(points[..., :3] - centre, axis=-1) < radius] = value
    noise = np.random.default_rng(0).normal(0, 5, shape)
    return labels, (GREY[labels] + noise).astype(np.int16)


def around(spacing, rotation=(0, 0, 0), axes=(0, 1, 2), flips=(False,) * 3, off=(0, 0, 0)):
    """Return shape and voxel-to-LPS matrix of a grid that holds the scene, with its centre `off` voxels away."""
    shape = tuple(int(np.ceil(SIDE / s)) for s in spacing)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", rotation, degrees=True).as_matrix() * np.array(spacing[::-1])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2 + off)
    stored, affine = turned(np.empty(shape, dtype=bool), affine, axes, flips)
    return stored.shape, affine


GRIDS = {
    "axial": around((1.5, 1.5, 1.5)),
    "fine": around((0.9, 0.8, 0.85)),
    "coarse": around((2.2, 2.4, 2.0), off=(0.3, -0.4, 0.2)),
    "thick slices": around((4.0, 0.9, 0.9)),
    "sagittal": around((1.5, 1.2, 1.8), axes=(2, 0, 1), flips=(False, True, False)),
    "coronal": around((1.2, 3.0, 1.2), axes=(1, 0, 2), flips=(True, True, False)),
    "left-handed": around((1.5, 1.3, 1.1), flips=(False, False, True)),
    "upside down": around((1.4, 1.4, 1.9), flips=(True, True, True)),
    "oblique": around((1.5, 1.5, 1.5), (20, -15, 30)),
    "oblique thick flipped": around((3.5, 1.0, 1.2), (-25, 10, 40), (2, 1, 0), (False, True, True)),
    "nearly diagonal": around((1.4, 1.5, 1.6), (44, 0, 0)),
}


@pytest.fixture(scope="module")
def finder():
    """A model that finds the balls by their grey: a tiny network, trained here for some seconds."""
    torch.manual_seed(0)
    branch = Branch("unet", {"channels": [4, 8, 16], "norm": "batch"}, 1, 3, 3)
    optimiser = torch.optim.Adam(branch.parameters(), lr=0.02)
    rng = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    k, j, i = np.indices((24, 24, 24))
    for _ in range(120):
        labels = np.zeros((4, 24, 24, 24), dtype=np.int64)
        for row in labels:
            for value in rng.permutation([1, 2]):
                z, y, x = rng.uniform(0, 24, 3)
                row[(i - x) ** 2 + (j - y) ** 2 + (k - z) ** 2 < rng.uniform(3, 8) ** 2] = value
        target = torch.from_numpy(labels)
        grey = torch.tensor(GREY, dtype=torch.float32)[target] + 5 * torch.randn(target.shape, generator=generator)
        # The balls fill a few per cent of a scene, and standardised they stand out as far as the clip lets them.
        images = (grey - GREY[0]) / rng.uniform(15, 30)
        for row, axis in enumerate(rng.permutation(3)[:2]):  # slabs in nothing: a thick slice as the network sees it
            beyond = torch.ones(24, dtype=torch.bool)
            first = rng.integers(24)
            beyond[first : first + rng.integers(2, 6)] = False
            images[row].movedim(int(axis), 0)[beyond] = 0
            target[row].movedim(int(axis), 0)[beyond] = -1
        logits = branch(images.clamp(-4, 4).unsqueeze(1)).logits
        loss = torch.nn.functional.cross_entropy(logits, target, ignore_index=-1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    branch.eval()
    spec = InputSpec(
        spatial_dims=3, modalities=("mr",), sampling="windows", size=(32, 32, 32), spacing=(1.5, 1.5, 1.5), overlap=0.25
    )
    arguments = {"channels": (4, 8, 16), "norm": "batch"}
    model = parts.pack(
        count=1,
        spec=spec,
        branches=(BranchSpec(file="branch-1.safetensors", architecture="unet", arguments=arguments, modalities=(0,)),),
        calibration=Calibration(temperatures=(1.0,)),
    )
    model.branches[:] = [branch]
    return Predictor(model, "cpu", backend="torch")


@pytest.mark.parametrize("kind", [".nrrd", ".nii.gz", "dicom"])
@pytest.mark.parametrize("name", list(GRIDS))
def test_an_object_stays_in_its_place(tmp_path, finder, name, kind):
    shape, affine = GRIDS[name]
    labels, picture = scene(shape, affine)
    if kind == "dicom":
        if np.linalg.det(affine[:3, :3]) < 0:
            # A series has no hand: its slices are sorted along the normal of rows and columns.
            affine, labels, picture = affine.copy(), labels[::-1], picture[::-1]
            affine[:3, 3] += affine[:3, 2] * (shape[0] - 1)
            affine[:3, 2] *= -1
        path = dicom.write_slices(tmp_path / "scan", picture, affine)
    else:
        path = write(tmp_path / f"scan{kind}", picture, affine)
    image = read_image([path])
    assert np.allclose(image.affine, LPS_TO_RAS @ affine, atol=1e-4)
    written = write_map(finder.predict(image).labels, path, tmp_path, "scan_labels")
    if kind != "dicom":
        assert_on_grid_of(path, written)
    found = read_labels(written, shape)
    place = LPS_TO_RAS @ read_image([written]).affine
    for value, (centre, _) in BALLS.items():
        mask, reference = found == value, labels == value
        assert 2 * (mask & reference).sum() / (mask.sum() + reference.sum()) > 0.85
        k, j, i = np.argwhere(mask).mean(axis=0)
        assert np.linalg.norm((place @ [i, j, k, 1])[:3] - centre) < 0.75


@pytest.mark.parametrize("name", list(GRIDS))
def test_image_and_labels_meet_on_the_networks_grid(name):
    """A ball lies at its own place there, in the image and in the label map alike: to a fraction of a voxel."""
    shape, affine = GRIDS[name]
    labels, _ = scene(shape, affine)
    spec = InputSpec(
        spatial_dims=3, modalities=("mr",), sampling="windows", size=(16, 16, 16), spacing=(1.5, 1.5, 1.5), clip=100
    )
    for value in BALLS:
        ball = (labels == value).astype(np.float32)
        centre = affine @ [*np.argwhere(ball).mean(axis=0)[::-1], 1]
        spacing = tuple(np.linalg.norm(affine[:3, :3], axis=0)[::-1])
        image = Image(ball[None], spacing, LPS_TO_RAS @ affine)
        grid = plan_grid(image, spec)
        view = NetworkView(image, grid, spec).whole()[0].numpy().astype(np.float64)
        view -= view.min()
        sets = labels_to_grid(np.where(labels == value, 2, 1), grid, 3).numpy() == 2
        places = np.indices(grid.shape)
        for weights, close in ((view, 0.05), (sets, 0.5)):
            mean = (places * weights).sum(axis=(1, 2, 3)) / weights.sum()
            stored = np.empty(3)
            for axis, (old, flip) in enumerate(zip(grid.axes, grid.flips, strict=True)):
                n, m = grid.turned[axis], grid.shape[axis]
                row = (mean[axis] + 0.5) * n / m - 0.5
                stored[old] = n - 1 - row if flip else row
            assert np.linalg.norm(affine @ [*stored[::-1], 1] - centre) < close


@pytest.mark.parametrize("thickness", [4.0, 7.0])
@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_a_single_slice_through_a_ball(tmp_path, finder, axes, thickness):
    """A 3D model takes one slice, whichever way it is cut, with the thickness that its file states."""
    shape, affine = around((1.2, 1.1, 1.0), axes=axes)
    centre, radius = BALLS[1]
    cut = round(float((np.linalg.inv(affine) @ [*centre, 1])[2]))
    labels, picture = (a[cut : cut + 1] for a in scene(shape, affine))
    affine = affine.copy()
    affine[:3, 3] += cut * affine[:3, 2]
    affine[:3, 2] *= thickness / np.linalg.norm(affine[:3, 2])
    path = write(tmp_path / "slice.nrrd", picture, affine)
    image = read_image([path])
    assert image.spatial_shape == labels.shape[1:]
    result = finder.predict(image)
    assert result.labels.shape == labels.shape[1:]
    written = write_map(result.labels, path, tmp_path, "slice_labels")
    assert_on_grid_of(path, written)
    mask, reference = read_labels(written) > 0, labels[0] > 0
    assert reference.sum() * np.prod(np.linalg.norm(affine[:3, :2], axis=0)) > 2.5 * radius**2
    j, i = np.argwhere(mask).mean(axis=0)
    at = (affine @ [i, j, 0, 1])[:3]
    assert np.linalg.norm(at - centre) < 1.5
    assert 2 * (mask & reference).sum() / (mask.sum() + reference.sum()) > 0.7


def test_a_picture_of_unknown_scale_is_no_slice_of_a_volume(finder):
    picture = Image(np.zeros((1, 32, 32), dtype=np.float32))
    with pytest.raises(SemiSegError, match="reads volumes"):
        finder.predict(picture)
    assert finder.predict(replace(picture, spacing=(1.0, 1.0))).labels.shape == (32, 32)


@pytest.mark.parametrize("length", [500.0, 0.001])
def test_a_spacing_in_another_unit_is_refused(finder, length):
    """It would be resampled to terabytes, or to a single voxel."""
    affine = np.diag([length, length, length, 1.0])
    volume = Image(np.zeros((1, 20, 40, 40), dtype=np.float32), (length,) * 3, affine)
    with pytest.raises(SemiSegError, match=f"{length:g} x {length:g} x {length:g} mm") as caught:
        finder.predict(volume)
    assert caught.value.code == "absurd-spacing"
