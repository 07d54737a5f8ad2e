"""Cleaning of a label map by a pack's wish: stray components removed, holes filled."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .schema import PostProcess


def clean(labels: np.ndarray, spec: PostProcess) -> np.ndarray:
    """Keep the largest component of every class, then fill the holes of every class, as far as `spec` asks.

    Voxels of a class belong together where they touch, even by a corner; background leads out of a hole through faces
    only. A hole of a class is background that the class encloses, whatever else lies in it; no voxel of another class
    is ever changed, and background that several classes enclose goes to the innermost. Background that reaches the
    image's border is no hole. Of equally large components the first in array order stays.

    Args:
        labels: integers ``(*spatial)``, 2D or 3D, 0 is background. Not changed.
        spec: what to do.

    Returns:
        A map of the same shape and type; `labels` itself where there is nothing to do.
    """
    if not (spec.largest_component or spec.fill_holes):
        return labels
    result = labels.copy()
    # A volume of one slice is an image: along an axis of length 1 every voxel would reach the border.
    view = np.atleast_1d(np.squeeze(result))
    if spec.largest_component:
        _keep_largest(view)
    if spec.fill_holes:
        _fill_holes(view)
    return result


def _keep_largest(labels: np.ndarray) -> None:
    touching = np.ones((3,) * labels.ndim, dtype=bool)
    for value, box in _boxes(labels):
        inside = labels[box]
        components, count = ndimage.label(inside == value, touching)
        if count > 1:
            sizes = np.bincount(components.ravel())[1:]
            inside[(components > 0) & (components != 1 + sizes.argmax())] = 0


def _fill_holes(labels: np.ndarray) -> None:
    filled = []
    for value, box in _boxes(labels):
        # Outside its box a class has no voxel, so a hole of the box is a hole of the image.
        whole = ndimage.binary_fill_holes(labels[box] == value)
        filled.append((int(whole.sum()), value, box, whole))
    for _, value, box, whole in sorted(filled, key=lambda entry: entry[:2]):
        inside = labels[box]
        inside[whole & (inside == 0)] = value


def _boxes(labels: np.ndarray) -> list[tuple[int, tuple[slice, ...]]]:
    found = ndimage.find_objects(labels)
    return [(value, box) for value, box in enumerate(found, start=1) if box is not None]
