"""Small pictures of images: of a volume the slice with the most paint, as it is seen in a slice view."""

from __future__ import annotations

import numpy as np
from SemiSegCervicalLib.pieces import Pieces, whole

from .memory import Memory
from .training_set import TrainingCase

_LOOKED_AT = 10_000
_MADE: Memory[np.ndarray] = Memory()


def thumbnail(case: TrainingCase, width: int) -> np.ndarray:
    """Do what `thumbnail_in_pieces` does, at once."""
    return whole(thumbnail_in_pieces(case, width))


def thumbnail_in_pieces(case: TrainingCase, width: int) -> Pieces[np.ndarray]:
    """Make a small picture of an image; remembered until the image or its paint changes.

    Args:
        case: of a volume, the slice with the most paint is shown, the middle one where there is none.
        width: in pixels; the height follows from the size in mm.

    Returns:
        uint8 ``(H, W)``, anterior or superior on top, the patient's right on the left; black where reading the image
        takes long.
    """
    if case.present[0].costly:
        return np.zeros((width, width), dtype=np.uint8)
    number = yield from _slice_shown(case)
    image = case.present[0]
    key = (image.key, image.stamp, number, width)
    known = _MADE.get(key) if image.stamp is not None else None
    if known is not None:
        return known
    plane = image.read(number, number + 1)[0]
    yield
    spacing = case.spacing[-2:] if case.spacing is not None else (1.0, 1.0)
    rows, columns = plane.shape
    height = int(np.clip(round(width * rows * spacing[0] / (columns * spacing[1])), 1, 4 * width))
    picture = _grey(_smaller(plane, height, width))
    # Array axes run along the columns of the matrix: j is the second, i the first one.
    right, up = case.affine[:3, 0], case.affine[:3, 1]
    if up[np.abs(up).argmax()] > 0 and np.abs(up).argmax() > 0:
        picture = picture[::-1]
    if np.abs(right).argmax() == 0 and right[0] > 0:
        picture = picture[:, ::-1]
    picture = np.ascontiguousarray(picture)
    return _MADE.put(key, picture) if image.stamp is not None else picture


def _slice_shown(case: TrainingCase) -> Pieces[int]:
    if case.shape[0] == 1 or case.read_labels is None:
        return case.shape[0] // 2
    yield from case.count_in_pieces()
    paint = case.counts[:, 1:].sum(axis=1)
    return int(paint.argmax()) if paint.any() else case.shape[0] // 2


def _smaller(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a plane at another size: the means of whole blocks, then the nearest one."""
    down = max(1, plane.shape[0] // height), max(1, plane.shape[1] // width)
    rows, columns = plane.shape[0] // down[0], plane.shape[1] // down[1]
    blocks = plane[: rows * down[0], : columns * down[1]].reshape(rows, down[0], columns, down[1])
    means = blocks.mean(axis=(1, 3), dtype=np.float32)
    return means[np.arange(height) * rows // height][:, np.arange(width) * columns // width]


def _grey(picture: np.ndarray) -> np.ndarray:
    """Return intensities as grey values: the lowest and highest hundredth are black and white."""
    values = picture[np.isfinite(picture)]
    if not values.size:
        return np.zeros(picture.shape, dtype=np.uint8)
    looked_at = np.sort(values[:: max(1, values.size // _LOOKED_AT)])  # np.percentile imports a tenth of a second
    low, high = (float(looked_at[round(share * (looked_at.size - 1))]) for share in (0.01, 0.99))
    scaled = (np.nan_to_num(picture, nan=low) - low) * (255 / max(high - low, 1e-6))
    return np.rint(scaled.clip(0, 255)).astype(np.uint8)
