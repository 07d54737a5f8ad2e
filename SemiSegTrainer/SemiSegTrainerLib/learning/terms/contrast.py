"""Contrast of whole images between branches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..step import Step, TermValue, zero_of


def info_nce(anchors: Tensor, keys: Tensor, same: Tensor, temperature: float) -> Tensor:
    """InfoNCE of each anchor: its key (row i) against all keys of other images.

    ``-log exp(a_i k_i / T) / (exp(a_i k_i / T) + sum_{j: not same(i,j)} exp(a_i k_j / T))``

    Args:
        anchors: unit vectors ``(N, E)``.
        keys: unit vectors ``(N, E)``; row i is the positive of anchor i.
        same: bool ``(N, N)``: rows i and j show the same image; such pairs are no negatives.
        temperature: T.

    Returns:
        The mean over anchors.
    """
    similarity = anchors @ keys.T / temperature
    own = torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)
    logits = similarity.masked_fill(same & ~own, -torch.inf)
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(anchors), device=anchors.device))


@dataclass(frozen=True)
class ImageContrast:
    """The branches should know an image by its deep features.

    The positive is the same image in the other branch, negatives are all other images. Corrected form of system A's
    contrast (arXiv:2503.17057), whose public code evaluates to exactly 0: both directions, all images of the batch,
    gradient to both branches through a projector each.

    Attributes:
        views: the views whose images take part.
        temperature: of InfoNCE.
    """

    views: tuple[str, ...] = ("labelled", "weak")
    temperature: float = 0.07

    def __call__(self, step: Step) -> TermValue:
        """Return half the sum over ordered pairs of branches; support = images with at least one negative."""
        cases = torch.cat([step.views[v].cases for v in self.views])
        embeddings = [torch.cat([o[v].embedding for v in self.views]) for o in step.students]  # type: ignore[misc]
        same = cases[:, None] == cases[None, :]
        support = int((~same).any(dim=1).sum())
        total = sum((zero_of(e) for e in embeddings), torch.zeros((), device=cases.device))
        if not support or len(embeddings) < 2:
            return TermValue(total, 0)
        for i, anchors in enumerate(embeddings):
            for j, keys in enumerate(embeddings):
                if i != j:
                    total = total + 0.5 * info_nce(anchors, keys, same, self.temperature)
        return TermValue(total, support)
