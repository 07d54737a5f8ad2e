"""A graphics card without float64, as Apple's are: PyTorch's meta device, which checks devices and shapes for real."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CARD = torch.device("meta")


class Card(TorchDispatchMode):
    """While it is entered, no tensor on `CARD` may be float64, and what is read from there is one number.

    Attributes:
        computed: how many tensors it has made.
    """

    def __init__(self, volumes: bool = True, number: float = 0.0) -> None:
        """Make a card.

        Args:
            volumes: False for one that cannot do convolutions of volumes.
            number: what is read from it.
        """
        super().__init__()
        self.computed, self.volumes, self.number = 0, volumes, number

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do one operation."""
        kwargs = kwargs or {}
        tensors = [tensor for tensor in tree_leaves(args) if isinstance(tensor, torch.Tensor)]
        if tensors and tensors[0].is_meta and kwargs.get("device", CARD) != CARD:
            return torch.full(args[0].shape, self.number, dtype=kwargs.get("dtype") or args[0].dtype)
        if not self.volumes and "conv" in str(func) and tensors[0].is_meta and tensors[0].ndim == 5:
            raise RuntimeError("ConvTranspose 3D is not supported on MPS")
        found = func(*args, **kwargs)
        for made in tree_leaves(found):
            if isinstance(made, torch.Tensor) and made.is_meta:
                self.computed += 1
                if made.dtype == torch.float64:
                    raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return found
