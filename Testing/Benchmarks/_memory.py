"""What processes hold of the computer's memory."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

GIB = 2**30


def resident(process: object = "self") -> float:
    """Return the memory of a process in GiB, this one by default; Linux only."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / GIB


def peak() -> float:
    """Return the most memory that this process ever had, in GiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # The system's other count goes on from the process that started this one.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / GIB
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
