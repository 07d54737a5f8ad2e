"""Patches of large cases: what they hold, however little is annotated."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from SemiSegCervicalLib.engine.grid import nearest_sets
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.learning import preparation
from SemiSegTrainerLib.learning.data import TrainingData, load_training_data
from SemiSegTrainerLib.learning.datalist import read_datalist
from SemiSegTrainerLib.learning.method import get_method
from SemiSegTrainerLib.learning.patches import cut, cut_sizes, draw_block, remember
from SemiSegTrainerLib.learning.planning import WINDOW_CPU, dual_3d, plan_input
from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.run import train_model
from SemiSegTrainerLib.learning.targets import every_class, informative
from SemiSegTrainerLib.learning.training import Settings
from SemiSegTrainerLib.learning.views import ViewPlan
from TrainingRig import cases
from TrainingRig.card import CARD, Card

pytestmark = pytest.mark.torch
SHAPE = (40, 44, 52)


def ball(seed=0, shape=SHAPE):
    """A bright ball (1) and a dark one (2) in noise."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.mgrid[tuple(slice(n) for n in shape)], axis=-1)
    labels = np.zeros(shape, dtype=np.uint8)
    for value, x in ((1, 0.3), (2, 0.7)):
        centre = np.array(shape) * (0.5, 0.5, x) + rng.uniform(-3, 3, 3)
        labels[np.linalg.norm(grid - centre, axis=-1) < 8] = value
    return (np.array([110.0, 200.0, 40.0])[labels] + rng.normal(0, 12, shape)).astype(np.float32), labels


def write(folder, labelled=2, unlabelled=1, test=1, spacing=(1.0, 1.0, 1.0), **entry):
    """Write volumes with a datalist; `entry` tells how complete the labels are."""
    lists = {"training": [], "unlabeled": [], "test": []}
    for name, count in (("training", labelled), ("unlabeled", unlabelled), ("test", test)):
        for i in range(count):
            picture, labels = ball(10 * len(lists) + i + (100 if name == "test" else 0))
            row = {"image": f"{name}{i}.nrrd"}
            for array, file in ((picture, row["image"]), (labels, f"{name}{i}_label.nrrd")):
                image = sitk.GetImageFromArray(array)
                image.SetSpacing(spacing[::-1])
                sitk.WriteImage(image, str(folder / file), True)
            if name != "unlabeled":
                row["label"] = f"{name}{i}_label.nrrd"
            lists[name].append({**row, **(entry if name == "training" else {})})
    content = {"modality": {"0": "mr"}, "labels": cases.LABELS, **lists}
    return cases.write_datalist(folder, content)


@pytest.mark.parametrize("slices", [None, (19,), (3, 11, 19, 27)])
def test_labelled_patches_always_hold_decided_voxels(tmp_path, slices):
    """Also after the warp, also on a grid half as fine, also when one slice in forty is annotated."""
    told = {} if slices is None else {"slices": list(slices)}
    datalist = read_datalist(write(tmp_path, **told))
    spec = plan_input(datalist, (16, 16, 16), (2.0, 2.0, 2.0), gpu=False)
    data = load_training_data(datalist, spec)
    assert [tuple(i.shape) for i in data.images] == [(1, 20, 22, 26)] * 3
    assert data.annotated == (0, 1)
    assert data.spacing == (2.0, 2.0, 2.0)
    assert data.open == ((2,) if slices is None else (0, 1, 2))
    plan = ViewPlan.usual(3)
    method = dataclasses.replace(get_method("cross_supervision"))
    shares = []
    for iteration in range(40):
        views = plan.build(data, 3, method, iteration, 0)
        for name, view in views.items():
            assert view.images.shape == (2, 1, 16, 16, 16)
            assert view.possible.shape == view.inside.shape == (2, 16, 16, 16)
            assert bool(view.inside.flatten(1).any(dim=1).all())
            if name == "labelled":
                known = informative(view.possible, 3) & view.inside
                assert bool(known.flatten(1).any(dim=1).all()), "a patch without any annotation teaches nothing"
                shares.append(float(known.float().mean()))
    if slices is not None:
        assert np.mean(shares) < 0.5, "what lies between annotated slices stays unknown"


