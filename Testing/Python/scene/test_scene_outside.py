"""Folders on disk as cases: nothing is loaded into the scene, nothing is copied, names decide about classes."""

from __future__ import annotations

import gc
import json
import weakref
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from SemiSegCervicalLib.pieces import whole
from SemiSegCervicalLib.scene import pairs
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.export import segmentation_file_in_pieces
from SemiSegCervicalLib.scene.segmentation import new_segmentation
from SemiSegTrainerLib.scene import choices, marks
from SemiSegTrainerLib.scene.annotation import CERTAIN_BACKGROUND, IGNORE
from SemiSegTrainerLib.scene.classes import SegmentKey
from SemiSegTrainerLib.scene.collect import collect_training_set
from SemiSegTrainerLib.scene.datalist import write_datalist
from SemiSegTrainerLib.scene.disk import read_header, read_voxels
from SemiSegTrainerLib.scene.facts import gather_facts
from SemiSegTrainerLib.scene.other_scenes import read_scene
from SemiSegTrainerLib.scene.split import check_split, propose_split
from SemiSegTrainerLib.scene.thumbnails import thumbnail
from SemiSegTrainerLib.scene.training_set import TrainingCase, TrainingSet
from SlicerRig import mrml, scenes
from TrainingRig import dicom

CLASSES = [SegmentClass(1, "anterior", (1, 0, 0)), SegmentClass(2, "posterior", (0, 0, 1))]


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (10, 12), dtype=np.uint8)


