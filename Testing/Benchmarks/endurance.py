"""Days of work in one go: does anything grow that should not?

python3 Testing/run.py bench endurance [--parts segmenting training steps] [--rounds N] [--trainings N] [--steps N]

`segmenting`: in the headless Slicer of the tests, round after round, a cine and a picture are loaded, segmented with
shipped models by the real worker, looked through, opened for correction, and the scene is closed. `training`: scenes
partly segmented are trained for a few steps by the panel's own buttons, model and run are removed, the scene is closed.
After every round: memory of the program and of its worker, what is left in the scene, open files, files of the worker,
objects of Python. `steps`: one long training of method A by the command line on the shipped cervix images: memory and
time of its steps. Needs Linux, which tells the memory of processes in files. The status is 1 where something grows.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from _command import said
from _endurance_figure import draw
from _memory import resident
from _panel_driver import PanelDriver, SegmentingDriver, TrainingDriver
from _results import RESULTS, load_average, machine_in_words, read, versions_of, write
from _shipped import SAMPLES, cervix_set
from SlicerRig import application, scenes

MIB_PER_GIB = 1024
HISTORY = "history.csv"
# Rounds until everything was loaded once, caches are filled, and the allocator has found its size.
WARMING = 0.25
# What a slope may be, by what scatters: MiB in a round, MiB in a thousand steps.
LIMITS = {"segmenting": 0.5, "training": 1.0, "steps": 16.0}
EXACT = ("nodes", "open_files", "worker_open_files", "files")


def main() -> int:
    """Run the parts that are asked for, store each as soon as it is there, and draw them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=200, help="of segmenting")
    parser.add_argument("--trainings", type=int, default=100)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if not Path("/proc/self/statm").exists():
        sys.exit("This benchmark reads the memory of processes from /proc, which this system does not have")
    if reason := application.why_not():
        sys.exit(reason)
    file, fine = options.out / "endurance.json", True
    results = read(file)
    for part in options.parts:
        with tempfile.TemporaryDirectory() as name:
            place, started = Path(name), time.monotonic()
            for folder in ("models", "runs", "temporary"):
                (place / folder).mkdir()
            os.environ.update(
                SEMISEG_MODELS=str(place / "models"),
                SEMISEG_RUNS=str(place / "runs"),
                XDG_DATA_HOME=str(place / "home"),
            )
            found = PARTS[part](place, options)
        fine = fine and not found["grows"]
        results[part] = {
            **found,
            "seconds": round(time.monotonic() - started, 1),
            "command": said(),
            "machine": machine_in_words(),
            "load_at_the_end": load_average(),
            "versions": versions_of("slicer-core", "vtk", "PySide6-Essentials", "numpy", "torch", "openvino"),
        }
        write(file, results)
        print(json.dumps({k: v for k, v in found.items() if k != "rows"}, indent=1), flush=True)
    draw(results, options.out / "endurance.png")
    return 0 if fine else 1


# -- round after round in the panel --


