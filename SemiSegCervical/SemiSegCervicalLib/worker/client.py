"""The client of a worker process: jobs in, events out, never waiting unless asked to.

Inside Slicer a QProcess's signals drive it and a timer calls `Client.tick`; elsewhere `Client.wait` does both.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import SemiSegError
from . import protocol
from .folders import PrivateFolder, remove_tree
from .job import CANCELLED, DONE, FAILED, PREPARED, RUNNING, SENT, WAITING, Job, JobCancelled
from .log import BoundedLog
from .process import Limits, Stopwatch, WorkerProcess
from .protocol import HELLO_JOB, Alive, Failure, Hello, Message, Progress, Welcome
from .transport import Transport
from .validation import build
from .wire import Envelope

LIBRARY = Path(__file__).resolve().parents[2]
_RESTARTS, _RESTART_SECONDS = 3, 60.0
_CPU_COUNTS = 0.5  # seconds of processor time that are more than saying ``alive``


class Client:
    """Starts a worker when there is something to do, and keeps it for the next job.

    All callbacks come from within `tick`, `wait`, `close` or the transport's own events, in the thread of those.
    """

    def __init__(
        self,
        connect: Callable[[], Transport],
        *,
        python: str = sys.executable,
        libraries: Sequence[Path] = (LIBRARY,),
        hello: Hello | None = None,
        log: Path | None = None,
        temporary: Path | None = None,
        on_change: Callable[[], None] | None = None,
        limits: Limits | None = None,
        command: Callable[[Path], Sequence[str]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a client; nothing is started.

        Args:
            connect: makes a transport, one for each process.
            python: the interpreter, ``PythonSlicer`` inside Slicer.
            libraries: folders that hold the libraries, the cervical one in the first.
            hello: how the process is to behave, and which server modules it registers.
            log: the worker's log file; None for the user's own.
            temporary: where the private folder is made; None for the system's place.
            on_change: called when `state`, `welcome` or `error` may have changed.
            limits: of patience.
            command: makes the command line from the private folder; None for the worker of this library.
            clock: seconds that never go back.
        """
        self.log = BoundedLog(log)
        self.welcome: Welcome | None = None
        self.error: SemiSegError | None = None
        self.on_change = on_change
        self._connect, self._python, self._clock = connect, python, clock
        self._libraries = [str(path) for path in libraries]
        self._hello = hello or Hello()
        self._temporary = temporary
        self._limits = limits or Limits()
        self._command = command or self._usual_command
        self._folder: PrivateFolder | None = None
        self._process: WorkerProcess | None = None
        self._jobs: dict[str, Job] = {}
        self._number = 0
        self._cancelled_at: dict[str, float] = {}
        self._restarts: deque[float] = deque(maxlen=_RESTARTS)
        self._cpu = 0.0
        self._stood = Stopwatch()  # how long what the process has to do has not proceeded
        self._closing = False

    # -- the process --

    @property
    def state(self) -> str:
        """``off``, ``starting`` (also: being replaced) or ``ready``; `error` is why the last start failed."""
        if self._process is None:
            return "off"
        return "ready" if self.welcome is not None and not self._process.ending else "starting"

    @property
    def pid(self) -> int | None:
        """The worker's process id, once it has told it."""
        return self._process.ready.pid if self._process and self._process.ready else None

    def start(self) -> None:
        """Start the process unless it is there; returns at once. `submit` does so too."""
        if self._process is not None or self._closing:
            return
        self.error = self.welcome = None
        try:
            folder = self._private_folder()
        except SemiSegError as error:
            self.error = error
            self._fail_all(error)
            self._say_change()
            return
        hello = Job(HELLO_JOB, folder)
        hello.message, hello.state = self._hello, SENT
        self._jobs[HELLO_JOB] = hello
        self._cpu = 0.0
        self._stood.reset()
        self._process = process = WorkerProcess(
            self._connect(), self._command(folder), self.log, self._event, self._process_ended, self._limits
        )
        if process.ended:  # it failed to start at once, before we knew it
            self._process_ended(process)
        self._say_change()

    def tick(self) -> None:
        """Look after everything that depends on time; call it about ten times a second. It never waits."""
        process, now = self._process, self._clock()
        if process is None:
            return
        process.poll(0.0)
        stood = self._stood.look(now)
        busy = [job for job in self._jobs.values() if process.ready and job.state in (SENT, RUNNING)]
        overdue = [job for job, since in self._cancelled_at.items() if now - since > self._limits.cancel]
        if overdue:
            self._kill(process)
        elif busy:
            if stood > self._limits.stall:
                if all(job.state == SENT for job in busy):  # the next process would not begin with them either
                    for job in busy:
                        self._end(job, FAILED, error=_stalled())
                self._kill(process, _stalled())
        else:
            self._stood.reset()
        process.look(now)

    def close(self) -> None:
        """End the process, cancel all jobs and remove the private folder; takes 1.5 seconds at the most."""
        if self._closing:
            return
        self._closing = True
        try:
            self._cancel_all()
            process = self._process
            if process is not None:
                process.ask_to_end()
                self._wait_for_end(process, self._limits.close)
                process.kill()
                self._wait_for_end(process, self._limits.kill)
            self._process = self.welcome = None
            self._cancel_all()  # what the callbacks of the others handed in
            if self._folder is not None:
                self._folder.remove()
                self._folder = None
            self.log.close()
        finally:
            self._closing = False
        self._say_change()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- jobs --

    def prepare(self) -> Job:
        """Return a job with a folder of its own, into which arrays are written before it is submitted.

        Raises:
            SemiSegError: no folder can be made.
        """
        self._number += 1
        folder = self._private_folder() / f"job-{self._number}"
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise SemiSegError(
                "cannot-write", f"{folder} cannot be made: {error.strerror}", "Free some space", "writing"
            ) from error
        job = Job(str(self._number), folder)
        self._jobs[job.id] = job
        return job

    def submit(
        self,
        message: Message,
        job: Job | None = None,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        on_chunk: Callable[[Any], None] | None = None,
        on_end: Callable[[Job], None] | None = None,
    ) -> Job:
        """Hand in a job, starting the process if needed; returns at once.

        Args:
            message: what to do.
            job: one that was prepared; None makes one.
            on_progress: called with each `Progress`.
            on_chunk: called with each part of the result, such as `FramesChunk`.
            on_end: called with the job, once.

        Raises:
            SemiSegError: no folder can be made.
        """
        job = job or self.prepare()
        if job.message is not None or job.ended:
            raise ValueError(f"the job {job.id} was handed in already")
        job.message, job.state = message, WAITING
        job.on_progress, job.on_chunk, job.on_end = on_progress, on_chunk, on_end
        self.start()
        self._send_waiting()
        return job

    def cancel(self, job: Job) -> None:
        """Cancel a job; it ends within two seconds, if need be with the process."""
        if job.ended or job.cancelling:
            return
        job.cancelling = True
        if job.state in (PREPARED, WAITING) or self._process is None:
            self._end(job, CANCELLED)
        else:
            self._cancelled_at[job.id] = self._clock()
            self._process.send(protocol.CANCEL, job.id)

    def stop(self, job: Job) -> None:
        """Ask a job to end early and keep what it has; those that cannot go on as before."""
        if self._process is not None and job.state in (SENT, RUNNING):
            self._process.send(protocol.STOP, job.id)

    def finish(self, job: Job) -> None:
        """Ask a job to leave out the rest of its work and make of what it has a whole result, such as a model."""
        if self._process is not None and job.state in (SENT, RUNNING):
            self._process.send(protocol.FINISH, job.id)

    def release(self, job: Job) -> None:
        """Remove a job's folder when its results have been read."""
        self._jobs.pop(job.id, None)
        remove_tree(job.folder)

    def wait(self, job: Job, timeout: float | None = None) -> Any:
        """Wait for a job's end, for scripts; see `tick` for programs with an event loop.

        Returns:
            The answer.

        Raises:
            SemiSegError: it failed.
            JobCancelled: it was cancelled.
            TimeoutError: it has not ended after `timeout` seconds; it goes on.
        """
        if job.message is None and not job.ended:
            raise ValueError(f"the job {job.id} was not handed in")
        self.wait_until(lambda: job.ended, timeout)
        if job.error is not None:
            raise job.error
        if job.state == CANCELLED:
            raise JobCancelled
        return job.result

    def wait_until(self, condition: Callable[[], bool], timeout: float | None = None) -> None:
        """Handle events until a condition holds.

        Raises:
            TimeoutError: it does not after `timeout` seconds.
        """
        end = None if timeout is None else self._clock() + timeout
        while not condition():
            left = 0.1 if end is None else min(0.1, end - self._clock())
            if left <= 0:
                raise TimeoutError("the worker has not finished in time")
            if self._process is not None:
                self._process.poll(left)
            else:
                time.sleep(left)
            self.tick()

    # -- told by the process --

    def _event(self, envelope: Envelope) -> None:
        process = self._process
        if process is None:
            return
        if envelope.kind == protocol.READY:
            process.send(Hello.kind, HELLO_JOB, self._hello)
            return
        if envelope.kind == protocol.ALIVE:
            cpu = build(Alive, envelope.body).cpu
            if cpu - self._cpu > _CPU_COUNTS:
                self._cpu = cpu
                self._stood.reset()
            return
        job = self._jobs.get(envelope.job)
        if job is None or job.ended or job.message is None:
            return
        self._stood.reset()
        try:
            self._job_event(job, job.message, envelope)
        except ValueError as error:
            self.log.say(f"damaged event {envelope.kind} of job {job.id}: {error}")
            damaged = SemiSegError(
                "bad-event", "The process that computes gave an answer that cannot be read",
                "Restart the program; if that does not help, install SemiSeg again", "worker",
            )  # fmt: skip
            self._end(job, FAILED, error=damaged)
            self._kill(process)

    def _job_event(self, job: Job, message: Message, envelope: Envelope) -> None:
        if envelope.kind == protocol.STARTED:
            job.state = RUNNING
        elif envelope.kind == protocol.PROGRESS:
            job.progress = build(Progress, envelope.body)
            if job.id == HELLO_JOB:
                self._say_change()
            job.say(job.on_progress, job.progress)
        elif envelope.kind == protocol.CHUNK and message.chunk is not None:
            chunk: Any = build(message.chunk, envelope.body)
            if not job.cancelling:
                job.say(job.on_chunk, chunk)
        elif envelope.kind == protocol.RESULT:
            self._end(job, DONE, result=build(message.answer, envelope.body))
        elif envelope.kind == protocol.CANCELLED:
            self._end(job, CANCELLED)
        elif envelope.kind == protocol.FAILURE:
            self._failed(job, build(Failure, envelope.body))
        else:
            raise ValueError("no such event")

    def _failed(self, job: Job, failure: Failure) -> None:
        error = SemiSegError(failure.code, failure.cause, failure.remedy, failure.stage)
        self._end(job, FAILED, error=error)
        if (failure.restart or job.id == HELLO_JOB) and self._process is not None:
            # What hello missed may be there the next time: an installation is found by a new process only.
            self._kill(self._process, error if job.id == HELLO_JOB else None)

    def _process_ended(self, process: WorkerProcess) -> None:
        if process is not self._process:
            return
        was_ready, fault = self.welcome is not None, process.fault
        self._process = self.welcome = None
        lost = [job for job in self._jobs.values() if job.state in (SENT, RUNNING)]
        asked_for = any(job.cancelling for job in lost)
        for job in lost:
            if job.cancelling:
                self._end(job, CANCELLED)
            elif job.state == SENT and job.id != HELLO_JOB:
                job.state = WAITING  # it had not begun
            elif job.id != HELLO_JOB:
                self._end(job, FAILED, error=fault or _lost())
        self._jobs.pop(HELLO_JOB, None)
        if self._closing:
            return
        now = self._clock()
        often = len(self._restarts) == _RESTARTS and now - self._restarts[0] < _RESTART_SECONDS
        if not was_ready or often:
            self.error = fault or _lost()
            self._fail_all(self.error)
        else:
            # The next job shall find it warm.
            if not asked_for:
                self._restarts.append(now)
            self.start()
        self._say_change()

    # -- inside --

    def _kill(self, process: WorkerProcess, fault: SemiSegError | None = None) -> None:
        if not process.ending:
            process.kill(fault)
            self._say_change()

    def _end(self, job: Job, state: str, result: Any = None, error: SemiSegError | None = None) -> None:
        if job.ended:
            return
        if job.cancelling and state == FAILED:  # how it failed while it was cancelled is of no interest
            state, error = CANCELLED, None
        job.state, job.result, job.error = state, result, error
        self._cancelled_at.pop(job.id, None)
        if job.id == HELLO_JOB:
            del self._jobs[HELLO_JOB]
            if state == DONE:
                self.welcome = result
                self._send_waiting()
            self._say_change()
            return
        if state != DONE:
            self.release(job)
        job.say(job.on_end, job)

    def _send_waiting(self) -> None:
        if self._process is None or self.state != "ready":
            return
        for job in list(self._jobs.values()):
            if self._process is not None and job.state == WAITING and job.message is not None:
                try:
                    self._process.send(job.message.kind, job.id, job.message)
                except SemiSegError as error:
                    self._end(job, FAILED, error=error)
                else:
                    job.state = SENT

    def _fail_all(self, error: SemiSegError) -> None:
        for job in list(self._jobs.values()):
            if job.state != PREPARED and job.id != HELLO_JOB:
                self._end(job, FAILED, error=error)

    def _cancel_all(self) -> None:
        for job in list(self._jobs.values()):
            self._end(job, CANCELLED)

    def _wait_for_end(self, process: WorkerProcess, seconds: float) -> None:
        end = self._clock() + seconds
        while not process.ended and (left := end - self._clock()) > 0:
            process.poll(min(left, 0.1))
            process.look(self._clock())

    def _private_folder(self) -> Path:
        if self._folder is None:
            self._folder = PrivateFolder(self._temporary)
        self._folder.ensure()
        return self._folder.path

    def _usual_command(self, folder: Path) -> list[str]:
        script = Path(self._libraries[0]) / "SemiSegCervicalLib" / "worker" / "server.py"
        return [self._python, "-X", "utf8", "-s", "-u", str(script), str(folder), *self._libraries]

    def _say_change(self) -> None:
        if self.on_change is not None:
            try:
                self.on_change()
            except Exception:
                logging.exception("SemiSeg: a callback failed")


def _stalled() -> SemiSegError:
    return SemiSegError(
        "worker-hung", "The computation stood still and was ended",
        "Try again; if it happens again, report it with the log", "worker",
    )  # fmt: skip


def _lost() -> SemiSegError:
    return SemiSegError("worker-ended", "The process that computes had to be ended", "Try again", "worker")
