"""Checkpoints: written whole or not at all, and read without executing anything."""

from __future__ import annotations

import io
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch

from SemiSegCervicalLib.errors import SemiSegError


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file so that a crash at any moment leaves the old or the new one.

    Raises:
        SemiSegError: the disk is full or the folder cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise SemiSegError(
            "cannot-write", f"{path} could not be written: {error.strerror}",
            "Free some space or choose another folder; the run can be resumed", "writing",
        ) from error  # fmt: skip
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a state of tensors, numbers, strings, lists and dictionaries.

    Raises:
        SemiSegError: the disk is full or the folder cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a state that `save_checkpoint` wrote.

    Raises:
        SemiSegError: there is none, or it is damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise SemiSegError(
            "nothing-to-resume", f"There is no checkpoint {path}", "Start the run without --resume", "reading"
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise SemiSegError(
            "bad-checkpoint", f"The checkpoint {path} is damaged", "Start the run again in another folder", "reading"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system lets a folder be opened (not on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
