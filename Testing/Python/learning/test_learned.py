"""What a starting model has learned from is not taken for unseen: not in its figures, not in its temperatures."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.pack import load_pack, save_pack
from SemiSegCervicalLib.engine.schema import LEARNED_MOST
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.learning import learned, preparation
from SemiSegTrainerLib.learning.checkpoint import load_checkpoint, save_checkpoint
from SemiSegTrainerLib.learning.data import read_sets
from SemiSegTrainerLib.learning.datalist import read_datalist
from SemiSegTrainerLib.learning.folds import split
from SemiSegTrainerLib.learning.observing import Wish
from SemiSegTrainerLib.learning.preparation import RunOptions, prepare
from SemiSegTrainerLib.learning.previews import Subject
from SemiSegTrainerLib.learning.run import train_model
from SemiSegTrainerLib.learning.training import Settings
from TrainingRig import cases, parts

TWO_OF_THREE = "2 of 3 validation images were left out: the starting model had learned from them"
FRESH = "from random weights"


def options(start=None, **more):
    settings = Settings(iterations=more.pop("iterations", 3), precision="32-true", log_every=2)
    shape = {} if start else {"size": cases.SIZE, "branches": parts.TINY}
    return RunOptions("supervised", settings, device="cpu", start=start, **shape, **more)


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    """Return a function that writes a datalist of annotated images 0 to 6, by their numbers."""
    folder = tmp_path_factory.mktemp("data")
    entries = [cases.write_case(folder, f"image{i}", i, spacing=None) for i in range(7)]
    free = cases.write_case(folder, "free", 99, labelled=False)

    def write(name, training, validation=(), **more):
        content = {
            "labels": cases.LABELS, "training": [entries[i] for i in training], "unlabeled": [free],
            "validation": [entries[i] for i in validation], **more,
        }  # fmt: skip
        path = folder / f"{name}.json"
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.fixture(scope="module")
def first(tmp_path_factory, lists):
    """A model that has learned from the images 0, 1 and 2, and was measured on 3."""
    out = tmp_path_factory.mktemp("first") / "out"
    train_model(lists("first", (0, 1, 2), (3,)), out, options())
    return out / "model.semiseg"


def digests(datalist, number):
    entry = {e.id: e for e in (*datalist["training"], *datalist["validation"])}[f"image{number}"]
    image = read_image(entry.images, entry.spacing)
    return learned.digests_learned(image, read_sets(entry, 3, image.spatial_shape), 3)


def test_a_model_remembers_what_it_learned_from(tmp_path, lists, first):
    path = lists("more", (1, 4), (3,))
    datalist = read_datalist(lists("all", range(7)))
    known = [digests(datalist, i) for i in range(7)]
    assert all(len(one) == 1 for one in known)
    manifest = load_pack(first).manifest
    assert set(manifest.provenance.learned) == known[0] | known[1] | known[2]
    assert "by 3 digests" in load_pack(first).card
    train_model(path, tmp_path / "out", options(first, calibrate="none"))
    assert set(load_pack(tmp_path / "out" / "model.semiseg").manifest.provenance.learned) == set().union(
        known[0], known[1], known[2], known[4]
    )


def test_the_same_split_again_measures_as_before(tmp_path, lists, first):
    summary = train_model(lists("first", (0, 1, 2), (3,)), tmp_path / "out", options(first))
    assert summary["validation_left_out"] == ""
    assert summary["validation"]["cases_count"] == summary["before"]["cases_count"] == 1
    assert summary["calibration"]["fitted_on"].startswith("annotations that were not trained on: 1 cases of the")
    (quality,) = load_pack(tmp_path / "out" / "model.semiseg").manifest.quality
    assert (quality.data, quality.cases) == ("validation list", 1)


def test_what_the_start_has_learned_from_is_not_measured_on(tmp_path, lists, first):
    news = []
    summary = train_model(
        lists("part", (0, 3), (1, 2, 4)), tmp_path / "out", options(first),
        wish=Wish(tmp_path / "pictures", preview_seconds=0, validate_seconds=1e-9), on_news=news.append,
    )  # fmt: skip
    for key in ("validation", "before"):
        assert [found["case"] for found in summary[key]["cases"]] == ["image4"]
    assert {n.validation.cases for n in news} == {1}
    assert summary["validation_left_out"] == TWO_OF_THREE
    assert f"1 cases of the validation list ({TWO_OF_THREE})" in summary["calibration"]["fitted_on"]
    assert summary["calibration"]["cases"] == 1
    pack = load_pack(tmp_path / "out" / "model.semiseg")
    assert [(q.data, q.cases) for q in pack.manifest.quality] == [(f"validation list ({TWO_OF_THREE})", 1)]
    assert TWO_OF_THREE in pack.card


def test_where_everything_is_learned_nothing_is_measured(tmp_path, lists, first):
    stages = []
    path = lists("nothing", (3, 4, 5, 6), (1,))
    summary = train_model(path, tmp_path / "out", options(first), lambda stage, *_: stages.append(stage))
    said = "1 of 1 validation images was left out: the starting model had learned from it"
    assert summary["validation_left_out"] == said
    assert summary["validation"] is summary["before"] is None
    assert summary["validation_also_decided"] == []
    assert "validating" not in stages
    assert "4 training cases, held out of two trainings" in summary["calibration"]["fitted_on"]
    pack = load_pack(tmp_path / "out" / "model.semiseg")
    assert pack.manifest.quality == ()
    assert f"Measured quality: none; {said}" in pack.card
    asked = options(first, calibrate="validation")
    assert prepare(path, asked).source == "folds"
    assert prepare(path, dataclasses.replace(asked, calibrate="none")).source == "none"


def test_the_preview_prefers_what_is_unseen_and_shows_what_is_wished(lists, first):
    run = prepare(lists("part", (0, 3), (1, 2, 4)), options(first))
    assert Subject(run).case == "image4"
    assert Subject(run, "image1").case == "image1"


@pytest.mark.parametrize(("training", "fresh"), [((2, 3, 4, 5), True), ((3, 4, 5, 6), False)])
def test_folds_do_not_begin_with_weights_that_know_what_they_are_asked(
    tmp_path, lists, first, monkeypatch, training, fresh
):
    began = []

    class Watched(preparation.Training):
        def __init__(self, branches, *rest, **more):
            began.append([w.clone() for b in branches for w in b.network.parameters()])
            super().__init__(branches, *rest, **more)

    monkeypatch.setattr(preparation, "Training", Watched)
    summary = train_model(lists("folds", training), tmp_path / "out", options(first))
    start = [w for b in load_pack(first).branches for w in b.network.parameters()]
    assert [
        all(torch.equal(a, b) for a, b in zip(weights, start, strict=True)) for weights in began
    ] == [True, not fresh, not fresh]  # fmt: skip
    assert (FRESH in summary["calibration"]["fitted_on"]) is fresh


def test_of_a_model_without_digests_nothing_is_known(tmp_path, lists, first):
    pack = load_pack(first)
    told = json.loads(pack.manifest.model_dump_json())
    del told["provenance"]["learned"]
    pack.manifest = type(pack.manifest).model_validate(told)
    old = save_pack(tmp_path / "old", pack)
    run = prepare(lists("part", (0, 3), (1, 2, 4)), options(old))
    assert [entry.id for entry in run.validation] == ["image1", "image2", "image4"]
    assert (run.left_out, run.fresh_folds, run.source) == ("", False, "validation")


def test_a_resumed_run_decides_the_same(tmp_path, lists, first):
    path, out = lists("part", (0, 3), (1, 2, 4)), tmp_path / "out"
    stop = iter([False, True, True])
    train_model(path, out, options(first), should_stop=lambda: next(stop))
    with pytest.raises(SemiSegError) as caught:
        train_model(path, out, options(resume=True))
    assert caught.value.code == "other-run"
    assert "starting model" in caught.value.cause
    again = train_model(path, out, options(first, resume=True))
    whole = train_model(path, tmp_path / "whole", options(first))
    for key in ("validation_left_out", "validation", "before", "calibration"):
        assert again[key] == whole[key]


def test_what_an_earlier_version_stopped_can_be_resumed(tmp_path, lists):
    path, out = lists("old", (0, 3), (1,)), tmp_path / "out"
    stop = iter([False, True, True])
    train_model(path, out, options(), should_stop=lambda: next(stop))
    state = load_checkpoint(out / "checkpoints" / "last.ckpt")
    del state["identity"]["starting model"]
    save_checkpoint(out / "checkpoints" / "last.ckpt", state)
    assert train_model(path, out, options(resume=True))["finished"]


# -- planes of volumes --


def write_volume(folder, name, array, labels, **more):
    for ending, voxels in (("", array), ("_label", labels)):
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(folder / f"{name}{ending}.nrrd"))
    return {"image": f"{name}.nrrd", "label": f"{name}_label.nrrd", "id": name, **more}


@pytest.fixture
def volume(tmp_path):
    """An entry of a volume with two even planes, painted on every plane."""
    voxels = np.random.default_rng(0).normal(size=(24, 16, 32)).astype(np.float32)
    voxels[[0, 23]] = 7.0
    labels = np.zeros(voxels.shape, dtype=np.uint8)
    labels[:, 4:12, 4:28] = 1
    return write_volume(tmp_path, "v", voxels, labels)


def volume_options(start=None, **more):
    shape = {} if start else {"size": (16, 16, 32), "branches": parts.TINY}
    settings = Settings(iterations=1, precision="32-true")
    return RunOptions("supervised", settings, device="cpu", start=start, calibrate="none", **shape, **more)


def test_slices_are_remembered_one_by_one(tmp_path, volume):
    labels = {"0": "background", "1": "bright"}
    other = np.random.default_rng(1).normal(size=(24, 16, 32)).astype(np.float32)
    other[0] = 7.0
    painted = np.zeros(other.shape, dtype=np.uint8)
    painted[0:2, 4:12, 4:28] = 1
    stranger = write_volume(tmp_path, "w", other, painted, slices=[0, 1])
    held = {"slices": [18, 19, 20], "group": "v held out", "id": "held out"}
    content = {
        "labels": labels,
        "training": [{**volume, "held_out": list(range(5, 24))}],
        "validation": [{**volume, **held}],
    }
    train_model(cases.write_datalist(tmp_path, content), tmp_path / "one", volume_options())
    start = tmp_path / "one" / "model.semiseg"
    assert len(load_pack(start).manifest.provenance.learned) == 4, "planes 1 to 4; plane 0 is even, the rest held out"
    content["training"] = [{**volume, "held_out": [*range(1, 10), *range(16, 24)]}]
    content["validation"] = [{**volume, **held, "slices": [3, 5, 6, 19, 23]}, stranger]
    path = cases.write_datalist(tmp_path, content)
    run = prepare(path, volume_options(start))
    assert [(entry.id, entry.only) for entry in run.validation] == [("held out", (6, 19)), ("w", None)]
    said = "3 of 7 validation slices were left out: the starting model had learned from them or slices beside them"
    assert run.left_out == said
    summary = train_model(path, tmp_path / "two", volume_options(start))
    assert summary["validation"]["cases_count"] == 2
    assert summary["validation"]["voxels"] == 4 * 16 * 32
    assert Subject(run).slice in (6, 19)


@pytest.mark.parametrize(("planes", "fresh"), [((6,), True), ((4,), True), ((9, 14), False)])
def test_folds_do_not_begin_with_weights_that_know_the_slices_beside(tmp_path, volume, planes, fresh):
    painted = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / volume["label"])))

    def annotated(*planes):
        labels = np.zeros_like(painted)
        labels[list(planes)] = painted[list(planes)]
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(tmp_path / "some.nrrd"))
        entry = {**volume, "label": "some.nrrd", "slices": planes}
        return cases.write_datalist(tmp_path, {"labels": {"0": "background", "1": "bright"}, "training": [entry]})

    train_model(annotated(3, 4, 5), tmp_path / "one", volume_options())
    run = prepare(annotated(*planes), volume_options(tmp_path / "one" / "model.semiseg"))
    assert run.fresh_folds is fresh


def test_what_is_kept_is_bounded_and_does_not_depend_on_the_order(tmp_path):
    every = {f"{(i * 2654435761 * 40503) % 2**64:016x}" for i in range(LEARNED_MOST + 1000)}
    half = set(sorted(every)[::2])
    kept = learned.remembered(every)
    assert len(kept) == LEARNED_MOST
    assert learned.remembered({*learned.remembered(half), *learned.remembered(every - half)}) == kept
    pack = parts.pack()
    told = pack.manifest.provenance.model_copy(update={"learned": kept})
    pack.manifest = pack.manifest.model_copy(update={"provenance": told})
    assert load_pack(save_pack(tmp_path / "full", pack)).manifest.provenance.learned == kept


def test_equal_numbers_of_another_shape_are_another_image(tmp_path):
    wide, high = (tmp_path / f"{name}.png" for name in ("wide", "high"))
    pixels = np.arange(32 * 48, dtype=np.uint8)
    Image.fromarray(pixels.reshape(32, 48)).save(wide)
    Image.fromarray(pixels.reshape(48, 32)).save(high)
    found = [learned.digests_learned(i, np.ones(i.spatial_shape, int), 2) for i in map(read_image, ([wide], [high]))]
    assert found[0].isdisjoint(found[1])
    assert learned.digests_learned(read_image([wide]), np.full((32, 48), 3), 2) == set(), "nothing is known of it"


@pytest.mark.parametrize("lacks", [{"training1": 1}, {"validation0": 0}, {"training1": 1, "validation0": 1}, {}])
@pytest.mark.parametrize("earlier", [False, True])
def test_a_case_is_known_by_any_of_its_modalities(tmp_path, lacks, earlier):
    """The first validation case is the second training case again, with the images that either has."""
    first, later = tmp_path / "first", tmp_path / "later"
    path = cases.write_modalities(first, missing=lacks, validation=0, test=0)
    chosen = dataclasses.replace(options(calibrate="none"), method="supervised_modalities")
    run = prepare(path, chosen)
    assert len(run.data.learned) == 6 - ("training1" in lacks)
    train_model(path, tmp_path / "out", chosen)
    start = tmp_path / "out" / "model.semiseg"
    if earlier:  # they kept one digest of all modalities of a plane that there were
        together = [
            learned._digest(np.stack([np.asarray(Image.open(first / f), dtype=np.float32) for f in files if f]))
            for files in (entry["image"] for entry in json.loads(path.read_text())["training"])
        ]
        pack = load_pack(start)
        told = pack.manifest.provenance.model_copy(update={"learned": tuple(sorted(together))})
        pack.manifest = pack.manifest.model_copy(update={"provenance": told})
        start = save_pack(tmp_path / "earlier", pack)
    path = cases.write_modalities(later, missing=lacks, labelled=5, validation=2, test=0)
    content = json.loads(path.read_text())
    del content["training"][:3]
    for kind in ("", "_second", "_label"):
        shutil.copy(first / f"training1{kind}.png", later / f"validation0{kind}.png")
    cases.write_datalist(later, content)
    run = prepare(path, dataclasses.replace(chosen, start=start, size=None, branches=None))
    if not earlier or len(lacks) != 1:
        assert [entry.id for entry in run.validation] == ["validation1"]
        assert run.left_out.startswith("1 of 2 validation images was left out: the starting model had learned from it")


# -- the same image under two names --


def test_a_copy_of_a_training_image_does_not_validate(tmp_path, lists):
    path = lists("copies", (0, 1, 2), (3,))
    content, folder = json.loads(path.read_text()), path.parent
    for number, name in ((1, "copy"), (99, "of what is not annotated")):
        picture = cases.write_case(tmp_path, "x", number, spacing=None)
        shutil.copy(tmp_path / picture["image"], folder / f"{name}.png")
        shutil.copy(tmp_path / picture["label"], folder / f"{name}_label.png")
        content["validation"].append({"image": f"{name}.png", "label": f"{name}_label.png"})
    path.write_text(json.dumps(content))
    semi = dataclasses.replace(options(), method="cross_supervision")
    run = prepare(path, semi)
    assert [entry.id for entry in run.validation] == ["image3"]
    assert run.left_out == (
        "2 of 3 validation images were left out: the training has the same images under another name"
    )
    assert run.source == "validation"
    assert not run.fresh_folds
    summary = train_model(path, tmp_path / "out", semi)
    assert [found["case"] for found in summary["validation"]["cases"]] == ["image3"]
    assert summary["calibration"]["cases"] == 1
    content["validation"] = content["validation"][1:]
    path.write_text(json.dumps(content))
    run = prepare(path, semi)
    assert (run.validation, run.source) == ((), "folds")


def test_reasons_are_told_apart(lists, first):
    path = lists("both", (0, 3), (1, 4))
    content = json.loads(path.read_text())
    shutil.copy(path.parent / "image3.png", path.parent / "again.png")
    content["validation"].append({**content["validation"][0], "image": "again.png"})
    path.write_text(json.dumps(content))
    run = prepare(path, options(first))
    assert [entry.id for entry in run.validation] == ["image4"]
    assert run.left_out == (
        "1 of 3 validation images was left out: the starting model had learned from it; "
        "1 of 3 validation images was left out: the training has the same images under another name"
    )


def test_slices_of_a_copied_volume_validate_where_they_are_held_out(tmp_path, volume):
    """By another name as by its own; of a volume of which planes are trained on, its even planes judge nothing."""
    shutil.copy(tmp_path / "v.nrrd", tmp_path / "copy.nrrd")
    held = list(range(10, 23))
    content = {
        "labels": {"0": "background", "1": "bright"},
        "training": [{**volume, "held_out": held}],
        "validation": [{**volume, "image": "copy.nrrd", "id": "copy"}],
    }
    run = prepare(cases.write_datalist(tmp_path, content), volume_options())
    assert [(entry.id, entry.only) for entry in run.validation] == [("copy", tuple(held))]
    assert run.left_out == (
        "11 of 24 validation slices were left out: the training has the same slices under another name"
    )


def test_folds_ask_nobody_about_a_copy(lists):
    path = lists("folded", (0, 1, 2, 3))
    content = json.loads(path.read_text())
    for number in (1, 2):
        shutil.copy(path.parent / f"image{number}.png", path.parent / f"again{number}.png")
        content["training"].append({**content["training"][number], "image": f"again{number}.png"})
    path.write_text(json.dumps(content))
    run = prepare(path, options())
    rows = (*run.datalist["training"], *run.datalist["unlabeled"])
    folds, _ = split(run.data, rows, 0)
    assert sorted(i for fold in folds for i in fold.asked) == list(range(6))
    for fold in folds:
        for pair in ((1, 4), (2, 5)):
            assert len(set(pair) & set(fold.asked)) in (0, 2)
            assert not set(pair) & set(fold.asked) or not set(pair) & set(fold.learned)
