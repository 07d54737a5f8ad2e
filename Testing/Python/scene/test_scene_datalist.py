"""The scene as files for training: every number as it was, all of it or nothing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.pieces import whole
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.geometry import ijk_to_ras
from SemiSegCervicalLib.scene.reading import grey
from SemiSegTrainerLib.scene import choices, marks
from SemiSegTrainerLib.scene.collect import collect_training_set
from SemiSegTrainerLib.scene.datalist import datalist_steps, write_datalist
from SemiSegTrainerLib.scene.split import Split, propose_split
from SlicerRig import scenes
from SlicerRig.clocks import timed_pieces

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
    assert content["modality"] == {"0": "image"}
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
    for name, expected in (("image", grey(volume)), ("label", labels)):
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


def lists(path: Any) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def test_images_that_validate_are_in_a_list_of_their_own(scene, labels, tmp_path):
    scenes.partly_segmented_scene([picture(k) for k in range(4)], dict.fromkeys(range(3), labels), CLASSES)
    found = collect_training_set()
    split = propose_split(found)
    content = lists(write_datalist(found, tmp_path / "d", split))
    ids = [case.id for case in found.cases]
    (held,) = split.validation
    got = {key: [e["id"] for e in content[key]] for key in ("training", "validation", "unlabeled", "test")}
    assert got == {
        "training": [i for i in ids[:3] if i != held],
        "validation": [held],
        "unlabeled": [ids[3]],
        "test": [],
    }
    assert len({e["group"] for key in content for e in content[key] if isinstance(e, dict)}) == 4


def test_frames_next_to_validation_are_not_written(scene, labels, tmp_path):
    frames = [picture(k) for k in range(24)]
    scenes.partly_segmented_scene([], {}, CLASSES, cine=frames, cine_labels=dict.fromkeys(range(0, 24, 4), labels))
    found = collect_training_set()
    split = propose_split(found)
    content = lists(write_datalist(found, tmp_path / "d", split))
    (held,) = content["validation"]
    trained = content["training"] + content["unlabeled"]
    numbers = {case.id: number for number, case in enumerate(found.cases)}
    assert min(abs(numbers[e["id"]] - numbers[held["id"]]) for e in trained) == 3
    assert len(trained) + len(split.dropped) + 1 == 24
    # Readers refuse a group on both sides; the gap was seen to here.
    assert {e["group"] for e in trained} == {found.cases[0].group}
    assert held["group"] == f"{found.cases[0].group} (validation)"
    broken = Split(split.validation, split.gap, (), split.how, split.warnings, split.layout)
    with pytest.raises(SemiSegError) as error:
        write_datalist(found, tmp_path / "e", broken)
    assert error.value.code == "split-leak"
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


@pytest.mark.parametrize("whole_volume", [False, True])
def test_slices_that_validate_and_those_around_them_are_held_out(scene, labels, tmp_path, whole_volume):
    rng = np.random.default_rng(2)
    depth, marked = 30, [2, 9, 16, 23]
    volume = scenes.add_volume(rng.integers(-500, 500, (depth, 10, 12)).astype(np.int16), "v")
    painted = np.stack([labels] * depth)
    segmentation = scenes.add_segmentation(volume, painted, CLASSES, {1: Status.InProgress, 2: Status.InProgress})
    if whole_volume:
        marks.accept_segmentation(segmentation)
    else:
        marks.set_annotated_slices(segmentation, marked)
    found = collect_training_set()
    split = propose_split(found)
    path = write_datalist(found, tmp_path / "d", split)
    content = lists(path)
    (training,), (validation,) = content["training"], content["validation"]
    held = list(split.validation[volume.GetID()])
    annotated = list(range(depth)) if whole_volume else marked
    assert training["image"] == validation["image"]
    assert len(list((path.parent / "images").iterdir())) == 1
    np.testing.assert_array_equal(read(path.parent / training["image"]), slicer.util.arrayFromVolume(volume))
    assert validation["slices"] == held
    assert set(held) < set(training["held_out"])
    assert set(training["held_out"]) == {k for h in held for k in range(h - 2, h + 3) if 0 <= k < depth}
    assert training["slices"] == [k for k in annotated if k not in training["held_out"]]
    seen = read(path.parent / training["label"])
    assert not seen[training["held_out"]].any(), "not even a reader that knows no held_out sees the paint"
    rest = [k for k in range(depth) if k not in training["held_out"]]
    np.testing.assert_array_equal(seen[rest], painted[rest])
    measured = read(path.parent / validation["label"])
    np.testing.assert_array_equal(measured[held], painted[held])
    assert not np.delete(measured, held, axis=0).any()
    assert "held_out" not in validation
    assert training["group"] != validation["group"]


def test_a_volume_whose_paint_all_validates_teaches_as_an_unlabelled_one(scene, labels, tmp_path):
    depth = 40
    volume = scenes.add_volume(np.zeros((depth, 10, 12), np.int16), "v")
    painted = np.zeros((depth, 10, 12), np.uint8)
    painted[[3, 30]] = labels
    segmentation = scenes.add_segmentation(volume, painted, CLASSES, {1: Status.InProgress, 2: Status.InProgress})
    marks.set_annotated_slices(segmentation, [3, 30])
    scenes.add_segmentation(scenes.add_volume(np.zeros((4, 10, 12), np.int16), "w"), painted[3:4].repeat(4, 0), CLASSES)
    found = collect_training_set()
    around = (1, 2, 4, 5, 28, 29, 31, 32)
    split = propose_split(found)
    split = Split({volume.GetID(): (3, 30)}, {volume.GetID(): around}, (), "by hand", (), split.layout)
    content = lists(write_datalist(found, tmp_path / "d", split))
    assert [e["id"] for e in content["validation"]] == [volume.GetID()]
    (unlabelled,) = content["unlabeled"]
    assert unlabelled["held_out"] == sorted((3, 30, *around))
    assert "label" not in unlabelled
    found.cases = [case for case in found.cases if case.id == volume.GetID()]
    with pytest.raises(SemiSegError) as error:
        write_datalist(found, tmp_path / "e", split)
    assert error.value.code == "no-labelled-case"


def test_pieces_are_short_and_one_that_stops_leaves_nothing(scene, labels, tmp_path):
    rng = np.random.default_rng(0)
    shape = (64, 256, 256)
    smooth = np.cumsum(rng.integers(-3, 4, shape), axis=2).astype(np.int16)
    painted = np.kron(np.stack([labels] * 64), np.ones((1, 25, 21), np.uint8))
    painted = np.pad(painted, ((0, 0), (0, 6), (0, 4)))
    scenes.add_segmentation(scenes.add_volume(smooth, "big"), painted, CLASSES)
    frame = smooth[0].clip(0, 255).astype(np.uint8)
    scenes.partly_segmented_scene([np.tile(frame, (2, 3))], {0: np.tile(painted[0], (2, 3))}, CLASSES)
    found = collect_training_set()
    durations, path = timed_pieces(datalist_steps(found, tmp_path / "d", propose_split(found)))
    assert path == tmp_path / "d" / "datalist.json"
    assert len(durations) > 20
    assert sorted(durations)[-2] < 0.05, "planned are 20 ms, which a busy machine stretches"
    steps = datalist_steps(found, tmp_path / "e", propose_split(found))
    for _ in range(5):
        next(steps)
    assert len(list(tmp_path.iterdir())) == 2
    steps.close()
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_a_grey_picture_in_colours_is_stored_as_grey(scene, labels, tmp_path):
    grey = picture(4)
    volume = scenes.add_volume(np.stack([grey] * 3, axis=-1), "grey in colours")
    scenes.add_segmentation(volume, labels, CLASSES)
    path = write_datalist(collect_training_set(), tmp_path / "d")
    (entry,) = lists(path)["training"]
    assert entry["image"].endswith(".png")
    np.testing.assert_array_equal(read(path.parent / entry["image"]), grey)


def test_voxels_without_a_number_are_kept_as_they_are(scene, labels, tmp_path):
    gaps = np.random.default_rng(0).normal(size=(3, 10, 12)).astype(np.float32)
    gaps[1, 2, 3] = np.nan
    scenes.add_segmentation(scenes.add_volume(gaps, "gaps"), np.stack([labels] * 3), CLASSES)
    path = write_datalist(collect_training_set(), tmp_path / "d")
    (entry,) = lists(path)["training"]
    np.testing.assert_array_equal(read(path.parent / entry["image"]), gaps)


def test_what_the_user_leaves_out_is_not_written(scene, labels, tmp_path):
    scenes.partly_segmented_scene([picture(k) for k in range(3)], {0: labels, 1: labels}, CLASSES)
    found = collect_training_set()
    found.cases[1].use = "left out"
    found.cases[2].use = "left out"
    content = json.loads(write_datalist(found, tmp_path / "d").read_text())
    assert [e["id"] for key in ("training", "unlabeled") for e in content[key]] == [found.cases[0].id]
    assert len(list((tmp_path / "d" / "images").iterdir())) == 1


@pytest.mark.parametrize("what", ["segment", "image"])
def test_what_is_removed_before_it_is_written_is_named(scene, labels, tmp_path, what):
    made = scenes.partly_segmented_scene([picture(k) for k in range(2)], dict.fromkeys(range(2), labels), CLASSES)
    found = collect_training_set()
    if what == "segment":
        made.segmentations[1].GetSegmentation().RemoveSegment("Segment_1")
    else:
        made.volumes[1].SetAndObserveImageData(None)
    with pytest.raises(SemiSegError, match='lip" was removed' if what == "segment" else "holds no image"):
        write_datalist(found, tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


def test_what_is_only_measured_on_needs_nothing_to_learn_from(scene, labels, tmp_path):
    made = scenes.partly_segmented_scene([picture(k) for k in range(2)], dict.fromkeys(range(2), labels), CLASSES)
    for volume in made.volumes:
        choices.set_use(volume.GetID(), "validation")
    found = collect_training_set()
    split = propose_split(found)
    with pytest.raises(SemiSegError, match="No image of the scene"):
        write_datalist(found, tmp_path / "d", split)
    content = json.loads(whole(datalist_steps(found, tmp_path / "d", split, to_learn=False)).read_text())
    assert (len(content["training"]), len(content["validation"])) == (0, 2)


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
