"""Running a backend in the memory there is: fewer windows at once, then smaller ones."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...errors import first_line
from ..windows import plan_axes, slide
from .base import Backend

# What allocators say: PyTorch's on CUDA, Metal and CPU, cuDNN and cuBLAS, OpenVINO's.
_TEXTS = (
    "out of memory", "can't allocate memory", "not enough memory", "alloc_failed", "bad_alloc", "bad allocation",
    "could not allocate", "failed to allocate", "invalid buffer size",
)  # fmt: skip
_OVERLAP = 0.5


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out, on whatever device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _TEXTS)


def refusal(job: Callable[[], object]) -> str:
    """Try a job; return why a device cannot do it, or an empty string. Want of memory is not told: less may fit."""
    try:
        job()
    except (RuntimeError, AssertionError) as error:
        return "" if is_out_of_memory(error) else first_line(error)
    return ""


def release(device: torch.device) -> None:
    """Give back what PyTorch keeps of a device's memory for later."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


class Ladder:
    """The steps down, each taken once and remembered: what did not fit will not fit the next time.

    Smaller windows lie within the full one, overlap by half and are merged with Gaussian weights, as full windows are
    in an image: whoever calls need not know. Their edges see less of the image, so results may differ a little.
    """

    def __init__(self, size: Sequence[int], takes: Callable[[Sequence[int]], bool], divisor: int) -> None:
        """Start with full windows, as many at once as the caller likes.

        Args:
            size: of a full window.
            takes: whether the networks take windows of a size; one that takes none but `size` cannot shrink.
            divisor: each side of a smaller window is a multiple of it.
        """
        self.full = self.size = tuple(size)
        self.together: int | None = None
        self._takes = takes
        self._divisor = divisor

    def run(self, backend: Backend, batch: Tensor) -> list[Tensor]:
        """Return the backend's logits, after as many steps down as it takes.

        Raises:
            MemoryError: memory ran out on the last step too.
        """
        while True:
            try:
                return self._attempt(backend, batch)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            # Out of the handler: the error's frames hold on to the tensors that did not fit.
            release(backend.device)
            if not self._step_down(len(batch)):
                raise MemoryError(f"the {backend.device.type} device is out of memory")

    def notes(self) -> list[str]:
        """Say what was done, for the user."""
        said = []
        if self.together is not None:
            said.append(
                f"Memory ran short: {self.together} instead of more parts of the image were computed at once. "
                "Slower, with the same result."
            )
        if self.size != self.full:
            smaller, full = (" x ".join(map(str, size)) for size in (self.size, self.full))
            said.append(
                f"Memory ran short: the image was computed in smaller parts ({smaller} instead of {full} voxels). "
                "Slower, and contours and uncertainty may differ slightly."
            )
        return said

    def _attempt(self, backend: Backend, batch: Tensor) -> list[Tensor]:
        parts = [self._windows(backend, part) for part in batch.split(self.together or max(1, len(batch)))]
        return parts[0] if len(parts) == 1 else [torch.cat(logits) for logits in zip(*parts, strict=True)]

    def _windows(self, backend: Backend, batch: Tensor) -> list[Tensor]:
        if self.size == self.full:
            return backend(batch)
        axes = plan_axes(self.full, self.size, (_OVERLAP,) * len(self.full))
        whole = [(0, n) for n in self.full]
        classes, rows = 0, []
        for image in batch:

            def read(ranges: Sequence[tuple[int, int]], image: Tensor = image) -> Tensor:
                return image[(slice(None), *(slice(a, b) for a, b in ranges))]

            def logits(windows: Tensor) -> Tensor:
                nonlocal classes
                found = backend(windows)
                classes = found[0].shape[1]
                return torch.cat(found, dim=1)

            # Rows are overwritten by the next ones.
            rows.append(torch.cat([part.clone() for _, part in slide(axes, whole, read, logits, 1)], dim=1))
        return list(torch.stack(rows).split(classes, dim=1))

    def _step_down(self, count: int) -> bool:
        now = min(count, self.together or count)
        if now > 1:
            self.together = now // 2
            return True
        half = tuple(max(1, round(n / 2 / self._divisor)) * self._divisor for n in self.size)
        half = tuple(min(n, h) for n, h in zip(self.size, half, strict=True))
        if half == self.size or not self._takes(half):
            return False
        self.size = half
        return True
