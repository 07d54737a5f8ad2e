"""Small pictures for the panel: a grey image with outlines, and with where the model is unsure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import qt
from SemiSegCervicalLib.scene.overlay import DEFAULT_THRESHOLD, perceptual_ramp

Color = Sequence[float]

WHITE: tuple[Color, ...] = ((1.0, 1.0, 1.0),)
LINE = 2
"""Pixels."""
_OPACITY = 0.7


def draw(
    image: np.ndarray,
    outlines: Sequence[tuple[np.ndarray, Sequence[Color]]] = (),
    uncertainty: np.ndarray | None = None,
    aspect: float = 1.0,
    box: tuple[int, int] = (240, 240),
) -> np.ndarray:
    """Draw a picture as large as fits into a box.

    Args:
        image: uint8 ``(Y, X)``.
        outlines: label maps uint8 ``(Y, X)``, each with the colours of the values 1, 2, 3 (red, green, blue, 0 to 1);
            the last colour serves all further values. The last map is drawn on top.
        uncertainty: percent, uint8 ``(Y, X)``.
        aspect: height of an image's pixel over its width.
        box: width and height, in pixels of the screen.

    Returns:
        uint8 ``(height, width, 3)``.
    """
    rows, columns = image.shape
    scale = min(box[0] / columns, box[1] / (rows * aspect))
    size = max(1, round(rows * aspect * scale)), max(1, round(columns * scale))
    page = np.repeat(_smooth(image, size)[..., None], 3, axis=-1)
    if uncertainty is not None:
        _tint(page, _smooth(uncertainty, size))
    for labels, colors in outlines:
        large = _nearest(labels, size)
        edge = _edges(large)
        for value in np.unique(large[edge]):
            if value:
                page[edge & (large == value)] = 255 * np.asarray(colors[min(int(value), len(colors)) - 1])
    return np.rint(page).clip(0, 255).astype(np.uint8)


def pixmap(picture: np.ndarray) -> Any:
    """Return a picture, uint8 ``(height, width, 3)``, as Qt shows it."""
    height, width, _ = picture.shape
    made = qt.QPixmap()
    made.loadFromData(qt.QByteArray(b"P6\n%d %d\n255\n" % (width, height) + np.ascontiguousarray(picture).tobytes()))
    return made


def _edges(labels: np.ndarray) -> np.ndarray:
    """Return the pixels of each label that lie within `LINE` of another one, bool; the picture's rim is no edge."""
    edge = np.zeros(labels.shape, dtype=bool)
    for shift in range(1, LINE + 1):
        below, right = labels[shift:] != labels[:-shift], labels[:, shift:] != labels[:, :-shift]
        edge[shift:] |= below
        edge[:-shift] |= below
        edge[:, shift:] |= right
        edge[:, :-shift] |= right
    return edge


def _tint(page: np.ndarray, percent: np.ndarray) -> None:
    """Colour what is uncertain as the slice views do."""
    color = 255 * perceptual_ramp(101)[np.rint(percent).clip(0, 100).astype(int)]
    alpha = np.where(percent >= DEFAULT_THRESHOLD, _OPACITY, 0.0)[..., None]
    page += alpha * (color - page)


def _nearest(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    at = [
        np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(int)
        for new, old in zip(size, values.shape, strict=True)
    ]
    return values[np.ix_(*at)]


def _smooth(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale with linear interpolation; float64."""
    scaled = values.astype(float)
    for axis, new in enumerate(size):
        old = scaled.shape[axis]
        at = ((np.arange(new) + 0.5) * old / new - 0.5).clip(0, old - 1)
        low = np.minimum(at.astype(int), max(0, old - 2))
        weight = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        high = np.minimum(low + 1, old - 1)
        scaled = (1 - weight) * scaled.take(low, axis) + weight * scaled.take(high, axis)
    return scaled
