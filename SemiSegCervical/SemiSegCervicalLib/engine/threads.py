"""Several pictures at once, each by a thread of its own from its reading to its result.

Threads that share a picture wait for each other at every small operation, and on a computer that does something else
meanwhile, as it does while Slicer draws, for the one among them that was interrupted. On two cores with two other
processes, frames of 336 x 544 took 23 ms each, and 62 with both threads on one (`bench inference`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

import torch

Lane = TypeVar("Lane")
Item = TypeVar("Item")
Done = TypeVar("Done")
# Of each lane: one that is done and waits for its turn, besides the one that is worked at.
_WAITING = 2


def side_by_side(work: Callable[[Lane, Item], Done], items: Iterable[Item], lanes: Sequence[Lane]) -> Iterator[Done]:
    """Do jobs in as many threads as there are lanes, and yield what comes of them in the items' order.

    Closing the iterator leaves out what has not begun, and waits for what has.

    Args:
        work: called with a lane that nobody else has at the time. PyTorch computes with one thread in it.
        items: what is to be done; a few are taken ahead.
        lanes: what a job needs for itself.

    Raises:
        Exception: what the work raised, in the place of its result.
    """
    free: SimpleQueue[Lane] = SimpleQueue()
    for lane in lanes:
        free.put(lane)

    def job(item: Item) -> Done:
        lane = free.get()
        try:
            return work(lane, item)
        finally:
            free.put(lane)

    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(len(lanes), "lane", torch.set_num_threads, (1,)) as pool:
            waiting: deque[Future[Done]] = deque()
            try:
                for item in items:
                    waiting.append(pool.submit(job, item))
                    if len(waiting) >= _WAITING * len(lanes):
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
    finally:
        # What a thread sets for itself is what threads begin with that are started later.
        torch.set_num_threads(threads)
