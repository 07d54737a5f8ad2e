"""Where DICOM frames lie: one even grid of slices, or one place over time; anything else is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import SemiSegError

# Distances that rounding in a header explains, not the scanner: of a slice from the even grid along it, in mm and in
# parts of the distance between slices, and beside it in parts of a pixel.
_ALONG_MM, _ALONG, _BESIDE = 0.01, 0.05, 0.25
_SAME_DIRECTION = 1e-3
_SLICER = "Load it into 3D Slicer, which regularises it, and save the volume as NRRD"
_ONE_BY_ONE = "Give its files one by one: devices put unrelated pictures and cines into one series"
ONE_SERIES = "Keep the files of one series in a folder of their own, or load it into 3D Slicer and save it as NRRD"

Refuse = Callable[..., SemiSegError]


@dataclass(frozen=True)
class Frame:
    """One picture of a file.

    Attributes:
        path: the file.
        index: which of its frames.
        number: instance number, for what has no place in space.
        shape: rows and columns.
        position: of the first pixel's centre, LPS in mm; None where unknown.
        orientation: unit vectors along a row and along a column, LPS ``(2, 3)``; None where unknown.
        spacing: mm between rows and between columns; None where unknown.
        thickness: mm; None where unknown.
        rescale: slope and intercept of this frame; those that GDCM applies are the first frame's.
    """

    path: Path
    index: int
    number: float
    shape: tuple[int, int]
    position: np.ndarray | None
    orientation: np.ndarray | None
    spacing: tuple[float, float] | None
    thickness: float | None
    rescale: tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """How frames make an image.

    Attributes:
        frames: in the order of the first array axis.
        cine: the first axis is time, not space.
        spacing: mm in array order (z, y, x); None where unknown.
        affine: 4x4, voxel indices (i, j, k) to LPS in mm.
    """

    frames: tuple[Frame, ...]
    cine: bool
    spacing: tuple[float, float, float] | None
    affine: np.ndarray


def lay_out(path: Path, frames: list[Frame]) -> Layout:
    """Put the frames of one series in order.

    Args:
        path: where they come from, for messages.
        frames: all of them.

    Raises:
        SemiSegError: they are of different kinds or of several cines, or their slices do not lie on one even grid.
    """

    def refuse(code: str, cause: str, remedy: str = _SLICER) -> SemiSegError:
        return SemiSegError(code, f"{path} {cause}", remedy, "reading")

    files = Counter(frame.path for frame in frames)
    cines = sum(files[path] > 1 for path in {frame.path for frame in frames if frame.position is None})
    if cines and len(files) > 1:
        raise refuse("several-cines", f"holds {len(files)} files of one series, {cines} of them cine", _ONE_BY_ONE)
    apart = ONE_SERIES if any(frame.position is not None for frame in frames) else _ONE_BY_ONE
    shapes = Counter(frame.shape for frame in frames)
    if len(shapes) > 1:
        sizes = ", ".join(f"{n} of {shape[0]} x {shape[1]}" for shape, n in shapes.most_common())
        raise refuse("mixed-series", f"mixes pictures of different sizes: {sizes}", apart)
    spacings = {frame.spacing and tuple(round(mm, 4) for mm in frame.spacing) for frame in frames}
    if len(spacings) > 1:
        raise refuse("mixed-series", "mixes pictures of different pixel spacing", apart)
    spacing = frames[0].spacing
    placed = [frame for frame in frames if frame.position is not None and frame.orientation is not None]
    if placed and len(placed) < len(frames):
        raise refuse("mixed-series", f"has {len(frames) - len(placed)} slices that say nothing of their position")
    if not placed:
        return _in_time(frames, spacing, np.eye(4))
    directions = _one_orientation(placed, refuse)
    normal = np.cross(directions[0], directions[1])
    height, width = spacing or (1.0, 1.0)
    frames = sorted(placed, key=lambda frame: float(_position(frame) @ normal))
    positions = np.stack([_position(frame) for frame in frames])
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = directions[0] * width, directions[1] * height
    affine[:3, 3] = positions[0]
    if len(frames) > 1 and np.ptp(positions, axis=0).max() < _ALONG_MM:
        affine[:3, 2] = normal * (frames[0].thickness or 1.0)
        return _in_time(frames, spacing, affine)
    if len(frames) > 1 and spacing is None:
        raise refuse("unknown-spacing", "does not say how far apart its pixels are")
    step = _even_step(frames, positions, normal, min(height, width), refuse)
    affine[:3, 2] = normal * step
    return Layout(tuple(frames), False, None if spacing is None else (step, height, width), affine)


def _in_time(frames: list[Frame], spacing: tuple[float, float] | None, affine: np.ndarray) -> Layout:
    """Lay out frames that share one place or have none: in the order in which they were made."""
    ordered = tuple(sorted(frames, key=lambda frame: (frame.number, str(frame.path), frame.index)))
    whole = None
    if spacing is not None:
        whole = (frames[0].thickness or 1.0, *spacing)
        affine = affine @ np.diag([*reversed(whole), 1.0]) if np.array_equal(affine, np.eye(4)) else affine
    return Layout(ordered, len(ordered) > 1, whole, affine)


def _position(frame: Frame) -> np.ndarray:
    assert frame.position is not None
    return frame.position


def _one_orientation(frames: list[Frame], refuse: Refuse) -> np.ndarray:
    groups: list[tuple[np.ndarray, int]] = []
    for frame in frames:
        found = frame.orientation
        assert found is not None
        for at, (known, count) in enumerate(groups):
            if np.abs(known - found).max() < _SAME_DIRECTION:
                groups[at] = (known, count + 1)
                break
        else:
            groups.append((found, 1))
    if len(groups) > 1:
        counts = " and ".join(str(count) for _, count in groups)
        raise refuse(
            "mixed-series",
            f"mixes slices of {len(groups)} orientations ({counts} slices), as localizers do",
            "Remove the localizers, or load it into 3D Slicer and save the volume you mean as NRRD",
        )
    return groups[0][0]


def _even_step(frames: list[Frame], positions: np.ndarray, normal: np.ndarray, pixel: float, refuse: Refuse) -> float:
    """Return the distance between slices in mm; refuse what lies on no even grid."""
    if len(frames) == 1:
        return frames[0].thickness or 1.0
    along = (positions - positions[0]) @ normal
    beside = np.linalg.norm(positions - positions[0] - along[:, None] * normal, axis=1)
    gaps = np.diff(along)
    repeated = int((gaps < _ALONG_MM).sum())
    if repeated:
        raise refuse(
            "repeated-slices",
            f"shows {repeated} of its {len(frames)} slices at a place where another one lies: a time series, or "
            "several echoes or contrasts in one",
            "Load it into 3D Slicer and save the volume you mean as NRRD",
        )
    if beside.max() > _BESIDE * pixel:
        angle = np.degrees(np.arctan2(beside.max(), along[-1]))
        raise refuse(
            "tilted",
            f"has slices that are shifted against each other by up to {beside.max():.1f} mm ({angle:.1f} degrees): a "
            "tilted gantry, or a moved table",
        )
    step = float(along[-1] / (len(frames) - 1))
    usual = float(np.median(gaps))
    away = np.abs(along - step * np.arange(len(frames))).max()
    if away > max(_ALONG_MM, _ALONG * usual) or np.abs(gaps - usual).max() > max(2 * _ALONG_MM, 2 * _ALONG * usual):
        worst = int(np.abs(gaps - usual).argmax())
        raise refuse(
            "uneven-slices",
            f"has slices that are not evenly spaced: {gaps[worst]:.2f} mm between slices {worst + 1} and {worst + 2}, "
            f"{usual:.2f} mm elsewhere; slices may be missing",
            "Copy the missing slices too, or load it into 3D Slicer, which resamples it, and save the volume as NRRD",
        )
    return step
