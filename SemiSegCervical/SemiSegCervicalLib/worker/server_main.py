"""The worker's two threads: one reads what the client says, the main one does the jobs, one after the other."""

from __future__ import annotations

import _thread
import gc
import importlib
import os
import queue
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from ..errors import SemiSegError
from ..heap import give_back_freed_memory, keep_freed_memory
from . import protocol
from .folders import remove_if_orphaned
from .protocol import Describe, EncodeDicomSeg, Hello, Load, Message, Predict, PredictFrames, Welcome
from .server_errors import explain
from .server_jobs import Cancelled, Channel, Handler, ServerJob
from .server_process import (
    be_polite,
    end_now,
    lead_own_group,
    limit_threads,
    take_standard_input,
    take_standard_output,
    tell_crashes,
)
from .validation import build
from .wire import Envelope, LineSplitter, decode

if TYPE_CHECKING:
    from .server_predict import Predicting

M = TypeVar("M", bound=Message)
ALIVE_SECONDS = 2.0
# A cancelled job that does not look is interrupted wherever it is, long before the client loses its patience.
INTERRUPT_SECONDS = 0.4
_OWNER_SECONDS = 2.0
_MODULE = re.compile(r"SemiSeg[A-Za-z]+Lib\.worker\.server_[a-z_]+")
# What the base worker does, by methods of `Predicting`.
_BASE: dict[type[Message], str] = {
    Describe: "describe", Load: "load", Predict: "predict", PredictFrames: "predict_frames",
}  # fmt: skip
_JOB = re.compile(r"[0-9]{1,12}")


