"""The input of a new model and its networks: from the images and from what is annotated in them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError
from scipy import ndimage
from SemiSegCervicalLib.engine.files import is_dicom_seg, read_affine, read_image, read_labels
from SemiSegCervicalLib.engine.grid import closest_axes
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.errors import SemiSegError

from .datalist import Datalist, Entry
from .intensities import CASES_LOOKED_AT, plan_ranges

PIXELS_LEAST, PIXELS_CPU, PIXELS_GPU = 15_400, 41_000, 95_000
# Voxels of a 3D window. 80 x 112 x 112, the literature's on the left atrium, is what a graphics card can hold.
WINDOW_CPU, WINDOW_GPU = 130_000, 80 * 112 * 112
# A structure of this many voxels across keeps its shape; on a finer grid networks see less of the image at once, and
# take longer. Five cervix images taught more at 96 x 160 than at 160 x 256 (measured on twenty others), at a third of
# the work.
STRUCTURE_VOXELS, STRUCTURE_VOXELS_3D_GPU = 32, 64
# Of the longest side of an image: two pixels at the deepest level of `DUAL_2D`.
_SIDE_LEAST = 64

Parts = Sequence[tuple[str, dict[str, Any]]]

# Two different architectures, so that their errors differ: both below 2 M parameters, both light on a CPU. Six levels,
# for with five the networks do not see enough of an ultrasound image to tell one patient's anatomy from another's.
DUAL_2D: Parts = (
    ("unet", {"channels": (32, 48, 96, 128, 192, 192)}),
    ("residual_unet", {"channels": (16, 32, 64, 96, 128, 192)}),
)


def dual_3d(size: Sequence[int]) -> Parts:
    """Return the pair of networks for windows of this size: V-Net-like and residual, as system B.

    Both have strided and transposed convolutions and instance norm, since a batch of volumes is too small for batch
    norm; they halve the window as often as its sides allow, four times at most. An encoder as SegResNet's, which works
    at full resolution, gained 0.007 Dice at equal iterations on four left atria and took 1.6 times as long.
    """
    if all(n % 16 == 0 and n >= 64 for n in size):
        return (
            ("unet", {"channels": (32, 48, 96, 128, 192)}),
            ("residual_unet", {"channels": (16, 32, 64, 128, 256)}),
        )
    return (("unet", {"channels": (32, 48, 96, 128)}), ("residual_unet", {"channels": (16, 32, 64, 128)}))


def plan_reads(spec: InputSpec, by_modality: bool, branches: int) -> tuple[tuple[int, ...], ...]:
    """Return the modalities that each branch looks at: one each, or all of them."""
    every = tuple(range(len(spec.modalities)))
    return tuple((k,) for k in every) if by_modality else (every,) * branches


def plan_branches(
    spec: InputSpec, by_modality: bool, chosen: Parts | None
) -> tuple[list[tuple[str, dict[str, Any]]], tuple[tuple[int, ...], ...]]:
    """Choose the networks of a new model and what each looks at.

    Args:
        spec: the model's input.
        by_modality: one network for each modality, all of the same architecture, since their images differ; else two
            different networks that look at all.
        chosen: the user's own architectures; None chooses.

    Raises:
        SemiSegError: another number of architectures than of modalities.
    """
    pair = DUAL_2D if spec.spatial_dims == 2 else dual_3d(spec.size)
    count = len(spec.modalities)
    parts = list(chosen or ((pair[0],) * count if by_modality else pair))
    if by_modality and len(parts) != count:
        raise SemiSegError(
            "bad-branches", f"{len(parts)} networks are asked for, and there are {count} modalities",
            "Give one network for each modality, or none", "settings",
        )  # fmt: skip
    return parts, plan_reads(spec, by_modality, len(parts))


def first_image(datalist: Datalist) -> Image:
    """Return the first image that is learned from.

    Raises:
        SemiSegError: there is none, or it cannot be read.
    """
    entries = (*datalist["training"], *datalist["unlabeled"])
    if not entries:
        raise SemiSegError(
            "no-cases", f"{datalist.path} names no training case", "Add cases to its list training", "reading"
        )
    return read_image(entries[0].images, entries[0].spacing)


def plan_input(
    datalist: Datalist,
    size: tuple[int, ...] | None,
    spacing: tuple[float, ...] | None,
    gpu: bool,
    first: Image | None = None,
    intensities: str = "auto",
) -> InputSpec:
    """Choose the input of a new model.

    Images are scaled to one grid; volumes are covered by windows at one spacing. On CT intensities get a range.

    Args:
        datalist: the data; its first training image tells 2D from 3D and gives the proportions, the spacing is that of
            most.
        size: the user's own grid or window; None chooses.
        spacing: the user's own spacing of a 3D model in mm (z, y, x of the body, whichever way a volume is stored);
            None chooses.
        gpu: whether a graphics card trains; then grids may be larger.
        first: the first training image, where it was read already.
        intensities: by what they are standardised; see `plan_ranges`.

    Raises:
        SemiSegError: no training case, a file is at fault, or the wishes are not usable.
    """
    first = first_image(datalist) if first is None else first
    dims = len(first.spatial_shape)
    if size is not None and len(size) != dims:
        raise SemiSegError(
            "bad-size", f"The size {list(size)} has {len(size)} numbers, the images have {dims} dimensions",
            "Give one number per dimension, slowest axis first", "settings",
        )  # fmt: skip
    if spacing is not None and dims == 2:
        raise SemiSegError(
            "bad-spacing", "A spacing is given, but images of two dimensions are scaled to one grid",
            "Leave the spacing out", "settings",
        )  # fmt: skip
    # A stroke is not the size of what it lies in.
    outlined = [e for e in datalist["training"] if e.label is not None and e.completeness.complete]
    across = None
    if size is None or (dims == 3 and spacing is None):
        numbers = [c.value for c in datalist.classes]
        across = structure_size((_read_outlines(entry) for entry in outlined[:CASES_LOOKED_AT]), numbers)
    ranges = plan_ranges(datalist, first, intensities)
    try:
        if dims == 2:
            grid = size or _plan_grid(first.spatial_shape, across, gpu)
            return InputSpec(modalities=datalist.modalities, size=grid, ranges=ranges)
        # A model's axes are those of the body, whichever way a volume is stored: see `InputSpec`.
        axes, _ = closest_axes(first.affine)
        shape = tuple(first.spatial_shape[a] for a in axes)
        if first.spacing is not None:
            own = tuple(first.spacing[a] for a in axes)
            spacing = spacing or plan_spacing(
                usual_spacing(own, (*datalist["training"], *datalist["unlabeled"])), across, gpu
            )
            shape = tuple(max(1, round(n * s / t)) for n, s, t in zip(shape, own, spacing, strict=True))
        return InputSpec(
            spatial_dims=3, modalities=datalist.modalities, sampling="windows", spacing=spacing,
            size=size or window_size(shape, WINDOW_GPU if gpu else WINDOW_CPU), ranges=ranges,
        )  # fmt: skip
    except ValidationError as error:
        wish = list(size or spacing or ())
        raise SemiSegError(
            "bad-size", f"The input size {wish} is not usable: {error.errors()[0]['msg']}",
            "Choose another size", "settings",
        ) from error  # fmt: skip


def _read_outlines(entry: Entry) -> np.ndarray:
    """Read a label map: class numbers.

    It is read as it is stored; a DICOM SEG, which has no grid of its own, and one of which planes are listed, on the
    grid of its image.
    """
    assert entry.label is not None
    coded, told = is_dicom_seg(entry.label), entry.completeness
    if coded or told.slices is not None:
        image = read_image(entry.images, entry.spacing)
        labels = read_labels(entry.label, image.spatial_shape, image.affine, entry.names)
    else:
        labels = read_labels(entry.label)
    if told.values is not None and not coded:
        numbers = np.zeros_like(labels)
        for number, value in enumerate(told.values, 1):
            numbers[labels == value] = number
        labels = numbers
    return labels if told.slices is None or labels.ndim < 3 else between_planes(labels, told.slices)


def between_planes(labels: np.ndarray, planes: Sequence[int]) -> np.ndarray:
    """Continue structures from annotated planes into those between: else each plane would hold a flat one of its own.

    Args:
        labels: class numbers ``(Z, Y, X)``.
        planes: which of Z are annotated.

    Returns:
        Every plane as its nearest annotated one, those beyond the outermost for half of the usual gap, then 0; the
        plane itself, ``(Y, X)``, where there is just one.
    """
    known = np.array(sorted(k for k in set(planes) if 0 <= k < len(labels)))  # whoever learns from others refuses them
    if len(known) < 2:
        return labels[known[0]] if len(known) else labels
    nearest = np.abs(np.arange(len(labels))[:, None] - known).argmin(axis=1)
    filled = labels[known[nearest]]
    beyond = int(np.median(np.diff(known))) // 2
    filled[: max(0, known[0] - beyond)] = 0
    filled[known[-1] + beyond + 1 :] = 0
    return filled


def _plan_grid(shape: Sequence[int], across: float | None, gpu: bool) -> tuple[int, ...]:
    wanted = math.prod(shape) * (STRUCTURE_VOXELS / across) ** 2 if across else math.inf
    size = network_size(shape, min(max(wanted, PIXELS_LEAST), PIXELS_GPU if gpu else PIXELS_CPU))
    if max(size) >= _SIDE_LEAST:
        return size
    # Thumbnails are enlarged: at their own size they would be a single pixel at the networks' deepest level.
    return network_size([n * _SIDE_LEAST / max(shape) for n in shape], math.inf)


def usual_spacing(first: tuple[float, ...], entries: Sequence[Entry]) -> tuple[float, ...]:
    """Return the median voxel of volumes: a first one with thick slices, say, would spoil the others.

    Args:
        first: mm of the first one, in the order of the model's axes, and
        entries: all; of many, some from everywhere are looked at.

    Returns:
        mm in the same order, each that of some volume.
    """
    found = [first]
    for entry in entries[1 :: max(1, len(entries) // CASES_LOOKED_AT)]:
        try:
            affine = read_affine(entry.images[0], of_dicom=True)
        except (SemiSegError, OSError):  # whoever reads the image says so
            continue
        if affine is None or entry.spacing is None:
            continue
        own = tuple(np.linalg.norm(affine[:3, :3], axis=0)[::-1]) if entry.spacing == "file" else entry.spacing
        if len(own) == len(first):
            found.append(tuple(float(own[a]) for a in closest_axes(affine)[0]))
    return tuple(statistics.median_low(lengths) for lengths in zip(*found, strict=True))


def plan_spacing(spacing: Sequence[float], across: float | None, gpu: bool) -> tuple[float, ...]:
    """Choose a 3D model's voxel: as coarse as the annotated structures allow, never finer than the images.

    Args:
        spacing: of the images, mm in the order of the model's axes.
        across: voxels of the smallest structure, from `structure_size`; None without any.
        gpu: whether a graphics card trains.

    Returns:
        mm in the same order; axes that are coarser already stay as they are.
    """
    wanted = STRUCTURE_VOXELS_3D_GPU if gpu else STRUCTURE_VOXELS
    coarser = max(1.0, across / wanted) if across else 1.0
    # Steps of an eighth: a spacing that people can read, and equal ones for data sets that are nearly alike.
    coarser = max(1.0, round(coarser * 8) / 8)
    target = min(spacing) * coarser
    return tuple(round(max(s, target), 4) for s in spacing)


def window_size(shape: Sequence[int], voxels: int) -> tuple[int, ...]:
    """Choose windows of about `voxels` with the proportions of `shape`, whole at every level of the networks."""
    sides = network_size(shape, voxels, divisor=8)
    return tuple(max(16, side) for side in sides)


def structure_size(label_maps: Iterable[np.ndarray], classes: Sequence[int]) -> float | None:
    """Return how many voxels the smallest kind of structure is across: the side of a square or cube of equal size.

    Args:
        label_maps: integers ``(*spatial)``.
        classes: the label values that count.

    Returns:
        The median over the connected structures of a class, for the class where it is smallest; None without any.
    """
    sides: dict[int, list[float]] = {}
    for labels in label_maps:
        boxes = ndimage.find_objects(labels, max_label=max(classes))
        for value in classes:
            box = boxes[value - 1]
            if box is not None:  # in a large volume most of it is of no structure
                parts, _ = ndimage.label(labels[box] == value)
                counts = np.bincount(parts.ravel())[1:]
                sides.setdefault(value, []).extend(counts ** (1 / labels.ndim))
    return min((float(np.median(s)) for s in sides.values() if s), default=None)


def network_size(shape: Sequence[float], pixels: float, divisor: int = 32) -> tuple[int, ...]:
    """Choose a grid of about `pixels` voxels with the proportions of `shape` and sides that every network can halve."""
    scale = min(1.0, (pixels / math.prod(shape)) ** (1 / len(shape)))
    return tuple(max(divisor, round(n * scale / divisor) * divisor) for n in shape)
