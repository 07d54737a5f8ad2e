"""The jobs of the base worker: describe, load, predict, predict the frames of a cine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..engine.predict import Predictor
from ..engine.result import Prediction as EnginePrediction
from ..engine.uncertainty import percent
from ..figures import FrameFigures
from .arrays import ArrayWriter, write_array
from .protocol import (
    Cards,
    Describe,
    FramesChunk,
    FramesDone,
    Load,
    Loaded,
    Predict,
    PredictFrames,
    Prediction,
)
from .server_inputs import Frames, choose_frames, image_of, open_images
from .server_jobs import ServerJob
from .server_models import Models, card_of, describe

_PREDICTING = "predicting"
_WRITING = "writing"
# The first frames come one by one, so that there is something to see; then few events carry many, unless it takes long.
_LARGEST_CHUNK = 16
_CHUNK_SECONDS = 0.5
# A graphics card is faster with some frames at once; on a processor that wins nothing, and each waits for the others.
_FRAMES_AT_ONCE = 8
_SLICES_AT_ONCE = 8


class Predicting:
    """The handlers, around the one model that is kept loaded."""

    def __init__(self) -> None:
        self._models = Models()

    def forget(self) -> None:
        """Drop the model, which an interrupted or failed job may have left in a state of its own."""
        self._models.drop()

    def describe(self, job: ServerJob, message: Describe) -> Cards:
        """Read what packs say of themselves."""
        cards = []
        for done, path in enumerate(message.packs):
            job.progress("reading", done, len(message.packs))
            cards.append(describe(Path(path)))
        return Cards(tuple(cards))

    def load(self, job: ServerJob, message: Load) -> Loaded:
        """Load a model ahead of its use."""
        started = time.perf_counter()
        predictor = self._models.get(message.model, (), job)
        card = card_of(Path(message.model.pack), predictor.pack.manifest)
        return Loaded(card, *_closing(predictor, predictor.backend.notes, started))

    def predict(self, job: ServerJob, message: Predict) -> Prediction:
        """Segment an image or a volume."""
        started = time.perf_counter()
        job.progress("reading", 0, 1)
        arrays = open_images(message.images, message.rgb, (2, 3))
        image = image_of(arrays, message.rgb, message.spacing, message.affine)
        predictor = self._models.get(message.model, message.modalities, job)
        job.progress(_PREDICTING, 0, 1)
        result = predictor.predict(image, on_progress=lambda done, total: job.progress(_PREDICTING, done, total))
        maps = {"labels": result.labels, "uncertainty": result.uncertainty}
        if message.disagreement and result.disagreement is not None:
            maps["disagreement"] = result.disagreement
        files = {}
        for done, (name, array) in enumerate(maps.items()):
            job.progress(_WRITING, done, len(maps))
            files[name] = str(_write_map(job, job.folder / f"{name}.npy", array))
        return Prediction(
            files["labels"], files["uncertainty"], files.get("disagreement"), result.segments, image.from_rgb,
            *_closing(predictor, result.notes, started), result.atypicality,
        )  # fmt: skip

    def predict_frames(self, job: ServerJob, message: PredictFrames) -> FramesDone:
        """Segment frames, and send them in chunks."""
        started = time.perf_counter()
        job.progress("reading", 0, 1)
        arrays = open_images(message.images, message.rgb, (3,))
        indices = choose_frames(message.indices, len(arrays[0]))
        frames = Frames(arrays, indices, message.rgb, message.spacing, message.affine)
        predictor = self._models.get(message.model, message.modalities, job)
        at_once = 1 if predictor.device.type == "cpu" else _FRAMES_AT_ONCE
        job.progress(_PREDICTING, 0, len(indices))
        notes: list[str] = []
        ready: list[tuple[int, EnginePrediction]] = []
        done, size, sent = 0, 1, time.monotonic()
        for index, result in zip(indices, predictor.predict_frames(frames, at_once), strict=False):
            ready.append((index, result))
            notes += result.notes
            done += 1
            if len(ready) >= size or time.monotonic() - sent > _CHUNK_SECONDS:
                _send_chunk(job, done, ready)
                ready, size, sent = [], min(2 * size, _LARGEST_CHUNK), time.monotonic()
            job.progress(_PREDICTING, done, len(indices))
            if job.stopped:
                break
        if ready:
            _send_chunk(job, done, ready)
        closing = _closing(predictor, notes, started)
        return FramesDone(done, done == len(indices), message.rgb, *closing)


def _closing(
    predictor: Predictor, notes: Sequence[str], started: float
) -> tuple[str, str, str, tuple[str, ...], float]:
    """Return how every answer ends: device, backend, precision, what the user should be told, and the seconds."""
    backend = predictor.backend
    told = tuple(dict.fromkeys(notes))  # each once, in order
    return str(predictor.device), backend.name, backend.precision, told, time.perf_counter() - started


def _send_chunk(job: ServerJob, done: int, results: Sequence[tuple[int, EnginePrediction]]) -> None:
    labels, doubt = (job.folder / f"{name}-{done}.npy" for name in ("labels", "uncertainty"))
    write_array(labels, np.stack([result.labels for _, result in results]))
    write_array(doubt, np.stack([percent(result.uncertainty) for _, result in results]))
    figures = tuple(_frame_figures(index, result) for index, result in results)
    job.chunk(FramesChunk(tuple(index for index, _ in results), str(labels), str(doubt), figures))


def _frame_figures(index: int, result: EnginePrediction) -> FrameFigures:
    known = [s.predicted_dice for s in result.segments if s.predicted_dice is not None]
    return FrameFigures(
        index, float(result.uncertainty.mean()), sum(known) / len(known) if known else None, result.segments,
        result.atypicality,
    )  # fmt: skip


def _write_map(job: ServerJob, path: Path, array: np.ndarray) -> Path:
    """Write labels as they are and uncertainty in percent, a few slices at a time."""
    with ArrayWriter(path, array.shape, np.uint8) as writer:
        for first in range(0, len(array), _SLICES_AT_ONCE):
            job.check()
            part = array[first : first + _SLICES_AT_ONCE]
            writer.write(part if part.dtype == np.uint8 else percent(part))
    return path
