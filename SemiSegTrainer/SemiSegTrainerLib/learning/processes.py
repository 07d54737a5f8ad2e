"""Several processes that train one model, as ``torchrun`` starts them: on a card each, on one computer or several.

Each process lets the networks look at its share of a batch's rows, and hands what they say to the others. All of them
then compute the same terms over the whole batch, so that a Dice, a contrast or a quantile is what it is in one process,
and follow the gradient back into their own rows; the sum of these gradients is that of the whole batch. A run is
therefore the same run, whatever it runs on; only the networks' part of a step becomes shorter. `torch`'s own wrapper
for this averages the gradients of losses that each process has of its own rows, which is another training.
"""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from SemiSegCervicalLib.engine.branch import BranchOutput, Perturbation
from torch import Tensor, distributed, nn

T = TypeVar("T")
Network = Callable[..., BranchOutput]


@dataclass(frozen=True)
class Team:
    """The processes of a run.

    Attributes:
        rank: number of this one; 0 alone writes and talks.
        size: how many there are.
        local_rank: number of this one on its computer, and of its card there.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes and talks."""
        return self.rank == 0

    def agree(self, value: T) -> T:
        """Return what the leading process gave, which it must be possible to pickle; all have to call it."""
        if self.size == 1:
            return value
        box = [value if self.leads else None]
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]  # type: ignore[return-value]

    def meet(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            distributed.barrier()

    def share(self, rows: int) -> list[int]:
        """Return how many of a batch's rows each process looks at."""
        return [rows // self.size + (k < rows % self.size) for k in range(self.size)]

    def sharing(self, network: Network) -> Network:
        """Return what answers as a network does, and lets every process look at its share only."""
        if self.size == 1:
            return network

        def look(batch: Tensor, perturb: Perturbation | None = None, **options: Any) -> BranchOutput:
            counts = self.share(len(batch))
            first, count = sum(counts[: self.rank]), counts[self.rank]
            if perturb is not None:
                options["perturb"] = _in_its_place(perturb, first, count, len(batch))
            # Who has no row looks at one for the shapes of what comes out, and keeps nothing of it.
            output = network(batch[first : first + count] if count else batch[:1], **options)
            return output.map(lambda part: self._gathered(part[:count], counts))

        return look

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up what the processes found, each in its own rows."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1 or not gradients:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def _gathered(self, part: Tensor, counts: Sequence[int]) -> Tensor:
        """Return the rows of all processes; those of this one hang on the graph."""
        room = part.new_zeros((max(counts), *part.shape[1:]))
        room[: len(part)] = part.detach()
        rooms = [torch.empty_like(room) for _ in counts]
        distributed.all_gather(rooms, room)
        rows = [found[:count] for found, count in zip(rooms, counts, strict=True)]
        rows[self.rank] = part
        return torch.cat(rows)


@functools.cache
def team() -> Team:
    """Return the processes that this one was started with, after meeting them; without ``torchrun`` it is alone."""
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        return Team()
    found = Team(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    if found.size == 1:
        return found
    cards = torch.cuda.is_available()
    if cards:
        torch.cuda.set_device(found.local_rank)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cards else "gloo")
    atexit.register(distributed.destroy_process_group)
    return found


def _in_its_place(perturb: Perturbation, first: int, count: int, rows: int) -> Perturbation:
    """Return a perturbation for some rows of a batch that draws what it would draw for them among all."""

    def placed(tap: str, features: Tensor) -> Tensor:
        if not count:
            return features
        whole = features.new_zeros((rows, *features.shape[1:]))
        whole[first : first + count] = features
        return perturb(tap, whole)[first : first + count]

    return placed
