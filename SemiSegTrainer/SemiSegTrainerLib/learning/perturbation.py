"""Perturbed features: what the students' encoders tell their decoders is disturbed, and the answer should stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from SemiSegCervicalLib.engine.branch import Perturbation
from torch import Tensor

from .seeds import mix_seed

_Kind = Callable[[Tensor, torch.Generator, "FeaturePerturbation"], Tensor]


def _uniform(features: Tensor, generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, device=features.device)


def _channel_dropout(features: Tensor, generator: torch.Generator, ranges: FeaturePerturbation) -> Tensor:
    shape = (*features.shape[:2], *(1,) * (features.ndim - 2))
    return (_uniform(features, generator, 0.0, 1.0, *shape) >= ranges.dropout) / (1.0 - ranges.dropout)


def _noise(features: Tensor, generator: torch.Generator, ranges: FeaturePerturbation) -> Tensor:
    return 1.0 + _uniform(features, generator, -ranges.noise, ranges.noise, *features.shape)


def _activation_drop(features: Tensor, generator: torch.Generator, ranges: FeaturePerturbation) -> Tensor:
    attention = features.detach().float().mean(dim=1, keepdim=True)
    highest = attention.amax(dim=tuple(range(1, attention.ndim)), keepdim=True)
    share = _uniform(features, generator, *ranges.activation, *highest.shape)
    return (attention <= share * highest).float()


KINDS: dict[str, _Kind] = {
    "channel_dropout": _channel_dropout,
    "noise": _noise,
    "activation_drop": _activation_drop,
}


@dataclass(frozen=True)
class FeaturePerturbation:
    """Disturbs every encoder level, the deepest included, in the rows of some views; the other rows stay untouched.

    One kind is drawn per iteration, the masks of every branch, row and level apart. All are factors on the features h:

    - ``channel_dropout``: a channel is zero with probability p, else divided by 1 - p;
    - ``noise``: ``h (1 + e)``, e uniform in [-noise, noise] for every value;
    - ``activation_drop``: positions are zero whose mean over the channels exceeds u times its largest, u uniform in
      `activation`: where the image speaks most, the branch must do without.

    Source: Ouali et al., Semi-supervised semantic segmentation with cross-consistency training, CVPR 2020.

    Attributes:
        views: the students' views whose rows are disturbed; ``features`` shows the weak images, for this purpose.
        kinds: names of `KINDS`.
        dropout: p.
        noise: largest relative noise.
        activation: range of u.
    """

    views: tuple[str, ...] = ("features",)
    kinds: tuple[str, ...] = tuple(KINDS)
    dropout: float = 0.5
    noise: float = 0.3
    activation: tuple[float, float] = (0.7, 0.9)

    def kind(self, iteration: int, seed: int) -> str:
        """Return the kind of an iteration: a function of (seed, iteration) alone."""
        return self.kinds[mix_seed(seed, iteration, "perturbation") % len(self.kinds)]

    def at(
        self, views: Sequence[str], counts: Sequence[int], branch: int, iteration: int, seed: int
    ) -> Perturbation | None:
        """Return what a branch's forward pass is to apply to its encoder's features; None for nothing.

        Args:
            views: the views that make up the batch, in order.
            counts: rows of each.
            branch: number of the branch.
            iteration: of the run.
            seed: of the run.
        """
        if not set(views) & set(self.views):
            return None
        factor = KINDS[self.kind(iteration, seed)]

        def perturb(tap: str, features: Tensor) -> Tensor:
            parts = list(features.split(list(counts)))
            for place, view in enumerate(views):
                if view in self.views:
                    generator = torch.Generator(features.device)
                    generator.manual_seed(mix_seed(seed, iteration, "perturbation", branch, view, tap))
                    parts[place] = parts[place] * factor(parts[place], generator, self).to(features.dtype)
            return torch.cat(parts)

        return perturb
