"""What the weight averages say of the images that they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from SemiSegCervicalLib.engine.branch import BranchOutput
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from .method import Method
from .modalities import answer
from .step import Step

Answers = list[dict[str, Tensor]]


@torch.no_grad()
def ask(
    models: Sequence[nn.Module],
    step: Step,
    views: Sequence[str],
    method: Method,
    seed: int,
    networks: Sequence[Callable[..., BranchOutput]] | None = None,
) -> tuple[Answers, Answers]:
    """Let every weight average answer the views, once for the targets and as often again as the method wants.

    Args:
        models: the weight averages, in evaluation mode.
        step: with the views.
        views: the names of those that they answer.
        method: says how noisy the images are and how many Monte Carlo passes there are.
        seed: of the noise.
        networks: what is called in the place of the models; they themselves by default.

    Returns:
        Per model, float32 probabilities ``(N, C, *spatial)`` by view: of the first pass, and the mean of the others
        (empty without them); NaN in rows without the modalities that a model reads.
    """
    batch = torch.cat([step.views[v].images for v in views])
    generator = torch.Generator().manual_seed(seed)

    def shown() -> Tensor:
        if not method.teacher_noise:
            return batch
        noise = method.teacher_noise * torch.randn(batch.shape, generator=generator)
        limit = 2 * method.teacher_noise
        return batch + noise.clamp_(-limit, limit).to(batch)

    def opinion(branch: int, images: Tensor) -> dict[str, Tensor]:
        said = answer((networks or models)[branch], step, branch, views, images, project=False)
        return {view: output.logits.float().softmax(dim=1) for view, output in said.items()}

    images = shown()
    first = [opinion(k, images) for k in range(len(models))]
    if not method.monte_carlo:
        return first, []
    means = [{view: torch.zeros_like(p) for view, p in said.items()} for said in first]
    # Pass by pass, not all in one batch: they take as much time and a fraction of the memory.
    for _ in range(method.monte_carlo):
        images = shown()
        for k, model in enumerate(models):
            with dropping(model):
                for view, p in opinion(k, images).items():
                    means[k][view] += p / method.monte_carlo
    return first, means


@contextmanager
def dropping(model: nn.Module) -> Iterator[None]:
    """Turn on the dropout of a network in evaluation mode, and nothing else: its normalisations stay as they are."""
    layers = [m for m in model.modules() if isinstance(m, _DropoutNd) and not m.training]
    try:
        for layer in layers:
            layer.train()
        yield
    finally:
        for layer in layers:
            layer.eval()
