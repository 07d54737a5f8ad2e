"""The trainer's messages to the worker, and how a client for it is set up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from SemiSegCervicalLib.worker.client import LIBRARY
from SemiSegCervicalLib.worker.protocol import Failure, Hello, Message

# Made by the loop, which knows no messages.
from ..news import News as News
from ..news import Preview as Preview
from ..news import Validated as Validated

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
    and leaves the last checkpoint. Either can be resumed with `resume`. ``finish`` ends the loop early and makes a
    model of what was learned.

    Attributes:
        datalist: path of the datalist.
        out: folder for ``model.semiseg``, ``history.csv``, ``summary.json`` and ``checkpoints/``.
        iterations: length of the run; None where `minutes` says it.
        preview: id of the case that previews show; None for a validation case, else an annotated one.
        preview_slice: which slice of a volume; None for the one with most annotation, else the middle one.
        preview_seconds: a new preview every so often, and less often where one takes long; 0 for never.
        validate_seconds: as `preview_seconds`, for measurements on the validation list.
    """

    kind: ClassVar[str] = "train"
    answer: ClassVar[type] = Trained
    chunk: ClassVar[type | None] = News
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
    preview: str | None = None
    preview_slice: int | None = None
    preview_seconds: float = 30.0
    validate_seconds: float = 60.0


@dataclass(frozen=True)
class Measured:
    """Answer to `Measure`.

    Attributes:
        seconds_per_iteration: of the method on this device with these data.
        memory_gib: the most that the steps took: of the process on a processor, of the device on another.
        device: where it will run.
        precision: of its arithmetic.
        threads: processor cores that it uses.
        size: the network's grid (3D: window).
        spacing: its voxels in mm (z, y, x); None where pictures are scaled to the size.
        parts: what will be resampled to what, in words, a sentence each.
        seconds_besides: what a run takes besides its iterations: reading, measuring, saving.
        share_besides: what calibration takes besides, as a share of the iterations' time.
    """

    seconds_per_iteration: float
    memory_gib: float | None
    device: str
    precision: str
    threads: int
    size: tuple[int, ...]
    spacing: tuple[float, ...] | None
    parts: tuple[str, ...]
    seconds_besides: float
    share_besides: float

    def iterations_in(self, minutes: float) -> int:
        """Return how many iterations fit into a time that is to hold everything, at least 1."""
        seconds = 60 * minutes - self.seconds_besides
        return max(1, int(seconds / (self.seconds_per_iteration * (1 + self.share_besides))))

    def seconds_of(self, iterations: int) -> float:
        """Return how long a run of so many iterations takes, with everything."""
        return iterations * self.seconds_per_iteration * (1 + self.share_besides) + self.seconds_besides


@dataclass(frozen=True)
class Measure(Message):
    """Do a few real steps on this device with these data, and forget them; the fields are those of `Train`."""

    kind: ClassVar[str] = "measure"
    answer: ClassVar[type] = Measured
    datalist: str
    method: str
    device: str = "auto"
    start: str | None = None
    size: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None
    branches: tuple[Part, ...] | None = None
    seed: int = 0
    calibrate: str = "auto"


@dataclass(frozen=True)
class WorstCase:
    """A case that a model segments worst of all, at its worst slice; the files are as in `Preview`.

    Attributes:
        case: its id in the datalist.
        slice: index along the first axis of a volume; None for a picture.
        dice: of the whole case, mean of its classes; None where the reference holds none and the model finds none.
        image: grey values.
        labels: class values of the datalist, as the model sees it.
        reference: class values of the annotation, 0 where nothing is known.
        uncertainty: percent.
        aspect: height of a pixel over its width.
    """

    case: str
    slice: int | None
    dice: float | None
    image: str
    labels: str
    reference: str
    uncertainty: str
    aspect: float = 1.0


@dataclass(frozen=True)
class ModelMeasure:
    """One model of `Compare`.

    Attributes:
        pack: its path.
        name: of the model; empty where it cannot be read.
        dice: of each class of the datalist, in value order, mean over cases; None where no case has it or the model
            does not know the class.
        mean: of the cases' means over the classes that the model knows.
        voxels: annotated voxels that it rests on.
        cases: annotated cases.
        worst: the worst first.
        failure: why it cannot be measured; the rest is then empty.
    """

    pack: str
    name: str = ""
    dice: tuple[float | None, ...] = ()
    mean: float | None = None
    voxels: int = 0
    cases: int = 0
    worst: tuple[WorstCase, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True)
class Compared:
    """Answer to `Compare`.

    Attributes:
        classes: the names of the datalist's, in value order.
        models: in the order of the question.
        left_out: which annotated cases a model had learned from, so that none was measured on them, in words; empty
            where there are none.
        sure: every model that was measured tells all that it has learned from.
    """

    classes: tuple[str, ...]
    models: tuple[ModelMeasure, ...]
    left_out: str = ""
    sure: bool = False


@dataclass(frozen=True)
class Compare(Message):
    """Measure models on the same annotated cases, which none of them has learned from.

    Attributes:
        packs: the models.
        datalist: path of the datalist.
        list: which of its lists.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        worst: of how many of the worst cases pictures are made.
    """

    kind: ClassVar[str] = "compare"
    answer: ClassVar[type] = Compared
    packs: tuple[str, ...]
    datalist: str
    list: str = "validation"
    device: str = "auto"
    worst: int = 3


@dataclass(frozen=True)
class Suggestion:
    """What to annotate next.

    Attributes:
        case: its id in the datalist.
        slice: index along the first axis of a volume; None for a picture.
        score: expected gain, 0 to 1.
        reasons: in plain words.
        labels: .npy in the job's folder, uint8 ``(Y, X)``: what the model draws there, as class values of the datalist.
    """

    case: str
    slice: int | None
    score: float
    reasons: tuple[str, ...]
    labels: str


@dataclass(frozen=True)
class Suggested:
    """Answer to `Suggest`, the best first."""

    items: tuple[Suggestion, ...]


@dataclass(frozen=True)
class Suggest(Message):
    """Rank what is not annotated by what a model would gain from its annotation.

    Attributes:
        pack: the model.
        datalist: path of the datalist.
        count: how many suggestions.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """

    kind: ClassVar[str] = "suggest"
    answer: ClassVar[type] = Suggested
    pack: str
    datalist: str
    count: int = 4
    device: str = "auto"


def training_hello() -> Hello:
    """Return the hello of a client that trains: for hours beside other work, so one core stays free."""
    return Hello(modules=(SERVER_MODULE,), polite=True, spare_cores=1)
