"""PyTorch as it is installed, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from ..device import autocast, resolve_device
from ..pack import Pack


class TorchBackend:
    """Runs the branches one after the other.

    Attributes:
        name: ``torch``.
        precision: what the networks multiply in.
        device: where.
        notes: what a user should be told.
    """

    name = "torch"

    def __init__(self, pack: Pack, device: str = "auto") -> None:
        """Move the branches to the device once."""
        self.pack = pack
        self.device = resolve_device(device)
        self.precision = "float16" if self.device.type == "cuda" else "float32"
        self.notes: list[str] = []
        for branch in pack.branches:
            branch.to(self.device).eval()

    @torch.inference_mode()
    def __call__(self, batch: Tensor) -> list[Tensor]:
        """Return the logits of every branch.

        Args:
            batch: float32 ``(N, M, *size)`` with all modalities of the pack.

        Returns:
            float32 ``(N, C, *size)`` per branch, on the device.
        """
        batch = batch.to(self.device)
        logits = []
        for branch, spec in zip(self.pack.branches, self.pack.manifest.branches, strict=True):
            with autocast(self.device):
                logits.append(branch(batch[:, list(spec.modalities)]).logits.float())
        return logits
