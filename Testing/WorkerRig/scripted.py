"""A worker that speaks the protocol and misbehaves as it is told; standard library only, nothing of ours is imported.

python scripted.py START PRIVATE_FOLDER

START is how the process begins. After that each ``describe`` job's first pack names how it is done.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

PROTOCOL = 1
WELCOME = {
    "python": "3", "versions": {}, "threads": 1,
    "devices": [{"name": "cpu", "label": "scripted", "works": True}],
}  # fmt: skip
CARDS = {"models": [{"path": "here"}]}
STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)\n"


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


def perform(how: str, job: str, folder: Path) -> None:
    """Do a job; what returns has answered."""
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
    say("result", job, **CARDS)


def main(how: str, folder: Path) -> None:
    os.setsid()
    start(how, folder)
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
        elif kind == "describe":
            say("started", job)
            perform(body["packs"][0], job, folder)
        elif kind == "cancel":
            say("cancelled", job)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
