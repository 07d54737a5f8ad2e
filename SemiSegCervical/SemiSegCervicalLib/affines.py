"""Where voxels lie, as 4x4 matrices: in which axes, and whether two IJK-to-RAS say the same place and directions."""

from __future__ import annotations

import numpy as np

LPS_AND_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From DICOM's axes to Slicer's, and from these to those."""
SAME_VOXEL = 0.01
"""What rounding in a header may do, in voxels."""


def same_axes(a: np.ndarray, b: np.ndarray) -> bool:
    """Say whether the voxels of two affines are of equal size and run in equal directions."""
    lengths = np.linalg.norm(b[:3, :3], axis=0)
    return bool((np.linalg.norm(a[:3, :3] - b[:3, :3], axis=0) < SAME_VOXEL * lengths).all())


def runs_otherwise(a: np.ndarray, b: np.ndarray) -> bool:
    """Say whether the voxels of two affines run in other directions, whatever their size.

    A file that says nothing of its place (no rotation, origin 0: written from a bare array, or a picture) is believed
    to lie where the other one does, for such files differ in nothing but the program that wrote them.
    """
    return not any(says_nothing(m) for m in (a, b)) and not same_axes(_directions(a), _directions(b))


def turned(array: np.ndarray, own: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Permute and flip the axes of ``(k, j, i)`` so that they run as those of another affine; nothing is resampled.

    Args:
        array: the voxels.
        own: their 4x4 IJK-to-RAS matrix.
        wanted: that of the other grid.

    Returns:
        The array, a view, and its affine; None where no permutation makes the axes the same.
    """
    cosines = np.linalg.solve(_directions(wanted)[:3, :3], _directions(own)[:3, :3])
    # Along each axis of the other grid: which of these runs there, and whether backwards.
    axes = np.abs(cosines).argmax(axis=1)
    back = cosines[np.arange(3), axes] < 0
    if sorted(axes) != [0, 1, 2]:
        return None
    affine = own.copy()
    affine[:3, :3] = own[:3, axes] * np.where(back, -1.0, 1.0)
    counts = np.array(array.shape[::-1])[axes]
    affine[:3, 3] += own[:3, axes] @ (back * (counts - 1))
    if runs_otherwise(affine, wanted):
        return None
    view = array.transpose(*(2 - axes)[::-1])
    return np.flip(view, tuple(2 - int(axis) for axis in np.flatnonzero(back))), affine


def lies_elsewhere(a: np.ndarray, b: np.ndarray) -> bool:
    """Say whether the first voxels of two affines are more than a voxel apart.

    A file without a place of its own (origin 0) is believed to lie where the other one does, as in `runs_otherwise`.
    """
    if not (a[:3, 3].any() and b[:3, 3].any()):
        return False
    apart = np.linalg.solve(b[:3, :3], a[:3, 3] - b[:3, 3])
    return bool(np.abs(apart).max() > 1.0)


def says_nothing(affine: np.ndarray) -> bool:
    """Say whether an affine is that of a file without a place of its own: no rotation, origin 0."""
    return np.allclose(np.abs(_directions(affine)), np.eye(4), atol=1e-4) and not affine[:3, 3].any()


def _directions(affine: np.ndarray) -> np.ndarray:
    unit = np.eye(4)
    unit[:3, :3] = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return unit
