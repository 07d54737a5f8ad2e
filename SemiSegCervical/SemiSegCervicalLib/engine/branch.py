"""A branch: one network with taps on its features and optional projectors for contrast."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .architectures import resolve
from .convolutions import fast_convolutions

Perturbation = Callable[[str, Tensor], Tensor]


@dataclass
class BranchOutput:
    """What one forward pass gives.

    Attributes:
        logits: ``(N, C, *spatial)``.
        features: the tapped feature maps, ``(N, F, *coarse)`` each, by tap name.
        embedding: unit vectors ``(N, E)``, projected from the pooled bottleneck; None without a projector.
        voxels: unit vectors ``(N, V, *coarse)``, projected from a decoder's map; None without a projector.
    """

    logits: Tensor
    features: dict[str, Tensor] = field(default_factory=dict)
    embedding: Tensor | None = None
    voxels: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> BranchOutput:
        """Return the same with every tensor changed."""
        return BranchOutput(
            change(self.logits),
            {tap: change(part) for tap, part in self.features.items()},
            None if self.embedding is None else change(self.embedding),
            None if self.voxels is None else change(self.voxels),
        )

    def split(self, counts: Sequence[int]) -> list[BranchOutput]:
        """Cut the rows into parts of `counts` rows each."""
        nothing = [None] * len(counts)
        features = {tap: f.split(list(counts)) for tap, f in self.features.items()}
        return [
            BranchOutput(logits, {tap: parts[i] for tap, parts in features.items()}, embedding, voxels)
            for i, (logits, embedding, voxels) in enumerate(
                zip(
                    self.logits.split(list(counts)),
                    nothing if self.embedding is None else self.embedding.split(list(counts)),
                    nothing if self.voxels is None else self.voxels.split(list(counts)),
                    strict=True,
                )
            )
        ]


class Branch(nn.Module):
    """A MONAI network plus what training needs of its inside, all in one forward pass.

    The projectors (methods that contrast images or voxels use them) belong to training: they are not saved in a pack.
    """

    def __init__(
        self,
        architecture: str,
        arguments: dict[str, Any],
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 2,
        embedding_size: int = 0,
        voxel_embedding: int = 0,
        voxel_tap: str = "decoder-1",
    ) -> None:
        """Build the network.

        Args:
            architecture: a name of `architectures.ARCHITECTURES`.
            arguments: its arguments; see `architectures.resolve` for what is refused.
            in_channels: modalities read.
            out_channels: classes, background included.
            spatial_dims: 2 or 3.
            embedding_size: length of the projected image vector; 0 for no projector.
            voxel_embedding: length of the projected voxel vectors; 0 for no projector.
            voxel_tap: the feature map whose voxels are projected.
        """
        super().__init__()
        kind, checked = resolve(architecture, arguments)
        self.network = kind.build(spatial_dims, in_channels, out_channels, checked)
        self.divisor = kind.divisor(checked)
        self.tap_paths = kind.taps(checked)
        self.head = kind.head
        self.voxel_tap = voxel_tap
        self.projector: nn.Module | None = None
        self.voxel_projector: nn.Module | None = None
        if embedding_size:
            width = self._width("bottleneck", in_channels, spatial_dims)
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
        if voxel_embedding:
            convolution = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
            self.voxel_projector = nn.Sequential(
                convolution(self._width(voxel_tap, in_channels, spatial_dims), voxel_embedding, 1),
                nn.ReLU(inplace=True),
                convolution(voxel_embedding, voxel_embedding, 1),
            )

    def drop_projectors(self) -> Branch:
        """Take off what only training needs; return the branch."""
        self.projector = self.voxel_projector = None
        return self

    def takes(self, size: Sequence[int]) -> bool:
        """Say whether inputs of this size can pass: whole at every level, and more than one voxel at the deepest."""
        return all(n % self.divisor == 0 for n in size) and math.prod(n // self.divisor for n in size) > 1

    def _width(self, tap: str, in_channels: int, spatial_dims: int) -> int:
        training = self.network.training
        self.network.eval()
        with torch.no_grad():
            # Two voxels at the deepest level: instance norm needs more than one value per channel.
            side = (2 * self.divisor, *(self.divisor,) * (spatial_dims - 1))
            features = self._run(torch.zeros(1, in_channels, *side), {tap}, None)[1]
        self.network.train(training)
        return features[tap].shape[1]

    def _run(self, x: Tensor, taps: Iterable[str], perturb: Perturbation | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the network with hooks that live for this pass only: a copied branch must not report to its original."""
        wanted, captured = set(taps), {}

        def hook(tap: str) -> Callable[[nn.Module, Any, Tensor], Tensor]:
            def capture(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
                if perturb is not None and (tap.startswith("encoder") or tap == "bottleneck"):
                    output = perturb(tap, output)
                if tap in wanted:
                    captured[tap] = output
                return output

            return capture

        hooked = self.tap_paths if perturb is not None else {t: self.tap_paths[t] for t in wanted}
        handles = [self.network.get_submodule(p).register_forward_hook(hook(t)) for t, p in hooked.items()]
        try:
            with fast_convolutions(x):
                return self.network(x), captured
        finally:
            for handle in handles:
                handle.remove()

    def forward(
        self, x: Tensor, taps: Iterable[str] = (), perturb: Perturbation | None = None, project: bool = True
    ) -> BranchOutput:
        """Run the network once.

        Args:
            x: ``(N, M, *spatial)``, each side a multiple of `divisor`.
            taps: names of the feature maps to return: ``"encoder-0"``, ..., ``"bottleneck"``, ``"decoder-1"``.
            perturb: applied to every encoder level's output, the deepest included, ``(tap, features) -> features``;
                what comes after, taps and projectors too, sees what it returns.
            project: False spares the projectors where nobody reads what they give.

        Returns:
            logits, the tapped features, and what the projectors give where the branch has them.
        """
        wanted, needed = set(taps), set(taps)
        if project and self.projector is not None:
            needed.add("bottleneck")
        if project and self.voxel_projector is not None:
            needed.add(self.voxel_tap)
        logits, features = self._run(x, needed, perturb)
        output = BranchOutput(logits, {t: f for t, f in features.items() if t in wanted})
        if project and self.projector is not None:
            output.embedding = nn.functional.normalize(self.projector(features["bottleneck"]).float(), dim=1)
        if project and self.voxel_projector is not None:
            output.voxels = nn.functional.normalize(self.voxel_projector(features[self.voxel_tap]).float(), dim=1)
        return output
