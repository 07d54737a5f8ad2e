"""What the worker finds around it: packages, devices, threads."""

from __future__ import annotations

import importlib.util
import platform
from dataclasses import asdict
from importlib import metadata

from ..errors import SemiSegError
from .protocol import Device, Welcome

# As they are imported; without one of these nothing can be computed.
_NEEDED = ("torch", "monai", "numpy", "scipy", "SimpleITK", "PIL", "pydantic", "safetensors")
_TOLD = ("torch", "monai", "numpy", "openvino")


def look_around() -> Welcome:
    """Return what is installed and which devices work; imports PyTorch, but nothing that takes longer.

    Raises:
        SemiSegError: packages are missing.
        ImportError: one is there and cannot be loaded.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SemiSegError(
            "missing-package", f"Python packages are not installed: {', '.join(missing)}",
            "Install what is missing with the button Install, and try again", "starting",
        )  # fmt: skip
    from ..engine.selftest import examine_devices, thread_count

    devices = tuple(Device(**asdict(report)) for report in examine_devices())
    return Welcome(platform.python_version(), {name: _version(name) for name in _TOLD}, devices, thread_count())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
