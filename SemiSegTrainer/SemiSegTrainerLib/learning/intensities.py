"""Whether intensities mean the same in every image, as Hounsfield units do, and which of them structures have.

On CT each tissue has its number, whatever else the image shows: standardised by the image itself, the liver would be
brighter where more air was scanned. So as nnU-Net does it (Isensee et al., Nature Methods 2021), intensities are
clipped to the range that annotated structures have, and standardised by these in all images alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.intensity import not_hounsfield
from SemiSegCervicalLib.engine.schema import IntensityRange
from SemiSegCervicalLib.errors import SemiSegError

from .data import read_sets
from .datalist import Datalist, Entry
from .targets import outlined

WISHES = ("auto", "image", "range")
# Air is -1000 Hounsfield units; no other modality has so many voxels so far below 0.
_AIR = (-1100.0, -900.0)
_AIR_SHARE = 0.001
# So many cases tell what the input of a new model should be.
CASES_LOOKED_AT = 20
# As many of every case, lest one large structure tell all.
_VOXELS_OF_A_CASE = 20_000
_PERCENTILES = (0.5, 99.5)


def plan_ranges(datalist: Datalist, first: Image, wish: str = "auto") -> tuple[IntensityRange | None, ...]:
    """Choose how the intensities of each modality are standardised.

    Args:
        datalist: the data.
        first: its first image; if it shows no air, the others are not looked at.
        wish: ``image``: each image by itself; ``range``: every modality by the range of what is annotated; ``auto``:
            by the range where images show the air of CT, and none is certainly in other units: clipped to the range of
            the others, it would show nothing.

    Returns:
        As `InputSpec.ranges`; empty where no modality has one.

    Raises:
        SemiSegError: a file is at fault; or ranges are wished, and nothing tells them.
    """
    if wish not in WISHES:
        raise SemiSegError(
            "bad-intensities", f"Intensities cannot be standardised by {wish!r}",
            f"Choose one of {', '.join(WISHES)}", "settings",
        )  # fmt: skip
    every = range(len(datalist.modalities))
    shown = (*datalist["training"], *datalist["unlabeled"])[0].modalities
    without = {k for k, channel in zip(shown, first.array, strict=True) if not _shows_air(channel)}
    asked = {"auto": [k for k in every if k not in without], "image": [], "range": list(every)}[wish]
    if not asked:
        return ()
    annotated = [e for e in datalist["training"] if e.label is not None][:CASES_LOOKED_AT]
    inside: dict[int, list[np.ndarray]] = {k: [] for k in asked}
    air: dict[int, list[bool]] = {k: [] for k in asked}
    other: dict[int, list[bool]] = {k: [] for k in asked}
    for entry in annotated:
        image, where = _structures(entry, len(datalist.classes) + 1)
        for k, channel in zip(entry.modalities, image.array, strict=True):
            if k in inside:
                inside[k].append(_some(channel[where]))
                air[k].append(_shows_air(channel))
                other[k].append(not_hounsfield(channel))
    ct = {k for k in asked if np.mean(air[k] or [False]) >= 0.5 and not any(other[k])}
    found = tuple(_range(inside[k], k in ct) if k in (asked if wish == "range" else ct) else None for k in every)
    if wish == "range" and None in found:
        name = datalist.modalities[found.index(None)]
        raise SemiSegError(
            "no-range", f"Nothing tells which intensities structures have in {name}: none is annotated there, or all "
            "have the same", "Annotate some, or standardise by the image", "settings",
        )  # fmt: skip
    return found if any(found) else ()


def _structures(entry: Entry, classes: int) -> tuple[Image, np.ndarray]:
    """Return a case, and bool ``(*spatial)`` where a structure certainly is."""
    image = read_image(entry.images, entry.spacing)
    return image, outlined(read_sets(entry, classes, image.spatial_shape, image.affine))


def _shows_air(channel: np.ndarray) -> bool:
    return float(((channel >= _AIR[0]) & (channel <= _AIR[1])).mean()) >= _AIR_SHARE


def _some(values: np.ndarray) -> np.ndarray:
    return values[:: -(-len(values) // _VOXELS_OF_A_CASE) or 1].astype(np.float64)


def _range(parts: Sequence[np.ndarray], hounsfield: bool) -> IntensityRange | None:
    values = np.concatenate([*parts, np.empty(0)])
    if not len(values):
        return None
    low, high = (float(v) for v in np.percentile(values, _PERCENTILES))
    values = values.clip(low, high)
    deviation = float(values.std())
    if not (low < high and deviation > 0):
        return None
    numbers = (float(f"{v:.6g}") for v in (low, high, values.mean(), deviation))
    low, high, mean, deviation = numbers
    mean = min(max(mean, low), high)
    return IntensityRange(low=low, high=high, mean=mean, deviation=deviation, hounsfield=hounsfield)
