"""What to annotate next, inside the worker process."""

from __future__ import annotations

from pathlib import Path

from SemiSegCervicalLib.worker.arrays import write_array
from SemiSegCervicalLib.worker.server_jobs import ServerJob

from .protocol import Suggest, Suggested, Suggestion


def suggest(job: ServerJob, message: Suggest) -> Suggested:
    """Rank what is not annotated, and write what the model draws on the best of it."""
    job.progress("loading the model", 0, 1)
    with job.shielded():
        from SemiSegCervicalLib.engine.pack import load_pack
        from SemiSegCervicalLib.engine.predict import Predictor

        from SemiSegTrainerLib.learning.datalist import read_datalist
        from SemiSegTrainerLib.learning.evaluation import translation
        from SemiSegTrainerLib.learning.ranking import drawn_at, rank

    predictor = Predictor(load_pack(Path(message.pack)), message.device)
    datalist = read_datalist(Path(message.datalist))
    values = translation(predictor.pack.manifest.classes, datalist.classes)
    found = rank(predictor, datalist, message.count, lambda done, total: job.progress("looking", done, total))
    items = []
    for number, (ranked, labels) in enumerate(drawn_at(predictor, datalist, found)):
        path = write_array(job.folder / f"labels-{number}.npy", values[labels])
        items.append(Suggestion(ranked.case, ranked.slice, ranked.score, ranked.reasons, str(path)))
    return Suggested(tuple(items))
