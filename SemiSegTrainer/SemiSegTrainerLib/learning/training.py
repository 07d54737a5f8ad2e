"""The training loop: views, one forward pass per branch, terms, one optimiser step; with checkpoints and resume."""

from __future__ import annotations

import copy
import hashlib
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import monai
import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricOptimizer
from SemiSegCervicalLib.engine.branch import Branch, Perturbation
from SemiSegCervicalLib.engine.device import resolve_device
from SemiSegCervicalLib.errors import SemiSegError
from torch import Tensor

from .averages import BestAverage, SmoothedLosses, WeightAverage
from .checkpoint import load_checkpoint, save_checkpoint
from .data import TrainingData
from .history import History
from .method import Method
from .modalities import Reads, answer
from .processes import team
from .schedules import polynomial_decay
from .seeds import mix_seed
from .step import Remembering, Step
from .teachers import ask
from .views import ViewPlan

CHECKPOINT = "last.ckpt"


@dataclass(frozen=True)
class Settings:
    """What a run depends on besides its data and method.

    Attributes:
        iterations: of the whole run; None while `minutes` has not been turned into iterations yet.
        minutes: wished length; turned into iterations once, after a measured warm-up.
        seed: of everything random.
        learning_rate: of AdamW at the start; it decays as ``(1 - t)^0.9``.
        weight_decay: of AdamW.
        ema_decay: of the weight averages that teach and that are saved.
        gradient_clip: largest norm of a step's gradient.
        precision: ``auto``, ``32-true`` or ``bf16-mixed``.
        checkpoint_seconds: at least every so often the run is saved.
        log_every: iterations that one row of the history averages.
        plan: batch sizes and augmentation; None for the usual ones.
    """

    iterations: int | None = 800
    minutes: float | None = None
    seed: int = 0
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    ema_decay: float = 0.99
    gradient_clip: float = 5.0
    precision: str = "auto"
    checkpoint_seconds: float = 30.0
    log_every: int = 10
    plan: ViewPlan | None = None


@dataclass(frozen=True)
class Progress:
    """Said after every iteration: how far, how long still, and the last values of the terms."""

    iteration: int
    iterations: int
    seconds_left: float
    values: dict[str, float]


@dataclass(frozen=True)
class TrainingResult:
    """The trained branches (their weight averages) and what the run took; `validated`: it was measured meanwhile."""

    branches: list[Branch]
    iterations: int
    seconds: float
    precision: str
    device: str
    history: History
    validated: bool = False


class NonFiniteLossError(SemiSegError):
    """A term became NaN or infinite; the message names it."""

    def __init__(self, term: str, iteration: int) -> None:
        super().__init__(
            "not-finite-loss",
            f"The term {term} became NaN or infinite in iteration {iteration}",
            "Train with another seed, or go on from the last checkpoint: semiseg train --resume --precision float32",
            "training",
        )


def choose_precision(wish: str, device: torch.device) -> str:
    """Return the precision that Lightning Fabric is told.

    ``auto`` is bfloat16 where the hardware multiplies it natively (CUDA from Ampere on, CPUs with AMX), else float32.
    Where a CPU has it in AVX-512 only (Zen 4), steps would take a quarter less time, but with PyTorch 2.13 the gradient
    of convolutions of very small volumes is NaN there at times.
    """
    if wish != "auto":
        return wish
    if device.type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if device.type == "cpu" and getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)():
        return "bf16-mixed"
    return "32-true"


