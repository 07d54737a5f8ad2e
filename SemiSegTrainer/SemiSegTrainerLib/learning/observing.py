"""Tells how a run goes, without a say in it: news, a quick validation, and a picture of what the model sees.

It looks at weight averages, in evaluation mode, between two iterations: nothing random is drawn and nothing of the run
is changed. Looking costs time, so it becomes rarer where one look takes long.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from SemiSegCervicalLib.engine.backends.ladder import is_out_of_memory
from SemiSegCervicalLib.engine.branch import Branch

from ..news import News, Preview, Validated
from .memory import used_gib
from .preparation import Prepared
from .previews import Subject
from .step import WeightedTerm
from .terms.supervised import Mistakes, Supervised
from .training import Progress, Training
from .validating import Validation

T = TypeVar("T")

NEWS_SECONDS = 1.0
# Of the training's time, for validations and for previews each.
SHARE = 0.015
# What a resumed run tells again.
_REMEMBERED = 400
_KEPT_PICTURES = 2
# A gain that is less than this in Dice is none; and it has to stay away for so many measurements, a third of them all.
_GAIN, _PATIENCE = 0.003, 5


@dataclass(frozen=True)
class Wish:
    """What is to be shown of a run.

    Attributes:
        folder: where pictures go.
        case: id of the case that they show; None for a choice.
        slice: which slice of a volume; None for a choice.
        preview_seconds: a picture every so often; 0 for never.
        validate_seconds: a measurement every so often; 0 for never.
    """

    folder: Path
    case: str | None = None
    slice: int | None = None
    preview_seconds: float = 30.0
    validate_seconds: float = 60.0


class Observer:
    """Looks at one training after every iteration and says what is new."""

    def __init__(self, run: Prepared, training: Training, wish: Wish, say: Callable[[News], None]) -> None:
        """Prepare; nothing is read yet.

        Args:
            run: what is trained.
            training: how it goes.
            wish: what is to be shown.
            say: called with the news.
        """
        self.run, self.training, self.wish, self.say = run, training, wish, say
        self._validating, self._showing = _Clock(wish.validate_seconds), _Clock(wish.preview_seconds)
        if not run.validation:
            self._validating.never()
        self._validation: Validation | None = None
        self._subject: Subject | None = None
        self._sums = dict.fromkeys((t.name for t in run.method.terms), 0.0)
        self._count = 0
        self._said = -np.inf
        self._begun = False
        self._pictures: list[list[Path]] = []
        self._numbers = itertools.count(1)

    def look(self, progress: Progress) -> None:
        """Take in an iteration, and say what is new if it is time."""
        if not self._begun:
            self.begin()
        share = (progress.iteration - 1) / progress.iterations
        for term in self.run.method.terms:
            if term.active(share):
                self._sums[term.name] += term.weight(share) * progress.values[term.name]
        self._count += 1
        last = progress.iteration == progress.iterations
        validate, show = (clock.due(last) for clock in (self._validating, self._showing))
        if last or validate or show or time.perf_counter() - self._said >= NEWS_SECONDS:
            self._tell(progress.iteration, progress.iterations, validate, show)

    def begin(self) -> None:
        """Tell again what an earlier part of the run told; call it once the run is restored."""
        self._begun = True
        for told in self.training.told:
            validation = told["validation"]
            again = {**told, "validation": Validated(**_tuples(validation)) if validation else None}
            self.say(News(**again, repeated=True))

    def end(self) -> None:
        """Tell where the run has ended, if that was not told."""
        if not self._begun:
            self.begin()
        if self._count:
            over = self.training.over
            validate, show = (over and clock.due(True) for clock in (self._validating, self._showing))
            self._tell(self.training.iteration, self.training.iterations or 0, validate, show)

    def _tell(self, iteration: int, iterations: int, validate: bool, show: bool) -> None:
        averages: Sequence[Branch] = [a.model for a in self.training.averages]  # type: ignore[misc]
        validation = preview = None
        if validate:
            validation = self._validating.look(lambda seconds: self._measure(averages, iteration, seconds))
        if show:
            preview = self._showing.look(lambda _: self._picture(averages))
        terms = {name: total / self._count for name, total in self._sums.items()}
        whole = sum(map(abs, terms.values()))
        alone = sum(abs(terms[t.name]) for t in self.run.method.terms if not from_annotations(t))
        news = News(
            iteration, iterations, round(self.training.seconds, 2), terms, alone / whole if whole else 0.0, validation,
            preview, used_gib(self.run.device), self._plateau(validation), unsaved=self.training.unsaved,
        )  # fmt: skip
        self._remember(news)
        self._sums, self._count, self._said = dict.fromkeys(self._sums, 0.0), 0, time.perf_counter()
        self.say(news)

    def _measure(self, branches: Sequence[Branch], iteration: int, seconds: float) -> tuple[Validated, float]:
        if self._validation is None:
            self._validation = Validation(self.run, self.training.cases_validated)
        found = self._validation.measure(branches, iteration, seconds)
        self.training.cases_validated = self._validation.count
        return found, self._validation.seconds

    def _picture(self, branches: Sequence[Branch]) -> tuple[Preview | None, float]:
        if self._subject is None:
            self._subject = Subject(self.run, self.wish.case, self.wish.slice)
        subject = self._subject
        begin = time.perf_counter()
        seen = subject.look(branches)
        took = time.perf_counter() - begin
        number = next(self._numbers)
        files: dict[str, str | None] = {}
        written: list[Path] = []
        try:
            self.wish.folder.mkdir(parents=True, exist_ok=True)
            for name, array in vars(seen).items():
                files[name] = None
                if array is not None:
                    path = self.wish.folder / f"preview-{number}-{name}.npy"
                    written.append(path)
                    np.save(path, array)
                    files[name] = str(path)
        except OSError:  # a full disk: there is no picture then, and the training goes on
            _remove(written)
            return None, took
        self._pictures.append(written)
        while len(self._pictures) > _KEPT_PICTURES:
            _remove(self._pictures.pop(0))
        return Preview(subject.case, subject.slice, **files, aspect=subject.aspect), took  # type: ignore[arg-type]

    def _remember(self, news: News) -> None:
        """Keep the news for a resumed run: of many the older ones thinned, measurements excepted."""
        kept = self.training.told
        told = asdict(news)
        del told["preview"], told["repeated"], told["unsaved"]
        kept.append(told)
        if len(kept) > _REMEMBERED:
            thinned = [told for at, told in enumerate(kept) if at % 2 or told["validation"]]
            kept[:] = thinned if len(thinned) < _REMEMBERED else thinned[::2]

    def _plateau(self, newest: Validated | None) -> bool:
        means = [told["validation"]["mean"] for told in self.training.told if told["validation"]]
        means += [newest.mean] if newest is not None else []
        return is_plateau([mean or 0.0 for mean in means])


class _Clock:
    """When something is due: as often as wished, but so that it takes no more than its share of the time."""

    def __init__(self, wish: float) -> None:
        self.wish = wish
        self.next = -np.inf if wish > 0 else np.inf

    def never(self) -> None:
        self.next = np.inf

    def due(self, last: bool) -> bool:
        return time.perf_counter() >= self.next or (last and self.next < np.inf)

    def look(self, job: Callable[[float], tuple[T, float]]) -> T | None:
        """Do it: the job is told how many seconds it may take, and says beside its result how many it took."""
        try:
            found, took = job(SHARE * self.wish)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self.never()  # the training goes on: it has what it needs
            return None
        self.next = time.perf_counter() + max(self.wish, took / SHARE)
        return found


def is_plateau(means: Sequence[float]) -> bool:
    """Say whether measurements have not become better for a good while: the last third of them, five at least."""
    recent = max(_PATIENCE, len(means) // 3)
    if len(means) < 2 * recent:
        return False
    return max(means[-recent:]) < max(means[:-recent]) + _GAIN


def from_annotations(weighted: WeightedTerm) -> bool:
    """Say whether a term learns from what is annotated."""
    return isinstance(weighted.term, (Supervised, Mistakes))


def _tuples(validated: dict[str, Any]) -> dict[str, Any]:
    return {**validated, "dice": tuple(validated["dice"])}


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
