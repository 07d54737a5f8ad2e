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
