"""What client and worker say to each other. Arrays never travel in a message, but as .npy files beside it.

A `Message` begins a job and is answered by ``started``, any number of ``progress`` and ``chunk``, and one of
``result``, ``failure`` and ``cancelled``. The controls ``cancel``, ``stop``, ``finish`` and ``shutdown`` have no answer
of their own. Before all the worker says ``ready``, and every few seconds ``alive``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from ..figures import FrameFigures, SegmentFigures

# Raised whenever a message or event changes: an updated extension may meet a client that still runs.
PROTOCOL = 4

READY, ALIVE, STARTED, PROGRESS, CHUNK = "ready", "alive", "started", "progress", "chunk"
RESULT, FAILURE, CANCELLED = "result", "failure", "cancelled"
CANCEL, STOP, FINISH, SHUTDOWN = "cancel", "stop", "finish", "shutdown"
HELLO_JOB = "0"
MODEL_CHANGED = "model-changed"
"""Code of the error that another version of a model is there than the one that was meant."""

# -- events --


@dataclass(frozen=True)
class Ready:
    """The process is there; nothing heavy is imported yet.

    Attributes:
        protocol: version that it speaks.
        pid: its own, whatever launched it.
        group: process group to end; None on Windows, where a job object ends the children.
    """

    protocol: int
    pid: int
    group: int | None


@dataclass(frozen=True)
class Alive:
    """Said every few seconds by a thread of its own, with the seconds of processor time used so far."""

    cpu: float


@dataclass(frozen=True)
class Progress:
    """Where a job stands; `seconds_left` is None while it cannot be told."""

    stage: str
    done: int
    total: int
    seconds_left: float | None = None
    values: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why a job failed, as a `SemiSegError` holds it; with `restart` the process must be replaced."""

    code: str
    stage: str
    cause: str
    remedy: str
    restart: bool = False


# -- what is told of devices, models and results --


@dataclass(frozen=True)
class Device:
    """One device after its test: it `works` if a kernel gave what the processor gives, or `reason` says why not."""

    name: str
    label: str
    works: bool
    reason: str = ""
    memory_gib: float | None = None


@dataclass(frozen=True)
class Welcome:
    """Answer to `Hello`."""

    python: str
    versions: dict[str, str | None]
    devices: tuple[Device, ...]
    threads: int

    @property
    def device(self) -> str:
        """What ``auto`` means here: the first device that works."""
        return next(device.name for device in self.devices if device.works)

    @property
    def cards(self) -> tuple[Device, ...]:
        """The graphics cards, whether they work or not."""
        return tuple(device for device in self.devices if device.name != "cpu")

    @property
    def working_cards(self) -> tuple[Device, ...]:
        """The graphics cards that work."""
        return tuple(device for device in self.cards if device.works)


@dataclass(frozen=True)
class SegmentClass:
    """One class of a model."""

    value: int
    name: str
    color: tuple[float, ...]
    terminology: str


@dataclass(frozen=True)
class QualityFigure:
    """One measured figure of a model."""

    metric: str
    value: float
    data: str
    cases: int


@dataclass(frozen=True)
class ModelCard:
    """What a pack says of itself; where it cannot be read, `failure` says why and the rest is empty.

    Attributes:
        reads: for each branch the modalities (indices) that it needs.
        calibrated_on: empty where the uncertainty is not calibrated.
        signature: of the pack's files (`packs.signature`) when they were read.
    """

    path: str
    name: str = ""
    description: str = ""
    spatial_dims: int = 2
    sampling: str = ""
    size: tuple[int, ...] = ()
    spacing: tuple[float, ...] | None = None
    modalities: tuple[str, ...] = ()
    classes: tuple[SegmentClass, ...] = ()
    branches: int = 0
    reads: tuple[tuple[int, ...], ...] = ()
    calibrated_on: str = ""
    quality: tuple[QualityFigure, ...] = ()
    licence: str = ""
    attribution: str = ""
    signature: str = ""
    failure: Failure | None = None


@dataclass(frozen=True)
class Cards:
    """Answer to `Describe`, in its order."""

    models: tuple[ModelCard, ...]


@dataclass(frozen=True)
class Loaded:
    """Answer to `Load`: on what the model runs now."""

    model: ModelCard
    device: str
    backend: str
    precision: str
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Prediction:
    """Answer to `Predict`. The files have the shape of the input's grid.

    Attributes:
        labels: .npy file, uint8.
        uncertainty: .npy file, uint8, percent (0 to 100).
        disagreement: as uncertainty; None unless asked for, and with a single branch.
        notes: what the user should be told.
        atypicality: how unlike the model's training images it looks, beyond 1 unlike; None where the model cannot tell.
    """

    labels: str
    uncertainty: str
    disagreement: str | None
    segments: tuple[SegmentFigures, ...]
    from_rgb: bool
    device: str
    backend: str
    precision: str
    notes: tuple[str, ...]
    seconds: float
    atypicality: float | None = None


