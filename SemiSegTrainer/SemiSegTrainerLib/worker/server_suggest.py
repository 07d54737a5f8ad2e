"""What to annotate next, inside the worker process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from SemiSegCervicalLib.worker.arrays import write_array
from SemiSegCervicalLib.worker.server_jobs import ServerJob

from .protocol import Suggest, Suggested, Suggestion

if TYPE_CHECKING:
    from SemiSegCervicalLib.engine.schema import SegmentClass


def suggest(job: ServerJob) -> Suggested:
    """Rank what is not annotated, and write what the model draws on the best of it."""
    message = job.message
    assert isinstance(message, Suggest)
    job.progress("loading the model", 0, 1)
    with job.shielded():
        from SemiSegCervicalLib.engine.pack import load_pack
        from SemiSegCervicalLib.engine.predict import Predictor

        from SemiSegTrainerLib.learning.datalist import read_datalist
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


def translation(known: Sequence[SegmentClass], wanted: Sequence[SegmentClass]) -> np.ndarray:
    """Return the value in one class list for each value of another, by name; 0 for background and what is unknown.

    Returns:
        uint8 ``(len(known) + 1,)``.
    """
    by_name = {entry.name.casefold(): entry.value for entry in wanted}
    found = np.zeros(len(known) + 1, dtype=np.uint8)
    for entry in known:
        found[entry.value] = by_name.get(entry.name.casefold(), 0)
    return found
