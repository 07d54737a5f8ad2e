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


def compare(job: ServerJob, message: Compare) -> Compared:
    """Measure models on the same annotated cases; one that cannot be measured does not keep the others from it."""
    job.progress("loading the model", 0, 1)
    with job.shielded():
        from SemiSegCervicalLib.engine.pack import Pack, load_pack
        from SemiSegCervicalLib.engine.predict import Predictor
        from SemiSegCervicalLib.engine.schema import LEARNED_MOST

        from SemiSegTrainerLib.learning.comparing import measure_model, unseen_by_all
        from SemiSegTrainerLib.learning.datalist import read_datalist

    datalist = read_datalist(Path(message.datalist))
    annotated = sum(entry.label is not None for entry in datalist.named(message.list))
    if not annotated:
        raise SemiSegError(
            "no-validation", "No annotation is kept apart that the models could be compared on",
            "Keep some annotated cases for validation", "reading",
        )  # fmt: skip
    packs: dict[str, Pack] = {}
    failures: dict[str, ModelMeasure] = {}
    for path in message.packs:
        try:
            pack = load_pack(Path(path))
            datalist.in_order_of(pack.manifest.input.modalities)
            packs[path] = pack
        except SemiSegError as error:
            failures[path] = _failed(path, error)
    looked = count(1)
    unseen, left_out = unseen_by_all(
        list(packs.values()), datalist, message.list, lambda: job.progress("reading", next(looked), 0)
    )
    entries = unseen.named(message.list)
    if packs and not entries:
        raise SemiSegError(
            "no-validation", f"Nothing is left to measure with: {left_out}",
            "Annotate an image that was never trained on, and keep it aside as validation", "reading",
        )  # fmt: skip
    total, pictures = len(entries) * len(message.packs), count(1)
    models = []
    for place, path in enumerate(message.packs):
        if path in failures:
            models.append(failures[path])
            continue
        pack, done = packs[path], count(place * len(entries) + 1)
        try:
            found = measure_model(
                Predictor(pack, message.device),
                unseen.in_order_of(pack.manifest.input.modalities).named(message.list), datalist.classes, message.worst,
                lambda done=done: job.progress("comparing", next(done), total),  # type: ignore[misc]
            )  # fmt: skip
        except SemiSegError as error:
            models.append(_failed(path, error))
            continue
        worst = tuple(_written(job, shown, next(pictures)) for shown in found.worst)
        models.append(ModelMeasure(path, pack.manifest.name, found.dice, found.mean, found.voxels, found.cases, worst))
    sure = all(0 < len(pack.manifest.provenance.learned) < LEARNED_MOST for pack in packs.values())
    return Compared(tuple(c.name for c in datalist.classes), tuple(models), left_out, sure)


def _failed(path: str, error: SemiSegError) -> ModelMeasure:
    return ModelMeasure(path, failure=Failure(error.code, error.stage, error.cause, error.remedy))


def _written(job: ServerJob, shown: Worst, number: int) -> WorstCase:
    files = {
        name: str(write_array(job.folder / f"worst-{number}-{name}.npy", getattr(shown.picture, name)))
        for name in ("image", "labels", "reference", "uncertainty")
    }
    return WorstCase(shown.case, shown.slice, shown.dice, **files, aspect=shown.aspect)
