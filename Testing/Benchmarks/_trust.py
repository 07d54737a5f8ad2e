"""Can the uncertainty be believed? Calibration error, detection of errors, and predicted against true quality.

Everything is counted on the source grid and on decided voxels only, case by case into histograms: a stream of large
volumes needs the memory of one of them, and a resampling of cases adds histograms instead of voxels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy import stats
from SemiSegTrainerLib.learning.targets import decided

BINS = 15
# Most voxels are nearly certain: bins of equal width in the fourth root tell an uncertainty of 1e-9 from one of 1e-8.
_DETECTION_BINS, _ROOT = 4096, 4

T = TypeVar("T")


@dataclass(frozen=True)
class Reliability:
    """Counts of a reliability diagram: voxels, their summed confidence and how many are right, per confidence bin.

    Confidence is the largest mean probability of a voxel, that of the label it gets.
    """

    voxels: np.ndarray
    confidence: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, confidence: np.ndarray, right: np.ndarray) -> Reliability:
        """Count voxels.

        Args:
            confidence: ``(n,)`` in [0, 1].
            right: bool ``(n,)``.
        """
        bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
        return cls(*(np.bincount(bins, weights=w, minlength=BINS).astype(float) for w in (None, confidence, right)))

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(self.voxels + other.voxels, self.confidence + other.confidence, self.right + other.right)

    @property
    def ece(self) -> float:
        """Expected calibration error ``sum_b n_b / n |right_b - confidence_b|``; NaN without a voxel."""
        total = self.voxels.sum()
        return float(np.abs(self.right - self.confidence).sum() / total) if total else float("nan")


@dataclass(frozen=True)
class Detection:
    """Counts of wrong and right voxels per uncertainty bin: how well uncertainty finds errors."""

    wrong: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, uncertainty: np.ndarray, wrong: np.ndarray) -> Detection:
        """Count voxels.

        Args:
            uncertainty: ``(n,)`` in [0, 1].
            wrong: bool ``(n,)``.
        """
        bins = _detection_bins(uncertainty)
        return cls(*(np.bincount(bins[chosen], minlength=_DETECTION_BINS) for chosen in (wrong, ~wrong)))

    @classmethod
    def promised(cls, uncertainty: np.ndarray, confidence: np.ndarray) -> Detection:
        """Count voxels as if each were wrong with exactly the probability that the model gives it.

        What is found of these errors is what the model's own probabilities let anybody find; more is found of the real
        ones only where the probabilities do not hold.

        Args:
            uncertainty: ``(n,)`` in [0, 1].
            confidence: ``(n,)`` in [0, 1], the probability of each voxel's label.
        """
        bins, right = _detection_bins(uncertainty), np.clip(confidence.astype(np.float64), 0, 1)
        return cls(*(np.bincount(bins, weights=weights, minlength=_DETECTION_BINS) for weights in (1 - right, right)))

    def __add__(self, other: Detection) -> Detection:
        return Detection(self.wrong + other.wrong, self.right + other.right)

    @property
    def auroc(self) -> float:
        """Chance that a wrong voxel is more uncertain than a right one, ties counted half; NaN if either is absent."""
        pairs = float(self.wrong.sum()) * float(self.right.sum())
        below = np.cumsum(self.right) - self.right
        return float(np.dot(self.wrong, below + 0.5 * self.right) / pairs) if pairs else float("nan")

    def found(self, shares: Sequence[float]) -> np.ndarray:
        """Share of all wrong voxels among the most uncertain voxels.

        Args:
            shares: of all voxels that are looked at, each in [0, 1].

        Returns:
            ``(len(shares),)``; NaN if no voxel is wrong.
        """
        looked = np.concatenate([[0], np.cumsum((self.wrong + self.right)[::-1])]).astype(float)
        errors = np.concatenate([[0], np.cumsum(self.wrong[::-1])]).astype(float)
        if not errors[-1]:
            return np.full(len(shares), np.nan)
        kept = np.concatenate([[True], np.diff(looked) > 0])
        return np.interp(np.asarray(shares) * looked[-1], looked[kept], errors[kept]) / errors[-1]


def _detection_bins(uncertainty: np.ndarray) -> np.ndarray:
    spread = np.clip(uncertainty.astype(np.float64), 0, 1) ** (1 / _ROOT)
    return np.minimum((spread * _DETECTION_BINS).astype(np.int64), _DETECTION_BINS - 1)


@dataclass(frozen=True)
class CaseTrust:
    """What one case says, in the band around the reference boundary and on the whole image.

    `detection_promised` is what the model's own probabilities promise for the band; see `Detection.promised`.
    """

    reliability_band: Reliability
    reliability: Reliability
    detection_band: Detection
    detection: Detection
    detection_promised: Detection

    def __add__(self, other: CaseTrust) -> CaseTrust:
        return CaseTrust(
            self.reliability_band + other.reliability_band,
            self.reliability + other.reliability,
            self.detection_band + other.detection_band,
            self.detection + other.detection,
            self.detection_promised + other.detection_promised,
        )


def examine(
    labels: np.ndarray, confidence: np.ndarray, uncertainty: np.ndarray, possible: np.ndarray, band: np.ndarray
) -> CaseTrust:
    """Count one case.

    Args:
        labels: integers ``(*spatial)``, predicted.
        confidence: ``(*spatial)``, the probability of those labels.
        uncertainty: ``(*spatial)`` in [0, 1].
        possible: class sets of the reference ``(*spatial)``; undecided voxels do not count.
        band: bool ``(*spatial)``, see `bands.boundary_band`.
    """
    single = (possible != 0) & decided(possible)
    right = (possible >> labels.astype(possible.dtype)) & 1 == 1
    parts: list[Any] = []
    near = single & band
    for kind, values, outcome in ((Reliability, confidence, right), (Detection, uncertainty, ~right)):
        for region in (near, single):
            parts.append(kind.of(values[region], outcome[region]))
    parts.append(Detection.promised(uncertainty[near], confidence[near]))
    return CaseTrust(*parts)


def ace(cases: Sequence[Reliability]) -> float:
    """Average over the cases of each one's own calibration error; NaN without a case that counts."""
    errors = [c.ece for c in cases if c.voxels.sum()]
    return float(np.mean(errors)) if errors else float("nan")


