"""Prediction: the branches vote, and say how sure they are."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from .backends.base import BackendError
from .backends.ladder import is_out_of_memory
from .backends.selection import AdaptiveBackend, Lane, open_backend
from .grid import Grid, NetworkView, Range, along, interpolation, plan_grid, reach
from .image import Image
from .intensity import other_units
from .pack import Pack
from .preprocess import as_volume, check_fits, from_network, to_network, without_padding
from .result import Prediction, Result, vote
from .threads import side_by_side
from .typicality import Typicality, appearance, slices_of, slices_to_look_at
from .windows import Axis, plan_axes, slide

OnProgress = Callable[[int, int], None]
T = TypeVar("T")

_FILLED = "Voxels without a number (NaN or infinite) were taken as the image's darkest or brightest"
# Rows of the source that are written at once: enough to fill a matrix product, few enough to be small.
_ROWS_AT_ONCE = 8
# Frames of a cine by which a backend's precision is settled.
_SAMPLE_FRAMES = 8
# Contrast and brightness of the further views, well within what training shows; no flips or turns, for what lies left
# or right, near or far from the probe, means something.
_GLANCES = (
    (1.2, 0.0),
    (1 / 1.2, 0.0),
    (1.0, 0.2),
    (1.0, -0.2),
    (1.2, 0.2),
    (1 / 1.2, -0.2),
    (1.2, -0.2),
    (1 / 1.2, 0.2),
)
TTA_LIMIT = len(_GLANCES)


class Predictor:
    """Keeps a pack on a device and predicts case by case."""

    def __init__(
        self,
        pack: Pack,
        device: str = "auto",
        memory_gib: float = 2.0,
        backend: str | AdaptiveBackend = "auto",
        tta: int = 0,
    ) -> None:
        """Move the branches to the device once.

        Args:
            pack: the model.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            memory_gib: working memory for a volume, its own arrays (image, labels, uncertainty) excluded.
            backend: ``auto``, ``torch`` or ``openvino``; or one that was opened for this pack.
            tta: test-time augmentation: how many further views of each image vote, at most `TTA_LIMIT`; each takes as
                long as the image itself.

        Raises:
            ValueError: more views than there are.
        """
        if not 0 <= tta <= TTA_LIMIT:
            raise ValueError(f"test-time augmentation has 0 to {TTA_LIMIT} views")
        self.pack = pack
        self.backend = open_backend(pack, device, backend) if isinstance(backend, str) else backend
        self.memory_gib = memory_gib
        self.tta = tta
        known = pack.manifest.typical
        self._typicality = Typicality(known) if known else None

    @property
    def device(self) -> torch.device:
        """What computes; it changes where a device's memory did not suffice."""
        return self.backend.device

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
            prediction = self._within_memory(lambda: self._cover(case, probabilities, on_progress))
        prediction = prediction.reshaped(image.spatial_shape)
        return replace(prediction, seconds=time.perf_counter() - started)

    @torch.inference_mode()
    def predict_batch(self, images: Sequence[Image], probabilities: bool = False) -> list[Prediction]:
        """Segment several cases; those of a ``fit`` model in one pass. See `predict`."""
        return list(self.predict_frames(images, len(images), probabilities))

    @torch.inference_mode()
    def predict_frames(
        self, frames: Sequence[Image], at_once: int = 8, probabilities: bool = False
    ) -> Iterator[Prediction]:
        """Segment the frames of a cine, a few at once, and yield each as soon as it is there. See `predict`."""
        if self.pack.manifest.input.sampling != "fit":
            for frame in frames:
                yield self.predict(frame, probabilities)
            return
        self.backend.prepare(len(frames), lambda: self._spread(frames))
        done = 0
        if lanes := self.backend.lanes(len(frames)):
            try:
                for result in side_by_side(partial(self._alone, frames, probabilities), range(len(frames)), lanes):
                    yield replace(result, seconds=result.seconds / len(lanes))
                    done += 1
            except Exception as error:
                # The backend itself, which computes what is left, knows what to do, and says so.
                if not (isinstance(error, BackendError) or is_out_of_memory(error)):
                    raise
        for first in range(done, len(frames), at_once):
            yield from self._fit(frames[first : first + at_once], self._fields_within_memory, probabilities)

    def _alone(self, frames: Sequence[Image], probabilities: bool, lane: Lane, index: int) -> Prediction:
        """Segment one frame by a lane, in any thread."""
        with torch.inference_mode():
            (result,) = self._fit([frames[index]], partial(self._vote, lane), probabilities)
        return result

    def _spread(self, frames: Sequence[Image]) -> Tensor:
        """Return network input of some frames from the whole length of a cine."""
        chosen = list(frames[:: -(-len(frames) // _SAMPLE_FRAMES)])
        return torch.stack([to_network(frame, self.pack.manifest.input)[0] for frame in chosen])

    def _fit(
        self, images: Sequence[Image], vote_on: Callable[[Tensor], Tensor], probabilities: bool
    ) -> list[Prediction]:
        started = time.perf_counter()
        images = list(images)  # a sequence may make each image anew whenever it is looked at
        placed = [to_network(image, self.pack.manifest.input) for image in images]
        batch = torch.stack([tensor for tensor, _ in placed])
        fields = vote_on(batch)
        results = []
        for row, (image, (_, where)) in enumerate(zip(images, placed, strict=True)):
            result = self._result(image, probabilities)
            result.add(from_network(fields[row : row + 1], where)[0])
            results.append(self._close(result, image, partial(slices_of, without_padding(batch[row], where))))
        seconds = (time.perf_counter() - started) / len(images)
        return [replace(result, seconds=seconds) for result in results]

    def _fields_within_memory(self, batch: Tensor) -> Tensor:
        return self._within_memory(lambda: self._fields(batch))

    def _fields(self, batch: Tensor) -> Tensor:
        return self._vote(self.backend, batch)

    def _vote(self, run: Lane, batch: Tensor) -> Tensor:
        temperatures = self.pack.manifest.calibration.temperatures
        logits = list(run(batch))
        for gain, offset in _GLANCES[: self.tta]:
            logits += run(batch * gain + offset)
        return vote(logits, temperatures * (1 + self.tta))

    def _within_memory(self, job: Callable[[], T]) -> T:
        """Do a job; where a device's memory does not suffice, again from its start on the CPU."""
        while True:
            try:
                return job()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            self.backend.leave_device()

    def _result(self, image: Image, probabilities: bool) -> Result:
        manifest, classes, branches = self.pack.manifest, self.pack.class_count, len(self.pack.branches)
        sharpness = manifest.calibration.sharpness
        return Result(image.spatial_shape, classes, branches, probabilities, sharpness, manifest.postprocess)

    def _close(self, result: Result, image: Image, slices: Callable[[], Tensor]) -> Prediction:
        result.clean()
        told = other_units(image.array, self.pack.manifest.input)
        notes = (*((_FILLED,) if image.filled else ()), *told, *self.backend.notes)
        prediction = result.prediction(image, self.pack.manifest, 0.0, notes)
        if self._typicality is None:
            return prediction
        return replace(prediction, atypicality=self._typicality.atypicality(appearance(slices())))

    # -- windows --

    def _cover(self, image: Image, probabilities: bool, on_progress: OnProgress | None) -> Prediction:
        spec = self.pack.manifest.input
        grid = plan_grid(image, spec)
        view = NetworkView(image, grid, spec)
        axes = plan_axes(grid.shape, spec.size, spec.overlaps)
        blocks = self._blocks(grid)
        self.backend.prepare(math.prod(len(axis.starts) for axis in axes), lambda: _central(view, axes))
        result = self._result(image, probabilities)
        every = [len(axis.starts) for axis in axes]
        every[1] = sum(len(axes[1].touching(needed)) for _, needed in blocks)
        done, total = 0, int(np.prod(every))

        def count(windows: int) -> None:
            nonlocal done
            if on_progress:
                on_progress(done, total)
            done += windows

        for wanted, needed in blocks:
            block = [(0, grid.shape[0]), needed, *((0, n) for n in grid.shape[2:])]
            merged = slide(axes, block, view.read, self._fields, self._batch(), count)
            writer = _Rows(grid, result, wanted)
            for rows, fields in merged:
                writer.add(rows, fields)
        if on_progress:
            on_progress(total, total)
        return self._close(result, image, lambda: _inner_slices(view))

    def _batch(self) -> int:
        return 1 if self.device.type == "cpu" else 4

    def _blocks(self, grid: Grid) -> list[tuple[Range, Range]]:
        """Cut the second axis so that one layer of windows fits into the budget.

        Returns:
            Ranges of the turned source, and of the network's grid that they need.
        """
        fields = self.pack.class_count + (len(self.pack.branches) > 1)
        depth, (_, rows, *rest) = self.pack.manifest.input.size[0], grid.shape
        # The accumulator of a layer and the rows that wait for the next, the layer's image, and what resampling makes
        # of the rows on the source's grid.
        per_row = 4 * int(np.prod(rest)) * (2 * depth * fields + 2 * depth * len(self.pack.manifest.input.modalities))
        per_row += int(4 * 3 * _ROWS_AT_ONCE * fields * np.prod(grid.turned[2:]) * max(1.0, grid.turned[1] / rows))
        wanted = max(1, int(self.memory_gib * 2**30 / per_row))
        count = min(grid.turned[1], -(-rows // wanted))
        edges = [round(i * grid.turned[1] / count) for i in range(count + 1)]
        return [(r, reach(grid.shape[1], grid.turned[1], r)) for r in pairwise(edges)]


def _central(view: NetworkView, axes: Sequence[Axis]) -> Tensor:
    """Return windows from the inside of an image, ``(N, M, *size)``: at its edge there may be nothing to see."""
    places = {tuple(axis.starts[len(axis.starts) // part] for axis in axes) for part in (2, 3)}
    return torch.stack(
        [view.read([(a, a + axis.size) for a, axis in zip(place, axes, strict=True)]) for place in sorted(places)]
    )


def _inner_slices(view: NetworkView) -> Tensor:
    """Return what `typicality.appearance` looks at, ``(M, S, rows, columns)``: of a volume a few slices only."""
    if len(view.grid.shape) == 2:
        return slices_of(view.whole())
    depth, *rest = view.grid.shape
    whole = [(0, n) for n in rest]
    return torch.cat([view.read([(k, k + 1), *whole]) for k in slices_to_look_at(depth)], dim=1)


class _Rows:
    """Takes finished rows of the network's grid and writes the rows of the source that they decide."""

    def __init__(self, grid: Grid, result: Result, block: Range) -> None:
        self.grid, self.result, self.block = grid, result, block
        self.written = 0
        self.waiting: Tensor | None = None
        self.first = 0
        ranges = [block, *((0, n) for n in grid.turned[2:])]
        self.matrices = [
            interpolation(n, m, r)[0] for n, m, r in zip(grid.shape[1:], grid.turned[1:], ranges, strict=True)
        ]
        n, m = grid.shape[0], grid.turned[0]
        self.reads = [reach(n, m, (row, row + 1)) for row in range(m)]

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
            following = self.reads[self.written : self.written + _ROWS_AT_ONCE]
            ready = sum(last <= rows[1] for _, last in following)
            if not ready:
                break
            wanted = (self.written, self.written + ready)
            matrix, (a, b) = interpolation(n, m, wanted)
            part = along(self.waiting[:, a - self.first : b - self.first], matrix, 1)
            for axis, weights in enumerate(self.matrices, start=2):
                part = along(part, weights, axis)
            self._write(wanted, part)
        if self.written < m:
            keep = self.reads[self.written][0]
            self.waiting, self.first = self.waiting[:, keep - self.first :].clone(), keep

    def _write(self, rows: Range, fields: Tensor) -> None:
        cut = (slice(*rows), slice(*self.block), *(slice(None) for _ in self.grid.shape[2:]))
        self.result.add(fields, cut, self.grid.turn)
        self.written = rows[1]
