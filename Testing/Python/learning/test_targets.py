"""Set-valued targets: every form of incompleteness, the identities of their loss, and the projection."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.learning.targets import (
    Completeness,
    decided,
    every_class,
    informative,
    membership,
    possible_classes,
    project,
)
from SemiSegTrainerLib.learning.terms.supervised import set_cross_entropy, set_dice
from torch.nn.functional import cross_entropy, one_hot

ALL = 0b111
MAP = np.array([[0, 1, 2, 0]])


def cross_entropy_of(logits, sets):
    return set_cross_entropy(logits.log_softmax(dim=1), sets)


def dice_of(logits, sets):
    return set_dice(logits.softmax(dim=1), sets)


@pytest.mark.parametrize(
    ("labels", "told", "expected"),
    [
        (MAP, {}, [[0b001, 0b010, 0b100, 0b001]]),
        (MAP, {"complete": False}, [[ALL, 0b010, 0b100, ALL]]),
        (MAP, {"segments": (1,)}, [[0b101, 0b010, 0b100, 0b101]]),
        (MAP, {"segments": (2,)}, [[0b011, 0b010, 0b100, 0b011]]),
        (MAP, {"segments": (1, 2)}, [[0b001, 0b010, 0b100, 0b001]]),
        (MAP, {"segments": ()}, [[ALL, 0b010, 0b100, ALL]]),
        (MAP, {"complete": False, "segments": (1,)}, [[ALL, 0b010, 0b100, ALL]]),
        ([[0, 1, 3, 255]], {"complete": False, "background": 3, "ignore": 255}, [[ALL, 0b010, 0b001, ALL]]),
        ([[0, 1, 255, 0]], {"ignore": 255}, [[0b001, 0b010, ALL, 0b001]]),
        ([[0, 3, 255, 2]], {"segments": (1,), "background": 3, "ignore": 255}, [[0b101, 0b001, ALL, 0b100]]),
        ([[0, 0, 0, 0]], {}, [[1, 1, 1, 1]]),
        ([[[0, 1]], [[0, 1]], [[0, 0]]], {"slices": (1,)}, [[[ALL, 2]], [[1, 2]], [[ALL, ALL]]]),
        ([[[0, 3]], [[0, 1]]], {"slices": (1,), "background": 3}, [[[ALL, 1]], [[1, 2]]]),
        ([[[0, 1]], [[0, 1]]], {"slices": (0,), "segments": (2,)}, [[[0b011, 2]], [[ALL, 2]]]),
        ([[[0, 1]]], {"slices": ()}, [[[ALL, 2]]]),
        ([[0, 2**31]], {"ignore": 2**31}, [[1, ALL]]),
    ],
)
def test_every_form_of_completeness(labels, told, expected):
    sets = possible_classes(np.array(labels), 3, Completeness(**told))
    assert sets.dtype == np.int32
    assert sets.tolist() == expected


@pytest.mark.parametrize(
    ("labels", "told", "code"),
    [
        ([[0, 3]], {}, "unknown-label"),
        ([[0, -1]], {}, "unknown-label"),
        ([[0, 2**40]], {}, "unknown-label"),
        ([[0, 255]], {"background": 3}, "unknown-label"),
        ([[[0]], [[1]]], {"slices": (2,)}, "bad-slice"),
        ([[[0]], [[1]]], {"slices": (-1,)}, "bad-slice"),
        ([[0, 1]], {"slices": (0,)}, "bad-slice"),
    ],
)
def test_what_the_class_list_does_not_know_is_refused(labels, told, code):
    with pytest.raises(SemiSegError) as caught:
        possible_classes(np.array(labels), 3, Completeness(**told))
    assert caught.value.code == code


@pytest.mark.parametrize("values", [(7, 9), (5, 100_000), (1, 2)])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64])
def test_label_values_may_be_small_or_large(values, kind):
    if max(values) > np.iinfo(kind).max:
        pytest.skip("no such value in this kind")
    labels = np.array([[0, values[1]], [values[0], values[0]]], dtype=kind)
    expected = np.array([[1, 4], [2, 2]])
    for some, sets in ((labels, expected), (labels[1:], expected[1:])):
        assert np.array_equal(possible_classes(some, 3, Completeness(values=values)), sets)


def test_thirty_classes_fit_the_mask():
    sets = torch.from_numpy(possible_classes(np.array([[0, 30]]), 31))
    assert membership(sets, 31)[:, :, 1].nonzero().tolist() == [[0, 30]]
    assert bool(decided(sets).all())
    assert not bool(informative(torch.tensor([every_class(31)], dtype=torch.int32), 31).any())


@pytest.fixture
def logits():
    return torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.fixture
def labels():
    return torch.randint(0, 4, (2, 6, 5), generator=torch.Generator().manual_seed(1))


def test_sets_of_one_class_give_cross_entropy(logits, labels):
    loss, support = cross_entropy_of(logits, 1 << labels)
    assert support == labels.numel()
    assert torch.allclose(loss, cross_entropy(logits, labels))


def test_sets_of_every_class_are_ignored(logits, labels):
    unknown = torch.rand(labels.shape, generator=torch.Generator().manual_seed(2)) < 0.5
    sets = torch.where(unknown, every_class(4), 1 << labels)
    loss, support = cross_entropy_of(logits, sets)
    assert support == int((~unknown).sum())
    assert torch.allclose(loss, cross_entropy(logits, labels.masked_fill(unknown, -100), ignore_index=-100))
    (gradient,) = torch.autograd.grad(loss + dice_of(logits, sets), logits)
    assert not gradient.movedim(1, -1)[unknown].any()
    assert gradient.movedim(1, -1)[~unknown].any()


def test_unfinished_segments_give_the_marginal_loss(logits, labels):
    """Segments 2 and 3 unfinished: their probability and the background's count together."""
    painted = labels == 1
    sets = torch.where(painted, 2, 0b1101)
    p = logits.softmax(dim=1)
    merged = p[:, 0] + p[:, 2] + p[:, 3]
    expected = -torch.where(painted, p[:, 1], merged).log().mean()
    assert torch.allclose(cross_entropy_of(logits, sets)[0], expected)


