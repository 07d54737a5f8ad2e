"""Trainings on disk: each in a folder of its own, which outlives the worker, Slicer, and the power of the computer.

``DATE-NAME/`` holds ``run.json`` (what was asked for, written first and never changed), ``data/`` (the training set as
it was then; there whole or not at all), ``start.semiseg`` (the model that was started from), ``settled`` (the disk
itself holds all that), ``out/`` (what the training writes), and ``progress.json``, which only says how far it was.
Where a run stands is told by what is there, so that nothing can contradict it. Who works on a run holds a lock that
the system takes from a process however it ends.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from SemiSegCervicalLib.atomic import cannot_write, make_durable, write_atomically
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.packs import ENDING
from SemiSegCervicalLib.user_folders import own_folder
from SemiSegCervicalLib.worker.folders import lock_file
from SemiSegCervicalLib.worker.validation import build, plain

from ..worker.protocol import Train

VERSION = 1
_ABOUT, _PROGRESS, _RESULT, _LOCK = "run.json", "progress.json", "result.json", "owner.lock"
_SETTLED = "settled"
_MODEL, _SUMMARY, _CHECKPOINTS = f"model{ENDING}", "summary.json", "checkpoints"
_REMOVING = ".removing-"
# A folder without an owner is being made, unless it is older than this.
_MAKING_SECONDS = 60.0
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
        return (self.folder / _RESULT).is_file()

    @property
    def summary(self) -> dict[str, Any]:
        """What the training said of itself; empty before it has."""
        return _read(self.out / _SUMMARY)

    @property
    def result(self) -> dict[str, Any]:
        """What came out: ``model`` (the path where it is installed) and ``summary``; empty before."""
        return _read(self.folder / _RESULT)

    @property
    def reached(self) -> Reached | None:
        """How far it was when that was last written down."""
        try:
            return build(Reached, _read(self.folder / _PROGRESS))
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
            os.close(handle)

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

    def start_over(self) -> None:
        """Forget what was learned; the data stay."""
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
            part.rename(self.start)
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
            os.replace(part, self.folder / _PROGRESS)

    def complete(self, model: Path) -> None:
        """Write down that the model is installed.

        Raises:
            SemiSegError: it cannot be written.
        """
        content = {"model": str(model), "summary": self.summary}
        write_atomically(self.folder / _RESULT, (json.dumps(content, indent=1) + "\n").encode())

    def slim(self) -> Iterator[None]:
        """Remove, in pieces, what an installed run needs no more; its data stay, for models can be compared on them."""
        yield from _remove(self.out / _CHECKPOINTS)
        for path in (self.model, self.start):
            yield from _remove(path)

    def discard(self) -> Iterator[None]:
        """Remove it for good, in pieces; what is left when that is interrupted, the next `Runs.tidy` removes."""
        self.release()
        gone = self.folder.with_name(f"{_REMOVING}{self.folder.name}")
        try:
            os.replace(self.folder, gone)
        except OSError:  # some system keeps open files where they are
            gone = self.folder
        yield from _remove(gone)


class Runs:
    """All runs of this user."""

    def __init__(self, root: Path | None = None) -> None:
        """Look at a folder.

        Args:
            root: where the runs lie; None for the user's own folder. ``SEMISEG_RUNS`` overrides it.
        """
        self.root = root or own_folder("data", "runs", "SEMISEG_RUNS")

    def begin(
        self,
        train: Train,
        classes: tuple[RunClass, ...],
        case_names: dict[str, str] | None = None,
        offer_stop: bool = False,
    ) -> Run:
        """Make the folder of a new run, which is ours.

        Args:
            train: what is asked for; `datalist`, `out` and `resume` do not matter.
            classes: of the new model, in value order.
            case_names: what people call the cases, by their id.
            offer_stop: offer to stop when the validation no longer improves.

        Raises:
            SemiSegError: it cannot be written.
        """
        now = time.time()
        about = About(
            VERSION, now, replace(train, datalist="", out="", resume=False), classes, case_names or {}, offer_stop
        )
        plain_name = re.sub(r"[^A-Za-z0-9]+", "-", train.name).strip("-")[:40] or "model"
        stem = f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}-{plain_name}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            folder = _make(self.root, stem)
        except OSError as error:
            raise cannot_write(self.root, error) from error
        run = Run(folder, about)
        run.hold()
        try:
            write_atomically(folder / _ABOUT, (json.dumps(plain(about), indent=1) + "\n").encode())
        except SemiSegError:
            for _ in run.discard():
                pass
            raise
        return run

    def unfinished(self) -> list[Run]:
        """Return the runs that can be gone on with and that nobody works on, the newest first."""
        return [run for run in self._all() if not run.installed and run.prepared and _free(run)]

    def latest(self) -> Run | None:
        """Return the run whose model was installed last."""
        done = [run for run in self._all() if run.installed]
        return max(done, key=lambda run: _age(run.folder / _RESULT), default=None)

    def tidy(self) -> Iterator[None]:
        """Remove, in pieces, what nobody needs: what was never begun, and all done runs but the latest."""
        yield
        if not self.root.is_dir():
            return
        for left in self.root.glob(f"{_REMOVING}*"):
            yield from _remove(left)
        latest = self.latest()
        for run in self._all():
            young = time.time() - _age(run.folder) < _MAKING_SECONDS
            needless = run != latest if run.installed else not run.prepared and not young
            if needless and _free(run):
                yield from run.discard()
            elif run == latest and _free(run):
                yield from run.slim()

    def _all(self) -> list[Run]:
        try:
            folders = [path for path in self.root.iterdir() if path.is_dir() and not path.name.startswith(".")]
        except OSError:
            return []
        runs = [Run(folder, _about(folder)) for folder in folders]
        return sorted(runs, key=lambda run: run.folder.name, reverse=True)


def _about(folder: Path) -> About | None:
    try:
        about = build(About, _read(folder / _ABOUT))
    except ValueError:
        return None
    return about if about.version == VERSION else None


def _free(run: Run) -> bool:
    """Say whether nobody works on a run."""
    if not run.hold():
        return False
    run.release()
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _make(root: Path, stem: str) -> Path:
    """Make a folder of a name that is free."""
    count = 1
    while True:
        folder = root / (stem if count == 1 else f"{stem}-{count}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            count += 1


def _remove(path: Path) -> Iterator[None]:
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
