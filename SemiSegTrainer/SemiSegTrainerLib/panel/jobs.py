"""The trainer's worker and what it is asked to do, for the panel as well as for scripts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.workers import Running, Workers
from SemiSegCervicalLib.pieces import Pieces

from ..scene.datalist import datalist_steps
from ..scene.past import remember
from ..scene.split import Split
from ..scene.training_set import TrainingSet
from ..worker.protocol import LIBRARIES, Train, training_hello
from .recipe import Recipe
from .run_folder import Run, RunClass
from .runs import Runs
from .training import Training, Write

Told = Callable[[Training], None] | None


class Jobs(Workers[Running]):
    """A worker that trains: beside other work, so it is polite and leaves one core free.

    Attributes:
        runs: the trainings on disk.
    """

    def __init__(self, **options: Any) -> None:
        """Prepare; nothing is started. `options` are those of `worker.client.Client`."""
        super().__init__(**{"libraries": LIBRARIES, "hello": training_hello(), **options})
        self.runs = Runs()
        self._forget: dict[Path, Callable[[], None]] = {}  # of the trainings that were begun here

    @property
    def training(self) -> Training | None:
        """The training that is under way."""
        return next((job for job in self.running if isinstance(job, Training)), None)

    def train(
        self,
        training_set: TrainingSet,
        split: Split | None,
        recipe: Recipe,
        on_change: Told = None,
        on_news: Told = None,
        on_end: Told = None,
    ) -> Training:
        """Begin to train.

        Args:
            training_set: what to learn from.
            split: what of it validates; None for nothing.
            recipe: how.
            on_change, on_news, on_end: called with the training; see `Training`.

        Raises:
            SemiSegError: another one is under way, or its folder cannot be made.
        """
        self._check()
        message = Train(
            "", "", recipe.method, recipe.iterations, recipe.minutes, recipe.seed, recipe.device, recipe.name,
            None if recipe.start is None else str(recipe.start), recipe.size, recipe.spacing,
            calibrate=recipe.calibrate,
        )  # fmt: skip
        classes = tuple(RunClass(entry.name, tuple(map(float, entry.color))) for entry in training_set.classes)
        names = {case.id: case.name for case in training_set.cases}
        run = self.runs.begin(message, classes, names, recipe.offer_stop)

        def write(folder: Path) -> Pieces[Path]:
            path = yield from datalist_steps(training_set, folder, split)
            self._forget[run.folder] = remember(training_set, split)
            return path

        return self._start(run, write, False, on_change, on_news, on_end)

    def go_on(
        self, run: Run, keep: bool = False, on_change: Told = None, on_news: Told = None, on_end: Told = None
    ) -> Training:
        """Go on with a training that was interrupted.

        Args:
            run: one of `runs.unfinished()`.
            keep: make a model of what was learned, and train no further.
            on_change, on_news, on_end: called with the training; see `Training`.

        Raises:
            SemiSegError: another one is under way, or another Slicer works on this one.
        """
        self._check()
        if not run.hold():
            raise in_use(run)
        return self._start(run, None, keep, on_change, on_news, on_end)

    def discarded(self, run: Run) -> None:
        """A training is gone without a model: the images of the scene were not learned from by it."""
        forget = self._forget.pop(run.folder, None)
        if forget is not None:
            forget()

    def _start(
        self, run: Run, write: Write | None, keep: bool, on_change: Told, on_news: Told, on_end: Told
    ) -> Training:
        def ended(training: Training) -> None:
            self.ended(training)
            if training.version is not None:
                self._forget.pop(run.folder, None)
            elif not run.folder.exists():
                self.discarded(run)
            if on_end is not None:
                on_end(training)

        training = Training(self.client, run, write, keep, on_change, on_news, ended)
        self.running.append(training)
        return training

    def _check(self) -> None:
        if self.training is not None:
            raise SemiSegError(
                "already-training", "A training is under way", "Wait until it has ended, or pause it", "panel"
            )


def in_use(run: Run) -> SemiSegError:
    """Return why a run cannot be had: another Slicer works on it."""
    cause = f'Another Slicer is working on the training of "{run.name}"'
    return SemiSegError("run-in-use", cause, "Go on there, or close it", "panel")
