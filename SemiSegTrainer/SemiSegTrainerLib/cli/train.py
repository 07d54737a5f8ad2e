"""`semiseg train`: from a datalist to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.words import many

from SemiSegTrainerLib.catalogue import METHODS, PROPOSED
from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.processes import team
from SemiSegTrainerLib.learning.run import HISTORY, SUMMARY, train_model
from SemiSegTrainerLib.learning.training import Settings

from .reporting import Reporter, clock, number

LONGEST = 100_000.0  # minutes; ten weeks
PRECISIONS = {"auto": "auto", "float32": "32-true", "bfloat16": "bf16-mixed"}


def train(
    datalist: Annotated[
        Path,
        typer.Argument(
            help="JSON with labels and the lists training, unlabeled, validation, test (see README), or nnU-Net's "
            "dataset.json; label maps may be DICOM SEG."
        ),
    ],
    out: Annotated[Path, typer.Option(help="New folder for model, history and summary.")],
    method: Annotated[
        str,
        typer.Option(
            help=f"Training method: {', '.join(method.name for method in METHODS)}; or {PROPOSED}, the one that suits "
            "the data and the time."
        ),
    ] = PROPOSED,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave out a term of the method, or its perturbation, to see what it contributes; repeatable."
        ),
    ] = None,
    unlabelled_view: Annotated[
        str | None, typer.Option(help="How students see unlabelled cases: weak or strong.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Pack to start from; without it: random weights.")] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Length of the run; 800 by default.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.05, max=LONGEST, callback=number, help="Length of the run by time.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    size: Annotated[str | None, typer.Option(help="Network input of a new model, e.g. 160x256.")] = None,
    spacing: Annotated[
        str | None,
        typer.Option(help="Voxels of a new 3D model, e.g. 2x1x1 (mm; along the body, front to back, across)."),
    ] = None,
    intensities: Annotated[
        str,
        typer.Option(
            help="What a new model standardises intensities by: image (each by itself), range (of what is annotated, "
            "in all alike), or auto: range on CT, which shows air at -1000."
        ),
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[
        str,
        typer.Option(help="float32, bfloat16, or auto: bfloat16 where the device multiplies it by itself."),
    ] = "auto",
    calibrate: Annotated[
        str,
        typer.Option(help="Make uncertainty honest by the validation list or by folds: auto, validation, folds, none."),
    ] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in --out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print events instead of progress bars.")] = False,
) -> None:
    """Train a model on labelled, partly labelled and unlabelled cases."""
    if iterations is not None and minutes is not None:
        raise SemiSegError("two-budgets", "Both --iterations and --minutes are given", "Give one of them", "settings")
    budget = None if minutes is not None else iterations or Settings.iterations
    options = RunOptions(
        method=method,
        without=tuple(without or ()),
        unlabelled_view=unlabelled_view,
        settings=Settings(iterations=budget, minutes=minutes, seed=seed, precision=_parse_precision(precision)),
        device=device,
        start=model,
        size=_parse_size(size),
        spacing=_parse_spacing(spacing),
        intensities=intensities,
        resume=resume,
        calibrate=calibrate,
        name=out.resolve().name,
    )
    if not team().leads:
        train_model(datalist, out, options)
        return
    with Reporter(json) as reporter:
        summary = train_model(datalist, out, options, reporter.progress)
        reporter.event("done", summary=summary)
        reporter.say(
            f"{summary['method']}: {many(summary['iterations'], 'iteration')} in {clock(summary['seconds'])} "
            f"on {summary['device']} ({summary['precision']}), "
            f"{summary['labelled']} labelled and {many(summary['unlabelled'], 'unlabelled case')}"
        )
        if passed := summary["not_learned_from"]:
            reporter.say(
                f"Not learned from: {many(passed, 'unlabelled case')}"
                + (", for which so short a run has no time" if method == PROPOSED else "")
            )
        if told := summary["intensity_ranges"]:
            reporter.say(f"Intensities: {', '.join(told)}, as annotated structures have them")
        if never := summary["segments_never_shown"]:
            reporter.say(f"Not learned: no training case shows {', '.join(never)}")
        if small := summary["segments_small"]:
            told = ", ".join(f"{name} (about {many(max(1, round(n)), 'voxel')} across)" for name, n in small.items())
            reporter.say(f"Hardly seen at this --size or --spacing (a finer one helps): {told}")
        fitted = summary["calibration"]
        reporter.say(
            f"Uncertainty: calibrated on {fitted['fitted_on']}"
            if fitted["fitted_on"]
            else f"Uncertainty: not calibrated ({fitted['reason']})"
        )
        figures = summary["validation"]
        if figures and figures["dice"] is not None:
            reporter.say(f"Dice {figures['dice']:.3f} on {many(figures['dice_cases'], 'validation case')}")
        if summary["validation_left_out"]:
            reporter.say(f"Not measured: {summary['validation_left_out']}")
        reporter.say(f"Model: {summary['model']}\nHistory: {out / HISTORY}\nSummary: {out / SUMMARY}")


def _parse_precision(text: str) -> str:
    if text not in PRECISIONS:
        raise SemiSegError(
            "bad-precision", f"There is no precision {text!r}", f"Choose one of {', '.join(PRECISIONS)}", "settings"
        )
    return PRECISIONS[text]


def _parse_size(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        size = tuple(int(n) for n in text.lower().split("x"))
    except ValueError:
        size = ()
    if len(size) not in (2, 3) or min(size) < 16:
        raise SemiSegError(
            "bad-size", f"The size {text!r} is not usable", "Give it as 160x256 (rows x columns)", "settings"
        )
    return size


def _parse_spacing(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        spacing = tuple(float(n) for n in text.lower().split("x"))
    except ValueError:
        spacing = ()
    if len(spacing) != 3 or not all(1e-4 < s <= 1e3 for s in spacing):
        raise SemiSegError(
            "bad-spacing",
            f"The spacing {text!r} is not usable",
            "Give it in mm as 2x1x1 (along the body, front to back, across)",
            "settings",
        )
    return spacing
