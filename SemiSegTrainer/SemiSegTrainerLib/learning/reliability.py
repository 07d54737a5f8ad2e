"""Which voxels of a view may teach: those that a teacher, or the branches together, are sure enough of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from SemiSegCervicalLib.engine.uncertainty import entropy
from torch import Tensor

from .schedules import SigmoidRamp

# The leading bits of a float32 in [0, 1]: a logarithmic scale of bins, each a fifth of a percent wide.
_CUT = 14
_BINS = (0x3F800000 >> _CUT) + 1


def class_quantiles(values: Tensor, labels: Tensor, counted: Tensor, classes: int, share: float) -> Tensor:
    """Quantile of `values` within each class, by one count over logarithmic bins instead of a sort per class.

    Args:
        values: float32 in [0, 1], any shape.
        labels: class indices of the same shape.
        counted: bool of the same shape; other values do not count.
        classes: number of classes C.
        share: the quantile's order, 0 to 1.

    Returns:
        ``(C,)``: at least `share` of a class's values are not above it, and it exceeds the exact quantile by a fifth of
        a percent at most; 0 for a class without values.
    """
    bins = values.detach().float().clamp(0.0, 1.0).contiguous().view(torch.int32) >> _CUT
    places = torch.where(counted, labels * _BINS + bins, classes * _BINS)
    counts = torch.bincount(places.flatten(), minlength=classes * _BINS + 1)[:-1].view(classes, _BINS)
    summed = counts.cumsum(dim=1)
    wanted = (summed[:, -1:] * share).ceil()
    limit = (summed < wanted).sum(dim=1)
    edge = (((limit + 1) << _CUT) - 1).to(torch.int32).view(torch.float32)
    return torch.where(summed[:, -1] > 0, edge, 0.0)


@dataclass(frozen=True)
class Certain:
    """Reliable is what the passes of a teacher agree on: ``u < first + (last - first) r(t)``, in shares of ``ln 2``.

    u = entropy of their mean in nats. With ``ln 2`` for any number of classes, as HiLab's SSL4MIS has it, an even
    choice between two classes is the most uncertain voxel that may ever teach. Yu et al., UA-MT, MICCAI 2019.

    Attributes:
        first: share at the start of the run.
        last: share at its end.
    """

    first: float = 0.75
    last: float = 1.0

    def __call__(self, probabilities: Tensor, progress: float) -> Tensor:
        """Return a bool map ``(N, *spatial)``.

        Args:
            probabilities: ``(N, C, *spatial)``, detached: the mean of the passes.
            progress: share of the run that is done.

        Raises:
            ValueError: they are not probabilities.
        """
        share = self.first + SigmoidRamp(self.last - self.first, end=1.0)(progress)
        return entropy(probabilities) < share * math.log(2.0) / math.log(probabilities.shape[1])


@dataclass(frozen=True)
class ClassWise:
    """Reliable are, of the voxels with label c, the surest share, as long as they are sure enough.

    ``R_c = {v: label = c, u(v) <= quantile_q(u | label = c), u(v) <= cap}``, u = normalised entropy of the mean. A
    quantile over all voxels would keep hardly anything but background where the organ is small.

    Attributes:
        first: share q of a class's voxels at the start of the run.
        last: share q from `end` on.
        end: share of the run over which q rises.
        cap: largest entropy, as a share of that of an even choice between two classes, which must never teach.
    """

    first: float = 0.5
    last: float = 0.9
    end: float = 0.4
    cap: float = 0.75

    def __call__(self, probabilities: Tensor, labels: Tensor, counted: Tensor, progress: float) -> Tensor:
        """Return a bool map ``(N, *spatial)``.

        Args:
            probabilities: ``(N, C, *spatial)``, detached.
            labels: ``(N, *spatial)``, their argmax.
            counted: bool ``(N, *spatial)``: the voxels in question.
            progress: share of the run that is done.

        Raises:
            ValueError: they are not probabilities.
        """
        classes = probabilities.shape[1]
        u = entropy(probabilities)
        share = self.first + SigmoidRamp(self.last - self.first, end=self.end)(progress)
        limits = class_quantiles(u, labels, counted, classes, share)
        limits = limits.clamp_max(self.cap * math.log(2.0) / math.log(classes))
        return counted & (u <= limits[labels])
