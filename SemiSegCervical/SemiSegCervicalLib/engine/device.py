"""Which device runs the networks, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from ..errors import SemiSegError


def resolve_device(name: str = "auto") -> torch.device:
    """Choose a device: CUDA, then MPS, then CPU for ``auto``.

    Raises:
        SemiSegError: the asked-for device is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if available[device])
    if name not in available:
        raise SemiSegError(
            "unknown-device", f"There is no device called {name!r}", "Use auto, cpu, cuda or mps", "device"
        )
    if not available[name]:
        raise SemiSegError(
            "no-device",
            f"PyTorch finds no {name} device on this computer",
            "Use --device cpu or auto",
            "device",
        )
    return torch.device(name)


def autocast(device: torch.device) -> AbstractContextManager:
    """Mixed precision where it is safe by default: float16 on CUDA, none elsewhere."""
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.float16)
    return nullcontext()
