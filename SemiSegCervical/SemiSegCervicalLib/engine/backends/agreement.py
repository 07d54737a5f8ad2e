"""How much two ways of running the same networks agree, in what a user sees: labels and uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..result import vote
from ..schema import InputSpec
from ..uncertainty import entropy
from ..windows import gaussian

SHARE = 0.999
TOLERANCE = 0.02
# Where hardly a voxel is in doubt, rounding cannot turn a label, and agreement says nothing about other images.
_DOUBTFUL_SHARE = 0.001
_LOGIT_TOLERANCE = 5e-3


@dataclass(frozen=True)
class Agreement:
    """What a comparison with float32 PyTorch gave.

    Attributes:
        labels_alike: share of voxels with the same label.
        uncertainty_alike: share of voxels whose uncertainty differs by at most `TOLERANCE`.
        logit_error: largest difference of two logits, divided by the largest logit (at least 1).
        doubtful: share of voxels whose uncertainty is above `TOLERANCE` at all.
        voxels: how many were compared.
    """

    labels_alike: float
    uncertainty_alike: float
    logit_error: float
    doubtful: float
    voxels: int

    @property
    def enough(self) -> bool:
        """Whether reduced precision may stand for float32 on such images."""
        return self.labels_alike >= SHARE and self.uncertainty_alike >= SHARE

    @property
    def telling(self) -> bool:
        """Whether there was anything on which one could have disagreed."""
        return self.doubtful >= _DOUBTFUL_SHARE

    @property
    def equal(self) -> bool:
        """Whether the two differ by no more than the order of float32 sums explains."""
        return self.enough and self.logit_error <= _LOGIT_TOLERANCE

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for a JSON file."""
        return asdict(self)


def compare(
    reference: Sequence[Tensor],
    other: Sequence[Tensor],
    temperatures: tuple[float, ...],
    weights: Tensor | None = None,
) -> Agreement:
    """Compare logits.

    Args:
        reference: float32 ``(N, C, *spatial)`` per branch.
        other: the same from another backend or in another precision.
        temperatures: of each branch's softmax.
        weights: ``(*spatial)``: what a voxel counts; None for all alike. Of windows, it is their weight in the merged
            image: at their edges networks are unsure, and nobody sees it.
    """
    classes = reference[0].shape[1]
    votes = [vote(list(logits), temperatures)[:, :classes] for logits in (reference, other)]
    labels = [v.argmax(dim=1) for v in votes]
    doubt = [entropy(v, checked=False) for v in votes]
    largest = max(1.0, *(float(logits.abs().max()) for logits in reference))
    if weights is None:
        weights = doubt[0].new_ones(doubt[0].shape[1:])
    weights = weights / weights.sum() / len(doubt[0])
    error = max(float((a - b).abs().max()) for a, b in zip(reference, other, strict=True))
    return Agreement(
        labels_alike=_share(labels[0] == labels[1], weights),
        uncertainty_alike=_share((doubt[0] - doubt[1]).abs() <= TOLERANCE, weights),
        logit_error=error / largest,
        doubtful=_share(doubt[0] > TOLERANCE, weights),
        voxels=labels[0].numel(),
    )


def window_weights(spec: InputSpec) -> Tensor | None:
    """Return what each voxel of a window counts in the merged image, ``(*size)``; None where there are no windows."""
    if spec.sampling != "windows":
        return None
    weights = torch.ones((), dtype=torch.float64)
    for size in spec.size:
        weights = weights.unsqueeze(-1) * gaussian(size)
    return weights.float()


def _share(alike: Tensor, weights: Tensor) -> float:
    return 1.0 - float((~alike * weights).sum(dtype=torch.float64))


def pool(agreements: Sequence[Agreement]) -> Agreement:
    """Put comparisons together, each weighted by its voxels; the largest error stays the largest."""
    total = sum(a.voxels for a in agreements)

    def mean(name: str) -> float:
        return sum(getattr(a, name) * a.voxels for a in agreements) / total

    return Agreement(
        mean("labels_alike"), mean("uncertainty_alike"), max(a.logit_error for a in agreements), mean("doubtful"), total
    )
