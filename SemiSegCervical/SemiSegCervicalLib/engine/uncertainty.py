"""How sure a probability map is, and how good the segmentation that it leads to."""

from __future__ import annotations

import math

import numpy as np
import torch
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
    # Class by class: a fifth of the time of torch.special.entr, and of a sum across maps.
    total = torch.zeros_like(probabilities[:, 0], dtype=torch.float32)
    for p in probabilities.float().unbind(dim=1):
        total.addcmul_(p, p.clamp_min(1e-37).log_(), value=-1.0)
    return total.div_(math.log(probabilities.shape[1])).clamp_(0.0, 1.0)


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


def _check(probabilities: Tensor) -> None:
    lowest = probabilities.min()
    off = (probabilities.float().sum(dim=1) - 1.0).abs().max()
    # A logit map given by mistake is the defect this stops; 2e-2 leaves room for half precision.
    if not (lowest >= 0.0 and off < 2e-2):
        raise ValueError("expected probabilities: none below 0, and a sum of 1 over the classes")
