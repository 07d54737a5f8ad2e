"""What the worker finds around it: packages, devices, threads."""

from __future__ import annotations

import platform
from dataclasses import asdict

from ..errors import SemiSegError
from ..packages import find_lacks, installed_version
from .protocol import Device, Welcome

_TOLD = ("torch", "monai", "numpy", "openvino")


def look_around() -> Welcome:
    """Return what is installed and which devices work; imports PyTorch, but nothing that takes longer.

    Raises:
        SemiSegError: packages are missing or too old.
        ImportError: one is there and cannot be loaded.
    """
    lacks = find_lacks()
    if lacks:
        raise SemiSegError(
            "missing-package", f"Python packages are not installed: {', '.join(lack.text for lack in lacks)}",
            "Install what is missing with the button Install, and try again", "starting",
        )  # fmt: skip
    from ..engine.selftest import examine_devices, thread_count

    devices = tuple(Device(**asdict(report)) for report in examine_devices())
    return Welcome(
        platform.python_version(), {name: installed_version(name) for name in _TOLD}, devices, thread_count()
    )