@dataclass(frozen=True)
class FramesChunk:
    """Some frames of `PredictFrames`, as soon as they are done.

    Attributes:
        indices: of the frames, in the order of the arrays.
        labels: .npy file, uint8 ``(len(indices), Y, X)``.
        uncertainty: .npy file, uint8 percent, of the same shape.
        frames: the figures of each.
    """

    indices: tuple[int, ...]
    labels: str
    uncertainty: str
    frames: tuple[FrameFigures, ...]


@dataclass(frozen=True)
class FramesDone:
    """Answer to `PredictFrames`; `complete` is False where it was told to stop before the last frame."""

    frames: int
    complete: bool
    from_rgb: bool
    device: str
    backend: str
    precision: str
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Written:
    """The answer to `EncodeDicomSeg`: the file, in the job's folder."""

    path: str


# -- messages --


@dataclass(frozen=True)
class Message:
    """Begins a job. Subclasses name their kind, the class of the answer and that of the chunks before it."""

    kind: ClassVar[str]
    answer: ClassVar[type]
    chunk: ClassVar[type | None] = None


@dataclass(frozen=True)
class Hello(Message):
    """The first message: who speaks, and how the process should behave.

    Attributes:
        protocol: version that the client speaks.
        modules: server modules of other libraries to register, such as ``SemiSegTrainerLib.worker.server_train``.
        polite: lower the process's priority: for long work, for on a busy computer it takes many times as long.
        spare_cores: processor cores to leave to others.
    """

    kind: ClassVar[str] = "hello"
    answer: ClassVar[type] = Welcome
    protocol: int = PROTOCOL
    modules: tuple[str, ...] = ()
    polite: bool = False
    spare_cores: int = 0


@dataclass(frozen=True)
class Describe(Message):
    """Read what packs say of themselves, without their weights."""

    kind: ClassVar[str] = "describe"
    answer: ClassVar[type] = Cards
    packs: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """Which pack; device ``auto``, ``cpu``, ``cuda`` or ``mps``; backend ``auto``, ``torch`` or ``openvino``.

    The `signature` is that of its card: a pack that has made room for another one since is refused, for the card says
    nothing of what that one finds. Empty: whatever is there.
    """

    pack: str
    device: str = "auto"
    backend: str = "auto"
    memory_gib: float = 2.0
    signature: str = ""


@dataclass(frozen=True)
class Load(Message):
    """Load a model ahead of its first use; it is kept until another is loaded or its file changes."""

    kind: ClassVar[str] = "load"
    answer: ClassVar[type] = Loaded
    model: Model


@dataclass(frozen=True)
class Predict(Message):
    """Segment one image or volume.

    Attributes:
        images: .npy file per modality, ``(Y, X)`` or ``(Z, Y, X)`` of any real type, with a last axis of 3 or 4 more
            where `rgb`.
        modalities: which of the pack's modalities they are (indices, ascending); empty means all.
        rgb: the last axis is colour; it becomes grey, and the answer says so.
        spacing: mm, in array order; None where the source is uncalibrated.
        affine: 4x4 rows, voxel (i, j, k) to RAS in mm; None for the identity.
        disagreement: write that map too.
    """

    kind: ClassVar[str] = "predict"
    answer: ClassVar[type] = Prediction
    model: Model
    images: tuple[str, ...]
    modalities: tuple[int, ...] = ()
    rgb: bool = False
    spacing: tuple[float, ...] | None = None
    affine: tuple[tuple[float, ...], ...] | None = None
    disagreement: bool = False


@dataclass(frozen=True)
class PredictFrames(Message):
    """Segment the frames of a cine one by one.

    Attributes:
        images: .npy file per modality, ``(F, Y, X)``, or ``(F, Y, X, 3)`` where `rgb`.
        indices: which frames, in the order in which they are wanted; None means all.
        spacing: mm, (y, x).
        modalities, rgb, affine: as in `Predict`.
    """

    kind: ClassVar[str] = "predict-frames"
    answer: ClassVar[type] = FramesDone
    chunk: ClassVar[type | None] = FramesChunk
    model: Model
    images: tuple[str, ...]
    indices: tuple[int, ...] | None = None
    modalities: tuple[int, ...] = ()
    rgb: bool = False
    spacing: tuple[float, ...] | None = None
    affine: tuple[tuple[float, ...], ...] | None = None


@dataclass(frozen=True)
class Segment:
    """One segment of a DICOM SEG, as `dicom_seg.DicomSegment` has it."""

    name: str
    color: tuple[float, ...]
    terminology: str
    algorithm: Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]


@dataclass(frozen=True)
class EncodeDicomSeg(Message):
    """Write a segmentation as DICOM SEG.

    Attributes:
        labels: .npy file, as `dicom_seg.encode_dicom_seg` takes them.
        affine: 4x4 rows, voxel (i, j, k) to LPS in mm.
        sources: the files of the image's series.
        segments: in order.
        model, version, name: as there.
    """

    kind: ClassVar[str] = "encode-dicom-seg"
    answer: ClassVar[type] = Written
    labels: str
    affine: tuple[tuple[float, ...], ...]
    sources: tuple[str, ...]
    segments: tuple[Segment, ...]
    model: str
    version: str
    name: str
