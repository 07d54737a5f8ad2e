"""Trainings that are killed or whose disk is full: what was learned is kept, and nothing of the user's is touched."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from SemiSegCervicalLib.engine.pack import read_manifest
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.worker.protocol import Hello
from SemiSegCervicalLib.worker.subprocess_transport import local_client
from SemiSegCervicalLib.worker.validation import plain
from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.run import MODEL, train_model
from SemiSegTrainerLib.learning.training import Settings
from SemiSegTrainerLib.worker.protocol import LIBRARIES, SERVER_MODULE, Part, Train
from TrainingRig import cases, kill, parts
from WorkerRig.processes import alive, until

pytestmark = [pytest.mark.torch, pytest.mark.skipif(sys.platform != "linux", reason="needs signals and limits")]
PATIENCE = 300
BRANCHES = tuple(Part(name, arguments) for name, arguments in parts.TINY)


def contents(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def message(datalist, out, iterations, method="supervised", **more):
    return Train(
        str(datalist), str(out), method, iterations=iterations, size=cases.SIZE, branches=BRANCHES, device="cpu",
        preview_seconds=0.1, validate_seconds=0.1, **more,
    )  # fmt: skip


def start(train, temporary):
    command = [sys.executable, "-m", "TrainingRig.program", json.dumps(plain(train)), str(temporary)]
    return subprocess.Popen(command, env=kill.environment(), stdout=subprocess.PIPE, text=True)


def kill_both(program, stage, moment):
    """Kill a program and its worker at once, at a moment of a stage; return how far it had come."""
    left = moment.randint(1, 3)
    for line in program.stdout:
        pid, said, done = line.split()
        left -= said == stage
        if left == 0:
            worker = int(pid)
            for process in (worker, program.pid):
                os.kill(process, signal.SIGKILL)
            program.wait()
            assert until(lambda pid=worker: not alive(pid))
            return int(done)
    raise AssertionError(f"it ended with {program.wait()} before it was killed")


def test_worker_and_program_killed_together(tmp_path):
    """Once in the training and once in its calibration, and the model is that of a run which nobody killed."""
    datalist = cases.write_dataset(tmp_path / "data", validation=1)
    (tmp_path / "temporary").mkdir()
    before = contents(tmp_path / "data")
    moment = random.Random(7)
    train = message(datalist, tmp_path / "killed", 120, "cross_supervision", calibrate="folds")
    assert 0 < kill_both(start(train, tmp_path / "temporary"), "training", moment) < 120
    again = replace(train, resume=True)
    kill_both(start(again, tmp_path / "temporary"), "calibrating", moment)
    assert not (tmp_path / "killed" / "model.semiseg").exists()
    assert contents(tmp_path / "data") == before

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes that were killed
    try:
        for out in ("killed", "whole"):
            options = RunOptions(
                "cross_supervision", Settings(iterations=120), "cpu", size=cases.SIZE, branches=parts.TINY,
                calibrate="folds", resume=out == "killed",
            )  # fmt: skip
            train_model(datalist, tmp_path / out, options)
    finally:
        torch.set_num_threads(threads)
    assert parts.same(*(parts.model_weights(tmp_path / out) for out in ("killed", "whole")))
    killed, whole = (read_manifest(tmp_path / out / MODEL) for out in ("killed", "whole"))
    assert killed.calibration == whole.calibration
    with local_client(temporary=tmp_path / "temporary", log=tmp_path / "worker.log") as client:
        client.prepare()
        assert len(list((tmp_path / "temporary").glob("semiseg-worker-*"))) == 1, "the next one removes what was left"


def test_a_full_disk_in_the_middle_of_a_run(tmp_path):
    """The process may write no file of more than a few bytes, as if there were no room for them."""
    import resource

    datalist = cases.write_dataset(tmp_path / "data", validation=1)
    before = contents(tmp_path / "data")

    def trained(out, resume=False):
        answer = client.wait(client.submit(replace(train, out=str(tmp_path / out), resume=resume)), PATIENCE)
        return parts.model_weights(answer.model)

    train = message(datalist, tmp_path / "full", 200, calibrate="none")
    hello = Hello(modules=(SERVER_MODULE,))
    with local_client(libraries=LIBRARIES, hello=hello, temporary=tmp_path, log=tmp_path / "log" / "w.log") as client:
        news = []
        job = client.submit(train, on_chunk=news.append)
        client.wait_until(lambda: job.ended or any(n.iteration > 5 for n in news), PATIENCE)
        checkpoint = tmp_path / "full" / "checkpoints" / "last.ckpt"
        saved = checkpoint.read_bytes()
        unlimited = resource.prlimit(client.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        client.stop(job)
        with pytest.raises(SemiSegError) as caught:
            client.wait(job, PATIENCE)
        assert caught.value.code == "cannot-write"
        assert str(checkpoint) in caught.value.cause
        assert "space" in caught.value.remedy
        assert checkpoint.read_bytes() == saved, "the last good one stays"
        assert [p.name for p in checkpoint.parent.iterdir()] == ["last.ckpt"]
        assert contents(tmp_path / "data") == before
        resource.prlimit(client.pid, resource.RLIMIT_FSIZE, unlimited)
        assert parts.same(trained("full", resume=True), trained("whole"))
