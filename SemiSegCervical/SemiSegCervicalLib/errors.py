"""The one kind of error that is meant for the user's eyes, and what is told of others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SemiSegError(Exception):
    """Something the user can put right: what happened, and what to do about it.

    Every layer raises it for faults of input, files, devices and settings. The command line prints cause and
    remedy in one line and exits with status 2; a panel shows them; anything else that is raised is a defect.
    """

    def __init__(self, code: str, cause: str, remedy: str, stage: str = "") -> None:
        """Describe the fault.

        Args:
            code: stable, lower case, for programs and tests: ``"missing-file"``.
            cause: one sentence without its full stop: what is wrong, naming the file or value.
            remedy: one sentence without its full stop: what the user can do.
            stage: the part of the job in which it happened: ``"reading"``, ``"training"``.
        """
        super().__init__(f"{cause}. {remedy}.")
        self.code = code
        self.cause = cause
        self.remedy = remedy
        self.stage = stage

    def as_dict(self) -> dict[str, str]:
        """Return the fields as the worker's and ``--json``'s error event carries them."""
        return {"code": self.code, "stage": self.stage, "cause": self.cause, "remedy": self.remedy}


def first_line(error: BaseException) -> str:
    """Return the first line of what an error of a library says, which may be long; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].strip()[:300] if lines else type(error).__name__


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name before the cause of an error that arises within and does not know it."""
    try:
        yield
    except SemiSegError as error:
        if str(path) in error.cause:
            raise
        raise SemiSegError(error.code, f"{path}: {error.cause}", error.remedy, error.stage) from error
