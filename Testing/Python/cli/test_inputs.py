"""What `semiseg predict` takes: DICOM, sequences, and cases of several modalities of which some may be missing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from SemiSegCervicalLib.engine.files import read_image, read_labels
from SemiSegCervicalLib.engine.pack import save_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import BranchSpec, InputSpec
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.cli.app import run
from SemiSegTrainerLib.cli.cases import gather_cases, parse_case
from TrainingRig import cases, dicom, parts

NAMES = ("flair", "t1post", "T1,post")


def two_modalities(first=(0,), second=(1,), names=("flair", "t1post")):
    branches = tuple(
        BranchSpec(file=f"branch-{i}.safetensors", architecture=name, arguments=arguments, modalities=reads)
        for i, ((name, arguments), reads) in enumerate(zip(parts.TINY, (first, second), strict=True), 1)
    )
    return parts.pack(spec=InputSpec(modalities=names, size=cases.SIZE), branches=branches)


def pictures(folder, *names):
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(cases.draw(seed)[0]).save(folder / name)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path, "a.png", "b.png", "x=y.png", "flair=a.png", "c,d=e.png")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "stem", "found"),
    [
        ("flair=a.png,t1post=b.png", "a", {0: "a.png", 1: "b.png"}),
        ("t1post=b.png,FLAIR=a.png", "b", {0: "a.png", 1: "b.png"}),
        ("flair=a.png,T1,post=b.png", "a", {0: "a.png", 2: "b.png"}),
        ("flair=x=y.png", "x=y", {0: "x=y.png"}),
        ("flair=c,d=e.png,t1post=a.png", "c,d=e", {0: "c,d=e.png", 1: "a.png"}),
    ],
)
def test_modalities_by_name(folder, text, stem, found):
    manifest = two_modalities(names=NAMES).manifest
    case = parse_case(text, manifest)
    assert case.stem == stem
    assert dict(zip(case.modalities, map(str, case.paths), strict=True)) == found


def test_a_name_with_an_equal_sign_is_a_file_where_there_is_one(folder):
    manifest = parts.pack().manifest
    assert [c.stem for c in gather_cases(["x=y.png", "flair=a.png"], "test", manifest)] == ["x=y", "flair=a"]
    assert parse_case("ultrasound=a.png", manifest).paths[0].name == "a.png"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("a.png", "which-modality", "flair=FILE,t1post=FILE"),
        ("fliar=a.png", "unknown-modality", "'fliar'"),
        ("some/where=a.png", "unknown-modality", "'some/where'"),
        ("flair=a.png,t2=b.png", "unknown-modality", "flair and t1post"),
        ("flair=a.png,flair=b.png", "bad-input", "flair twice"),
        ("flair=,t1post=b.png", "bad-input", "no file for flair"),
        ("t1post=a.png", "missing-modality", "lacks flair"),
        ("flair=none.png,t1post=a.png", "missing-file", "none.png"),
    ],
)
def test_bad_cases_are_named(folder, text, code, words):
    with pytest.raises(SemiSegError) as caught:
        gather_cases([text], "test", two_modalities((0,), (0, 1)).manifest)
    assert caught.value.code == code
    assert words in str(caught.value)


def test_missing_modality_drops_its_branch(folder):
    model = two_modalities()
    save_pack(folder / "two", model)
    pictures(folder, "case1/f.png", "case1/t.png", "case2/g.png", "case3/h.png")
    inputs = ["flair=case1/f.png,t1post=case1/t.png", "t1post=case2/g.png", "flair=case3/h.png"]
    assert run(["predict", "two.semiseg", *inputs, "--out", "out", "--uncertainty"]) == 0
    rows = json.loads((folder / "out" / "summary.json").read_text())["cases"]
    assert [row.get("modalities") for row in rows] == [None, ["t1post"], ["flair"]]
    assert [row["labels"] for row in rows] == ["f_labels.png", "g_labels.png", "h_labels.png"]
    alone = model.reading([1])
    assert alone.manifest.input.modalities == ("t1post",)
    assert alone.manifest.branches[0].modalities == (0,)
    assert alone.branches == [model.branches[1]]
    result = Predictor(alone, "cpu").predict(read_image([folder / "case2" / "g.png"]))
    assert result.disagreement is None
    assert np.array_equal(read_labels(folder / "out" / "g_labels.png"), result.labels)
    assert model.reading([0, 1]) is model
    with pytest.raises(ValueError, match="no branch"):
        two_modalities((0, 1), (0, 1)).reading([1])


def test_missing_modality_of_a_datalist(folder):
    save_pack(folder / "two", two_modalities())
    for names, images, expected in (
        (["t1post"], ["b.png"], ["t1post"]),
        (["t1post", "flair"], ["b.png", "a.png"], None),
        (["T1post", "FLAIR"], ["b.png", "a.png"], None),
        (["Flair", "t1post"], ["a.png", "b.png"], None),
        (["red", "green"], ["a.png", "b.png"], None),
    ):
        content = {"modality": dict(enumerate(names)), "labels": cases.LABELS, "test": [{"image": images, "id": "c"}]}
        path = cases.write_datalist(folder, content)
        out = folder / "-".join(names)
        assert run(["predict", "two.semiseg", str(path), "--out", str(out)]) == 0
        assert json.loads((out / "summary.json").read_text())["cases"][0].get("modalities") == expected
    by_place = read_labels(folder / "red-green" / "c_labels.png")
    for other in ("t1post-flair", "T1post-FLAIR", "Flair-t1post"):
        assert np.array_equal(read_labels(folder / other / "c_labels.png"), by_place), "a.png is flair in all"
    cases.write_datalist(folder, {**content, "modality": {"0": "red"}, "test": [{"image": "a.png"}]})
    with pytest.raises(SemiSegError) as caught:
        gather_cases([str(path)], "test", two_modalities().manifest)
    assert caught.value.code == "wrong-modalities"


def test_results_of_two_cases_never_have_one_name(folder):
    """Whatever file system they are written to."""
    pictures(folder, "one/A.png", "two/a.png")
    with pytest.raises(SemiSegError) as caught:
        gather_cases(["one/A.png", "two/a.png"], "test", parts.pack().manifest)
    assert caught.value.code == "same-stem"
    assert "called A" in caught.value.cause


def test_dicom_and_sequences(tmp_path):
    model = str(save_pack(tmp_path / "tiny", parts.pack()))
    stack = np.stack([cases.draw(k)[0] for k in range(3)])
    place = np.diag([0.5, 0.5, 3.0, 1.0])
    dicom.write_slices(tmp_path / "scan.v1", stack, place, frame_of_reference="1.2.9")
    dicom.write(tmp_path / "cine.dcm", stack, sop_class=dicom.CINE)
    dicom.write(tmp_path / "1.2.3", stack[0], sop_class=dicom.ULTRASOUND)
    inputs = [str(tmp_path / name) for name in ("scan.v1", "cine.dcm", "1.2.3")]
    out = tmp_path / "out"
    assert run(["predict", model, *inputs, "--out", str(out), "--as-frames", "--uncertainty"]) == 0
    names = {"scan.v1_labels.nrrd", "cine_labels.seq.nrrd", "1.2.3_labels.nrrd"}
    coded = {"scan.v1_labels.dcm", "1.2.3_labels.dcm"}
    assert {path.name for path in out.glob("*_labels*")} == names | coded
    maps = {name: read_labels(out / name) for name in names}
    assert np.array_equal(maps["scan.v1_labels.nrrd"], maps["cine_labels.seq.nrrd"])
    assert np.mean(maps["1.2.3_labels.nrrd"] == maps["cine_labels.seq.nrrd"][0]) > 0.999
    assert sitk.ReadImage(str(out / "scan.v1_labels.nrrd")).GetSpacing() == pytest.approx((0.5, 0.5, 3))
    assert read_image([out / "cine_uncertainty.seq.nrrd"], frames=True).array.max() > 1, "0 to 255"
    rows = json.loads((out / "summary.json").read_text())["cases"]
    assert [len(row.get("frames", ())) for row in rows] == [3, 3, 0]
    assert [row["dicom_seg"] for row in rows] == ["scan.v1_labels.dcm", None, "1.2.3_labels.dcm"]
    assert [any("No DICOM SEG" in note for note in row["notes"]) for row in rows] == [False, True, False]
    found = np.zeros(stack.shape, int)
    for number, position, mask, _ in dicom.read_segmentation(out / "scan.v1_labels.dcm"):
        found[round(position[2] / 3)][mask] = number
    assert found.any()
    assert np.array_equal(found, maps["scan.v1_labels.nrrd"])
    # The written sequence is an input again.
    again = tmp_path / "again"
    assert run(["predict", model, str(out / "cine_uncertainty.seq.nrrd"), "--out", str(again), "--as-frames"]) == 0
    assert read_labels(again / "cine_uncertainty_labels.seq.nrrd").shape == stack.shape


def test_what_predict_writes_as_dicom_seg_is_a_reference(tmp_path):
    save_pack(tmp_path / "tiny", parts.pack())
    stack = np.stack([cases.draw(k)[0] for k in range(4)])
    stack[1] = 110  # a slice without a segment, or with another one
    place = np.array([[0, 0, 3, 5], [0.5, 0, 0, 6], [0, 0.5, 0, 7], [0, 0, 0, 1]])
    dicom.write_slices(tmp_path / "scan", stack, place, frame_of_reference="1.2.9")
    dicom.write(tmp_path / "still.dcm", stack[0], sop_class=dicom.ULTRASOUND)
    inputs = [str(tmp_path / name) for name in ("scan", "still.dcm")]
    out, references = tmp_path / "out", tmp_path / "references"
    assert run(["predict", str(tmp_path / "tiny.semiseg"), *inputs, "--out", str(out), "--as-frames"]) == 0
    assert json.loads((out / "summary.json").read_text())["classes"] == {"1": "bright", "2": "dark"}
    references.mkdir()
    for name in ("scan", "still"):
        (out / f"{name}_labels.dcm").rename(references / f"{name}.dcm")
    content = {
        "labels": {"1": "dark", "2": "bright"},
        "test": [{"image": "scan", "label": "references/scan.dcm"}],
    }
    (tmp_path / "list.json").write_text(json.dumps(content))
    figures = tmp_path / "figures.json"
    for reference in (references, out):
        assert run(["evaluate", str(out), str(reference), "--out", str(figures)]) == 0
        found = json.loads(figures.read_text())
        assert (found["cases_count"], found["dice"], found["failures"]) == (2, 1.0, 0)
        assert set(found["segments"]) == {"bright", "dark"}
        figures.unlink()
    # Another order of the classes is another meaning of values, whether a prediction has values or names.
    assert run(["evaluate", str(out), str(tmp_path / "list.json"), "--out", str(figures)]) == 0
    assert json.loads(figures.read_text())["dice"] == 1.0
    figures.unlink()
    (out / "scan_labels.nrrd").unlink()
    (references / "scan.dcm").replace(out / "scan_labels.dcm")
    content["test"][0]["label"] = "out/scan_labels.dcm"
    (tmp_path / "list.json").write_text(json.dumps(content))
    assert run(["evaluate", str(out), str(tmp_path / "list.json"), "--out", str(figures)]) == 0
    found = json.loads(figures.read_text())
    assert (found["cases_count"], found["dice"]) == (1, 1.0)


def test_inputs_that_make_no_image(tmp_path, capfd):
    model = str(save_pack(tmp_path / "tiny", parts.pack()))
    (tmp_path / "empty").mkdir()
    dicom.write(tmp_path / "cine.dcm", np.zeros((3, 8, 9), dtype=np.uint8), sop_class=dicom.CINE)
    for name, says in (("empty", "no DICOM images"), ("cine.dcm", "--as-frames")):
        assert run(["predict", model, str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
        lines = capfd.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert says in lines[0]
        assert not (tmp_path / "out").exists()


def test_modalities_along_a_fourth_axis(tmp_path, monkeypatch):
    """As the Medical Segmentation Decathlon has them: one file, named alone, in datalists and to predict."""
    monkeypatch.chdir(tmp_path)
    lists = {"training": [], "test": []}
    for seed in range(3):
        flair, labels = cases.draw(seed)
        volumes = [np.stack([flair] * 8), np.stack([255 - flair] * 8)]
        sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(v) for v in volumes]), f"c{seed}.nii.gz")
        for k, volume in enumerate(volumes):
            sitk.WriteImage(sitk.GetImageFromArray(volume), f"apart{seed}_{k}.nii.gz")
        sitk.WriteImage(sitk.GetImageFromArray(np.stack([labels] * 8)), f"label{seed}.nii.gz")
        lists["training" if seed else "test"].append({"image": f"c{seed}.nii.gz", "label": f"label{seed}.nii.gz"})
    content = {"modality": {"0": "FLAIR", "1": "T1"}, "labels": cases.LABELS, **lists}
    path = cases.write_datalist(tmp_path, content)
    brief = ["--iterations", "1", "--method", "supervised", "--calibrate", "none", "--device", "cpu"]
    for entry in (*lists["training"], *lists["test"]):
        number = entry["image"][1]
        entry |= {"image": [f"apart{number}_{k}.nii.gz" for k in range(2)], "id": f"c{number}"}
    apart = tmp_path / "apart.json"
    apart.write_text(json.dumps(content))
    prints = []
    for listed in (path, apart):
        assert run(["train", str(listed), *brief, "--out", f"run-{listed.stem}"]) == 0
        prints.append(json.loads((tmp_path / f"run-{listed.stem}" / "summary.json").read_text())["data_fingerprint"])
    assert prints[0] == prints[1]
    pack = f"run-{path.stem}/model.semiseg"
    assert run(["predict", pack, str(path), "--out", "listed"]) == 0
    assert run(["predict", pack, "c0.nii.gz", "--out", "alone"]) == 0
    assert run(["predict", pack, "t1=c0.nii.gz/1,flair=c0.nii.gz/0", "--out", "named"]) == 0
    assert run(["predict", pack, str(apart), "--out", "apart-results"]) == 0
    found = [
        read_labels(tmp_path / name / "c0_labels.nii.gz") for name in ("listed", "alone", "named", "apart-results")
    ]
    assert found[0].shape == (8, *cases.SIZE)
    assert all(np.array_equal(found[0], other) for other in found)
    assert run(["evaluate", "listed", str(path), "--out", "figures.json"]) == 0
