"""A graphics card where there is none: its numbers are the processor's, and it does not mix with it.

Tensors on the card call themselves ones of PyTorch's meta device, and hold a tensor of the processor each. What CUDA
refuses is refused: operations on tensors of both sides, numpy. The rest is computed by the processor, so that results
are to be those of the processor to the last bit. Like Apple's cards it has no float64.
"""

from __future__ import annotations

from contextlib import ExitStack
from importlib import import_module
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

CARD = torch.device("meta")

_aten = torch.ops.aten
# These move numbers from one side to the other.
_MOVES = (_aten.copy_.default, _aten._to_copy.default)
# A tensor on the card takes indices of the processor; the other way around is an error.
_INDEXING = (_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default)
_Generator = torch.Generator


class OnCard(torch.Tensor):
    """A tensor on the card; `held` is what it holds."""

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnCard:
        return torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            layout=held.layout, device=CARD, requires_grad=held.requires_grad,
        )  # fmt: skip

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _do(func, args, kwargs or {})

    def tolist(self) -> Any:
        """Return the numbers."""
        return self.detach().held.tolist()

    def numpy(self, *args: Any, **how: Any) -> Any:
        """Refuse, as CUDA does."""
        raise TypeError("can't convert a tensor on the card to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Be saved as what a checkpoint is read as, whatever it was saved from: a tensor of the processor."""
        return self.detach().held.__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return f"OnCard({self.held!r})"


class Card(TorchDispatchMode):
    """While it is entered, there is a card, at `CARD`.

    Attributes:
        computed: how many tensors it has made.
    """

    def __init__(self, volumes: bool = True, wrong: float = 0.0) -> None:
        """Make a card.

        Args:
            volumes: False for one that cannot do convolutions of volumes.
            wrong: what is added to the results of convolutions.
        """
        super().__init__()
        self.computed, self.volumes, self.wrong = 0, volumes, wrong
        self._others = ExitStack()

    def __enter__(self) -> Card:
        """Let PyTorch know it."""
        self._others.enter_context(_Made())
        self._others.enter_context(mock.patch.object(torch, "Generator", _GeneratorOfEither))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Take it away; tensors on it stay what they are."""
        super().__exit__(*error)
        self._others.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do one operation."""
        convolution = any(isinstance(t, OnCard) for t in tree_leaves(args)) and "conv" in str(func)
        if convolution and not self.volumes and args[0].ndim == 5:
            raise RuntimeError("ConvTranspose 3D is not supported on MPS")
        found = _do(func, args, kwargs or {})
        if convolution and self.wrong:
            found = tree_map(lambda t: t + self.wrong if isinstance(t, OnCard) else t, found)
        for made in tree_leaves(found):
            if isinstance(made, OnCard):
                self.computed += 1
                if made.dtype == torch.float64:
                    raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return found


class _Made(TorchFunctionMode):
    """PyTorch makes these tensors without asking anybody else: on the meta device they would have no numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and _is_card(kwargs.get("device")):
            return func(*args, **{**kwargs, "device": None}).to(CARD)
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and isinstance(args[0], OnCard):
            where = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(part, list) for part in where):
                where = tuple(torch.tensor(part) if isinstance(part, list) else part for part in where)
                args = (args[0], where, *args[2:])
        return func(*args, **kwargs)


class _GeneratorOfEither(_Generator):
    """A source of random numbers of the processor, also for tensors on the card."""

    def __new__(cls, device: Any = "cpu") -> _GeneratorOfEither:
        return _Generator.__new__(cls, "cpu" if _is_card(device) else device)


def _is_card(device: Any) -> bool:
    return device is not None and torch.device(device) == CARD


def _do(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Do an operation with what the tensors hold."""
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
    there = [t for t in tensors if isinstance(t, OnCard)]
    here = [t for t in tensors if not isinstance(t, OnCard)]
    assert not any(t.is_meta for t in here), f"{func}: a tensor without numbers"
    if there and func not in _MOVES:
        _refuse_both(func, args, there, here)
    known = {id(t.held): t for t in there}

    def held(value: Any) -> Any:
        if isinstance(value, OnCard):
            return value.held
        return torch.device("cpu") if isinstance(value, torch.device) and value == CARD else value

    found = func(*tree_map(held, args), **tree_map(held, kwargs))
    to_card = _is_card(kwargs["device"]) if kwargs.get("device") is not None else bool(there)
    if func is _aten.copy_.default:
        to_card = isinstance(args[0], OnCard)
    if not to_card:
        return found

    def onto(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return known[id(value)] if id(value) in known else OnCard(value)

    found = tree_map(onto, found)
    return return_and_correct_aliasing(func, args, kwargs, found) if there else found


def _refuse_both(func: Any, args: Any, there: list[OnCard], here: list[torch.Tensor]) -> None:
    """Refuse tensors of both sides; single numbers of the processor go with the card's."""
    strange = [t for t in here if t.ndim]
    if func in _INDEXING:
        strange = [t for t in (args[0], *args[2:]) if t is not None and not isinstance(t, OnCard | bool) and t.ndim]
        strange = strange if isinstance(args[0], OnCard) else [args[0]]
    if strange:
        shapes = [[tuple(t.shape) for t in tensors] for tensors in (there, strange)]
        raise RuntimeError(f"{func}: tensors on the card {shapes[0]} and on the processor {shapes[1]}")


def let_be_chosen(monkeypatch: Any) -> None:
    """Let trainings and predictions find the card, where they do not ask for the processor."""
    from lightning_fabric import Fabric, fabric
    from SemiSegCervicalLib.engine.backends import selection, torch_backend
    from SemiSegTrainerLib.learning import preparation, training

    class OntoCard(Fabric):
        """Lightning knows the meta device only as one without numbers."""

        def __init__(self, accelerator: str, **how: Any) -> None:
            super().__init__(accelerator="cpu", **how)
            self.place = torch.device(accelerator)

        def setup_module(self, module: torch.nn.Module, **how: Any) -> Any:
            return super().setup_module(module.to(self.place), move_to_device=False)

    for module in (preparation, training, selection, torch_backend):
        monkeypatch.setattr(module, "resolve_device", lambda name: torch.device("cpu") if name == "cpu" else CARD)
    monkeypatch.setattr(training, "Fabric", OntoCard)
    monkeypatch.setattr(fabric, "_has_meta_device_parameters_or_buffers", lambda *_: False)
    for name in ("torch.optim.optimizer", "torch.optim.adam"):
        known = "_get_fused_kernels_supported_devices"
        monkeypatch.setattr(import_module(name), known, lambda: [CARD.type, "cpu"], raising=False)
