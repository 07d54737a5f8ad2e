"""Bad input: exit status 2, one line of cause and remedy on standard error, nothing written over."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk
from house.environment import with_libraries
from PIL import Image
from SemiSegCervicalLib.engine.pack import save_pack
from SemiSegTrainerLib.cli.app import run
from TrainingRig import cases, kill, parts

QUICK = ["--iterations", "1", "--size", "32x64", "--device", "cpu"]


@pytest.fixture
def place(tmp_path):
    """A data set, a pack, and nothing else."""
    path = cases.write_dataset(tmp_path / "data", labelled=2, unlabelled=1, test=1)
    save_pack(tmp_path / "tiny.semiseg", parts.pack())
    return path


def snapshot(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(capfd, folder, *arguments, says=""):
    """Run a command that must fail; return its line."""
    before = snapshot(folder)
    capfd.readouterr()
    status = run([str(a) for a in arguments])
    complaint = capfd.readouterr().err
    assert status == 2, complaint
    lines = complaint.strip().splitlines()
    assert len(lines) == 1, complaint
    assert lines[0].startswith("semiseg: ")
    assert lines[0].count(". ") >= 1, "a cause and a remedy"
    assert says in lines[0]
    after = snapshot(folder)
    assert all(after.get(p) == content for p, content in before.items()), "something was written over"
    return after.keys() - before.keys()


def save(path, array):
    Image.fromarray(array).save(path)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def nan_image(path):
    array = np.full((1, 32, 48), np.nan, dtype=np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path.parent / "nan.nrrd"))
    edit(path, lambda c: c["unlabeled"][0].update(image="nan.nrrd"))


def volume_among_pictures(path):
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 32, 48), dtype=np.float32)), str(path.parent / "volume.nrrd"))
    edit(path, lambda c: c["unlabeled"][0].update(image="volume.nrrd", spacing=None))


def empty_labels(path):
    for i in range(2):
        save(path.parent / f"training{i}_label.png", np.zeros(cases.SIZE, dtype=np.uint8))


FAULTS = {
    "missing datalist": (lambda p: p.unlink(), "no datalist"),
    "damaged datalist": (lambda p: p.write_text("{"), "not a usable datalist"),
    "missing image": (lambda p: (p.parent / "unlabeled0.png").unlink(), "unlabeled0.png"),
    "unreadable image": (lambda p: (p.parent / "unlabeled0.png").write_bytes(b"\x89PNG junk"), "unlabeled0.png"),
    "missing label map": (lambda p: (p.parent / "training1_label.png").unlink(), "training1_label.png"),
    "label map of another size": (
        lambda p: save(p.parent / "training1_label.png", np.zeros((9, 9), dtype=np.uint8)),
        "9 x 9",
    ),
    "labels outside the class list": (
        lambda p: save(p.parent / "training1_label.png", np.full(cases.SIZE, 5, dtype=np.uint8)),
        "value 5",
    ),
    "no labelled case": (lambda p: edit(p, lambda c: c.update(training=[])), "labelled"),
    "no case": (lambda p: edit(p, lambda c: c.update(training=[], unlabeled=[])), "no training case"),
    "empty label everywhere": (empty_labels, "empty"),
    "image without numbers": (nan_image, "nan.nrrd"),
    "volume among pictures": (volume_among_pictures, "List either images or volumes"),
    "trained and tested": (lambda p: edit(p, lambda c: c.update(test=c["training"])), "also trained on"),
    "class list without segments": (lambda p: edit(p, lambda c: c.update(labels={"0": "x"})), "one segment or more"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_training_data(tmp_path, place, capfd, fault):
    spoil, says = FAULTS[fault]
    spoil(place)
    new = refused(capfd, tmp_path, "train", place, "--out", tmp_path / "out", *QUICK, says=says)
    assert not new
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--method", "magic"], "magic"),
        (["--device", "abacus"], "abacus"),
        (["--device", "mps"], "mps"),
        (["--size", "33x47"], "32"),
        (["--size", "16x16"], "16"),
        (["--size", "9000x9000"], "9000"),
        (["--size", "large"], "large"),
        (["--size", "32x32x32"], "2 dimensions"),
        (["--minutes", "1"], "--minutes"),
        (["--model", "nowhere.semiseg"], "nowhere.semiseg"),
        (["--resume"], "checkpoint"),
    ],
)
def test_faults_of_training_options(tmp_path, place, capfd, options, says):
    base = [o for o in QUICK if not ({"--size", "--device"} & set(options) and o in (*QUICK[2:],))]
    new = refused(capfd, tmp_path, "train", place, "--out", tmp_path / "out", *base, *options, says=says)
    assert not new


@pytest.mark.parametrize("minutes", ["nan", "inf", "0", "1e9"])
def test_a_time_is_a_number_of_minutes(tmp_path, place, capfd, minutes):
    status = run(["train", str(place), "--minutes", minutes, "--out", str(tmp_path / "out")])
    said = capfd.readouterr().err
    assert status == 2
    assert "--minutes" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["train", "predict"])
def test_folder_with_results_is_not_touched(tmp_path, place, capfd, command):
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.semiseg").write_text("precious")
    first = {"train": [place, *QUICK], "predict": [tmp_path / "tiny.semiseg", place.parent / "test0.png"]}[command]
    assert not refused(capfd, tmp_path, command, *first, "--out", out, says="already holds")
    (tmp_path / "file").write_text("x")
    assert not refused(capfd, tmp_path, command, *first, "--out", tmp_path / "file", says="file")


def test_evaluate_does_not_write_over_its_file(tmp_path, place, capfd):
    (tmp_path / "figures.json").write_text("precious")
    refused(capfd, tmp_path, "evaluate", place.parent, place.parent, "--out", tmp_path / "figures.json", says="exists")


def foreign(path):
    path.write_bytes(b"PK\x03\x04 not really")


def pickled(path):
    with zipfile.ZipFile(path) as archive:
        content = {n: archive.read(n) for n in archive.namelist()}
    content["branch-1.safetensors"] = pickle.dumps(Bomb())
    rewrite(path, content)


def escaping(path):
    with zipfile.ZipFile(path) as archive:
        content = {n: archive.read(n) for n in archive.namelist()}
    rewrite(path, {**content, "../escaped": b"evil"})


def rewrite(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("spoil", [foreign, pickled, escaping, lambda p: p.unlink()])
@pytest.mark.parametrize("command", ["info", "predict", "train"])
def test_bad_packs(tmp_path, place, capfd, monkeypatch, command, spoil):
    monkeypatch.chdir(tmp_path)
    pack = tmp_path / "tiny.semiseg"
    spoil(pack)
    arguments = {
        "info": [pack],
        "predict": [pack, place.parent / "test0.png", "--out", tmp_path / "out"],
        "train": [place, "--model", pack, "--out", tmp_path / "out", "--iterations", "1"],
    }[command]
    assert not refused(capfd, tmp_path, command, *arguments, says="tiny.semiseg")
    assert not {"executed", "escaped", "out"} & {p.name for p in tmp_path.rglob("*")}


def test_bad_inputs_of_prediction(tmp_path, place, capfd):
    pack, out, folder = tmp_path / "tiny.semiseg", tmp_path / "out", place.parent
    image = folder / "test0.png"
    (folder / "text.png").write_text("hello")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "test0.png").write_bytes(image.read_bytes())
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 8, 8), dtype=np.uint8)), str(folder / "volume.nrrd"))
    for inputs, says in (
        ([folder / "none.png"], "none.png"),
        ([folder / "text.png"], "text.png"),
        ([image, tmp_path / "other" / "test0.png"], "test0"),
        ([folder / "volume.nrrd"], "volume.nrrd"),
        ([place, "--list", "tset"], "tset"),
        ([place, "--list", "validation"], "empty"),
        ([image, "--device", "abacus"], "abacus"),
    ):
        assert not refused(capfd, tmp_path, "predict", pack, *inputs, "--out", out, says=says)
        assert not out.exists()


def test_a_case_that_cannot_be_read_leaves_those_before_it_complete(tmp_path, place, capfd):
    (tmp_path / "bad.png").write_text("hello")
    images, out = [place.parent / "test0.png", tmp_path / "bad.png"], tmp_path / "out"
    new = refused(capfd, tmp_path, "predict", tmp_path / "tiny.semiseg", *images, "--out", out, says="cases before (1)")
    assert {path.name for path in new} == {"test0_labels.png", "summary.json"}
    summary = json.loads((out / "summary.json").read_text())
    assert [row["case"] for row in summary["cases"]] == ["test0"]
    assert run(["evaluate", str(out), str(place.parent), "--out", str(tmp_path / "figures.json")]) == 0


def test_bad_inputs_of_evaluation(tmp_path, place, capfd):
    out, folder, empty = tmp_path / "f.json", place.parent, tmp_path / "empty"
    empty.mkdir()
    double = tmp_path / "double"
    for name in ("a", "b"):
        cases.write_case(double, name, 0)
    (double / "b_label.png").rename(double / "a_seg.png")
    for arguments, says in (
        ([tmp_path / "none", folder], "none"),
        ([folder, tmp_path / "none"], "none"),
        ([empty, folder], "No prediction"),
        ([empty, place], "without a prediction"),
        ([folder, place, "--list", "tset"], "tset"),
        ([folder, place, "--list", "validation"], "The list validation of"),
        ([double, folder], "same case"),
    ):
        assert not refused(capfd, tmp_path, "evaluate", *arguments, "--out", out, says=says)
    save(folder / "test0_label.png", np.zeros((5, 5), dtype=np.uint8))
    predictions = tmp_path / "predictions"
    predictions.mkdir()
    save(predictions / "test0_labels.png", np.zeros(cases.SIZE, dtype=np.uint8))
    refused(capfd, tmp_path, "evaluate", predictions, place, "--out", out, says="5 x 5")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("command", ["train", "predict"])
def test_full_disk(tmp_path, place, command):
    """A limit on the size of files does what a full disk does: writing fails half way."""
    rng = np.random.default_rng(0)
    sitk.WriteImage(
        sitk.GetImageFromArray(rng.normal(size=(1, 300, 300)).astype(np.float32)), str(tmp_path / "scan.nii")
    )
    arguments = {
        "train": [str(place), *QUICK],
        "predict": [str(tmp_path / "tiny.semiseg"), str(tmp_path / "scan.nii"), "--uncertainty"],
    }[command]
    code = (
        "import resource, signal, sys\n"
        "from SemiSegTrainerLib.cli.app import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "main()\n"
    )
    command_line = [sys.executable, "-c", code, command, *arguments, "--out", str(tmp_path / "out")]
    done = subprocess.run(command_line, env=kill.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert "could not be written" in lines[0]
    assert "Free some space" in lines[0]
    left = [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert not left, "nothing half written stays"
    if command == "train":
        assert run(["train", *arguments, "--out", str(tmp_path / "out")]) == 0, "with space again, the run works"


def test_a_name_that_is_too_long_is_no_defect(tmp_path, place, capfd):
    out = tmp_path / ("n" * 300)
    pack, image = tmp_path / "tiny.semiseg", place.parent / "test0.png"
    assert not refused(capfd, tmp_path, "train", place, *QUICK, "--out", out, says="nnn")
    assert not refused(capfd, tmp_path, "predict", pack, image, "--out", out, says="nnn")
    assert not refused(capfd, tmp_path, "evaluate", place.parent, place, "--out", out, says="nnn")
    assert not refused(capfd, tmp_path, "predict", pack, out, "--out", tmp_path / "out", says="nnn")


@pytest.mark.parametrize("name", ["lip [left]", "lip [/]"])
def test_names_with_brackets_are_said_as_they_are(tmp_path, place, capfd, name):
    edit(place, lambda c: c["labels"].update({"1": name}))
    out = tmp_path / "figures [2].json"
    assert run(["evaluate", str(place.parent), str(place), "--out", str(out)]) == 0
    said = capfd.readouterr().err
    assert f"{name}: Dice 1" in said
    assert str(out) in said


def test_usage_errors(capfd):
    for arguments in (["train"], ["train", "a.json", "--out", "b", "--nonsense"], ["dance"]):
        assert run(arguments) == 2
        assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_output_that_lacks_a_character_is_written_all_the_same(tmp_path, more):
    pack = save_pack(tmp_path / "tiny", parts.pack(name="Gebärmutterhals 子宮"))
    done = subprocess.run(
        [sys.executable, "-m", "SemiSegTrainerLib.cli.app", "info", str(pack), *more],
        capture_output=True, env=with_libraries(PYTHONIOENCODING="cp1252", COLUMNS="200"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode("cp1252")
    if more:
        assert done.stdout.isascii()
        assert json.loads(done.stdout)["name"] == "Gebärmutterhals 子宮"
    else:
        assert "Gebärmutterhals" in done.stdout.decode("cp1252")
