"""A worker that speaks the protocol and misbehaves as it is told; standard library only, nothing of ours is imported.

python scripted.py START PRIVATE_FOLDER [PREDICT]

START is how the process begins. After that each ``describe`` job's first pack names how it is done, and PREDICT how
``predict`` and ``predict-frames`` are: as those, ``hold`` for one that begins and never ends, ``well`` for a result in
which everything is class 1 with an uncertainty of 7 percent. A ``train`` job is held in one of `STAGES` until it is
told to stop or to finish, or misbehaves as the others, with ``saved:`` before it after something was saved; one that
goes on with something else than what is saved here fails. With ``first-`` before it only the first is done so, with
``later-`` all but the first; the others are done well.
"""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

PROTOCOL = 4
WELCOME = {
    "python": "3", "versions": {}, "threads": 1,
    "devices": [{"name": "cpu", "label": "scripted", "works": True}],
}  # fmt: skip
CARDS: dict[str, object] = {"models": [{"path": "here"}]}
LOADED = {
    "model": {"path": "here"}, "device": "cpu", "backend": "scripted", "precision": "none", "notes": [], "seconds": 0.1,
}  # fmt: skip
STAGES = ("reading", "measuring", "training", "plateau", "calibrating", "validating")
SAVED = b"saved"
STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)\n"


def command_lines(told: dict[str, str]) -> Callable[[Path], list[str]]:
    """Return what makes the command lines of scripted workers.

    Args:
        told: ``start`` and ``prediction``, as above; they may change between one process and the next.
    """

    def command(folder: Path) -> list[str]:
        prediction = told["prediction"]
        if prediction.startswith("first-"):  # the next process is another one, and need not fail again
            told["prediction"] = ""
        return [sys.executable, "-I", "-S", __file__, told["start"], str(folder), prediction]

    return command


def raw(data: bytes) -> None:
    os.write(1, data)


def say(kind: str, job: str = "", **body: object) -> None:
    raw(b"@semiseg " + json.dumps({"kind": kind, "job": job, "body": body}).encode() + b"\n")


def forever() -> None:
    while True:
        time.sleep(60)


def stay_alive() -> None:
    while True:
        time.sleep(0.05)
        say("alive", cpu=0.01)


def start(how: str, folder: Path) -> None:
    if how == "mute":
        forever()
    if how == "exit":
        print("ImportError: something is missing", file=sys.stderr, flush=True)
        sys.exit(3)
    if how == "once" and (folder / "begun").exists():
        os._exit(4)
    (folder / "begun").write_text("")
    raw(b"Launcher: a line that is no event\n")
    say("ready", protocol=999 if how == "newer" else PROTOCOL, pid=os.getpid(), group=os.getpgrp())


def perform(how: str, job: str, folder: Path, answer: dict[str, object] = CARDS) -> None:
    """Do a job; what returns has answered, or never will."""
    if how == "hold":
        say("progress", job, stage="predicting", done=3, total=10, seconds_left=4.0, values={})
        return
    if how == "hang":  # a cancellation is not heard
        forever()
    if how == "frozen":
        os.kill(os.getpid(), signal.SIGSTOP)
    if how == "stall":
        threading.Thread(target=stay_alive, daemon=True).start()
        forever()
    if how == "children":
        children = [subprocess.Popen([sys.executable, "-I", "-S", "-c", STUBBORN]) for _ in range(2)]
        (folder / "children").write_text(" ".join(str(child.pid) for child in children))
        forever()
    if how == "garbage":
        raw(bytes(range(256)) * 20 + b"\n\n\r\n@semiseg {broken\n@semiseg [1]\n@semiseg \xff\xfe\n")
        raw(b"@semiseg " + b"[" * 100_000 + b"\n" + b"x" * 5_000_000 + b"\n")
        say("unheard of", "77")
        say("progress", "77", stage="of nobody", done=0, total=1)
        raw(b"half a line")
        raw(b"\n")
    if how == "pieces":
        line = b"@semiseg " + json.dumps({"kind": "result", "job": job, "body": CARDS}).encode() + b"\r\n"
        for at in range(0, len(line), 3):
            raw(line[at : at + 3])
            time.sleep(0.0005)
        return
    if how == "half":
        raw(b'@semiseg {"kind": "result", "jo')
        os._exit(0)
    if how == "exit":
        os._exit(5)
    if how in ("SIGKILL", "SIGSEGV"):
        os.kill(os.getpid(), getattr(signal, how))
    if how == "nonsense":
        say("result", job, models="many")
        return
    if how == "device-error":
        say("failure", job, code=how, stage="predicting", cause="It broke", remedy="Use another", restart=True)
        return
    if how == "disk-full":
        say("failure", job, code=how, stage="writing", cause="It is full", remedy="Free some space")
        return
    say("progress", job, stage="reading", done=1, total=2, seconds_left=None, values={})
    say("result", job, **answer)


