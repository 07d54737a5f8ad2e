"""Views: they differ, their targets follow their geometry, and they depend on seed and iteration alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from SemiSegTrainerLib.learning.augment import Draw, Geometry, Intensity, voxel_lengths, warp, warp_grid
from SemiSegTrainerLib.learning.data import TrainingData, draw_cases
from SemiSegTrainerLib.learning.method import get_method
from SemiSegTrainerLib.learning.seeds import mix_seed
from SemiSegTrainerLib.learning.targets import every_class
from SemiSegTrainerLib.learning.views import ViewPlan
from torch.nn.functional import affine_grid
from TrainingRig import cases, parts
from TrainingRig.card import CARD, Card

NOTHING = every_class(3)
QUIET = Intensity(chance=0.0)


@pytest.fixture(scope="module")
def identity():
    """Cases whose image says the class of every voxel: 1, 2 and 4, partly undecided in what is known."""
    labels = np.stack([cases.draw(seed, (64, 96))[1] for seed in range(4)])
    images = torch.from_numpy(np.array([1.0, 2.0, 4.0], dtype=np.float32)[labels])[:, None]
    possible = images[:, 0].to(torch.int32)
    return TrainingData(images, possible, (0, 1, 2, 3), (0, 1, 2, 3), "none")


def build(data, iteration=0, seed=0, mix=0.0, **plan):
    seen = ("labelled", "strong", "strong-2", "mixed")
    method = dataclasses.replace(get_method("cross_supervision"), student_views=seen, cut_mix=mix)
    return ViewPlan(**plan).build(data, parts.CLASSES, method, iteration, seed)


@pytest.mark.parametrize("mix", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_targets_follow_the_geometry(identity, seed, mix):
    geometry = Geometry(rotation=30, scale=1.5, shift=0.2, shear=0.2, flips=(-1, -2), elastic=0.03)
    views = build(identity, 5, seed, mix, geometry=geometry, intensity=QUIET, weak=QUIET, strong=QUIET)
    assert set(views) == {"labelled", "weak", "strong", "strong-2", "mixed"}
    for name in ("strong", "strong-2"):
        assert (views[name].mixing is not None) == bool(mix)
    for view in views.values():
        value = view.images[:, 0]
        pure = (value - value.round()).abs() < 1e-4  # interpolated voxels lie between two classes
        told = view.inside & pure & (value > 0.5)
        assert float(told.float().mean()) > 0.3
        assert float((value.round() == view.possible)[told].float().mean()) > 0.99
        assert bool((view.possible[~view.inside] == NOTHING).all())
        assert set(view.possible.unique().tolist()) <= {1, 2, 4, NOTHING}


def test_weak_and_strong_share_geometry_and_differ_in_looks(identity):
    speckled = dataclasses.replace(
        identity, images=identity.images + 0.1 * torch.randn(identity.images.shape, generator=torch.Generator())
    )
    views = build(speckled, 1)
    weak, strong, labelled = views["weak"], views["strong"], views["labelled"]
    assert torch.equal(weak.possible, strong.possible)
    assert torch.equal(weak.cases, strong.cases)
    changed = (weak.images - strong.images).abs().flatten(1).mean(dim=1)
    assert bool((changed > 0.05).any())
    assert not torch.equal(labelled.images, weak.images)
    second = views["strong-2"]
    assert torch.equal(second.possible, strong.possible)
    assert not torch.equal(second.images, strong.images), "two strong streams differ"
    other = build(speckled, 2)
    assert not torch.equal(other["weak"].possible, weak.possible), "every iteration sees something else"


def test_mixed_view_keeps_each_voxel_with_its_source(identity):
    rows = dataclasses.replace(identity, images=torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 64, 96).clone())
    still = Geometry(rotation=0, scale=1.0, shift=0, shear=0, elastic=0)
    view = build(rows, 0, 0, 1.0, geometry=still, strong=QUIET, weak=QUIET)["strong"]
    case = view.cases.view(-1, 1, 1).expand_as(view.possible)
    assert torch.allclose(view.images[:, 0], view.mixed(case).float(), atol=1e-4)
    assert torch.equal(view.possible, view.mixed(identity.possible[view.cases]))
    assert bool(view.mixing.mask.any())
    assert not bool(view.mixing.mask.all())


def test_pasted_rows_show_a_box_of_each_other(identity):
    """Every row is a labelled image with a box of 2/3 of each side of an unlabelled one in it, or the reverse."""
    rows = dataclasses.replace(
        identity,
        images=torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 64, 96).clone(),
        possible=torch.where(torch.arange(4).view(4, 1, 1) < 2, identity.possible, NOTHING).to(torch.int32),
        annotated=(0, 1),
        open=(2, 3),
    )
    still = Geometry(rotation=0, scale=1.0, shift=0, shear=0, elastic=0)
    for iteration, plan in enumerate([{}, {"labelled": 3, "unlabelled": 2}, {"labelled": 1, "unlabelled": 4}]):
        views = build(rows, iteration, geometry=still, intensity=QUIET, weak=QUIET, **plan)
        mixed, labelled, weak = views["mixed"], views["labelled"], views["weak"]
        count = max(len(labelled.images), len(weak.images))
        assert len(mixed.images) == len(mixed.cases) == 2 * count
        source = mixed.images[:, 0].round()
        other = source >= 2  # an unlabelled case
        for row in range(2 * count):
            box = other[row] if row < count else ~other[row]
            sides = torch.tensor([int(box.any(dim=1 - axis).sum()) for axis in (0, 1)])
            assert int(box.sum()) == int(sides.prod()), "a box"
            assert (sides / torch.tensor([64, 96]) - 2 / 3).abs().max() < 0.02
            pair = (labelled.cases[mixed.mixing.labelled[row]], weak.cases[mixed.mixing.unlabelled[row]])
            assert set(source[row].unique().tolist()) == set(map(float, pair))
            assert mixed.cases[row] == pair[row >= count]
        assert bool((mixed.possible[other] == NOTHING).all()), "unlabelled voxels stay undecided"
        places = torch.meshgrid(torch.arange(64), torch.arange(96), indexing="ij")
        assert torch.equal(mixed.possible, rows.possible[(source.long(), *places)])
        told = mixed.mixed(weak.cases.view(-1, 1, 1).expand_as(weak.possible))
        assert torch.equal(told[other].float(), source[other]), "targets go where their voxels went"
        assert not told[~other].any(), "and nowhere else"


def test_views_are_a_function_of_seed_and_iteration(identity):
    a = build(identity, 3, 7)
    torch.rand(100)
    b = build(identity, 3, 7)
    for name, view in a.items():
        assert torch.equal(view.images, b[name].images)
        assert torch.equal(view.possible, b[name].possible)
    assert not torch.equal(a["labelled"].images, build(identity, 3, 8)["labelled"].images)


@pytest.mark.parametrize("dims", [2, 3])
def test_warp_by_a_mirror_is_a_mirror(dims):
    size = (6, 8, 10)[-dims:]
    images = torch.rand(1, 1, *size)
    sets = torch.randint(1, 8, (1, *size), dtype=torch.int32)
    for nothing in (7, 2**31 - 1):  # many classes do not fit one float
        matrix = torch.eye(dims, dims + 1)[None].clone()
        matrix[0, 0, 0] = -1  # grid_sample counts the last array axis first
        grid = affine_grid(matrix, [1, 1, *size], align_corners=False)
        moved, possible, inside = warp(images, sets, grid, nothing)
        assert torch.allclose(moved, images.flip(-1), atol=1e-5)
        assert torch.equal(possible, sets.flip(-1))
        assert bool(inside.all())


@pytest.mark.parametrize("classes", [3, 31])
def test_devices_without_float64_warp_too(classes):
    sets = torch.ones(1, 4, 8, dtype=torch.int32)
    with Card() as card:
        moved = warp(
            torch.ones(1, 1, 4, 8, device=CARD),
            sets.to(CARD),
            torch.zeros(1, 4, 8, 2, device=CARD),
            every_class(classes),
        )
    assert card.computed
    assert [part.device for part in moved] == [CARD] * 3


def test_warp_marks_what_lies_beyond_the_image_as_unknown():
    matrix = torch.tensor([[[1.0, 0, 1.0], [0, 1, 0]]])  # half a width to the right
    grid = affine_grid(matrix, [1, 1, 4, 8], align_corners=False)
    sets = torch.full((1, 4, 8), 2, dtype=torch.int32)
    sets[:, 0] = 0  # padding
    _, possible, inside = warp(torch.ones(1, 1, 4, 8), sets, grid, NOTHING)
    assert bool((possible[:, 1:, :4] == 2).all())
    assert bool((possible[:, :, 4:] == NOTHING).all())
    assert bool((possible[:, 0] == NOTHING).all())
    assert not inside[:, 0].any()
    assert not inside[:, :, 4:].any()


@pytest.mark.parametrize(
    ("size", "spacing"),
    [
        ((64, 64), None),
        ((32, 96), None),
        ((16, 24, 32), None),
        ((16, 24, 32), (1.25,) * 3),
        ((8, 24, 32), (5, 0.7, 0.9)),
    ],
)
def test_warp_turns_without_distortion(size, spacing):
    """A pure rotation keeps lengths, on grids that are not square and where slices are thick, too."""
    geometry = Geometry(rotation=40, scale=1.0, shift=0, shear=0, elastic=0)
    grid = warp_grid(Draw(torch.Generator().manual_seed(0), 3, torch.device("cpu")), size, geometry, spacing)
    steps = spacing or (1.0,) * len(size)
    positions = grid * torch.tensor([n * step / 2 for n, step in zip(reversed(size), reversed(steps), strict=True)])
    for axis, step in enumerate(steps, start=1):
        assert torch.allclose(positions.diff(dim=axis).norm(dim=-1), torch.tensor(float(step)), rtol=1e-3)


@pytest.mark.parametrize(
    ("size", "spacing", "lengths"),
    [
        ((64, 64), None, (1, 1)),
        ((96, 320), (0.5, 0.25), (2, 1)),
        ((16, 64, 64), None, (1, 1, 1)),
        ((16, 64, 64), (5, 1, 1), (5, 1, 1)),
        ((16, 64, 64), (1, 2, 2), (1, 1, 1)),
        ((40, 56, 56), (1, 2, 2), (1, 2, 2)),
        ((64, 64, 16), (0.9, 0.9, 0.3), (1, 1, 1)),
    ],
)
def test_slices_of_a_flat_window_are_no_thinner_than_its_pixels(size, spacing, lengths):
    """Else it would be turned far beyond itself."""
    assert voxel_lengths(size, spacing) == pytest.approx(lengths)


def test_where_voxels_are_cubes_a_warp_is_what_it_is_without_their_size():
    drawn = [
        warp_grid(Draw(torch.Generator().manual_seed(1), 2, torch.device("cpu")), (12, 16, 16), Geometry(), spacing)
        for spacing in (None, (0.625,) * 3)
    ]
    assert torch.equal(*drawn)


def test_draws_pass_through_the_pool():
    pool = (3, 5, 8, 9, 11)
    drawn = [c for i in range(10) for c in draw_cases(pool, 2, i, 0, "a")]
    for turn in range(4):
        assert sorted(drawn[5 * turn : 5 * turn + 5]) == list(pool)
    assert drawn != [c for i in range(10) for c in draw_cases(pool, 2, i, 0, "b")]
    assert draw_cases(pool, 2, 7, 0, "a") == drawn[14:16]
    assert len(draw_cases((4,), 3, 0, 0, "a")) == 3


def test_seeds_are_independent():
    seeds = {mix_seed(a, b, c) for a in range(5) for b in range(5) for c in ("x", "y")}
    assert len(seeds) == 50
    assert mix_seed(1, 23) != mix_seed(12, 3)
    assert all(0 <= s < 2**63 for s in seeds)
