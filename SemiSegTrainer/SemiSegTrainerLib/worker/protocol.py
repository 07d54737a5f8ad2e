"""The trainer's message to the worker, and how a client for it is set up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from SemiSegCervicalLib.worker.client import LIBRARY
from SemiSegCervicalLib.worker.protocol import Hello, Message

SERVER_MODULE = "SemiSegTrainerLib.worker.server_train"
# In Slicer both are the one folder of all modules.
LIBRARIES = tuple(dict.fromkeys((LIBRARY, Path(__file__).resolve().parents[2])))


@dataclass(frozen=True)
class Part:
    """One branch of a new model: its architecture and arguments."""

    architecture: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """Answer to `Train`.

    Attributes:
        finished: False for a run that was told to stop: it is saved and can be resumed, but is no model yet.
        model: the pack; None unless finished.
        summary: the content of ``summary.json``.
    """

    finished: bool
    model: str | None
    summary: dict[str, Any]


@dataclass(frozen=True)
class Train(Message):
    """Train a model from a datalist; the fields are those of `learning.preparation.RunOptions` and `Settings`.

    Progress carries the last values of the loss terms. ``stop`` saves the run where it is; ``cancel`` ends it at once
    and leaves the last checkpoint. Either can be resumed with `resume`.

    Attributes:
        datalist: path of the datalist.
        out: folder for ``model.semiseg``, ``history.csv``, ``summary.json`` and ``checkpoints/``.
        iterations: length of the run; None where `minutes` says it.
    """

    kind: ClassVar[str] = "train"
    answer: ClassVar[type] = Trained
    datalist: str
    out: str
    method: str
    iterations: int | None = None
    minutes: float | None = None
    seed: int = 0
    device: str = "auto"
    name: str = "model"
    start: str | None = None
    size: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None
    branches: tuple[Part, ...] | None = None
    without: tuple[str, ...] = ()
    unlabelled_view: str | None = None
    calibrate: str = "auto"
    resume: bool = False


def training_hello() -> Hello:
    """Return the hello of a client that trains: for hours beside other work, so one core stays free."""
    return Hello(modules=(SERVER_MODULE,), polite=True, spare_cores=1)
