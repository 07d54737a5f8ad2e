"""Compiled models on disk, in the user's cache folder: whole or not there, checked when read, bounded in sum."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...atomic import move, write_atomically
from ...errors import SemiSegError
from ...user_folders import own_folder
from .base import BackendError

BLOB, FACTS = "model.blob", "facts.json"
LIMIT_BYTES = 2**30
_UNFINISHED = ".making-"
_FORGOTTEN_SECONDS = 24 * 3600


def cache_folder() -> Path:
    """Return the folder for compiled models; ``SEMISEG_CACHE`` overrides the system's usual place for caches."""
    return own_folder("cache", "compiled", "SEMISEG_CACHE")


@dataclass
class Entry:
    """One compiled model.

    Attributes:
        blob: what the compiler wrote.
        facts: what is known of it; a JSON object.
        folder: where it lies; None where nothing could be written, so that it lives in this process only.
    """

    blob: bytes
    facts: dict[str, Any]
    folder: Path | None

    def remember(self, **facts: Any) -> None:
        """Add facts, on disk too where that is possible."""
        self.facts.update(facts)
        if self.folder is not None and self.folder.is_dir():
            with suppress(SemiSegError):
                write_atomically(self.folder / FACTS, json.dumps(self.facts, indent=1).encode())


class Cache:
    """A folder of entries, each a folder named by its key."""

    def __init__(self, root: Path | None = None, limit: int = LIMIT_BYTES) -> None:
        """Name the folder (None: the user's own) and what all entries together may take, in bytes."""
        self.root = root or cache_folder()
        self.limit = limit

    def find(self, key: str) -> Entry | None:
        """Return an entry, or None where there is none or it is damaged; a damaged one is removed."""
        folder = self.root / key
        if not folder.is_dir():
            return None
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            blob = (folder / BLOB).read_bytes()
            # The compiler's reader must never see a damaged file: it may crash instead of complaining.
            sound = isinstance(facts, dict) and facts.get("sha256") == hashlib.sha256(blob).hexdigest()
        except (OSError, ValueError, RecursionError):
            sound = False
        if not sound:
            shutil.rmtree(folder, ignore_errors=True)
            return None
        with suppress(OSError):
            os.utime(folder)  # the least recently used goes first
        return Entry(blob, facts, folder)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Lend an empty folder, below the cache where that can be written; it is removed at the end.

        Raises:
            BackendError: there is none, as on a full disk.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.root))
        except OSError:
            try:
                folder = Path(tempfile.mkdtemp(prefix="semiseg-"))
            except OSError as error:
                raise BackendError(f"no folder for temporary files can be written ({error.strerror})") from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, key: str, blob: bytes, facts: dict[str, Any]) -> Entry:
        """Store an entry whole, in place of an older one; where the disk refuses, return it for this process alone."""
        facts = {**facts, "sha256": hashlib.sha256(blob).hexdigest()}
        entry = Entry(blob, facts, None)
        with suppress(OSError, SemiSegError, BackendError), self.workspace() as made:
            if made.parent == self.root:
                target = made / key
                write_atomically(target / BLOB, blob)
                write_atomically(target / FACTS, json.dumps(facts, indent=1).encode())
                shutil.rmtree(self.root / key, ignore_errors=True)
                move(target, self.root / key)
                entry.folder = self.root / key
                self.prune(key)
        return entry

    def prune(self, spared: str = "") -> None:
        """Remove what killed processes left, and the least recently used entries above the limit."""
        entries = []
        for folder in self.root.iterdir():
            with suppress(OSError):
                used = folder.stat().st_mtime
                if folder.name.startswith(_UNFINISHED):
                    if time.time() - used > _FORGOTTEN_SECONDS:
                        shutil.rmtree(folder, ignore_errors=True)
                elif (folder / FACTS).is_file():
                    entries.append((used, sum(file.stat().st_size for file in folder.iterdir()), folder))
        total = sum(size for _, size, _ in entries)
        for _, size, folder in sorted(entries):
            if total <= self.limit:
                break
            if folder.name != spared:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size
