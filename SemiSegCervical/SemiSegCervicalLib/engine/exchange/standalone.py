"""A pack's networks and their vote as plain modules, which a program elsewhere can run without SemiSeg.

Nothing here works in slabs, as the engine does: what is traced must not depend on the size of an image.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..pack import Pack
from ..schema import InputSpec
from ..uncertainty import entropy


class Voting(nn.Module):
    """All branches on the network's grid, and what they agree on; see `result.vote`."""

    def __init__(self, pack: Pack) -> None:
        """Take the networks; they are not copied."""
        super().__init__()
        self.networks = nn.ModuleList([branch.network for branch in pack.branches])
        self.reads = [list(spec.modalities) for spec in pack.manifest.branches]
        self.temperatures = list(pack.manifest.calibration.temperatures)
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Return the fields that may be merged over windows and resampled.

        Args:
            image: standardised ``(N, M, *size)``.

        Returns:
            ``(N, C + 1, *size)``: mean probabilities, and the mean entropy of the single branches.
        """
        parts, entropies = [], []
        for network, reads, temperature in zip(self.networks, self.reads, self.temperatures, strict=True):
            part = functional.softmax(network(image[:, reads]) / temperature, dim=1)
            parts.append(part)
            entropies.append(entropy(part, checked=False))
        return torch.cat([torch.stack(parts).mean(dim=0), torch.stack(entropies).mean(dim=0)[:, None]], dim=1)


class Answer(nn.Module):
    """A `Voting` with what follows from its fields, for who needs no windows."""

    def __init__(self, pack: Pack) -> None:
        super().__init__()
        self.voting = Voting(pack)
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return ``(N, C, *size)`` probabilities and, in [0, 1], ``(N, 1, *size)`` uncertainty and disagreement.

        A single branch disagrees with nobody: then there are two.
        """
        fields = self.voting(image)
        probabilities, single = fields[:, :-1], fields[:, -1:]
        uncertainty = entropy(probabilities, checked=False)[:, None]
        if len(self.voting.networks) == 1:
            return probabilities, uncertainty
        return probabilities, uncertainty, (uncertainty - single).clamp(0.0, 1.0)


class Fitted(nn.Module):
    """A traced `Voting` of a ``fit`` pack between an image of any size and its own grid; see `preprocess`."""

    def __init__(self, voting: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.voting = voting
        self.size = list(spec.size)
        self.clip = float(spec.clip)
        self.mode = "bilinear" if spec.spatial_dims == 2 else "trilinear"
        self.antialias = spec.spatial_dims == 2
        self.low = [-math.inf if r is None else r.low for r in spec.fixed]
        self.high = [math.inf if r is None else r.high for r in spec.fixed]
        self.fixed = [r is not None for r in spec.fixed]
        self.mean = [r.mean if r else 0.0 for r in spec.fixed]
        self.deviation = [r.deviation if r else 1.0 for r in spec.fixed]
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Return the fields of `Voting` on the grid of an image ``(1, M, *source)`` as it was read."""
        source = list(image.shape[2:])
        scale = min([float(t) / float(s) for s, t in zip(source, self.size)])  # noqa: B905  # TorchScript has no strict
        content = [min(t, max(1, int(round(s * scale)))) for s, t in zip(source, self.size)]  # noqa: B905, RUF046
        column = [1, -1] + [1] * len(source)
        low, high = torch.tensor(self.low).view(column), torch.tensor(self.high).view(column)
        image = torch.minimum(torch.maximum(image, low.to(image.device)), high.to(image.device))
        if source != content:
            image = functional.interpolate(
                image, size=content, mode=self.mode, align_corners=False, antialias=self.antialias
            )
        axes = [2, 3] if len(source) == 2 else [2, 3, 4]
        mean = image.mean(axes, keepdim=True)
        floor = (image.abs().amax(axes, keepdim=True) * 1e-5).clamp_min(1e-30)
        deviation = torch.sqrt(((image - mean) * (image - mean)).mean(axes, keepdim=True)).maximum(floor)
        fixed = torch.tensor(self.fixed).view(column).to(image.device)
        mean = torch.where(fixed, torch.tensor(self.mean).view(column).to(image.device), mean)
        deviation = torch.where(fixed, torch.tensor(self.deviation).view(column).to(image.device), deviation)
        image = ((image - mean) / deviation).clamp(-self.clip, self.clip)
        margins: list[int] = []
        for k in range(len(source)):
            axis = len(source) - 1 - k
            margins += [0, self.size[axis] - content[axis]]
        fields = self.voting(functional.pad(image, margins))
        for k in range(len(source)):
            fields = fields.narrow(k + 2, 0, content[k])
        if source != content:
            fields = functional.interpolate(fields, size=source, mode=self.mode, align_corners=False)
        return fields


def scripted(pack: Pack) -> torch.jit.ScriptModule:
    """Return a pack as TorchScript: a `Fitted` for images of any size, or a `Voting` for the windows of an inferer."""
    spec = pack.manifest.input
    example = torch.zeros(1, len(spec.modalities), *spec.size)
    with warnings.catch_warnings():
        # PyTorch turns away from TorchScript; MONAI's bundles hold it.
        warnings.simplefilter("ignore")
        voting = torch.jit.trace(Voting(pack), example, check_trace=False)
        return torch.jit.script(Fitted(voting, spec)) if spec.sampling == "fit" else voting
