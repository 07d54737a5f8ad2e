"""Sliding windows over an image of any size in bounded memory.

Windows lie on a regular grid and their Gaussian weights are products of one profile per axis. So the weights of all
windows at a voxel add up to a product too, every window can be weighted by its final share, and what is accumulated
needs no division. Windows go through the image layer by layer along the first axis: rows that no later window reaches
are handed on, and the accumulator never holds more than one layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from .grid import Range


@dataclass(frozen=True)
class Axis:
    """The windows along one axis.

    Attributes:
        starts: first row of each window; negative where the window is larger than the image.
        size: rows of a window.
        shares: ``(windows, size)``: the share of each window in its rows; over all windows they add up to 1.
    """

    starts: tuple[int, ...]
    size: int
    shares: Tensor

    def touching(self, rows: Range) -> list[int]:
        """Return the windows that reach into some rows."""
        return [i for i, start in enumerate(self.starts) if start < rows[1] and start + self.size > rows[0]]


def gaussian(size: int) -> Tensor:
    """Return the weights of a window along one axis, float64 ``(size,)``, the largest about 1.

    A Gaussian whose standard deviation is an eighth of the side, as in nnU-Net and MONAI.
    """
    position = torch.arange(size, dtype=torch.float64) + 0.5 - size / 2
    return torch.exp(-0.5 * (position / (size / 8)) ** 2)


def plan_axis(n: int, size: int, overlap: float) -> Axis:
    """Space windows evenly over n rows so that neighbours overlap by at least `overlap` of their size.

    Args:
        n: rows of the image.
        size: rows of a window.
        overlap: share, 0 to below 1.
    """
    step = max(1, int(size * (1 - overlap)))
    count = 1 if n <= size else math.ceil((n - size) / step) + 1
    starts = [round(i * (n - size) / (count - 1)) for i in range(count)] if count > 1 else [-((size - n) // 2)]
    profile = gaussian(size)
    # Normalising per axis keeps even the corners exact.
    total = torch.zeros(max(n, size) + size, dtype=torch.float64)
    shift = -min(0, starts[0])
    for start in starts:
        total[start + shift : start + shift + size] += profile
    shares = torch.stack([profile / total[s + shift : s + shift + size] for s in starts])
    return Axis(tuple(starts), size, shares.float())


def plan_axes(shape: Sequence[int], size: Sequence[int], overlaps: Sequence[float]) -> list[Axis]:
    """Space windows over a grid; see `plan_axis`."""
    return [plan_axis(*of_axis) for of_axis in zip(shape, size, overlaps, strict=True)]


def slide(
    axes: Sequence[Axis],
    block: Sequence[Range],
    read: Callable[[Sequence[Range]], Tensor],
    fields: Callable[[Tensor], Tensor],
    batch: int,
    before: Callable[[int], None] | None = None,
) -> Iterator[tuple[Range, Tensor]]:
    """Run windows over a block and yield finished rows of their weighted mean.

    Args:
        axes: the windows along each axis, from `plan_axis`.
        block: the part of the image that is wanted; along the first axis it must be the whole.
        read: ``ranges -> (M, *ranges)``, the image.
        fields: ``(N, M, *size) -> (N, K, *size)``, what is averaged.
        batch: windows at once.
        before: called with the number of windows before each batch (progress, cancelling).

    Yields:
        Rows along the first axis, and ``(K, rows, *rest of the block)``, a view that is valid until the next.
    """
    first, rest = axes[0], axes[1:]
    inside = block[1:]
    chosen = [axis.touching(rows) for axis, rows in zip(rest, inside, strict=True)]
    places = list(product(*chosen))
    # The image under one layer of windows is read once, and cut.
    spans = [(axis.starts[c[0]], axis.starts[c[-1]] + axis.size) for axis, c in zip(rest, chosen, strict=True)]
    top, bottom = block[0]
    total: Tensor | None = None
    for layer, start in enumerate(first.starts):
        image = read([(start, start + first.size), *spans])
        for at in range(0, len(places), batch):
            some = places[at : at + batch]
            if before:
                before(len(some))
            cuts = [
                tuple(
                    slice(axis.starts[i] - span[0], axis.starts[i] - span[0] + axis.size)
                    for axis, i, span in zip(rest, place, spans, strict=True)
                )
                for place in some
            ]
            values = fields(torch.stack([image[(slice(None), slice(None), *cut)] for cut in cuts]))
            if total is None:
                shape = (values.shape[1], first.size, *(b - a for a, b in inside))
                total = torch.zeros(shape, dtype=torch.float32, device=values.device)
            for value, place in zip(values, some, strict=True):
                _add(total, value, layer, place, axes, inside)
        assert total is not None
        # Rows above the next layer are final.
        following = first.starts[layer + 1] if layer + 1 < len(first.starts) else start + first.size
        done = following - start
        low, high = max(start, top), min(following, bottom)
        if low < high:
            yield (low, high), total[:, low - start : high - start]
        for row in range(first.size):  # one by one: a copy of the whole would double the memory
            if row + done < first.size:
                total[:, row] = total[:, row + done]
            else:
                total[:, row] = 0.0


def _add(
    total: Tensor, value: Tensor, layer: int, place: Sequence[int], axes: Sequence[Axis], inside: Sequence[Range]
) -> None:
    """Add one window, weighted by its share, to the accumulator of its layer."""
    source: list[slice] = [slice(None), slice(None)]
    target: list[slice] = [slice(None), slice(None)]
    shares = [axes[0].shares[layer]]
    for axis, i, (a, b) in zip(axes[1:], place, inside, strict=True):
        low, high = max(axis.starts[i], a), min(axis.starts[i] + axis.size, b)
        source.append(slice(low - axis.starts[i], high - axis.starts[i]))
        target.append(slice(low - a, high - a))
        shares.append(axis.shares[i][source[-1]])
    weight = shares[0].to(value.device)
    for share in shares[1:]:
        weight = weight.unsqueeze(-1) * share.to(value.device)
    total[tuple(target)].addcmul_(value[tuple(source)], weight)
