"""The command line on a tiny real data set: train, predict, evaluate, info."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from SemiSegCervicalLib.engine.pack import read_manifest, save_pack
from SemiSegTrainerLib.cli.app import run
from SemiSegTrainerLib.learning.method import get_method, method_names
from TrainingRig import cases, kill, parts


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return cases.write_dataset(tmp_path_factory.mktemp("data"), validation=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory, datalist):
    out = tmp_path_factory.mktemp("train") / "run"
    arguments = ["--method", "supervised", "--iterations", "12", "--seed", "3", "--size", "32x64", "--device", "cpu"]
    assert run(["train", str(datalist), *arguments, "--out", str(out)]) == 0
    return out / "model.semiseg"


@pytest.fixture
def tiny(tmp_path):
    return save_pack(tmp_path / "pack" / "tiny", parts.pack())


def test_train_writes_what_is_promised(model):
    out = model.parent
    assert sorted(p.name for p in out.iterdir()) == ["checkpoints", "history.csv", "model.semiseg", "summary.json"]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["method"] == "supervised"
    assert summary["iterations"] == 12
    assert summary["validation"]["cases_count"] == 1
    assert {"python", "torch", "monai", "numpy"} <= set(summary["versions"])
    with (out / "history.csv").open(newline="") as stream:
        assert [row["iteration"] for row in csv.DictReader(stream)] == ["10", "12"]


def test_every_method_is_named_where_one_is_asked_for(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")  # a narrow window breaks long names
    assert run(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    assert [name for name in (*method_names(), "semiseg") if not re.search(rf"\b{name}\b", shown)] == []


@pytest.mark.parametrize("name", method_names())
def test_every_method_trains_and_its_model_predicts(tmp_path, datalist, name):
    arguments = ["--method", name, "--iterations", "1", "--size", "32x64", "--device", "cpu", "--calibrate", "none"]
    if get_method(name).by_modality:
        datalist = cases.write_modalities(tmp_path / "data")
    assert run(["train", str(datalist), *arguments, "--out", str(tmp_path / "run")]) == 0
    model, wanted = tmp_path / "run" / "model.semiseg", ["--list", "test", "--out", str(tmp_path / "out")]
    assert run(["predict", str(model), str(datalist), *wanted]) == 0
    assert np.array(Image.open(tmp_path / "out" / "test0_labels.png")).shape == cases.SIZE


def test_train_without_some_terms(tmp_path, datalist, capsys):
    arguments = ["--method", "dual_uncertainty", "--iterations", "2", "--size", "32x64", "--device", "cpu"]
    less = ["--without", "prototype", "--without", "mistake", "--unlabelled-view", "strong", "--calibrate", "none"]
    assert run(["train", str(datalist), *arguments, *less, "--out", str(tmp_path / "run")]) == 0
    name = "dual_uncertainty on strong views without mistake, prototype"
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["method"] == name
    capsys.readouterr()
    wrong = ["--without", "nothing"]
    assert run(["train", str(datalist), *arguments, *wrong, "--out", str(tmp_path / "other")]) == 2
    assert "mistake, cross, rectified, agreement, prototype" in capsys.readouterr().err


def test_train_resumes_a_finished_run(model, datalist):
    before = model.read_bytes()
    arguments = ["--method", "supervised", "--iterations", "12", "--seed", "3", "--size", "32x64", "--device", "cpu"]
    assert run(["train", str(datalist), *arguments, "--out", str(model.parent), "--resume"]) == 0
    assert model.read_bytes() == before


def test_train_in_a_precision(tmp_path, datalist, capsys):
    arguments = ["train", str(datalist), "--method", "supervised", "--size", "32x64", "--device", "cpu"]
    arguments += ["--calibrate", "none", "--out", str(tmp_path / "run"), "--iterations", "2"]
    assert run([*arguments, "--precision", "half"]) == 2
    assert "Choose one of auto, float32, bfloat16" in capsys.readouterr().err
    for precision, named in (("bfloat16", "bf16-mixed"), ("float32", "32-true")):
        more = ["--resume"] if (tmp_path / "run").exists() else []
        assert run([*arguments, "--precision", precision, *more]) == 0
        assert json.loads((tmp_path / "run" / "summary.json").read_text())["precision"] == named


def test_train_by_time_takes_as_long_as_wished(tmp_path, datalist):
    arguments = ["--method", "supervised", "--minutes", "0.05", "--size", "32x64", "--device", "cpu"]
    assert run(["train", str(datalist), *arguments, "--calibrate", "none", "--out", str(tmp_path / "run")]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["iterations"] >= 10
    assert summary["finished"]


def test_nobody_is_told_that_a_model_learned_from_what_it_did_not(tmp_path, datalist, capsys):
    """In so little time the proposed method learns from annotated images alone, and so says all that tells of it."""
    unlabelled = len(json.loads(datalist.read_text())["unlabeled"])
    arguments = ["--minutes", "0.05", "--size", "32x64", "--device", "cpu", "--calibrate", "none"]
    assert run(["train", str(datalist), *arguments, "--out", str(tmp_path / "run")]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"Not learned from: {unlabelled} unlabelled cases, for which so short a run has no time" in said
    assert f"{unlabelled} unlabelled" not in said.replace(f"Not learned from: {unlabelled} unlabelled", "")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["method"], summary["unlabelled"], summary["not_learned_from"]) == ("supervised", 0, unlabelled)
    assert read_manifest(tmp_path / "run" / "model.semiseg").provenance.unlabelled == 0


def test_train_on_volumes_at_a_spacing(tmp_path):
    rng = np.random.default_rng(0)
    for name, array in (("v", rng.normal(size=(16, 40, 48)).astype(np.float32)), ("l", np.zeros((16, 40, 48)))):
        array[4:12, 10:30, 10:30] += 1
        image = sitk.GetImageFromArray(array.astype(np.uint8) if name == "l" else array)
        image.SetSpacing((0.5, 0.5, 1.0))
        sitk.WriteImage(image, str(tmp_path / f"{name}.nrrd"))
    content = {"labels": {"0": "background", "1": "box"}, "training": [{"image": "v.nrrd", "label": "l.nrrd"}]}
    path = str(cases.write_datalist(tmp_path, content))
    arguments = ["--method", "supervised", "--iterations", "1", "--device", "cpu", "--calibrate", "none"]
    wish = ["--spacing", "1x1x1.5", "--size", "16x24x16"]
    assert run(["train", path, *arguments, *wish, "--out", str(tmp_path / "run")]) == 0
    spec = read_manifest(tmp_path / "run" / "model.semiseg").input
    assert (spec.spacing, spec.size) == ((1.0, 1.0, 1.5), (16, 24, 16))


def test_train_says_what_was_not_measured(tmp_path, model, datalist, capsys):
    content = json.loads(datalist.read_text())
    moved = datalist.with_name("moved.json")
    content["training"], content["validation"] = content["training"][1:], content["training"][:1]
    moved.write_text(json.dumps(content))
    arguments = ["--method", "supervised", "--iterations", "1", "--device", "cpu", "--model", str(model)]
    assert run(["train", str(moved), *arguments, "--calibrate", "none", "--out", str(tmp_path / "run")]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "Not measured: 1 of 1 validation images was left out: the starting model had learned from it" in said


@pytest.mark.parametrize(("size", "small"), [("64x96", {"spot": 0.0}), ("288x448", {})])
def test_train_says_which_segments_its_grid_hides(tmp_path, capsys, size, small):
    """Seen by the annotator, and lost on a grid so much coarser: that is not "never shown"."""
    labels = np.zeros((400, 600), dtype=np.uint8)
    labels[100:250, 100:300] = 1
    labels[302:306, 108::100] = 2
    Image.fromarray(labels).save(tmp_path / "label.png")
    Image.fromarray(50 * labels).save(tmp_path / "image.png")
    listed = {"labels": {"1": "organ", "2": "spot"}, "training": [{"image": "image.png", "label": "label.png"}]}
    (tmp_path / "list.json").write_text(json.dumps(listed))
    arguments = [
        "--method",
        "supervised",
        "--iterations",
        "1",
        "--device",
        "cpu",
        "--calibrate",
        "none",
        "--size",
        size,
    ]
    assert run(["train", str(tmp_path / "list.json"), *arguments, "--out", str(tmp_path / "run")]) == 0
    said = " ".join(capsys.readouterr().err.split())
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["segments_small"] == small
    assert ("Hardly seen" in said) == bool(small)
    assert summary["segments_never_shown"] == []


def test_train_says_which_segments_it_was_never_shown(tmp_path, datalist, capsys):
    content = json.loads(datalist.read_text())
    content["labels"] |= {"7": "ghost"}
    more = datalist.with_name("more.json")
    more.write_text(json.dumps(content))
    arguments = ["--method", "supervised", "--iterations", "1", "--size", "32x64", "--device", "cpu"]
    assert run(["train", str(more), *arguments, "--calibrate", "none", "--out", str(tmp_path / "run")]) == 0
    assert "Not learned: no training case shows ghost" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["segments_never_shown"] == ["ghost"]


def test_a_copy_of_what_the_model_learned_from_is_pointed_out(tmp_path, model, datalist, capsys):
    """Whatever it is called and wherever it lies: it is no test of the model."""
    for name in ("image", "label"):
        end = "_label.png" if name == "label" else ".png"
        (tmp_path / f"copy{end}").write_bytes((datalist.parent / f"training0{end}").read_bytes())
    (tmp_path / "new.png").write_bytes((datalist.parent / "test0.png").read_bytes())
    images = [str(tmp_path / name) for name in ("copy.png", "new.png")]
    assert run(["predict", str(model), *images, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    rows = {row["case"]: row for row in json.loads((tmp_path / "out" / "summary.json").read_text())["cases"]}
    assert {name: row["learned_from"] for name, row in rows.items()} == {"copy": 1, "new": 0}
    assert any("no test of the model" in note for note in rows["copy"]["notes"])
    assert "no test of the model: copy" in " ".join(capsys.readouterr().err.split())
    figures = tmp_path / "figures.json"
    assert run(["evaluate", str(tmp_path / "out"), str(tmp_path), "--out", str(figures)]) == 0
    assert json.loads(figures.read_text())["learned_from"] == ["copy"]
    assert "1 image that the model had learned from" in " ".join(capsys.readouterr().err.split())


def test_predict_and_evaluate_a_list(tmp_path, model, datalist, capsys):
    out = tmp_path / "predictions"
    assert run(["predict", str(model), str(datalist), "--list", "test", "--out", str(out), "--uncertainty"]) == 0
    names = [f"test{i}_{kind}.png" for i in (0, 1) for kind in ("labels", "uncertainty")]
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "summary.json"])
    summary = json.loads((out / "summary.json").read_text())
    assert summary["backend"] == "torch"
    for case in summary["cases"]:
        labels = np.asarray(Image.open(out / case["labels"]))
        doubt = np.asarray(Image.open(out / case["uncertainty"]))
        assert labels.shape == doubt.shape == cases.SIZE
        assert labels.dtype == doubt.dtype == np.uint8
        for segment in case["segments"]:
            assert segment["voxels"] == int((labels == segment["value"]).sum())
            assert segment["size"] == pytest.approx(segment["voxels"] * 0.125)
            assert segment["size_unit"] == "mm2"
        assert case["mean_uncertainty"] == pytest.approx(float(doubt.mean()) / 255, abs=0.01)
    figures = tmp_path / "figures.json"
    assert run(["evaluate", str(out), str(datalist), "--list", "test", "--out", str(figures)]) == 0
    result = json.loads(figures.read_text())
    assert result["cases_count"] == 2
    assert set(result["segments"]) == {"bright", "dark"}
    for case in result["cases"]:
        labels = np.asarray(Image.open(out / f"{case['case']}_labels.png"))
        reference = np.asarray(Image.open(datalist.parent / f"{case['case']}_label.png"))
        overlap = 2 * ((labels == 1) & (reference == 1)).sum() / ((labels == 1).sum() + (reference == 1).sum())
        assert case["segments"]["bright"]["dice"] == pytest.approx(overlap)
    # The same by folders; there the summary names the segments.
    assert run(["evaluate", str(out), str(datalist.parent), "--out", str(tmp_path / "folders.json")]) == 0
    by_folder = json.loads((tmp_path / "folders.json").read_text())
    assert by_folder["dice"] == pytest.approx(result["dice"])
    assert set(by_folder["segments"]) == {"bright", "dark"}
    assert "training0" in by_folder["references_without_prediction"]


def test_evaluate_counts_segments_that_only_the_prediction_has(tmp_path):
    for folder, labels in (("p", [0, 1, 2, 2]), ("r", [0, 1, 0, 0])):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.array([labels] * 4, dtype=np.uint8)).save(tmp_path / folder / "a_seg.png")
    out = tmp_path / "f.json"
    assert run(["evaluate", str(tmp_path / "p"), str(tmp_path / "r"), "--out", str(out)]) == 0
    assert json.loads(out.read_text())["failures"] == 1


def test_images_beside_label_maps_are_no_references(tmp_path):
    for folder in ("p", "r"):
        cases.write_case(tmp_path / folder, "a", 0)
    cases.write_case(tmp_path / "r", "b", 1, labelled=False)
    (tmp_path / "p" / "a.png").unlink()
    out = tmp_path / "f.json"
    assert run(["evaluate", str(tmp_path / "p"), str(tmp_path / "r"), "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["dice"] == 1.0
    assert result["references_without_prediction"] == []


def test_predict_keeps_the_grid_of_every_input(tmp_path, tiny):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (37, 53, 3), dtype=np.uint8)).save(tmp_path / "colour.png")
    image = sitk.GetImageFromArray(rng.integers(-9, 500, (1, 41, 29)).astype(np.int16))
    image.SetSpacing((0.4, 0.9, 5.0))
    image.SetOrigin((3.0, -7.0, 11.0))
    image.SetDirection((-1, 0, 0, 0, 0, 1, 0, 1, 0))
    sitk.WriteImage(image, str(tmp_path / "slice.nrrd"))
    out = tmp_path / "out"
    inputs = [str(tmp_path / "colour.png"), str(tmp_path / "slice.nrrd")]
    assert run(["predict", str(tiny), *inputs, "--out", str(out), "--uncertainty"]) == 0
    assert Image.open(out / "colour_labels.png").size == (53, 37)
    for kind, pixel in (("labels", sitk.sitkUInt8), ("uncertainty", sitk.sitkFloat32)):
        result = sitk.ReadImage(str(out / f"slice_{kind}.nrrd"))
        assert result.GetPixelID() == pixel
        for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(result, get)() == getattr(image, get)()
    rows = json.loads((out / "summary.json").read_text())["cases"]
    assert [row["from_rgb"] for row in rows] == [True, False]
    assert rows[0]["segments"][0]["size"] is None
    assert rows[1]["segments"][0]["size_unit"] == "mm2"


def test_predict_frames_of_a_stack(tmp_path, tiny):
    stack = np.random.default_rng(0).normal(size=(10, 21, 33)).astype(np.float32)
    image = sitk.GetImageFromArray(stack)
    image.SetSpacing((0.5, 0.25, 1.0))
    sitk.WriteImage(image, str(tmp_path / "cine.nrrd"))
    for k in (0, 9):
        sitk.WriteImage(sitk.GetImageFromArray(stack[k : k + 1]), str(tmp_path / f"frame{k}.nrrd"))
    names = [str(tmp_path / f"{n}.nrrd") for n in ("cine", "frame0", "frame9")]
    out = tmp_path / "out"
    assert run(["predict", str(tiny), *names, "--out", str(out), "--as-frames", "--uncertainty"]) == 0
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "cine_labels.nrrd")))
    assert labels.shape == (10, 21, 33)
    for k in (0, 9):
        alone = sitk.GetArrayFromImage(sitk.ReadImage(str(out / f"frame{k}_labels.nrrd")))[0]
        assert np.mean(labels[k] == alone) > 0.999
    assert sitk.ReadImage(str(out / "cine_uncertainty.nrrd")).GetPixelID() == sitk.sitkUInt8
    frames = json.loads((out / "summary.json").read_text())["cases"][0]["frames"]
    assert [f["frame"] for f in frames] == list(range(10))
    assert frames[9]["segments"][0]["voxels"] == int((labels[9] == 1).sum())


def test_predict_names_of_a_datalist_stay_in_the_folder(tmp_path, tiny):
    cases.write_case(tmp_path, "a", 0)
    path = cases.write_datalist(tmp_path, {"labels": cases.LABELS, "test": [{"image": "a.png", "id": "../../seq:1"}]})
    out = tmp_path / "deep" / "er" / "out"
    assert run(["predict", str(tiny), str(path), "--out", str(out)]) == 0
    assert len(list(out.iterdir())) == 2
    assert not (tmp_path / "deep" / "seq:1_labels.png").exists()


def test_info_for_people_and_programs(model, capsys):
    assert run(["info", str(model)]) == 0
    text = capsys.readouterr().out
    for expected in ("bright", "dark", "ultrasound", "32 x 64", "residual_unet", "supervised", "not trained on"):
        assert expected in text
    assert run(["info", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "run"


def test_info_shows_brackets_as_they_are(tmp_path, capsys):
    path = save_pack(tmp_path / "a", parts.pack(name="[/nonsense] [red]x", licence="[bold"))
    assert run(["info", str(path)]) == 0
    text = capsys.readouterr().out
    assert "[/nonsense] [red]x" in text
    assert "not calibrated" in text


def test_events_for_programs(tmp_path, tiny, datalist, capsys):
    source = str(datalist.parent / "test0.png")
    assert run(["predict", str(tiny), source, "--out", str(tmp_path / "out"), "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in events] == ["progress", "case", "progress"]
    assert {"stage", "done", "total", "seconds_left"} <= set(events[0])
    assert run(["predict", str(tiny), source, "--out", str(tmp_path / "out"), "--json"]) == 2
    event = json.loads(capsys.readouterr().out)
    assert event["event"] == "error"
    assert event["code"] == "exists"
    assert event["remedy"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_interrupt_is_no_defect(tmp_path, datalist):
    command = [sys.executable, "-m", "SemiSegTrainerLib.cli.app", "train", str(datalist), "--out", str(tmp_path / "o")]
    more = ["--iterations", "100000", "--size", "32x64", "--device", "cpu", "--json"]
    process = subprocess.Popen(
        [*command, *more], env=kill.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell's background job hands the signal down as ignored, and Python leaves it so.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    for line in process.stdout:
        if '"training"' in line:
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in complaint
    assert complaint.strip().splitlines()[-1] == "semiseg: stopped"
