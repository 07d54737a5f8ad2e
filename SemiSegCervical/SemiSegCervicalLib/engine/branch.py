"""A branch: one network with taps on its features and an optional projector for contrast."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .architectures import resolve

Perturbation = Callable[[str, Tensor], Tensor]


@dataclass
class BranchOutput:
    """What one forward pass gives.

    Attributes:
        logits: ``(N, C, *spatial)``.
        features: the tapped feature maps, ``(N, F, *coarse)`` each, by tap name.
        embedding: unit vectors ``(N, E)``, projected from the pooled bottleneck; None without a projector.
    """

    logits: Tensor
    features: dict[str, Tensor] = field(default_factory=dict)
    embedding: Tensor | None = None


class Branch(nn.Module):
    """A MONAI network plus what training needs of its inside, all in one forward pass.

    The projector (methods that contrast whole images use it) belongs to training: it is not saved in a pack.
    """

    def __init__(
        self,
        architecture: str,
        arguments: dict[str, Any],
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 2,
        embedding_size: int = 0,
    ) -> None:
        """Build the network.

        Args:
            architecture: a name of `architectures.ARCHITECTURES`.
            arguments: its arguments; see `architectures.resolve` for what is refused.
            in_channels: modalities read.
            out_channels: classes, background included.
            spatial_dims: 2 or 3.
            embedding_size: length of the projected image vector; 0 for no projector.
        """
        super().__init__()
        kind, checked = resolve(architecture, arguments)
        self.network = kind.build(spatial_dims, in_channels, out_channels, checked)
        self.divisor = kind.divisor(checked)
        self.tap_paths = kind.taps(checked)
        self.head = kind.head
        self.projector: nn.Module | None = None
        if embedding_size:
            width = self._bottleneck_width(in_channels, spatial_dims)
            # The mean of an instance-normalised channel is the same for every image: what tells images apart is where
            # it is high, so a coarse grid is kept. Two layers, since the branches must meet in one space.
            pool = nn.AdaptiveAvgPool2d(4) if spatial_dims == 2 else nn.AdaptiveAvgPool3d(2)
            cells = 16 if spatial_dims == 2 else 8
            self.projector = nn.Sequential(
                pool,
                nn.Flatten(),
                nn.Linear(cells * width, width),
                nn.ReLU(inplace=True),
                nn.Linear(width, embedding_size),
            )

    def takes(self, size: Sequence[int]) -> bool:
        """Say whether inputs of this size can pass: whole at every level, and more than one voxel at the deepest."""
        return all(n % self.divisor == 0 for n in size) and math.prod(n // self.divisor for n in size) > 1

    def _bottleneck_width(self, in_channels: int, spatial_dims: int) -> int:
        training = self.network.training
        self.network.eval()
        with torch.no_grad():
            side = 2 * self.divisor  # instance norm needs more than one value per channel
            shape = (1, in_channels, *(side,) * spatial_dims)
            features = self._run(torch.zeros(shape), {"bottleneck"}, None)[1]
        self.network.train(training)
        return features["bottleneck"].shape[1]

    def _run(self, x: Tensor, taps: Iterable[str], perturb: Perturbation | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the network with hooks that live for this pass only: a copied branch must not report to its original."""
        wanted, captured = set(taps), {}

        def hook(tap: str) -> Callable[[nn.Module, Any, Tensor], Tensor]:
            def capture(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
                if perturb is not None and tap.startswith("encoder"):
                    output = perturb(tap, output)
                if tap in wanted:
                    captured[tap] = output
                return output

            return capture

        hooked = self.tap_paths if perturb is not None else {t: self.tap_paths[t] for t in wanted}
        handles = [self.network.get_submodule(p).register_forward_hook(hook(t)) for t, p in hooked.items()]
        try:
            return self.network(x), captured
        finally:
            for handle in handles:
                handle.remove()

    def forward(self, x: Tensor, taps: Iterable[str] = (), perturb: Perturbation | None = None) -> BranchOutput:
        """Run the network once.

        Args:
            x: ``(N, M, *spatial)``, each side a multiple of `divisor`.
            taps: names of the feature maps to return: ``"encoder-0"``, ..., ``"bottleneck"``.
            perturb: applied to every encoder level's output, ``(tap, features) -> features``.

        Returns:
            logits, the tapped features, and the embedding where the branch has a projector.
        """
        wanted = set(taps)
        logits, features = self._run(x, wanted | ({"bottleneck"} if self.projector else set()), perturb)
        embedding = None
        if self.projector is not None:
            embedding = nn.functional.normalize(self.projector(features["bottleneck"]).float(), dim=1)
        return BranchOutput(logits, {t: f for t, f in features.items() if t in wanted}, embedding)
