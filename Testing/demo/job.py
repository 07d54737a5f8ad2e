"""The demo from the samples to the report."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

from SemiSegCervicalLib.atomic import write_atomically
from SemiSegCervicalLib.engine.device import resolve_device
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.run import MODEL, train_model
from SemiSegTrainerLib.learning.training import Settings
from SemiSegTrainerLib.scene.collect import collect_training_set
from SemiSegTrainerLib.scene.datalist import write_datalist
from SemiSegTrainerLib.scene.training_set import TrainingSet

from . import plan
from .measure import check_start, expected_quality, figures, predict
from .report import ReportData, write_report
from .results import save_results
from .samples import Samples, read_samples
from .scene import build_scene
from .show import Show

BUILD, RATE, LEARN, BASELINE = "The scene", "The starting model", "Learning, with unlabelled images", "The same without"
SEGMENT, SAVE, REPORT = "Segmenting", "Saving scene and files", "Writing the report"


def run_demo(options: plan.DemoOptions, started: float | None = None) -> dict[str, Any]:
    """Run everything and write it into `options.out`.

    Args:
        options: what to do.
        started: `time.monotonic` when the user started; now by default.

    Returns:
        The content of ``summary.json``.

    Raises:
        SemiSegError: the output folder is in use, samples, starting pack or device are missing, the disk is full.
    """
    started = time.monotonic() if started is None else started
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # what it says is in the summary too
    _check(options)
    samples = read_samples(options.samples, options.unlabelled)
    if options.start is not None:
        check_start(options.start, samples)
    options.out.mkdir(parents=True, exist_ok=True)
    steps = {method: options.iterations * seconds for method, seconds in plan.SECONDS_PER_STEP.items()}
    stages = {
        BUILD: 3.0, RATE: 2.0 if options.start else 0.0, LEARN: steps[plan.METHOD], BASELINE: steps[plan.BASELINE],
        SEGMENT: 5.0, SAVE: 10.0, REPORT: 5.0,
    }  # fmt: skip
    with Show(stages) as show:
        show.stage(BUILD)
        made = build_scene(samples)
        training_set = collect_training_set(made.scene, samples.classes)
        datalist = write_datalist(training_set, options.out / plan.TRAINING_SET, name="SemiSeg demo")
        show.say(_composition(training_set))
        before = None
        if options.start is not None:
            show.stage(RATE)
            found = predict(options.start, samples, samples.held_out, options.device)
            before = figures(found, samples, samples.held_out)
        runs = {
            method: _train(method, datalist, options, show, title)
            for method, title in ((plan.METHOD, LEARN), (plan.BASELINE, BASELINE))
        }
        show.stage(SEGMENT)
        open_names = [name for name, kind in made.annotated.items() if kind == "none"]
        model = options.out / plan.METHOD / MODEL
        predictions = predict(
            model, samples, [*samples.held_out, *open_names], options.device,
            lambda done, total: show.update(done, total),
        )  # fmt: skip
        baseline = predict(options.out / plan.BASELINE / MODEL, samples, samples.held_out, options.device)
        show.stage(SAVE)
        save_results(made, samples, predictions, options.out, lambda done, total: show.update(done, total))
        show.stage(REPORT)
        summary = _summary(options, samples, training_set, runs, open_names)
        summary["held_out"] = {
            plan.METHOD: figures(predictions, samples, samples.held_out),
            plan.BASELINE: figures(baseline, samples, samples.held_out),
            "before": before,
        }
        known = [name for name in open_names if name in samples.labelled]
        summary["unsegmented_with_reference"] = figures(predictions, samples, known)
        summary["segmented"] = {name: expected_quality(result) for name, result in predictions.items()}
        summary |= _headline_figures(summary)
        summary["seconds"] = round(time.monotonic() - started, 1)
        data = ReportData(summary, samples, made.annotated, made.painted, predictions, baseline, options.out)
        write_report(data, options.out / plan.REPORT)
    summary["seconds"] = round(time.monotonic() - started, 1)
    summary["seconds_by_stage"] = {title: round(seconds, 1) for title, seconds in show.spent.items() if seconds >= 0.05}
    write_atomically(options.out / plan.SUMMARY, (json.dumps(summary, indent=1) + "\n").encode())
    return summary


def _check(options: plan.DemoOptions) -> None:
    """Refuse what cannot work before anything is written."""
    out = options.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SemiSegError("exists", f"{out} already holds something", "Choose a new folder with --out", "settings")
    resolve_device(options.device)


def _train(method: str, datalist: Path, options: plan.DemoOptions, show: Show, title: str) -> dict[str, Any]:
    """Train one method; the pack lands in a folder of the method's name."""
    show.stage(title)

    def forward(stage: str, done: int, total: int, seconds_left: float, values: dict[str, float]) -> None:
        loss = f"(loss {values['supervised']:.2f})" if "supervised" in values else ""
        show.update(done, total, seconds_left, loss)

    summary = train_model(
        datalist,
        options.out / method,
        RunOptions(
            method=method,
            settings=Settings(iterations=options.iterations, seed=options.seed),
            device=options.device,
            start=options.start,
            size=None if options.start else options.size,
            calibrate="none",  # the folds would take two thirds of the training's time once more
            name=f"cervix demo, {method}",
        ),
        forward,
    )
    if method == plan.METHOD:
        ratio = plan.SECONDS_PER_STEP[plan.BASELINE] / plan.SECONDS_PER_STEP[plan.METHOD]
        show.expect(BASELINE, summary["seconds"] * ratio)
    return summary