def write(path: Path, array: np.ndarray, spacing: tuple[float, ...] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    if spacing is not None:
        image.SetSpacing(spacing[::-1])
    sitk.WriteImage(image, str(path))
    return path


def listed(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "datalist.json").write_text(json.dumps({"labels": {"1": "anterior", "2": "posterior"}, **content}))
    return folder


def by_name(found: TrainingSet) -> dict[str, TrainingCase]:
    return {case.name: case for case in found.cases}


def written(found: TrainingSet, folder: Path, split: Any = None) -> dict[str, Any]:
    return json.loads(write_datalist(found, folder, split).read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", ["png", "bmp", "tif", "nii.gz", "nrrd", "mha"])
def test_files_read_as_everywhere_else(scene, tmp_path, kind):
    flat = kind in ("png", "bmp", "tif")
    array = picture() if flat else np.random.default_rng(0).integers(-90, 90, (4, 5, 6)).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    if not flat:
        image.SetSpacing((0.5, 0.75, 2.0))
        image.SetOrigin((1, -2, 3))
        image.SetDirection(np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0].ravel())
    path = tmp_path / f"image.{kind}"
    sitk.WriteImage(image, str(path))
    voxels = read_voxels(path)
    np.testing.assert_array_equal(voxels, array[None] if flat else array)
    header = read_header(path)
    assert header.shape == voxels.shape
    if flat:
        assert header.spacing is None
        return
    assert header.spacing == pytest.approx((2.0, 0.75, 0.5), abs=1e-6)
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    np.testing.assert_allclose(header.affine, np.diag([-1, -1, 1, 1]) @ lps, atol=1e-6)


def test_a_folder_with_a_data_list_joins_the_scene(scene, labels, tmp_path):
    made = scenes.partly_segmented_scene([picture(k) for k in range(3)], {0: labels, 1: labels}, CLASSES)
    outside = listed(
        tmp_path / "outside",
        {
            "training": [
                {"image": "a.png", "label": "a_label.png", "spacing": [0.1, 0.2], "group": "p1"},
                {"image": "b.png", "label": "b_label.png", "segments": ["anterior"], "group": "p1"},
            ],
            "validation": [{"image": "c.png", "label": "c_label.png"}],
            "unlabeled": [{"image": "d.png"}],
            "test": [{"image": "e.png", "label": "e_label.png"}],
        },
    )
    for number, name in enumerate("abcde"):
        write(outside / f"{name}.png", picture(number + 10))
        write(outside / f"{name}_label.png", labels)
    nodes = scene.GetNumberOfNodes()
    choices.add_folder(str(outside))
    found = collect_training_set()
    assert scene.GetNumberOfNodes() == nodes + 1, "the choice itself"
    cases = by_name(found)
    assert {name: case.use for name, case in cases.items() if case.source == "folder"} == {
        "a": "labelled",
        "b": "partly",
        "c": "labelled",
        "d": "unlabelled",
    }
    assert cases["a"].group == cases["b"].group != cases["c"].group
    assert (cases["a"].spacing, cases["c"].spacing) == ((0.1, 0.2), None)
    np.testing.assert_array_equal(cases["a"].image[0], picture(10))
    np.testing.assert_array_equal(cases["a"].labels, labels)
    assert thumbnail(cases["d"], 12).shape == (10, 12)
    split = propose_split(found)
    check_split(found, split)
    assert split.side(cases["c"].id) == "validation"
    content = written(found, tmp_path / "run", split)
    entries = {Path(e["image"]).stem: e for key in ("training", "validation", "unlabeled") for e in content[key]}
    for name in "abcd":
        assert entries[name]["image"] == str(outside / f"{name}.png")
    for name in "abc":
        assert entries[name]["label"] == str(outside / f"{name}_label.png")
    assert entries["b"]["segments"] == [1]
    assert entries["a"]["spacing"] == [0.1, 0.2]
    assert len(list((tmp_path / "run" / "images").iterdir())) == 3, "those of the scene only"
    assert made.volumes[0].GetID() in [e["id"] for e in content["training"] + content["validation"]]


def test_classes_of_a_folder_match_by_name_and_other_values_are_written_anew(scene, labels, tmp_path):
    scenes.partly_segmented_scene([picture(k) for k in range(2)], {0: labels}, CLASSES)
    swapped = np.choose(labels, np.array([0, 2, 1], np.uint8))
    swapped[0, :3] = 7
    outside = listed(
        tmp_path / "outside",
        {
            "labels": {"1": "Posterior", "2": "anterior", "3": "canal"},
            "training": [{"image": "a.png", "label": "a_label.png", "ignore": 7}],
        },
    )
    write(outside / "a.png", picture(5))
    write(outside / "a_label.png", swapped)
    choices.add_folder(str(outside))
    found = collect_training_set()
    assert [entry.name for entry in found.classes] == ["anterior", "posterior", "canal"]
    case = by_name(found)["a"]
    expected = labels.copy()
    expected[0, :3] = 255
    np.testing.assert_array_equal(case.labels, expected)
    assert (case.use, case.finished) == ("labelled", (1, 2, 3))
    assert by_name(found)["image 1"].finished == (1, 2), "nobody looked for the canal here"
    content = written(found, tmp_path / "run")
    entry = next(e for e in content["training"] if e["id"] == case.id)
    assert entry["label"].startswith("labels/")
    assert entry["ignore"] == 255
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "run" / entry["label"])))
    np.testing.assert_array_equal(stored, expected)


def test_what_a_number_means_is_asked(scene, labels, tmp_path):
    scenes.partly_segmented_scene([picture(k) for k in range(2)], {0: labels}, CLASSES)
    outside = tmp_path / "more"
    for number, name in enumerate(("a", "b", "c")):
        write(outside / f"{name}.png", picture(number + 10))
    write(outside / "a_label.png", labels)
    write(outside / "b_seg.png", labels * (labels == 1))
    choices.add_folder(str(outside))
    found = collect_training_set()
    assert [(c.name, c.cases, c.candidates) for c in found.conflicts] == [
        ("more label 1", ("a", "b"), ("anterior", "posterior")),
        ("more label 2", ("a",), ("anterior", "posterior")),
    ]
    assert {name: case.use for name, case in by_name(found).items() if case.source == "folder"} == {
        "a": "left out",
        "b": "left out",
        "c": "unlabelled",
    }
    assert gather_facts(found, propose_split(found)).refused.code == "classes-open"
    answers = {SegmentKey("more label 1", None): "posterior", SegmentKey("more label 2", None): ""}
    choices.save_answers(answers)
    found = collect_training_set()
    assert found.conflicts == []
    case = by_name(found)["a"]
    np.testing.assert_array_equal(case.labels, np.choose(labels, np.array([0, 2, 255], np.uint8)))
    assert case.finished == (2,)
    choices.save_answers({SegmentKey("more label 1", None): "anterior", SegmentKey("more label 2", None): "posterior"})
    found = collect_training_set()
    assert by_name(found)["a"].use == "labelled"
    codes = [finding.code for finding in gather_facts(found, propose_split(found)).findings]
    assert "patients-unknown" in codes


