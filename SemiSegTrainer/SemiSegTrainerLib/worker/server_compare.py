"""Models against each other, inside the worker process."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.worker.arrays import write_array
from SemiSegCervicalLib.worker.protocol import Failure
from SemiSegCervicalLib.worker.server_jobs import ServerJob

from .protocol import Compare, Compared, ModelMeasure, WorstCase

if TYPE_CHECKING:
    from SemiSegTrainerLib.learning.comparing import Worst
    from SemiSegTrainerLib.learning.datalist import Datalist, Entry


def compare(job: ServerJob) -> Compared:
    """Measure models on the same annotated cases; one that cannot be measured does not keep the others from it."""
    message = job.message
    assert isinstance(message, Compare)
    job.progress("loading the model", 0, 1)
    with job.shielded():
        from SemiSegCervicalLib.engine.pack import load_pack
        from SemiSegCervicalLib.engine.predict import Predictor

        from SemiSegTrainerLib.learning.comparing import measure_model
        from SemiSegTrainerLib.learning.datalist import read_datalist

    datalist = read_datalist(Path(message.datalist))
    entries = _annotated(datalist, message.list)
    if not entries:
        raise SemiSegError(
            "no-validation", "No annotation is kept apart that the models could be compared on",
            "Keep some annotated cases for validation", "reading",
        )  # fmt: skip
    total, pictures = len(entries) * len(message.packs), count(1)
    models = []
    for place, path in enumerate(message.packs):
        done = count(place * len(entries) + 1)
        try:
            pack = load_pack(Path(path))
            ordered = datalist.in_order_of(pack.manifest.input.modalities)
            found = measure_model(
                Predictor(pack, message.device), _annotated(ordered, message.list), datalist.classes, message.worst,
                lambda done=done: job.progress("comparing", next(done), total),  # type: ignore[misc]
            )  # fmt: skip
        except SemiSegError as error:
            failure = Failure(error.code, error.stage, error.cause, error.remedy)
            models.append(ModelMeasure(path, failure=failure))
            continue
        worst = tuple(_written(job, shown, next(pictures)) for shown in found.worst)
        models.append(ModelMeasure(path, pack.manifest.name, found.dice, found.mean, found.voxels, found.cases, worst))
    return Compared(tuple(c.name for c in datalist.classes), tuple(models))


def _annotated(datalist: Datalist, name: str) -> list[Entry]:
    return [entry for entry in datalist.named(name) if entry.label is not None]


def _written(job: ServerJob, shown: Worst, number: int) -> WorstCase:
    files = {
        name: str(write_array(job.folder / f"worst-{number}-{name}.npy", getattr(shown.picture, name)))
        for name in ("image", "labels", "reference", "uncertainty")
    }
    return WorstCase(shown.case, shown.slice, shown.dice, **files, aspect=shown.aspect)
