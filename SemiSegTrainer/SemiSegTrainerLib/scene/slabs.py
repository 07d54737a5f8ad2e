"""Images in slabs: how much of one is read at once."""

from __future__ import annotations

from collections.abc import Iterator

SLAB_VOXELS = 1 << 18
"""Voxels that are read at once: a few milliseconds of work."""


def slabs_of(shape: tuple[int, int, int], voxels: int = SLAB_VOXELS) -> Iterator[tuple[int, int]]:
    """Cut an image into slabs of planes of at most so many voxels, though of one plane at least.

    Args:
        shape: ``(Z, Y, X)``.
        voxels: of a slab.

    Yields:
        The first plane, and the one after the last.
    """
    planes = max(1, voxels // max(1, shape[1] * shape[2]))
    for first in range(0, shape[0], planes):
        yield first, min(first + planes, shape[0])
