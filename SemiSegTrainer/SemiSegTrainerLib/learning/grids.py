"""Coarser grids: a map where a decoder's features lie, and a grid cut into patches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def at_centres(maps: Tensor, shape: Sequence[int]) -> Tensor:
    """Pick from ``(N, ..., *spatial)`` the voxel at the centre of each cell of a coarser grid of `shape`."""
    fine = maps.shape[-len(shape) :]
    for axis, (n, m) in enumerate(zip(fine, shape, strict=True), start=maps.ndim - len(shape)):
        maps = maps.index_select(axis, torch.arange(n // m // 2, n, n // m, device=maps.device))
    return maps


def patch_numbers(shape: Sequence[int], patches: Sequence[int]) -> Tensor:
    """Cut a grid into patches that neither overlap nor leave anything out.

    Args:
        shape: of the grid.
        patches: along each axis; where there are more of them than voxels, some stay empty.

    Returns:
        int64 ``(*shape)``: the number of the patch that each voxel belongs to.
    """
    numbers = torch.zeros(*shape, dtype=torch.int64)
    for axis, (n, m) in enumerate(zip(shape, patches, strict=True)):
        along = [1] * len(shape)
        along[axis] = n
        numbers = numbers * m + (torch.arange(n) * m // n).view(along)
    return numbers
