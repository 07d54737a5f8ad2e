"""One life of a worker process as its client sees it: lines out of bytes, the way it ends, and its end by force."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..errors import SemiSegError
from .log import BoundedLog
from .protocol import PROTOCOL, READY, SHUTDOWN, Ready
from .transport import Listener, Transport
from .validation import build
from .wire import Envelope, LineSplitter, decode, encode

_STAGE = "worker"
_SIGKILL = getattr(signal, "SIGKILL", 9)
# Between two looks at the clock more cannot count: the computer slept, or the caller's thread was busy elsewhere.
_LONGEST_LOOK = 1.0
# What the launcher of an installed Slicer says before it ends with code 1: a signal has ended what it launched.
_LAUNCHER_SAYS = b"exit abnormally"
# What Python says of every signal but the one that it cannot hear (see `server_process.tell_crashes`).
_PYTHON_SAYS = b"Fatal Python error"


@dataclass(frozen=True)
class Limits:
    """Seconds after which something is done.

    Attributes:
        start: a process that has not said ``ready`` is given up.
        silence: a process that says nothing at all hangs: even while it computes, a thread of it says ``alive``. Longer
            than any library takes to be read from a slow disk, which stops that thread too.
        stall: a job that neither proceeds, or begins, nor uses the processor hangs.
        cancel: a job that has not ended so long after it was cancelled is ended with its process.
        kill: a process that is not gone so long after it was killed is no longer waited for.
        close: the same for one that was asked to end.
    """

    start: float = 120.0
    silence: float = 120.0
    stall: float = 900.0
    cancel: float = 1.3
    kill: float = 0.5
    close: float = 1.0


class Stopwatch:
    """Adds up seconds from look to look; a long pause between two, in which nobody listened, counts for little."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._looked: float | None = None

    def look(self, now: float) -> float:
        """Return the seconds since the start or `reset`, at a reading of a clock that never goes back."""
        if self._looked is not None:
            self._seconds += min(now - self._looked, _LONGEST_LOOK)
        self._looked = now
        return self._seconds

    def reset(self) -> None:
        """Begin anew with the next look."""
        self._seconds, self._looked = 0.0, None


