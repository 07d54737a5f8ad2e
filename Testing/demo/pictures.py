"""Arrays as parts of a web page: pictures inside the page, outlines as vectors, uncertainty in Slicer's colours."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from contourpy import contour_generator
from matplotlib.path import Path as MatplotlibPath
from PIL import Image
from scipy import ndimage
from SemiSegCervicalLib.scene.overlay import DEFAULT_THRESHOLD, uncertainty_colors

# Neighbouring uncertain pixels make a place to look at; a lone one does not.
_PLACE_SIGMA = 9.0
_PLACE_RADIUS = 34
_SECOND_PLACE_SHARE = 0.75
# Pixels by which a drawn outline may leave the true one.
_SIMPLIFY = 0.35
# Pixels of smoothing; the next one is taken where a path would be longer than so many characters.
_SMOOTHING = (0.9, 2.5, 6.0)
_LONGEST_PATH = 20_000


@dataclass(frozen=True)
class Place:
    """A spot that deserves a look: centre (x, y) and radius in pixels, and its mean uncertainty in percent."""

    x: float
    y: float
    radius: int
    percent: int


def jpeg(image: np.ndarray, width: int | None = None, quality: int = 82) -> str:
    """Return a grey image ``(Y, X)`` as a data URI, scaled to `width`."""
    picture = Image.fromarray(image)
    if width is not None and width < picture.width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    return _data_uri(picture, "JPEG", quality=quality, optimize=True)


def color_ramp(scene: Any) -> np.ndarray:
    """Return the scene's uncertainty colours, uint8 ``(101, 4)``, for 0 to 100 %, as the panel shows them at first."""
    node = uncertainty_colors(scene)
    ramp = np.zeros((101, 4))
    for value in range(101):
        node.GetColor(value, ramp[value])
    ramp[:DEFAULT_THRESHOLD, 3] = 0.0
    return np.rint(ramp * 255).astype(np.uint8)


def overlay(uncertainty: np.ndarray, ramp: np.ndarray, scale: float) -> str:
    """Return an uncertainty map in 0 to 1, ``(Y, X)``, as a transparent picture in a data URI.

    Args:
        uncertainty: the map.
        ramp: uint8 ``(101, 4)``, red, green, blue, opacity.
        scale: of the picture against the map; the page draws it back to full size.
    """
    percent = np.rint(ndimage.zoom(uncertainty, scale, order=1) * 100).clip(0, 100).astype(np.uint8)
    indexed = Image.fromarray(percent).convert("L")
    palette = Image.frombytes("P", indexed.size, indexed.tobytes())
    palette.putpalette(ramp[:, :3].tobytes(), "RGB")
    return _data_uri(palette, "PNG", transparency=ramp[:, 3].tobytes(), optimize=True)


def outline(mask: np.ndarray, but_not_along: np.ndarray | None = None) -> str:
    """Return the outline of a mask ``(Y, X)`` as the ``d`` attribute of an SVG path, in pixels.

    The mask's stairs are smoothed by less than a pixel, and points that change nothing to the eye are left out. Only
    the rags of a model that has learned nothing yet are smoothed more, or the page would not open. Empty for an empty
    mask.

    Args:
        mask: the region.
        but_not_along: a neighbouring region; the part of the outline that both share is left out, so that two dashed
            lines do not make a solid one.
    """
    if not mask.any():
        return ""
    padded = np.pad(mask.astype(np.float32), 2)
    path = ""
    for sigma in _SMOOTHING:
        path = "".join(
            _path(piece)
            for line in contour_generator(z=ndimage.gaussian_filter(padded, sigma)).lines(0.5)
            for piece in _pieces(np.asarray(line), but_not_along)
        )
        if len(path) <= _LONGEST_PATH:
            break
    return path


def _path(line: np.ndarray) -> str:
    """Return a line ``(N, 2)`` of x and y in the padded mask as a part of a path."""
    path = MatplotlibPath(line - 1.5)  # pixel (0, 0) has its centre at (0.5, 0.5)
    path.simplify_threshold = _SIMPLIFY
    kept = path.cleaned(simplify=True)
    corners = np.isin(np.asarray(kept.codes), (MatplotlibPath.MOVETO, MatplotlibPath.LINETO))
    points = np.asarray(kept.vertices)[corners]
    if len(points) < 4:
        return ""
    closed = "Z" if np.array_equal(line[0], line[-1]) else ""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + closed


def _pieces(line: np.ndarray, neighbour: np.ndarray | None) -> list[np.ndarray]:
    """Cut a closed line ``(N, 2)`` of x and y in the padded mask where it runs along a neighbour."""
    if neighbour is None:
        return [line]
    near = ndimage.binary_dilation(np.pad(neighbour, 2), iterations=2)
    column, row = np.rint(line).astype(int).T
    along = near[row, column]
    if not along.any():
        return [line]
    # Begin where the shared part ends, so that no piece is cut at the line's own start.
    start = int(np.flatnonzero(along)[-1]) + 1
    line, along = np.roll(line[:-1], -start, axis=0), np.roll(along[:-1], -start)
    cuts = np.flatnonzero(np.diff(along)) + 1
    return [piece for piece, shared in zip(np.split(line, cuts), np.split(along, cuts), strict=True) if not shared[0]]


def places(uncertainty: np.ndarray) -> list[Place]:
    """Return one or two spots where a map ``(Y, X)`` in 0 to 1 is most uncertain, the worst first."""
    smooth = ndimage.gaussian_filter(uncertainty, _PLACE_SIGMA)
    y, x = np.ogrid[: smooth.shape[0], : smooth.shape[1]]
    edge = np.minimum(np.minimum(y, smooth.shape[0] - 1 - y), np.minimum(x, smooth.shape[1] - 1 - x))
    smooth = np.where(edge >= _PLACE_RADIUS, smooth, 0.0)  # the whole ring stays inside the picture
    found: list[Place] = []
    first = float(smooth.max())
    for _ in range(2):
        row, column = np.unravel_index(int(smooth.argmax()), smooth.shape)
        value = float(smooth[row, column])
        if value <= 0 or value < _SECOND_PLACE_SHARE * first:
            break
        found.append(Place(float(column), float(row), _PLACE_RADIUS, round(100 * value)))
        smooth = np.where((y - row) ** 2 + (x - column) ** 2 < (2.4 * _PLACE_RADIUS) ** 2, 0.0, smooth)
    return found


def css_color(color: tuple[float, float, float]) -> str:
    """Return a colour of three parts in 0 to 1 as ``#rrggbb``."""
    return "#" + "".join(f"{round(part * 255):02x}" for part in color)


def css_gradient(ramp: np.ndarray) -> str:
    """Return the uncertainty colours as a CSS gradient from 0 to 100 %."""
    stops = [f"rgba({r},{g},{b},{a / 255:.2f}) {value}%" for value, (r, g, b, a) in enumerate(ramp) if value % 10 == 0]
    return f"linear-gradient(to right, {', '.join(stops)})"


def _data_uri(picture: Image.Image, kind: str, **options: Any) -> str:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