def test_dice_on_decided_voxels_only(logits, labels):
    full = dice_of(logits, 1 << labels)
    p, y = logits.softmax(dim=1), one_hot(labels, 4).movedim(-1, 1)
    axes = (0, 2, 3)
    expected = (1 - 2 * (p * y).sum(axes) / (p + y).sum(axes)).mean()
    assert torch.allclose(full, expected, atol=1e-5)
    # A voxel that may be 0 or 2 is decided for classes 1 and 3: it must not be either.
    sets = torch.where(labels == 1, 2, 0b0101)
    (gradient,) = torch.autograd.grad(dice_of(logits, sets), logits)
    assert bool((gradient[:, 1][labels != 1] > 0).all()), "class 1 is pushed down where it is ruled out"
    pushed = torch.autograd.grad(dice_of(logits, torch.full_like(labels, 0b0101)), logits)[0]
    assert not pushed.any(), "without a member in the batch there is no Dice"


def test_nothing_known_is_an_exact_connected_zero(logits):
    sets = torch.full((2, 6, 5), every_class(4))
    loss, support = cross_entropy_of(logits, sets)
    total = loss + dice_of(logits, sets)
    assert support == 0
    assert total.item() == 0.0
    assert not torch.autograd.grad(total, logits)[0].any()


def test_certain_logits_stay_finite(labels):
    hard = torch.full((2, 4, 6, 5), -1e4)
    hard[:, 0] = 1e4
    hard.requires_grad_()
    for sets in (1 << labels, torch.full_like(labels, 0b1010)):
        loss = cross_entropy_of(hard, sets)[0] + dice_of(hard, sets)
        assert loss.isfinite()
        assert torch.autograd.grad(loss, hard)[0].isfinite().all()


def test_projection_never_gives_mass_outside_the_set():
    generator = torch.Generator().manual_seed(0)
    p = (8 * torch.randn(3, 5, 16, 16, generator=generator)).softmax(dim=1)
    sets = torch.randint(1, 32, (3, 16, 16), generator=generator)
    q = project(p, sets)
    allowed = membership(sets, 5)
    assert float(q[~allowed].abs().max()) == 0.0
    assert torch.allclose(q.sum(dim=1), torch.ones(3, 16, 16), atol=1e-5)
    assert torch.equal(q.argmax(dim=1) < 5, torch.ones(3, 16, 16, dtype=torch.bool))
    free = sets == 31
    assert torch.allclose(q.movedim(1, -1)[free], p.movedim(1, -1)[free], atol=1e-6)
    impossible = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert project(impossible, torch.full((1, 1, 1), 0b110)).flatten().tolist() == [0.0, 0.5, 0.5]


def test_a_smoothed_mask_is_called_one():
    """The edge of a mask that was enlarged linearly; to name its values would be no help."""
    ramp = np.arange(0, 256, 15)[None]
    with pytest.raises(SemiSegError, match="smoothed") as caught:
        possible_classes(ramp, 2, Completeness(values=(255,)))
    assert "Threshold" in caught.value.remedy
    with pytest.raises(SemiSegError, match="the value 15, 30"):
        possible_classes(ramp[:, :4], 2, Completeness(values=(255,)))
