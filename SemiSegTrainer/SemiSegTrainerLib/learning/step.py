"""What one training step holds, and the contracts of the pieces that read it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from SemiSegCervicalLib.engine.branch import BranchOutput
from torch import Tensor

from .schedules import Schedule, Stage
from .seeds import mix_seed
from .targets import decided

Kept = TypeVar("Kept")
# Indices, or all of them.
Rows = Tensor | slice


def _over(maps: Tensor, mask: Tensor) -> Tensor:
    """Let a mask ``(N, *spatial)`` act on ``(N, *spatial)`` or ``(N, C, *spatial)``."""
    return mask if maps.ndim == mask.ndim else mask.unsqueeze(1)


@dataclass(frozen=True)
class Mixing:
    """Row i shows row `partner[i]` wherever `mask[i]` is True.

    Attributes:
        partner: ``(N,)`` row indices.
        mask: bool ``(N, *spatial)``.
    """

    partner: Tensor
    mask: Tensor

    def __call__(self, maps: Tensor) -> Tensor:
        """Mix the rows of ``(N, *spatial)`` or ``(N, C, *spatial)``."""
        return torch.where(_over(maps, self.mask), maps[self.partner], maps)


@dataclass(frozen=True)
class Pasting:
    """Row i shows unlabelled row `unlabelled[i]` wherever `mask[i]` is True, and labelled row `labelled[i]` elsewhere.

    Attributes:
        labelled: ``(R,)`` row indices of the view ``labelled``.
        unlabelled: ``(R,)`` row indices of the view ``weak``.
        mask: bool ``(R, *spatial)``.
    """

    labelled: Tensor
    unlabelled: Tensor
    mask: Tensor

    def paste(self, labelled: Tensor, unlabelled: Tensor) -> Tensor:
        """Put maps of both views together, ``(N, *spatial)`` or ``(N, C, *spatial)`` each."""
        return torch.where(_over(labelled, self.mask), unlabelled[self.unlabelled], labelled[self.labelled])

    def __call__(self, maps: Tensor) -> Tensor:
        """Put a map of the unlabelled rows where they show; it is 0, which of a weight means ignore, elsewhere."""
        shown = maps[self.unlabelled]
        return torch.where(_over(maps, self.mask), shown, torch.zeros_like(shown))


@dataclass
class View:
    """A batch of augmented images and what is known about their voxels.

    Attributes:
        images: ``(N, M, *spatial)``.
        possible: class sets ``(N, *spatial)``, moved with the images' geometry; "every class" outside the source image.
        inside: bool ``(N, *spatial)``: the voxel comes from the source image, not from padding or beyond its border.
        cases: index of each row's case in the training data; equal numbers are the same image.
        mixing: where rows show parts of others (CutMix, copy-paste), which ones, for targets to follow.
    """

    images: Tensor
    possible: Tensor
    inside: Tensor
    cases: Tensor
    mixing: Mixing | Pasting | None = None

    def mixed(self, maps: Tensor) -> Tensor:
        """Put a map of the unmixed rows of ``weak``, ``(N, ..., *spatial)``, through this view's mixing."""
        return maps if self.mixing is None else self.mixing(maps)


