"""Checkpoints: written whole or not at all, and read without executing anything."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from SemiSegCervicalLib.atomic import write_atomically
from SemiSegCervicalLib.errors import SemiSegError


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
    if not path.exists():
        raise SemiSegError(
            "nothing-to-resume", f"There is no checkpoint {path}", "Start the run without --resume", "reading"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise TypeError("no dictionary")
    except Exception as error:  # what a damaged file makes the reader raise is not its contract
        raise SemiSegError(
            "bad-checkpoint",
            f"The checkpoint {path} is damaged",
            "Start the run again in another folder",
            "reading",
        ) from error
    return state
