"""Agreement of a segmentation with its reference, by MONAI; failures are told apart from good results."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance


@dataclass(frozen=True)
class Agreement:
    """Figures of one segment of one case.

    Attributes:
        dice: overlap; NaN where both are empty.
        hd95: 95th percentile of the symmetric surface distance; NaN where either is empty.
        assd: average symmetric surface distance; NaN where either is empty.
        failed: exactly one of the two is empty.
        voxels: size of the reference.
    """

    dice: float
    hd95: float
    assd: float
    failed: bool
    voxels: int


UNKNOWN = Agreement(float("nan"), float("nan"), float("nan"), False, 0)
"""Of a segment that the reference says nothing of."""


def compare(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float] | None,
    decided: np.ndarray | None = None,
    distances: bool = True,
) -> Agreement:
    """Compare two binary masks.

    Args:
        prediction: bool ``(*spatial)``.
        reference: bool ``(*spatial)``.
        spacing: mm in array order; None gives distances in voxels.
        decided: bool ``(*spatial)``: only these voxels count for Dice; distances then are NaN, for a surface cut off by
            the unknown has no distance.
        distances: compute the distances, the slow part.

    Returns:
        The figures; an empty prediction never scores a distance of 0.
    """
    whole = decided is None
    p, r = (prediction, reference) if decided is None else (prediction & decided, reference & decided)
    size = int(p.sum()) + int(r.sum())
    dice = 2.0 * int((p & r).sum()) / size if size else float("nan")
    failed = bool(p.any()) != bool(r.any())
    hd95 = assd = float("nan")
    if distances and whole and p.any() and r.any():
        axes = _extended(p.shape)
        box = _bounds(p | r)
        flat = [m[box].reshape([m[box].shape[a] for a in axes]) for m in (p, r)]
        masks = [torch.from_numpy(np.ascontiguousarray(m))[None, None].float() for m in flat]
        size_mm = None if spacing is None else [spacing[a] for a in axes]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hd95 = float(compute_hausdorff_distance(masks[0], masks[1], True, percentile=95, spacing=size_mm))
            assd = float(compute_average_surface_distance(masks[0], masks[1], True, symmetric=True, spacing=size_mm))
    return Agreement(dice, hd95, assd, failed, int(r.sum()))


def _bounds(mask: np.ndarray) -> tuple[slice, ...]:
    """Return the box around what a mask holds: the rest of a volume is far larger and has no surface."""
    others = [tuple(b for b in range(mask.ndim) if b != a) for a in range(mask.ndim)]
    rows = [np.flatnonzero(mask.any(axis=other)) for other in others]
    return tuple(slice(int(found[0]), int(found[-1]) + 1) for found in rows)


def _extended(shape: Sequence[int]) -> list[int]:
    """Return the axes along which masks have a surface: in a volume of one slice every voxel would be part of it."""
    axes = [a for a, n in enumerate(shape) if n > 1]
    return axes if len(axes) > 1 else list(range(len(shape)))
