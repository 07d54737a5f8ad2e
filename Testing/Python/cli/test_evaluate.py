"""`semiseg evaluate` on volumes: distances in mm, references as Slicer and DICOM have them, grids that must agree."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from SemiSegTrainerLib.cli.app import run
from TrainingRig import dicom

SHAPE, SPACING = (12, 30, 28), (0.5, 0.75, 3.0)
UNKNOWN = {"spacing": None}
TURN = (0, 1, 0, -1, 0, 0, 0, 0, 1)


def box(shift=0):
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[3 + shift : 8 + shift, 8:20, 6:18] = 1
    return labels


def image_of(labels, spacing=SPACING, origin=(5.0, 6.0, 7.0), direction=TURN):
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


def write(path, image):
    path.parent.mkdir(exist_ok=True)
    sitk.WriteImage(image, str(path))


def evaluate(folder, reference="references"):
    out = folder / "figures.json"
    out.unlink(missing_ok=True)
    status = run(["evaluate", str(folder / "predictions"), str(folder / reference), "--out", str(out)])
    return json.loads(out.read_text())["segments"]["segment 1"] if status == 0 else status


@pytest.mark.parametrize("kind", [".nii.gz", ".nrrd", ".seg.nrrd", ".mha"])
def test_distances_of_volumes_are_in_mm(tmp_path, kind):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box(2)))
    write(tmp_path / "references" / f"a{kind}", image_of(box()))
    figures = evaluate(tmp_path)
    assert figures["dice"] == pytest.approx(0.6)
    assert figures["hd95"] == pytest.approx(2 * SPACING[2])
    assert 0 < figures["assd"] < 2 * SPACING[2]


def test_spacing_of_a_datalist_goes_before_the_files(tmp_path):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box(2)))
    write(tmp_path / "a.nrrd", image_of(box().astype(np.float32)))
    write(tmp_path / "a_label.nrrd", image_of(box()))
    for spacing, expected in (([5.0, 1.0, 1.0], 10), (None, 2), ("file", 6)):
        entry = {"image": "a.nrrd", "label": "a_label.nrrd", "spacing": spacing}
        if spacing == "file":
            del entry["spacing"]
        content = {"labels": {"0": "background", "1": "segment 1"}, "test": [entry]}
        (tmp_path / "list.json").write_text(json.dumps(content))
        assert evaluate(tmp_path, "list.json")["hd95"] == pytest.approx(expected)


@pytest.mark.parametrize(("known", "unit", "mean", "left_out"), [(1, "mm", 6, 1), (0, "voxels", 2, 0), (2, "mm", 6, 0)])
def test_millimetres_and_voxels_have_no_mean(tmp_path, capfd, known, unit, mean, left_out):
    entries = []
    for k, name in enumerate("ab"):
        write(tmp_path / "predictions" / f"{name}_labels.nrrd", image_of(box(2)))
        write(tmp_path / f"{name}.nrrd", image_of(box().astype(np.float32)))
        write(tmp_path / f"{name}_label.nrrd", image_of(box()))
        entries.append({"image": f"{name}.nrrd", "label": f"{name}_label.nrrd", **({} if k < known else UNKNOWN)})
    content = {"labels": {"0": "background", "1": "segment 1"}, "test": entries}
    (tmp_path / "list.json").write_text(json.dumps(content))
    assert evaluate(tmp_path, "list.json")["hd95"] == pytest.approx(mean)
    said = capfd.readouterr().err
    assert f"HD95 {mean:.3f} {unit}, ASSD" in said
    assert ("1 case without a known spacing" in said) == bool(left_out)
    summary = json.loads((tmp_path / "figures.json").read_text())
    assert summary["hd95"] == pytest.approx(mean)
    assert (summary["distances_in"], summary["distances_left_out"]) == (unit, left_out)
    assert [c["distances_in"] for c in summary["cases"]] == ["mm"] * known + ["voxels"] * (2 - known)
    found = [c["segments"]["segment 1"]["hd95"] for c in summary["cases"]]
    assert found == pytest.approx([6] * known + [2] * (2 - known))


def test_segmentations_beside_their_images_need_no_suffix(tmp_path):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box()))
    write(tmp_path / "references" / "a.nrrd", image_of(box().astype(np.float32)))
    write(tmp_path / "references" / "a.seg.nrrd", image_of(box()))
    assert evaluate(tmp_path)["dice"] == 1


def test_hidden_files_are_neither_predictions_nor_references(tmp_path):
    for folder, name in (("predictions", "a_labels.nrrd"), ("references", "a_label.nrrd")):
        write(tmp_path / folder / name, image_of(box()))
        (tmp_path / folder / f"._{name}").write_bytes(b"\0\5\x16\7")
    assert evaluate(tmp_path)["dice"] == 1


def test_cropped_segmentation_is_put_back(tmp_path):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box(1)))
    write(tmp_path / "references" / "a.seg.nrrd", image_of(box())[6:18, 8:20, 3:8])
    figures = evaluate(tmp_path)
    assert figures["dice"] == pytest.approx(0.8)
    assert figures["hd95"] == pytest.approx(SPACING[2])


def test_reference_on_another_grid_of_equal_size_is_refused(tmp_path, capfd):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box()))
    for other, says in (
        ({"direction": (0, -1, 0, -1, 0, 0, 0, 0, 1)}, "other directions"),
        ({"spacing": (0.5, 0.75, 1.5)}, "size or direction"),
    ):
        write(tmp_path / "references" / "a.nrrd", image_of(box(), **other))
        assert evaluate(tmp_path) == 2
        assert says in capfd.readouterr().err
    # A map written from a bare array says nothing of its place.
    write(tmp_path / "references" / "a.nrrd", sitk.GetImageFromArray(box()))
    assert evaluate(tmp_path)["dice"] == 1


def test_reference_that_was_turned_is_turned_back(tmp_path):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box(1)))
    write(tmp_path / "references" / "a.nii.gz", sitk.PermuteAxes(image_of(box()), [1, 0, 2])[::-1, :, ::-1])
    figures = evaluate(tmp_path)
    assert figures["dice"] == pytest.approx(0.8)
    assert figures["hd95"] == pytest.approx(SPACING[2])


def test_references_of_any_value_need_a_datalist(tmp_path, capfd):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box()))
    write(tmp_path / "references" / "a.nrrd", image_of(255 * box()))
    assert evaluate(tmp_path) == 2
    said = capfd.readouterr().err
    assert "a.nrrd holds the value 255" in said
    assert "datalist" in said
    entry = {"image": "predictions/a_labels.nrrd", "label": "references/a.nrrd", "id": "a"}
    listed = tmp_path / "datalist.json"
    listed.write_text(json.dumps({"labels": {"255": "segment 1"}, "test": [entry]}))
    assert evaluate(tmp_path, "datalist.json")["dice"] == 1.0


def test_distances_are_in_mm_where_a_reference_is_a_bare_array(tmp_path):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box(1)))
    write(tmp_path / "references" / "a.nrrd", sitk.GetImageFromArray(box()))
    assert evaluate(tmp_path)["hd95"] == pytest.approx(SPACING[2])


def test_frames_have_no_distance_in_mm(tmp_path):
    head = "NRRD0004\ntype: unsigned char\ndimension: 4\nspace: left-posterior-superior\nsizes: 28 30 1 12\n"
    head += "space directions: (0.5,0,0) (0,0.75,0) (0,0,1) none\nkinds: domain domain domain list\nencoding: raw\n"
    head += "space origin: (0,0,0)\n\n"
    for folder, labels in (("predictions", box(2)), ("references", box())):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a_labels.seq.nrrd").write_bytes(head.encode() + labels.tobytes())
    figures = evaluate(tmp_path)
    assert figures["dice"] == pytest.approx(0.6)
    assert figures["hd95"] is None


def test_one_prediction_is_not_compared_with_two_cases(tmp_path, capsys):
    write(tmp_path / "predictions" / "a_image_labels.nrrd", image_of(box()))
    entries = []
    for name, shift in (("a", 0), ("b", 2)):
        write(tmp_path / name / "image.nrrd", image_of(box().astype(np.float32)))
        write(tmp_path / name / "label.nrrd", image_of(box(shift)))
        entries.append({"id": "a_image", "image": f"{name}/image.nrrd", "label": f"{name}/label.nrrd"})
    content = {"labels": {"1": "segment 1"}, "test": entries}
    (tmp_path / "list.json").write_text(json.dumps(content))
    assert evaluate(tmp_path, "list.json") == 2
    assert "Two cases of the list test are called a_image" in capsys.readouterr().err
    for entry in entries:  # then they are told apart by their folders
        del entry["id"]
    write(tmp_path / "predictions" / "b_image_labels.nrrd", image_of(box(2)))
    (tmp_path / "list.json").write_text(json.dumps(content))
    assert evaluate(tmp_path, "list.json")["dice"] == 1
    content["test"] = [{**entries[0], "id": "a_image"}]
    (tmp_path / "list.json").write_text(json.dumps(content))
    assert evaluate(tmp_path, "list.json")["dice"] == 1


def segments(path, *shifts, names=("tumour", "lip")):
    """Write boxes as a DICOM SEG, in which the last segment has the number 1."""
    path.parent.mkdir(exist_ok=True)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(TURN, (3, 3)) * SPACING
    affine[:3, 3] = 5.0, 6.0, 7.0
    frames = [
        (len(shifts) - k, (affine @ [0, 0, z, 1])[:3], box(shift)[z] > 0)
        for k, shift in enumerate(shifts)
        for z in range(SHAPE[0])
        if box(shift)[z].any()
    ]
    return dicom.write_segmentation(path, frames, {len(shifts) - k: names[k] for k in range(len(shifts))}, affine)


def say_names(folder, *names):
    (folder / "summary.json").write_text(json.dumps({"classes": {str(k): name for k, name in enumerate(names, 1)}}))


def figures_of(folder, reference="references"):
    """Return the figures of all segments."""
    out = folder / "figures.json"
    out.unlink(missing_ok=True)
    assert run(["evaluate", str(folder / "predictions"), str(folder / reference), "--out", str(out)]) == 0
    summary = json.loads(out.read_text())
    assert summary["cases_count"] == 1
    return {name: (found["dice"], found["hd95"]) for name, found in summary["segments"].items()}


def test_references_in_dicom_seg_are_told_by_name(tmp_path):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box(2) * 2))
    segments(tmp_path / "references" / "a.dcm", 0, names=["LIP"])
    say_names(tmp_path / "predictions", "tumour", "lip")
    assert figures_of(tmp_path) == {"tumour": (None, None), "lip": (pytest.approx(0.6), pytest.approx(6))}
    # A datalist says the names.
    write(tmp_path / "a.nrrd", image_of(box().astype(np.float32)))
    content = {
        "labels": {"1": "tumour", "2": "lip"},
        "test": [{"image": "a.nrrd", "label": "references/a.dcm", "spacing": None}],
    }
    (tmp_path / "list.json").write_text(json.dumps(content))
    assert figures_of(tmp_path, "list.json")["lip"] == (pytest.approx(0.6), pytest.approx(2))


def test_a_dicom_seg_beside_a_label_map_is_the_same_once_more(tmp_path):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box()))
    segments(tmp_path / "predictions" / "a_labels.dcm", 2)
    write(tmp_path / "references" / "a_labels.nrrd", image_of(box()))
    segments(tmp_path / "references" / "a_labels.dcm", 4)
    assert figures_of(tmp_path) == {"segment 1": (1.0, 0.0)}
    # Images in DICOM are no references.
    dicom.write(tmp_path / "references" / "b_labels.dcm", box()[0].astype(np.int16))
    assert figures_of(tmp_path) == {"segment 1": (1.0, 0.0)}


def test_predictions_in_dicom_seg(tmp_path, capfd):
    segments(tmp_path / "predictions" / "a_seg.dcm", 2, names=["lip"])
    write(tmp_path / "references" / "a.nrrd", image_of(box()))
    say_names(tmp_path / "predictions", "lip")
    assert figures_of(tmp_path) == {"lip": (pytest.approx(0.6), pytest.approx(6))}
    # Two of them have no grid: an image has.
    (tmp_path / "references" / "a.nrrd").unlink()
    segments(tmp_path / "references" / "a.dcm", 0, names=["lip"])
    assert evaluate(tmp_path) == 2
    assert "lists their images" in capfd.readouterr().err
    write(tmp_path / "a.nrrd", image_of(box().astype(np.float32)))
    content = {"labels": {"1": "lip"}, "test": [{"image": "a.nrrd", "label": "references/a.dcm"}]}
    (tmp_path / "list.json").write_text(json.dumps(content))
    assert figures_of(tmp_path, "list.json") == {"lip": (pytest.approx(0.6), pytest.approx(6))}


@pytest.mark.parametrize(
    ("names", "by_name", "lip"),
    [
        (("lip", "tumour"), False, 1.0),
        (("x", "y"), False, 1.0),
        ((), False, 1.0),
        (("Tumour", "Lip"), True, 0.0),
        (("x", "lip"), True, 0.0),
    ],
)
def test_classes_that_a_datalist_numbers_otherwise_are_compared_by_name(tmp_path, capfd, names, by_name, lip):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box()))
    write(tmp_path / "a.nrrd", image_of(box().astype(np.float32)))
    write(tmp_path / "a_label.nrrd", image_of(box()))
    if names:
        say_names(tmp_path / "predictions", *names)
    content = {"labels": {"1": "lip", "2": "tumour"}, "test": [{"image": "a.nrrd", "label": "a_label.nrrd"}]}
    (tmp_path / "list.json").write_text(json.dumps(content))
    found = {name: dice for name, (dice, _) in figures_of(tmp_path, "list.json").items()}
    assert found == {"lip": lip, "tumour": 0.0 if "Tumour" in names else None}
    assert ("by name" in capfd.readouterr().err) == by_name


@pytest.mark.parametrize(
    "summary", [None, "[]", "{}", '{"classes": {"2": "lip"}}', '{"classes": {"1": ""}}', '{"classes": 1}', "no JSON"]
)
def test_segments_have_no_numbers_where_no_names_are_known(tmp_path, capfd, summary):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box()))
    segments(tmp_path / "references" / "a.dcm", 0)
    if summary:
        (tmp_path / "predictions" / "summary.json").write_text(summary)
    assert evaluate(tmp_path) == 2
    said = capfd.readouterr().err
    assert "a.dcm names its segments" in said
    assert "datalist" in said


def test_a_reference_in_dicom_seg_that_does_not_fit(tmp_path, capfd):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box(), origin=(5.1, 6.0, 7.0)))
    say_names(tmp_path / "predictions", "lip", "tumour")
    segments(tmp_path / "references" / "a.dcm", 0, 2)
    assert evaluate(tmp_path) == 2
    assert "'tumour' and 'lip'" in capfd.readouterr().err
    segments(tmp_path / "references" / "a.dcm", 0, names=["tumor"])
    assert evaluate(tmp_path) == 2
    assert "'tumor'" in capfd.readouterr().err
    segments(tmp_path / "references" / "a.dcm", 0, names=["tumour"])
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box(), origin=(5.0, 6.0, 8.5)))
    assert evaluate(tmp_path) == 2
    assert "another grid" in capfd.readouterr().err