def predict(kind: str, how: str, job: str, folder: Path, body: dict) -> None:
    """Do a prediction as it is told, well if it is told nothing."""
    shape = shape_of(Path(body["images"][0]), body["rgb"])
    if how not in ("", "well", "hold"):
        perform(how, job, folder)
        return
    place = Path(body["images"][0]).parent
    files = {name: write(place / f"{name}.npy", shape, value) for name, value in (("labels", 1), ("uncertainty", 7))}
    about = {"from_rgb": body["rgb"], "device": "cpu", "backend": "scripted", "precision": "none", "notes": []}
    answer: dict[str, object] = {**about, "seconds": 0.1}
    voxels = shape[-1] * shape[-2] * (shape[0] if kind == "predict" and len(shape) == 3 else 1)
    figure = {
        "name": "bright", "value": 1, "voxels": voxels, "size": None, "size_unit": None, "mean_uncertainty": 0.07,
        "predicted_dice": 0.9,
    }  # fmt: skip
    if kind == "predict":
        answer.update(files, disagreement=None, segments=[figure])
    elif how != "hold":
        frames = [
            {"index": i, "mean_uncertainty": 0.07, "predicted_dice": 0.9, "segments": [figure]} for i in range(shape[0])
        ]
        say("chunk", job, indices=list(range(shape[0])), frames=frames, **files)
        answer.update(frames=shape[0], complete=True)
    perform(how, job, folder, answer)


def train(how: str, job: str, folder: Path, body: dict) -> bool:
    """Train as it is told, well if it is told nothing; say whether it waits to be told to stop or to finish."""
    total = body["iterations"] or 40
    fault = how.removeprefix("saved:")
    checkpoint = Path(body["out"]) / "checkpoints" / "last.ckpt"
    damaged = body["resume"] and checkpoint.read_bytes() != SAVED
    if damaged or (fault == "other-run" and body["resume"]):
        code = "bad-checkpoint" if damaged else fault
        say("failure", job, code=code, stage="reading", cause="It cannot be gone on with", remedy="Start again")
        return False
    if how != fault or how in ("", "well", *STAGES):
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_bytes(SAVED)
    if fault not in ("", "well", *STAGES):
        perform(fault, job, folder)
    else:
        for number in range(1, 5) if fault not in ("reading", "measuring") else ():
            tell_news(job, folder, number * total // 8, total, plateau=fault == "plateau")
        if fault in STAGES:
            stage = "training" if fault == "plateau" else fault
            say("progress", job, stage=stage, done=total // 2, total=total, seconds_left=75.0, values={})
            return True
        trained(job, Path(body["out"]), total, finished=True)
    return False


def tell_news(job: str, folder: Path, iteration: int, total: int, plateau: bool = False) -> None:
    """Tell of a training, with a measurement and a picture."""
    place = folder / f"job-{job}"
    files = {"image": 90, "labels": 1, "uncertainty": 30, "reference": 1}
    shown = {name: write(place / f"{name}-{iteration}.npy", (32, 48), value) for name, value in files.items()}
    dice = min(0.9, 0.1 * iteration)
    say(
        "chunk", job, iteration=iteration, iterations=total, seconds=float(iteration), unsupervised=0.25,
        terms={"supervised": 1 / iteration, "cross": 0.2}, plateau=plateau, memory_gib=1.25,
        validation={"iteration": iteration, "dice": [dice, None], "mean": dice, "voxels": 900, "cases": 2},
        preview={"case": "of nobody", "slice": None, "aspect": 1.0, **shown},
    )  # fmt: skip


def trained(job: str, out: Path, iterations: int, finished: bool) -> None:
    """End a training, with a model or without."""
    summary: dict[str, object] = {"finished": finished, "iterations": iterations, "model": None}
    if finished:
        out.mkdir(exist_ok=True)
        model = out / "model.semiseg"
        model.write_bytes(b"scripted")
        summary["model"] = str(model)
        (out / "summary.json").write_text(json.dumps(summary))
    say("result", job, finished=finished, model=summary["model"], summary=summary)


def shape_of(image: Path, rgb: bool) -> tuple[int, ...]:
    """Read the shape of a .npy file, without its colours."""
    data = image.open("rb").read(4096)
    shape = ast.literal_eval(data[10 : 10 + int.from_bytes(data[8:10], "little")].decode())["shape"]
    return shape[:-1] if rgb else shape


def write(path: Path, shape: tuple[int, ...], value: int) -> str:
    """Write a .npy file of one value."""
    header = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    count = 1
    for size in shape:
        count *= size
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes([value]) * count)
    return str(path)


def main(how: str, folder: Path, prediction: str = "") -> None:
    os.setsid()
    start(how, folder)
    held: tuple[str, Path, int] | None = None
    for line in sys.stdin.buffer:
        if not line.startswith(b"@semiseg "):
            continue
        message = json.loads(line[9:])
        kind, job, body = message["kind"], message["job"], message["body"]
        if kind == "shutdown":
            break
        if kind == "hello":
            say("started", job)
            if how == "no-torch":
                say("failure", job, code="missing-package", stage="starting", cause="No torch", remedy="Install it")
            else:
                say("result", job, **WELCOME)
        elif how == "deaf":  # as one that waits for a library to be loaded
            stay_alive()
        elif kind == "describe":
            say("started", job)
            perform(body["packs"][0] if body["packs"] else "", job, folder)
        elif kind in ("predict", "predict-frames"):
            say("started", job)
            turn, fault = prediction[:6], prediction[6:]
            now, prediction = {"first-": (fault, ""), "later-": ("", fault)}.get(turn, (prediction, prediction))
            predict(kind, now, job, folder, body)
        elif kind == "train":
            say("started", job)
            turn, fault = prediction[:6], prediction[6:]
            now, prediction = {"first-": (fault, ""), "later-": ("", fault)}.get(turn, (prediction, prediction))
            held = (job, Path(body["out"]), 20) if train(now, job, folder, body) else None
        elif kind in ("stop", "finish") and held is not None:
            trained(*held, finished=kind == "finish")
            held = None
        elif kind == "load":
            say("result", job, **LOADED)
        elif kind == "cancel":
            say("cancelled", job)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
