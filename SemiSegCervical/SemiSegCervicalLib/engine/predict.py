"""Prediction: the branches vote, and say how sure they are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .device import autocast, resolve_device
from .image import Image
from .pack import Pack
from .preprocess import from_network, to_network
from .uncertainty import expected_dice, split


@dataclass(frozen=True)
class SegmentFigures:
    """What is said of one segment of one case; None where it cannot be known."""

    name: str
    value: int
    voxels: int
    size: float | None
    size_unit: str | None
    mean_uncertainty: float | None
    predicted_dice: float | None


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
    """

    labels: np.ndarray
    uncertainty: np.ndarray
    disagreement: np.ndarray | None
    probabilities: np.ndarray | None
    segments: tuple[SegmentFigures, ...]
    seconds: float


class Predictor:
    """Keeps a pack on a device and predicts case by case."""

    def __init__(self, pack: Pack, device: str = "auto") -> None:
        """Move the branches to the device once.

        Args:
            pack: the model.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        """
        self.pack = pack
        self.device = resolve_device(device)
        for branch in pack.branches:
            branch.to(self.device).eval()

    def predict(self, image: Image, probabilities: bool = False) -> Prediction:
        """Segment one case.

        Args:
            image: the source image.
            probabilities: return the mean probabilities too.

        Raises:
            SemiSegError: the image does not fit the pack's input spec.
        """
        return self.predict_batch([image], probabilities)[0]

    @torch.inference_mode()
    def predict_batch(self, images: Sequence[Image], probabilities: bool = False) -> list[Prediction]:
        """Segment several cases of 2D images in one pass; see `predict`."""
        started = time.perf_counter()
        manifest = self.pack.manifest
        placed = [to_network(image, manifest.input) for image in images]
        batch = torch.stack([tensor for tensor, _ in placed]).to(self.device)
        maps = [
            self._probabilities(batch[:, list(spec.modalities)], index) for index, spec in enumerate(manifest.branches)
        ]
        results = []
        for row, (image, (_, where)) in enumerate(zip(images, placed, strict=True)):
            results.append(self._finish(image, [from_network(m[row : row + 1], where) for m in maps], probabilities))
        seconds = (time.perf_counter() - started) / len(images)
        return [replace(result, seconds=seconds) for result in results]

    def _probabilities(self, batch: Tensor, index: int) -> Tensor:
        temperature = self.pack.manifest.calibration.temperatures[index]
        with autocast(self.device):
            logits = self.pack.branches[index](batch).logits
        return functional.softmax(logits.float() / temperature, dim=1)

    def _finish(self, image: Image, maps: list[Tensor], keep: bool) -> Prediction:
        mean = torch.stack(maps).mean(dim=0)
        labels = mean.argmax(dim=1)
        total, disagreement = split(maps)
        quality = expected_dice(mean[0], labels[0]).cpu().numpy()
        label_map = labels[0].to(torch.uint8).cpu().numpy()
        uncertainty = total[0].cpu().numpy()
        return Prediction(
            labels=label_map,
            uncertainty=uncertainty,
            disagreement=None if disagreement is None else disagreement[0].cpu().numpy(),
            probabilities=mean[0].cpu().numpy() if keep else None,
            segments=self._figures(image, label_map, uncertainty, quality),
            seconds=0.0,
        )

    def _figures(
        self, image: Image, labels: np.ndarray, uncertainty: np.ndarray, quality: np.ndarray
    ) -> tuple[SegmentFigures, ...]:
        counts = np.bincount(labels.ravel(), minlength=self.pack.class_count)
        sums = np.bincount(labels.ravel(), weights=uncertainty.ravel(), minlength=self.pack.class_count)
        voxel = float(np.prod(image.spacing)) if image.spacing is not None else None
        unit = None if voxel is None else ("mm2" if len(image.spatial_shape) == 2 else "mm3")
        figures = []
        for segment in self.pack.manifest.classes:
            count, dice = int(counts[segment.value]), float(quality[segment.value])
            figures.append(
                SegmentFigures(
                    name=segment.name,
                    value=segment.value,
                    voxels=count,
                    size=None if voxel is None else count * voxel,
                    size_unit=unit,
                    mean_uncertainty=float(sums[segment.value] / count) if count else None,
                    predicted_dice=None if np.isnan(dice) else dice,
                )
            )
        return tuple(figures)
