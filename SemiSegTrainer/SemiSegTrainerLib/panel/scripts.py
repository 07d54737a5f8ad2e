"""What `SemiSegTrainerLogic` does for scripts: the same as the panel, with the same choices where none are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.packs import find_packs
from SemiSegCervicalLib.panel.cards import read_card

from ..catalogue import METHODS, describe
from ..scene.collect import collect_training_set
from ..scene.facts import Facts, gather_facts
from ..scene.split import propose_split
from .jobs import Jobs
from .recipe import AUTOMATIC, PRESETS, method_of, recipe_for
from .training import Training


def preflight(method: str | None = None) -> Facts:
    """Say what a training on the open scene would work with, and what would keep it from learning.

    Args:
        method: name in the registry; None for the one that suits the scene and ten minutes.

    Raises:
        SemiSegError: the scene cannot be read, or there is no such method.
    """
    training_set = collect_training_set()
    chosen = method_of(_method(method), training_set, PRESETS["Standard"])
    return gather_facts(training_set, propose_split(training_set), chosen)


def train(
    jobs: Jobs,
    *,
    method: str | None = None,
    start: str | Path | None = None,
    on_change: Callable[[Training], None] | None = None,
    **choices: Any,
) -> Training:
    """Begin a training on the open scene.

    Args:
        jobs: of the module.
        method: name in the registry; None for the one that suits the scene and the time.
        start: name of an installed model, a file, or "scratch"; None for an installed one that the method can train
            further and that knows exactly the segments of the scene, if any.
        on_change: called with the training whenever it has changed.
        choices: the other arguments of `recipe.recipe_for`.

    Raises:
        SemiSegError: why it cannot begin.
    """
    training_set = collect_training_set()
    split = propose_split(training_set)
    cards = {name: read_card(path) for name, path in find_packs().items()}
    begin = AUTOMATIC if start is None else str(start)
    if begin not in cards and Path(begin).exists():
        cards[begin] = read_card(Path(begin))
    recipe = recipe_for(training_set, cards, method=_method(method), start=begin, **choices)
    refused = gather_facts(training_set, split, describe(recipe.method)).refused
    if refused is not None:
        raise SemiSegError(refused.code, refused.text, refused.remedy, "preflight")
    return jobs.train(training_set, split, recipe, on_change=on_change)


def _method(name: str | None) -> str:
    known = [method.name for method in METHODS]
    if name is not None and name not in known:
        raise SemiSegError("unknown-method", f"There is no method {name}", f"Use {', '.join(known)}", "settings")
    return name or AUTOMATIC