def test_slicers_own_segmentation_files_bring_their_names(scene, labels, tmp_path):
    outside = tmp_path / "more"
    painted = np.stack([labels] * 5)
    write(outside / "a.nrrd", np.random.default_rng(0).normal(size=painted.shape).astype(np.float32))
    volume = scenes.add_volume(np.zeros(painted.shape, np.float32), "v", np.diag([-1.0, -1.0, 1.0, 1.0]))
    whole(segmentation_file_in_pieces(scenes.add_segmentation(volume, painted, CLASSES), outside / "a.seg.nrrd"))
    mrml.clear()
    choices.add_folder(str(outside))
    found = collect_training_set()
    assert found.conflicts == []
    (case,) = found.cases
    assert [entry.name for entry in found.classes] == ["anterior", "posterior"]
    assert (case.name, case.use, case.shape) == ("a", "labelled", (5, 10, 12))
    np.testing.assert_array_equal(case.labels, painted)


@pytest.mark.parametrize(
    "kind", ["slices", "painted", "scribbles", "flagged", "start", "model", "accepted", "begun", "layers"]
)
def test_what_a_segmentation_file_says_of_itself_is_heard(scene, labels, tmp_path, kind):
    """Nothing is taken for background that nobody has looked at, nor for a label what only a model drew."""
    painted = np.stack([labels] * 5)
    write(tmp_path / "more" / "a.nrrd", np.random.default_rng(0).normal(size=painted.shape).astype(np.float32))
    volume = scenes.add_volume(np.zeros(painted.shape, np.float32), "v", np.diag([-1.0, -1.0, 1.0, 1.0]))
    by_model = kind in ("model", "accepted")
    segmentation = (
        new_segmentation(volume, painted, CLASSES) if by_model else scenes.add_segmentation(volume, painted, CLASSES)
    )
    content = segmentation.GetSegmentation()
    if kind in ("slices", "painted"):
        marks.set_annotated_slices(segmentation, [2] if kind == "slices" else None)
    elif kind == "scribbles":
        marks.set_scribbles(segmentation, True)
    elif kind == "start":
        marks.begin_start(segmentation, 2, len(painted))
    elif kind == "accepted":
        marks.accept_segmentation(segmentation)
    elif kind in ("flagged", "begun"):
        marks.Status.SetSegmentStatus(
            content.GetNthSegment(0), marks.Status.Flagged if kind == "flagged" else marks.Status.InProgress
        )
    elif kind == "layers":
        over = np.zeros(painted.shape, np.uint8)
        over[:, 1:8] = 1
        content.SeparateSegmentLabelmap("Segment_2")
        slicer.util.updateSegmentBinaryLabelmapFromArray(over, segmentation, "Segment_2", volume)
    whole(segmentation_file_in_pieces(segmentation, tmp_path / "more" / "a.seg.nrrd"))
    mrml.clear()
    choices.add_folder(str(tmp_path / "more"))
    (case,) = collect_training_set().cases
    said = {
        "layers": "cover each other",
        "model": "nobody has accepted",
        **dict.fromkeys(("slices", "painted", "scribbles", "flagged", "start"), "not finished everywhere"),
    }
    if kind in said:
        assert case.use == "left out"
        assert said[kind] in case.reason
        assert "load it into the scene" in case.reason
    else:
        assert case.use == "labelled"
        np.testing.assert_array_equal(case.labels, painted)


