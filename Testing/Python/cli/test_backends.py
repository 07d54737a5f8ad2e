"""What the command line says of what computed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.pack import save_pack
from SemiSegTrainerLib.cli.app import run
from TrainingRig import cases, parts


@pytest.fixture
def job(tmp_path):
    cases.write_case(tmp_path, "one", 1, labelled=False)
    model = save_pack(tmp_path / "pack" / "tiny", parts.pack())
    return ["predict", str(model), str(tmp_path / "one.png"), "--device", "cpu", "--out", str(tmp_path / "out")]


def test_summary_says_what_computed(job, tmp_path):
    assert run([*job, "--backend", "torch", "--memory", "0.5"]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    wanted = {"backend": "torch", "precision": "float32", "device": "cpu", "notes": []}
    assert {key: summary[key] for key in wanted} == wanted
    assert {key: summary["cases"][0][key] for key in wanted} == wanted
    assert summary["agreement"] is None


@pytest.mark.parametrize("more", [["--backend", "tensorrt"], ["--backend", "openvino", "--device", "mps"]])
def test_what_cannot_be_had_is_the_users_fault(job, capsys, more):
    assert run([*job, *more]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("memory", ["0", "nan", "inf", "much"])
def test_memory_must_be_some(job, capsys, memory):
    assert run([*job, "--memory", memory]) == 2
    assert "--memory" in capsys.readouterr().err


def test_further_views_vote(job, tmp_path):
    assert run([*job, "--uncertainty", "--out", str(tmp_path / "one")]) == 0
    assert run([*job, "--uncertainty", "--out", str(tmp_path / "three"), "--tta", "2"]) == 0
    alone, voted = (read_image([tmp_path / name / "one_uncertainty.png"]).array for name in ("one", "three"))
    assert not np.array_equal(alone, voted)
    assert run([*job, "--tta", "100"]) == 2
