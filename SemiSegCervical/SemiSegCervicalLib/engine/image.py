"""The image and label arrays that travel through engine and learning."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import SemiSegError

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue: ITU-R BT.601."""


@dataclass(frozen=True)
class Image:
    """One case as the networks see it before any resampling.

    Attributes:
        array: float32, channel first: ``(M, Y, X)`` for an image, ``(M, Z, Y, X)`` for a volume, M modalities.
        spacing: voxel size in mm in array order, ``(y, x)`` or ``(z, y, x)``; None where the source is uncalibrated.
        affine: 4x4 IJK-to-RAS matrix in mm; the identity where the source has none.
        from_rgb: the source was a colour image and has been turned into grey.
        filled: the source had voxels without a number; see `filled`.
    """

    array: np.ndarray
    spacing: tuple[float, ...] | None = None
    affine: np.ndarray = field(default_factory=lambda: np.eye(4))
    from_rgb: bool = False
    filled: bool = False

    def __post_init__(self) -> None:
        if self.array.ndim not in (3, 4) or min(self.array.shape) < 1:
            raise SemiSegError(
                "bad-shape",
                f"An image of shape {self.array.shape} is neither (M, Y, X) nor (M, Z, Y, X)",
                "Split time series into single images or volumes first",
                "reading",
            )
        if not np.isfinite(self.array).all():
            raise SemiSegError(
                "not-finite",
                "The image holds no numbers: every voxel is NaN or infinite",
                "Choose another image, or export this one again",
                "reading",
            )

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Size of the source grid, ``(Y, X)`` or ``(Z, Y, X)``."""
        return self.array.shape[1:]


def filled(array: np.ndarray) -> tuple[np.ndarray, bool]:
    """Give voxels without a number one that the image has.

    Parametric maps and resampled scans have NaN where there is no tissue, or no scan: it becomes the darkest voxel, as
    minus infinity does; infinity becomes the brightest. (From NIfTI none arrive here: ITK reads all of these as 0.)

    Args:
        array: float32 ``(M, *spatial)``; each modality for itself.

    Returns:
        The array, itself where nothing was missing, and whether something was. A modality without any number stays as
        it is.
    """
    if np.isfinite(array).all():
        return array, False
    array = array.copy()
    for modality in array:
        numbers = modality[np.isfinite(modality)]
        if numbers.size:
            darkest, brightest = numbers.min(), numbers.max()
            np.nan_to_num(modality, copy=False, nan=darkest, neginf=darkest, posinf=brightest)
    return array, True


def grey_from_rgb(array: np.ndarray) -> np.ndarray:
    """Turn colour into luma, ITU-R BT.601: ``0.299 R + 0.587 G + 0.114 B``.

    Args:
        array: ``(..., 3)`` or ``(..., 4)``; a fourth (alpha) component is ignored.

    Returns:
        float32 array without the last axis, in the units of the input.
    """
    return array[..., :3].astype(np.float32) @ np.array(LUMA, dtype=np.float32)
