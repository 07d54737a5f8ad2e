"""Work in pieces, and the worker's transport over Qt."""

from __future__ import annotations

import gc
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from SlicerRig import application


def slices(steps: Iterator[Any], ends: list[Any], **options: Any) -> Any:
    return slices_of(steps, ends.append, **options)


def slices_of(steps: Iterator[Any], on_end: Callable[[Any], None], **options: Any) -> Any:
    from SemiSegCervicalLib.panel.slices import Slices

    return Slices(steps, on_end, **options)


def test_work_is_cut_at_its_budget() -> None:
    def steps() -> Iterator[None]:
        for _ in range(200):
            until = time.thread_time() + 0.005
            while time.thread_time() < until:
                pass
            yield

    ends: list[Any] = []
    application.reset()
    slices(steps(), ends, budget=0.02)
    assert application.wait_until(lambda: ends, 10)
    assert ends == [None]
    assert application.longest_call().cpu < 0.1 * application.STRETCH


def test_work_that_waits_rests_until_it_is_woken() -> None:
    from SemiSegCervicalLib.panel.slices import WAIT

    seen: list[int] = []

    def steps() -> Iterator[Any]:
        for number in range(3):
            seen.append(number)
            yield WAIT

    ends: list[Any] = []
    work = slices(steps(), ends)
    application.process_events(0.1)
    assert seen == [0]
    assert work.waiting
    work.wake()
    application.process_events(0.1)
    assert seen == [0, 1]
    work.wake()
    work.wake()
    application.process_events(0.1)
    assert (seen, ends) == ([0, 1, 2], [])
    work.wake()
    application.process_events(0.1)
    assert (ends, work.active) == ([None], False)


def test_a_wake_during_the_step_is_not_lost() -> None:
    from SemiSegCervicalLib.panel.slices import WAIT

    ends: list[Any] = []

    def steps() -> Iterator[Any]:
        work.wake()
        yield WAIT

    work = slices(steps(), ends)
    assert application.wait_until(lambda: ends, 5)


def test_work_rests_while_a_scene_is_read(clean: Any) -> None:
    import slicer

    seen: list[int] = []

    def steps() -> Iterator[None]:
        for number in range(1000):
            seen.append(number)
            yield

    scene = slicer.mrmlScene
    work = slices(steps(), [], budget=0)
    scene.StartState(scene.ImportState)
    application.process_events(0.05)
    assert not seen
    scene.EndState(scene.ImportState)
    application.process_events(0.05)
    assert seen
    work.cancel()


def test_what_the_work_raises_is_told_and_cancelling_closes_it() -> None:
    closed: list[str] = []

    def failing() -> Iterator[None]:
        yield
        raise ValueError("no")

    def endless() -> Iterator[None]:
        try:
            while True:
                yield
        finally:
            closed.append("closed")

    ends: list[Any] = []
    slices(failing(), ends)
    assert application.wait_until(lambda: ends, 5)
    assert isinstance(ends[0], ValueError)
    more: list[Any] = []
    work = slices(endless(), more)
    application.process_events(0.05)
    work.cancel()
    application.process_events(0.05)
    assert (closed, more, work.active) == (["closed"], [], False)


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
def test_work_that_is_over_is_forgotten(end: str) -> None:
    class Work:
        def __init__(self) -> None:
            self.slices = slices_of(self.steps(), self.ended)
            self.over = False

        def steps(self) -> Iterator[None]:
            yield
            if end == "failed":
                raise ValueError("no")
            while end == "cancelled":
                yield

        def ended(self, _fault: Any) -> None:
            self.over = True

    def do() -> Any:
        work = Work()
        if end == "cancelled":
            application.process_events(0.02)
            work.slices.cancel()
        else:
            assert application.wait_until(lambda: work.over, 5)
        return weakref.ref(work)

    seen = do()
    application.process_events(0.05)
    gc.collect()
    assert seen() is None


@pytest.fixture
def run() -> Any:
    """Run a Python program over the transport; returns the transport and what it told."""
    from SemiSegCervicalLib.panel.transport import QtTransport
    from SemiSegCervicalLib.worker.transport import Listener

    def start(program: str, python: str = sys.executable) -> tuple[Any, dict[str, Any]]:
        told: dict[str, Any] = {"output": b"", "errors": b"", "ended": []}

        def add(name: str, data: bytes) -> None:
            told[name] += data

        transport = QtTransport()
        listener = Listener(
            lambda d: add("output", d), lambda d: add("errors", d), lambda code: told["ended"].append(code)
        )
        transport.start([python, "-I", "-S", "-c", program], listener)
        return transport, told

    return start


@pytest.mark.parametrize(
    ("program", "code"),
    [("pass", 0), ("raise SystemExit(7)", 7), ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -11)],
)
def test_how_a_process_ended(run: Any, program: str, code: int) -> None:
    _, told = run(program)
    assert application.wait_until(lambda: told["ended"], 20)
    application.process_events(0.05)
    assert told["ended"] == [code]


def test_a_program_that_is_not_there(run: Any) -> None:
    _, told = run("", python="/no/such/program")
    assert application.wait_until(lambda: told["ended"], 20)
    assert told["ended"] == [None]
    assert told["errors"]


ECHO = "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data); print('done', file=sys.stderr)"


@pytest.mark.parametrize("waiting", [False, True], ids=["event loop", "script"])
def test_bytes_come_back_as_they_were(run: Any, waiting: bool) -> None:
    transport, told = run(ECHO)
    data = bytes(range(256)) * 4000
    transport.write(data)
    transport.write(bytearray(b"tail"))
    transport.close_input()
    end = time.monotonic() + 20
    while waiting and not told["ended"] and time.monotonic() < end:
        transport.poll(0.1)
    assert application.wait_until(lambda: told["ended"], 20)
    assert told["output"] == data + b"tail"
    assert told["errors"] == b"done\n"
    transport.write(b"nobody reads this")
    transport.kill()


def test_a_killed_process(run: Any) -> None:
    transport, told = run("import time; time.sleep(60)")
    application.process_events(0.3)
    transport.kill()
    assert application.wait_until(lambda: told["ended"], 20)
    assert told["ended"] == [-9]
