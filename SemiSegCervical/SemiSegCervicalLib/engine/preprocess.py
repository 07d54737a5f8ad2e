"""From the source grid to the network's grid by a pack's input spec, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import SemiSegError
from .grid import nearest_sets
from .image import Image
from .intensity import limit, standardise
from .schema import InputSpec

_LINEAR = {2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class Placement:
    """Where a source image lies on the network's grid: scaled to `content`; the rest of `size` is padding."""

    source: tuple[int, ...]
    content: tuple[int, ...]
    size: tuple[int, ...]


def place(source: Sequence[int], size: Sequence[int]) -> Placement:
    """Fit a source grid into the network's, keeping the aspect ratio."""
    scale = min(t / s for s, t in zip(source, size, strict=True))
    content = tuple(min(t, max(1, round(s * scale))) for s, t in zip(source, size, strict=True))
    return Placement(tuple(source), content, tuple(size))


def as_volume(image: Image) -> Image:
    """Return an image of a single slice as a volume of one slice; its thickness is what the affine says.

    Raises:
        SemiSegError: it is a picture of unknown scale, which is no slice of anything.
    """
    if len(image.spatial_shape) == 3:
        return image
    if image.spacing is None:
        raise SemiSegError(
            "wrong-dimensions", "It is a single picture whose pixel size is unknown, and the model reads volumes",
            "Choose a model for single images; of a slice of a volume state the spacing", "reading",
        )  # fmt: skip
    thickness = float(np.linalg.norm(image.affine[:3, 2])) or 1.0
    spacing = None if image.spacing is None else (thickness, *image.spacing)
    return replace(image, array=image.array[:, None], spacing=spacing)


def check_fits(image: Image, spec: InputSpec) -> None:
    """Refuse an image that a model cannot read.

    Raises:
        SemiSegError: another number of modalities or dimensions.
    """
    if image.array.shape[0] != len(spec.modalities):
        raise SemiSegError(
            "wrong-modalities",
            f"The model reads {len(spec.modalities)} modality ({', '.join(spec.modalities)}), the image has "
            f"{image.array.shape[0]}",
            "Give one file per modality, in that order",
            "reading",
        )
    if len(image.spatial_shape) != spec.spatial_dims:
        raise SemiSegError(
            "wrong-dimensions",
            f"The model reads {spec.spatial_dims}D images, this one has {len(image.spatial_shape)} dimensions",
            "For a stack of 2D frames use --as-frames; for a volume choose a 3D model",
            "reading",
        )


def to_network(image: Image, spec: InputSpec) -> tuple[Tensor, Placement]:
    """Resize, pad and standardise an image.

    Args:
        image: the case; its modalities in the order of `spec.modalities`.
        spec: the pack's input spec.

    Returns:
        float32 ``(M, *spec.size)`` and the placement that `from_network` needs. Padding is 0, the mean.

    Raises:
        SemiSegError: see `check_fits`.
    """
    check_fits(image, spec)
    where = place(image.spatial_shape, spec.size)
    source = limit(torch.from_numpy(np.ascontiguousarray(image.array)), spec)
    content = standardise(_resize(source, where.content), spec)
    return _pad(content, where), where


def labels_to_network(possible: np.ndarray, where: Placement, nothing: int) -> Tensor:
    """Bring a map of class sets onto the network's grid; see `grid.nearest_sets`.

    Args:
        possible: int ``(*source)``, a bit mask per voxel.
        where: the image's placement.
        nothing: the mask that says nothing (every class).

    Returns:
        int32 ``(*where.size)``; 0 marks padding.
    """
    return _pad(nearest_sets(possible.astype(np.int32), where.content, nothing), where)


def without_padding(maps: Tensor, where: Placement) -> Tensor:
    """Return the part of maps ``(*, *where.size)`` that shows the image, without a copy."""
    for axis, n in enumerate(where.content, start=-len(where.content)):
        maps = maps.narrow(axis, 0, n)
    return maps


def from_network(maps: Tensor, where: Placement) -> Tensor:
    """Bring network output back onto the source grid: crop the padding, interpolate linearly.

    Args:
        maps: ``(N, C, *where.size)``.
        where: the image's placement.

    Returns:
        ``(N, C, *where.source)``; sums over C are kept.
    """
    crop = without_padding(maps, where)
    if where.content == where.source:
        return crop
    return functional.interpolate(crop, size=where.source, mode=_LINEAR[len(where.source)], align_corners=False)


def _resize(array: Tensor, size: tuple[int, ...]) -> Tensor:
    if tuple(array.shape[1:]) == size:
        return array
    # Antialiasing keeps speckle from turning into noise when an image shrinks; PyTorch has it in 2D only.
    antialias = len(size) == 2
    return functional.interpolate(
        array[None], size=size, mode=_LINEAR[len(size)], align_corners=False, antialias=antialias
    )[0]


def _pad(array: Tensor, where: Placement) -> Tensor:
    margins: list[int] = []
    for content, size in zip(reversed(where.content), reversed(where.size), strict=True):
        margins += [0, size - content]
    return functional.pad(array, margins)