def test_a_second_label_map_is_no_image(scene, labels, tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.png", picture(ord(name)))
        write(tmp_path / f"{name}_label.png", labels)
    write(tmp_path / "b_seg.png", labels)
    choices.add_folder(str(tmp_path))
    found = by_name(collect_training_set())
    assert set(found) == {"a", "b"}
    assert (found["b"].use, found["b"].reason) == (
        "left out",
        "several label maps lie beside it (b_label.png, b_seg.png): leave one there",
    )


def test_hidden_files_are_no_images(scene, labels, tmp_path):
    """macOS lays such a file beside each on a disk that Windows reads too."""
    for name in ("a", "b"):
        write(tmp_path / f"{name}.png", picture(ord(name)))
        (tmp_path / f"._{name}.png").write_bytes(b"\0\5\x16\7")
    write(tmp_path / "a_label.png", labels)
    (tmp_path / "._a_label.png").write_bytes(b"\0\5\x16\7")
    choices.add_folder(str(tmp_path))
    found = collect_training_set()
    assert ({case.name for case in found.cases}, found.notes) == ({"a", "b"}, [])


@pytest.mark.parametrize("suffix", ["_mask", "_gt", "_Segmentation"])
def test_masks_as_public_data_sets_have_them(scene, labels, tmp_path, suffix):
    """Black and white, and called otherwise: they were learned from as images that nobody has segmented."""
    scenes.partly_segmented_scene([picture(k) for k in range(2)], {0: labels}, CLASSES)
    outside = tmp_path / "more"
    for number, name in enumerate(("a (1)", "b", "c", "d")):
        write(outside / f"{name}.png", picture(number + 10))
    write(outside / f"a (1){suffix}.png", labels * 0 + 255 * (labels == 1).astype(np.uint8))
    write(outside / f"b{suffix}.png", labels)
    write(outside / f"b{suffix}_1.png", labels)
    write(outside / f"c{suffix}.png", labels)
    write(outside / "c_seg.png", labels)
    write(outside / "bone_mask.png", picture(20))
    choices.add_folder(str(outside))
    choices.save_answers({SegmentKey("more label 255", None): "anterior", SegmentKey("more label 1", None): "anterior",
                          SegmentKey("more label 2", None): "posterior"})  # fmt: skip
    found = by_name(collect_training_set())
    assert {name for name, case in found.items() if case.source == "folder"} == {"a (1)", "b", "c", "d", "bone_mask"}
    assert (found["a (1)"].use, found["a (1)"].finished) == ("partly", (1,)), "it says nothing of the other segment"
    np.testing.assert_array_equal(found["a (1)"].labels, (labels == 1).astype(np.uint8))
    assert "several label maps" in found["b"].reason
    assert found["c"].use == "labelled"
    assert (found["d"].use, found["bone_mask"].use) == ("unlabelled", "unlabelled")


def test_slices_that_an_image_has_not_are_a_fault_of_the_data_list(scene, labels, tmp_path):
    entries = [{"image": "a.nrrd", "label": "l.nrrd", "slices": [2, 5]}]
    outside = listed(tmp_path / "outside", {"training": entries})
    write(outside / "a.nrrd", np.stack([picture(k) for k in range(5)]))
    write(outside / "l.nrrd", np.stack([labels] * 5))
    choices.add_folder(str(outside))
    (case,) = collect_training_set().cases
    assert (case.use, case.reason) == (
        "left out",
        "its data list names slices that it has not; it has 5, counted from 0",
    )


def test_slices_of_a_volume_on_disk_are_held_out_without_copying_it(scene, labels, tmp_path):
    painted = np.stack([labels] * 40)
    outside = listed(
        tmp_path / "outside", {"training": [{"image": "v.nrrd", "label": "v_label.nrrd", "slices": [0, 10, 20, 30]}]}
    )
    write(outside / "v.nrrd", np.random.default_rng(0).normal(size=painted.shape).astype(np.float32), (2, 0.5, 0.5))
    write(outside / "v_label.nrrd", painted, (2, 0.5, 0.5))
    choices.add_folder(str(outside))
    found = collect_training_set()
    (case,) = found.cases
    assert case.slices == (0, 10, 20, 30)
    assert case.spacing == pytest.approx((2, 0.5, 0.5))
    split = propose_split(found)
    content = written(found, tmp_path / "run", split)
    (training,), (validation,) = content["training"], content["validation"]
    assert training["image"] == validation["image"] == str(outside / "v.nrrd")
    assert training["held_out"] == list(split.held_out(case.id))
    stored = sitk.ReadImage(str(tmp_path / "run" / training["label"]))
    np.testing.assert_allclose(stored.GetSpacing(), (0.5, 0.5, 2))
    assert not sitk.GetArrayFromImage(stored)[training["held_out"]].any()


def test_files_at_fault_are_left_out_with_the_reason(scene, labels, tmp_path):
    outside = listed(
        tmp_path / "outside",
        {
            "training": [
                {"image": f"{name}.png", "label": f"{name}_label.png"} for name in ("small", "strange", "gone", "good")
            ]
        },
    )
    for number, name in enumerate(("small", "strange", "good")):
        write(outside / f"{name}.png", picture(number))
    write(outside / "small_label.png", labels[:5])
    write(outside / "strange_label.png", labels * 3)
    write(outside / "good_label.png", labels)
    (outside / "gone_label.png").write_bytes(b"not a picture")
    choices.add_folder(str(outside))
    choices.add_folder(str(tmp_path / "nowhere"))
    found = collect_training_set()
    uses = {name: (case.use, case.reason) for name, case in by_name(found).items()}
    assert uses["good"][0] == "labelled"
    assert uses["small"] == ("left out", "its label map is of another size")
    assert uses["strange"][1] == "its label map holds the value 3, which no class has"
    assert "gone" not in uses
    assert any("gone" in note for note in found.notes)
    assert any("nowhere" in note and "not there" in note for note in found.notes)
    (outside / "datalist.json").write_text("{")
    assert any("not a usable data list" in note for note in collect_training_set().notes)
    choices.remove_folder(str(outside))
    choices.remove_folder(str(tmp_path / "nowhere"))
    assert collect_training_set().cases == []
    assert choices.folders() == []


def test_a_dicom_seg_is_not_taken_for_its_numbers(scene, labels, tmp_path):
    """The command line finds its segments by name; to VTK it is a picture of zeros and ones."""
    outside = listed(tmp_path / "outside", {"training": [{"image": "a.png", "label": "a.dcm"}]})
    write(outside / "a.png", picture())
    dicom.write_segmentation(outside / "a.dcm", [(1, None, labels == 2)], {1: "posterior"}, np.eye(4))
    choices.add_folder(str(outside))
    case = by_name(collect_training_set())["a"]
    assert case.use == "left out"
    assert case.reason == "its label map is in DICOM, where numbers are no classes: load it into the scene"


def test_values_that_a_data_list_declares_are_no_fault_whatever_they_are(scene, labels, tmp_path):
    entry = {"image": "a.png", "label": "a_label.png", "complete": False, "background": 254, "ignore": 255}
    outside = listed(tmp_path / "outside", {"training": [entry]})
    write(outside / "a.png", picture())
    painted = labels.copy()
    painted[0, :2], painted[1, :2] = 254, 255
    write(outside / "a_label.png", painted)
    choices.add_folder(str(outside))
    found = collect_training_set()
    (case,) = found.cases
    assert case.use == "partly", case.reason
    assert (case.labels[0, :2] == CERTAIN_BACKGROUND).all()
    assert (case.labels[1, :2] == IGNORE).all()
    content = written(found, tmp_path / "run")
    assert [e["label"] for e in content["training"]] != [str(outside / "a_label.png")], "its special values are others"


def test_a_label_map_that_does_not_lie_on_its_image_is_left_out(scene, tmp_path):
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32))
    image.SetOrigin((1, 2, 3))
    mask = sitk.GetImageFromArray((sitk.GetArrayFromImage(image) > 1).astype(np.uint8))
    mask.CopyInformation(image)
    bare = sitk.GetImageFromArray(sitk.GetArrayFromImage(mask))
    moved = sitk.Image(mask)
    moved.SetOrigin((1, 2, 13))
    maps = {"same": mask, "mirrored": mask[::-1], "bare": bare, "moved": moved}
    entries = [{"image": f"{name}.nrrd", "label": f"{name}_label.nrrd"} for name in maps]
    outside = listed(tmp_path / "outside", {"training": entries})
    for name, label in maps.items():
        sitk.WriteImage(image, str(outside / f"{name}.nrrd"))
        sitk.WriteImage(label, str(outside / f"{name}_label.nrrd"))
    choices.add_folder(str(outside))
    found = by_name(collect_training_set())
    uses = {name: case.use for name, case in found.items()}
    assert uses == {"same": "labelled", "mirrored": "left out", "bare": "labelled", "moved": "left out"}
    assert "other directions" in found["mirrored"].reason
    assert "another place" in found["moved"].reason


