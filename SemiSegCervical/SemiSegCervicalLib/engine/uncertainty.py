"""How sure the branches are together, and how much they disagree."""

from __future__ import annotations

import math
from collections.abc import Sequence

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


def split(probabilities: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Total uncertainty of the branches' mean, and the part that is disagreement.

    ``total = H(mean_k p_k)``; ``disagreement = H(mean_k p_k) - mean_k H(p_k)`` is the Jensen-Shannon divergence.
    Both are divided by ``log C``.

    Args:
        probabilities: one ``(N, C, *spatial)`` map per branch.

    Returns:
        Two maps ``(N, *spatial)`` in [0, 1]. Disagreement is None with a single branch, for one vote cannot differ.
    """
    if not probabilities:
        raise ValueError("no branch, no uncertainty")
    total = entropy(torch.stack([p.float() for p in probabilities]).mean(dim=0))
    if len(probabilities) == 1:
        return total, None
    within = torch.stack([entropy(p) for p in probabilities]).mean(dim=0)
    return total, (total - within).clamp(0.0, 1.0)


def expected_dice(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Dice that the model itself expects of its labels, per class.

    ``E[Dice_c] ~ 2 sum_{v: label=c} p_c(v) / (sum_v p_c(v) + |label=c|)``, the ratio of expectations.

    Args:
        probabilities: ``(C, *spatial)``.
        labels: ``(*spatial)`` integers, the labels that the probabilities gave.

    Returns:
        ``(C,)``; NaN for a class that is neither labelled nor expected anywhere (less than one voxel in sum).
    """
    classes = probabilities.shape[0]
    p = probabilities.double()
    own = torch.stack([p[c][labels == c].sum() for c in range(classes)])
    counts = torch.bincount(labels.long().flatten(), minlength=classes)
    axes = tuple(range(1, p.ndim))
    dice = expected_dice_from_sums(own.cpu().numpy(), p.sum(axes).cpu().numpy(), counts.cpu().numpy())
    return torch.from_numpy(dice).to(probabilities)


def expected_dice_from_sums(own: np.ndarray, mass: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Compute `expected_dice` from sums over voxels, which can be gathered part by part.

    Args:
        own: ``(C,)``: ``sum_{v: label=c} p_c(v)``.
        mass: ``(C,)``: ``sum_v p_c(v)``.
        counts: ``(C,)``: number of voxels with the label.

    Returns:
        ``(C,)``, NaN as in `expected_dice`.
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
