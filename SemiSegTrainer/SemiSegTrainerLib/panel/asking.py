"""Asking the worker something about the scene as it is now: how good models are, and what to annotate next."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.packs import find_packs
from SemiSegCervicalLib.panel.cards import classes_of, failure_of, read_card
from SemiSegCervicalLib.panel.jobs import find_card
from SemiSegCervicalLib.panel.speed import in_words
from SemiSegCervicalLib.panel.work import CANCELLED, CANCELLING, DONE, FAILED, STARTING, Work
from SemiSegCervicalLib.worker.arrays import take_array
from SemiSegCervicalLib.worker.job import JobCancelled
from SemiSegCervicalLib.worker.protocol import Message, ModelCard

from ..scene.datalist import datalist_steps
from ..scene.split import Split, propose_split
from ..scene.training_set import TrainingSet
from ..worker.protocol import Compare, Compared, Suggest, Suggested, WorstCase
from .jobs import Jobs
from .recipe import fits, knows

__all__ = ["CANCELLED", "DONE", "FAILED", "Asking", "Comparing", "Idea", "Suggesting", "Worst", "describe"]

WRITING = "writing"
_STAGES = {
    "": "Preparing", WRITING: "Handing over the images", "loading the model": "Loading the model",
    "reading": "Reading the images",
}  # fmt: skip


class Asking(Work):
    """One question: the training set is written for the worker, and its answer taken over.

    Attributes:
        answer: of the worker's, once done.
        to_learn: the question is about a training, so that something has to be there to learn from.
    """

    doing = "Computing"
    to_learn: ClassVar[bool] = False

    def __init__(
        self,
        jobs: Jobs,
        training_set: TrainingSet,
        split: Split | None,
        on_change: Callable[[], None] | None = None,
        on_end: Callable[[Any], None] | None = None,
    ) -> None:
        """Begin with the next turn of the event loop.

        Args:
            jobs: of the module.
            training_set: what the question is about, as `as_asked` returns it.
            split: which annotations are held out, of these cases and others.
            on_change: called when anything about it has changed.
            on_end: called with it, once.
        """
        super().__init__(jobs.client, on_change)
        self._asker, self._training_set, self._on_end = jobs, training_set, on_end
        self._split = None if split is None else split.among({case.id for case in training_set.cases})
        self.answer: Any = None
        jobs.running.append(self)
        self.begin()

    def message(self, datalist: Path) -> Message:
        """Return the question."""
        raise NotImplementedError

    def take(self, answer: Any) -> Generator[Any, None, None]:
        """Take over what is in files, which go with the job."""
        raise NotImplementedError

    def work(self) -> Iterator[Any]:
        """Do it."""
        job = self.prepare()
        self.set(stage=WRITING)
        folder = job.folder / "data"
        path = yield from self.checked(datalist_steps(self._training_set, folder, self._split, to_learn=self.to_learn))
        self.submit(self.message(path), job)
        self.tell(job)
        yield from self.until_end(job)
        yield from self.checked(self.take(job.result))
        self.answer = job.result
        self.set(state=DONE)

    def over(self) -> None:
        """Tell its end, and let go of the images, of a scene that may be closed while the answer is still shown."""
        self._training_set = replace(self._training_set, cases=[])
        self._asker.ended(self)
        if self._on_end is not None:
            self._on_end(self)


@dataclass(frozen=True)
class Worst:
    """One of the worst cases of a model.

    Attributes:
        found: what the worker says.
        image, labels, reference: uint8 ``(Y, X)``.
    """

    found: WorstCase
    image: np.ndarray
    labels: np.ndarray
    reference: np.ndarray


class Comparing(Asking):
    """Measures models on the annotations that are held out.

    Attributes:
        worst: the worst cases of the first model.
    """

    doing = "Measuring"
    answer: Compared | None

    def __init__(self, packs: Sequence[Path], device: str, worst: int, *args: Any, **options: Any) -> None:
        """Begin with the next turn of the event loop.

        Args:
            packs: the models.
            device: as `worker.protocol.Compare` says.
            worst: how many of the worst cases are shown.
            args, options: of `Asking`.
        """
        self._packs, self._device, self._count = tuple(map(str, packs)), device, worst
        self.worst: tuple[Worst, ...] = ()
        super().__init__(*args, **options)

    def message(self, datalist: Path) -> Message:
        """Return the question."""
        return Compare(self._packs, str(datalist), device=self._device, worst=self._count)

    def take(self, answer: Compared) -> Generator[Any, None, None]:
        """Read the pictures.

        Raises:
            SemiSegError: a model cannot be measured.
        """
        for model in answer.models:
            if model.failure is not None:
                fault = model.failure
                raise SemiSegError(fault.code, fault.cause, fault.remedy, fault.stage)
        found = []
        for case in answer.models[0].worst:
            found.append(Worst(case, *(take_array(file) for file in (case.image, case.labels, case.reference))))
            yield
        self.worst = tuple(found)


@dataclass(frozen=True)
class Idea:
    """Something that is worth an annotation.

    Attributes:
        case: its id in the training set.
        slice: of a volume; None for a picture or frame.
        score: expected gain, 0 to 1.
        reasons: in plain words.
        labels: uint8 ``(Y, X)``, what the model draws there, as classes of the training set.
    """

    case: str
    slice: int | None
    score: float
    reasons: tuple[str, ...]
    labels: np.ndarray


class Suggesting(Asking):
    """Asks what to annotate next.

    Attributes:
        ideas: the best first.
    """

    doing = "Looking at what is not annotated"
    answer: Suggested | None

    def __init__(self, pack: Path, device: str, count: int, *args: Any, **options: Any) -> None:
        """Begin with the next turn of the event loop.

        Args:
            pack: the model.
            device: as `worker.protocol.Suggest` says.
            count: how many at most.
            args, options: of `Asking`.
        """
        self._pack, self._device, self._count = str(pack), device, count
        self.ideas: tuple[Idea, ...] = ()
        super().__init__(*args, **options)

    def message(self, datalist: Path) -> Message:
        """Return the question."""
        return Suggest(self._pack, str(datalist), self._count, self._device)

    def take(self, answer: Suggested) -> Generator[Any, None, None]:
        """Read what the model draws."""
        found = []
        for item in answer.items:
            found.append(Idea(item.case, item.slice, item.score, item.reasons, take_array(item.labels)))
            yield
        self.ideas = tuple(found)


def can_suggest(card: ModelCard, training_set: TrainingSet) -> bool:
    """Return whether a model can say what to annotate next: it knows the segments, of which there may be none yet."""
    return fits(card, training_set) and (knows(card, training_set) or not training_set.classes)


def as_asked(training_set: TrainingSet, card: ModelCard) -> TrainingSet:
    """Return what of a training set a model can look at: volumes or pictures, of which a scene may hold both.

    Where nobody has drawn anything yet it has the classes of the model.
    """
    cases = [case for case in training_set.cases if (case.shape[0] > 1) == (card.spatial_dims == 3)]
    return replace(training_set, cases=cases, classes=training_set.classes or list(classes_of(card)))


def suggest_next(
    jobs: Jobs, training_set: TrainingSet, model: str | Path | None = None, count: int = 4, device: str = "auto"
) -> tuple[Idea, ...]:
    """Ask what to annotate next and wait for the answer, for scripts.

    Args:
        jobs: of the module.
        training_set: what is annotated, and what is not.
        model: its name, or a file; None for the first installed one that knows exactly these segments, or fits the
            images where nothing is annotated.
        count: how many at most.
        device: as `worker.protocol.Suggest` says.

    Raises:
        SemiSegError: there is no such model, or nothing to suggest.
        JobCancelled: it was cancelled.
    """
    if model is None:
        cards = map(read_card, find_packs().values())
        card = next((card for card in cards if can_suggest(card, training_set)), None)
        if card is None:
            raise SemiSegError(
                "no-model", "No installed model knows exactly the segments of this scene", "Train one first", "panel"
            )
    else:
        card = find_card(model)
        if (fault := failure_of(card)) is not None:
            raise fault
    split = propose_split(training_set)
    suggesting = Suggesting(Path(card.path), device, count, jobs, as_asked(training_set, card), split)
    suggesting.wait_for_end()
    if suggesting.state != DONE:
        raise JobCancelled
    return suggesting.ideas


def describe(asking: Asking) -> str:
    """Say what is done now, how far it is and how long it will take."""
    if asking.state == CANCELLING:
        return "Cancelling..."
    if asking.state == STARTING:
        return "Starting the computation"
    text = _STAGES.get(asking.stage, asking.doing)
    if asking.total > 0:
        text += f": {asking.done} of {asking.total}"
    if asking.seconds_left is not None:
        text += f", about {in_words(asking.seconds_left)} left"
    return text


def show_progress(host: Any, bar: Any, asking: Asking | None) -> None:
    """Show how a question stands; without one, nothing.

    Args:
        host: what holds the bar, and the button that cancels.
        bar: a ``QProgressBar``.
        asking: the question; None or an ended one hides all.
    """
    running = asking is not None and not asking.ended
    host.visible = running
    if asking is not None and running:
        known = asking.total > 0 and asking.state != CANCELLING
        bar.setRange(0, asking.total if known else 0)
        bar.value = asking.done if known else 0
        bar.setFormat(describe(asking).replace("%", "%%"))