def test_a_changed_file_is_read_again(scene, labels, tmp_path):
    outside = tmp_path / "more"
    write(outside / "a.png", picture())
    write(outside / "a_label.png", labels)
    choices.add_folder(str(outside))
    choices.save_answers({SegmentKey(f"more label {k}", None): name for k, name in ((1, "anterior"), (2, "posterior"))})
    assert collect_training_set().cases[0].counts[0, 2] == (labels == 2).sum()
    changed = labels.copy()
    changed[0, :] = 2
    write(outside / "a_label.png", changed)
    assert collect_training_set().cases[0].counts[0, 2] == (changed == 2).sum()


def test_folders_and_uses_come_back_with_the_scene(scene, labels, tmp_path):
    outside = tmp_path / "more"
    for number, name in enumerate(("a", "b")):
        write(outside / f"{name}.png", picture(number))
    scenes.add_volume(picture(3), "v")
    choices.add_folder(str(outside))
    choices.add_folder(str(outside))
    choices.set_use(f"file:{outside / 'a.png'}", "left out")
    before = [(case.id, case.use) for case in collect_training_set().cases[1:]]
    assert [use for _, use in before] == ["left out", "unlabelled"]
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    mrml.clear()
    assert collect_training_set().cases == []
    scene.SetURL(str(tmp_path / "scene.mrb"))
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
    mrml.process_events()
    assert [(case.id, case.use) for case in collect_training_set().cases[1:]] == before
    choices.set_use(f"file:{outside / 'a.png'}", None)
    assert [case.use for case in collect_training_set().cases[1:]] == ["unlabelled", "unlabelled"]


