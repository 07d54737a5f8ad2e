"""What a training method is: a short declarative recipe. Each lives in a file of its own in `methods/`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from SemiSegCervicalLib.errors import SemiSegError

from ..catalogue import PROPOSED
from .averages import Best
from .perturbation import FeaturePerturbation
from .step import WeightedTerm

UNLABELLED_VIEWS = ("weak", "strong")


@dataclass(frozen=True)
class Method:
    """A recipe; what people read of it is in the `catalogue`.

    Attributes:
        name: of the command line and of the registry, the name of its file.
        source: the publication that it follows.
        terms: what is minimised.
        student_views: the views that every branch answers in its one forward pass.
        teacher_views: the views that the branches' weight averages answer; empty for methods without a teacher.
        teacher_noise: standard deviation of what is added to the images that weight averages answer, two of them at
            most; images have a standard deviation of 1.
        monte_carlo: further passes of each weight average, every one with noise of its own and with the network's
            dropout, if it has any.
        embedding_size: length of the projected image vectors; 0 for methods without image contrast.
        voxel_embedding: length of the projected voxel vectors; 0 for methods without voxel contrast.
        voxel_tap: the decoder's feature map that they are projected from.
        ranked_by: the term whose loss of each branch, smoothed over iterations, tells the winner from the losers.
        cut_mix: share of the steps in which the strong view is mixed by CutMix.
        perturbation: in which views the students' features are disturbed, and how; None for nowhere.
        by_modality: one network for each modality of the data, instead of networks that read all of them.
        best: the teachers are averages of the branches' best states; None for their moving averages.
    """

    name: str
    source: str
    terms: tuple[WeightedTerm, ...]
    student_views: tuple[str, ...] = ("labelled",)
    teacher_views: tuple[str, ...] = ()
    teacher_noise: float = 0.0
    monte_carlo: int = 0
    embedding_size: int = 0
    voxel_embedding: int = 0
    voxel_tap: str = "decoder-1"
    ranked_by: str = "supervised"
    cut_mix: float = 0.0
    perturbation: FeaturePerturbation | None = None
    by_modality: bool = False
    best: Best | None = None

    @property
    def projectors(self) -> dict[str, Any]:
        """The arguments of a `Branch` that the method asks for."""
        return {
            "embedding_size": self.embedding_size,
            "voxel_embedding": self.voxel_embedding,
            "voxel_tap": self.voxel_tap,
        }

    @property
    def uses_unlabelled(self) -> bool:
        """True if any view shows undecided voxels."""
        return bool({*self.student_views, *self.teacher_views} - {"labelled"})

    def without(self, names: Iterable[str]) -> Method:
        """Return the method without some of its terms, and without the views and projectors that only they read.

        Args:
            names: of terms; ``perturbation`` leaves the features undisturbed, where the method disturbs them.

        Raises:
            SemiSegError: there is no such term, or it is the one that learns from annotations.
        """
        chosen = set(names)
        mine = [t.name for t in self.terms if t.name != self.ranked_by]
        mine += ["perturbation"] * (self.perturbation is not None)
        wrong = sorted(chosen - set(mine))
        if wrong:
            raise SemiSegError(
                "unknown-term", f"The method {self.name} cannot do without {', '.join(wrong)}",
                f"Leave out any of {', '.join(mine)}" if mine else "Choose another method", "settings",
            )  # fmt: skip
        if not chosen:
            return self
        terms = tuple(t for t in self.terms if t.name not in chosen)
        reads = frozenset[str]().union(*(t.term.reads for t in terms))
        return replace(
            self,
            name=f"{self.name} without {', '.join(n for n in mine if n in chosen)}",
            terms=terms,
            student_views=tuple(v for v in self.student_views if v in reads),
            teacher_views=self.teacher_views if {"teachers", "passes"} & reads else (),
            monte_carlo=self.monte_carlo if "passes" in reads else 0,
            perturbation=None if "perturbation" in chosen else self._perturbation_of(reads),
            embedding_size=self.embedding_size if "embedding" in reads else 0,
            voxel_embedding=self.voxel_embedding if "voxels" in reads else 0,
        )

    def _perturbation_of(self, views: Collection[str]) -> FeaturePerturbation | None:
        """What is left of the perturbation where students answer these views alone."""
        if self.perturbation is None or not set(self.perturbation.views) & set(views):
            return None
        return replace(self.perturbation, views=tuple(v for v in self.perturbation.views if v in views))

    def seeing(self, view: str) -> Method:
        """Return the method with students that see unlabelled cases in another view: ``weak`` or ``strong``.

        Views that sources of pseudo-labels look at stay, and so does the perturbation of what is left of its views.

        Raises:
            SemiSegError: there is no such view, or the method looks at labelled cases alone, or at both kinds in one.
        """
        mine = [v for v in self.student_views if v != "labelled"]
        if view not in UNLABELLED_VIEWS or not mine or "mixed" in mine:
            raise SemiSegError(
                "unknown-view", f"The students of {self.name} cannot see unlabelled cases in the view {view!r}",
                f"Choose {' or '.join(UNLABELLED_VIEWS)}, with a method that learns from unlabelled cases", "settings",
            )  # fmt: skip
        if mine == [view]:
            return self

        def moved(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(moved, value))
            return view if value in mine else value

        terms = []
        for weighted in self.terms:
            term: Any = weighted.term
            names = {f.name for f in fields(term)} & {"view", "views"}
            terms.append(replace(weighted, term=replace(term, **{n: moved(getattr(term, n)) for n in names})))
        reads = frozenset[str]().union(*(t.term.reads for t in terms))
        views = tuple(v for v in dict.fromkeys((*moved(self.student_views), *self.student_views)) if v in reads)
        return replace(
            self,
            name=f"{self.name} on {view} views",
            terms=tuple(terms),
            student_views=views,
            perturbation=self._perturbation_of(views),
        )


def method_names() -> list[str]:
    """Return the names of all recipes, sorted."""
    from . import methods

    return sorted(module.name for module in pkgutil.iter_modules(methods.__path__))


def get_method(name: str) -> Method:
    """Load a recipe.

    Raises:
        SemiSegError: there is none of that name.
    """
    if name not in method_names():
        raise SemiSegError(
            "unknown-method", f"There is no training method called {name!r}",
            f"Choose one of {', '.join((PROPOSED, *method_names()))}", "settings",
        )  # fmt: skip
    return importlib.import_module(f"{__package__}.methods.{name}").METHOD
