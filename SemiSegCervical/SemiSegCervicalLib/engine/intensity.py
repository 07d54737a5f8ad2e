"""Intensities as networks see them: of mean 0 and standard deviation 1, by the image itself or by a fixed range."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .schema import InputSpec


def limit(array: Tensor, spec: InputSpec) -> Tensor:
    """Clip the channels of ``(M, *spatial)`` that have a range to it; before they are resampled.

    What blends bone or metal with its surroundings would reach into them.
    """
    if not any(spec.ranges):
        return array
    low, high = (_column(numbers, array) for numbers in bounds(spec))
    return array.clamp(low, high)


def standardise(array: Tensor, spec: InputSpec) -> Tensor:
    """Bring each channel of ``(M, *spatial)`` to mean 0 and standard deviation 1, clipped; see `InputSpec`."""
    axes = tuple(range(1, array.ndim))
    mean = array.mean(axes, keepdim=True)
    # What rounding leaves of an even image must not be blown up; the bound follows the unit of the intensities.
    floor = array.abs().amax(axes, keepdim=True).mul(1e-5).clamp_min(1e-30)
    deviation = array.std(axes, keepdim=True, correction=0).maximum(floor)
    return _scaled(array, mean, deviation, spec)


class Standards:
    """The mean and spread of a whole image, by which parts of it are standardised."""

    def __init__(self, array: np.ndarray, spec: InputSpec) -> None:
        """Measure those of ``(M, *spatial)`` that have no range; nothing is copied."""
        self.spec = spec
        pairs = zip(array, spec.fixed, strict=True)
        measured = [_moments(channel) if known is None else (0.0, 1.0) for channel, known in pairs]
        column = (-1, *(1,) * (array.ndim - 1))
        self._mean, self._deviation = (
            torch.tensor(numbers, dtype=torch.float32).view(column) for numbers in zip(*measured, strict=True)
        )

    def apply(self, part: Tensor) -> Tensor:
        """Standardise a part ``(M, *any)`` of the image, limited and resampled already; see `standardise`."""
        return _scaled(part, self._mean, self._deviation, self.spec)


def bounds(spec: InputSpec) -> tuple[list[float], list[float]]:
    """Return the least and the largest intensity that count, of each modality; infinite without a range."""
    low = [-math.inf if r is None else r.low for r in spec.fixed]
    return low, [math.inf if r is None else r.high for r in spec.fixed]


def _scaled(array: Tensor, mean: Tensor, deviation: Tensor, spec: InputSpec) -> Tensor:
    if any(spec.ranges):
        known = _column([r is not None for r in spec.fixed], array) > 0
        mean = torch.where(known, _column([r.mean if r else 0.0 for r in spec.fixed], array), mean)
        deviation = torch.where(known, _column([r.deviation if r else 1.0 for r in spec.fixed], array), deviation)
    return ((array - mean) / deviation).clamp_(-spec.clip, spec.clip)


def _column(numbers: Sequence[float], array: Tensor) -> Tensor:
    """Return one number for each channel, so that it meets all of the channel."""
    return torch.tensor(numbers, dtype=array.dtype, device=array.device).view(-1, *(1,) * (array.ndim - 1))


def _moments(channel: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation, with a floor that keeps rounding noise of an even image small; by slices."""
    count, total, squares, largest = 0, 0.0, 0.0, 0.0
    shift = float(channel.flat[0])
    for part in channel:
        values = part.astype(np.float64) - shift
        count += values.size
        total += float(values.sum())
        squares += float(np.square(values).sum())
        largest = max(largest, float(np.abs(part).max()))
    mean = total / count
    spread = math.sqrt(max(0.0, squares / count - mean * mean))
    return mean + shift, max(spread, largest * 1e-5, 1e-30)