def segmenting(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Segment cines and pictures, scene after scene."""
    import slicer
    from SemiSegCervicalLib.engine.files import read_image

    application.start()
    frames = list(read_image([SAMPLES / "carotid" / "carotid_v08.seq.nrrd"], frames=True).array[0].astype(np.uint8))
    picture = read_image([SAMPLES / "fetal_head" / "hc18_270.nrrd"]).array[0]
    driver = SegmentingDriver(place / "temporary", place / "worker.log")

    def once() -> None:
        cine, browser = scenes.add_cine(frames, "cine")
        driver.segment(browser.GetProxyNode(cine), "carotid")
        for frame in range(0, len(frames), 2):
            browser.SetSelectedItemNumber(frame)
            application.process_events()
        application.click(driver.panel.results.ui.correctButton)
        application.process_events(0.05)
        slicer.util.selectModule("SemiSegCervical")
        driver.segment(scenes.add_volume(picture, "picture"), "fetal_head")

    found = rounds(driver, once, options.rounds, LIMITS["segmenting"])
    return {
        "data": f"a carotid cine of {len(frames)} frames and a fetal head, both shipped", "jobs": 2 * options.rounds,
        **found,
    }  # fmt: skip


def training(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train for a few steps, scene after scene."""
    from TrainingRig import cases

    application.start()
    drawn = [cases.draw(seed) for seed in range(10)]
    pictures, labels = [p for p, _ in drawn], [a for _, a in drawn]
    driver = TrainingDriver(place / "temporary", place / "worker.log")

    def once() -> None:
        scenes.partly_segmented_scene(
            pictures[:6], dict(enumerate(labels[:4])), scenes.BLOBS, spacing=(0.5, 0.25),
            cine=pictures, cine_labels={frame: labels[frame] for frame in (0, 5)},
        )  # fmt: skip
        application.process_events(0.3)
        parameters = driver.panel.parameters
        parameters.name, parameters.start, parameters.seed = "endured", "scratch", 0
        parameters.device, parameters.iterations = "Processor", 4
        driver.train()
        application.process_events(0.2)
        for folder in (place / "models", place / "runs"):
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    return {
        "data": "drawn: six pictures and a cine of ten frames, partly segmented", "steps_each": 4,
        **rounds(driver, once, options.trainings, LIMITS["training"]),
    }  # fmt: skip


def rounds(driver: PanelDriver, once: Callable[[], None], count: int, limit: float) -> dict[str, Any]:
    """Do the same again and again, close the scene each time, and look at what is left."""
    import slicer

    rows: list[dict[str, Any]] = []
    try:
        for number in range(1, count + 1):
            started = time.perf_counter()
            once()
            slicer.mrmlScene.Clear(0)
            application.process_events(0.3)
            rows.append({"seconds": round(time.perf_counter() - started, 2), **left(driver)})
            if number % 10 == 0:
                print(f"{driver.module}: {number} of {count}: {rows[-1]}", flush=True)
    finally:
        driver.close()
    errors = application.slot_errors()
    settled = rows[int(WARMING * count) :]
    slopes = {name: slope([row[name] for row in settled]) for name in ("mib", "worker_mib")}
    exact = {name: [settled[0][name], settled[-1][name]] for name in EXACT}
    return {
        "rounds": count,
        "mib_per_round": slopes["mib"],
        "worker_mib_per_round": slopes["worker_mib"],
        "objects_per_round": slope([row["objects"] for row in settled]),
        "seconds_first_and_last": [pace([row["seconds"] for row in part]) for part in (settled[:10], settled[-10:])],
        "first_and_last": exact,
        "errors": len(errors),
        "left_at_the_end": sorted(path.name for path in driver.temporary.iterdir()),
        "grows": any(v > limit for v in slopes.values()) or any(last > first for first, last in exact.values())
        or bool(errors) or any(driver.temporary.iterdir()),
        "rows": rows,
    }  # fmt: skip


def left(driver: PanelDriver) -> dict[str, Any]:
    """Say what a closed scene leaves behind."""
    import slicer

    gc.collect()
    return {
        "mib": round(MIB_PER_GIB * resident(), 1),
        "worker_mib": round(MIB_PER_GIB * resident(driver.worker), 1),
        "nodes": slicer.mrmlScene.GetNumberOfNodes(),
        "open_files": open_files("self"),
        "worker_open_files": open_files(driver.worker),
        "files": sum(path.is_file() for path in driver.temporary.rglob("*")),
        "objects": len(gc.get_objects()),
    }


def open_files(process: object) -> int:
    """Count the files, pipes and sockets that a process has open."""
    return len(os.listdir(f"/proc/{process}/fd"))


def slope(values: Sequence[float]) -> float:
    """Return by how much values grow from one to the next: the slope of the line through them by least squares."""
    return round(float(np.polyfit(range(len(values)), values, 1)[0]), 3) if len(values) > 1 else 0.0


def pace(seconds: Sequence[float]) -> float:
    """Return the median, seconds."""
    return round(median(seconds), 3)


# -- one long training --


def steps(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train A for long, and look at the process at every event that it sends."""
    datalist, content = cervix_set(place)
    out, log = place / "run", place / "log"
    command = [sys.executable, "-m", "SemiSegTrainerLib.cli.app", "train", str(datalist), "--out", str(out), "--json"]
    command += ["--method", "cross_supervision", "--iterations", str(options.steps), "--size", "96x160", "--seed", "0"]
    command += ["--device", "cpu", "--calibrate", "none"]
    rows: list[dict[str, Any]] = []
    with log.open("w") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as child:
        assert child.stdout is not None
        for event in map(json.loads, child.stdout):
            if event["event"] == "progress" and event["stage"] == "training":
                rows.append({"step": event["done"], "mib": round(MIB_PER_GIB * resident(child.pid), 1)})
    if child.returncode:
        sys.exit(log.read_text()[-2000:])
    with (out / HISTORY).open(newline="", encoding="utf-8") as stream:
        told = [(int(row["iteration"]), float(row["seconds"])) for row in csv.DictReader(stream)]
    paces = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(told)]
    settled = [row for row in rows if row["step"] >= WARMING * options.steps]
    grown = 1000 * float(np.polyfit([row["step"] for row in settled], [row["mib"] for row in settled], 1)[0])
    tenth = max(1, len(paces) // 10)
    return {
        "data": f"shipped cervix images: {len(content['training'])} labelled, {len(content['unlabeled'])} not",
        "method": "cross_supervision", "size": [96, 160], "seed": 0, "steps": options.steps,
        "mib_per_1000_steps": round(grown, 2),
        "seconds_per_step_first_and_last_tenth": [pace(paces[:tenth]), pace(paces[-tenth:])],
        "grows": grown > LIMITS["steps"],
        "rows": rows[:: max(1, len(rows) // 200)],
    }  # fmt: skip


PARTS = {"segmenting": segmenting, "training": training, "steps": steps}

if __name__ == "__main__":
    sys.exit(main())
