"""One training that is interrupted again and again: paused, killed with its program, left without disk space.

Each part of the run is a program of its own in the headless Slicer of the tests, with the real worker: it goes on with
the run that it finds, until the moment comes.

python _trainer_interruptions.py PLACE WHAT SECONDS ITERATIONS SEED
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

KINDS = ("stop", "kill", "disk")
_PATIENCE = 7200.0
# No file may become larger: a checkpoint cannot be written.
_NO_SPACE = 4096
# A checkpoint is due within this time.
_CHECKPOINT_SECONDS = 35.0


def measure(place: Path, moments: int, longest: float, iterations: int, seed: int) -> dict[str, Any]:
    """Interrupt a run at random moments, let it end, and compare it with one that was not interrupted.

    Args:
        place: a new folder.
        moments: how many interruptions.
        longest: seconds of training before one, at most.
        iterations: of the run.
        seed: of the moments, and of the training.

    Returns:
        The figures of ``trainer.json``.
    """
    draw = random.Random(seed)
    rows: list[dict[str, Any]] = []
    data = ""
    beside = ThreadPoolExecutor(1)
    uninterrupted = beside.submit(_part, place / "whole", "whole", 0.0, iterations, seed)
    while len(rows) < moments:
        kind, seconds = KINDS[len(rows) % len(KINDS)], draw.uniform(0.2, longest)
        said = _part(place / "interrupted", kind, seconds, iterations, seed)
        if said["state"] == "done":
            raise SystemExit("The run ended before it was interrupted often enough: give it more iterations.")
        if rows:
            rows[-1]["resumed_at"] = said["first"]
            rows[-1]["seconds_lost"] = round(max(0.0, rows[-1]["at_seconds"] - said["first_seconds"]), 2)
        rows.append({"kind": kind, **{k: said[k] for k in ("at", "at_seconds", "state", "error", "ended_in")}})
        data = data or said["data"]
        assert said["data"] == data, "the data of the run were changed"
        print(f"{len(rows)} of {moments}: {rows[-1]}", flush=True)
    last = _part(place / "interrupted", "whole", 0.0, iterations, seed)
    rows[-1]["resumed_at"] = last["first"]
    rows[-1]["seconds_lost"] = round(max(0.0, rows[-1]["at_seconds"] - last["first_seconds"]), 2)
    whole = uninterrupted.result()
    beside.shutdown()
    weights = [_weights(Path(said["model"])) for said in (last, whole)]
    lost = [row["seconds_lost"] for row in rows]
    return {
        "interruptions": rows,
        "iterations": iterations,
        "seconds_lost_most": max(lost),
        "weights_equal": weights[0] == weights[1],
        "data_untouched": last["data"] == data,
        "left_in_the_runs_folder": last["left"],
    }


def _part(place: Path, what: str, seconds: float, iterations: int, seed: int) -> dict[str, Any]:
    """Start a program that begins the run, or goes on with it, and return what it said last."""
    place.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "SEMISEG_MODELS": str(place / "models"),
        "SEMISEG_RUNS": str(place / "runs"),
        "XDG_DATA_HOME": str(place / "home"),
    }
    command = [sys.executable, __file__, str(place), what, str(seconds), str(iterations), str(seed)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        said = [json.loads(line) for line in program.stdout if line.startswith("{")]
    if not said:
        raise SystemExit(f"The part {what!r} of the run said nothing; it ended with {program.returncode}.")
    return said[-1]


def _weights(model: Path) -> dict[str, str]:
    """Every branch's file of a pack, hashed."""
    with zipfile.ZipFile(model) as pack:
        return {n: hashlib.sha256(pack.read(n)).hexdigest() for n in pack.namelist() if n.endswith(".safetensors")}


# -- the program that is interrupted --


