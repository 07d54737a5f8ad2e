"""Which image of a case goes to which place of a model: modalities are told apart by name. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence


def places_of(mine: Sequence[str], theirs: Sequence[str]) -> list[int] | None:
    """Return the place in a model of each modality of the data.

    Args:
        mine: names of the data's modalities, in any case.
        theirs: names of the model's, in the order in which it reads them.

    Returns:
        Their own places where no name is at another one, for names that no model knows stand for their places; None
        where one has the place of another, and the rest is not the same.
    """
    mine, theirs = ([name.casefold() for name in names] for names in (mine, theirs))
    if not any(name in theirs and theirs.index(name) != place for place, name in enumerate(mine)):
        return list(range(len(mine)))
    return [theirs.index(name) for name in mine] if set(mine) == set(theirs) else None
