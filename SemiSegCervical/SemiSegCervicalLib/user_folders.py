"""Where the system wants a program's own files in the user's home."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

_APPLE = {"data": "Application Support", "cache": "Caches"}
_FREEDESKTOP = {"data": ("XDG_DATA_HOME", Path(".local", "share")), "cache": ("XDG_CACHE_HOME", Path(".cache"))}


def own_folder(kind: Literal["data", "cache"], name: str, variable: str) -> Path:
    """Return a folder of ours in the user's home. It need not exist yet.

    Args:
        kind: ``data`` is kept, a ``cache`` may be deleted by anyone.
        name: of the folder within ours.
        variable: of the environment; what it holds is returned instead.
    """
    if chosen := os.environ.get(variable):
        return Path(chosen)
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / _APPLE[kind]
    else:
        usual, otherwise = _FREEDESKTOP[kind]
        base = Path(os.environ.get(usual) or home / otherwise)
    return base / "SemiSeg" / name
