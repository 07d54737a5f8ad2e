"""The clocks of the rig measure the code, and not the garbage that other tests left."""

from __future__ import annotations

import gc
import time
from collections.abc import Generator

from SlicerRig.clocks import cpu_seconds, seconds, timed_pieces


def test_collecting_garbage_does_not_count() -> None:
    many = [[number] for number in range(300_000)]
    begin, clock, cpu = time.perf_counter(), seconds(), cpu_seconds()
    for _ in range(3):
        gc.collect()
    taken = time.perf_counter() - begin
    assert len(many) == 300_000
    assert taken > 0.02
    assert seconds() - clock < 0.2 * taken
    assert cpu_seconds() - cpu < 0.2 * taken


def test_each_piece_is_measured_and_what_the_work_returned_is_given() -> None:
    def steps() -> Generator[None, None, str]:
        for length in (0.0, 0.03):
            until = time.thread_time() + length
            while time.thread_time() < until:
                pass
            yield
        return "done"

    durations, value = timed_pieces(steps())
    assert (len(durations), value) == (3, "done")
    assert durations[1] >= 0.03 > max(durations[0], durations[2])