def test_places_and_blocks():
    sets = torch.full((20, 30, 30), every_class(3), dtype=torch.int32)
    sets[4, 5, 6] = 2
    sets[4, 5, 7:20] = 1
    places = remember(sets, 3, 0)
    assert places["class-1"].tolist() == [4 * 900 + 5 * 30 + 6]
    assert len(places["labelled"]) == 14
    assert "class-2" not in places
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        block = draw_block(places, (20, 30, 30), (16, 16, 16), (20, 20, 20), "labelled", generator)
        part = cut(sets, block)
        assert part.shape == (20, 20, 20)
        middle = part[(slice(2, -2),) * 3]
        assert bool((informative(middle, 3) & (middle != 0)).any())
    block = draw_block(places, (20, 30, 30), (32, 16, 16), (42, 20, 20), "labelled", generator)
    assert cut(sets, block).shape == (42, 20, 20), "a thin volume is filled up"


@pytest.mark.parametrize(
    ("patch", "spacing", "sides"),
    [
        ((64, 64, 64), None, (84, 84, 84)),
        ((40, 56, 56), (1.25, 1.25, 1.25), (52, 72, 72)),
        ((80, 112, 112), None, (104, 146, 146)),
        ((16, 96, 96), (6.0, 1.0, 1.0), (20, 124, 124)),
        ((16, 96, 96), None, (34, 124, 124)),
        ((24, 96, 96), (1.0, 1.0, 1.0), (42, 124, 124)),
        ((96, 24, 24), None, (124, 42, 42)),
        ((16, 96, 96), (3.0, 1.0, 1.0), (22, 124, 124)),
    ],
)
def test_patches_are_full_however_flat(patch, spacing, sides):
    """In the middle of a large volume a patch shows voxels of it nearly everywhere; flat ones need more of it."""
    plan = ViewPlan.usual(3)
    assert cut_sizes(patch, plan.geometry.rotation, spacing) == sides
    shape = tuple(2 * n for n in sides)
    middle = int(np.ravel_multi_index(sides, shape))
    places = {"unlabelled": torch.tensor([middle])}
    data = TrainingData(
        (torch.ones(1, *shape),), (torch.full(shape, 3, dtype=torch.int32),), (), (0,), "none", patch,
        (places,), spacing=spacing,
    )  # fmt: skip
    blank = [
        float((~plan._warped(data, [0] * 4, 2, iteration, 0, "unlabelled").inside).float().mean())
        for iteration in range(6)
    ]
    assert np.mean(blank) < 0.01


@pytest.mark.parametrize("step", [2, 3, 8])
@pytest.mark.parametrize("first", [0, 1])
def test_coarser_grids_lose_no_annotated_slice(step, first):
    unknown = every_class(2)
    sets = np.full((24, 6, 6), unknown, dtype=np.int32)
    sets[first::step] = 1
    coarse = nearest_sets(sets, (12, 6, 6), unknown)
    kept = (coarse[:, 0, 0] == 1).sum()
    assert int(kept) == min(12, len(range(first, 24, step)))
    assert bool((nearest_sets(sets, (12, 3, 3), unknown)[:, 0, 0] == coarse[:, 0, 0]).all())
    assert torch.equal(nearest_sets(sets, (24, 6, 6), unknown), torch.from_numpy(sets))


@pytest.mark.parametrize("spacing", [(2.0, 1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 1.0, 2.0), (2.0, 2.0, 1.0)])
def test_volumes_are_learned_from_whichever_axes_are_resampled(tmp_path, spacing):
    """Most often only the slices are thicker or thinner than the model's voxels."""
    datalist = read_datalist(write(tmp_path, spacing=spacing))
    spec = plan_input(datalist, (16, 16, 16), (1.0, 1.0, 1.0), gpu=False)
    data = load_training_data(datalist, spec)
    shape = tuple(round(n * s) for n, s in zip(SHAPE, spacing, strict=True))
    for image, sets in zip(data.images, data.possible, strict=True):
        assert image.shape == (1, *shape)
        assert sets.shape == shape
    bright, dark = (data.images[0][0][data.possible[0] == 1 << c].mean() for c in (1, 2))
    assert bright > 2 > -1 > dark


