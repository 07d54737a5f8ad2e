"""From the scene to the worker: voxels as files, geometry as numbers."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from ..scene.source import Source
from ..worker.arrays import ArrayWriter

PIECE_BYTES = 16 * 2**20


def write_images(path: Path, source: Source, numbers: Sequence[int] | None = None) -> Generator[None, None, None]:
    """Write a volume, or chosen frames one after another, in pieces.

    Args:
        path: the file to write, ``.npy``.
        source: the image.
        numbers: of the frames, in the order of the file; None for a volume or a single picture.

    Raises:
        SemiSegError: the disk is full, or a frame is damaged.
    """
    if numbers is not None:
        first = source.voxels(numbers[0])
        with ArrayWriter(path, (len(numbers), *first.shape), first.dtype) as writer:
            for number in numbers:
                writer.write(source.voxels(number))
                yield
        return
    voxels = source.voxels()
    at_once = max(1, PIECE_BYTES // max(1, voxels[0].nbytes))
    with ArrayWriter(path, voxels.shape, voxels.dtype) as writer:
        for start in range(0, len(voxels), at_once):
            writer.write(voxels[start : start + at_once])
            yield


def sent_spacing(source: Source, number: int = 0) -> tuple[float, ...] | None:
    """Return the spacing that the model is told of a frame or a volume: none where it is known to be wrong."""
    return None if source.calibrated == "no" else source.spacing_of(number)


def affine_rows(source: Source) -> tuple[tuple[float, ...], ...]:
    """Return the IJK-to-RAS matrix as the worker is told."""
    return tuple(tuple(float(value) for value in row) for row in source.affine)
