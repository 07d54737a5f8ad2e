"""Work that is done a little at a time, so that it does not hold up the application.

A function that ends in ``_in_pieces`` is a generator: what stands between two ``yield`` takes a few milliseconds, and
what it returns is the result (``node = yield from ...``). One that can tell how far it is yields the share that is
done, from 0 to 1, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")
Pieces = Generator[None, None, T]
Shares = Generator["float | None", None, T]


def whole(pieces: Shares[T] | Pieces[T]) -> T:
    """Do all of it at once, and return its result."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            result: T = end.value
            return result


def checked(pieces: Generator[Any, None, T], check: Callable[[], None]) -> Generator[Any, None, T]:
    """Do the same pieces and return their result, with a look before each at whether it may be done.

    Args:
        pieces: the work; it is closed when this ends.
        check: raises where what the next piece reads may be gone.
    """
    try:
        while True:
            check()
            try:
                piece = next(pieces)
            except StopIteration as end:
                result: T = end.value
                return result
            yield piece
    finally:
        pieces.close()
