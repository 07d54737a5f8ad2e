"""What a training method is: a short declarative recipe. Each lives in a file of its own in `methods/`."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

from SemiSegCervicalLib.errors import SemiSegError

from .step import WeightedTerm


@dataclass(frozen=True)
class Method:
    """A recipe.

    Attributes:
        name: of the command line and of the registry, the name of its file.
        title: for people.
        use: one line on when to choose it.
        source: the publication that it follows.
        terms: what is minimised.
        student_views: the views that every branch answers in its one forward pass.
        teacher_views: the views that the branches' weight averages answer; empty for methods without a teacher.
        embedding_size: length of the projected image vectors; 0 for methods without image contrast.
        voxel_embedding: length of the projected voxel vectors; 0 for methods without voxel contrast.
        voxel_tap: the decoder's feature map that they are projected from.
        cut_mix: share of the steps in which the strong view is mixed by CutMix.
    """

    name: str
    title: str
    use: str
    source: str
    terms: tuple[WeightedTerm, ...]
    student_views: tuple[str, ...] = ("labelled",)
    teacher_views: tuple[str, ...] = ()
    embedding_size: int = 0
    voxel_embedding: int = 0
    voxel_tap: str = "decoder-1"
    cut_mix: float = 0.0

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
            f"Choose one of {', '.join(method_names())}", "settings",
        )  # fmt: skip
    return importlib.import_module(f"{__package__}.methods.{name}").METHOD
