"""What becomes of merged network output: labels, uncertainty and figures, gathered part by part on the source grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..figures import SegmentFigures
from .image import Image
from .postprocess import clean
from .schema import PackManifest, PostProcess
from .uncertainty import entropy_of_logarithms, expected_dice_from_sums, logarithms, sharpen_logarithms

# Few enough for the second cache, and for float32 sums.
_VOXELS_AT_ONCE = 2**16
# What becomes of a voxel takes some ten maps. Of so many voxels these stay near the processor, and a voxel of a large
# volume takes as long as one of a small volume; a frame is done at once.
_SLAB_VOXELS = 2**18


@dataclass(frozen=True)
class Prediction:
    """The result for one case, on the source grid.

    Attributes:
        labels: uint8 ``(*spatial)``.
        uncertainty: float32 ``(*spatial)`` in [0, 1], total, temperature-calibrated where the pack is.
        disagreement: float32 ``(*spatial)`` in [0, 1]; None with a single branch.
        probabilities: float32 ``(C, *spatial)``; only on request.
        segments: figures per class.
        seconds: time spent, files excluded.
        notes: what the user should be told of this case.
        atypicality: how unlike the training images it is, 1 at the limit; None where the model does not know them.
    """

    labels: np.ndarray
    uncertainty: np.ndarray
    disagreement: np.ndarray | None
    probabilities: np.ndarray | None
    segments: tuple[SegmentFigures, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    atypicality: float | None = None

    def reshaped(self, shape: tuple[int, ...]) -> Prediction:
        """Return the same maps with the axes of `shape` (a volume of one slice as an image)."""

        def mapped(array: np.ndarray) -> np.ndarray:
            return array.reshape(*array.shape[: array.ndim - self.labels.ndim], *shape)

        return replace(
            self,
            labels=mapped(self.labels),
            uncertainty=mapped(self.uncertainty),
            disagreement=None if self.disagreement is None else mapped(self.disagreement),
            probabilities=None if self.probabilities is None else mapped(self.probabilities),
        )


def vote(logits: list[Tensor], temperatures: tuple[float, ...]) -> Tensor:
    """Let the branches vote: the fields that are merged over windows and resampled.

    Args:
        logits: ``(N, C, *spatial)`` per branch.
        temperatures: of each branch's softmax.

    Returns:
        ``(N, C + 1, *spatial)``: mean probabilities and the mean entropy of the single branches. Their disagreement
        follows, ``H(mean_k p_k) - mean_k H(p_k)``, the Jensen-Shannon divergence over ``log C``. With one branch, which
        has none, ``(N, C, *spatial)``.
    """
    if len(logits) == 1:
        return functional.softmax(logits[0].float() / temperatures[0], dim=1)
    n, classes, *spatial = logits[0].shape
    fields = torch.zeros(n, classes + 1, *spatial, device=logits[0].device)
    for rows in _slabs(fields.shape[2:], fields.device):
        part = fields[:, :, rows]
        for scores, temperature in zip(logits, temperatures, strict=True):
            logs = functional.log_softmax(scores[:, :, rows].float() / temperature, dim=1)
            p = logs.exp()
            part[:, :-1].add_(p, alpha=1 / len(logits))
            part[:, -1].add_(entropy_of_logarithms(p, logs, dim=1), alpha=1 / len(logits))
    return fields


def _slabs(shape: Sequence[int], device: torch.device) -> list[slice]:
    """Cut the rows of a map for a processor's caches; other devices want all at once."""
    step = shape[0] if device.type != "cpu" else max(1, _SLAB_VOXELS // max(1, math.prod(shape[1:])))
    return [slice(first, min(shape[0], first + step)) for first in range(0, shape[0], step)]


def sums_by_label(
    labels: np.ndarray, values: Sequence[np.ndarray], classes: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Count the voxels of each segment and add up maps over them; of the background, the larger part, nobody asks.

    By comparisons and products of a few rows at once: for the usual two or three classes a quarter of the time of
    `numpy.bincount`, which first turns labels and weights into eight bytes each.

    Args:
        labels: uint8 of any shape.
        values: float32 maps of the same shape.
        classes: labels are below.

    Returns:
        int64 ``(classes,)``, and float64 ``(classes,)`` for each map, 0 for the background.
    """
    counts, sums = np.zeros(classes, dtype=np.int64), [np.zeros(classes) for _ in values]
    flat, flat_values = labels.reshape(-1), [array.reshape(-1) for array in values]
    for first in range(0, flat.size, _VOXELS_AT_ONCE):
        part, *weights = (array[first : first + _VOXELS_AT_ONCE] for array in (flat, *flat_values))
        for c in range(1, classes):
            inside = part == c
            counts[c] += np.count_nonzero(inside)
            weight = inside.astype(np.float32)
            for total, some in zip(sums, weights, strict=True):
                total[c] += np.dot(some, weight)
    return counts, sums


class Result:
    """Collects one case; parts may come in any order, and each once."""

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        branches: int,
        keep_probabilities: bool,
        sharpness: float = 1.0,
        postprocess: PostProcess | None = None,
    ) -> None:
        """Reserve the maps.

        Args:
            shape: of the source.
            classes: background included.
            branches: how many vote; one alone has no disagreement.
            keep_probabilities: keep the mean probabilities too.
            sharpness: of the probabilities by which Dice is predicted.
            postprocess: what `clean` is to do.
        """
        self.classes, self.sharpness, self.postprocess = classes, sharpness, postprocess or PostProcess()
        self.labels = np.empty(shape, dtype=np.uint8)
        self.uncertainty = np.empty(shape, dtype=np.float32)
        self.disagreement = np.empty(shape, dtype=np.float32) if branches > 1 else None
        self.probabilities = np.empty((classes, *shape), dtype=np.float32) if keep_probabilities else None
        # Of each voxel's label, by which Dice is predicted again once labels were cleaned.
        cleans = self.postprocess.largest_component or self.postprocess.fill_holes
        self.certainty = np.empty(shape, dtype=np.float32) if cleans else None
        # Sums over voxels: of the expected Dice, and of the labels' own uncertainty.
        self.chosen, self.expected = np.zeros(classes), np.zeros(classes)
        self.counts, self.doubt = np.zeros(classes, dtype=np.int64), np.zeros(classes)

    def add(
        self, fields: Tensor, cut: tuple[slice, ...] = (), turn: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> None:
        """Turn merged fields into results.

        Args:
            fields: ``(K, *part)`` as `vote` makes them, on the source's voxels.
            cut: the part of the (turned) source that they are; empty for the whole.
            turn: gives the view of a source array in the orientation of `fields`; None where they have the same.
        """
        for rows in _slabs(fields.shape[1:], fields.device):
            self._add_slab(fields[:, rows], rows, cut, turn)

    def _add_slab(
        self, fields: Tensor, rows: slice, cut: tuple[slice, ...], turn: Callable[[np.ndarray], np.ndarray] | None
    ) -> None:
        where: tuple[Any, ...] = (..., *cut)
        within = (..., rows, *(slice(None),) * (fields.ndim - 2))

        def put(array: np.ndarray, values: Tensor) -> None:
            (turn(array) if turn else array)[where][within] = values.cpu().numpy()

        p = fields[: self.classes]
        # The first class with the largest value wins, in every backend and for every cut of the image. Class by class,
        # since an argmax across maps takes ten times as long; in floats, since comparisons to bool take three times as
        # long as those.
        best, chosen = torch.maximum(p[0], p[1]), torch.gt(p[1], p[0], out=torch.empty_like(p[0]))
        for c in range(2, self.classes):
            larger = torch.gt(p[c], best, out=torch.empty_like(best))
            torch.maximum(chosen, larger.mul_(c), out=chosen)
            torch.maximum(best, p[c], out=best)
        labels = chosen.to(torch.uint8)
        logs = logarithms(p)
        total = entropy_of_logarithms(p, logs, dim=0)
        put(self.labels, labels)
        put(self.uncertainty, total)
        if self.disagreement is not None:
            put(self.disagreement, (total - fields[self.classes]).clamp_(0.0, 1.0))
        if self.probabilities is not None:
            put(self.probabilities, p)
        if self.sharpness != 1.0:
            p = sharpen_logarithms(logs, self.sharpness)
            best = torch.maximum(p[0], p[1])
            for c in range(2, self.classes):
                torch.maximum(best, p[c], out=best)
        if self.certainty is not None:
            put(self.certainty, best)
        # Rows in float32, their sums in float64: exact enough, and vectorised. Apple's graphics have no float64.
        self.expected += p.sum(dim=-1).flatten(1).cpu().sum(dim=1, dtype=torch.float64).numpy()
        maps = [best.cpu().numpy(), total.cpu().numpy()]
        counts, (own, doubt) = sums_by_label(labels.cpu().numpy(), maps, self.classes)
        self.chosen += own
        self.counts += counts
        self.doubt += doubt

    def clean(self) -> None:
        """Clean the finished label map; see `postprocess.clean`."""
        cleaned = clean(self.labels, self.postprocess)
        if self.certainty is not None:
            # What was background is of the class that fills it at most as surely as it was not background.
            own = np.where(cleaned == self.labels, self.certainty, 1.0 - self.certainty)
            self.counts, (self.doubt, self.chosen) = sums_by_label(cleaned, [self.uncertainty, own], self.classes)
            self.labels = cleaned

    def prediction(self, image: Image, manifest: PackManifest, seconds: float, notes: tuple[str, ...]) -> Prediction:
        """Close the case: figures per segment."""
        counts, sums = self.counts, self.doubt
        # A discount for what the branches disagree on ranked degraded cervix images better (0.59 against 0.53), but
        # called good segmentations of the small carotid lumen bad: expected Dice means the same for every organ.
        quality = expected_dice_from_sums(self.chosen, self.expected, counts)
        dims = len(image.spatial_shape)
        voxel = float(np.prod(image.spacing)) if image.spacing is not None else None
        unit = None if voxel is None else ("mm2" if dims == 2 else "mm3")
        segments = tuple(
            SegmentFigures(
                name=c.name,
                value=c.value,
                voxels=int(counts[c.value]),
                size=None if voxel is None else float(counts[c.value]) * voxel,
                size_unit=unit,
                mean_uncertainty=float(sums[c.value] / counts[c.value]) if counts[c.value] else None,
                predicted_dice=None if np.isnan(quality[c.value]) else float(quality[c.value]),
            )
            for c in manifest.classes
        )
        return Prediction(
            self.labels, self.uncertainty, self.disagreement, self.probabilities, segments, seconds, notes
        )
