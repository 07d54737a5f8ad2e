"""Images for the engine from what the client wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from ..engine.image import Image, filled, grey_from_rgb
from ..errors import SemiSegError
from .arrays import read_array

Affine = tuple[tuple[float, ...], ...]
_REAL = "biuf"


def open_images(paths: Sequence[str], rgb: bool, dims: Sequence[int]) -> list[np.ndarray]:
    """Open the modalities of a case, still on disk.

    Args:
        paths: a .npy file each.
        rgb: the last axis is colour.
        dims: how many other axes there may be.

    Raises:
        SemiSegError: none, unreadable, of different shapes or of another number of axes.
    """
    arrays = [read_array(path) for path in paths]
    shapes = {array.shape for array in arrays}
    if not arrays or len(shapes) > 1:
        raise _bad(f"The modalities have different sizes: {', '.join(map(str, sorted(shapes)))}" if arrays else "None")
    array = arrays[0]
    if array.ndim - rgb not in dims or 0 in array.shape or (rgb and array.shape[-1] not in (3, 4)):
        raise _bad(f"An array of the shape {array.shape} is no {'colour ' * rgb}image of {dims[0]} dimensions")
    if any(array.dtype.kind not in _REAL for array in arrays):
        raise _bad(f"An array of the type {array.dtype} is no image")
    return arrays


def image_of(
    arrays: Sequence[np.ndarray], rgb: bool, spacing: tuple[float, ...] | None, affine: Affine | None
) -> Image:
    """Put the modalities of one image together: float32 ``(M, *spatial)``."""
    stacked, gaps = filled(np.stack([grey_from_rgb(a) if rgb else np.asarray(a, dtype=np.float32) for a in arrays]))
    if spacing is not None and (len(spacing) != stacked.ndim - 1 or min(spacing) <= 0):
        raise _bad(f"The spacing {list(spacing)} does not fit an image of {stacked.ndim - 1} dimensions")
    matrix = np.eye(4) if affine is None else np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise _bad("The image's place in space is no 4 x 4 matrix")
    return Image(stacked, spacing, matrix, rgb, gaps)


class Frames(Sequence[Image]):
    """Chosen frames of a cine, each made into an image when it is looked at: a long cine in floats is large."""

    def __init__(
        self,
        arrays: Sequence[np.ndarray],
        indices: Sequence[int],
        rgb: bool,
        spacing: tuple[float, ...] | None,
        affine: Affine | None,
    ) -> None:
        self.arrays, self.indices = arrays, list(indices)
        self._rest = rgb, spacing, affine

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, at: int) -> Image: ...

    @overload
    def __getitem__(self, at: slice) -> Frames: ...

    def __getitem__(self, at: int | slice) -> Image | Frames:
        if isinstance(at, slice):
            return Frames(self.arrays, self.indices[at], *self._rest)
        return image_of([array[self.indices[at]] for array in self.arrays], *self._rest)

    def __iter__(self) -> Iterator[Image]:
        return (self[at] for at in range(len(self)))


def choose_frames(indices: tuple[int, ...] | None, count: int) -> list[int]:
    """Return the indices of the wanted frames.

    Raises:
        SemiSegError: one that is not there, or twice, or none.
    """
    chosen = list(range(count)) if indices is None else list(indices)
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0 or max(chosen) >= count:
        raise _bad(f"The frames {chosen[:5]} ... are not among the {count} of the sequence")
    return chosen


def _bad(cause: str) -> SemiSegError:
    return SemiSegError("bad-input", cause, "Report it with the log", "reading")
