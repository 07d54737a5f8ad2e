"""What the demo says while it runs: the stage, how far it is, and how long the whole still takes."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from SemiSegTrainerLib.cli.reporting import clock

_LINE_EVERY = 15.0


class Show:
    """Stages of known order and expected length; a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, stages: dict[str, float]) -> None:
        """Take the stages.

        Args:
            stages: title to expected seconds, in order.
        """
        self.console = Console()
        self.spent: dict[str, float] = {}
        self._expected = dict(stages)
        self._titles = list(stages)
        self._stage = ""
        self._began = time.monotonic()
        self._said = 0.0
        self._bars = Progress(
            TextColumn("[bold]{task.description:<44}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[left]}"), console=self.console,
            disable=not self.console.is_terminal,
        )  # fmt: skip
        self._task = self._bars.add_task("", total=1.0, left="")

    def __enter__(self) -> Show:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_stage()
        if kind is None:
            self._bars.update(self._task, completed=1.0, left="")
        self._bars.stop()

    def stage(self, title: str) -> None:
        """Begin the next stage."""
        self._end_stage()
        self._stage, self._began = title, time.monotonic()
        self._said = 0.0
        self.update(0, 1)

    def update(self, done: int, total: int, seconds_left: float | None = None, note: str = "") -> None:
        """Say how far the stage is.

        Args:
            done: steps done.
            total: of so many.
            seconds_left: of the stage; by default from its expected length.
            note: the newest figure, shown after the title.
        """
        now = time.monotonic()
        share = done / max(1, total)
        left = seconds_left or self._expected[self._stage] * (1 - share)
        left += sum(self._expected[title] for title in self._titles[self._titles.index(self._stage) + 1 :])
        passed = sum(self.spent.values()) + now - self._began
        text = f"about {clock(left)} left"
        title = f"{self._stage} {note}".strip()
        self._bars.update(self._task, description=title, completed=passed / (passed + left), left=text)
        if not self.console.is_terminal and now - self._said >= _LINE_EVERY:
            self._said = now
            count = f", {done} of {total}" if total > 1 else ""
            self.say(f"[{clock(passed)}] {title}{count}, {text}")

    def expect(self, title: str, seconds: float) -> None:
        """Correct the expected length of a stage that is still to come."""
        self._expected[title] = seconds

    def say(self, text: str = "") -> None:
        """Print a line."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _end_stage(self) -> None:
        if self._stage:
            self.spent[self._stage] = time.monotonic() - self._began
            self._stage = ""
