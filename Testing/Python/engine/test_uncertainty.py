"""Uncertainty: bounds, refusal of what is no probability, the split, and the effect of the temperature."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.result import Result, vote
from SemiSegCervicalLib.engine.schema import PostProcess
from SemiSegCervicalLib.engine.uncertainty import entropy, expected_dice_from_sums, sharpen
from TrainingRig import parts


def probabilities(classes: int, seed: int = 0, sharpness: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (sharpness * torch.randn(2, classes, 5, 7, generator=generator)).softmax(dim=1)


def voted(*maps: torch.Tensor) -> Result:
    """Let branches vote that give these probabilities; of their first image."""
    fields = vote([p.clamp_min(1e-30).log() for p in maps], (1.0,) * len(maps))[0]
    result = Result(tuple(fields.shape[1:]), maps[0].shape[1], len(maps), False)
    result.add(fields)
    return result


def expected_dice(p: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """Return the Dice that probabilities ``(C, *spatial)`` expect of labels."""
    drawn = [labels == c for c in range(len(p))]
    own = np.array([float(p[c][mask].double().sum()) for c, mask in enumerate(drawn)])
    return expected_dice_from_sums(own, p.double().flatten(1).sum(1).numpy(), np.array([int(m.sum()) for m in drawn]))


@pytest.mark.parametrize(
    "wrong",
    [
        torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1)),  # logits
        torch.full((1, 3, 4, 4), 0.5),
        torch.tensor([1.5, -0.5, 0.0]).view(1, 3, 1, 1),
        torch.full((1, 3, 4, 4), torch.nan),
    ],
)
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(ValueError, match="probabilities"):
        entropy(wrong)


@pytest.mark.parametrize("classes", [2, 3, 7, 31])
def test_bounds_hold_for_any_number_of_classes(classes):
    for maps in ([probabilities(classes)], [probabilities(classes, s, 30.0) for s in range(3)]):
        result = voted(*maps)
        for u in (result.uncertainty, result.disagreement):
            if u is not None:
                assert 0 <= u.min() <= u.max() <= 1
    even = torch.full((1, classes, 2, 2), 1 / classes)
    assert torch.allclose(entropy(even), torch.ones(1, 2, 2), atol=1e-5)
    assert float(entropy(torch.eye(classes)[:1].view(1, classes, 1, 1))) == 0.0


def test_disagreement_is_the_part_that_the_branches_do_not_share():
    p = probabilities(3)
    assert voted(p).disagreement is None, "one vote cannot differ"
    both = voted(p, p)
    assert both.disagreement.max() < 1e-6
    assert np.allclose(both.uncertainty, entropy(p)[0], atol=1e-6)
    contrary = voted(*torch.eye(2).view(2, 1, 2, 1, 1))  # two certain branches that contradict each other
    assert np.allclose(contrary.uncertainty, contrary.disagreement)
    assert float(contrary.uncertainty[0, 0]) == pytest.approx(1.0)


def test_expected_dice():
    p = torch.zeros(3, 4, 4)
    p[0] = 1.0
    p[:2, :2] = torch.tensor([0.2, 0.8]).view(2, 1, 1)
    figures = expected_dice(p, p.argmax(dim=0))
    assert float(figures[1]) == pytest.approx(2 * 8 * 0.8 / (8 * 0.8 + 8))
    assert np.isnan(figures[2]), "a class that is nowhere has no Dice"


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("sharpness", [1.0, 1.5])
def test_dice_is_expected_of_the_labels_that_are_shown(classes, sharpness):
    """A model that removes stray pieces and fills holes would else expect more than 1 of what is left."""
    p = probabilities(classes)[:1].repeat_interleave(3, 2).repeat_interleave(3, 3)
    p[0, :, 0:9, 0:9] = torch.tensor([0.05 / (classes - 1)] * classes).view(-1, 1, 1)
    p[0, 1, 0:9, 0:9] = 0.95
    p[0, :2, 4, 4] = p[0, :2, 4, 4].flip(0)
    wish = PostProcess(largest_component=True, fill_holes=True)
    result = Result(tuple(p.shape[2:]), classes, 1, False, sharpness, wish)
    result.add(p[0])
    result.clean()
    assert result.labels[4, 4] == 1
    found = expected_dice_from_sums(result.chosen, result.expected, result.counts)
    wanted = expected_dice(sharpen(p[0], sharpness), torch.from_numpy(result.labels))
    assert np.nanmax(found) <= 1
    assert np.allclose(found[1:], wanted[1:], atol=1e-5 if classes == 2 else 1e-2)


def test_temperature_changes_uncertainty_and_not_the_labels_of_one_branch():
    image = Image(np.random.default_rng(0).normal(size=(1, 32, 48)).astype(np.float32))
    cold, warm = (Predictor(parts.pack(1, temperature=t), "cpu").predict(image) for t in (0.5, 5.0))
    assert np.array_equal(cold.labels, warm.labels)
    assert warm.uncertainty.mean() > cold.uncertainty.mean() + 0.05


def test_sharpened_probabilities():
    p = probabilities(3)
    assert sharpen(p, 1.0, dim=1) is p
    assert torch.allclose(sharpen(p, 2.0, dim=1).sum(dim=1), torch.ones(2, 5, 7))
    logits = torch.randn(1, 4, 3, 3, generator=torch.Generator().manual_seed(2))
    cold, warm = (logits / t for t in (0.5, 1.0))
    assert torch.allclose(sharpen(warm.softmax(1), 2.0, dim=1), cold.softmax(1), atol=1e-6), "undoes a temperature"


def test_a_pack_says_by_which_sharpness_dice_is_predicted():
    image = Image(np.random.default_rng(0).normal(size=(1, 32, 48)).astype(np.float32))
    pack = parts.pack(1, temperature=3.0)
    dull = Predictor(pack, "cpu", backend="torch").predict(image, probabilities=True)
    sharp_calibration = pack.manifest.calibration.model_copy(update={"sharpness": 4.0})
    pack.manifest = pack.manifest.model_copy(update={"calibration": sharp_calibration})
    sharp = Predictor(pack, "cpu", backend="torch").predict(image, probabilities=True)
    assert np.array_equal(dull.labels, sharp.labels)
    assert np.array_equal(dull.uncertainty, sharp.uncertainty)
    expected = expected_dice(
        sharpen(torch.from_numpy(sharp.probabilities), 4.0), torch.from_numpy(sharp.labels.astype(np.int64))
    )
    for segment in sharp.segments:
        if segment.predicted_dice is not None:
            assert segment.predicted_dice == pytest.approx(float(expected[segment.value]), abs=1e-4)
    assert [s.predicted_dice for s in sharp.segments] != [s.predicted_dice for s in dull.segments]
