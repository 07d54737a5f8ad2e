"""Adding a model from a file: checked by the worker, copied into the user's folder, never over another one."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from ..atomic import move
from ..errors import SemiSegError
from ..packs import ENDING, find_packs, user_folder
from ..worker.arrays import cannot_write
from ..worker.client import Client
from ..worker.job import Job
from ..worker.protocol import Describe
from .cards import failure_of
from .slices import Slices, answer_of

_PIECE_BYTES = 4 * 2**20


class Adding:
    """Adds one model; `on_end` is told the name under which it is installed, or why it is not."""

    def __init__(self, client: Client, path: Path, on_end: Callable[[str, SemiSegError | None], None]) -> None:
        """Begin with the next turn of the event loop.

        Args:
            client: of the worker that checks the file.
            path: a file that ends in ``.semiseg``.
            on_end: called once, with a name or an error; not after `cancel`.
        """
        self._client, self._path, self._on_end = client, path, on_end
        self._name = ""
        self._job: Job | None = None
        self._slices = Slices(self._steps(), self._ended)

    @property
    def active(self) -> bool:
        """Whether it is not over yet."""
        return self._slices.active

    def cancel(self) -> None:
        """Drop it; nothing half-copied stays."""
        if self._job is not None:
            self._client.cancel(self._job)
        self._slices.cancel()

    def _steps(self) -> Generator[Any, None, None]:
        path = self._path
        if not path.name.endswith(ENDING) or not path.is_file():
            raise SemiSegError(
                "not-a-model", f"{path.name} is no file of a model", f"Choose a file that ends in {ENDING}", "loading"
            )
        self._job = job = self._client.submit(Describe((str(path),)), on_end=lambda _: self._slices.wake())
        ended = SemiSegError("cancelled", "Adding the model was cancelled", "Try again", "loading")
        answer = (yield from answer_of(job, ended)).models[0]
        self._client.release(job)
        fault = failure_of(answer)
        if fault is not None:
            raise fault
        yield from self._copy()

    def _copy(self) -> Generator[Any, None, None]:
        folder = user_folder()
        part = folder / f".{os.getpid()}{ENDING}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("rb") as source, part.open("wb") as target:
                while piece := source.read(_PIECE_BYTES):
                    target.write(piece)
                    yield
            self._name = free_name(self._path.name.removesuffix(ENDING))
            move(part, folder / (self._name + ENDING))
        except OSError as error:
            raise cannot_write(folder, error) from error
        finally:
            part.unlink(missing_ok=True)

    def _ended(self, fault: Exception | None) -> None:
        if fault is not None and not isinstance(fault, SemiSegError):
            fault = SemiSegError(
                "defect", f"The model could not be added ({type(fault).__name__}: {fault})", "Report it", "loading"
            )
        self._on_end(self._name, fault)


def free_name(wanted: str) -> str:
    """Return a name that no installed model has: a model of the user's would hide a shipped one of equal name."""
    taken = find_packs()
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}-{count}"
    return name