def test_a_model_of_volumes_is_planned_by_what_is_annotated(tmp_path):
    datalist = read_datalist(write(tmp_path, spacing=(2.0, 0.5, 0.5)))
    spec = plan_input(datalist, None, None, gpu=False)
    assert spec.sampling == "windows"
    assert spec.spacing == (2.0, 0.5, 0.5), "balls of 13 voxels are small already"
    assert np.prod(spec.size) <= 1.5 * WINDOW_CPU
    for size in (spec.size, (64, 64, 64), (80, 112, 112), (40, 56, 56), (16, 16, 16)):
        for branch in parts_of(dual_3d(size)):
            assert branch.takes(size)


@pytest.mark.parametrize("volumes", [True, False])
def test_a_card_that_lacks_an_operation_does_not_train_the_models_that_need_it(tmp_path, monkeypatch, volumes):
    monkeypatch.setattr(preparation, "resolve_device", lambda name: torch.device("cpu") if name == "cpu" else CARD)
    datalist = write(tmp_path)
    with Card(volumes):
        run = preparation.prepare(datalist, RunOptions("supervised", device="auto"))
        assert run.device == (CARD if volumes else torch.device("cpu"))
        assert run.spec == plan_input(run.datalist, None, None, gpu=volumes)
        if not volumes:
            with pytest.raises(SemiSegError, match="not supported on MPS") as caught:
                preparation.prepare(datalist, RunOptions("supervised", device="mps"))
            assert caught.value.code == "device-error"


def test_a_card_that_gives_other_numbers_than_the_processor_does_not_train(tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "resolve_device", lambda name: torch.device("cpu") if name == "cpu" else CARD)
    monkeypatch.setattr(preparation, "UNSURE_DEVICES", (CARD.type,))
    datalist = write(tmp_path)
    with Card(wrong=1.0):
        assert preparation.prepare(datalist, RunOptions("supervised", device="auto")).device == torch.device("cpu")
        with pytest.raises(SemiSegError, match="wrong numbers"):
            preparation.prepare(datalist, RunOptions("supervised", device="mps"))


def parts_of(pair):
    from SemiSegCervicalLib.engine.branch import Branch

    return [Branch(name, arguments, 1, 2, 3) for name, arguments in pair]


def test_volumes_are_learned_from_a_few_slices(tmp_path):
    """A tiny pair, a few seconds, four annotated slices a volume: the balls of an unseen volume are found."""
    datalist = write(tmp_path, slices=[12, 17, 22, 27])
    tiny = (("unet", {"channels": (8, 16, 32)}), ("residual_unet", {"channels": (8, 12, 16)}))
    options = RunOptions(
        "supervised", Settings(iterations=60, precision="32-true"), "cpu",
        size=(16, 24, 24), spacing=(2.0, 2.0, 2.0), branches=tiny, name="balls", calibrate="none",
    )  # fmt: skip
    summary = train_model(datalist, tmp_path / "out", options)
    pack = load_pack(tmp_path / "out" / "model.semiseg")
    assert pack.manifest.input.spacing == (2.0, 2.0, 2.0)
    assert (summary["unlabelled"], summary["not_learned_from"]) == (0, 1)
    picture, labels = ball(1000)
    found = Predictor(pack, "cpu").predict(Image(picture[None], (1.0, 1.0, 1.0), np.diag([-1.0, -1, 1, 1])))
    for value in (1, 2):
        overlap = 2 * ((found.labels == value) & (labels == value)).sum()
        assert overlap / ((found.labels == value).sum() + (labels == value).sum()) > 0.8
