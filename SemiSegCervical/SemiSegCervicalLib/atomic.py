"""Files, and folders of them, that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from .errors import SemiSegError

# Windows: access denied, and a sharing violation.
_HELD = (5, 32)
_HELD_SECONDS, _LOOK_SECONDS = 2.0, 0.05


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file so that a crash at any moment leaves the old or the new one.

    Raises:
        SemiSegError: the disk is full or the folder cannot be written.
    """
    # One name per target: what a killed run leaves is written over by the next one instead of piling up.
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        move(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_folder_atomically(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder that is there with all its files or not at all, however this ends.

    Args:
        folder: the folder, which must not be there, unless it is empty.
        files: content by path in it.

    Raises:
        SemiSegError: it is there, the disk is full, or the place cannot be written.
    """
    # One name per target, as above.
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        for name, data in files.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_bytes(data)
        make_durable(part)
        move(part, folder)
        _sync_folder(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def move(source: Path, target: Path) -> None:
    """Rename a file or folder, in place of an older one if there is one.

    On Windows neither may be open in another program, and virus scanners and search open whatever is new for a moment:
    so it is tried for two seconds.

    Raises:
        OSError: it cannot be done.
    """
    end = time.monotonic() + _HELD_SECONDS
    while True:
        try:
            return os.replace(source, target)
        except OSError as error:
            if getattr(error, "winerror", None) not in _HELD or time.monotonic() > end:
                raise
        time.sleep(_LOOK_SECONDS)


def cannot_write(path: Path, error: Exception) -> SemiSegError:
    """Return the error for a file that could not be written."""
    return SemiSegError(
        "cannot-write", f"{path} could not be written: {reason(error)}",
        "Free some space or choose another folder; a training run can be resumed", "writing",
    )  # fmt: skip


def reason(error: Exception) -> str:
    """Return what an error of a file or a decoder says, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return (text.strip().splitlines() or [type(error).__name__])[-1].strip()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where system and file system can: Windows and many network folders cannot."""
    if os.name == "nt":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_durable(folder: Path) -> None:
    """Have the disk hold every file below a folder, and their names; returns when it does, which may take seconds.

    What cannot be opened is left out: it is no less durable than before.
    """
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                handle = os.open(Path(place) / name, os.O_RDWR)  # Windows flushes no file that is only read
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
        _sync_folder(Path(place))
    _sync_folder(folder.parent)
