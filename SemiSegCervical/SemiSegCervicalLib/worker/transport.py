"""What a client needs of a process, whoever started it: QProcess inside Slicer, subprocess outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Listener:
    """What a transport tells; always in the thread that drives the client, and nothing after `ended`.

    Attributes:
        output: bytes of standard output, in any pieces.
        errors: bytes of standard error.
        ended: the process is gone; with its exit code, ``-n`` for signal n, or None where it could not be started.
    """

    output: Callable[[bytes], None]
    errors: Callable[[bytes], None]
    ended: Callable[[int | None], None]


class Transport(Protocol):
    """One process; a new one needs a new transport. No method but `poll` ever waits."""

    def start(self, command: Sequence[str], listener: Listener) -> None:
        """Start the process. Failing to is told by ``listener.ended(None)``, at once or later."""
        ...

    def write(self, data: bytes) -> None:
        """Send bytes to its standard input; to a process that is gone they are dropped."""
        ...

    def close_input(self) -> None:
        """Close its standard input, which tells a worker to end."""
        ...

    def kill(self) -> None:
        """End the process that was started; it may be only a launcher, so the client ends the worker's group too."""
        ...

    def poll(self, seconds: float) -> None:
        """Let what came in reach the listener; if there is nothing, wait for it, at most so long.

        With 0 it never waits. A transport that is driven by an event loop of its own has nothing to do then.
        """
        ...
