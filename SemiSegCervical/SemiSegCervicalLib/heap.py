"""What becomes of memory that a computing process has freed.

On Linux the C library gives large blocks back to the system at once, and the system clears every page of the next one
again. PyTorch frees and asks for blocks of the same sizes at every step: a training on windows of 80 x 112 x 112 spent
more than a quarter of its time so (`bench scale`). Elsewhere nothing is done: PyTorch's allocator on Windows, and that
of macOS, keep blocks.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

# Of GNU's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Larger blocks are given back as before. Versions of the C library before 2.35 take no more than the second.
_LARGEST = (2**30, 2**25)


def keep_freed_memory() -> bool:
    """Have this process use freed memory again instead of giving it back, up to 1 GiB.

    For processes of ours alone: how a program that imports this library handles its memory is not the library's to say.

    Returns:
        Whether anything was changed: not where the system or the user sees to it.
    """
    library = _gnu()
    if library is None or any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    if not any(library.mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST):
        return False
    return bool(library.mallopt(_TRIM_THRESHOLD, _LARGEST[0]))


def give_back_freed_memory() -> None:
    """Give the system what was kept: for a process that now waits, perhaps for hours."""
    library = _gnu()
    if library is not None:
        library.malloc_trim(0)


def _gnu() -> Any:
    """Return this process's C library where it is GNU's."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
