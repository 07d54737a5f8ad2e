"""Datalists and training data: what is refused, and what each case contributes."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image
from SemiSegCervicalLib.engine.files import write_map
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.learning import planning
from SemiSegTrainerLib.learning.data import load_training_data, read_case
from SemiSegTrainerLib.learning.datalist import file_stem, read_datalist
from SemiSegTrainerLib.learning.evaluation import compare_labels
from SemiSegTrainerLib.learning.planning import plan_input
from TrainingRig import cases, dicom, parts


def change(path, **fields):
    """Write a datalist again with other top keys; a function changes the list it is given."""
    content = json.loads(path.read_text())
    for key, value in fields.items():
        content[key] = value(content[key]) if callable(value) else value
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def path(tmp_path):
    return cases.write_dataset(tmp_path, validation=1)


def refused(call, code):
    with pytest.raises(SemiSegError) as caught:
        call()
    assert caught.value.code == code
    return caught.value.cause


def test_content_of_a_datalist(path):
    datalist = read_datalist(path)
    assert datalist.modalities == ("ultrasound",)
    assert [(c.value, c.name) for c in datalist.classes] == [(1, "bright"), (2, "dark")]
    assert datalist.classes[0].color != datalist.classes[1].color
    assert [len(datalist[n]) for n in ("training", "unlabeled", "validation", "test", "other")] == [3, 4, 1, 2, 0]
    entry = datalist["training"][0]
    assert entry.id == "training0"
    assert entry.spacing == (0.5, 0.25)
    assert entry.images == (path.parent / "training0.png",)
    assert datalist["unlabeled"][0].label is None


def test_colours_and_names_of_segments(path):
    change(path, segments={"1": {"name": "Lip", "color": [1, 0, 0.5], "terminology": "SCT^1^Lip"}})
    first = read_datalist(path).classes[0]
    assert (first.name, first.color, first.terminology) == ("Lip", (1.0, 0.0, 0.5), "SCT^1^Lip")


def test_label_values_may_be_any(tmp_path):
    path = cases.write_dataset(tmp_path / "files", labelled=2, unlabelled=1, test=1)
    same = parts.load(path)
    content = json.loads(path.read_text())
    for entry in (*content["training"], *content["test"]):
        file = path.parent / entry["label"]
        Image.fromarray(np.array([0, 4, 255], dtype=np.uint8)[np.asarray(Image.open(file))]).save(file)
    content["labels"] = {"0": "background", "4": "bright", "255": "dark"}
    content["segments"] = {"255": {"name": "Dark", "color": [0, 0, 1]}}
    path.write_text(json.dumps(content))
    found = read_datalist(path)
    assert [(c.value, c.name) for c in found.classes] == [(1, "bright"), (2, "Dark")]
    assert parts.load(path).fingerprint == same.fingerprint
    (entry,) = found["test"]
    predicted = np.array([0, 1, 2])[cases.draw(300)[1]]
    figures = compare_labels(predicted, entry, found.classes, None)
    assert [figures.segments[name].dice for name in ("bright", "Dark")] == [1.0, 1.0]
    content["training"][0] |= {"segments": [255], "ignore": 3}
    content["training"][1] |= {"segments": ["bright"]}
    path.write_text(json.dumps(content))
    assert [e.completeness.segments for e in read_datalist(path)["training"]] == [(2,), (1,)]
    content["labels"] = {"0": "background", "4": "bright", "200": "dark"}
    del content["training"][0]["segments"]
    path.write_text(json.dumps(content))
    error = refused(lambda: parts.load(path), "unknown-label")
    assert "the value 255, which is not in the class list (0, 4, 200)" in error


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Expecting value"),
        ("[]", "not a JSON object"),
        ("{}", "labels"),
        ('{"labels": {"0": "background"}}', "one segment or more"),
        ('{"labels": {"0": "background", "-1": "a"}}', "one segment or more"),
        ('{"labels": {"a": "b"}}', "labels must name label values"),
        ('{"labels": {"1": "a", "2": "a"}}', "two segments are called 'a'"),
        ('{"labels": {"1": "a", "2": "b"}, "segments": {"2": {"name": "a"}}}', "two segments are called 'a'"),
        ('{"labels": {"1": "a"}, "modality": {"0": "mri", "1": "MRI"}}', "two modalities are called 'MRI'"),
        ('{"labels": {"1": "a"}, "training": [{}]}', "image"),
        ('{"labels": {"1": "a"}, "training": [{"image": ["a.png", "b.png"]}]}', "2 images for 1 modalit"),
        ('{"labels": {"1": "a"}, "training": ["a.png"]}', "usable"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "complete": "false"}]}', "complete"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "ignore": "255"}]}', "ignore"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "background": 1}]}', "background"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "background": 0}]}', "background"),
        ('{"labels": {"1": "a", "4": "b"}, "training": [{"image": "a", "ignore": 4}]}', "ignore"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "segments": [2]}]}', "segments"),
        ('{"labels": {"2": "a", "4": "b"}, "training": [{"image": "a", "segments": [1]}]}', "segments [1]"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "segments": ["b"]}]}', "'b'"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "slices": "12"}]}', "slices must be a list of whole"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "slices": [1.5]}]}', "slices must be a list of whole"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "held_out": 3}]}', "held_out must be a list of whole"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "spacing": [1, NaN]}]}', "lengths in mm"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "spacing": [0, 1]}]}', "lengths in mm"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "background": 9, "ignore": 9}]}', "one value, 9, for"),
        ('{"labels": {"1": ""}}', "segment 1 is not usable: its name cannot be ''"),
        ('{"labels": {"1": "a"}, "segments": {"1": {"color": [5, 0, 0]}}}', "its color cannot be (5, 0, 0)"),
        (json.dumps({"labels": {str(k): f"s{k}" for k in range(32)}}), "no more than 30"),
        (json.dumps({"labels": {"1": "a"}, "modality": {str(k): f"m{k}" for k in range(9)}}), "one to 8 modalities"),
        ('{"labels": {"1": "a"}, "modality": {"0": " "}}', "one to 8 modalities"),
        ("[" * 100_000, "recursion"),
        ('{"labels": ["b", "a"]}', "labels must name label values"),
        ('{"labels": {"background": 0, "liver": 1}}', "labels must name label values"),
        ('{"labels": {"1": "a"}, "training": "a.png"}', "training must be a list of cases"),
        ('{"labels": {"1": "a"}, "training": [{"image": 5}]}', "must be files, not 5"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "label": ["b"]}]}', "must be files"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "segments": 1}]}', "segments 1 are not all"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "spacing": "file"}]}', "lengths in mm, not 'file'"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "slice": [1]}]}', "a has the unknown key 'slice'"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "labels": "b"}]}', "for 'label'"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "Complete": false}]}', "for 'complete'"),
        ('{"labels": {"1": "a"}, "training": [{"image": "a", "held-out": [1]}]}', "for 'held_out'"),
        ('{"labels": {"1": "a"}, "unlabelled": [{"image": "a"}]}', "it has the unknown key 'unlabelled'"),
        ('{"labels": {"1": "a"}, "val": [{"image": "a"}]}', "meant for 'validation'"),
        ('{"labels": {"1": "a"}, "Train": [{"image": "a"}]}', "meant for 'training'"),
    ],
)
def test_malformed_datalists(tmp_path, text, says):
    path = tmp_path / "datalist.json"
    path.write_text(text)
    assert says in refused(lambda: read_datalist(path), "bad-datalist")


def test_what_other_programs_want_to_know_is_passed_over(path):
    """So is the mark with which editors of Windows begin a file."""
    content = json.loads(path.read_text())
    content |= {"numTraining": 2, "description": "", "tensorImageSize": "2D", "testing": None, "test": None}
    content["training"][0] |= {"fold": 0, "image_id": 7, "image2": "b.png", "frame_id": 3, "": ""}
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    assert len(read_datalist(path)["training"]) == len(content["training"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_datalists_as_windows_writes_them(tmp_path, encoding):
    """PowerShell writes UTF-16, and Python there joins paths by a backslash."""
    cases.write_dataset(tmp_path / "Ordner Ü", labelled=1, unlabelled=0)
    files = {"image": "Ordner Ü\\training0.png", "label": "Ordner Ü\\training0_label.png"}
    path = tmp_path / "datalist.json"
    content = {"labels": {"1": "a"}, "training": [files]}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding=encoding)
    (entry,) = read_datalist(path)["training"]
    assert entry.id == "training0"
    assert entry.images == (tmp_path / "Ordner Ü" / "training0.png",)
    assert entry.label == tmp_path / "Ordner Ü" / "training0_label.png"


def test_a_datalist_in_another_encoding_is_refused_with_a_remedy(tmp_path):
    path = tmp_path / "datalist.json"
    path.write_text('{"labels": {"1": "Drüse"}}', encoding="latin-1")
    assert "save it in that encoding" in refused(lambda: read_datalist(path), "bad-datalist")


def test_test_cases_of_the_decathlon_are_images_alone(path):
    content = json.loads(path.read_text())
    named = content["test"][0]["image"]
    for called in ("test", "testing"):
        content |= {"numTest": 1, "test": [], called: [f"./{named}"]}
        path.write_text(json.dumps(content))
        (entry,) = read_datalist(path)["test"]
        assert entry.images == (path.parent / named,)
        assert entry.id == named.removesuffix(".png")
        assert entry.label is None


def test_a_folder_is_no_datalist(tmp_path):
    with pytest.raises(SemiSegError, match="is a folder") as caught:
        read_datalist(tmp_path)
    assert '"training": [{"image"' in caught.value.remedy
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(SemiSegError) as caught:
        read_datalist(tmp_path)
    assert caught.value.remedy == f"Give {tmp_path / 'dataset.json'}"


def test_missing_datalist(tmp_path):
    refused(lambda: read_datalist(tmp_path / "no.json"), "missing-file")


@pytest.mark.parametrize("name", ["validation", "test"])
@pytest.mark.parametrize("source", ["training", "unlabeled"])
def test_a_trained_case_is_not_evaluated(path, name, source):
    content = json.loads(path.read_text())
    stolen = dict(content[source][0], id="other name")
    change(path, **{name: [stolen]})
    assert "other name" in refused(lambda: read_datalist(path), "leak")


def test_a_group_stays_in_one_list(path):
    change(path, training=lambda e: [dict(x, group="p1") for x in e], test=lambda e: [dict(x, group="p2") for x in e])
    assert read_datalist(path)["test"][0].group == "p2"
    change(path, test=lambda e: [dict(x, group="p1") for x in e])
    refused(lambda: read_datalist(path), "leak")
    change(path, test=lambda e: [dict(x, group=None, sequence="p1") for x in e])
    refused(lambda: read_datalist(path), "leak")


def test_validation_is_never_test(path):
    change(path, test=json.loads(path.read_text())["validation"])
    assert "validation" in refused(lambda: read_datalist(path), "leak")


def test_labels_of_unlabelled_cases_are_not_learned_from(path):
    """Who keeps them there to measure pseudo-labels by has not asked for a supervised training."""
    without = parts.load(path)
    label = json.loads(path.read_text())["training"][0]["label"]
    change(path, unlabeled=lambda entries: [{**entry, "label": label} for entry in entries])
    assert [entry.label for entry in read_datalist(path)["unlabeled"]] == [None] * 4
    assert parts.load(path).fingerprint == without.fingerprint


def test_same_file_by_another_path_is_a_leak(path):
    change(path, test=[{"image": "../" + path.parent.name + "/training0.png"}])
    refused(lambda: read_datalist(path), "leak")


@pytest.mark.parametrize(("one", "other"), [("Fall \u00e9.png", "fall \u00c9.PNG"), ("\u00e9.png", "e\u0301.png")])
@pytest.mark.parametrize("same", [True, False])
def test_file_systems_may_not_tell_two_spellings_apart(path, one, other, same):
    """Two spellings of one file are told from two files by what lies there; a hard link stands for such a system."""
    folder = path.parent
    (folder / "training0.png").rename(folder / one)
    alike = (folder / other).exists()
    if alike and not same:
        pytest.skip("this file system does not tell them apart")
    if same and not alike:
        os.link(folder / one, folder / other)
    if not same:
        shutil.copy(folder / "training1.png", folder / other)
    change(path, training=lambda entries: [{**entries[0], "image": one}], test=[{"image": other}])
    if same:
        refused(lambda: read_datalist(path), "leak")
    else:
        assert read_datalist(path)["test"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a b-1.c", "a b-1.c"), ("../../x", "_.._x"), ("seq:0/5", "seq_0_5"), (".hidden", "_hidden"), ("ä_ö", "ä_ö")],
)
def test_case_names_become_file_names(name, expected):
    result = file_stem(name).replace("__", "_")
    assert result == expected
    assert "/" not in result
    assert not result.startswith(".")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("anna/t1.nii.gz", "ben/t1.nii.gz", "ben/t2.nii.gz"), ("anna_t1", "ben_t1", "t2")),
        (("1/a/t1.nii", "1/b/T1.nii", "2/a/t1.nii"), ("1_a_t1", "b_T1", "2_a_t1")),
        (("anna/t1.nii", "anna/t1.nii"), ("t1", "t1")),  # the same image, annotated twice
        (("anna/t1.nii", "x/anna_t1.nii", "ben/t1.nii"), ("one_anna_t1", "one_x_anna_t1", "ben_t1")),
    ],
)
def test_cases_whose_files_are_called_alike_are_told_apart_by_folders(tmp_path, files, expected):
    content = {"labels": {"1": "a"}, "training": [{"image": f"one/{file}"} for file in files], "unlabeled": []}
    path = cases.write_datalist(tmp_path, content)
    assert tuple(entry.id for entry in read_datalist(path)["training"]) == expected


def test_what_each_case_contributes(tmp_path):
    """Finished, partly finished, scribbled, empty and unlabelled cases, in one data set."""
    told = [{}, {"segments": [1]}, {"complete": False, "background": 3}, {"ignore": 255}, {"complete": False}]
    path = cases.write_dataset(tmp_path, labelled=5, unlabelled=1)
    change(path, training=lambda entries: [{**e, **t} for e, t in zip(entries, told, strict=True)])
    Image.fromarray(np.zeros(cases.SIZE, dtype=np.uint8)).save(tmp_path / "training4_label.png")
    data = parts.load(path)
    assert data.annotated == (0, 1, 2, 3), "the fifth says nothing about any voxel"
    assert data.open == (1, 2, 4, 5)
    assert [image.shape for image in data.images] == 6 * [(1, *cases.SIZE)]
    sets = [set(row.unique().tolist()) for row in data.possible]
    assert sets == [{1, 2, 4}, {0b101, 2, 4}, {7, 2, 4}, {1, 2, 4}, {7}, {7}]


def test_annotated_slices_of_a_volume(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.zeros((16, 16, 32), dtype=np.uint8)
    labels[8, 4:12, 4:28] = 1
    labels[3, 0, 0] = 2
    for name, array in (("v", rng.normal(size=labels.shape).astype(np.float32)), ("v_label", labels)):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{name}.nrrd"))
    entry = {"image": "v.nrrd", "label": "v_label.nrrd", "slices": [8]}
    path = cases.write_datalist(tmp_path, {"labels": cases.LABELS, "training": [entry]})
    spec = parts.SPEC.model_copy(update={"spatial_dims": 3, "size": (16, 16, 32), "modalities": ("ct",)})
    possible = parts.load(path, spec).possible[0]
    assert set(possible[8].unique().tolist()) == {1, 2}
    assert set(possible[7].unique().tolist()) == {7}
    assert possible[3, 0, 0] == 4, "what is painted elsewhere counts"


@pytest.mark.parametrize("values", [(1, 2), (4, 255)])
def test_a_dicom_seg_teaches_what_a_label_map_teaches(tmp_path, monkeypatch, values):
    monkeypatch.setattr(planning, "STRUCTURE_VOXELS", 2)  # so that even these structures decide the model's voxels
    labels = np.zeros((8, 40, 48), dtype=np.uint8)
    labels[2:6, 10:30, 10:30] = 1
    labels[3:5, 15:20, 15:20] = 2
    affine = np.array([[0, 0, 3, 5], [0.5, 0, 0, 6], [0, 0.5, 0, 7], [0, 0, 0, 1]])
    pixels = (100 * labels + np.arange(48)).astype(np.int16)
    dicom.write_slices(tmp_path / "scan", pixels, affine, frame_of_reference="1.2.9")
    frames = [(3 - v, (affine @ [0, 0, k, 1])[:3], labels[k] == v) for k in range(8)[::-1] for v in (1, 2)]
    dicom.write_segmentation(tmp_path / "seg.dcm", frames, {2: "Bright", 1: "DARK"}, affine)
    coded = np.array([0, *values], dtype=np.uint8)[labels]
    write_map(coded, tmp_path / "scan", tmp_path, "map", labels=True)
    found = []
    for label in ("map.nrrd", "seg.dcm"):
        entry = {"image": "scan", "label": label, "segments": ["dark"], "slices": [2, 3]}
        named = {"0": "background", **dict(zip(map(str, values), ("bright", "dark"), strict=True))}
        content = {"labels": named, "training": [entry, {"image": "scan", "label": label}]}
        datalist = read_datalist(cases.write_datalist(tmp_path, content))
        spec = plan_input(datalist, None, None, gpu=False)
        found.append((spec, load_training_data(datalist, spec)))
    (spec, expected), (other_spec, data) = found
    assert min(spec.spacing) > 0.5
    assert other_spec == spec
    assert data.learned == expected.learned
    for ours, theirs in zip(data.possible, expected.possible, strict=True):
        assert torch.equal(ours, theirs)
    content["labels"] = {"1": "bright", "2": "grey"}
    content["training"] = content["training"][1:]
    cases.write_datalist(tmp_path, content)
    assert "'DARK'" in refused(lambda: plan_input(read_datalist(datalist.path), None, None, False), "unknown-segment")


@pytest.fixture
def planes(tmp_path):
    """A volume of which planes train and others validate, all of them painted, with a gap of one between."""
    rng = np.random.default_rng(0)
    labels = np.zeros((16, 16, 32), dtype=np.uint8)
    labels[:, 4:12, 4:28] = 1
    for name, array in (("v", rng.normal(size=labels.shape).astype(np.float32)), ("v_label", labels)):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{name}.nrrd"))
    entry = {"image": "v.nrrd", "label": "v_label.nrrd", "group": "p"}
    content = {
        "labels": {"0": "background", "1": "bright"},
        "training": [{**entry, "id": "v", "slices": [2, 4, 6], "held_out": [9, 10, 11, 12]}],
        "validation": [{**entry, "id": "v validation", "group": "p (validation)", "slices": [10, 11]}],
    }
    return cases.write_datalist(tmp_path, content)


def test_planes_of_a_volume_validate_what_is_not_learned_from_them(planes):
    datalist = read_datalist(planes)
    spec = parts.SPEC.model_copy(update={"spatial_dims": 3, "size": (16, 16, 32), "modalities": ("ct",)})
    _, possible = read_case(datalist["training"][0], spec, 2)
    known = {z: set(possible[z].unique().tolist()) for z in range(16)}
    assert all(known[z] == {0} for z in (9, 10, 11, 12)), "no voxel of them enters a loss, painted or not"
    assert known[4] == {1, 2}
    assert known[3] == {2, 3}
    (validation,) = datalist["validation"]
    assert validation.only == (10, 11)
    _, possible = read_case(validation, spec, 2)
    assert [z for z in range(16) if set(possible[z].unique().tolist()) != {3}] == [10, 11], (
        "paint elsewhere is no judge"
    )
    labels = np.zeros((16, 16, 32), dtype=np.uint8)
    labels[10:12, 4:12, 4:28] = 1
    figures = compare_labels(labels, validation, datalist.classes, None, distances=False)
    assert figures.segments["bright"].dice == 1.0
    assert figures.segments["bright"].voxels == 2 * 8 * 24


def test_the_labels_of_what_is_held_out_change_nothing(planes):
    """Whatever is painted there, the run's data are the same, to the bit."""
    spec = parts.SPEC.model_copy(
        update={"spatial_dims": 3, "size": (16, 16, 32), "modalities": ("ct",), "sampling": "windows"}
    )
    before = parts.load(planes, spec)
    path = planes.parent / "v_label.nrrd"
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    labels[9:13] = 1 - labels[9:13]
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(path))
    assert parts.load(planes, spec).fingerprint == before.fingerprint
    assert not any(int(i) // (16 * 32) in (9, 10, 11, 12) for place in before.places[0].values() for i in place), (
        "no patch is centred there"
    )


