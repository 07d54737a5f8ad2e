"""How much memory a training takes, and may take."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch

_GIB = 2**30
# One part of a device's memory for cases, the others for what networks make of them.
_SHARE = 3


def used_gib(device: torch.device) -> float | None:
    """Return the memory in use, GiB: of a graphics card what is reserved on it, else of this process.

    None where the system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device) / _GIB
    if device.type == "mps":
        return torch.mps.driver_allocated_memory() / _GIB
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / _GIB
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _GIB  # the most so far, in bytes there
    return None


def room_for_cases(device: torch.device) -> float:
    """Return how many bytes of training cases a device may hold, so that networks and their gradients have the rest."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / _SHARE
    if device.type == "mps":
        return torch.mps.recommended_max_memory() / _SHARE
    return math.inf
