"""The interface of what runs the networks, and its fault."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Backend(Protocol):
    """Runs all branches of a pack."""

    @property
    def name(self) -> str:
        """``torch`` or ``openvino``."""
        ...

    @property
    def precision(self) -> str:
        """What the networks multiply in: ``float32``, ``float16`` or ``bfloat16``."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the logits are."""
        ...

    @property
    def notes(self) -> list[str]:
        """Sentences that a user should be told: why this one, what it fell back from."""
        ...

    def __call__(self, batch: Tensor) -> list[Tensor]:
        """Return the logits of every branch.

        Args:
            batch: float32 ``(N, M, *size)`` with all modalities of the pack; N may be any number.

        Returns:
            float32 ``(N, C, *size)`` per branch, on `device`.
        """
        ...


class BackendError(Exception):
    """A backend cannot be used here; the message says why, as half a sentence for the user."""