@pytest.mark.parametrize(
    ("name", "change_of"),
    [
        ("training", {"held_out": [10]}),
        ("training", {"held_out": None}),
        ("validation", {"slices": None}),
        ("validation", {"slices": [10, 13]}),
        ("validation", {"group": "p"}),
    ],
)
def test_planes_that_are_learned_from_do_not_validate(planes, name, change_of):
    change(planes, **{name: lambda entries: [{**e, **change_of} for e in entries]})
    refused(lambda: read_datalist(planes), "leak")


def test_planes_do_not_both_choose_and_judge(planes):
    change(planes, test=json.loads(planes.read_text())["validation"])
    change(planes, test=lambda entries: [{**e, "group": "t", "slices": [12]} for e in entries])
    refused(lambda: read_datalist(planes), "leak")
    change(planes, validation=[])
    assert read_datalist(planes)["test"][0].only == (12,)


@pytest.mark.parametrize("held_out", [[16], [-1]])
def test_planes_that_are_not_there(planes, held_out):
    change(planes, training=lambda entries: [{**e, "held_out": held_out} for e in entries], validation=[])
    spec = parts.SPEC.model_copy(update={"spatial_dims": 3, "size": (16, 16, 32), "modalities": ("ct",)})
    refused(lambda: parts.load(planes, spec), "bad-slice")