def rank_correlation(predicted: Sequence[float | None], true: Sequence[float]) -> float:
    """Spearman correlation of predicted with true Dice over segments and cases.

    A segment that the model neither draws nor expects has no predicted Dice (None); where the reference has it, the
    prediction is a failure that the model announces, and counts as 0. Pairs without a true Dice are left out.

    Returns:
        In [-1, 1]; NaN with fewer than three pairs or where either side never changes.
    """
    pairs = [(p or 0.0, t) for p, t in zip(predicted, true, strict=True) if not np.isnan(t)]
    if len(pairs) < 3 or any(len(set(side)) < 2 for side in zip(*pairs, strict=True)):
        return float("nan")
    return float(stats.spearmanr(*zip(*pairs, strict=True)).statistic)


def interval(
    cases: Sequence[T], statistic: Callable[[Sequence[T]], float], draws: int = 1000
) -> tuple[float, float] | None:
    """95 % bootstrap interval of a statistic; whole cases are drawn with replacement.

    Returns:
        The bounds, or None where fewer than two cases or half of the draws give no figure.
    """
    rng = np.random.default_rng(0)
    if len(cases) < 2:
        return None
    values = [statistic([cases[i] for i in rng.integers(len(cases), size=len(cases))]) for _ in range(draws)]
    numbers = [v for v in values if not np.isnan(v)]
    if len(numbers) < draws / 2:
        return None
    low, high = np.quantile(numbers, [0.025, 0.975])
    return float(low), float(high)