def main(place: Path, what: str, seconds: float, iterations: int, seed: int) -> None:
    """Begin or go on, and do `what` after some seconds of training; say what was seen, a JSON object a line."""
    from SlicerRig import application

    application.start()
    from SemiSegTrainerLib.panel.jobs import Jobs
    from SemiSegTrainerLib.panel.runs import Runs
    from SemiSegTrainerLib.panel.training import Training

    jobs = Jobs(temporary=place, log=place / "log" / "worker.log")
    unfinished = Runs().unfinished()
    if unfinished:
        run, write = unfinished[0], None
        assert run.hold()
    else:
        run, write = _begin(iterations, seed)
    training = Training(jobs.client, run, write, on_end=jobs.running.remove)
    jobs.running.append(training)
    started = time.monotonic()

    def fresh() -> list[Any]:
        return [news for news in training.news if not news.repeated]

    def say(**more: Any) -> None:
        news = fresh()
        told = [n for n in training.news if n.repeated]
        first = told[-1] if told else None
        about = {
            "first": first.iteration if first else 0,
            "first_seconds": first.seconds if first else 0.0,
            "at": news[-1].iteration if news else None,
            "at_seconds": news[-1].seconds if news else (first.seconds if first else 0.0),
            "data": _fingerprint(run.data),
            "state": training.state,
            "error": None,
            "ended_in": None,
            **more,
        }
        print(json.dumps(about), flush=True)

    if what != "whole":
        application.wait_until(lambda: training.ended or fresh(), _PATIENCE)
        trained = time.monotonic()
        application.wait_until(lambda: training.ended or time.monotonic() - trained > seconds, _PATIENCE)
    asked = time.monotonic()
    if what == "kill" and not training.ended:
        say(state="killed", ended_in=0.0)
        assert jobs.client.pid
        os.kill(jobs.client.pid, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "disk" and not training.ended:
        import resource

        assert jobs.client.pid
        before = resource.prlimit(jobs.client.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(jobs.client.pid, resource.RLIMIT_FSIZE, (_NO_SPACE, before[1]))
        application.wait_until(lambda: training.ended, _CHECKPOINT_SECONDS)
        if not training.ended:
            resource.prlimit(jobs.client.pid, resource.RLIMIT_FSIZE, before)
    if what in ("stop", "disk") and not training.ended:
        training.pause()
    application.wait_until(lambda: training.ended, _PATIENCE)
    error = training.error.code if training.error is not None else None
    more = {"model": str(training.version.path)} if training.version is not None else {}
    jobs.close()
    left = sorted(path.name for path in run.folder.rglob("*") if path.name.startswith("."))
    ended_in = round(time.monotonic() - (started if what == "whole" else asked), 2)
    say(error=error, ended_in=ended_in, left=left, **more)


def _begin(iterations: int, seed: int) -> tuple[Any, Any]:
    """Make the scene and the run."""
    from SemiSegTrainerLib.panel.runs import RunClass, Runs
    from SemiSegTrainerLib.scene.collect import collect_training_set
    from SemiSegTrainerLib.scene.datalist import datalist_steps
    from SemiSegTrainerLib.worker.protocol import Part, Train
    from SlicerRig import scenes
    from TrainingRig import cases

    drawn = [cases.draw(number) for number in range(7)]
    scenes.partly_segmented_scene([d[0] for d in drawn], {n: drawn[n][1] for n in range(3)}, scenes.BLOBS)
    found = collect_training_set()
    tiny = (
        Part("unet", {"channels": [4, 8, 16]}),
        Part("residual_unet", {"channels": [4, 8, 12]}),
    )
    train = Train(
        "", "", method="cross_supervision", iterations=iterations, seed=seed, name="interrupted", device="cpu",
        calibrate="none", size=cases.SIZE, branches=tiny,
    )  # fmt: skip
    run = Runs().begin(train, tuple(RunClass(c.name, tuple(c.color)) for c in found.classes))
    return run, lambda folder: datalist_steps(found, folder)


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
