"""Trust: figures of known distributions, the band of a known shape, and histograms against exact statistics."""

from __future__ import annotations

import numpy as np
import pytest
from Benchmarks._trust import Detection, Reliability, ace, examine, interval, rank_correlation
from scipy import stats
from SemiSegTrainerLib.learning.bands import boundary_band
from SemiSegTrainerLib.learning.targets import Completeness, possible_classes


def test_calibration_error_of_known_distributions():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1.0, 400_000)
    honest = Reliability.of(confidence, rng.random(confidence.size) < confidence)
    assert honest.ece < 0.005
    boastful = Reliability.of(confidence, rng.random(confidence.size) < confidence - 0.2)
    assert boastful.ece == pytest.approx(0.2, abs=0.005)
    # Both errors point the same way in every bin only above; here they cancel in the mean and not in the figure.
    split = Reliability.of(np.array([0.55] * 10 + [0.95] * 10), np.array([True] * 10 + [True] * 5 + [False] * 5))
    assert split.ece == pytest.approx((0.45 + 0.45) / 2)
    assert split.voxels.sum() == 20


def test_added_counts_are_the_counts_of_all():
    rng = np.random.default_rng(1)
    confidence, right = rng.random(1000), rng.random(1000) < 0.7
    whole = Reliability.of(confidence, right)
    parts = Reliability.of(confidence[:300], right[:300]) + Reliability.of(confidence[300:], right[300:])
    assert parts.ece == pytest.approx(whole.ece)
    assert ace([whole, Reliability.of(np.zeros(0), np.zeros(0, dtype=bool))]) == pytest.approx(whole.ece)
    assert np.isnan(Reliability.of(np.zeros(0), np.zeros(0, dtype=bool)).ece)


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e-7])
def test_detection_is_the_exact_statistic(scale):
    """The fourth root keeps the order of tiny uncertainties, of which a whole image has most."""
    rng = np.random.default_rng(2)
    wrong = rng.random(20_000) < 0.1
    uncertainty = scale * np.where(wrong, rng.beta(4, 4, wrong.size), rng.beta(2, 5, wrong.size))
    exact = stats.mannwhitneyu(uncertainty[wrong], uncertainty[~wrong]).statistic / (wrong.sum() * (~wrong).sum())
    assert 0.6 < exact < 0.95
    found = Detection.of(uncertainty, wrong)
    assert found.auroc == pytest.approx(exact, abs=2e-3)
    most = uncertainty >= np.quantile(uncertainty, 0.8)
    assert found.found([0.0, 0.2, 1.0]) == pytest.approx([0, wrong[most].sum() / wrong.sum(), 1], abs=5e-3)


def test_detection_without_information_or_without_errors():
    wrong = np.random.default_rng(3).random(1000) < 0.3
    even = Detection.of(np.full(1000, 0.4), wrong)
    assert even.auroc == 0.5, "ties are no detection"
    assert even.found([0.25]) == pytest.approx([0.25])
    none = Detection.of(np.full(1000, 0.4), np.zeros(1000, dtype=bool))
    assert np.isnan(none.auroc)
    assert np.isnan(none.found([0.5])).all()
    assert Detection.of(wrong.astype(float), wrong).auroc == 1.0


def test_band_of_a_straight_boundary():
    labels = np.zeros((9, 40), dtype=np.uint8)
    labels[:, 20:] = 1
    band = boundary_band(possible_classes(labels, 2), 5.0)
    assert (band == band[0]).all()
    assert np.flatnonzero(band[0]).tolist() == list(range(15, 25)), "five pixels on either side"
    assert not boundary_band(possible_classes(np.zeros((5, 5), dtype=np.uint8), 2), 5.0).any()


def test_band_in_a_volume_is_the_distance_to_the_nearest_other_class():
    rng = np.random.default_rng(4)
    labels = np.zeros((14, 15, 16), dtype=np.uint8)
    labels[4:9, 5:9, 3:12] = 1
    labels[4:9, 9:11, 3:12] = 2
    labels[0, 0, 0] = rng.integers(1, 3)
    band = boundary_band(possible_classes(labels, 3), 3.0)
    points = np.argwhere(np.ones_like(labels))
    for point in points[rng.choice(len(points), 300, replace=False)]:
        others = np.argwhere(labels != labels[tuple(point)])
        assert band[tuple(point)] == (np.linalg.norm(others - point, axis=1).min() <= 3.0)


def test_what_is_not_decided_neither_counts_nor_makes_a_boundary():
    labels = np.zeros((12, 30), dtype=np.uint8)
    labels[:, 10:20] = 1
    labels[:, 20:] = 9
    sets = possible_classes(labels, 2, Completeness(ignore=9))
    band = boundary_band(sets, 4.0)
    assert np.flatnonzero(band[0]).tolist() == list(range(6, 14))
    predicted = np.ones((12, 30), dtype=np.uint8)
    confidence = np.full(labels.shape, 0.8)
    case = examine(predicted, confidence, confidence, sets, band)
    assert case.reliability.voxels.sum() == 12 * 20
    assert case.reliability.right.sum() == 12 * 10
    assert case.reliability_band.ece == pytest.approx(0.3)
    assert case.detection.wrong.sum() == 12 * 10
    assert (case + case).detection_band.right.sum() == 2 * 12 * 4


def test_what_probabilities_promise_is_what_they_give_where_they_hold():
    rng = np.random.default_rng(7)
    confidence = rng.beta(5, 1.5, 200_000)
    holds, overconfident = rng.random(confidence.size) > confidence, rng.random(confidence.size) > confidence**2
    promised = Detection.promised(1 - confidence, confidence)
    assert 0.6 < promised.auroc < 0.95
    assert Detection.of(1 - confidence, holds).auroc == pytest.approx(promised.auroc, abs=5e-3)
    assert abs(Detection.of(1 - confidence, overconfident).auroc - promised.auroc) > 0.02
    assert promised.wrong.sum() + promised.right.sum() == pytest.approx(confidence.size)
    nine = confidence[None, :9]
    sure, everywhere = np.ones((1, 9), np.int64), np.ones((1, 9), bool)
    case = examine(np.zeros((1, 9), np.int64), nine, 1 - nine, sure, everywhere)
    assert (case + case).detection_promised.right.sum() == pytest.approx(2 * nine.sum())


def test_rank_correlation():
    assert rank_correlation([0.1, 0.5, 0.6, 0.9], [0.2, 0.3, 0.8, 0.9]) == pytest.approx(1)
    assert rank_correlation([0.9, 0.5, None], [0.8, 0.4, 0.0]) == pytest.approx(1), "announced failures are foreseen"
    assert rank_correlation([0.9, 0.5, None, 0.1], [0.8, 0.4, 0.0, float("nan")]) == pytest.approx(1)
    assert np.isnan(rank_correlation([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]))
    assert np.isnan(rank_correlation([0.5, 0.6], [0.1, 0.2]))


def test_interval_holds_the_mean_and_shrinks_with_the_cases():
    rng = np.random.default_rng(5)
    few, many = rng.normal(1, 1, 10), rng.normal(1, 1, 1000)
    intervals = [interval(values.tolist(), lambda drawn: float(np.mean(drawn))) for values in (few, many)]
    for values, bounds in zip((few, many), intervals, strict=True):
        assert bounds is not None
        assert bounds[0] < values.mean() < bounds[1]
    assert intervals[1][1] - intervals[1][0] == pytest.approx(2 * 1.96 / np.sqrt(1000), rel=0.2)
    assert interval([1.0], lambda drawn: 1.0) is None
    assert interval([1.0, 2.0], lambda drawn: float("nan")) is None
