"""What the images of a training look like, so that its model can point out those that look otherwise."""

from __future__ import annotations

import numpy as np
import torch
from SemiSegCervicalLib.engine.schema import TypicalImages
from SemiSegCervicalLib.engine.typicality import appearance, distance, slices_of

from .data import TrainingData

# Fewer say nothing of what is usual; nor do those of few patients.
_FEWEST_IMAGES, _FEWEST_GROUPS = 8, 4
_FOLDS = 20
# From so many images on, the limit is a quantile of their distances, which one odd image does not decide.
_MANY, _QUANTILE = 100, 0.99
# The next patient differs more from those of the training than these do from each other.
_MARGIN = 1.25
# Differences of 3 % are nothing, also where training images happen to agree to the last digit.
_NOISE = 0.03
# Copies of one image have no distance.
_SMALLEST_LIMIT = 1e-3


def typical_images(data: TrainingData) -> TypicalImages | None:
    """Describe the images of a training, labelled and unlabelled alike; no label is looked at.

    The limit of what is usual comes from images that the description has not seen: each of up to 20 groups of patients
    is described by the others.

    Args:
        data: on the network's grid.

    Returns:
        None where fewer than 8 images, or images of fewer than 4 patients or sequences, have all modalities.
    """
    complete = [True] * len(data.images) if data.present is None else data.present.all(dim=1).tolist()
    # Of a case that is held out as a whole there is no voxel.
    rows = [row for row, whole in enumerate(complete) if whole and bool((data.possible[row] != 0).any())]
    groups = np.array([int(data.groups[row]) if data.groups is not None else row for row in rows])
    if len(rows) < _FEWEST_IMAGES or len(np.unique(groups)) < _FEWEST_GROUPS:
        return None
    looks = np.stack([_appearance(data.images[row].cpu(), data.possible[row].cpu() != 0) for row in rows])
    fold = np.unique(groups, return_inverse=True)[1] % _FOLDS
    distances = np.concatenate([_distances(looks[fold != k], looks[fold == k]) for k in np.unique(fold)])
    usual = np.quantile(distances, _QUANTILE) if len(rows) >= _MANY else distances.max()
    mean, spread, correlation = _describe(looks)
    return TypicalImages(
        images=len(rows),
        mean=_rounded(mean),
        spread=_rounded(spread),
        correlation=tuple(_rounded(row) for row in correlation),
        limit=round(max(_SMALLEST_LIMIT, float(_MARGIN * usual)), 4),
    )


def _appearance(image: torch.Tensor, inside: torch.Tensor) -> np.ndarray:
    """Describe an image ``(M, *grid)`` without its padding, which lies at the far ends."""
    for axis in range(inside.ndim):
        others = tuple(a for a in range(inside.ndim) if a != axis)
        used = torch.nonzero(inside.sum(dim=others))[:, 0]
        image = image.narrow(axis + 1, 0, int(used[-1]) + 1)
    return appearance(slices_of(image))


def _describe(looks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, spread and correlation of features ``(N, D)``.

    The correlation is drawn towards none as far as chance may have made it (Ledoit and Wolf 2004, towards the
    identity), so that it has an inverse however few images there are. Where images agree, noise added in thought does
    the same.
    """
    mean = looks.mean(axis=0)
    spread = np.hypot(looks.std(axis=0), _NOISE)
    z = (looks - mean) / spread
    count, features = z.shape
    sample, none = z.T @ z / count, np.eye(features)
    np.fill_diagonal(sample, 1.0)
    apart = np.square(sample - none).sum()
    chance = (np.square(z).sum(axis=1) ** 2).mean() - np.square(sample).sum()
    share = min(1.0, chance / count / apart) if apart > 0 else 1.0
    return mean, spread, (1 - share) * sample + share * none


def _distances(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    mean, spread, correlation = _describe(known)
    inverse = np.linalg.pinv(correlation, hermitian=True)
    return np.array([distance(looks, mean, spread, inverse) for looks in asked])


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)
