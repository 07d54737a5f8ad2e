"""Scenes on disk, read beside the open one: their images are cases too, and nothing of them is shown."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Collection, Hashable
from contextlib import suppress
from pathlib import Path
from typing import Any

import slicer
from SemiSegCervicalLib.errors import SemiSegError

from .disk import file_stamp

ENDINGS = (".mrb", ".mrml")
_READ: dict[Hashable, Any] = {}


def read_scene(path: Path) -> Any:
    """Read a saved scene into one of its own; it is kept until the file changes or `keep_only` drops it.

    This is done in one piece and takes as long as opening the scene.

    Args:
        path: an ``.mrb`` or ``.mrml`` file.

    Returns:
        ``vtkMRMLScene``, its nodes independent of those of the open one.

    Raises:
        SemiSegError: it is missing, or cannot be read.
    """
    stamp = file_stamp(path)
    known = _READ.get(stamp)
    if known is not None:
        return known
    # Slicer unpacks bundles by way of the working directory, and leaves it changed where it cannot.
    if path.suffix.lower() == ".mrb" and not zipfile.is_zipfile(path):
        raise _unreadable(path)
    opened = slicer.mrmlScene
    scene = slicer.vtkMRMLScene()
    opened.CopyRegisteredNodesToScene(scene)
    scene.SetCacheManager(opened.GetCacheManager())
    scene.SetDataIOManager(opened.GetDataIOManager())
    scene.SetURL(str(path))
    directory = os.getcwd()
    try:
        done = scene.ReadFromMRB(str(path), True) if path.suffix.lower() == ".mrb" else scene.Connect()
    finally:
        os.chdir(directory)
    if not done:
        raise _unreadable(path)
    _READ[stamp] = scene
    return scene


def keep_only(paths: Collection[Path]) -> None:
    """Let go of all scenes but those of these files: a scene takes as much memory as its images."""
    wanted = set()
    for path in paths:
        with suppress(SemiSegError):
            wanted.add(file_stamp(path))
    for stamp in set(_READ) - wanted:
        del _READ[stamp]


def _unreadable(path: Path) -> SemiSegError:
    return SemiSegError("unreadable", f'The scene "{path}" cannot be read', "Open it and save it anew", "reading")
