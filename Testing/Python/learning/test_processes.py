"""Several processes, started as `torchrun` starts them, train what a single one trains."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys

import pytest
import torch
from SemiSegTrainerLib.learning.checkpoint import load_checkpoint
from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.processes import Team, team
from SemiSegTrainerLib.learning.run import train_model
from SemiSegTrainerLib.learning.training import Settings
from TrainingRig import cases, parts


def torchrun(count, *arguments):
    """Run `semiseg train` in several processes; return what ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}", f"--master-port={port}"]
    command = [*launcher, "-m", "SemiSegTrainerLib.cli.app", "train", *map(str, arguments)]
    told = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}
    # The launcher's own words are UTF-8, whatever the terminal's are.
    return subprocess.run(command, env=told, capture_output=True, encoding="utf-8", errors="replace", timeout=240)


def rows(folder):
    with open(folder / "history.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("rows_", [1, 2, 7, 8])
def test_every_row_is_looked_at_once(rows_):
    shares = Team(size=3).share(rows_)
    assert sum(shares) == rows_
    assert max(shares) - min(shares) <= 1


def test_alone_nothing_is_shared(monkeypatch):
    # Variables that other launchers leave behind start no wait for processes that never come.
    monkeypatch.setenv("WORLD_SIZE", "4")
    team.cache_clear()
    assert team() == Team()
    network = object()
    assert Team().sharing(network) is network
    assert Team().agree(network) is network


# With three processes the shares differ; C has perturbed features, weight averages, embeddings and voxels.
def test_a_step_of_three_processes_is_that_of_one(tmp_path):
    datalist = cases.write_dataset(tmp_path / "data", labelled=3, unlabelled=4)
    options = ["--method", "multiscale_contrast", "--iterations", "1", "--size", "64x64", "--device", "cpu"]
    settings = Settings(iterations=1)
    alone = RunOptions("multiscale_contrast", settings=settings, device="cpu", size=(64, 64), calibrate="none")
    train_model(datalist, tmp_path / "one", alone)
    done = torchrun(3, datalist, *options, "--calibrate", "none", "--out", tmp_path / "three")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("Model:") == 1
    (expected,), (found,) = rows(tmp_path / "one"), rows(tmp_path / "three")
    assert found == pytest.approx(expected, rel=1e-4)
    assert found["gradient_norm"] > 0
    assert json.loads((tmp_path / "three" / "summary.json").read_text())["finished"]
    one, three = (parts.model_weights(tmp_path / name / "model.semiseg") for name in ("one", "three"))
    for name, weight in one.items():
        torch.testing.assert_close(three[name], weight, atol=2e-4, rtol=1e-3)


def test_what_one_process_began_two_end_with_folds_and_by_the_clock(tmp_path):
    datalist = cases.write_dataset(tmp_path / "data", labelled=4, unlabelled=2)
    out = tmp_path / "run"
    options = RunOptions("cross_supervision", settings=Settings(iterations=6), device="cpu", size=(64, 64))
    left = iter([False, False, True])
    assert not train_model(datalist, out, options, should_stop=lambda: next(left))["finished"]
    assert load_checkpoint(out / "checkpoints" / "last.ckpt")["iteration"] == 2
    given = ["--method", "cross_supervision", "--size", "64x64", "--device", "cpu", "--calibrate", "folds"]
    done = torchrun(2, datalist, *given, "--iterations", "6", "--resume", "--out", out)
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["finished"]
    assert summary["iterations"] == 6
    assert "held out of two trainings" in summary["calibration"]["fitted_on"]
    timed = torchrun(2, datalist, *given[:-1], "none", "--minutes", "0.05", "--out", tmp_path / "timed")
    assert timed.returncode == 0, timed.stderr[-3000:]
    assert json.loads((tmp_path / "timed" / "summary.json").read_text())["iterations"] >= 10


def test_what_the_leading_process_refuses_ends_all(tmp_path):
    datalist = cases.write_dataset(tmp_path / "data", labelled=2, unlabelled=1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    done = torchrun(2, datalist, "--device", "cpu", "--out", tmp_path / "run")
    assert done.returncode != 0
    assert "already holds files" in done.stderr
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]
