"""What is told of a training while it runs. Standard library only: the loop makes it, panels show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Validated:
    """The weight averages of a run measured on the validation list while it goes on, on the network's grid.

    Attributes:
        iteration: after how many iterations.
        dice: of each class, in value order, over all voxels that are decided; None where there is none of it,
            or nobody has outlined it.
        mean: of the classes that have one.
        voxels: decided voxels of the network's grid that it rests on.
        cases: how many cases they come from.
    """

    iteration: int
    dice: tuple[float | None, ...]
    mean: float | None
    voxels: int
    cases: int


@dataclass(frozen=True)
class Preview:
    """One slice or picture as the weight averages see it now.

    The files are .npy, uint8 ``(Y, X)``, in the job's folder; names are new each time, and the worker removes those of
    the last but one preview.

    Attributes:
        case: its id in the datalist.
        slice: index along the first axis of a volume; None for a picture.
        image: grey values stretched to 0 to 255.
        labels: class values.
        uncertainty: percent.
        reference: class values of the annotation; None where nothing of the slice is annotated.
        aspect: height of a pixel over its width.
    """

    case: str
    slice: int | None
    image: str
    labels: str
    uncertainty: str
    reference: str | None
    aspect: float = 1.0


@dataclass(frozen=True)
class News:
    """How a training goes: one a second at the most, and one whenever there is a new validation or preview.

    A resumed run first tells again what was told before its last checkpoint (`repeated`, without previews), so that
    its curves begin where the run began.

    Attributes:
        iteration: how many are done.
        iterations: of the whole run.
        seconds: of training so far, over all resumptions.
        terms: contribution of each term to the loss, its weight included; mean since the last news.
        unsupervised: share of the loss that comes from terms that do not learn from annotations, 0 to 1.
        validation: a new measurement.
        preview: a new picture.
        memory_gib: of the process on a processor, of the device on another.
        plateau: the validation has not become better for a good while.
        repeated: told before, by an earlier part of this run.
        unsaved: why the run could not be saved the last time, such as a full disk; it goes on and tries again. Empty
            where it was saved.
    """

    iteration: int
    iterations: int
    seconds: float
    terms: dict[str, float]
    unsupervised: float
    validation: Validated | None = None
    preview: Preview | None = None
    memory_gib: float | None = None
    plateau: bool = False
    repeated: bool = False
    unsaved: str = ""
