"""The scene as files for training: every number as it was, all of it or nothing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.geometry import ijk_to_ras
from SemiSegCervicalLib.scene.reading import read_volume
from SemiSegTrainerLib.scene import marks
from SemiSegTrainerLib.scene.collect import collect_training_set
from SemiSegTrainerLib.scene.datalist import write_datalist
from SlicerRig import scenes

Status = slicer.vtkSlicerSegmentationsModuleLogic
CODE = "Category~SCT^123037004^Anatomical Structure~SCT^71252005^Cervix uteri~^^~Anatomic~^^~^^"
CLASSES = [SegmentClass(1, "anterior lip", (1, 0.5, 0), CODE), SegmentClass(2, "posterior lip", (0, 0, 1))]


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (10, 12), dtype=np.uint8)


def read(path: Any) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_the_whole_scene_as_a_datalist(scene, labels, tmp_path):
    made = scenes.partly_segmented_scene(
        [picture(k) for k in range(5)],
        {0: labels, 1: labels, 2: labels},
        CLASSES,
        names=["Müller / left", "one", "strokes", "plain", "other"],
        one_finished=[1],
        scribbled=[2],
        cine=[picture(10 + k) for k in range(3)],
        cine_labels={1: labels},
        spacing=(0.2, 0.3),
    )
    found = collect_training_set()
    path = write_datalist(found, tmp_path / "data")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["labels"] == {"0": "background", "1": "anterior lip", "2": "posterior lip"}
    assert content["segments"]["1"] == {"name": "anterior lip", "color": [1, 0.5, 0], "terminology": CODE}
    assert content["modality"] == {"0": "ultrasound"}
    training, unlabeled = content["training"], content["unlabeled"]
    assert [len(training), len(unlabeled), content["validation"], content["test"]] == [4, 4, [], []]
    known = [{k: e[k] for k in ("complete", "segments", "background", "slices", "ignore") if k in e} for e in training]
    assert known == [{}, {"segments": [1]}, {"complete": False, "background": 254}, {}]
    assert all(e["spacing"] == [0.2, 0.3] for e in training + unlabeled)
    assert training[3]["sequence"] == "cine"
    assert training[3]["frame"] == "0.04"
    assert {e["group"] for e in training[3:] + unlabeled[2:]} == {made.cine.GetID()}
    assert len({e["id"] for e in training + unlabeled}) == 8
    assert all("label" not in e for e in unlabeled)
    cases = {case.id: case for case in found.cases}
    for e in training + unlabeled:
        assert (path.parent / e["image"]).name.isascii()
        np.testing.assert_array_equal(read(path.parent / e["image"]), cases[e["id"]].image[0])
        if "label" in e:
            np.testing.assert_array_equal(read(path.parent / e["label"]), cases[e["id"]].labels)


@pytest.mark.parametrize("kind", ["float volume", "16 bit volume", "one float slice", "colour picture"])
def test_images_and_labels_keep_voxels_and_geometry(scene, labels, tmp_path, kind):
    rng = np.random.default_rng(3)
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * [0.3, 0.7, 2.1]
    affine[:3, 3] = [10.1, -3.3, 7.7]
    array = {
        "float volume": rng.normal(size=(4, 10, 12)).astype(np.float32),
        "16 bit volume": rng.integers(-1000, 3000, (4, 10, 12)).astype(np.int16),
        "one float slice": rng.normal(size=(1, 10, 12)).astype(np.float32),
        "colour picture": rng.integers(0, 256, (10, 12, 3), dtype=np.uint8),
    }[kind]
    volume = scenes.add_volume(array, "v", affine)
    depth = 4 if "volume" in kind else 1
    scenes.add_segmentation(volume, np.stack([labels] * depth), CLASSES)
    path = write_datalist(collect_training_set(), tmp_path / "data")
    (entry,) = json.loads(path.read_text())["training"]
    for name, expected in (("image", read_volume(volume).array.reshape(depth, 10, 12)), ("label", labels)):
        file = path.parent / entry[name]
        assert file.name.endswith(".nrrd")
        image = sitk.ReadImage(str(file))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), np.broadcast_to(expected, (depth, 10, 12)))
        found = np.eye(4)
        found[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        found[:3, 3] = image.GetOrigin()
        np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ found, ijk_to_ras(volume), atol=1e-14)
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "again")
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(file))
        assert storage.ReadData(node)
        np.testing.assert_allclose(ijk_to_ras(node), ijk_to_ras(volume), atol=1e-14)
    assert len(entry["spacing"]) == (3 if depth == 4 else 2)


def test_slices_and_unknown_spacing_are_written(scene, labels, tmp_path):
    volume = scenes.add_volume(np.zeros((3, 10, 12), np.int16), "v")
    volume.SetAttribute("SemiSeg.Calibrated", "no")
    segmentation = scenes.add_segmentation(
        volume, np.stack([labels] * 3), CLASSES, {1: Status.InProgress, 2: Status.Flagged}
    )
    marks.set_annotated_slices(segmentation, [2])
    full = scenes.add_volume(picture(), "full")
    scenes.add_segmentation(full, labels, CLASSES)
    entry = json.loads(write_datalist(collect_training_set(), tmp_path / "d").read_text())["training"][0]
    assert entry["spacing"] is None
    assert (entry["slices"], entry["segments"], entry["ignore"]) == ([2], [1], 255)


def test_validation_and_test_cases_are_named(scene, labels, tmp_path):
    scenes.partly_segmented_scene([picture(k) for k in range(4)], dict.fromkeys(range(3), labels), CLASSES)
    found = collect_training_set()
    ids = [case.id for case in found.cases]
    content = json.loads(write_datalist(found, tmp_path / "d", validation=[ids[1]], test=[ids[2]]).read_text())
    got = {key: [e["id"] for e in content[key]] for key in ("training", "validation", "test", "unlabeled")}
    assert got == {"training": [ids[0]], "validation": [ids[1]], "test": [ids[2]], "unlabeled": [ids[3]]}


def test_frames_of_one_cine_do_not_end_up_on_both_sides(scene, labels, tmp_path):
    scenes.partly_segmented_scene(
        [picture()], {0: labels}, CLASSES, cine=[picture(k) for k in range(3)], cine_labels={0: labels, 2: labels}
    )
    found = collect_training_set()
    frame = next(c.id for c in found.cases if c.frame == "0.00")
    with pytest.raises(SemiSegError) as error:
        write_datalist(found, tmp_path / "d", validation=[frame])
    assert error.value.code == "split-group"
    write_datalist(found, tmp_path / "d", validation=[c.id for c in found.cases if c.sequence])


def test_what_the_user_leaves_out_is_not_written(scene, labels, tmp_path):
    scenes.partly_segmented_scene([picture(k) for k in range(3)], {0: labels, 1: labels}, CLASSES)
    found = collect_training_set()
    found.cases[1].use = "left out"
    found.cases[2].use = "left out"
    content = json.loads(write_datalist(found, tmp_path / "d").read_text())
    assert [e["id"] for key in ("training", "unlabeled") for e in content[key]] == [found.cases[0].id]
    assert len(list((tmp_path / "d" / "images").iterdir())) == 1


def test_faults_are_explained_and_leave_nothing(scene, labels, tmp_path):
    volume = scenes.add_volume(picture(), "v")
    with pytest.raises(SemiSegError) as error:
        write_datalist(collect_training_set(), tmp_path / "d")
    assert error.value.code == "no-labelled-case"

    same = [SegmentClass(1, "lip", (1, 0, 0)), SegmentClass(2, "Lip", (0, 0, 1))]
    twins = scenes.add_segmentation(volume, labels, same)
    with pytest.raises(SemiSegError) as error:
        write_datalist(collect_training_set(), tmp_path / "d")
    assert error.value.code == "ambiguous-classes"
    scene.RemoveNode(twins)
    assert list(tmp_path.iterdir()) == []

    scenes.add_segmentation(volume, labels, CLASSES)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "precious").write_text("mine")
    with pytest.raises(SemiSegError) as error:
        write_datalist(collect_training_set(), tmp_path / "used")
    assert error.value.code == "file-exists"
    assert [p.name for p in tmp_path.rglob("*")] == ["used", "precious"]


@pytest.mark.parametrize("size", [40, 400])
def test_a_full_disk_leaves_nothing(scene, labels, tmp_path, size):
    resource = pytest.importorskip("resource", reason="the limit on file sizes is a POSIX one")
    scenes.partly_segmented_scene([picture(), np.zeros((3, 10, 12), np.int16)], {0: labels}, CLASSES)
    found = collect_training_set()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(SemiSegError) as error:
            write_datalist(found, tmp_path / "d")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.code == "cannot-write"
    assert list(tmp_path.iterdir()) == []
