"""Batched augmentation on the device, in 2D and 3D: one geometry for image and targets, then intensities.

MONAI's random transforms work item by item on the CPU; here a whole batch is warped by one `grid_sample`. Every
draw comes from a generator seeded by (seed, iteration), so it does not depend on who draws it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .step import Mixing, Pasting


@dataclass(frozen=True)
class Geometry:
    """Ranges of the random warp.

    Attributes:
        rotation: degrees either way (3D: about each axis).
        scale: largest factor of zoom, in or out.
        shift: share of each side, either way.
        shear: either way.
        flips: axes that may be mirrored, -1 the last (left-right in an image).
        elastic: displacement of the control points as a share of the side (standard deviation); 0 for none.
        control_points: per side.
    """

    rotation: float = 8.0
    scale: float = 1.1
    shift: float = 0.05
    shear: float = 0.03
    flips: tuple[int, ...] = ()
    elastic: float = 0.01
    control_points: int = 5


@dataclass(frozen=True)
class Intensity:
    """Ranges of the random intensity changes of standardised images; `chance` is that of each single change.

    Attributes:
        chance: of each change, per image.
        contrast: factor is ``exp(U(-contrast, contrast))``.
        brightness: added, in standard deviations, either way.
        gamma: exponent is ``exp(U(-gamma, gamma))`` on the image scaled to 0..1.
        noise: largest standard deviation of added noise, half of it on the coarse scale of speckle.
        blur: largest sigma in pixels.
        shade: largest amplitude of a smooth gain field (time-gain and shadow in ultrasound, bias in MRI).
        cutout: number of boxes set to the mean; 0 for none.
    """

    chance: float = 0.3
    contrast: float = 0.3
    brightness: float = 0.3
    gamma: float = 0.4
    noise: float = 0.2
    blur: float = 1.0
    shade: float = 0.3
    cutout: int = 0


STRONG = Intensity(chance=0.8, contrast=0.6, brightness=0.6, gamma=0.7, noise=0.4, blur=2.0, shade=0.6, cutout=2)
# A window is flat along an axis that has less than a third of the voxels of its longest one, as for nnU-Net (Isensee
# et al., Nature Methods 18, 2021).
_FLAT = 3


class Draw:
    """Uniform and normal draws for a batch from one generator, on the CPU so that every device gets the same."""

    def __init__(self, generator: torch.Generator, rows: int, device: torch.device) -> None:
        self.generator, self.rows, self.device = generator, rows, device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """``(rows, *shape)`` in [low, high)."""
        values = torch.rand(self.rows, *shape, generator=self.generator)
        return (low + (high - low) * values).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """``(rows, *shape)`` of mean 0 and standard deviation 1."""
        return torch.randn(self.rows, *shape, generator=self.generator).to(self.device)

    def happens(self, chance: float) -> Tensor:
        """Bool ``(rows,)``."""
        return self.uniform(0, 1) < chance


def voxel_lengths(size: Sequence[int], spacing: Sequence[float] | None) -> tuple[float, ...]:
    """Return how long a voxel counts along each axis where a window is turned and sheared; the shortest is 1.

    In mm where that is known. But slices of a flat window are never thinner than its pixels are wide: turned by a few
    degrees about the middle it would reach far beyond itself, where it is blank or of other slices altogether. Such a
    spacing is of pixels that were made coarser, or of one that nobody knew.

    Args:
        size: the window, ``(Y, X)`` or ``(Z, Y, X)``.
        spacing: of its voxels; None where it is unknown.
    """
    if spacing is None:
        return (1.0,) * len(size)
    flat = [len(size) > 2 and _FLAT * n < max(size) for n in size]
    lengths = [max(spacing) if thin else step for step, thin in zip(spacing, flat, strict=True)]
    return tuple(length / min(lengths) for length in lengths)


def warp_grid(
    draw: Draw, size: tuple[int, ...], geometry: Geometry, spacing: tuple[float, ...] | None = None
) -> Tensor:
    """Draw one random warp per row.

    Args:
        draw: the source of randomness.
        size: the grid, ``(Y, X)`` or ``(Z, Y, X)``.
        geometry: the ranges.
        spacing: of its voxels in the order of `size`; None where it is unknown, or the same along every axis.

    Returns:
        Sampling positions ``(N, *size, D)`` as `torch.nn.functional.grid_sample` reads them.
    """
    dims = len(size)
    # Rotation and shear act on lengths: on a grid that is not square, normalised coordinates would distort, and where
    # slices are thick, units of voxels too.
    steps = voxel_lengths(size, spacing)
    half = torch.tensor([n * step / 2 for n, step in zip(reversed(size), reversed(steps), strict=True)])
    half = half.to(draw.device)
    matrix = torch.eye(dims, device=draw.device).expand(draw.rows, dims, dims)
    for a in range(dims):
        for b in range(a + 1, dims):
            angle = draw.uniform(-geometry.rotation, geometry.rotation) * (math.pi / 180)
            turn = torch.eye(dims, device=draw.device).repeat(draw.rows, 1, 1)
            turn[:, a, a] = turn[:, b, b] = angle.cos()
            turn[:, a, b], turn[:, b, a] = -angle.sin(), angle.sin()
            lean = torch.eye(dims, device=draw.device).repeat(draw.rows, 1, 1)
            lean[:, a, b] = draw.uniform(-geometry.shear, geometry.shear)
            matrix = matrix @ turn @ lean
    zoom = torch.exp(draw.uniform(-1, 1) * math.log(geometry.scale))
    matrix = matrix / zoom[:, None, None]
    for axis in geometry.flips:
        sign = torch.where(draw.happens(0.5), -1.0, 1.0)
        # grid_sample counts the last array axis first.
        matrix = matrix.clone()
        matrix[:, :, -1 - (axis % dims)] *= sign[:, None]
    matrix = matrix * half[None, None, :] / half[None, :, None]
    offset = draw.uniform(-2 * geometry.shift, 2 * geometry.shift, dims)
    grid = functional.affine_grid(
        torch.cat([matrix, offset[:, :, None]], dim=2), [draw.rows, 1, *size], align_corners=False
    )
    if geometry.elastic > 0:
        coarse = 2 * geometry.elastic * draw.normal(dims, *(geometry.control_points,) * dims)
        mode = "bicubic" if dims == 2 else "trilinear"
        grid = grid + functional.interpolate(coarse, size=size, mode=mode, align_corners=True).movedim(1, -1)
    return grid


def warp(images: Tensor, possible: Tensor, grid: Tensor, nothing: int) -> tuple[Tensor, Tensor, Tensor]:
    """Warp images linearly and class sets by nearest neighbour.

    Args:
        images: ``(N, M, *spatial)``.
        possible: class sets ``(N, *spatial)``; 0 marks padding.
        grid: from `warp_grid`.
        nothing: the set of every class, for voxels from beyond the image.

    Returns:
        Images, class sets, and the bool map ``inside`` of voxels that come from the source image.
    """
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    # float32 holds whole numbers of 24 bits, and not every device has float64.
    shifts = torch.arange(0, nothing.bit_length(), 24, dtype=torch.int32, device=possible.device)
    shifts = shifts.view(1, -1, *(1,) * (possible.ndim - 1))
    parts = (possible.unsqueeze(1) >> shifts & 0xFFFFFF).float()
    parts = functional.grid_sample(parts, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    sets = (parts.to(torch.int32) << shifts).sum(dim=1, dtype=torch.int32)
    inside = sets != 0
    return moved, torch.where(inside, sets, nothing), inside


def change_intensity(images: Tensor, draw: Draw, ranges: Intensity) -> Tensor:
    """Change brightness, contrast, gamma, sharpness, noise and gain of standardised images, each row on its own.

    Args:
        images: ``(N, M, *spatial)``.
        draw: the source of randomness.
        ranges: how far.
    """
    if ranges.chance == 0:  # the weak view: nothing would be kept of what is computed below
        return images
    n, dims = images.shape[0], images.ndim - 2
    column = (n, *(1,) * (dims + 1))

    def choose(changed: Tensor, chance: float = ranges.chance) -> Tensor:
        return torch.where(draw.happens(chance).view(column), changed, images)

    if ranges.gamma > 0:
        low = images.amin(dim=tuple(range(2, images.ndim)), keepdim=True)
        span = (images.amax(dim=tuple(range(2, images.ndim)), keepdim=True) - low).clamp_min(1e-6)
        exponent = torch.exp(draw.uniform(-ranges.gamma, ranges.gamma)).view(column)
        curved = ((images - low) / span).clamp(1e-6, 1).pow(exponent)
        # Back to mean and spread of before, so that gamma changes the shape of the histogram alone.
        images = choose(_like(curved, images))
    factor = torch.exp(draw.uniform(-ranges.contrast, ranges.contrast)).view(column)
    images = choose(images * factor)
    images = choose(images + draw.uniform(-ranges.brightness, ranges.brightness).view(column))
    if ranges.shade > 0:
        field = draw.uniform(-ranges.shade, ranges.shade, 1, *(4,) * dims)
        gain = functional.interpolate(
            field, size=images.shape[2:], mode="bilinear" if dims == 2 else "trilinear", align_corners=True
        )
        low = images.amin(dim=tuple(range(2, images.ndim)), keepdim=True)
        images = choose((images - low) * (1 + gain) + low)
    if ranges.blur > 0:
        images = choose(_blur(images, draw.uniform(0.1, ranges.blur)), ranges.chance * 0.5)
    if ranges.noise > 0:
        level = draw.uniform(0, ranges.noise).view(column)
        coarse = draw.normal(images.shape[1], *(math.ceil(s / 2) for s in images.shape[2:]))
        noise = draw.normal(*images.shape[1:]) + functional.interpolate(coarse, size=images.shape[2:])
        images = choose(images + level * noise * math.sqrt(0.5))
    for _ in range(ranges.cutout):
        images = choose(images.masked_fill(_boxes(draw, images.shape[2:], 0.05, 0.25).unsqueeze(1), 0.0))
    return images


def cut_mix(draw: Draw, size: tuple[int, ...], share: tuple[float, float] = (0.1, 0.5)) -> Mixing:
    """Draw a box per row in which the next row shows (Yun et al., CutMix, ICCV 2019).

    Args:
        draw: the source of randomness.
        size: the grid.
        share: range of the box's share of the grid.
    """
    partner = torch.arange(draw.rows, device=draw.device).roll(1)
    return Mixing(partner, _boxes(draw, size, *share))


def copy_paste(labelled: int, draw: Draw, size: tuple[int, ...], side: float = 2 / 3) -> Pasting:
    """Draw a box per row: half of the rows are labelled with unlabelled in it, half the other way around.

    Bai et al., Bidirectional copy-paste, CVPR 2023. A labelled image meets two different unlabelled ones, where there
    are two.

    Args:
        labelled: number of labelled rows.
        draw: the source of randomness, with as many rows as there are unlabelled ones.
        size: the grid.
        side: of the box, as a share of each side of the grid.

    Returns:
        Twice as many rows as there are of either kind.
    """
    rows = torch.arange(max(labelled, draw.rows), device=draw.device)
    both = Draw(draw.generator, 2 * len(rows), draw.device)
    box = _placed(both, size, torch.full((both.rows, len(size)), side, device=draw.device))
    box[len(rows) :] = ~box[len(rows) :]
    return Pasting(torch.cat([rows, rows + 1]) % labelled, torch.cat([rows, rows]) % draw.rows, box)


def _boxes(draw: Draw, size: tuple[int, ...], low: float, high: float) -> Tensor:
    """Bool ``(N, *size)``: one box per row that covers a share of the grid between `low` and `high`."""
    dims = len(size)
    share = draw.uniform(low, high)
    # Sides vary in shape and keep the volume.
    stretch = draw.uniform(-0.5, 0.5, dims)
    sides = share[:, None] ** (1 / dims) * torch.exp(stretch - stretch.mean(dim=1, keepdim=True))
    return _placed(draw, size, sides.clamp_max(1.0))


def _placed(draw: Draw, size: tuple[int, ...], sides: Tensor) -> Tensor:
    """Bool ``(N, *size)``: one box per row with these sides (shares of the grid's, ``(N, D)``), anywhere within."""
    dims = len(size)
    start = draw.uniform(0, 1, dims) * (1 - sides)
    box = torch.ones(draw.rows, *size, dtype=torch.bool, device=draw.device)
    for axis, n in enumerate(size):
        position = (torch.arange(n, device=draw.device) + 0.5) / n
        within = (position >= start[:, axis, None]) & (position < (start + sides)[:, axis, None])
        box &= within.view(draw.rows, *(n if a == axis else 1 for a in range(dims)))
    return box


def _blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Separable Gaussian blur, one sigma per row."""
    n, m, *size = images.shape
    radius = 3
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None].clamp_min(1e-3)) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    kernel = kernel.repeat_interleave(m, dim=0)
    flat = images.reshape(1, n * m, *size)
    convolve = functional.conv2d if len(size) == 2 else functional.conv3d
    for axis in range(len(size)):
        shape = [1] * len(size)
        shape[axis] = 2 * radius + 1
        padding = [0] * len(size)
        padding[axis] = radius
        flat = convolve(flat, kernel.view(n * m, 1, *shape), padding=padding, groups=n * m)
    return flat.reshape(images.shape)


def _like(images: Tensor, reference: Tensor) -> Tensor:
    axes = tuple(range(2, images.ndim))
    centred = images - images.mean(axes, keepdim=True)
    spread = images.std(axes, keepdim=True, correction=0).clamp_min(1e-6)
    target = reference.std(axes, keepdim=True, correction=0)
    return centred / spread * target + reference.mean(axes, keepdim=True)
