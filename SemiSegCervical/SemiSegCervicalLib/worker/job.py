"""One job of the worker as its client sees it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import SemiSegError
from .protocol import Message, Progress

# In this order; the last three are ends.
PREPARED, WAITING, SENT, RUNNING, DONE, FAILED, CANCELLED = (
    "prepared", "waiting", "sent", "running", "done", "failed", "cancelled",
)  # fmt: skip
ENDS = (DONE, FAILED, CANCELLED)


class Job:
    """Made by `Client.prepare` or `Client.submit`; read it, and let the client change it.

    Attributes:
        id: its number.
        folder: its private folder, for arrays in and out. After an end other than ``done`` it is gone.
        message: what was asked.
        state: ``prepared``, ``waiting`` (for the process), ``sent``, ``running``, ``done``, ``failed``, ``cancelled``.
        cancelling: it was cancelled, and may still end otherwise.
        progress: the last one told; None before the first.
        result: the message's answer, once done.
        error: why it failed.
        on_progress: called with the progress.
        on_chunk: called with each part of the result.
        on_end: called with the job, once, whatever the end.
    """

    def __init__(self, number: str, folder: Path) -> None:
        self.id, self.folder = number, folder
        self.message: Message | None = None
        self.state = PREPARED
        self.cancelling = False
        self.progress: Progress | None = None
        self.result: Any = None
        self.error: SemiSegError | None = None
        self.on_progress: Callable[[Progress], None] | None = None
        self.on_chunk: Callable[[Any], None] | None = None
        self.on_end: Callable[[Job], None] | None = None

    @property
    def ended(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state in ENDS

    def say(self, callback: Callable[[Any], None] | None, what: Any) -> None:
        """Call back; what that raises is the caller's fault and must not stop the client."""
        if callback is not None:
            try:
                callback(what)
            except Exception:
                logging.exception("SemiSeg: a callback failed")


class JobCancelled(Exception):  # noqa: N818  (no error: it was asked for)
    """Raised by `Client.wait` for a job that was cancelled."""
