"""Lines between client and worker: JSON behind a prefix, so that whatever else is printed is never taken for one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ..errors import SemiSegError
from .validation import build, plain

PREFIX = b"@semiseg "
# Arrays go by file: a longer line is none of ours, and must not fill the memory of who waits for its end.
LINE_LIMIT = 2**22


@dataclass(frozen=True)
class Envelope:
    """What every line holds: the kind of message or event, the job that it belongs to, and the rest."""

    kind: str
    job: str
    body: dict[str, Any]


def encode(kind: str, job: str = "", body: Any = None) -> bytes:
    """Return a line. The leading line end closes whatever half line something else may have printed before.

    Raises:
        SemiSegError: it would be longer than what the other side takes for one of ours.
    """
    content = {"kind": kind, "job": job, "body": plain(body) if body is not None else {}}
    # Pure ASCII: paths that are no valid Unicode survive as escapes.
    line = b"\n" + PREFIX + json.dumps(content, allow_nan=False).encode("ascii") + b"\n"
    if len(line) > LINE_LIMIT:
        raise SemiSegError(
            "too-long", f"A message of {len(line) / 2**20:.1f} MB is more than the process that computes can pass on",
            "Take fewer images or frames at once, or another model", "worker",
        )  # fmt: skip
    return line


def decode(line: bytes) -> Envelope | None:
    """Return what a line holds, or None where it is not of this protocol.

    Raises:
        ValueError: it has the prefix and is damaged.
    """
    if not line.startswith(PREFIX):
        return None
    try:
        return build(Envelope, json.loads(line[len(PREFIX) :].decode("utf-8")))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


class LineSplitter:
    """Puts chunks of bytes together to lines, in time linear in their length; lines over the limit are dropped."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._length = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that a chunk ends, without line ends and empty lines."""
        first, ended, rest = chunk.partition(b"\n")
        self._keep(first)
        if not ended:
            return []
        whole = b"".join(self._parts)
        *lines, tail = rest.split(b"\n")
        self._parts, self._length = [], 0
        self._keep(tail)
        return [line for raw in (whole, *lines) if (line := raw.rstrip(b"\r"))]

    def _keep(self, part: bytes) -> None:
        self._length += len(part)
        if self._length > self._limit:
            self._parts = []
        elif part:
            self._parts.append(part)