@pytest.mark.parametrize("kind", ["mrb", "mrml"])
def test_a_saved_scene_joins_the_open_one(scene, labels, tmp_path, kind):
    made = scenes.partly_segmented_scene(
        [picture(k) for k in range(3)],
        {0: labels, 1: labels},
        CLASSES,
        names=["one", "two", "three"],
        cine=[picture(k + 10) for k in range(4)],
        cine_labels={1: labels},
    )
    choices.set_use(made.volumes[1].GetID(), "validation")
    path = tmp_path / "other.mrb"
    assert scene.WriteToMRB(str(path))
    if kind == "mrml":
        with zipfile.ZipFile(path) as bundle:
            bundle.extractall(tmp_path / "unpacked")
        (path,) = (tmp_path / "unpacked").rglob("*.mrml")
    mrml.clear()
    mine = scenes.add_volume(picture(50), "mine")  # its node has the id of the other scene's first volume
    scenes.add_segmentation(
        mine, labels, [SegmentClass(1, "canal", (0, 1, 0)), SegmentClass(2, "Posterior", (1, 1, 1))]
    )
    choices.add_scene(str(path))
    nodes = scene.GetNumberOfNodes()
    found = collect_training_set()
    assert scene.GetNumberOfNodes() == nodes
    assert [entry.name for entry in found.classes] == ["canal", "Posterior", "anterior"]
    other = [case for case in found.cases if case.source == "other scene"]
    assert [case.name for case in other[:2]] == [f"one ({path.stem})", f"two ({path.stem})"]
    assert len(other) == 7
    assert [case.use for case in other] == [
        "partly",
        "partly",
        "unlabelled",
        "unlabelled",
        "partly",
        *["unlabelled"] * 2,
    ]
    assert [case.side for case in other[:2]] == [None, "validation"]
    np.testing.assert_array_equal(other[4].labels, np.choose(labels, np.array([0, 3, 2], np.uint8)))
    np.testing.assert_array_equal(other[4].image[0], picture(11))
    assert len({case.id for case in found.cases}) == len(found.cases)
    assert {case.volume for case in other} == {None}
    check_split(found, propose_split(found))
    content = written(found, tmp_path / "run")
    assert len(content["training"]) == 4
    assert len({entry["image"] for key in ("training", "unlabeled") for entry in content[key]}) == 8
    choices.set_use(other[0].id, "left out")
    assert next(c for c in collect_training_set().cases if c.id == other[0].id).use == "left out"
    assert read_scene(path) is read_scene(path)
    before = weakref.ref(read_scene(path))
    del found, other
    choices.remove_scene(str(path))
    assert len(collect_training_set().cases) == 1
    gc.collect()
    assert before() is None, "a scene that is not wanted any more takes no memory"


