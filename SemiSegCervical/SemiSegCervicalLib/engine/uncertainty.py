"""How sure a probability map is, and how good the segmentation that it leads to."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor


def entropy(probabilities: Tensor, checked: bool = True) -> Tensor:
    """Shannon entropy over the class axis, divided by ``log C`` so that it lies in [0, 1].

    Args:
        probabilities: ``(N, C, *spatial)``, summing to 1 over axis 1.
        checked: refuse what is not a probability map; False where it just left a softmax.

    Returns:
        ``(N, *spatial)``.

    Raises:
        ValueError: the input is not a probability map.
    """
    if checked:
        _check(probabilities)
    p = probabilities.float()
    return entropy_of_logarithms(p, logarithms(p), dim=1)


def logarithms(probabilities: Tensor) -> Tensor:
    """Logarithms in which ``p log p`` is 0 where p is 0."""
    return probabilities.clamp_min(1e-37).log_()


def entropy_of_logarithms(probabilities: Tensor, logs: Tensor, dim: int) -> Tensor:
    """Compute `entropy` where the logarithms are there already.

    Args:
        probabilities: float32 of any shape, summing to 1 over `dim`.
        logs: their logarithms.
        dim: the class axis.
    """
    # Class by class: a fifth of the time of torch.special.entr, and of a sum across maps.
    pairs = list(zip(probabilities.unbind(dim), logs.unbind(dim), strict=True))
    total = pairs[0][0] * pairs[0][1]
    for p, log in pairs[1:]:
        total.addcmul_(p, log)
    return total.mul_(-1.0 / math.log(len(pairs))).clamp_(0.0, 1.0)


def expected_dice_from_sums(own: np.ndarray, mass: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Dice that the model itself expects of its labels, per class, from sums that can be gathered part by part.

    ``E[Dice_c] ~ 2 sum_{v: label=c} p_c(v) / (sum_v p_c(v) + |label=c|)``, the ratio of expectations.

    Args:
        own: ``(C,)``: ``sum_{v: label=c} p_c(v)``.
        mass: ``(C,)``: ``sum_v p_c(v)``.
        counts: ``(C,)``: number of voxels with the label.

    Returns:
        ``(C,)``; NaN for a class that is neither labelled nor expected anywhere (less than one voxel in sum).
    """
    size = mass + counts
    return np.where(size < 1.0, np.nan, 2 * own / np.maximum(size, 1e-9))


def sharpen(probabilities: Tensor, exponent: float, dim: int = 0) -> Tensor:
    """Return ``p^g / sum p^g`` over the class axis.

    Temperatures are fitted for the boundary, where a model is surest beyond its right, and leave the rest of the image
    under-confident. Dice is a sum over the whole image: it is expected by probabilities that are sharpened again.

    Args:
        probabilities: any shape, summing to 1 over `dim`.
        exponent: g; 1 changes nothing.
        dim: the class axis.
    """
    if exponent == 1.0:
        return probabilities
    powers = probabilities.pow(exponent)
    return powers / powers.sum(dim=dim, keepdim=True)


def sharpen_logarithms(logs: Tensor, exponent: float) -> Tensor:
    """Compute `sharpen` over the first axis, in place, where the logarithms are there: a quarter of the time."""
    powers = logs.mul_(exponent).exp_()
    total = powers[0].clone()
    for power in powers[1:]:
        total.add_(power)
    return powers.mul_(total.reciprocal_())


def percent(uncertainty: np.ndarray) -> np.ndarray:
    """Return uncertainty in [0, 1] as whole percent, uint8, for those who look at it."""
    return np.rint(100 * uncertainty).astype(np.uint8)


def _check(probabilities: Tensor) -> None:
    lowest = probabilities.min()
    off = (probabilities.float().sum(dim=1) - 1.0).abs().max()
    # A logit map given by mistake is the defect this stops; 2e-2 leaves room for half precision.
    if not (lowest >= 0.0 and off < 2e-2):
        raise ValueError("expected probabilities: none below 0, and a sum of 1 over the classes")
