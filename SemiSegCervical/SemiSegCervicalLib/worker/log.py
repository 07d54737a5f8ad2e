"""The log of the worker's errors: a file that the user can open, and that never grows without bound."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..packs import user_folder

LIMIT_BYTES = 1_000_000


def default_log() -> Path:
    """Return where the log lies: beside the user's models."""
    return user_folder().parent / "logs" / "worker.log"


class BoundedLog:
    """Appends to a file; when it is full, it becomes ``<name>.1`` and the one before is dropped.

    Nothing here raises: a full disk must not keep anybody from working.
    """

    def __init__(self, path: Path | None = None, limit: int = LIMIT_BYTES) -> None:
        """Name the file (None: `default_log`) and how many bytes it may hold; it is made when something is said."""
        self.path = path or default_log()
        self._limit = limit
        self._file: BinaryIO | None = None
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append bytes as they are."""
        try:
            self._open()
            if self._size and self._size + len(data) > self._limit:
                self._rotate()
            if self._file is not None:
                data = data[-self._limit :]
                self._file.write(data)
                self._size += len(data)
        except OSError:
            self.close()

    def say(self, text: str) -> None:
        """Append a line of our own, with the time."""
        self.write(f"[{time.strftime('%Y-%m-%d %H:%M:%S')}] {text}\n".encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        self._file = None

    def _open(self) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
            self._size = self._file.tell()

    def _rotate(self) -> None:
        self.close()
        try:
            os.replace(self.path, self.path.with_name(self.path.name + ".1"))
        except OSError:  # Windows, with the file open in another program
            with suppress(OSError):
                self.path.write_bytes(b"")
        self._open()
