"""How the command line speaks: progress bars for people, or one JSON event per line for programs."""

from __future__ import annotations

import json
import math
import sys
import time
from types import TracebackType
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from SemiSegCervicalLib.errors import SemiSegError


def report_error(error: SemiSegError, as_json: bool) -> None:
    """Say cause and remedy in one line on standard error, and as an event where events are asked for."""
    if as_json:
        print(json.dumps({"event": "error", **error.as_dict()}), flush=True)
    print(f"semiseg: {' '.join(str(error).split())}", file=sys.stderr)


def number(value: float | None) -> float | None:
    """Refuse what is written like a number and is none, as ``nan``, which lies within every range."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("give a number")
    return value


def clock(seconds: float) -> str:
    """Say a duration: ``45 s``, ``3:20 min``, ``1:05 h``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"


class Reporter:
    """Shows stages with done, total and time left; use it in a ``with`` statement."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"), console=self.console,
            disable=not self.console.is_terminal,  # in a log file bars would bury the lines that matter
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}
        self._said = 0.0

    def __enter__(self) -> Reporter:
        if not self.as_json:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def progress(self, stage: str, done: int, total: int, seconds_left: float, values: dict[str, float]) -> None:
        """Report where a stage stands; events are sent at most twice a second."""
        if self.as_json:
            now = time.monotonic()
            if now - self._said >= 0.5 or done in (0, total):
                self._said = now
                self.event("progress", stage=stage, done=done, total=total, seconds_left=seconds_left, values=values)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, note="")
        note = f"{clock(seconds_left)} left" if seconds_left >= 1 else ""
        self._bars.update(self._tasks[stage], completed=done, total=total, note=note)

    def event(self, name: str, **fields: Any) -> None:
        """Print an event where events are asked for."""
        if self.as_json:
            print(json.dumps({"event": name, **fields}), flush=True)

    def say(self, text: str) -> None:
        """Print a line for people."""
        if not self.as_json:
            self._bars.console.print(text, highlight=False, markup=False, soft_wrap=True)
