"""How large the grid of a new model should be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage
from SemiSegCervicalLib.engine.files import read_image, read_labels
from SemiSegCervicalLib.errors import SemiSegError

from .datalist import Datalist

PIXELS_LEAST, PIXELS_CPU, PIXELS_GPU = 15_400, 41_000, 95_000
# A structure of this many voxels across keeps its shape; on a finer grid networks see less of the image at once, and
# take longer. Five cervix images taught more at 96 x 160 than at 160 x 256 (measured on twenty others), at a third of
# the work.
STRUCTURE_VOXELS = 32
_CASES_LOOKED_AT = 20


def plan_size(datalist: Datalist, gpu: bool) -> tuple[int, ...]:
    """Choose the grid of a new model by the images and by the size of what is annotated in them.

    Args:
        datalist: the data; its first training image gives the proportions.
        gpu: whether a graphics card trains; then the largest grid may be larger.

    Returns:
        ``(Y, X)`` or ``(Z, Y, X)``.

    Raises:
        SemiSegError: no training case, or a file is at fault.
    """
    entries = (*datalist["training"], *datalist["unlabeled"])
    if not entries:
        raise SemiSegError(
            "no-cases", f"{datalist.path} names no training case", "Add cases to its list training", "reading"
        )
    shape = read_image(entries[0].images, entries[0].spacing).spatial_shape
    # A stroke is not the size of what it lies in.
    outlined = [e.label for e in datalist["training"] if e.label is not None and e.completeness.complete]
    classes = range(1, len(datalist.classes) + 1)
    across = structure_size((read_labels(path) for path in outlined[:_CASES_LOOKED_AT]), classes)
    wanted = math.prod(shape) * (STRUCTURE_VOXELS / across) ** len(shape) if across else math.inf
    return network_size(shape, min(max(wanted, PIXELS_LEAST), PIXELS_GPU if gpu else PIXELS_CPU))


def structure_size(label_maps: Iterable[np.ndarray], classes: Iterable[int]) -> float | None:
    """Return how many voxels the smallest kind of structure is across: the side of a square or cube of equal size.

    Args:
        label_maps: integers ``(*spatial)``.
        classes: the label values that count.

    Returns:
        The median over the connected structures of a class, for the class where it is smallest; None without any.
    """
    sides: dict[int, list[float]] = {}
    for labels in label_maps:
        for value in classes:
            parts, _ = ndimage.label(labels == value)
            counts = np.bincount(parts.ravel())[1:]
            sides.setdefault(value, []).extend(counts ** (1 / labels.ndim))
    return min((float(np.median(s)) for s in sides.values() if s), default=None)


def network_size(shape: Sequence[int], pixels: float, divisor: int = 32) -> tuple[int, ...]:
    """Choose a grid of about `pixels` voxels with the proportions of `shape` and sides that every network can halve."""
    scale = min(1.0, (pixels / math.prod(shape)) ** (1 / len(shape)))
    return tuple(max(divisor, round(n * scale / divisor) * divisor) for n in shape)