def test_fingerprint_names_the_data(path):
    first = parts.load(path).fingerprint
    assert first == parts.load(path).fingerprint
    picture = np.asarray(Image.open(path.parent / "training0.png")).copy()
    picture[0, 0] ^= 64
    Image.fromarray(picture).save(path.parent / "training0.png")
    assert parts.load(path).fingerprint != first


def test_names_of_faulty_files_are_said(path):
    folder = path.parent
    Image.fromarray(np.zeros((5, 5), dtype=np.uint8)).save(folder / "training1_label.png")
    assert "training1_label.png" in refused(lambda: parts.load(path), "size-differs")
    Image.fromarray(np.full(cases.SIZE, 9, dtype=np.uint8)).save(folder / "training1_label.png")
    assert "training1_label.png" in refused(lambda: parts.load(path), "unknown-label")
    (folder / "training1_label.png").unlink()
    assert "training1_label.png" in refused(lambda: parts.load(path), "missing-file")


def test_nothing_to_learn_from(tmp_path):
    none = cases.write_dataset(tmp_path / "a", labelled=0)
    refused(lambda: parts.load(none), "nothing-labelled")
    empty = cases.write_dataset(tmp_path / "b", labelled=2)
    for i in range(2):
        Image.fromarray(np.zeros(cases.SIZE, dtype=np.uint8)).save(tmp_path / "b" / f"training{i}_label.png")
    refused(lambda: parts.load(empty), "empty-labels")
    spot = np.zeros(cases.SIZE, dtype=np.uint8)
    spot[4, 4] = 1
    Image.fromarray(spot).save(tmp_path / "b" / "training0_label.png")
    coarse = parts.SPEC.model_copy(update={"size": tuple(n // 2 for n in cases.SIZE)})
    assert "lost" in refused(lambda: parts.load(empty, coarse), "segments-too-small")
    nobody = cases.write_dataset(tmp_path / "c", labelled=0, unlabelled=0)
    refused(lambda: parts.load(nobody), "no-cases")
