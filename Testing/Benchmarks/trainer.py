"""Training from the open scene: what it learns, whether the scene takes anything from it, and what interrupts it.

python3 Testing/run.py bench trainer --data DIR [--parts carotid atrium interruptions] [--minutes M | --iterations N]
    [--supervised N] [--tests K] [--seed S] [--moments K] [--longest SECONDS] [--length N]

DIR holds the expanded data sets. Scenes of carotid videos (two accepted frames in each of the training videos) and of
the left atrium at half resolution (four volumes with every 8th slice annotated, four without any) are trained by the
panel's own buttons in the headless Slicer of the tests, for the minutes of its preset "Standard". Then the same engine
trains from the files that the scene was made of, as long and at the same seed, and once more without the images that
nobody annotated (`supervised`). Test cases are predicted before and after; nothing is chosen by them. At last a small
training is interrupted at random moments. Every part is stored in results/trainer.json as soon as it is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _trainer_interruptions
from _command import add_data, data_folder, said
from _panel_driver import TrainingDriver
from _results import RESULTS, load_average, machine_in_words, read, versions_of, write
from _trainer_scenes import Made, atrium_scene, carotid_scene, twin
from SlicerRig import application

SCENES: dict[str, Callable[..., Made]] = {"carotid": carotid_scene, "atrium": atrium_scene}
STANDARD = 10.0
# How far two trainings of the same data may be apart.
AGREEMENT = 0.005


def main() -> int:
    """Measure what is asked for and write it; the status is 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--parts", nargs="+", choices=[*SCENES, "interruptions"], default=[*SCENES, "interruptions"])
    parser.add_argument("--minutes", type=float, default=STANDARD, help="of a training, by the preset or Advanced")
    parser.add_argument("--iterations", type=int, default=0, help="of a training, instead of minutes")
    parser.add_argument("--supervised", type=int, help="iterations of the supervised baseline, by default as many")
    parser.add_argument("--tests", type=int, help="how many test cases, evenly chosen; by default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--moments", type=int, default=20, help="interruptions")
    parser.add_argument("--longest", type=float, default=40.0, help="seconds of training before an interruption")
    parser.add_argument("--length", type=int, default=12_000, help="iterations of the training that is interrupted")
    parser.add_argument("--out", type=Path, default=RESULTS / "trainer.json")
    parser.add_argument("--measure", nargs=3, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure_pack(*options.measure)
        return 0
    if set(options.parts) & set(SCENES):
        options.data = data_folder(parser, options)
    if reason := application.why_not():
        sys.exit(reason)
    fine = True
    for part in options.parts:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            if part == "interruptions":
                found = _trainer_interruptions.measure(
                    place, options.moments, options.longest, options.length, options.seed
                )
                fine = fine and found["weights_equal"] and found["seconds_lost_most"] <= 60
            else:
                found = trained(part, place, options)
                fine = fine and abs(found["difference"]) <= AGREEMENT
        found["seconds"] = round(time.monotonic() - started, 1)
        store(options.out, part, found, options.seed)
    return 0 if fine else 1


def store(path: Path, part: str, found: dict[str, Any], seed: int) -> None:
    """Put one part into the results, which keep the others."""
    result = read(path)
    result[part] = {
        **found,
        "command": said(reads_data=True),
        "seed": seed,
        "machine": machine_in_words(),
        "load_at_the_end": load_average(),
        "versions": versions_of("slicer-core", "PySide6-Essentials", "torch", "monai", "numpy"),
    }
    write(path, result)
    print(json.dumps({k: v for k, v in result[part].items() if k not in ("interruptions", "versions")}, indent=1))


# -- from the scene --


def trained(part: str, place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train from a scene by the panel's buttons, and from its files; measure before, after, and the other."""
    os.environ.update(
        SEMISEG_MODELS=str(place / "models"), SEMISEG_RUNS=str(place / "runs"), XDG_DATA_HOME=str(place / "home")
    )
    import slicer

    application.start()
    slicer.mrmlScene.Clear(0)
    made = SCENES[part](options.data, place, options.tests)
    temporary = place / "temporary"
    temporary.mkdir()
    driver = TrainingDriver(temporary, place / "worker.log")
    started = time.monotonic()
    run, model = press_start(driver, part, options)
    took = time.monotonic() - started
    driver.close()
    summary = run.summary
    (place / "files").mkdir()
    files = twin(run.datalist, made, place / "files")
    threads = {"OMP_NUM_THREADS": str(summary["threads"])}

    def from_files(name: str, *options: str, method: str = summary["method"], iterations: int = 1) -> Path:
        budget = ["--method", method, "--iterations", str(iterations), "--seed", str(summary["seed"])]
        return _semiseg(files, place / name, [*budget, "--device", "cpu", *options], threads)

    packs = {
        "before": from_files("before", "--calibrate", "none"),
        "after": model,
        "from_files": from_files("same", iterations=summary["iterations"]),
        "supervised": from_files(
            "supervised", method="supervised", iterations=options.supervised or summary["iterations"]
        ),
    }
    measured = {name: _measured(pack, made.test, place) for name, pack in packs.items()}
    listed = json.loads(run.datalist.read_text())
    return {
        **measured,
        "difference": round(measured["after"]["dice"] - measured["from_files"]["dice"], 5),
        "before_is": "random weights after one step",
        "cases": {name: len(listed[name]) for name in ("training", "unlabeled", "validation")},
        "validation": summary.get("validation") and {k: summary["validation"][k] for k in ("dice", "cases_count")},
        **{k: summary[k] for k in ("method", "iterations", "seconds_per_step", "precision", "threads", "device")},
        "minutes_wished": None if options.iterations else options.minutes,
        "minutes_from_start_to_model": round(took / 60, 2),
    }


def press_start(driver: TrainingDriver, part: str, options: argparse.Namespace) -> tuple[Any, Path]:
    """Choose, press Start, and wait for the model.

    Returns:
        The run on disk, and the installed model.
    """
    # No other training lends its weights: what is measured was learned here.
    parameters = driver.panel.parameters
    parameters.name, parameters.start, parameters.seed = f"{part} of the scene", "scratch", options.seed
    parameters.device = "Processor"
    if options.iterations:
        parameters.iterations = options.iterations
    elif options.minutes == STANDARD:
        application.click(driver.ui.standardButton)
    else:
        parameters.minutes = options.minutes
    training = driver.train()
    return training.run, training.version.path


# -- from files --


def _semiseg(datalist: Path, out: Path, options: list[str], variables: dict[str, str]) -> Path:
    """Train by the command line and return the model."""
    command = [sys.executable, "-m", "SemiSegTrainerLib.cli.app", "train", str(datalist), "--out", str(out), *options]
    subprocess.run(command, check=True, env={**os.environ, **variables})
    return out / "model.semiseg"


def _measured(pack: Path, test: Path, place: Path) -> dict[str, Any]:
    """Measure a model on the test list, in a process of its own: this one stays free of PyTorch, as Slicer's does."""
    out = place / "measured.json"
    subprocess.run([sys.executable, __file__, "--measure", str(pack), str(test), str(out)], check=True)
    measured: dict[str, Any] = json.loads(out.read_text())
    return measured


def measure_pack(pack: Path, test: Path, out: Path) -> None:
    """Write the mean Dice of the cases of a test list, and of each video where they are frames of videos."""
    from SemiSegCervicalLib.engine.pack import load_pack
    from SemiSegCervicalLib.engine.predict import Predictor
    from SemiSegTrainerLib.learning.datalist import read_datalist
    from SemiSegTrainerLib.learning.evaluation import evaluate_model, nan_mean

    entries = read_datalist(test)["test"]
    loaded = load_pack(pack)
    figures = evaluate_model(Predictor(loaded, "cpu"), entries, distances=False)
    groups = sorted({e.group for e in entries if e.group is not None})
    videos = {
        group: round(nan_mean([f.dice for e, f in zip(entries, figures, strict=True) if e.group == group]), 4)
        for group in groups
    }
    measured = {
        "dice": round(nan_mean([f.dice for f in figures]), 5),
        "cases": len(figures),
        "size": list(loaded.manifest.input.size),
        **({"videos": videos} if videos else {}),
    }
    out.write_text(json.dumps(measured))


if __name__ == "__main__":
    sys.exit(main())
