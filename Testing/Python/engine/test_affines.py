"""Where voxels lie: arrays turned to the axes of another grid, and what counts as the same axes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from SemiSegCervicalLib.affines import same_axes, turned
from TrainingRig.dicom import oblique

WAYS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))
SHAPE = (3, 4, 5)


def places(array, affine):
    """Return where each voxel lies, by its value."""
    indices = np.argwhere(np.ones(array.shape))[:, ::-1]
    return dict(zip(array.ravel(), indices @ affine[:3, :3].T + affine[:3, 3], strict=True))


@pytest.mark.parametrize(("order", "signs"), WAYS, ids=str)
def test_every_voxel_stays_in_its_place_however_its_array_runs(order, signs):
    """Of axes that rounding in a header has tilted a little, as two writers of one oblique volume do."""
    own = oblique((2.0, 0.7, 0.5), seed=3)
    tilted = np.linalg.qr(np.eye(3) + 1e-3 * np.array([[0, -1, 2], [1, 0, -1], [-2, 1, 0]]))[0]
    tilted = tilted * np.sign(np.diag(tilted)) @ own[:3, :3]
    wanted = np.eye(4)
    wanted[:3, :3] = tilted[:, order] * signs
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    found = turned(array, own, wanted)
    assert found is not None
    view, affine = found
    assert same_axes(affine, wanted)
    before, after = places(array, own), places(view, affine)
    np.testing.assert_allclose([after[k] for k in before], list(before.values()), atol=1e-9)


def test_oblique_axes_between_two_are_turned_to_neither():
    wanted = np.eye(4)
    wanted[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    own = np.diag([1.0, 1.0, 2.0, 1.0])
    own[:3, 3] = 5.0
    assert turned(np.zeros(SHAPE), own, wanted) is None


@pytest.mark.parametrize("thick", range(3))
def test_axes_are_the_same_by_the_length_of_each(thick):
    """A difference that is nothing along thick slices is one within a slice."""
    lengths = np.full(3, 0.5)
    lengths[thick] = 5.0
    grid = np.eye(4)
    grid[:3, :3] = np.eye(3)[:, [1, 2, 0]] * lengths
    for axis in range(3):
        other = grid.copy()
        other[:3, axis] *= 1 + 0.02 / lengths[axis]
        assert same_axes(other, grid) == (axis == thick)
