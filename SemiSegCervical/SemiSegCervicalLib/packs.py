"""Where packs and samples lie: in the source tree, installed in Slicer, in a wheel, in the user's own folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from .formats import files_in
from .pieces import Pieces, whole
from .user_folders import own_folder

ENDING = ".semiseg"
_HERE = Path(__file__).resolve()
_HASH_BYTES = 4 * 2**20


def user_folder() -> Path:
    """Return the user's own folder of models, where every newly trained pack goes. It need not exist yet.

    The environment variable ``SEMISEG_MODELS`` overrides the system's usual place for application data.
    """
    return own_folder("data", "models", "SEMISEG_MODELS")


def resource_folder(kind: str) -> Path | None:
    """Return the folder of shipped ``models`` or ``samples``; None where this installation has none.

    Slicer lays all modules out flat, with one Resources folder beside the libraries; in the source tree it is at
    the top; a wheel puts it below ``share/semiseg``.
    """
    candidates = [_HERE.parents[1] / "Resources" / kind, _HERE.parents[2] / "Resources" / kind]
    try:
        installed = metadata.distribution("semiseg").files or []
        candidates += [
            Path(str(f.locate())).resolve().parent for f in installed if f"share/semiseg/{kind}/" in f.as_posix()
        ]
    except metadata.PackageNotFoundError:
        pass
    return next((folder for folder in candidates if folder.is_dir()), None)


def find_packs() -> dict[str, Path]:
    """Return all installed packs by name (file name without ending); the user's own hide shipped ones of equal name."""
    found: dict[str, Path] = {}
    for folder in (user_folder(), resource_folder("models")):
        for path in _packs_in(folder):
            found.setdefault(path.name.removesuffix(ENDING), path)
    return dict(sorted(found.items()))


def signature(path: Path) -> str:
    """Return what tells one version of a pack from the next at once: names, sizes and times of its files.

    Empty where there is none: who loads it is told why.
    """
    try:
        files = files_in(path) if path.is_dir() else [path]
        found = [(file.name, file.stat()) for file in files]
    except OSError:
        return ""
    return "; ".join(f"{name} {about.st_size} {about.st_mtime_ns}" for name, about in found)


def fingerprint_in_pieces(path: Path) -> Pieces[str]:
    """Compute and return the SHA-256 of a pack's files, some megabytes with each step."""
    digest = hashlib.sha256()
    for file in files_in(path) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            while piece := stream.read(_HASH_BYTES):
                digest.update(piece)
                yield
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a pack's files."""
    return whole(fingerprint_in_pieces(path))


def _packs_in(folder: Path | None) -> Iterator[Path]:
    try:
        paths = files_in(folder) if folder is not None else []
    except OSError:  # there is none yet, or it belongs to somebody else
        return
    for path in paths:
        with suppress(OSError):
            if path.name.endswith(ENDING) and (path.is_file() or (path / "model.json").is_file()):
                yield path
