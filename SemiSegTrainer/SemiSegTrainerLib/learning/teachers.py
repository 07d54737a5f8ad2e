"""What the weight averages say of the images that they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from .method import Method

Answers = list[dict[str, Tensor]]


@torch.no_grad()
def ask(models: Sequence[nn.Module], views: Mapping[str, Tensor], method: Method, seed: int) -> tuple[Answers, Answers]:
    """Let every weight average answer the views, once for the targets and as often again as the method wants.

    Args:
        models: the weight averages, in evaluation mode.
        views: images ``(N, M, *spatial)`` by name.
        method: says how noisy the images are and how many Monte Carlo passes there are.
        seed: of the noise.

    Returns:
        Per model, float32 probabilities ``(N, C, *spatial)`` by view: of the first pass, and the mean of the others
        (empty without them).
    """
    counts = [len(images) for images in views.values()]
    batch = torch.cat(list(views.values()))
    generator = torch.Generator().manual_seed(seed)

    def shown() -> Tensor:
        if not method.teacher_noise:
            return batch
        noise = method.teacher_noise * torch.randn(batch.shape, generator=generator)
        limit = 2 * method.teacher_noise
        return batch + noise.clamp_(-limit, limit).to(batch)

    def answer(model: nn.Module, images: Tensor) -> Tensor:
        return model(images, project=False).logits.float().softmax(dim=1)

    def by_view(p: Tensor) -> dict[str, Tensor]:
        return dict(zip(views, p.split(counts), strict=True))

    images = shown()
    first = [by_view(answer(model, images)) for model in models]
    if not method.monte_carlo:
        return first, []
    totals = [torch.zeros((), device=batch.device) for _ in models]
    # Pass by pass, not all in one batch: they take as much time and a fraction of the memory.
    for _ in range(method.monte_carlo):
        images = shown()
        for k, model in enumerate(models):
            with dropping(model):
                totals[k] = totals[k] + answer(model, images)
    return first, [by_view(total / method.monte_carlo) for total in totals]


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
