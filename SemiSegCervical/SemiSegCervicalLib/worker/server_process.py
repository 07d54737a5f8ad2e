"""What the worker process does with itself: its group, its priority, its standard streams, its end."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from contextlib import suppress

_NICE = 10


def lead_own_group() -> int | None:
    """Leave the group of the process that started this one, so that this one and its children can be ended together.

    Returns:
        The process group; None on Windows, where a job object does it.
    """
    if sys.platform == "win32":
        from .server_windows import end_children_with_me

        end_children_with_me()
        return None
    with suppress(OSError):  # it leads a group already, made by who started it
        os.setsid()
    return os.getpgrp()


def take_standard_output() -> int:
    """Keep standard output for events alone; what libraries print there goes to standard error from now on.

    Returns:
        The file descriptor to write events to; children do not inherit it.
    """
    own = os.dup(1)
    os.dup2(2, 1)
    return own


def take_standard_input() -> int:
    """Keep standard input for messages alone; whoever else asks for it from now on finds an empty one.

    On Windows a thread that waits for a pipe's next bytes holds up everything else that looks at the same pipe. Some
    libraries look at standard input while they are loaded (SciPy's, by the run time of Fortran): importing them would
    not end before the next message comes.

    Returns:
        The file descriptor to read messages from; children do not inherit it.
    """
    own = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    if sys.platform == "win32":
        from .server_windows import publish_standard_input

        publish_standard_input()
    return own


def tell_crashes() -> None:
    """Have the log say where native code crashed."""
    with suppress(OSError, ValueError):
        faulthandler.enable()


def be_polite() -> None:
    """Lower this process's priority, so that the program that the user works with goes first."""
    if sys.platform == "win32":
        from .server_windows import lower_priority

        lower_priority()
    else:
        with suppress(OSError):
            os.nice(_NICE)


def limit_threads(spare_cores: int) -> None:
    """Leave processor cores to others. Must be called before a library that computes is imported.

    A number that the user has set by ``OMP_NUM_THREADS`` stays.
    """
    if spare_cores > 0:
        count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, count - spare_cores)))


def end_now(code: int, group: int | None) -> None:
    """End this process and its children without any last steps: libraries that hang at their end cannot delay it."""
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    if sys.platform != "win32" and group is not None and group == os.getpid() and code:
        os.killpg(group, signal.SIGKILL)
    os._exit(code)
