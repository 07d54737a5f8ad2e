"""Numbers with their words, as people write them."""

from __future__ import annotations


def many(count: int, word: str) -> str:
    """Return a number and a word, in the plural where it has to be."""
    return f"{count} {word}{'' if count == 1 else 's'}"
