"""Where the cases of a training lie: in memory, and what is more than that in a file that vanishes with the process."""

from __future__ import annotations

import math
import mmap
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

# A training shares the computer with Slicer and the scene. Of a file that is mapped the system keeps in memory what it
# has room for, and drops it where somebody else needs the room.
IN_MEMORY = 2 * 2**30
# The beginnings of tensors in the file: numbers of any type may lie there.
_ALIGNMENT = 64
# What a run may find from an earlier one in the folder of its checkpoints, and throws away.
_SUFFIX = ".part"


@dataclass(frozen=True)
class _Written:
    """A tensor that lies in the file."""

    start: int
    shape: tuple[int, ...]
    dtype: torch.dtype


class Storage:
    """Tensors that are put in one after another, and are all there in the end."""

    def __init__(self, folder: Path | None = None, in_memory: int = IN_MEMORY) -> None:
        """Hold nothing yet.

        Args:
            folder: for the file, made when it is needed; None for the system's own place for temporary files.
            in_memory: bytes after which further tensors go to the file.
        """
        self._folder = folder
        self._room = in_memory
        self._file: IO[bytes] | None = None
        self._end = 0
        self._full = False
        self._held: list[Tensor | _Written] = []

    def put(self, tensor: Tensor) -> None:
        """Take a tensor of the processor; where the disk is full it stays in memory."""
        if self._full or tensor.nbytes <= self._room:
            self._room -= tensor.nbytes
            self._held.append(tensor)
            return
        self._room = 0  # what comes later goes to the file as well, for the order in which it is read
        try:
            start = self._write(tensor)
        except OSError:
            self._full = True
            self._held.append(tensor)
        else:
            self._held.append(_Written(start, tuple(tensor.shape), tensor.dtype))

    def _write(self, tensor: Tensor) -> int:
        """Append a tensor to the file, and return where it begins."""
        if self._file is None:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
            # Without a name, or deleted by the system when nobody has it open any more: a run that is killed leaves
            # nothing.
            self._file = tempfile.TemporaryFile(dir=self._folder, suffix=_SUFFIX)  # noqa: SIM115
        start = math.ceil(self._end / _ALIGNMENT) * _ALIGNMENT
        self._file.write(bytes(start - self._end))
        self._file.write(tensor.contiguous().numpy().data)
        self._file.flush()  # a full disk is met here, and not when a page of the file is first looked at
        self._end = start + tensor.nbytes
        return start

    def all(self) -> tuple[Tensor, ...]:
        """Return everything in the order in which it came."""
        mapped: Any = None
        if self._end and self._file is not None:
            # Shared with the file: for a private copy systems set as much memory aside, or refuse what is larger.
            mapped = mmap.mmap(self._file.fileno(), self._end, access=mmap.ACCESS_WRITE)

        def there(held: Tensor | _Written) -> Tensor:
            if isinstance(held, Tensor):
                return held
            flat = torch.frombuffer(mapped, dtype=held.dtype, count=math.prod(held.shape), offset=held.start)
            return flat.view(held.shape)

        return tuple(map(there, self._held))
