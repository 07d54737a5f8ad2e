"""Arrays as .npy files: written piece by piece, so that no call takes long, and read in place."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..errors import SemiSegError

# Full, over one's quota, a file larger than the disk's format takes; and Windows' ERROR_DISK_FULL.
_FULL = errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG
_WINDOWS_FULL = 112


class ArrayWriter:
    """Writes an array of known shape, as many slices at a time as the caller likes; use it in a ``with`` statement.

    An array that does not become whole leaves no file. Nothing is mapped into memory here: on a full disk that would
    end the process instead of raising.
    """

    def __init__(self, path: Path, shape: Sequence[int], dtype: Any) -> None:
        """Create the file.

        Args:
            path: ends with ``.npy``.
            shape: of the whole array, the first axis being that of the slices.
            dtype: of its elements.

        Raises:
            SemiSegError: it cannot be written.
        """
        self.path, self.shape, self.dtype = Path(path), tuple(map(int, shape)), np.dtype(dtype)
        self._left = int(np.prod(self.shape)) * self.dtype.itemsize
        descr = np.lib.format.dtype_to_descr(self.dtype)
        try:
            self._file = self.path.open("wb")
            header = {"descr": descr, "fortran_order": False, "shape": self.shape}
            np.lib.format.write_array_header_1_0(self._file, header)
        except OSError as error:
            raise self._fault(error) from error

    def write(self, part: np.ndarray) -> None:
        """Append slices ``(n, *rest)`` or one slice ``(*rest)``.

        Raises:
            SemiSegError: the disk is full.
        """
        data = np.ascontiguousarray(part, dtype=self.dtype)
        if data.shape[data.ndim - len(self.shape) + 1 :] != self.shape[1:] or data.nbytes > self._left:
            raise ValueError(f"a part of shape {data.shape} does not fit into {self.shape}")
        try:
            self._file.write(data.data.cast("B"))
        except OSError as error:
            self.discard()
            raise self._fault(error) from error
        self._left -= data.nbytes

    def close(self) -> None:
        """Close the file; one that is not whole is removed.

        Raises:
            SemiSegError: the disk is full.
        """
        try:
            self._file.close()
        except OSError as error:
            self.discard()
            raise self._fault(error) from error
        if self._left:
            self.discard()

    def discard(self) -> None:
        """Close and remove the file."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.path.unlink()

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def _fault(self, error: OSError) -> SemiSegError:
        return cannot_write(self.path.parent, error)


def write_array(path: Path, array: np.ndarray) -> Path:
    """Write a whole array; see `ArrayWriter`."""
    with ArrayWriter(path, array.shape, array.dtype) as writer:
        writer.write(array)
    return path


def read_array(path: str | Path) -> np.ndarray:
    """Open an array where it lies; it is read as far as it is looked at.

    Raises:
        SemiSegError: missing or damaged.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SemiSegError(
            "bad-array", f"The array {path} cannot be read", "Try again; if it happens again, report it with the log",
            "reading",
        ) from error  # fmt: skip


def take_array(path: str | Path) -> np.ndarray:
    """Read an array into memory and remove its file.

    Raises:
        SemiSegError: missing or damaged.
    """
    array = np.array(read_array(path))
    with suppress(OSError):
        os.unlink(path)
    return array


def cannot_write(folder: Path, error: OSError) -> SemiSegError:
    """Return the error for a folder in which writing failed."""
    if error.errno in _FULL or getattr(error, "winerror", None) == _WINDOWS_FULL:
        return SemiSegError(
            "disk-full", f"The disk of the folder {folder} has no room for more",
            "Free some space, or choose another folder for temporary files", "writing",
        )  # fmt: skip
    return SemiSegError(
        "cannot-write", f"{folder} cannot be written: {error.strerror or error}",
        "Choose another folder for temporary files", "writing",
    )  # fmt: skip
