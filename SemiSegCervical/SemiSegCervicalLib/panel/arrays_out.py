"""From the scene to the worker: voxels as files, geometry as numbers."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..scene.source import Source
from ..worker.arrays import ArrayWriter, read_array

PIECE_BYTES = 16 * 2**20


def write_images(
    folder: Path, images: Mapping[int, Source], numbers: Sequence[int] | None = None
) -> Generator[None, None, list[str]]:
    """Write the images of a case, each a volume, or chosen frames one after another, in pieces.

    Args:
        folder: of the job.
        images: by the index of the modality.
        numbers: of the frames, in the order of the file; None for a volume or a single picture.

    Returns:
        The paths of the files, in the order of `images`.

    Raises:
        SemiSegError: the disk is full, or a frame is damaged.
    """
    files = []
    for index, source in images.items():
        path = _file(folder, index)
        first = source.voxels(numbers[0] if numbers is not None else 0)
        shape = first.shape if numbers is None else (len(numbers), *first.shape)
        with ArrayWriter(path, shape, first.dtype) as writer:
            for part in _pieces(source, numbers):
                writer.write(part)
                yield
        files.append(str(path))
    return files


def check_unchanged(
    folder: Path, images: Mapping[int, Source], numbers: Sequence[int] | None = None
) -> Generator[None, None, None]:
    """Make sure that images are what `write_images` wrote: a filter may have been run on them in the meantime.

    Args:
        folder: see `write_images`, as the others.
        images: those that were written.
        numbers: of the frames.

    Raises:
        SemiSegError: they are not, and what was found is of what they were.
    """
    for index, source in images.items():
        written, at = read_array(_file(folder, index)), 0
        for part in _pieces(source, numbers):
            before = written[at : at + len(part)]
            # By their bytes: what is no number equals nothing.
            if part.dtype != before.dtype or part.shape != before.shape or part.tobytes() != before.tobytes():
                raise source.changed("changed")
            at += len(part)
            yield


def _file(folder: Path, index: int) -> Path:
    return folder / f"image-{index}.npy"


def _pieces(source: Source, numbers: Sequence[int] | None) -> Iterator[np.ndarray]:
    """Yield slices, or frames, a few at a time."""
    if numbers is not None:
        yield from (source.voxels(number)[None] for number in numbers)
        return
    voxels = source.voxels()
    at_once = max(1, PIECE_BYTES // max(1, voxels[0].nbytes))
    for start in range(0, len(voxels), at_once):
        yield voxels[start : start + at_once]


def sent_spacing(source: Source, number: int = 0) -> tuple[float, ...] | None:
    """Return the spacing that the model is told of a frame or a volume: none where it is known to be wrong."""
    return None if source.calibrated == "no" else source.spacing_of(number)


def affine_rows(source: Source) -> tuple[tuple[float, ...], ...]:
    """Return the IJK-to-RAS matrix as the worker is told."""
    return tuple(tuple(float(value) for value in row) for row in source.affine)
