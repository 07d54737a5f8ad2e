"""How does it grow: with processes, with images to learn from, with the cases of a scene, with segments?

python3 Testing/run.py bench scale [--parts processes freed images scene segments] [--repeats N] [--device NAME]

`processes`: seconds of a training step of method A and of supervised training on the shipped cervix images at 160 x
256, by one process with one thread, one with several, and several with one thread each, which torchrun starts; with
`--device cuda` on a graphics card each. `freed`: a step where freed memory is used again, as in every process of ours,
and where the C library handles it in its own way (Linux). `images`: 30, 300 and 3000 drawn images of 336 x 544, of
which 20 are labelled: seconds until the training knows them, seconds of a step, memory. `scene`: that many images in
the scene, a tenth of them outlined, and a cine of as many frames: seconds until the trainer's table is full, how long
the program was held. `segments`: a frame and a volume with models of 2, 8 and 30 segments, the most that there may be.
Every measurement is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from _command import said
from _memory import GIB, peak, resident
from _results import RESULTS, load_average, machine_in_words, read, versions_of, write
from _scale_figure import draw
from _shipped import cervix_set

STEPS, SIZE = 16, "160x256"
COUNTS = (30, 300, 3000)
LABELLED, PICTURE = 20, (336, 544)
SEGMENTS = (2, 8, 30)
VOLUME, WINDOW = 128, (64, 64, 64)
METHODS = ("supervised", "cross_supervision")
# Kind of picture, method, input size, steps.
FREED = (("image", "cross_supervision", SIZE, STEPS), ("volume", "dual_uncertainty", "80x112x112", 4))
DRAWN_VOLUME, DRAWN_LABELLED = (96, 128, 128), 3
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def main() -> int:
    """Measure the parts that are asked for, store each as soon as it is there, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=3, help="of every training")
    parser.add_argument("--device", default="cpu", help="of the trainings")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(SINGLE[options.measure[0]](int(options.measure[1]))))
        return 0
    file = options.out / "scale.json"
    results = read(file)
    for part in options.parts:
        with tempfile.TemporaryDirectory() as name:
            started = time.monotonic()
            found = PARTS[part](Path(name), options)
        results[part] = {
            **found,
            "seconds": round(time.monotonic() - started, 1),
            "seed": 0,
            "command": said(),
            "machine": machine_in_words(),
            "load_at_the_end": load_average(),
            "versions": versions_of("slicer-core", "PySide6-Essentials", "numpy", "torch", "openvino"),
        }
        write(file, results)
        print(json.dumps(found, indent=1), flush=True)
    draw(results, options.out / "scale.png")
    return 0


# -- training --


