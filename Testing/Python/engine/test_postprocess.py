"""Cleaning of label maps: only what is asked for, and never another class's voxels."""

from __future__ import annotations

import numpy as np
import pytest
from SemiSegCervicalLib.engine.postprocess import clean
from SemiSegCervicalLib.engine.schema import PostProcess

LARGEST = PostProcess(largest_component=True)
FILL = PostProcess(fill_holes=True)
BOTH = PostProcess(largest_component=True, fill_holes=True)


def picture(*rows):
    return np.array([[int(c) for c in row.replace(".", "0")] for row in rows], dtype=np.uint8)


def cube(side=9):
    """A hollow cube of class 1 whose hole holds one voxel of class 2; a stray voxel of class 1."""
    labels = np.zeros((side + 3,) * 3, dtype=np.uint8)
    labels[1:side, 1:side, 1:side] = 1
    labels[3:6, 3:6, 3:6] = 0
    labels[4, 4, 4] = 2
    labels[-1, -1, -1] = 1
    return labels


def test_off_by_default():
    labels = cube()
    assert clean(labels, PostProcess()) is labels


def test_largest_component_of_each_class():
    labels = picture(
        "11..2",
        "11...",
        "...22",
        "1..22",
        "....1",
    )
    expected = picture(
        "11...",
        "11...",
        "...22",
        "...22",
        ".....",
    )
    before = labels.copy()
    assert np.array_equal(clean(labels, LARGEST), expected)
    assert np.array_equal(labels, before), "the input is not changed"


def test_corners_hold_a_component_together():
    chain = np.eye(5, dtype=np.uint8)
    assert np.array_equal(clean(chain, LARGEST), chain)
    chain[2, 2] = 0
    assert clean(chain, LARGEST).sum() == 2
    assert clean(chain, LARGEST)[0, 0] == 1, "of equal ones the first stays"


def test_holes_are_background_that_one_class_encloses():
    labels = picture(
        "111111.",
        "1....1.",
        "1.22.1.",
        "1.22.1.",
        "1....1.",
        "111111.",
        "......3",
        ".33333.",
        ".3...3.",
        ".3....3",
    )
    filled = clean(labels, FILL)
    assert np.array_equal(filled[:6], picture("111111.", "111111.", "112211.", "112211.", "111111.", "111111."))
    assert np.array_equal(filled[6:], labels[6:]), "what is open is no hole"


def test_innermost_class_takes_what_two_enclose():
    labels = np.zeros((11, 11), dtype=np.uint8)
    for value, first in ((1, 0), (2, 2), (3, 4)):
        labels[first : 11 - first, first : 11 - first] = value
        labels[first + 1 : 10 - first, first + 1 : 10 - first] = 0
    filled = clean(labels, FILL)
    for value, first, last in ((1, 0, 2), (2, 2, 4), (3, 4, 6)):
        assert (filled[first:last, 5] == value).all()
    assert np.array_equal(clean(np.where(labels, 4 - labels, 0), FILL), 4 - filled), "whatever the values are"


def test_background_leaves_through_faces_only():
    labels = picture("1111", "1.1.", "1111")
    labels[0, 3] = 0
    assert clean(labels, FILL)[1, 1] == 1
    diagonal = picture(".111", "1..1", "1111")
    assert (clean(diagonal, FILL)[1, 1:3] == 1).all()


def test_volumes():
    labels = cube()
    result = clean(labels, BOTH)
    assert result[4, 4, 4] == 2
    assert result[-1, -1, -1] == 0
    assert (result == 1).sum() == 8**3 - 1
    assert result.dtype == labels.dtype
    assert clean(labels, LARGEST)[3, 3, 3] == 0
    assert clean(labels, FILL)[-1, -1, -1] == 1
    open_at_border = labels[4:]
    assert np.array_equal(clean(open_at_border, FILL), open_at_border)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_of_one_slice_is_an_image(axis):
    ring = picture(".....", ".111.", ".1.1.", ".111.", ".....")
    labels = np.expand_dims(ring, axis)
    filled = clean(labels, FILL)
    assert filled.shape == labels.shape
    assert filled.sum() == 9


def test_other_class_that_cuts_a_hole_open_stays():
    rng = np.random.default_rng(0)
    for shape in ((30, 30), (12, 12, 12)):
        labels = rng.integers(0, 4, shape).astype(np.uint8)
        filled, largest = clean(labels, FILL), clean(labels, LARGEST)
        assert np.array_equal(filled[labels > 0], labels[labels > 0])
        assert np.array_equal(largest[largest > 0], labels[largest > 0])
        assert set(np.unique(filled)) <= {0, 1, 2, 3}


def test_nothing_there():
    for shape in ((1, 1), (5, 5), (1, 1, 1), (3, 4, 5)):
        empty = np.zeros(shape, dtype=np.uint8)
        assert np.array_equal(clean(empty, BOTH), empty)