def _composition(training_set: TrainingSet) -> str:
    counts = {use: len(training_set.used(use)) for use in ("labelled", "partly", "unlabelled")}
    return (
        f"The scene: {counts['labelled']} images are outlined, {counts['partly']} partly, "
        f"{counts['unlabelled']} not at all."
    )


def _summary(
    options: plan.DemoOptions, samples: Samples, training_set: TrainingSet, runs: dict[str, Any], open_names: list[str]
) -> dict[str, Any]:
    run = runs[plan.METHOD]
    return {
        "dice_after": None,
        "dice_supervised": None,
        "dice_before": None,
        "seconds": None,
        "method": plan.METHOD,
        "iterations": options.iterations,
        "seed": options.seed,
        "device": run["device"],
        "precision": run["precision"],
        "threads": run["threads"],
        "versions": run["versions"],
        "started_from": run["started_from"],
        "networks_grid": list(options.size) if options.start is None else None,
        "training": {
            method: {key: r[key] for key in ("seconds", "seconds_per_step", "labelled", "unlabelled")}
            for method, r in runs.items()
        },
        "training_set": [
            {
                "image": case.name,
                "use": case.use,
                "reason": case.reason,
                "annotated_share": round(case.annotated, 4),
            }
            for case in training_set.cases
        ],
        "held_out_images": list(samples.held_out),
        "images_segmented": len(samples.held_out) + len(open_names),
        "distances": "pixels; the images are not calibrated",
        "paths": {
            "report": plan.REPORT,
            "scene": plan.SCENE,
            "model": f"{plan.METHOD}/{MODEL}",
            "model_supervised": f"{plan.BASELINE}/{MODEL}",
            "history": f"{plan.METHOD}/history.csv",
            "history_supervised": f"{plan.BASELINE}/history.csv",
            "training_set": f"{plan.TRAINING_SET}/datalist.json",
            "segmentations": plan.SEGMENTATIONS,
            "labels": plan.LABELS,
            "uncertainty": plan.UNCERTAINTY,
        },
    }


def _headline_figures(summary: dict[str, Any]) -> dict[str, Any]:
    held_out = summary["held_out"]
    after, alone = held_out[plan.METHOD], held_out[plan.BASELINE]
    differences = [a["dice"] - b["dice"] for a, b in zip(after["cases"], alone["cases"], strict=True)]
    return {
        "dice_after": after["dice"],
        "dice_supervised": alone["dice"],
        "dice_before": held_out["before"]["dice"] if held_out["before"] else None,
        "paired_difference": {
            "mean": sum(differences) / len(differences),
            "lowest": min(differences),
            "highest": max(differences),
            "better": sum(d > 0 for d in differences),
            "images": len(differences),
        },
    }
