"""Branches outside of a step: what they say of images on the network's grid, whole or in windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.engine.windows import plan_axes, slide
from torch import Tensor

from .patches import cut

Reader = Callable[[Tensor], Tensor]


def readers(
    branches: Sequence[Branch], modalities: Sequence[Sequence[int]], classes: int, present: Sequence[int] | None
) -> list[Reader]:
    """Return per branch what turns images into logits: the branch, or NaN where a case lacks what it reads."""

    def silent(batch: Tensor) -> Tensor:
        return batch.new_full((len(batch), classes, *batch.shape[2:]), torch.nan)

    def reader(branch: Branch, read: Sequence[int]) -> Reader:
        return lambda batch: branch(batch[:, list(read)]).logits.float()

    return [
        reader(branch, read) if present is None or set(read) <= set(present) else silent
        for branch, read in zip(branches, modalities, strict=True)
    ]


def opinion(readers: Sequence[Reader], batch: Tensor) -> Tensor:
    """Return the mean of what those branches say that can read the images, probabilities ``(N, C, *spatial)``."""
    return torch.stack([reader(batch).softmax(dim=1) for reader in readers]).nanmean(dim=0)


def logits_of(
    readers: Sequence[Reader], spec: InputSpec, image: Tensor, device: torch.device
) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Yield rows of the grid and the branches' logits there, ``(K, C, rows, *rest)``, windows merged."""

    def fields(batch: Tensor) -> Tensor:
        batch = batch.to(device)
        return torch.cat([reader(batch) for reader in readers], dim=1)

    count = len(readers)
    if spec.sampling == "fit":
        yield (0, image.shape[1]), fields(image[None])[0].unflatten(0, (count, -1))
        return
    shape = tuple(image.shape[1:])
    axes = plan_axes(shape, spec.size, spec.overlaps)
    for rows, part in slide(axes, [(0, n) for n in shape], lambda block: cut(image, block), fields, batch=1):
        yield rows, part.unflatten(0, (count, -1))
