"""Does an image look like those that a model has learned from?

Networks can be sure and wrong of what they have never seen: heavy blur, over-gain, another organ. Their own uncertainty
does not tell, for it comes from the same networks. The image tells: its sharpness, its grain and its grey values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .schema import FEATURES, TypicalImages

# How often the image is halved to look at coarser structures, and where its grey values are cut.
_SCALES = 4
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
# Quantiles of so many voxels are near enough, and sorting them takes next to no time.
_SORTED = 4096
# Of a volume so many slices are looked at.
_SLICES = 8


def slices_to_look_at(depth: int) -> list[int]:
    """Return the numbers of a few slices from the inside of a volume, evenly spaced."""
    return sorted({round((k + 1) * (depth - 1) / (_SLICES + 1)) for k in range(_SLICES)})


def slices_of(image: Tensor) -> Tensor:
    """Return what is looked at of an image ``(M, *grid)``: a picture as one slice, of a volume a few."""
    return image[:, None] if image.ndim == 3 else image[:, slices_to_look_at(image.shape[1])]


def appearance(slices: Tensor) -> np.ndarray:
    """Describe how an image looks.

    Args:
        slices: float32 ``(M, S, rows, columns)``, standardised as networks see them, without padding; one slice of a
            picture, a few of a volume.

    Returns:
        float64 ``(M * FEATURES,)``: for each modality, in the mean over the slices, how much neighbours differ at each
        scale, along rows and columns, and how evenly; and quantiles of the grey values.
    """
    modalities, count, *size = slices.shape
    image = slices.reshape(modalities * count, *size).float()
    described = []
    for _ in range(_SCALES):
        across, down = image[:, :, 1:] - image[:, :, :-1], image[:, 1:] - image[:, :-1]
        strengths = [_power_mean(part, 2) for part in (across, down)]
        evenness = _power_mean(across, 1) / (strengths[0] + 1e-6)
        described += [*((strength + 1e-3).log() for strength in strengths), (evenness + 1e-2).log()]
        if min(image.shape[1:]) > 3:
            image = functional.avg_pool2d(image, 2)
    voxels = slices.reshape(modalities * count, -1)
    # NumPy sorts a few thousand numbers in a tenth of PyTorch's time.
    ordered = np.sort(voxels[:, :: -(-voxels.shape[1] // _SORTED)].numpy(), axis=1)
    cuts = ordered[:, [round(q * (ordered.shape[1] - 1)) for q in _QUANTILES]]
    features = np.concatenate([torch.stack(described, dim=1).numpy(), cuts], axis=1, dtype=np.float64)
    return features.reshape(modalities, count, FEATURES).mean(axis=1).ravel()


def _power_mean(maps: Tensor, order: int) -> Tensor:
    """Return the mean size of each of ``(N, rows, columns)``, or the root of its mean square; 0 of no voxels."""
    return torch.linalg.vector_norm(maps, order, dim=(1, 2)) / max(1, maps[0].numel()) ** (1 / order)


class Typicality:
    """Tells how far an image is from those that a model has learned from."""

    def __init__(self, known: TypicalImages) -> None:
        """Prepare the comparison.

        Args:
            known: what the model says of its training images.
        """
        self._mean, self._spread = np.array(known.mean), np.array(known.spread)
        self._limit = known.limit
        # What strangers say of their images may have no inverse.
        self._inverse = np.linalg.pinv(np.array(known.correlation), hermitian=True)

    def atypicality(self, looks: np.ndarray) -> float:
        """Return the distance of an image in multiples of the largest that is still usual.

        Args:
            looks: of the image, as `appearance` says it.

        Returns:
            0 for the mean of the training images, 1 at the limit.
        """
        return distance(looks, self._mean, self._spread, self._inverse) / self._limit


def distance(looks: np.ndarray, mean: np.ndarray, spread: np.ndarray, inverse: np.ndarray) -> float:
    """Mahalanobis distance by the root of the number of features, so that about 1 is usual.

    Args:
        looks: ``(D,)``.
        mean, spread: of the features, ``(D,)``.
        inverse: of the correlations between them, ``(D, D)``.
    """
    z = (looks - mean) / spread
    return float(np.sqrt(max(0.0, z @ inverse @ z) / len(z)))


def of_modalities(known: TypicalImages, indices: Sequence[int]) -> TypicalImages:
    """Return what is known of some modalities only."""
    kept = [m * FEATURES + k for m in indices for k in range(FEATURES)]
    return known.model_copy(
        update={
            "mean": tuple(known.mean[i] for i in kept),
            "spread": tuple(known.spread[i] for i in kept),
            "correlation": tuple(tuple(known.correlation[i][j] for j in kept) for i in kept),
        }
    )
