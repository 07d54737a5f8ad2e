"""`semiseg evaluate` on volumes: distances in mm, references as Slicer writes them, and grids that must agree."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from SemiSegTrainerLib.cli.app import run

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
    assert ("Of 1 cases no spacing is known" in said) == bool(left_out)
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


def test_cropped_segmentation_is_put_back(tmp_path):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box(1)))
    write(tmp_path / "references" / "a.seg.nrrd", image_of(box())[6:18, 8:20, 3:8])
    figures = evaluate(tmp_path)
    assert figures["dice"] == pytest.approx(0.8)
    assert figures["hd95"] == pytest.approx(SPACING[2])


def test_reference_on_another_grid_of_equal_size_is_refused(tmp_path, capfd):
    write(tmp_path / "predictions" / "a_labels.nrrd", image_of(box()))
    for other in ({"direction": (0, -1, 0, -1, 0, 0, 0, 0, 1)}, {"spacing": (0.5, 0.75, 1.5)}):
        write(tmp_path / "references" / "a.nrrd", image_of(box(), **other))
        assert evaluate(tmp_path) == 2
        assert "size or direction" in capfd.readouterr().err
    # A map written from a bare array says nothing of its place.
    write(tmp_path / "references" / "a.nrrd", sitk.GetImageFromArray(box()))
    assert evaluate(tmp_path)["dice"] == 1


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
    write(tmp_path / "predictions" / "image_labels.nrrd", image_of(box()))
    entries = []
    for name, shift in (("a", 0), ("b", 2)):
        write(tmp_path / name / "image.nrrd", image_of(box().astype(np.float32)))
        write(tmp_path / name / "label.nrrd", image_of(box(shift)))
        entries.append({"image": f"{name}/image.nrrd", "label": f"{name}/label.nrrd"})
    content = {"labels": {"1": "segment 1"}, "test": entries}
    (tmp_path / "list.json").write_text(json.dumps(content))
    assert evaluate(tmp_path, "list.json") == 2
    assert "Two cases of the list test are called image" in capsys.readouterr().err
    del content["test"][1]
    (tmp_path / "list.json").write_text(json.dumps(content))
    assert evaluate(tmp_path, "list.json")["dice"] == 1
