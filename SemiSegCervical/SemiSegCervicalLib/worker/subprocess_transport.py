"""The worker as a plain child process: for scripts, tests and the command line."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from .client import Client
from .transport import Listener

_READ_BYTES = 65536


class SubprocessTransport:
    """See `transport.Transport`: threads read and write, and `poll` hands over what they found."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[tuple[Callable[[Any], None], Any]] = queue.SimpleQueue()
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], listener: Listener) -> None:
        """Start the process and its threads."""
        try:
            process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )  # fmt: skip
        except OSError as error:
            self._events.put((listener.errors, f"{error}\n".encode()))
            self._events.put((listener.ended, None))
            return
        self._process = process
        readers = [
            threading.Thread(target=self._read, args=(stream, told), daemon=True)
            for stream, told in ((process.stdout, listener.output), (process.stderr, listener.errors))
        ]
        for thread in (
            *readers,
            threading.Thread(target=self._write, daemon=True),
            threading.Thread(target=self._await, args=(readers, listener.ended), daemon=True),
        ):
            thread.start()

    def write(self, data: bytes) -> None:
        """Queue bytes; a process that does not read never keeps the caller waiting."""
        self._outgoing.put(data)

    def close_input(self) -> None:
        """Close standard input behind what is queued."""
        self._outgoing.put(None)

    def kill(self) -> None:
        """End the child."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.kill()

    def poll(self, seconds: float) -> None:
        """Hand over what the threads found; wait for something at most so long."""
        end = time.monotonic() + seconds
        first = True
        while True:
            try:
                told, what = self._events.get(block=first and seconds > 0, timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return
            first = False
            told(what)

    def _read(self, stream: Any, told: Callable[[bytes], None]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(stream.fileno(), _READ_BYTES):
                self._events.put((told, data))

    def _write(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            while (data := self._outgoing.get()) is not None:
                rest = memoryview(data)
                while rest:  # an unbuffered pipe may take a part
                    rest = rest[self._process.stdin.write(rest) :]
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()

    def _await(self, readers: Sequence[threading.Thread], told: Callable[[int | None], None]) -> None:
        assert self._process is not None
        code = self._process.wait()
        # A grandchild may hold the pipes open for as long as it likes.
        for thread in readers:
            thread.join(0.5)
        self._outgoing.put(None)
        self._events.put((told, code))


def local_client(**options: Any) -> Client:
    """Return a client whose worker runs on this Python; `options` are those of `Client`. Use it in a ``with``."""
    return Client(SubprocessTransport, python=sys.executable, **options)
