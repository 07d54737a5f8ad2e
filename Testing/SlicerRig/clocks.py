"""Clocks that stand still while Python collects garbage.

A collection walks over every object there is. In a process that runs a thousand tests, with PyTorch and what they left
behind, that takes 0.3 to 0.5 s at a moment that has nothing to do with the code whose turn it is. What these clocks
measure is the code.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")

_collecting = threading.local()


def seconds() -> float:
    """Return `time.perf_counter` less what this thread has spent on collecting garbage."""
    return time.perf_counter() - _spent("wall")


def cpu_seconds() -> float:
    """Return `time.thread_time` less what this thread has spent on collecting garbage."""
    return time.thread_time() - _spent("cpu")


def timed_pieces(steps: Generator[Any, Any, T]) -> tuple[list[float], T]:
    """Run work that comes in pieces to its end.

    Returns:
        the processor time of each piece, in seconds, and what the work returned.
    """
    durations: list[float] = []
    while True:
        begin = cpu_seconds()
        try:
            next(steps)
        except StopIteration as end:
            return durations, end.value
        finally:
            durations.append(cpu_seconds() - begin)


def _spent(kind: str) -> float:
    spent: float = getattr(_collecting, kind, 0.0)
    return spent


def _collected(phase: str, _info: dict[str, int]) -> None:
    now = {"wall": time.perf_counter(), "cpu": time.thread_time()}
    if phase == "start":
        _collecting.begun = now
        return
    begun = getattr(_collecting, "begun", now)
    for kind, value in now.items():
        setattr(_collecting, kind, _spent(kind) + value - begun[kind])


gc.callbacks.append(_collected)
