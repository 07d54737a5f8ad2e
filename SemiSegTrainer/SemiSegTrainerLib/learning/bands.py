"""The band around the outlines that are known: there models err, and are unsure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from .targets import decided

# In pixels or voxels: where calibration and the detection of errors are hard.
BAND_WIDTH = {2: 5.0, 3: 3.0}


def boundary_band(possible: np.ndarray, width: float, sampling: Sequence[float] | None = None) -> np.ndarray:
    """Find the decided voxels that lie at most `width` from a decided voxel of another class.

    Args:
        possible: class sets ``(*spatial)`` as of `targets.possible_classes`; 0 marks padding.
        width: Euclidean distance between voxel centres.
        sampling: how far neighbours are apart, per axis; 1 by default.

    Returns:
        bool ``(*spatial)``; nowhere True if only one class is decided.
    """
    single = (possible != 0) & decided(possible)
    values = [int(v) for v in np.unique(possible[single])]
    band = np.zeros(possible.shape, dtype=bool)
    if len(values) < 2:
        return band
    # The distance is needed near the rarer classes only: all but the commonest, and their surroundings.
    commonest = max(values, key=lambda v: int(((possible == v) & single).sum()))
    box = ndimage.find_objects((single & (possible != commonest)).astype(np.int8))[0]
    steps = sampling or (1.0,) * possible.ndim
    reach = [int(np.ceil(width / step)) for step in steps]
    near = tuple(slice(max(0, s.start - r), s.stop + r) for s, r in zip(box, reach, strict=True))
    sets, known, found = possible[near], single[near], band[near]
    for value in values:
        others = known & (sets != value)
        if others.any():
            found |= known & (sets == value) & (ndimage.distance_transform_edt(~others, steps) <= width)
    return band
