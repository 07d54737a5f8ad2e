"""Intensities as networks see them: of mean 0 and standard deviation 1, by the image itself or by a fixed range."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .schema import InputSpec

# Fat has -100 Hounsfield units, air -1000: whatever part of a body a CT shows, something is darker than this.
_DARK = -50.0
_OTHER_UNITS = (
    "{} shows nothing below {:g}, as if it were not in Hounsfield units, which the model reads: export it with its "
    "rescaling (intercept) applied, else outlines are worth nothing"
)


def not_hounsfield(channel: np.ndarray) -> bool:
    """Say whether an image is certainly not in Hounsfield units: CT stored without its offset, another modality."""
    return float(channel.min()) > _DARK


def other_units(array: np.ndarray, spec: InputSpec) -> list[str]:
    """Return what is to be said of the channels ``(M, *spatial)`` that are not in the units that a model reads."""
    pairs = zip(array, spec.modalities, spec.fixed, strict=True)
    wrong = [name for channel, name, known in pairs if known and known.hounsfield and not_hounsfield(channel)]
    return [_OTHER_UNITS.format(name, _DARK) for name in wrong]


def limit(array: Tensor, spec: InputSpec) -> Tensor:
    """Clip the channels of ``(M, *spatial)`` that have a range to it; before they are resampled.

    What blends bone or metal with its surroundings would reach into them.
    """
    if not any(spec.ranges):
        return array
    pairs = zip(array, spec.fixed, strict=True)
    return torch.stack([channel if known is None else channel.clamp(known.low, known.high) for channel, known in pairs])


def standardise(array: Tensor, spec: InputSpec) -> Tensor:
    """Bring each channel of ``(M, *spatial)`` to mean 0 and standard deviation 1, clipped; see `InputSpec`."""
    axes = tuple(range(1, array.ndim))
    mean = array.mean(axes, keepdim=True)
    # What rounding leaves of an even image must not be blown up; the bound follows the unit of the intensities.
    floor = array.abs().amax(axes, keepdim=True).mul(1e-5).clamp_min(1e-30)
    deviation = array.std(axes, keepdim=True, correction=0).maximum(floor)
    for k, known in enumerate(spec.ranges):
        if known is not None:
            mean[k], deviation[k] = known.mean, known.deviation
    return _scaled(array, mean, deviation, spec.clip)


class Standards:
    """The mean and spread of a whole image, by which parts of it are standardised."""

    def __init__(self, array: np.ndarray, spec: InputSpec) -> None:
        """Measure those channels of ``(M, *spatial)`` that have no range; nothing is copied."""
        self.spec = spec
        pairs = zip(array, spec.fixed, strict=True)
        found = [_moments(channel) if known is None else (known.mean, known.deviation) for channel, known in pairs]
        column = (-1, *(1,) * (array.ndim - 1))
        self._mean, self._deviation = (
            torch.tensor(numbers, dtype=torch.float32).view(column) for numbers in zip(*found, strict=True)
        )

    def apply(self, part: Tensor) -> Tensor:
        """Standardise a part ``(M, *any)`` of the image, limited and resampled already; see `standardise`."""
        return _scaled(part, self._mean, self._deviation, self.spec.clip)


def _scaled(array: Tensor, mean: Tensor, deviation: Tensor, clip: float) -> Tensor:
    return ((array - mean) / deviation).clamp_(-clip, clip)


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