class WorkerProcess:
    """Starts a process, and tells what it says and that it ended, exactly once."""

    def __init__(
        self,
        transport: Transport,
        command: Sequence[str],
        log: BoundedLog,
        on_event: Callable[[Envelope], None],
        on_end: Callable[[WorkerProcess], None],
        limits: Limits,
    ) -> None:
        self.ready: Ready | None = None
        self.ended = False
        self.fault: SemiSegError | None = None
        self._transport, self._log, self._limits = transport, log, limits
        self._on_event, self._on_end = on_event, on_end
        self._splitter = LineSplitter()
        self._heard = self._killed = False
        self._errors_end, self._said = b"", set[bytes]()
        self._silent, self._dying = Stopwatch(), Stopwatch()
        log.say(f"worker starts: {' '.join(command)}")
        transport.start(command, Listener(self._output, self._errors, self._ended))

    @property
    def ending(self) -> bool:
        """Whether it was killed and is not gone yet."""
        return self._killed

    def send(self, kind: str, job: str = "", body: Any = None) -> None:
        """Send a message or control.

        Raises:
            SemiSegError: it is too long for a line.
        """
        if not self.ended:
            self._transport.write(encode(kind, job, body))

    def poll(self, seconds: float) -> None:
        """Handle what came in; wait for it at most so long."""
        self._transport.poll(seconds)

    def look(self, now: float) -> None:
        """Find out whether it hangs; to be called several times a second.

        Args:
            now: of a clock that never goes back.
        """
        if self._killed:
            if self._dying.look(now) > self._limits.kill:
                self._end(None)
            return
        if self._heard:
            self._silent.reset()
        self._heard = False
        if self._silent.look(now) > (self._limits.silence if self.ready else self._limits.start):
            self.kill(_hung())

    def kill(self, fault: SemiSegError | None = None) -> None:
        """End it and everything that it started, without waiting; `on_end` is called when it is gone.

        Args:
            fault: why, for who asks afterwards.
        """
        if self.ended or self._killed:
            return
        self.fault = fault
        self._killed = True
        self._log.say(f"worker is ended by force: {fault or 'asked for'}")
        self._kill_group()
        self._transport.kill()

    def ask_to_end(self) -> None:
        """Ask it to end by itself."""
        self.send(SHUTDOWN)
        self._transport.close_input()

    def _kill_group(self) -> None:
        """End all processes of the worker's group. What was started may be only its launcher, so that is not enough."""
        if self.ready is None:
            return
        with suppress(OSError):
            if self.ready.group is None:
                os.kill(self.ready.pid, signal.SIGTERM)  # Windows: this ends it, and its job object its children
            elif hasattr(os, "killpg") and self.ready.group not in (0, 1, os.getpgrp()):
                os.killpg(self.ready.group, signal.SIGKILL)

    # -- told by the transport --

    def _output(self, data: bytes) -> None:
        for line in self._splitter.feed(data):
            if self.ended:
                return
            # An exception must not cost the other lines of the same chunk.
            try:
                self._line(line)
            except Exception:
                logging.exception("SemiSeg: a line of the worker could not be handled")

    def _line(self, line: bytes) -> None:
        try:
            envelope = decode(line)
        except ValueError as error:
            self._log.say(f"damaged line ({error}): {line[:500]!r}")
            return
        if envelope is None:
            self._log.write(line[:2000] + b"\n")
            return
        self._heard = True
        if envelope.kind == READY:
            self._take_ready(envelope)
        elif self.ready is not None:
            self._on_event(envelope)

    def _take_ready(self, envelope: Envelope) -> None:
        # The version first: another one may describe itself in other words.
        version = envelope.body.get("protocol")
        if version != PROTOCOL:
            self.kill(_mismatch(version))
            return
        try:
            self.ready = build(Ready, envelope.body)
        except ValueError as error:
            self._log.say(f"damaged event: {error}")
            return
        self._on_event(envelope)

    def _errors(self, data: bytes) -> None:
        self._log.write(data)
        heard = self._errors_end + data
        self._said.update(words for words in (_LAUNCHER_SAYS, _PYTHON_SAYS) if words in heard)
        self._errors_end = heard[-len(_PYTHON_SAYS) :]

    def _ended(self, code: int | None) -> None:
        if code is not None and code > 128 and os.name != "nt":
            code = 128 - code  # a shell's way to tell the signal that ended what it launched
        if self._said == {_LAUNCHER_SAYS} and os.name != "nt":
            code = -_SIGKILL
        self._end(code, told=True)

    def _end(self, code: int | None, told: bool = False) -> None:
        if self.ended:
            return
        self._kill_group()  # children may outlive it
        self.ended = True
        if self.fault is None and not self._killed:
            self.fault = _end_fault(code, told, self.ready is not None)
        self._log.say(f"worker ended, code {code}")
        self._on_end(self)


def _end_fault(code: int | None, told: bool, was_ready: bool) -> SemiSegError:
    if code is None and told:
        return SemiSegError(
            "worker-not-started", "The process that computes could not be started",
            "Look into the log; a virus scanner or a damaged installation may prevent it", _STAGE,
        )  # fmt: skip
    if code == -_SIGKILL:
        return SemiSegError(
            "worker-killed", "The system ended the process that computes, most likely because memory ran out",
            "Close other programs, or use a smaller image or model, and try again", _STAGE,
        )  # fmt: skip
    how = _how(code)
    if not was_ready:
        return SemiSegError(
            "worker-not-started", f"The process that computes ended {how} while it started",
            "Look into the log, and install SemiSeg's packages again", _STAGE,
        )  # fmt: skip
    return SemiSegError(
        "worker-died", f"The process that computes ended {how}",
        "Try again; if it happens again, choose the device cpu, and report it with the log", _STAGE,
    )  # fmt: skip


def _how(code: int | None) -> str:
    if not code:
        return "by itself"
    if 0 < code <= 128:
        return f"with code {code}"
    # Windows has no signals, but 32 bits that are looked up in this form; Qt takes the first for a sign.
    return f"with code 0x{code & 0xFFFFFFFF:08X}" if os.name == "nt" else f"by signal {-code}"


def _mismatch(version: object) -> SemiSegError:
    return SemiSegError(
        "version-mismatch", f"The worker speaks version {version!r} of the protocol, this program {PROTOCOL}",
        "Restart the program; if that does not help, install SemiSeg again", _STAGE,
    )  # fmt: skip


def _hung() -> SemiSegError:
    return SemiSegError(
        "worker-hung", "The process that computes did not answer any more and was ended",
        "Try again; if it happens again, choose the device cpu, and report it with the log", _STAGE,
    )  # fmt: skip