def test_what_is_chosen_here_goes_before_what_was_chosen_in_the_other_scene(scene, labels, tmp_path):
    made = scenes.partly_segmented_scene([picture(k) for k in range(3)], dict.fromkeys(range(3), labels), CLASSES)
    for volume, use in zip(made.volumes, ("left out", "unlabelled", "validation"), strict=True):
        choices.set_use(volume.GetID(), use)
    assert scene.WriteToMRB(str(tmp_path / "other.mrb"))
    mrml.clear()
    choices.add_scene(str(tmp_path / "other.mrb"))
    found = collect_training_set().cases
    assert [(case.use, case.side) for case in found] == [
        ("left out", None),
        ("unlabelled", None),
        ("labelled", "validation"),
    ]
    for case in found:
        choices.set_use(case.id, "training")
    assert [(case.use, case.side) for case in collect_training_set().cases] == [("labelled", "training")] * 3


def test_a_scene_that_cannot_be_read_is_noted(scene, tmp_path):
    (tmp_path / "broken.mrb").write_bytes(b"no scene")
    with zipfile.ZipFile(tmp_path / "empty.mrb", "w") as bundle:
        bundle.writestr("readme.txt", "no scene either")
    names = ("broken.mrb", "empty.mrb", "gone.mrb")
    for name in names:
        choices.add_scene(str(tmp_path / name))
    here = Path.cwd()
    found = collect_training_set()
    assert found.cases == []
    assert [name in " ".join(found.notes) for name in names] == [True, True, True]
    assert Path.cwd() == here


def test_modalities_of_a_folder_join_those_of_the_scene(scene, labels, tmp_path):
    first, second = (scenes.add_volume(np.random.default_rng(k).normal(size=(4, 10, 12)), f"v{k}") for k in range(2))
    pairs.pair(first, second, ("T1", "FLAIR"))
    scenes.add_segmentation(first, np.stack([labels] * 4), CLASSES)
    outside = listed(
        tmp_path / "outside",
        {
            "modality": {"0": "flair", "1": "t1"},
            "training": [
                {"image": ["a_f.nrrd", "a_t.nrrd"], "label": "a_label.nrrd"},
                {"image": ["b_f.nrrd", None], "label": "a_label.nrrd"},
            ],
        },
    )
    for name in ("a_f", "a_t", "b_f"):
        write(outside / f"{name}.nrrd", np.zeros((4, 10, 12), np.float32))
    write(outside / "a_label.nrrd", np.stack([labels] * 4))
    choices.add_folder(str(outside))
    found = collect_training_set()
    assert found.modalities == ("T1", "FLAIR")
    content = written(found, tmp_path / "run")
    images = [e["image"] for e in content["training"][1:]]
    assert images == [
        [str(outside / "a_t.nrrd"), str(outside / "a_f.nrrd")],
        [None, str(outside / "b_f.nrrd")],
    ]
