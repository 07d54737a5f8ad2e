"""The calibration of a finished run, by the validation list or by folds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.engine.schema import Calibration, SubsetCalibration
from SemiSegCervicalLib.errors import SemiSegError

from .calibration import HeldOut, Voxels, fit_sharpness, fit_temperatures, held_out_voxels, sampling_of
from .data import TrainingData, read_case
from .folds import Fold, asked, learned, split
from .modalities import Reads
from .preparation import Prepared
from .targets import outlined

# Trains the branches of fold `number` on its data; None where the user stopped it, nothing where they ended it early.
TrainFold = Callable[[int, TrainingData], Sequence[Branch] | None]


def calibrate(
    run: Prepared, branches: Sequence[Branch], iterations: int, train_fold: TrainFold
) -> tuple[Calibration, dict[str, Any]] | None:
    """Fit the temperatures of a finished run.

    Args:
        run: what was trained.
        branches: as trained by it.
        iterations: what `train_fold` trains for; for the record.
        train_fold: trains one fold.

    Returns:
        The calibration and figures for the summary; None where the user stopped a fold.
    """

    def look(trained: Sequence[Branch], cases: Iterator[HeldOut]) -> Voxels | None:
        return held_out_voxels(trained, run.reads, run.spec, run.classes, cases, run.device, run.settings.seed)

    voxels: Voxels | None = None
    about, reason = "", "as asked for"
    if run.source == "validation":
        voxels = look(branches, _validation(run))
        without = f" ({run.left_out})" if run.left_out else ""
        about = f"{len(run.validation)} cases of the validation list{without}, on which the measured Dice rests as well"
        reason = "no voxel of the validation list is annotated"
    elif run.source == "folds":
        rows = (*run.datalist["training"], *run.datalist["unlabeled"])
        folds, words = split(run.data, rows, run.settings.seed)
        about = f"{words}, held out of two trainings of {iterations} iterations with about half of them each"
        if run.fresh_folds:
            about += ", from random weights, since the starting model had learned from them"
        reason = words
        for number, fold in enumerate(folds, 1):
            part = _learned_by(fold, run)
            if part is None:
                reason = "no half of the cases is enough to learn from"
                continue
            trained = train_fold(number, part)
            if trained is None:
                return None
            if not trained:
                voxels, reason = None, "the calibration was ended early"
                break
            found = look(trained, asked(run.data, fold, rows, run.spec, run.classes))
            if found is not None:
                voxels = found if voxels is None else voxels + found
    if voxels is not None and not _tells(voxels):
        voxels, reason = None, "no annotated voxel that was held out belongs to a segment"
    if voxels is None:
        plain = (1.0,) * len(branches)
        return Calibration(temperatures=plain), {"temperatures": list(plain), "fitted_on": None, "reason": reason}
    calibration = _fit_subsets(voxels, run.reads, len(run.spec.modalities), surer=run.source == "validation")
    calibration = calibration.model_copy(update={"fitted_on": f"annotations that were not trained on: {about}"})
    return calibration, _figures(calibration, voxels)


def _learned_by(fold: Fold, run: Prepared) -> TrainingData | None:
    """Return what a fold learns from; None where that is not enough."""
    try:
        part = learned(run.data, fold, run.spec, run.classes)
    except SemiSegError:  # half of the annotations may hold no segment at all
        return None
    return part if part.open or not run.method.uses_unlabelled else None


def _figures(calibration: Calibration, voxels: Voxels) -> dict[str, Any]:
    """Return what the summary tells of a calibration."""
    figures = {
        "temperatures": [round(t, 4) for t in calibration.temperatures],
        "sharpness": round(calibration.sharpness, 4),
        "fitted_on": calibration.fitted_on,
        "cases": voxels.cases,
        "voxels": voxels.logits.shape[1],
    }
    if calibration.subsets:
        figures["subsets"] = [s.model_dump() for s in calibration.subsets]
    return figures


def _fit_subsets(voxels: Voxels, reads: Reads, modalities: int, surer: bool) -> Calibration:
    """Fit all branches together, and those that are left wherever a case lacks some of the modalities.

    Args:
        voxels: held out.
        reads: which modalities each branch looks at.
        modalities: how many there are.
        surer: whether a fit may make the branches surer than they are; see `_fit`.
    """
    every = tuple(range(len(reads)))
    left = (
        tuple(k for k in every if set(reads[k]) <= set(present))
        for number in range(1, modalities)
        for present in combinations(range(modalities), number)
    )
    found = {some: _fit(voxels, some, surer) for some in (every, *left) if some}
    # Where no held-out case has all modalities, each branch is as sure as it is alone.
    alone = [found.get((k,)) for k in every]
    whole = found.pop(every) or (tuple(a[0][0] if a else 1.0 for a in alone), 1.0)
    subsets = tuple(
        SubsetCalibration(branches=some, temperatures=fitted[0], sharpness=fitted[1])
        for some, fitted in found.items()
        if fitted is not None
    )
    return Calibration(temperatures=whole[0], sharpness=whole[1], subsets=subsets)


def _fit(voxels: Voxels, branches: tuple[int, ...], surer: bool) -> tuple[tuple[float, ...], float] | None:
    """Return temperatures and sharpness of some branches; None where no segment is held out in what they can read.

    Of background alone networks are right so often that a fit would make them sure of everything. Nor may networks make
    others surer that have learned three times as long, as folds would in a short run: early on a network is right more
    often than it says, later the other way round. Of such temperatures only the balance is kept. On 20 hippocampi, mean
    error of predicted Dice with them and so: 0.067 and 0.044 (292 iterations of dual_uncertainty, folds of 97; 0.62 and
    0.83 were fitted), 0.079 and 0.048 (90 supervised ones, folds of 30). A sharpness of at most 1 gave 0.024 and 0.123.
    """
    known = voxels.of(branches)
    if known is None or not _tells(known):
        return None
    temperatures = fit_temperatures(known)
    level = 1.0 if surer else min(1.0, math.prod(temperatures) ** (1 / len(temperatures)))
    return tuple(t / level for t in temperatures), fit_sharpness(known, temperatures)


def _tells(voxels: Voxels) -> bool:
    return bool(outlined(voxels.possible).any())


def _validation(run: Prepared) -> Iterator[HeldOut]:
    for entry in run.validation:
        yield HeldOut(*read_case(entry, run.spec, run.classes), sampling_of(entry, run.spec), entry.present)
