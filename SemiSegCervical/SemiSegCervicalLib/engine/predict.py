"""Prediction: the branches vote, and say how sure they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .backends.torch_backend import TorchBackend
from .grid import Grid, NetworkView, Range, along, interpolation, plan_grid
from .image import Image
from .pack import Pack
from .postprocess import clean
from .preprocess import as_volume, check_fits, from_network, to_network
from .result import Prediction, Result, vote
from .windows import plan_axis, slide

OnProgress = Callable[[int, int], None]


class Predictor:
    """Keeps a pack on a device and predicts case by case."""

    def __init__(self, pack: Pack, device: str = "auto", memory_gib: float = 2.0) -> None:
        """Move the branches to the device once.

        Args:
            pack: the model.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            memory_gib: working memory for a volume, its own arrays (image, labels, uncertainty) excluded.
        """
        self.pack = pack
        self.backend = TorchBackend(pack, device)
        self.device = self.backend.device
        self.memory_gib = memory_gib

    def predict(self, image: Image, probabilities: bool = False, on_progress: OnProgress | None = None) -> Prediction:
        """Segment one case.

        Args:
            image: the source image. A 3D model takes an image of a single slice too.
            probabilities: return the mean probabilities too.
            on_progress: called with (windows done, windows in all); what it raises ends the prediction.

        Raises:
            SemiSegError: the image does not fit the pack's input spec.
        """
        spec = self.pack.manifest.input
        if spec.sampling == "fit":
            return self.predict_batch([image], probabilities)[0]
        started = time.perf_counter()
        case = as_volume(image) if spec.spatial_dims == 3 else image
        check_fits(case, spec)
        with torch.inference_mode():
            prediction = self._cover(case, probabilities, on_progress)
        prediction = prediction.reshaped(image.spatial_shape)
        return replace(prediction, seconds=time.perf_counter() - started)

    @torch.inference_mode()
    def predict_batch(self, images: Sequence[Image], probabilities: bool = False) -> list[Prediction]:
        """Segment several cases; those of a ``fit`` model in one pass. See `predict`."""
        manifest = self.pack.manifest
        if manifest.input.sampling != "fit":
            return [self.predict(image, probabilities) for image in images]
        started = time.perf_counter()
        for image in images:
            check_fits(image, manifest.input)
        placed = [to_network(image, manifest.input) for image in images]
        fields = self._fields(torch.stack([tensor for tensor, _ in placed]))
        results = []
        for row, (image, (_, where)) in enumerate(zip(images, placed, strict=True)):
            result = self._result(image, probabilities)
            result.add(from_network(fields[row : row + 1], where)[0])
            results.append(self._close(result, image))
        seconds = (time.perf_counter() - started) / len(images)
        return [replace(result, seconds=seconds) for result in results]

    def _fields(self, batch: Tensor) -> Tensor:
        return vote(self.backend(batch), self.pack.manifest.calibration.temperatures)

    def _result(self, image: Image, probabilities: bool) -> Result:
        return Result(image.spatial_shape, self.pack.class_count, len(self.pack.branches), probabilities)

    def _close(self, result: Result, image: Image) -> Prediction:
        result.labels = clean(result.labels, self.pack.manifest.postprocess)
        return result.prediction(image, self.pack.manifest, 0.0, tuple(self.backend.notes))

    # -- windows --

    def _cover(self, image: Image, probabilities: bool, on_progress: OnProgress | None) -> Prediction:
        spec = self.pack.manifest.input
        grid = plan_grid(image, spec)
        view = NetworkView(image, grid, spec.clip)
        axes = [plan_axis(n, size, spec.overlap) for n, size in zip(grid.shape, spec.size, strict=True)]
        blocks = self._blocks(grid)
        result = self._result(image, probabilities)
        every = [len(axis.starts) for axis in axes]
        if len(every) > 1:
            every[1] = sum(len(axes[1].touching(needed)) for _, needed in blocks)
        done, total = 0, int(np.prod(every))

        def count(windows: int) -> None:
            nonlocal done
            if on_progress:
                on_progress(done, total)
            done += windows

        for wanted, needed in blocks:
            rest = [needed, *((0, n) for n in grid.shape[2:])][: len(axes) - 1]
            merged = slide(axes, [(0, grid.shape[0]), *rest], view.read, self._fields, self._batch(), count)
            writer = _Rows(grid, result, wanted)
            for rows, fields in merged:
                writer.add(rows, fields)
        if on_progress:
            on_progress(total, total)
        return self._close(result, image)

    def _batch(self) -> int:
        return 1 if self.device.type == "cpu" else 4

    def _blocks(self, grid: Grid) -> list[tuple[Range, Range]]:
        """Cut the second axis so that one layer of windows fits into the budget.

        Returns:
            Ranges of the turned source, and of the network's grid that they need.
        """
        if len(grid.shape) < 2:
            return [((0, grid.turned[0]), (0, grid.shape[0]))]
        fields = self.pack.class_count + (len(self.pack.branches) > 1)
        depth, (_, rows, *rest) = self.pack.manifest.input.size[0], grid.shape
        # The accumulator of a layer and the rows that wait for the next, the layer's image, and what resampling makes
        # of the rows on the source's grid.
        per_row = 4 * int(np.prod(rest)) * (2 * depth * fields + 2 * depth * len(self.pack.manifest.input.modalities))
        per_row += int(4 * 3 * _ROWS_AT_ONCE * fields * np.prod(grid.turned[2:]) * max(1.0, grid.turned[1] / rows))
        wanted = max(1, int(self.memory_gib * 2**30 / per_row))
        count = min(grid.turned[1], -(-rows // wanted))
        edges = [round(i * grid.turned[1] / count) for i in range(count + 1)]
        return [(r, interpolation(grid.shape[1], grid.turned[1], r)[1]) for r in pairwise(edges)]


_ROWS_AT_ONCE = 8


class _Rows:
    """Takes finished rows of the network's grid and writes the rows of the source that they decide."""

    def __init__(self, grid: Grid, result: Result, block: Range) -> None:
        self.grid, self.result, self.block = grid, result, block
        self.written = 0
        self.waiting: Tensor | None = None
        self.first = 0
        inner = list(zip(grid.shape[1:], grid.turned[1:], strict=True))
        ranges = [block, *((0, n) for _, n in inner[1:])][: len(inner)]
        self.matrices = [interpolation(n, m, r)[0] for (n, m), r in zip(inner, ranges, strict=True)]

    def add(self, rows: Range, fields: Tensor) -> None:
        """Add rows ``(K, rows, *rest)``; they follow each other without a gap."""
        n, m = self.grid.shape[0], self.grid.turned[0]
        if n == m and all(matrix is None for matrix in self.matrices):
            self._write(rows, fields)
            return
        if self.waiting is None:
            self.waiting, self.first = fields.clone(), rows[0]
        else:
            self.waiting = torch.cat([self.waiting, fields], dim=1)
        while self.written < m:
            wanted = (self.written, min(m, self.written + _ROWS_AT_ONCE))
            while wanted[1] > wanted[0] and interpolation(n, m, wanted)[1][1] > rows[1]:
                wanted = (wanted[0], wanted[1] - 1)
            if wanted[0] == wanted[1]:
                break
            matrix, (a, b) = interpolation(n, m, wanted)
            part = along(self.waiting[:, a - self.first : b - self.first], matrix, 1)
            for axis, weights in enumerate(self.matrices, start=2):
                part = along(part, weights, axis)
            self._write(wanted, part)
        if self.written < m:
            keep = interpolation(n, m, (self.written, self.written + 1))[1][0]
            self.waiting, self.first = self.waiting[:, keep - self.first :].clone(), keep

    def _write(self, rows: Range, fields: Tensor) -> None:
        cut = (slice(*rows), slice(*self.block), *(slice(None) for _ in self.grid.shape[2:]))
        self.result.add(fields, cut[: len(self.grid.shape)], self.grid.turn)
        self.written = rows[1]
