"""A training on disk, in a folder of its own, which outlives the worker, Slicer, and the power of the computer.

``DATE-NAME/`` holds ``run.json`` (what was asked for, written first and never changed), ``data/`` (the training set as
it was then; there whole or not at all), ``start.semiseg`` (the model that was started from), ``settled`` (the disk
itself holds all that), ``out/`` (what the training writes), and ``progress.json``, which only says how far it was.
Where a run stands is told by what is there, so that nothing can contradict it. Who works on a run holds a lock that
the system takes from a process however it ends.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from SemiSegCervicalLib.atomic import cannot_write, make_durable, move, write_atomically
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.packs import ENDING
from SemiSegCervicalLib.worker.folders import lock_file, unlock_file
from SemiSegCervicalLib.worker.validation import build, plain

from ..worker.protocol import Train

VERSION = 1
ABOUT, _PROGRESS, RESULT, _LOCK = "run.json", "progress.json", "result.json", "owner.lock"
_SETTLED = "settled"
_MODEL, _SUMMARY, _CHECKPOINTS = f"model{ENDING}", "summary.json", "checkpoints"
REMOVING = ".removing-"
_PIECE_BYTES = 4 * 2**20


@dataclass(frozen=True)
class RunClass:
    """A class as it is drawn: red, green and blue from 0 to 1."""

    name: str
    color: tuple[float, ...]


@dataclass(frozen=True)
class About:
    """What was asked for.

    Attributes:
        version: of this file.
        created: seconds since the epoch.
        train: the message to the worker; `datalist`, `out` and `resume` are filled in when it is sent.
        classes: of the new model, in value order.
        case_names: what people call the cases, by their id.
        offer_stop: offer to stop when the validation no longer improves.
    """

    version: int
    created: float
    train: Train
    classes: tuple[RunClass, ...]
    case_names: dict[str, str]
    offer_stop: bool


@dataclass(frozen=True)
class Reached:
    """How far a run was when that was last written down."""

    iteration: int
    iterations: int
    seconds: float


class Run:
    """One training on disk.

    Attributes:
        folder: where everything of it lies.
        about: what was asked for; None where another version of SemiSeg wrote it, or it is damaged.
    """

    def __init__(self, folder: Path, about: About | None) -> None:
        self.folder, self.about = folder, about
        self._lock: int | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.folder == self.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    # -- what is there --

    @property
    def name(self) -> str:
        """Of the model that it makes."""
        return self.about.train.name if self.about is not None else self.folder.name

    @property
    def data(self) -> Path:
        """Folder of the training set."""
        return self.folder / "data"

    @property
    def datalist(self) -> Path:
        """The training set's list."""
        return self.data / "datalist.json"

    @property
    def out(self) -> Path:
        """Folder of what the training writes."""
        return self.folder / "out"

    @property
    def model(self) -> Path:
        """The trained pack."""
        return self.out / _MODEL

    @property
    def start(self) -> Path:
        """The model that was started from."""
        return self.folder / f"start{ENDING}"

    @property
    def prepared(self) -> bool:
        """Whether it can go on without the scene: its data are there, and on the disk itself."""
        return (self.folder / _SETTLED).is_file()

    @property
    def saved(self) -> bool:
        """Whether something was learned that is kept."""
        folder = self.out / _CHECKPOINTS
        return folder.is_dir() and any(folder.glob("*.ckpt"))

    @property
    def trained(self) -> bool:
        """Whether the model is made; it may not be installed yet."""
        return self.model.exists() and (self.out / _SUMMARY).is_file() and bool(self.summary.get("finished"))

    @property
    def installed(self) -> bool:
        """Whether everything is done."""
        return (self.folder / RESULT).is_file()

    @property
    def summary(self) -> dict[str, Any]:
        """What the training said of itself; empty before it has."""
        return read_object(self.out / _SUMMARY)

    @property
    def result(self) -> dict[str, Any]:
        """What came out: ``model`` (the path where it is installed) and ``summary``; empty before."""
        return read_object(self.folder / RESULT)

    @property
    def reached(self) -> Reached | None:
        """How far it was when that was last written down."""
        try:
            return build(Reached, read_object(self.folder / _PROGRESS))
        except ValueError:
            return None

    # -- the owner --

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return self._lock is not None

    def hold(self) -> bool:
        """Take it, and say whether that was possible: another Slicer, or this one, may be working on it."""
        if self._lock is None:
            with suppress(OSError):
                self._lock = lock_file(self.folder / _LOCK, create=True)
        return self.held

    def release(self) -> None:
        """Let others have it."""
        handle, self._lock = self._lock, None
        if handle is not None:
            unlock_file(handle)

    # -- working on it --

    def message(self) -> Train:
        """Return what the worker is told: to begin, or to go on with what is saved.

        Raises:
            SemiSegError: another version of SemiSeg wrote the run.
        """
        if self.about is None:
            raise SemiSegError(
                "unknown-run", f"The training in {self.folder} was begun by another version of SemiSeg",
                "Discard it and start again", "reading",
            )  # fmt: skip
        if not self.saved:  # what a run that never saved anything left there would be in the way
            shutil.rmtree(self.out, ignore_errors=True)
        start = str(self.start) if self.about.train.start is not None else None
        return replace(self.about.train, datalist=str(self.datalist), out=str(self.out), start=start, resume=self.saved)

    def calibration_states(self, said: str) -> list[Path]:
        """Return the states that a text names of those that were saved after the training, while it was calibrated."""
        return [path for path in (self.out / _CHECKPOINTS).glob("*/*.ckpt") if str(path) in said]

    def start_over(self, damaged: str = "") -> None:
        """Forget what was learned; the data stay.

        Args:
            damaged: what was said of a saved state that cannot be read. Where it names one of the calibration, that one
                alone is forgotten.
        """
        later = self.calibration_states(damaged)
        for path in later:
            path.unlink()
        if not later:
            shutil.rmtree(self.out, ignore_errors=True)

    def copy_start(self) -> Iterator[None]:
        """Copy the model that is started from, in pieces: the user may train, replace or remove it meanwhile.

        Raises:
            SemiSegError: it is not there any more, or cannot be copied.
        """
        wanted = self.about.train.start if self.about is not None else None
        if wanted is None or self.start.exists():
            return
        source, part = Path(wanted), self.folder / f".start{ENDING}.part"
        if not source.exists():
            raise SemiSegError(
                "missing-file", f"The model {source} is not there any more", "Choose another model to start from",
                "reading",
            )  # fmt: skip
        files = [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]
        try:
            for file in files:
                target = part / file.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                with file.open("rb") as reading, target.open("wb") as writing:
                    while piece := reading.read(_PIECE_BYTES):
                        writing.write(piece)
                        yield
            move(part, self.start)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def settle(self) -> Iterator[None]:
        """Have the disk really hold everything that was written, so that it can be gone on with after a power cut.

        The disk may take seconds, so a thread waits for it; the steps only look whether it is done.

        Raises:
            SemiSegError: the disk is full.
        """
        faults: list[SemiSegError] = []

        def settle() -> None:
            make_durable(self.folder)
            try:
                write_atomically(self.folder / _SETTLED, b"")
            except SemiSegError as error:
                faults.append(error)

        thread = threading.Thread(target=settle, daemon=True)
        thread.start()
        while thread.is_alive():
            time.sleep(0.002)  # else the thread would get no turn
            yield
        if faults:
            raise faults[0]

    def note(self, reached: Reached) -> None:
        """Write down how far it is; that it cannot be written is no fault."""
        part = self.folder / f".{_PROGRESS}.part"
        with suppress(OSError):
            part.write_text(json.dumps(plain(reached)), encoding="utf-8")
            move(part, self.folder / _PROGRESS)

    def complete(self, model: Path) -> None:
        """Write down that the model is installed.

        Raises:
            SemiSegError: it cannot be written.
        """
        content = {"model": str(model), "summary": self.summary}
        write_atomically(self.folder / RESULT, (json.dumps(content, indent=1) + "\n").encode())

    def slim(self) -> Iterator[None]:
        """Remove, in pieces, what an installed run needs no more; its data stay, for models can be compared on them."""
        yield from remove(self.out / _CHECKPOINTS)
        for path in (self.model, self.start):
            yield from remove(path)

    def discard(self) -> Iterator[None]:
        """Remove it for good, in pieces; what is left when that is interrupted, the next `Runs.tidy` removes."""
        self.release()
        gone = self.folder.with_name(f"{REMOVING}{self.folder.name}")
        try:
            move(self.folder, gone)
        except OSError:  # some system keeps open files where they are
            gone = self.folder
        yield from remove(gone)


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; an empty one where there is none, or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def remove(path: Path) -> Iterator[None]:
    """Remove a file or a folder, a file at a time; what cannot be removed stays for the next time."""
    if path.is_dir() and not path.is_symlink():
        for place, _, files in os.walk(path, topdown=False):
            for name in files:
                with suppress(OSError):
                    (Path(place) / name).unlink()
                yield
            with suppress(OSError):
                Path(place).rmdir()
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        yield