class Server:
    """Serves one client until it closes what its messages come from."""

    def __init__(self, folder: Path, channel: Channel, messages: int, group: int | None) -> None:
        """Prepare it.

        Args:
            folder: private, for the files of jobs.
            channel: to the client.
            messages: file descriptor that the client's messages come from.
            group: process group to end with this process; None on Windows.
        """
        self.folder, self.channel, self._messages, self._group = folder, channel, messages, group
        self._handlers: dict[str, tuple[type[Message], Handler]] = {}
        self._queue: queue.SimpleQueue[ServerJob | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting: dict[str, ServerJob] = {}
        self._running: ServerJob | None = None
        self._inside = self._interrupted = False
        self._predicting: Predicting | None = None
        self.register(Hello, self._hello)

    def register(self, message: type[M], handler: Callable[[ServerJob, M], object]) -> None:
        """Have a handler do the jobs of a kind; what it returns is the answer."""
        self._handlers[message.kind] = (message, handler)

    # -- the main thread --

    def run(self) -> None:
        """Do jobs until the client says ``shutdown``."""
        signal.signal(signal.SIGINT, self._interrupt)
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._live, daemon=True).start()
        while (job := self._queue.get()) is not None:
            with self._lock:
                if self._waiting.pop(job.id, None) is None:
                    continue  # cancelled before it began
                self._running, self._interrupted = job, False
            self.channel.send(protocol.STARTED, job.id)
            kind, body = self._perform(job)
            try:
                self.channel.send(kind, job.id, body)
            except SemiSegError as error:  # an answer too long for a line
                kind = protocol.FAILURE
                self.channel.send(kind, job.id, explain(error, job.stage))
            del body
            if kind == protocol.FAILURE:
                gc.collect()  # what it held, out of memory perhaps
            elif isinstance(job.message, Hello):
                # While nothing is asked yet: the networks' packages take longer than everything before.
                try:
                    self._import_engine()
                except Exception:
                    traceback.print_exc()  # the first job will say it to the user
            if self._queue.empty():
                give_back_freed_memory()
        end_now(0, self._group)

    def _perform(self, job: ServerJob) -> tuple[str, object]:
        try:
            try:
                self._inside = True
                return protocol.RESULT, self._handlers[job.message.kind][1](job, job.message)
            finally:
                self._inside = False  # from here on nothing is interrupted
                self._running = None
        except BaseException as error:
            if self._predicting is not None and (self._interrupted or not isinstance(error, (Cancelled, SemiSegError))):
                self._predicting.forget()
            if job.cancelled:
                return protocol.CANCELLED, None
            return protocol.FAILURE, explain(error, job.stage)

    def _interrupt(self, signal_number: int, frame: FrameType | None) -> None:
        """Raise `Cancelled` in the main thread, wherever it is; a signal's handler runs nowhere else."""
        job = self._running
        if self._inside and job is not None and job.cancelled and job.interruptible:
            self._interrupted = True
            raise Cancelled

    def _hello(self, job: ServerJob, hello: Hello) -> Welcome:
        if hello.protocol != protocol.PROTOCOL:
            raise SemiSegError(
                "version-mismatch",
                f"The program speaks version {hello.protocol} of the protocol, the worker {protocol.PROTOCOL}",
                "Restart the program; if that does not help, install SemiSeg again", "starting",
            )  # fmt: skip
        for name in hello.modules:
            if not _MODULE.fullmatch(name):
                raise SemiSegError(
                    "unknown-module", f"{name!r} is no part of the worker", "Install SemiSeg again", "starting"
                )
        if hello.polite:
            be_polite()
        limit_threads(hello.spare_cores)
        job.progress("starting", 0, 1)
        with job.shielded():
            from .server_start import look_around

            welcome = look_around()
            for message, name in _BASE.items():
                self.register(message, partial(self._base, name))
            self.register(EncodeDicomSeg, self._encode_dicom_seg)
            for name in hello.modules:
                importlib.import_module(name).register(self)
        return welcome

    def _base(self, name: str, job: ServerJob, message: Message) -> object:
        with job.shielded():
            predicting = self._import_engine()
        return getattr(predicting, name)(job, message)

    def _encode_dicom_seg(self, job: ServerJob, message: EncodeDicomSeg) -> object:
        with job.shielded():
            from .server_dicom import encode
        return encode(job, message)

    def _import_engine(self) -> Predicting:
        if self._predicting is None:
            from .server_predict import Predicting

            self._predicting = Predicting()
        return self._predicting

    # -- the thread that reads --

    def _read(self) -> None:
        splitter = LineSplitter()
        while True:
            try:
                data = os.read(self._messages, 65536)
            except OSError:
                data = b""
            if not data:
                break
            for line in splitter.feed(data):
                self._line(line)
        # The client is gone, however it ended. It cannot clean up any more if it is dead.
        with suppress(Exception):
            remove_if_orphaned(self.folder, _OWNER_SECONDS)
        end_now(1, self._group)

    def _line(self, line: bytes) -> None:
        try:
            envelope = decode(line)
        except ValueError as error:
            print(f"damaged message ({error}): {line[:500]!r}", file=sys.stderr)
            return
        if envelope is None:
            print(f"no message: {line[:500]!r}", file=sys.stderr)
        elif envelope.kind == protocol.SHUTDOWN:
            end_now(0 if self._running is None else 1, self._group)
        elif envelope.kind in (protocol.CANCEL, protocol.STOP, protocol.FINISH):
            self._control(envelope)
        else:
            self._accept(envelope)

    def _accept(self, envelope: Envelope) -> None:
        try:
            if not _JOB.fullmatch(envelope.job):
                raise ValueError(f"{envelope.job!r} is no job")
            if envelope.kind not in self._handlers:
                raise ValueError(f"the worker knows no message {envelope.kind!r}")
            message = build(self._handlers[envelope.kind][0], envelope.body)
        except ValueError as error:
            self.channel.send(
                protocol.FAILURE, envelope.job,
                protocol.Failure(
                    "bad-message", "", f"The worker does not understand a message: {str(error)[:300]}",
                    "Restart the program; if that does not help, install SemiSeg again",
                ),
            )  # fmt: skip
            return
        job = ServerJob(envelope.job, message, self.folder / f"job-{envelope.job}", self.channel)
        with self._lock:
            self._waiting[job.id] = job
        self._queue.put(job)

    def _control(self, envelope: Envelope) -> None:
        with self._lock:
            job = self._running
            if job is None or job.id != envelope.job:
                job = None
                waiting = self._waiting.get(envelope.job)
                if waiting is not None and envelope.kind == protocol.CANCEL:
                    del self._waiting[envelope.job]
                    self.channel.send(protocol.CANCELLED, envelope.job)
                elif waiting is not None:
                    _tell(waiting, envelope.kind)
        if job is None:
            return
        if envelope.kind != protocol.CANCEL:
            _tell(job, envelope.kind)
            return
        job.cancel()
        threading.Thread(target=self._insist, args=(job,), daemon=True).start()

    def _insist(self, job: ServerJob) -> None:
        """Interrupt a cancelled job that goes on, as long as it does."""
        time.sleep(INTERRUPT_SECONDS)
        while self._running is job:
            if hasattr(signal, "pthread_kill"):
                # A real signal also ends the wait for a child process.
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:
                _thread.interrupt_main()
            time.sleep(INTERRUPT_SECONDS)

    # -- the thread that lives --

    def _live(self) -> None:
        while True:
            time.sleep(ALIVE_SECONDS)
            self.channel.send(protocol.ALIVE, "", protocol.Alive(time.process_time()))


def _tell(job: ServerJob, control: str) -> None:
    """Have a job know that it was asked to stop or to finish."""
    if control == protocol.STOP:
        job.stop()
    else:
        job.finish()


def serve(folder: Path) -> None:
    """Become the worker; does not return."""
    group = lead_own_group()
    channel, messages = Channel(take_standard_output()), take_standard_input()
    tell_crashes()
    keep_freed_memory()
    channel.send(protocol.READY, "", protocol.Ready(protocol.PROTOCOL, os.getpid(), group))
    Server(folder, channel, messages, group).run()
