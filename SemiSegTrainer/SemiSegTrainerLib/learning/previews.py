"""One slice or picture as the branches see it, on the image's own grid: what the user watches while a run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.grid import Grid, NetworkView, Range, along, interpolation, plan_grid
from SemiSegCervicalLib.engine.preprocess import as_volume, from_network, to_network
from SemiSegCervicalLib.engine.uncertainty import entropy, percent
from SemiSegCervicalLib.engine.windows import plan_axes, slide
from torch import Tensor

from .data import read_sets
from .datalist import Entry
from .preparation import Prepared
from .readers import Reader, opinion, readers
from .targets import known, outlined

# Windows of a preview overlap less than those of a prediction: it is looked at for a moment.
_OVERLAP = 0.25
_DARKEST, _BRIGHTEST = 1.0, 99.0  # percentiles


@dataclass(frozen=True)
class Picture:
    """What the branches see; all maps are uint8 ``(Y, X)``.

    Attributes:
        image: grey values.
        labels: class values.
        uncertainty: percent.
        reference: class values of the annotation; None where nothing is annotated.
    """

    image: np.ndarray
    labels: np.ndarray
    uncertainty: np.ndarray
    reference: np.ndarray | None


class Subject:
    """What is shown: a picture, or a slice of a volume."""

    def __init__(self, run: Prepared, case: str | None = None, slice_: int | None = None) -> None:
        """Read it.

        Args:
            run: with at least one case.
            case: id of an entry; None, or one that there is not, for an annotated one, of the validation list first.
            slice_: index along the first axis of a volume; None for the one with most annotation, else the middle one.
        """
        entry = _choose(run, case)
        image = read_image(entry.images, entry.spacing)
        sets = read_sets(entry, run.classes, image.spatial_shape, image.affine)
        self.run, self.case, self.present = run, entry.id, entry.present
        self.slice: int | None = None
        self.aspect = image.spacing[-2] / image.spacing[-1] if image.spacing is not None else 1.0
        grey = image.array[0]
        # The network's own normalisation: where modalities are missing, only those that are there are read.
        self._names = tuple(run.spec.modalities[k] for k in entry.modalities)
        self._spec = run.spec.of(entry.modalities)
        if len(image.spatial_shape) == 3:
            outside = slice_ is None or not 0 <= slice_ < len(sets)
            self.slice = most_outlined(sets, run.classes) if outside else slice_
            grey, sets = grey[self.slice], sets[self.slice]
        self.image = stretched(grey)
        self.reference = reference_of(sets, run.classes)
        self._source = as_volume(image) if run.spec.spatial_dims == 3 else image
        self._view: NetworkView | None = None
        if run.spec.sampling != "fit":
            self._view = NetworkView(self._source, plan_grid(self._source, self._spec), self._spec)

    @torch.no_grad()
    def look(self, branches: Sequence[Branch]) -> Picture:
        """Let branches look at it; they are in evaluation mode, on the run's device."""
        asked = readers(branches, self.run.reads, self.run.classes, self.present)
        p = self._whole(asked) if self._view is None else self._plane(asked, self._view)
        labels = p.argmax(dim=0).to(torch.uint8).cpu().numpy()
        doubt = entropy(p[None].float(), checked=False)[0]
        return Picture(self.image, labels, percent(doubt.cpu().numpy()), self.reference)

    def _whole(self, asked: Sequence[Reader]) -> Tensor:
        tensor, where = to_network(self._source, self._spec)
        maps = from_network(opinion(asked, self._spread(tensor[None])), where)[0]
        return maps if self.slice is None else maps[:, self.slice]

    def _spread(self, batch: Tensor) -> Tensor:
        """Put the modalities that are there in their places among all."""
        batch = batch.to(self.run.device)
        if self.present is None:
            return batch
        whole = batch.new_zeros(batch.shape[0], len(self.run.spec.modalities), *batch.shape[2:])
        whole[:, list(self.present)] = batch
        return whole

    def _plane(self, asked: Sequence[Reader], view: NetworkView) -> Tensor:
        """Return probabilities ``(C, Y, X)`` of the slice: of the windows around it, one layer where it is thin."""
        grid, spec = view.grid, self.run.spec
        if spec.spatial_dims == 2:
            block = [(0, n) for n in grid.shape]
            return _resampled(self._merged(asked, view, block), grid, None)
        axis = grid.axes.index(0)
        place = self.slice or 0
        place = grid.turned[axis] - 1 - place if grid.flips[axis] else place
        matrix, (low, high) = interpolation(grid.shape[axis], grid.turned[axis], (place, place + 1))
        rows = max(spec.size[axis], high - low)  # a slice may be thicker than a window
        first = min(max(0, (low + high - rows) // 2), max(0, grid.shape[axis] - rows))
        block = [(0, n) for n in grid.shape]
        block[axis] = (first, min(grid.shape[axis], first + rows))
        layer = self._merged(asked, view, block).narrow(axis + 1, low - first, high - low)
        return _resampled(along(layer, matrix, axis + 1).select(axis + 1, 0), grid, axis)

    def _merged(self, asked: Sequence[Reader], view: NetworkView, block: Sequence[Range]) -> Tensor:
        """Return probabilities ``(C, *block)`` of a block of the network's grid."""
        shape = [b - a for a, b in block]
        axes = plan_axes(shape, self.run.spec.size, (_OVERLAP,) * len(shape))

        def read(part: Sequence[Range]) -> Tensor:
            return view.read([(a + start, b + start) for (a, b), (start, _) in zip(part, block, strict=True)])

        def fields(batch: Tensor) -> Tensor:
            return opinion(asked, self._spread(batch))

        rows = [part.clone() for _, part in slide(axes, [(0, n) for n in shape], read, fields, batch=1)]
        return torch.cat(rows, dim=1)


def _resampled(maps: Tensor, grid: Grid, axis: int | None) -> Tensor:
    """Bring a plane of the network's grid ``(C, rows, columns)`` back onto the source's, turned as that is.

    Args:
        maps: the plane.
        grid: of the volume, or of the picture.
        axis: the axis of the grid that the plane cuts; None for a picture.
    """
    left = [a for a in range(len(grid.axes)) if a != axis]
    for at, a in enumerate(left, start=1):
        matrix, _ = interpolation(grid.shape[a], grid.turned[a], (0, grid.turned[a]))
        maps = along(maps, matrix, at)
    maps = maps.flip([at for at, a in enumerate(left, start=1) if grid.flips[a]])
    return maps if grid.axes[left[0]] < grid.axes[left[1]] else maps.transpose(1, 2)


def _choose(run: Prepared, case: str | None) -> Entry:
    listed = (entry for name in ("validation", "training", "unlabeled") for entry in run.datalist[name])
    lists = [*run.validation, *listed]
    wished = [entry for entry in lists if entry.id == case]
    annotated = [entry for entry in lists if entry.label is not None]
    return (*wished, *annotated, *lists)[0]


def most_outlined(sets: np.ndarray, classes: int) -> int:
    """Return the slice of a volume with most outlined voxels, then with most that is known, else the middle one.

    Args:
        sets: int32 class sets ``(Z, Y, X)``.
        classes: background included.
    """
    rest = tuple(range(1, sets.ndim))
    for there in (outlined(sets), known(sets, classes)):
        counts = there.sum(axis=rest)
        if counts.any():
            return int(counts.argmax())
    return len(sets) // 2


def reference_of(sets: np.ndarray, classes: int) -> np.ndarray | None:
    """Return the class values that class sets decide, uint8, 0 elsewhere; None where nothing is known.

    Args:
        sets: int32 class sets of any shape; 0 for what is no voxel.
        classes: background included.
    """
    if not known(sets, classes).any():
        return None
    values = np.zeros(sets.shape, dtype=np.uint8)
    for c in range(1, classes):
        values[sets == 1 << c] = c
    return values


def stretched(grey: np.ndarray) -> np.ndarray:
    """Stretch grey values ``(Y, X)`` to 0 to 255, a few of the darkest and brightest left out."""
    low, high = np.percentile(grey, (_DARKEST, _BRIGHTEST))
    scaled = (grey.astype(np.float32) - low) / max(high - low, 1e-30)
    return np.rint(255 * scaled.clip(0, 1)).astype(np.uint8)
