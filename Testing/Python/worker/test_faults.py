"""The client against a worker that misbehaves: one readable error, no process, no file, and ready for the next job."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import WorkerRig.scripted
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.worker.client import Client
from SemiSegCervicalLib.worker.job import JobCancelled
from SemiSegCervicalLib.worker.log import BoundedLog
from SemiSegCervicalLib.worker.process import Limits, WorkerProcess
from SemiSegCervicalLib.worker.protocol import Describe
from SemiSegCervicalLib.worker.subprocess_transport import SubprocessTransport
from SemiSegCervicalLib.worker.wire import LINE_LIMIT
from SlicerRig import clocks
from WorkerRig.processes import alive, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the scripted worker uses POSIX signals")
SCRIPT = Path(WorkerRig.scripted.__file__)
# Short enough for a test, long enough for a busy computer to start an interpreter.
LIMITS = Limits(start=20.0, silence=20.0, stall=20.0, cancel=0.3)
IMPATIENT = Limits(start=20.0, silence=1.5, stall=1.0, cancel=0.3)


@pytest.fixture
def worker(tmp_path):
    """Make clients of scripted workers; afterwards nothing may be left of them."""
    clients, pids = [], set()

    def make(start="good", **options):
        def command(folder):
            return [sys.executable, "-I", "-S", str(SCRIPT), start, str(folder)]

        usual = {"limits": LIMITS, "log": tmp_path / "worker.log", "temporary": tmp_path / "temporary"}
        client = Client(SubprocessTransport, **{"command": command, **usual, **options})
        clients.append(client)
        client.on_change = lambda: pids.add(client.pid)
        return client

    (tmp_path / "temporary").mkdir()
    yield make
    for client in clients:
        began = time.monotonic()
        client.close()
        assert time.monotonic() - began < 2.0
        assert client.state == "off"
    assert list((tmp_path / "temporary").iterdir()) == []
    assert until(lambda: not any(alive(pid) for pid in pids if pid))


def run(client, how, timeout=20):
    return client.wait(client.submit(Describe((how,))), timeout)


def failure(client, how):
    with pytest.raises(SemiSegError) as caught:
        run(client, how)
    error = caught.value
    assert error.cause
    assert error.remedy
    assert error.code in str(error.as_dict())
    return error.code


def test_a_good_worker_serves_job_after_job(worker):
    client = worker()
    seen, ended = [], []
    job = client.submit(Describe(("ok",)), on_progress=seen.append, on_end=ended.append)
    assert client.wait(job, 20).models[0].path == "here"
    assert [p.stage for p in seen] == ["reading"]
    assert ended == [job]
    assert job.folder.is_dir(), "the results lie in it"
    client.release(job)
    assert not job.folder.exists()
    first = client.pid
    assert run(client, "ok").models[0].path == "here"
    assert client.pid == first


def test_a_message_that_is_too_long_fails_at_once_and_alone(worker):
    client = worker()
    jobs = [client.submit(Describe((how,))) for how in ("ok", "x" * LINE_LIMIT, "ok")]
    with pytest.raises(SemiSegError) as caught:
        client.wait(jobs[1], 20)
    assert caught.value.code == "too-long"
    assert [client.wait(job, 20).models[0].path for job in (jobs[0], jobs[2])] == ["here"] * 2


@pytest.mark.parametrize("how", ["garbage", "pieces"])
def test_noise_between_the_events_does_no_harm(worker, tmp_path, how):
    client = worker()
    assert run(client, how).models[0].path == "here"
    assert "a line that is no event" in (tmp_path / "worker.log").read_text(errors="replace"), "it is kept for the log"
    assert (tmp_path / "worker.log").stat().st_size < 100_000


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("exit", "worker-died"),
        ("half", "worker-died"),
        ("SIGSEGV", "worker-died"),
        ("SIGKILL", "worker-killed"),
        ("frozen", "worker-hung"),
        ("stall", "worker-hung"),
        ("nonsense", "bad-event"),
        ("device-error", "device-error"),
    ],
)
def test_a_lost_process_is_one_error_and_replaced(worker, how, code):
    client = worker(limits=IMPATIENT if code == "worker-hung" else LIMITS)
    run(client, "ok")
    first = client.pid
    job = client.submit(Describe((how,)))
    with pytest.raises(SemiSegError) as caught:
        client.wait(job, 20)
    assert caught.value.code == code
    assert not job.folder.exists()
    client.wait_until(lambda: client.state == "ready", 20)
    assert client.pid != first, "there is a new one, before anybody asks"
    assert until(lambda: not alive(first))
    assert run(client, "ok").models[0].path == "here"


def test_a_failed_job_leaves_the_process(worker):
    client = worker()
    run(client, "ok")
    first = client.pid
    assert failure(client, "disk-full") == "disk-full"
    run(client, "ok")
    assert client.pid == first


def test_a_job_that_is_never_begun_is_given_up(worker):
    client = worker("deaf", limits=IMPATIENT)
    assert failure(client, "ok") == "worker-hung"
    client.wait_until(lambda: client.state == "ready", 20)


def test_jobs_that_had_not_begun_survive_a_crash(worker):
    client = worker()
    jobs = [client.submit(Describe((how,))) for how in ("ok", "exit", "ok", "ok")]
    client.wait_until(lambda: all(job.ended for job in jobs), 20)
    assert [job.state for job in jobs] == ["done", "failed", "done", "done"]


def test_a_worker_that_crashes_again_and_again_is_left_alone(worker):
    client = worker()
    for _ in range(6):
        assert failure(client, "exit") == "worker-died"
        client.wait_until(lambda: client.state != "starting", 20)
    assert run(client, "ok"), "but whoever asks gets another try"


@pytest.mark.parametrize(
    ("start", "code"),
    [("exit", "worker-not-started"), ("newer", "version-mismatch"), ("no-torch", "missing-package")],
)
def test_a_start_that_fails_is_said_to_every_job(worker, start, code):
    client = worker(start)
    jobs = [client.submit(Describe(("ok",))) for _ in range(2)]
    for job in jobs:
        with pytest.raises(SemiSegError) as caught:
            client.wait(job, 20)
        assert caught.value.code == code
    assert client.state == "off", "and nobody tries again by himself"
    assert client.error.code == code
    assert failure(client, "ok") == code


def test_a_worker_that_never_speaks_is_given_up(worker):
    client = worker("mute", limits=Limits(start=0.5))
    assert failure(client, "ok") == "worker-hung"


def test_a_program_that_is_not_there_is_said(worker, tmp_path):
    client = worker(command=lambda folder: [str(tmp_path / "no such program")])
    assert failure(client, "ok") == "worker-not-started"
    assert client.state == "off"


def test_a_restart_that_fails_does_not_go_on_for_ever(worker):
    client = worker("once")
    run(client, "ok")
    assert failure(client, "exit") == "worker-died"
    client.wait_until(lambda: client.state == "off", 20)
    assert client.error.code == "worker-not-started"


@pytest.mark.parametrize("how", ["hang", "frozen", "children"])
def test_cancelling_what_does_not_listen_ends_the_whole_group(worker, tmp_path, how):
    client = worker()
    run(client, "ok")
    pid = client.pid
    (folder,) = (tmp_path / "temporary").iterdir()
    job = client.submit(Describe((how,)))
    client.wait_until(lambda: job.state == "running", 20)
    children = []
    if how == "children":
        assert until(lambda: (folder / "children").exists() and (folder / "children").read_text().count(" ") == 1)
        children = [int(pid) for pid in (folder / "children").read_text().split()]
        assert all(alive(pid) for pid in children)
    client.cancel(job)
    began = clocks.seconds()
    with pytest.raises(JobCancelled):
        client.wait(job, 20)
    assert clocks.seconds() - began < 1.5
    assert until(lambda: not any(alive(p) for p in [pid, *children]), 1)
    assert not job.folder.exists()
    assert run(client, "ok"), "a new one was started"


def test_cancelling_before_the_start_and_between(worker):
    client = worker()
    prepared = client.prepare()
    (prepared.folder / "a.npy").write_bytes(b"x")
    client.cancel(prepared)
    assert prepared.state == "cancelled"
    waiting = client.submit(Describe(("ok",)))
    client.cancel(waiting)
    assert waiting.state == "cancelled"
    after = client.submit(Describe(("ok",)))
    client.wait(after, 20)
    client.cancel(after)
    assert after.state == "done", "what is done stays done"
    assert not prepared.folder.exists()
    with pytest.raises(ValueError, match="already"):
        client.submit(Describe(("ok",)), prepared)


def test_closing_in_the_middle_cancels(worker):
    client = worker()
    run(client, "ok")
    ended = []
    job = client.submit(Describe(("children",)), on_end=ended.append)
    client.wait_until(lambda: job.state == "running", 20)
    client.close()
    assert [j.state for j in ended] == ["cancelled"]
    assert run(client, "ok"), "a closed client can be used again"


def test_a_callback_that_fails_harms_nobody(worker):
    client = worker()

    def bad(*_):
        raise RuntimeError("of the panel")

    job = client.submit(Describe(("ok",)), on_progress=bad, on_end=bad)
    assert client.wait(job, 20)


def test_a_busy_caller_does_not_take_silence_for_a_hang(worker):
    now = [0.0]
    client = worker(clock=lambda: now[0], limits=Limits(start=5.0, silence=3.0, stall=1e9))
    began = time.monotonic()
    client.start()
    while client.state != "ready":
        client.tick()
        time.sleep(0.01)
        assert time.monotonic() - began < 20
    first = client.pid
    for _ in range(3):  # the computer slept for hours, three times
        now[0] += 10_000.0
        client.tick()
    job = client.submit(Describe(("ok",)))
    while not job.ended:
        client.tick()
        time.sleep(0.01)
    assert (job.state, client.pid) == ("done", first)


def test_a_computer_that_slept_does_not_take_its_sleep_for_a_job_that_stands_still(worker):
    now = [0.0]
    client = worker(clock=lambda: now[0], limits=Limits(start=1e9, silence=1e9, stall=10.5))
    job = client.submit(Describe(("stall",)))
    began = time.monotonic()
    while job.state != "running":
        client.tick()
        time.sleep(0.01)
        assert time.monotonic() - began < 20
    client.tick()
    for _ in range(5):
        now[0] += 10_000.0
        client.tick()
    assert (client.state, job.state) == ("ready", "running")
    for _ in range(10):  # but one that stands still is ended all the same
        now[0] += 1.0
        client.tick()
    assert client.state == "starting"
    now[0] += 1.0
    with pytest.raises(SemiSegError) as caught:
        client.wait(job)
    assert caught.value.code == "worker-hung"


class Nowhere:
    """A transport that only tells how a process ended."""

    def start(self, _command, listener):
        self.listener = listener


@pytest.mark.parametrize(
    ("system", "code", "said"),
    [
        ("nt", 0xC0000005, "with code 0xC0000005"),
        ("nt", 0xC0000005 - 2**32, "with code 0xC0000005"),
        ("nt", 3, "with code 3"),
        ("posix", 3, "with code 3"),
        ("posix", -11, "by signal 11"),
        ("posix", 139, "by signal 11"),
        ("posix", 0, "by itself"),
    ],
)
def test_how_a_process_ended_is_said_in_the_words_of_the_system(tmp_path, monkeypatch, system, code, said):
    transport, log = Nowhere(), BoundedLog(tmp_path / "worker.log")
    process = WorkerProcess(transport, ["x"], log, lambda _: None, lambda _: None, LIMITS)
    with monkeypatch.context() as patch:
        patch.setattr("SemiSegCervicalLib.worker.process.os.name", system)
        transport.listener.ended(code)
    assert said in process.fault.cause


@pytest.mark.parametrize(
    ("system", "said", "fault"),
    [
        ("posix", b"error: [python-real] exit abnormally - Report the problem.\n", "worker-killed"),
        ("posix", b"Fatal Python error: Segmentation fault\n\nerror: [python-real] exit abnormally\n", "worker-died"),
        ("posix", b"Traceback (most recent call last):\n", "worker-died"),
        ("nt", b"error: [python-real.exe] exit abnormally - Report the problem.\n", "worker-died"),
    ],
    ids=["killed", "crashed", "python", "windows"],
)
@pytest.mark.parametrize("piece", [7, 1000])
def test_slicers_launcher_ends_with_one_whatever_ended_the_worker(tmp_path, monkeypatch, system, said, fault, piece):
    transport = Nowhere()
    process = WorkerProcess(
        transport, ["x"], BoundedLog(tmp_path / "worker.log"), lambda _: None, lambda _: None, LIMITS
    )
    monkeypatch.setattr(process, "ready", object())
    monkeypatch.setattr(process, "_kill_group", lambda: None)
    for start in range(0, len(said), piece):
        transport.listener.errors(said[start : start + piece])
    with monkeypatch.context() as patch:
        patch.setattr("SemiSegCervicalLib.worker.process.os.name", system)
        transport.listener.ended(1)
    assert process.fault.code == fault


def test_nothing_waits_but_what_says_so(worker):
    client = worker()
    slowest = {}

    def timed(name, call):
        began = clocks.seconds()
        result = call()
        slowest[name] = max(slowest.get(name, 0.0), clocks.seconds() - began)
        return result

    timed("start", client.start)
    job = timed("submit", lambda: client.submit(Describe(("hang",))))
    while job.state != "running":
        timed("tick", client.tick)
        time.sleep(0.005)
    timed("cancel", lambda: client.cancel(job))
    while not job.ended:
        timed("tick", client.tick)
        time.sleep(0.005)
    # None may hold up a user interface; the rest is what a busy computer adds.
    assert max(slowest.values()) < 0.25, slowest
