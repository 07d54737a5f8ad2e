"""Which device runs the networks."""

from __future__ import annotations

import torch

from ..errors import SemiSegError
from .selftest import examine_devices


def resolve_device(name: str = "auto") -> torch.device:
    """Choose a device: for ``auto`` the first of CUDA, MPS and CPU that passes its self-test.

    Raises:
        SemiSegError: the asked-for device is not there, or does not work.
    """
    if name not in ("auto", "cuda", "mps", "cpu"):
        raise SemiSegError(
            "unknown-device", f"There is no device called {name!r}", "Use auto, cpu, cuda or mps", "device"
        )
    if name == "cpu":
        return torch.device(name)
    reports = examine_devices()
    if name == "auto":
        return torch.device(next(report.name for report in reports if report.works))
    report = next((report for report in reports if report.name == name), None)
    if report is None:
        raise SemiSegError(
            "no-device",
            f"PyTorch finds no {name} device on this computer",
            "Use --device cpu or auto",
            "device",
        )
    if not report.works:
        raise SemiSegError(
            "device-error", f"{report.label} does not work: {report.reason}", "Choose the device cpu or auto", "device"
        )
    return torch.device(name)


def cannot_run(device: torch.device, reason: str) -> SemiSegError:
    """Return the error for a device that works, but lacks something that the networks need."""
    return SemiSegError(
        "device-error",
        f"The device {device.type} cannot run these networks: {reason}",
        "Choose the device cpu",
        "device",
    )
