"""A whole training run from a datalist to a model pack: what the command line, the worker and the demo call."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from SemiSegCervicalLib.atomic import write_atomically
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.engine.pack import save_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import Calibration, Quality
from SemiSegCervicalLib.errors import SemiSegError

from ..news import News
from .data import TrainingData
from .evaluation import evaluate_model, summarise
from .fitting import calibrate
from .folds import FOLD_SHARE
from .intensities import CASES_LOOKED_AT
from .observing import Observer, Wish
from .packing import build_pack, ranges_told, write_card
from .planning import structure_size
from .preparation import Prepared, RunOptions, prepare
from .processes import team
from .targets import outlined
from .training import CHECKPOINT, Progress, Training, TrainingResult, versions

MODEL, HISTORY, SUMMARY, CHECKPOINTS = "model.semiseg", "history.csv", "summary.json", "checkpoints"

# A grid this much coarser than the images may hide what they show: structures of fewer voxels across.
_COARSER, _SMALL = 1.5, 4.0

StageProgress = Callable[[str, int, int, float, dict[str, float]], None]
ShouldStop = Callable[[], bool]


def train_model(
    datalist_path: Path,
    out: Path,
    options: RunOptions,
    on_progress: StageProgress | None = None,
    should_stop: ShouldStop | None = None,
    should_finish: ShouldStop | None = None,
    wish: Wish | None = None,
    on_news: Callable[[News], None] | None = None,
) -> dict[str, Any]:
    """Train and write ``model.semiseg``, ``history.csv``, ``summary.json`` and ``checkpoints/`` into `out`.

    Of several processes (`processes.Team`) all call it, and the leading one measures, writes and has the whole summary.

    Args:
        datalist_path: the data.
        out: a new or empty folder, or that of an interrupted run with `options.resume`.
        options: the rest.
        on_progress: called with (stage, done, total, seconds left, values).
        should_stop: asked every iteration; the run is then saved and can be resumed.
        should_finish: asked every iteration; on True the training ends early and its model is made, and a calibration
            that is asked is left out.
        wish: what `on_news` is to be told beside the loss; None for no news. Nothing of the run depends on it.
        on_news: called with the news of the training.

    Returns:
        The content of ``summary.json``; its key ``finished`` is False for a run that was stopped.

    Raises:
        SemiSegError: anything the user can put right.
    """
    say: StageProgress = on_progress or (lambda *_: None)
    leads = team().leads
    if leads:
        check_output(out, options.resume)
    team().meet()  # the others would find what this one soon writes there
    say("reading", 0, 1, 0.0, {})
    run = prepare(datalist_path, options, folder=out / CHECKPOINTS)
    training = run.training(out / CHECKPOINTS)

    observer = Observer(run, training, wish, on_news) if wish is not None and on_news is not None else None

    def forward(progress: Progress) -> None:
        say("training", progress.iteration, progress.iterations, progress.seconds_left, progress.values)
        if observer:
            observer.look(progress)

    if training.iterations is None and not options.resume:
        say("measuring", 0, 1, 0.0, {})
    result = training.run(forward, should_stop, should_finish)
    if observer:
        observer.end()
    if leads:
        write_atomically(out / HISTORY, result.history.as_csv().encode())
    summary = _summary(run, result, training)
    if summary["finished"]:
        fitted = _calibrated(run, result, out / CHECKPOINTS, say, should_stop, should_finish)
        summary["finished"] = fitted is not None
        if fitted is not None and leads:
            calibration, summary["calibration"] = fitted
            _save(run, result, calibration, out / MODEL, options, summary, say)
    if leads:
        write_atomically(out / SUMMARY, json.dumps(summary, indent=1).encode())
    return summary


def _summary(run: Prepared, result: TrainingResult, training: Training) -> dict[str, Any]:
    others = len(run.data.images) - len(run.data.annotated)
    learns = run.method.uses_unlabelled
    return {
        "finished": training.over,
        "ended_early": training.ended,
        "method": run.method.name,
        "seed": run.settings.seed,
        "iterations": result.iterations,
        "seconds": round(result.seconds, 2),
        "seconds_per_step": round(result.seconds / max(1, result.iterations), 4),
        "device": result.device,
        "precision": result.precision,
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "labelled": len(run.data.annotated),
        "unlabelled": others if learns else 0,
        "not_learned_from": 0 if learns else others,
        "intensity_ranges": ranges_told(run.spec),
        "segments_never_shown": [c.name for c in run.datalist.classes if not run.data.outlined >> c.value & 1],
        "segments_small": _small(run),
        "data_fingerprint": run.data.fingerprint,
        "started_from": run.start.manifest.name if run.start else None,
        "model": None,
        "validation": None,
        "before": None,
        "validation_also_decided": [],
        "validation_left_out": run.left_out,
        "calibration": None,
    }


def _small(run: Prepared) -> dict[str, float]:
    """Return how many voxels those segments are across of which a coarser grid leaves next to nothing; 0 if nothing."""
    if run.data.shrunk < _COARSER:
        return {}
    maps = []
    for case in run.data.annotated[:CASES_LOOKED_AT]:
        sets = run.data.possible[case].cpu().numpy()
        maps.append(np.where(outlined(sets), np.log2(sets.clip(1)), 0).astype(np.uint8))
    found = {c.name: structure_size(maps, [c.value]) or 0.0 for c in run.datalist.classes}
    shown = {c.name for c in run.datalist.classes if run.data.outlined >> c.value & 1}
    return {name: round(across, 1) for name, across in found.items() if name in shown and across < _SMALL}


def _calibrated(
    run: Prepared,
    result: TrainingResult,
    checkpoints: Path,
    say: StageProgress,
    should_stop: ShouldStop | None,
    should_finish: ShouldStop | None,
) -> tuple[Calibration, dict[str, Any]] | None:
    """Fit the temperatures; None where the user stopped a fold."""
    length = max(1, result.iterations // FOLD_SHARE)

    def train_fold(number: int, part: TrainingData) -> Sequence[Branch] | None:
        def forward(progress: Progress) -> None:
            done = (number - 1) * length + progress.iteration
            pace = progress.seconds_left / max(1, length - progress.iteration)
            say("calibrating", done, 2 * length, pace * (2 * length - done), {})

        training = run.training(checkpoints / f"fold-{number}", part, length)
        trained = training.run(forward, should_stop, should_finish)
        if not training.over:
            return None
        return () if training.ended else trained.branches

    say("calibrating", 0, 1, 0.0, {})
    return calibrate(run, result.branches, length, train_fold)


def _save(
    run: Prepared, result: TrainingResult, calibration: Calibration, path: Path, options: RunOptions,
    summary: dict[str, Any], say: StageProgress,
) -> None:  # fmt: skip
    """Measure the model on what validates, where there is anything, and write its pack."""
    pack = build_pack(options.name, result, run, calibration, summary)
    entries = run.validation
    if entries:
        total = len(entries) * (2 if run.start else 1)
        figures = summarise(
            evaluate_model(Predictor(pack, options.device), entries,
                           progress=lambda done, _: say("validating", done, total, 0.0, {}))
        )  # fmt: skip
        summary["validation"] = figures
        summary["before"] = _before(run, options, lambda done: say("validating", len(entries) + done, total, 0.0, {}))
        decided = {
            "temperature": run.source == "validation" and bool(calibration.fitted_on),
            "stop": summary["ended_early"] and bool(result.validated),
        }
        summary["validation_also_decided"] = [what for what, so in decided.items() if so]
        if figures["dice"] is not None:
            data = f"validation list ({run.left_out})" if run.left_out else "validation list"
            quality = Quality(metric="dice", value=figures["dice"], data=data, cases=figures["dice_cases"])
            pack.manifest = pack.manifest.model_copy(update={"quality": (quality,)})
    say("saving", 0, 1, 0.0, {})
    pack.card = write_card(pack.manifest, run.left_out)
    summary["model"] = str(save_pack(path, pack, overwrite=options.resume))


def _before(run: Prepared, options: RunOptions, progress: Callable[[int], None]) -> dict[str, Any] | None:
    """Measure the model that the run started from on the validation list; None where it has no segment in common."""
    if run.start is None:
        return None

    def forward(done: int, total: int) -> None:
        progress(done)

    predictor = Predictor(run.start, options.device)
    try:
        return summarise(evaluate_model(predictor, run.validation, False, forward, run.datalist.classes))
    except SemiSegError as error:
        if error.code != "other-classes":
            raise
        return None


def check_output(out: Path, resume: bool) -> None:
    """Refuse a folder that already holds something, so that nothing is written over.

    Raises:
        SemiSegError: it holds files and `resume` is False, or holds no checkpoint and `resume` is True.
    """
    if out.exists() and not out.is_dir():
        raise SemiSegError("not-a-folder", f"{out} is a file", "Choose a folder for the results", "settings")
    if resume and not (out / CHECKPOINTS / CHECKPOINT).exists():
        raise SemiSegError(
            "nothing-to-resume", f"{out} holds no checkpoint", "Start the run without --resume", "settings"
        )
    # What a run that was killed before its first checkpoint left behind is no result.
    remains = [p for p in out.rglob("*") if not p.is_dir() and (p.parent.name, p.suffix) != (CHECKPOINTS, ".part")]
    if not resume and remains:
        raise SemiSegError(
            "exists", f"The folder {out} already holds files", "Choose a new folder, or --resume an interrupted run",
            "settings",
        )  # fmt: skip