def versions() -> dict[str, str]:
    """Return the versions that a run's reproducibility depends on."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # a subclass of str, which a checkpoint may not hold
        "monai": monai.__version__,
        "numpy": np.__version__,
    }


class Training:
    """One run: create it, then `run` it; a run that finds its checkpoint goes on where it stopped."""

    def __init__(
        self,
        branches: Sequence[Branch],
        method: Method,
        data: TrainingData,
        classes: int,
        settings: Settings,
        folder: Path | None = None,
        device: str = "auto",
        reads: Reads = (),
    ) -> None:
        """Prepare a run.

        Args:
            branches: the networks, with the projectors of `method.projectors`.
            method: the recipe.
            data: all cases.
            classes: number of classes, background included.
            settings: budget, seed, optimiser, augmentation.
            folder: where checkpoints go; None keeps none.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            reads: the modalities that each branch looks at; empty where every branch looks at all.
        """
        self.method, self.classes, self.settings, self.reads = method, classes, settings, reads
        self.checkpoint = folder / CHECKPOINT if folder else None
        self.team = team()
        self.device = resolve_device(device)
        cards: int | list[int] = 1
        if self.device.type == "cuda" and self.team.size > 1:
            cards = [self.team.local_rank]
            self.device = torch.device("cuda", self.team.local_rank)
        self.precision = choose_precision(settings.precision, self.device)
        self.fabric = Fabric(accelerator=self.device.type, devices=cards, precision=self.precision)  # type: ignore[arg-type]
        self.data = data.to(self.device)
        self.plan = settings.plan or ViewPlan.usual(len(data.size))
        # Copied before Fabric wraps the branches: an average must own plain modules.
        self.averages = [WeightAverage(b, settings.ema_decay) for b in branches]
        for average in self.averages:
            average.model.to(self.device)
        self.best = [BestAverage(b, method.best) for b in branches] if method.best is not None else []
        for best in self.best:
            best.model.to(self.device)
        self.branches = list(branches)
        self.modules = [self.fabric.setup_module(b) for b in branches]
        self.networks = [self.team.sharing(module) for module in self.modules]
        parameters = [p for b in self.branches for p in b.parameters()]
        # Fused: the plain step over hundreds of small tensors costs as much as a tenth of the networks.
        optimiser = torch.optim.AdamW(
            parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=self.device.type != "mps"
        )
        self.optimiser = cast(_FabricOptimizer, self.fabric.setup_optimizers(optimiser))
        self.losses = SmoothedLosses(len(self.branches))
        self.memory: dict[str, Tensor] = {}
        self.iteration = 0
        self.iterations = settings.iterations
        self.ended = False  # by `should_finish`
        self.seconds = 0.0
        self.history = History([t.name for t in method.terms])
        # Of an observer, for the resumed run's: what it told, and how much it measures. No step reads them.
        self.told: list[dict[str, Any]] = []
        self.cases_validated: int | None = None
        self.unsaved = ""  # why the last checkpoint could not be written

    # -- one step --

    def step(self, iteration: int) -> dict[str, float]:
        """Do one iteration; return the terms' values, their supports and the gradient norm."""
        assert self.iterations
        progress = iteration / self.iterations
        rate = self.settings.learning_rate * polynomial_decay(progress)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        # Dropout draws from the global generator: seeding it per iteration makes a resumed run the same run.
        # Several processes drop in different rows, and so not the same.
        own = [] if self.team.size == 1 else [self.team.rank]
        torch.manual_seed(mix_seed(self.settings.seed, iteration, "global", *own))
        state = self.look(iteration, progress)
        values: dict[str, float] = {"learning_rate": rate}
        total: Tensor | None = None
        labelled: list[float] | None = None
        for weighted in self.method.terms:
            if not weighted.active(progress):
                values[weighted.name] = values[f"{weighted.name}_support"] = 0.0
                continue
            value = weighted.term(state)
            number = float(value.loss.detach())
            if not np.isfinite(number):
                raise NonFiniteLossError(weighted.name, iteration)
            values[weighted.name] = number
            values[f"{weighted.name}_support"] = float(value.support)
            if weighted.name == self.method.ranked_by and value.per_branch is not None and value.support:
                labelled = value.per_branch.tolist()
            part = weighted.weight(progress) * value.loss
            total = part if total is None else total + part
        # Of a method without some of its terms, a stage may have none left: nothing is learned in it.
        values["gradient_norm"] = 0.0 if total is None else self._descend(total, iteration)
        for average, branch in zip(self.averages, self.branches, strict=True):
            average.update(branch, iteration)
        if labelled is not None:
            self.losses.update(labelled)
        for best, branch, loss in zip(self.best, self.branches, self.losses.values, strict=False):
            best.consider(branch, progress, loss)
        for weighted in self.method.terms:
            if isinstance(weighted.term, Remembering) and weighted.active(progress):
                # Detached by its source; the copy lets go of the step's maps that it may be a part of.
                self.memory.update({name: value.clone() for name, value in weighted.term.remember(state).items()})
        return values

    def _descend(self, loss: Tensor, iteration: int) -> float:
        """Do one step of the optimiser; return the norm of its gradient."""
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.team.add_gradients(p for b in self.branches for p in b.parameters())
        # Each branch for itself: clipped together, one branch's outlier would slow the others down.
        limit = self.settings.gradient_clip
        # Of a branch that no case of this step concerns there is no gradient, and its norm a zero on the processor.
        norms = [torch.nn.utils.clip_grad_norm_(b.parameters(), limit).to(self.device) for b in self.branches]
        norm = float(torch.stack(norms).norm())
        if not np.isfinite(norm):
            raise NonFiniteLossError("gradient", iteration)
        self.optimiser.step()
        return norm

    def look(self, iteration: int, progress: float) -> Step:
        """Build the views and let students and teachers answer them, each branch in one forward pass."""
        views = self.plan.build(self.data, self.classes, self.method, iteration, self.settings.seed)
        state = Step(
            progress, self.classes, views, labelled_losses=self.losses.values, memory=dict(self.memory),
            reads=self.reads, present=self.data.present, groups=self.data.groups,
            seed=mix_seed(self.settings.seed, iteration, "terms"),
        )  # fmt: skip
        seen = [v for v in self.method.student_views if v in views]
        disturbed = self.method.perturbation
        for k, network in enumerate(self.networks):

            def perturb(counts: Sequence[int], branch: int = k) -> Perturbation | None:
                return disturbed.at(seen, counts, branch, iteration, self.settings.seed) if disturbed else None

            state.students.append(answer(network, state, k, seen, perturb=perturb))
        taught = [v for v in self.method.teacher_views if v in views]
        needed = (t.term.reads for t in self.method.terms if t.active(progress))
        if taught and {"teachers", "passes"} & frozenset[str]().union(*needed):
            models = [teacher.model for teacher in (self.best or self.averages)]
            networks = [self.team.sharing(model) for model in models]
            seed = mix_seed(self.settings.seed, iteration, "teachers")
            with self.fabric.autocast():
                state.teachers, state.passes = ask(models, state, taught, self.method, seed, networks)
        return state

    # -- the run --

    def run(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        should_finish: Callable[[], bool] | None = None,
    ) -> TrainingResult:
        """Train to the end of the budget.

        Args:
            on_progress: called after every iteration.
            should_stop: asked before every iteration; on True the run is saved and pauses there.
            should_finish: asked before every iteration but the first; on True the run is saved and over.

        Returns:
            The weight averages of the branches and what the run took.

        Raises:
            NonFiniteLossError: a term or the gradient is not finite.
            SemiSegError: a checkpoint cannot be written.
        """
        if self.checkpoint:
            there = self.team.leads and self.checkpoint.exists()
            found = self.team.agree(load_checkpoint(self.checkpoint) if there else None)
            if found is not None:
                self.restore(found)
        for module in self.modules:
            module.train()
        if self.iterations is None:
            self.iterations = self.team.agree(self._measure())
        # The first iteration is saved at once: however soon a run is killed, it can be resumed.
        started, before, saved = time.perf_counter(), self.seconds, -np.inf
        first = self.iteration
        while not (self.over or (should_stop and self.team.agree(should_stop()))):
            if should_finish and self.iteration and self.team.agree(should_finish()):
                self.ended = True
                break
            values = self.step(self.iteration)
            self.iteration += 1
            now = time.perf_counter()
            self.seconds = before + now - started
            last = self.iteration == self.iterations
            self.history.add(self.iteration, self.seconds, values, self.settings.log_every, last)
            if on_progress:
                pace = (now - started) / (self.iteration - first)
                left = pace * (self.iterations - self.iteration)
                on_progress(Progress(self.iteration, self.iterations, left, values))
            if self.checkpoint and (last or now - saved >= self.settings.checkpoint_seconds):
                self._try_to_save(last)
                saved = time.perf_counter()
        if self.checkpoint and self.iteration < self.iterations:
            self.save()
        return TrainingResult(
            [a.model for a in self.averages],  # type: ignore[misc]
            self.iteration, self.seconds, self.precision, str(self.device), self.history,
            any(told["validation"] for told in self.told),
        )  # fmt: skip

    @property
    def over(self) -> bool:
        """Whether the run is through: its budget is used, or it was ended early."""
        return self.ended or self.iteration == self.iterations

    def _measure(self) -> int:
        """Turn the wished minutes into iterations."""
        assert self.settings.minutes is not None
        return max(10, int(self.settings.minutes * 60 / self.pace()))

    def pace(self, warm_up: int = 3, timed: int = 6) -> float:
        """Return the seconds of an iteration: of a few steps, which are then undone.

        Args:
            warm_up: steps before the clock starts.
            timed: steps that are timed.
        """
        before = copy.deepcopy(self.state())
        for module in self.modules:
            module.train()
        self.iterations = 10**9
        for i in range(warm_up):
            self.step(i)
        started = time.perf_counter()
        for i in range(timed):  # every other one as late in a run as can be, where its stage may be another
            self.step(warm_up + i if i % 2 else self.iterations - 1 - i)
        seconds = time.perf_counter() - started
        self.restore(before)
        return seconds / timed

    # -- saving --

    def identity(self) -> dict[str, Any]:
        """Return what must be equal for a checkpoint to be of this run."""
        # A run whose numbers overflowed goes on in another precision.
        settings = {**asdict(self.settings), "precision": "auto"}
        settings.pop("checkpoint_seconds")
        return {
            "method": f"{self.method.name}: {self.method.terms}, {self.method.perturbation}",
            "fingerprint": self.data.fingerprint,
            # Of volumes, of which networks see a window, neither data nor networks tell it.
            "input size": list(self.data.size),
            "settings": repr(settings),
            "starting model": hashlib.sha256("".join(sorted(self.data.learned)).encode()).hexdigest()[:16],
            "branches": [repr(b) for b in self.branches] + [str(r) for r in self.reads],
        }

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {
            "identity": self.identity(),
            "iteration": self.iteration,
            "iterations": self.iterations,
            "ended": self.ended,
            "seconds": self.seconds,
            "branches": [b.state_dict() for b in self.branches],
            "averages": [a.model.state_dict() for a in self.averages],
            "optimiser": self.optimiser.state_dict(),
            "best": [b.state() for b in self.best],
            "losses": self.losses.state(),
            "memory": self.memory,
            "history": self.history.state(),
            "told": self.told,
            "cases_validated": self.cases_validated,
            "threads": torch.get_num_threads(),
            "precision": self.precision,
            "versions": versions(),
        }

    def save(self) -> None:
        """Write the checkpoint; of several processes the leading one does."""
        assert self.checkpoint
        if self.team.leads:
            save_checkpoint(self.checkpoint, self.state())

    def _try_to_save(self, last: bool) -> None:
        """Write the checkpoint; where that fails in the middle of a run, the former one stays and the run goes on.

        Whoever frees the disk meanwhile has lost nothing. A run that was stopped for it would have.
        """
        try:
            self.save()
        except SemiSegError as error:
            if last or not self.iteration > 1:
                raise
            self.unsaved = error.cause
        else:
            self.unsaved = ""

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state.

        Raises:
            SemiSegError: it belongs to a run with other data, method or settings.
        """
        mine = self.identity()
        # What an earlier version saved does not say from which images the starting model had learned, nor the size.
        theirs = {**{k: mine[k] for k in ("starting model", "input size")}, **state.get("identity", {})}
        differing = [k for k in mine if theirs.get(k) != mine[k]]
        if differing:
            raise SemiSegError(
                "other-run", f"The checkpoint belongs to a run with other {', '.join(differing)}",
                "Resume with the same data and options, or choose another output folder", "settings",
            )  # fmt: skip
        self.iteration, self.iterations = state["iteration"], state["iterations"]
        self.ended = state.get("ended", False)  # what an earlier version saved did not know it
        self.seconds = state["seconds"]
        for branch, weights in zip(self.branches, state["branches"], strict=True):
            branch.load_state_dict(weights)
        for average, weights in zip(self.averages, state["averages"], strict=True):
            average.model.load_state_dict(weights)
        self.optimiser.load_state_dict(state["optimiser"])
        for best, kept in zip(self.best, state["best"], strict=True):
            best.load(kept)
        self.losses.load(state["losses"])
        self.memory = {name: value.to(self.device) for name, value in state["memory"].items()}
        self.history = History.from_state(state["history"])
        self.told = list(state.get("told", ()))
        self.cases_validated = state.get("cases_validated")