def processes(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Compare one process with several: the same steps, of the same batch."""
    datalist, content = cervix_set(place)
    if options.device == "cpu":
        most = os.cpu_count() or 1
        ways = [(1, 1), *((1, n) for n in (2, 4, 8) if n <= most), *((n, 1) for n in (2, 4, 8) if n <= most)]
    else:
        import torch

        ways = [(n, 1) for n in range(1, torch.cuda.device_count() + 1)]
    seconds: dict[tuple[str, int, int], list[float]] = {}
    for repeat in range(options.repeats):
        for method in METHODS:
            for count, threads in ways:
                out = place / f"{method}-{count}-{threads}-{repeat}"
                given = ["--method", method, "--size", SIZE, "--iterations", str(STEPS), "--device", options.device]
                summary, _ = trained(datalist, out, given, count, threads)
                seconds.setdefault((method, count, threads), []).append(summary["seconds_per_step"])
    rows = [
        {
            "method": method, "processes": count, "threads": threads, "seconds_per_step": median(found),
            "lowest": min(found), "highest": max(found),
            "speedup": round(median(seconds[method, 1, 1]) / median(found), 3),
        }
        for (method, count, threads), found in seconds.items()
    ]  # fmt: skip
    return {
        "data": f"shipped cervix images: {len(content['training'])} labelled, {len(content['unlabeled'])} not",
        "size": SIZE, "steps": STEPS, "repeats": options.repeats, "device": options.device, "rows": rows,
    }  # fmt: skip


def freed(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train with freed memory kept and with the C library's own settings, which a variable of the user's leaves."""
    from _inference_parts import draw_set

    threads = os.cpu_count() or 1
    sets = {"image": cervix_set(place)[0], "volume": draw_set(place / "volumes", DRAWN_VOLUME, DRAWN_LABELLED)}
    ways: dict[str, dict[str, str]] = {"kept": {}, "given_back": {"GLIBC_TUNABLES": ""}}
    rows = []
    for kind, method, size, steps in FREED:
        given = ["--method", method, "--size", size, "--iterations", str(steps), "--device", options.device]
        found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for repeat in range(options.repeats):
            for way, variables in ways.items():
                out = place / f"{kind}-{way}-{repeat}"
                summary, usage = trained(sets[kind], out, given, 1, threads, variables)
                found[way].append({"seconds_per_step": summary["seconds_per_step"], "peak_gib": usage["peak_gib"]})
        row: dict[str, Any] = {"picture": kind, "method": method, "size": size, "steps": steps}
        for way, runs in found.items():
            row |= {f"{key}_{way}": round(median(run[key] for run in runs), 3) for key in runs[0]}
        rows.append(row)
        print(row, flush=True)
    return {
        "data": f"shipped cervix images; drawn volumes of {' x '.join(map(str, DRAWN_VOLUME))}", "threads": threads,
        "repeats": options.repeats, "device": options.device, "rows": rows,
    }  # fmt: skip


def images(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train a few steps on ever more images."""
    from TrainingRig import cases

    rows = []
    for count in COUNTS:
        datalist = cases.write_pictures(place / f"data-{count}", PICTURE, LABELLED, count - LABELLED)
        given = [
            "--method",
            "cross_supervision",
            "--size",
            SIZE,
            "--iterations",
            str(STEPS),
            "--device",
            options.device,
        ]
        found = []
        for repeat in range(options.repeats if count < COUNTS[-1] else 1):
            out = place / f"run-{count}-{repeat}"
            summary, usage = trained(datalist, out, given, 1, 1)
            found.append({**usage, "seconds_per_step": summary["seconds_per_step"]})
        rows.append({"images": count, **{name: round(median(f[name] for f in found), 3) for name in found[0]}})
        print(rows[-1], flush=True)
    return {
        "data": f"drawn pictures of {PICTURE[0]} x {PICTURE[1]}, {LABELLED} of them labelled", "size": SIZE,
        "method": "cross_supervision", "steps": STEPS, "device": options.device, "rows": rows,
    }  # fmt: skip


def trained(
    datalist: Path, out: Path, given: Sequence[str], count: int, threads: int, more: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], dict[str, float]]:
    """Train by the command line, in one process or, with torchrun, in several; perhaps with more variables.

    Returns:
        The summary; and of the leading process: seconds beside the steps, most memory in GiB.
    """
    command = ["-m", "SemiSegTrainerLib.cli.app", "train", str(datalist), "--out", str(out), *given]
    command += ["--seed", "0", "--calibrate", "none"]
    if count > 1:
        command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", *command]
    variables = {**os.environ, **dict.fromkeys(THREADS, str(threads)), **(more or {})}
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, *command], env=variables, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if child.returncode:
        sys.exit(errors[-3000:])
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    beside = seconds - summary["iterations"] * summary["seconds_per_step"]
    return summary, {"seconds_beside_steps": beside, "peak_gib": usage.ru_maxrss * 1024 / GIB}


# -- measured in a process of its own --


def alone(what: str, counts: Sequence[int]) -> list[dict[str, Any]]:
    """Measure something for each count, each in a new process."""
    rows = []
    for count in counts:
        command = [sys.executable, __file__, "--measure", what, str(count)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append({what: count, **json.loads(done.stdout.splitlines()[-1])})
        print(rows[-1], flush=True)
    return rows


def scene(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Open the trainer on ever larger scenes."""
    return {"data": "drawn pictures and frames of 64 x 96, a tenth of them outlined", "rows": alone("cases", COUNTS)}


def cases_of_a_scene(count: int) -> dict[str, float]:
    """Fill a scene with pictures and frames, half of each, and open the trainer."""
    with tempfile.TemporaryDirectory() as name:
        os.environ.update(SEMISEG_MODELS=f"{name}/models", SEMISEG_RUNS=f"{name}/runs", XDG_DATA_HOME=f"{name}/home")
        from SlicerRig import application, scenes
        from TrainingRig import cases

        application.start()
        drawn = [cases.draw(seed, (64, 96)) for seed in range(20)]
        half = count // 2
        pictures = [drawn[number % 20][0] for number in range(half)]
        labels = {number: drawn[number % 20][1] for number in range(0, half, 10)}
        scenes.partly_segmented_scene(
            pictures, labels, scenes.BLOBS, cine=pictures, cine_labels=labels, spacing=(0.5, 0.25)
        )
        application.process_events(0.5)
        before = resident()
        application.reset()
        started = time.perf_counter()
        panel = application.open_module("SemiSegTrainer").panel
        opened = time.perf_counter() - started
        application.wait_until(lambda: panel.split is not None and not panel.reading, 600)
        read_after = time.perf_counter() - started
        application.wait_until(lambda: not panel.reading and not panel.cases.table.filling, 600)
        filled = time.perf_counter() - started
        longest = application.longest_call()
        extra = resident() - before
        application.close_module("SemiSegTrainer")
    return {
        "seconds_opened": round(opened, 3), "seconds_read": round(read_after, 3), "seconds_filled": round(filled, 3),
        "longest_call_seconds": round(longest.seconds, 3), "extra_gib": round(extra, 3),
    }  # fmt: skip


def segments(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Predict with ever more segments."""
    return {
        "data": f"noise: a frame of {PICTURE[0]} x {PICTURE[1]}, a volume of {VOLUME} cubed",
        "networks": f"the proposed pairs, untrained, PyTorch in float32; {SIZE}, windows of {WINDOW[0]} cubed",
        "rows": alone("segments", SEGMENTS),
    }  # fmt: skip


def predicted(count: int) -> dict[str, float]:
    """Predict a frame and a volume with models of so many segments."""
    import torch
    from SemiSegCervicalLib.engine.branch import Branch
    from SemiSegCervicalLib.engine.image import Image
    from SemiSegCervicalLib.engine.pack import Pack
    from SemiSegCervicalLib.engine.predict import Predictor
    from SemiSegCervicalLib.engine.schema import InputSpec, SegmentClass
    from SemiSegTrainerLib.learning.planning import plan_branches
    from TrainingRig import parts

    rng = np.random.default_rng(0)
    found = {}
    for name, spec, shape in (
        ("frame", InputSpec(modalities=("image",), size=(160, 256)), PICTURE),
        (
            "volume",
            InputSpec(spatial_dims=3, modalities=("image",), sampling="windows", size=WINDOW, overlap=0.5),
            (VOLUME,) * 3,
        ),
    ):
        torch.manual_seed(0)
        chosen, _ = plan_branches(spec, False, None)
        branches = [Branch(n, a, 1, count + 1, spec.spatial_dims) for n, a in chosen]
        kinds = [
            spec_of.model_copy(update={"architecture": n, "arguments": a})
            for spec_of, (n, a) in zip(parts.pack(spec=spec).manifest.branches, chosen, strict=True)
        ]
        classes = [SegmentClass(value=k, name=f"segment {k}", color=(1, 0, 0)) for k in range(1, count + 1)]
        manifest = parts.pack(spec=spec, classes=tuple(classes)).manifest.model_copy(update={"branches": tuple(kinds)})
        predictor = Predictor(Pack(manifest, [branch.eval() for branch in branches]), "cpu", backend="torch")
        image = Image(rng.normal(size=(1, *shape)).astype(np.float32))
        predictor.predict(image)
        before, started = resident(), time.perf_counter()
        predictor.predict(image)
        found[f"seconds_{name}"] = round(time.perf_counter() - started, 4)
        found[f"extra_gib_{name}"] = round(peak() - before, 3)
    return found


PARTS: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "processes": processes, "freed": freed, "images": images, "scene": scene, "segments": segments,
}  # fmt: skip
SINGLE = {"cases": cases_of_a_scene, "segments": predicted}

if __name__ == "__main__":
    sys.exit(main())
