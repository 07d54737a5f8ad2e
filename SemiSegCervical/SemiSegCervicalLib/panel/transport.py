"""The worker inside Slicer: a QProcess whose signals drive the client, for Python threads starve there."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qt
import slicer

from ..worker.client import Client
from ..worker.transport import Listener

TICK_MS = 100


class QtTransport:
    """See `worker.transport.Transport`: Qt's event loop hands over what the process says."""

    def __init__(self) -> None:
        self._process: Any = None
        self._listener: Listener | None = None

    def start(self, command: Sequence[str], listener: Listener) -> None:
        """Start the process."""
        self._listener = listener
        self._process = process = qt.QProcess()
        process.connect("readyReadStandardOutput()", self._read_output)
        process.connect("readyReadStandardError()", self._read_errors)
        process.connect("finished(int,QProcess::ExitStatus)", self._finished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._error)
        process.start(command[0], list(command[1:]))

    def write(self, data: bytes) -> None:
        """Send bytes; Qt queues what the process does not take at once."""
        if self._running():
            self._process.write(bytes(data))  # a bytearray would be sent as its text

    def close_input(self) -> None:
        """Close standard input behind what is queued."""
        if self._running():
            self._process.closeWriteChannel()

    def kill(self) -> None:
        """End what was started, which may be only a launcher."""
        if self._running():
            self._process.kill()

    def poll(self, seconds: float) -> None:
        """Wait for output, for scripts that have no event loop; with 0 the signals do everything."""
        if seconds <= 0:
            return
        if self._running():
            self._process.waitForReadyRead(max(1, int(1000 * seconds)))
        else:
            time.sleep(seconds)

    def _running(self) -> bool:
        # An object that Qt has destroyed counts as false.
        return bool(self._process) and self._process.state() != qt.QProcess.NotRunning

    def _read_output(self) -> None:
        data = self._process.readAllStandardOutput().data() if self._process else b""
        if data and self._listener is not None:
            self._listener.output(data)

    def _read_errors(self) -> None:
        data = self._process.readAllStandardError().data() if self._process else b""
        if data and self._listener is not None:
            self._listener.errors(data)

    def _finished(self, code: int, status: int) -> None:
        self._read_output()
        self._read_errors()
        # After a crash Qt's code is the signal's number; Windows has codes instead of signals.
        crashed = status == qt.QProcess.CrashExit and os.name == "posix"
        self._end(-int(code) if crashed else int(code))

    def _error(self, error: int) -> None:
        if error == qt.QProcess.FailedToStart and self._listener is not None:
            self._listener.errors(f"{self._process.errorString()}\n".encode())
            self._end(None)

    def _end(self, code: int | None) -> None:
        listener, self._listener = self._listener, None
        # Not now: this runs inside a signal of the very process. What is connected to it goes with it.
        self._process.deleteLater()
        if listener is not None:
            listener.ended(code)


class SlicerClient(Client):
    """A client whose worker is a QProcess, and which a timer reminds of the time while a process is there."""

    def __init__(self, **options: Any) -> None:
        """Prepare a client; `options` are those of `Client`. Close it, or its process lives as long as Slicer."""
        options.setdefault("python", slicer_python())
        super().__init__(QtTransport, **options)
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.connect("timeout()", self._tick_safely)

    def start(self) -> None:
        """Start the process unless it is there."""
        self._timer.start()
        super().start()

    def close(self) -> None:
        """End the process and the timer; the client can be used again."""
        self._timer.stop()
        super().close()

    def dispose(self) -> None:
        """Close it for good."""
        self.close()
        self._timer.disconnect("timeout()", self._tick_safely)

    def _tick_safely(self) -> None:
        try:
            self.tick()
        except Exception:
            logging.exception("SemiSeg: the worker could not be looked after")


def slicer_python() -> str:
    """Return the interpreter of Slicer; outside the application this one."""
    found = shutil.which("PythonSlicer")
    if found:
        return found
    ending = ".exe" if sys.platform == "win32" else ""
    beside = Path(slicer.app.slicerHome) / "bin" / f"PythonSlicer{ending}"
    return str(beside) if beside.is_file() else sys.executable
