"""PyTorch as it is installed, on any device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from ...errors import SemiSegError
from ..branch import Branch
from ..device import resolve_device
from ..pack import Pack
from ..selftest import UNSURE_DEVICES, compare_with_processor
from .ladder import refusal

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class TorchBackend:
    """Runs the branches one after the other; see `base.Backend`.

    Any window size that the branches can halve is taken, not only the pack's own.
    """

    name = "torch"

    def __init__(self, pack: Pack, device: str = "auto", precision: str = "auto") -> None:
        """Move the branches to the device once.

        Args:
            pack: the model.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            precision: ``auto`` is float16 on CUDA and float32 elsewhere: on a CPU bfloat16 pays with OpenVINO, which
                checks it first.

        Raises:
            SemiSegError: the device is not there, or does not calculate in this precision.
        """
        self.pack = pack
        self.device = resolve_device(device)
        if precision == "auto":
            precision = "float16" if self.device.type == "cuda" else "float32"
        if precision != "float32" and (precision, self.device.type) not in (
            ("float16", "cuda"), ("bfloat16", "cuda"), ("bfloat16", "cpu"),
        ):  # fmt: skip
            raise SemiSegError(
                "bad-precision", f"PyTorch does not run these networks in {precision} on {self.device.type}",
                "Use the precision auto or float32", "settings",
            )  # fmt: skip
        self.precision = precision
        self.notes: list[str] = []
        # Tensor cores want the channels last. On a CPU the layout won nothing in 2D and lost in 3D, so it stays.
        self._layout = torch.contiguous_format
        if self.device.type == "cuda":
            self._layout = torch.channels_last if pack.manifest.input.spatial_dims == 2 else torch.channels_last_3d
        for branch in pack.branches:
            self._place(branch.eval())

    @torch.inference_mode()
    def __call__(self, batch: Tensor) -> list[Tensor]:
        """Return float32 logits ``(N, C, *size)`` per branch; see `base.Backend`."""
        batch = batch.to(self.device)
        logits = []
        for branch, spec in zip(self.pack.branches, self.pack.manifest.branches, strict=True):
            # Another predictor may share the branch, and may have left this device with it.
            if next(branch.parameters()).device.type != self.device.type:
                self._place(branch)
            own = batch[:, list(spec.modalities)].contiguous(memory_format=self._layout)
            with self._autocast():
                logits.append(branch(own).logits.float())
        return logits

    def refusal(self) -> str:
        """Return why the device cannot run the networks, or an empty string.

        Metal lacks operations of volumes, and gives wrong numbers for others.
        """
        spec = self.pack.manifest.input
        shape = (1, len(spec.modalities), *spec.size)

        def job() -> None:
            if self.device.type in UNSURE_DEVICES:
                compare_with_processor(self, TorchBackend(self.pack, "cpu", "float32"), shape)
            else:
                self(torch.zeros(shape))

        return refusal(job)

    @torch.inference_mode(False)  # else nobody could train with it any more
    def _place(self, branch: Branch) -> None:
        branch.to(self.device).to(memory_format=self._layout)  # type: ignore[call-overload]

    def _autocast(self) -> AbstractContextManager:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=_DTYPES[self.precision])
