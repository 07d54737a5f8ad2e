"""Private folders for what client and worker exchange: seen by their user alone, and gone when their owner is.

Their owner is the process that made them. It holds a lock on a file within, which the system takes from it however it
ends; process ids are reused and mean nothing in another container.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from ..errors import SemiSegError
from .arrays import cannot_write

PREFIX = "semiseg-worker-"
_LOCK = "owner.lock"
_HELD = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
# A folder without a lock file is being made, unless it is older than this.
_MAKING_SECONDS = 60.0
_ATTEMPTS = 10


class PrivateFolder:
    """A folder of mode 0700 that this process owns."""

    def __init__(self, root: Path | None = None) -> None:
        """Create it, after removing what dead owners left beside it.

        Args:
            root: where; None for the system's folder for temporary files.

        Raises:
            SemiSegError: it cannot be written.
        """
        try:
            root = Path(root or tempfile.gettempdir())
        except OSError as error:  # Python has tried them all, as on a full disk
            raise SemiSegError(
                "cannot-write", "None of the system's folders for temporary files can be written",
                "Free some space on the disk, and try again", "writing",
            ) from error  # fmt: skip
        sweep(root)
        for _ in range(_ATTEMPTS):
            try:
                self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
                handle = lock_file(self.path / _LOCK, create=True)
            except OSError as error:
                raise cannot_write(root, error) from error
            if handle is not None:
                self._handle: int | None = handle
                return
            remove_tree(self.path)  # another client swept it in this very moment
        raise SemiSegError(
            "cannot-write", f"Files in {root} cannot be locked", "Choose another folder for temporary files", "writing"
        )

    def ensure(self) -> None:
        """Make it again where it or the lock within is gone: systems remove temporary files that nobody used for days.

        Raises:
            SemiSegError: it cannot be written.
        """
        lock = self.path / _LOCK
        if lock.exists():
            return
        try:
            try:
                self.path.mkdir(mode=0o700)
            except FileExistsError:
                found = self.path.lstat()
                if not stat.S_ISDIR(found.st_mode) or not _is_private(found):
                    raise
            handle = lock_file(lock, create=True)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        if handle is not None:
            if self._handle is not None:
                os.close(self._handle)
            self._handle = handle

    def remove(self) -> None:
        """Remove it with everything in it."""
        if self._handle is not None:
            unlock_file(self._handle)
            self._handle = None
        remove_tree(self.path)


def remove_if_orphaned(folder: Path, patience: float = 0.0) -> bool:
    """Remove a private folder whose owner is dead.

    Args:
        folder: the folder.
        patience: seconds to wait for the owner's end; a dying process gives up its files one by one.

    Returns:
        Whether the folder is gone.
    """
    end = time.monotonic() + patience
    while (handle := lock_file(folder / _LOCK)) is None:
        if time.monotonic() >= end or not folder.exists():
            return not folder.exists()
        time.sleep(0.02)
    try:
        if sys.platform != "win32":  # Windows removes no open file; there the lock is given up first
            remove_tree(folder)
    finally:
        os.close(handle)
    remove_tree(folder)
    return not folder.exists()


def sweep(root: Path) -> None:
    """Remove the private folders of this user whose owners are dead; what cannot be removed is left alone."""
    with suppress(OSError):
        for entry in os.scandir(root):
            with suppress(OSError):
                if not entry.name.startswith(PREFIX) or not entry.is_dir(follow_symlinks=False):
                    continue
                found = entry.stat(follow_symlinks=False)
                if not _is_private(found):
                    continue
                path = Path(entry.path)
                if (path / _LOCK).exists():
                    remove_if_orphaned(path)
                elif time.time() - found.st_mtime > _MAKING_SECONDS:
                    remove_tree(path)


def _is_private(found: os.stat_result) -> bool:
    """In a folder that all may write, others may lay out anything under our names."""
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) == 0o700)


def remove_tree(folder: Path) -> None:
    """Remove a folder; files that another process still holds open on Windows are left for the next sweep."""
    shutil.rmtree(folder, ignore_errors=True)


def lock_file(path: Path, create: bool = False) -> int | None:
    """Open and lock a file; return its handle, or None where another process holds it or it does not exist.

    Some network drives know no locks. A file that is made there is taken for locked, and stays for good.
    """
    try:
        handle = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    except FileNotFoundError:
        return None
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if create and error.errno not in _HELD:
            return handle
        os.close(handle)
        return None
    try:
        if os.path.samestat(os.fstat(handle), os.stat(path)):
            return handle
    except OSError:
        pass  # it was removed between the two steps
    os.close(handle)
    return None


def unlock_file(handle: int) -> None:
    """Give a lock up and close its file.

    Closing alone would not do: a process that is just being started holds a copy of every open file for a moment, and
    with it the lock.
    """
    with suppress(OSError):
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)
