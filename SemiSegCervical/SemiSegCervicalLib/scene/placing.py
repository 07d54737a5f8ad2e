"""Files that come to their place whole or not at all, and over another one only where that is wished."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..atomic import move
from ..errors import SemiSegError
from ..pieces import Shares


def check(path: Path, suffixes: tuple[str, ...], overwrite: bool) -> None:
    """Raise where a file may not be written."""
    if not path.name.lower().endswith(suffixes):
        raise SemiSegError(
            "bad-ending",
            f'"{path.name}" does not end in {" or ".join(suffixes)}',
            "Choose such a name",
            "export",
        )
    try:
        exists, has_folder = path.exists(), path.parent.is_dir()
    except OSError as error:  # the name is too long, the folder may not be looked into, its disk is gone
        raise SemiSegError(
            "cannot-write", f'"{path}" cannot be written ({error.strerror})', "Choose another name or folder", "export"
        ) from error
    if exists and not overwrite:
        raise SemiSegError(
            "file-exists",
            f'"{path}" exists already',
            "Choose another name, or allow it to be replaced",
            "export",
        )
    if not has_folder:
        raise SemiSegError(
            "missing-folder",
            f'The folder "{path.parent}" does not exist',
            "Make it, or choose another",
            "export",
        )


def place(
    path: str | Path, suffixes: tuple[str, ...], overwrite: bool, write: Callable[[Path], Shares[None]]
) -> Shares[Path]:
    """Let a file be written into a temporary folder beside its target, then move it there.

    Raises:
        SemiSegError: another ending, the file exists, or it cannot be written.
    """
    path = Path(path)
    check(path, suffixes, overwrite)
    failed = SemiSegError(
        "cannot-write",
        f'"{path}" could not be written',
        "Check that the folder may be written to and that the disk is not full",
        "export",
    )
    folder = None
    try:
        # A folder of its own, because some writers leave scraps beside their file when the disk is full.
        folder = Path(tempfile.mkdtemp(prefix=".export-", dir=path.parent))
        yield None
        yield from write(folder / path.name)
        check(path, suffixes, overwrite)  # somebody else may have made one meanwhile
        move(folder / path.name, path)
    except OSError as error:
        raise failed from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return path
