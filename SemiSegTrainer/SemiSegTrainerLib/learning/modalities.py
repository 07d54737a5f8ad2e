"""Branches that read different modalities: which rows a branch can look at, and what stands for what it cannot say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from SemiSegCervicalLib.engine.branch import BranchOutput, Perturbation
from torch import Tensor

from .step import Rows, Step

Reads = tuple[tuple[int, ...], ...]


def answer(
    network: Callable[..., BranchOutput],
    step: Step,
    branch: int,
    views: Sequence[str],
    images: Tensor | None = None,
    perturb: Callable[[Sequence[int]], Perturbation | None] | None = None,
    **options: Any,
) -> dict[str, BranchOutput]:
    """Let a network look at views in one forward pass: at its modalities, in the rows that have them.

    Args:
        network: a branch or its average.
        step: with its views.
        branch: the network's number.
        views: their names.
        images: what it looks at in place of their images, one after the other.
        perturb: what is done to the encoder's features, for as many rows of each view as the network looks at.
        options: of `Branch.forward`.

    Returns:
        What it says of each view; NaN in the rows that it cannot read, so that nothing can take them for an opinion.
    """
    counts = [len(step.views[v].images) for v in views]
    batch = images
    if batch is None:
        batch = step.once(("batch", tuple(views)), lambda: torch.cat([step.views[v].images for v in views]))
    parts = [step.rows(v, branch) for v in views]
    rows = _joined(parts, counts, batch.device)
    if perturb is not None:
        looked_at = [n if isinstance(part, slice) else len(part) for part, n in zip(parts, counts, strict=True)]
        options["perturb"] = perturb(looked_at)
    if step.reads and step.reads[branch] != tuple(range(batch.shape[1])):
        batch = batch[:, list(step.reads[branch])]
    if isinstance(rows, slice):
        output = network(batch, **options)
    elif len(rows):
        output = _spread(network(batch[rows], **options), rows, len(batch))
    else:
        output = BranchOutput(batch.new_full((len(batch), step.classes, *batch.shape[2:]), torch.nan))
    return dict(zip(views, output.split(counts), strict=True))


def _joined(parts: Sequence[Rows], counts: Sequence[int], device: torch.device) -> Rows:
    """Return the rows of several views as rows of their batch."""
    if all(isinstance(rows, slice) for rows in parts):
        return slice(None)
    found, first = [], 0
    for rows, count in zip(parts, counts, strict=True):
        found.append(torch.arange(count, device=device)[rows] + first)
        first += count
    return torch.cat(found)


def _spread(output: BranchOutput, rows: Tensor, count: int) -> BranchOutput:
    def spread(part: Tensor) -> Tensor:
        return part.new_full((count, *part.shape[1:]), torch.nan).index_copy(0, rows, part)

    return output.map(spread)
