"""All trainings of this user on disk: those that can be gone on with, and what nobody needs any more."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from SemiSegCervicalLib.atomic import cannot_write, write_atomically
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.user_folders import own_folder
from SemiSegCervicalLib.worker.validation import build, plain

from ..worker.protocol import Train
from .run_folder import ABOUT, REMOVING, RESULT, VERSION, About, Run, RunClass, read_object, remove

# A folder without an owner is being made, unless it is older than this.
_MAKING_SECONDS = 60.0


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
            write_atomically(folder / ABOUT, (json.dumps(plain(about), indent=1) + "\n").encode())
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
        return max(done, key=lambda run: _age(run.folder / RESULT), default=None)

    def tidy(self) -> Iterator[None]:
        """Remove, in pieces, what nobody needs: what was never begun, and all done runs but the latest."""
        yield
        if not self.root.is_dir():
            return
        for left in self.root.glob(f"{REMOVING}*"):
            yield from remove(left)
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
        about = build(About, read_object(folder / ABOUT))
    except ValueError:
        return None
    return about if about.version == VERSION else None


def _free(run: Run) -> bool:
    """Say whether nobody works on a run."""
    if not run.hold():
        return False
    run.release()
    return True


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