@dataclass
class Step:
    """One iteration: its views and what students and teachers made of them.

    Attributes:
        progress: share of the run that is done, 0 to 1.
        classes: number of classes, background included.
        views: the views by name; see `views.ViewPlan`. Rows of ``weak``, ``strong`` and ``strong-2`` correspond and
            share their geometry.
        students: per branch, the output for each view it saw.
        teachers: per branch, detached probabilities ``(N, C, *spatial)`` of its weight average by view.
        passes: per branch, the mean of its weight average's Monte Carlo passes by view.
        labelled_losses: per branch, the loss on what is annotated, smoothed over the iterations before this one.
        reads: per branch, the modalities that it looks at; empty where every branch looks at all.
        present: bool ``(cases, M)``: which modalities the cases have; None where all have all. What a branch says of a
            row that it cannot read is NaN: a term that does not leave these rows out stops the run by its name.
        groups: int64 ``(cases,)``: equal numbers are of one patient or sequence; None where each case is its own.
        memory: what terms remembered in the iterations before this one; see `Remembering`.
        seed: of what terms draw.
    """

    progress: float
    classes: int
    views: dict[str, View]
    students: list[dict[str, BranchOutput]] = field(default_factory=list)
    teachers: list[dict[str, Tensor]] = field(default_factory=list)
    passes: list[dict[str, Tensor]] = field(default_factory=list)
    labelled_losses: tuple[float, ...] = ()
    reads: tuple[tuple[int, ...], ...] = ()
    present: Tensor | None = None
    groups: Tensor | None = None
    memory: Mapping[str, Tensor] = field(default_factory=dict)
    seed: int = 0
    _kept: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def winner(self) -> int:
        """The branch with the lowest smoothed labelled loss; the first while nothing is known."""
        return min(range(len(self.labelled_losses)), key=self.labelled_losses.__getitem__, default=0)

    def generator(self, *names: int | str) -> torch.Generator:
        """Return a generator on the CPU that depends on step and `names` alone: terms stay functions of a step."""
        return torch.Generator().manual_seed(mix_seed(self.seed, *names))

    def rows(self, view: str, *branches: int) -> Rows:
        """Return the rows of a view of which every one of `branches` has all modalities that it reads."""
        return self.once(("rows", view, branches), lambda: self._rows(view, branches))

    def _rows(self, view: str, branches: tuple[int, ...]) -> Rows:
        if self.present is None or not self.reads:
            return slice(None)
        seen = self.views[view]
        modalities = sorted({m for k in branches for m in self.reads[k]})
        there = readable(self.present, seen.cases, modalities)
        if isinstance(seen.mixing, Mixing):
            there = there & there[seen.mixing.partner]
        elif seen.mixing is not None:
            labelled, unlabelled = (self.views[v].cases for v in ("labelled", "weak"))
            there = readable(self.present, labelled[seen.mixing.labelled], modalities)
            there = there & readable(self.present, unlabelled[seen.mixing.unlabelled], modalities)
        return slice(None) if bool(there.all()) else there.nonzero().flatten()

    def once(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """Return what `make` gives, computed by whoever asks first: terms share it, and one backward pass through it.

        Args:
            key: names the value among all of this step.
            make: a function of this step alone.
        """
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def log_probabilities(self, branch: int, view: str) -> Tensor:
        """Float32 log-softmax of a branch's logits, with gradient."""
        logits = self.students[branch][view].logits
        return self.once(("log_probabilities", branch, view), lambda: logits.float().log_softmax(dim=1))

    def probabilities(self, branch: int, view: str) -> Tensor:
        """Float32 softmax of a branch's logits, with gradient."""
        log_p = self.log_probabilities(branch, view)
        return self.once(("probabilities", branch, view), log_p.exp)


@dataclass(frozen=True)
class PseudoLabel:
    """What a source says about a view: detached, and never at odds with what is annotated.

    Attributes:
        probabilities: ``(N, C, *spatial)``, zero for impossible classes.
        weight: ``(N, *spatial)`` in [0, 1]; 0 means ignore, never background.
    """

    probabilities: Tensor
    weight: Tensor


class PseudoLabelSource(Protocol):
    """Where a student's targets come from. The source owns the stop-gradient."""

    @property
    def reads(self) -> frozenset[str]:
        """What the source needs besides the student's view: views that students answer, ``teachers``, ``passes``."""

    def __call__(self, step: Step, student: int, view: str) -> PseudoLabel:
        """Return the targets of branch `student` for `view`."""


@dataclass(frozen=True)
class TermValue:
    """A term's loss and the number of voxels, pairs or images that it rests on.

    Without support the loss is an exact zero that still hangs on the graph.

    Attributes:
        per_branch: detached ``(branches,)``, the loss of each, from terms that can rank the branches.
    """

    loss: Tensor
    support: int
    per_branch: Tensor | None = None


class LossTerm(Protocol):
    """A pure function of a step."""

    @property
    def reads(self) -> frozenset[str]:
        """What the term needs: views that students answer, ``teachers``, ``passes``, ``embedding``, ``voxels``."""

    def __call__(self, step: Step) -> TermValue:
        """Return the loss summed over the branches."""


@runtime_checkable
class Remembering(Protocol):
    """A term that hands something on to later steps, which find it in `Step.memory`.

    The term itself stays a function of its step: the run stores what it is told after the step, and in its checkpoints.
    """

    def remember(self, step: Step) -> dict[str, Tensor]:
        """Return detached tensors by name; they replace those of the same name."""


@dataclass(frozen=True)
class WeightedTerm:
    """A term of a method: its name in the history, the term, and its weight over the run."""

    name: str
    term: LossTerm
    weight: Schedule

    def active(self, progress: float) -> bool:
        """Say whether the term is part of the run's stage; outside of it nothing is computed for it."""
        return not isinstance(self.weight, Stage) or self.weight.covers(progress)


def readable(present: Tensor, cases: Tensor, modalities: Sequence[int]) -> Tensor:
    """Say which rows have all of some modalities: bool ``(N,)``.

    Args:
        present: bool ``(cases, M)``: which modalities each case has.
        cases: of each row, ``(N,)``.
        modalities: indices.
    """
    return present[cases][:, list(modalities)].all(dim=1)


def zero_of(*tensors: Tensor) -> Tensor:
    """Return 0 connected to the graph of all `tensors`."""
    return torch.stack([(t * 0.0).sum() for t in tensors]).sum()


def undecided_weight(view: View) -> Tensor:
    """Float map ``(N, *spatial)``: 1 where a pseudo-label has something to say: inside the image and not decided."""
    return (view.inside & ~decided(view.possible)).to(torch.float32)
