"""Lay both modules out as an installed Slicer has them: one flat folder, made from the CMake lists alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from house.lists import RESOURCES, SCRIPTS, listed
from house.trees import MODULES, ROOT

# The folders of the repository's own Resources that the top-level CMakeLists puts beside the modules.
SHARED_RESOURCES = ("models", "samples")


def lay_out(destination: Path, root: Path = ROOT) -> None:
    """Copy what the lists name, and the shared resources, into a folder as ``qt-scripted-modules`` is.

    Raises:
        ValueError: two sources claim one place; in Slicer's folder one would silently replace the other.
        FileNotFoundError: a list names a file that does not exist.
    """
    for module in MODULES:
        text = (root / module / "CMakeLists.txt").read_text(encoding="utf-8")
        for entry in listed(text, SCRIPTS, module) + listed(text, RESOURCES, module):
            _copy(root / module / entry, destination / entry)
    for name in SHARED_RESOURCES:
        for source in sorted((root / "Resources" / name).rglob("*")):
            if source.is_file():
                _copy(source, destination / source.relative_to(root))


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        raise ValueError(f"{source} and another file both install to {target.name} in {target.parent}")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
