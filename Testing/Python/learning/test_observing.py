"""What is told of a run while it goes on, and that the run does not notice."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegTrainerLib.learning import observing
from SemiSegTrainerLib.learning.evaluation import evaluate_model
from SemiSegTrainerLib.learning.observing import Wish, is_plateau
from SemiSegTrainerLib.learning.preparation import RunOptions, prepare
from SemiSegTrainerLib.learning.previews import Subject
from SemiSegTrainerLib.learning.run import train_model
from SemiSegTrainerLib.learning.targets import Completeness
from SemiSegTrainerLib.learning.training import Settings
from SemiSegTrainerLib.learning.validating import Validation
from TrainingRig import cases, parts


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return cases.write_dataset(tmp_path_factory.mktemp("data"), validation=3)


@pytest.fixture
def always(monkeypatch):
    """Everything is due after every iteration."""
    monkeypatch.setattr(observing, "SHARE", 1e9)
    monkeypatch.setattr(observing, "NEWS_SECONDS", 0.0)


def options(method="cross_supervision", iterations=6, **more):
    settings = Settings(iterations=iterations, precision="32-true", log_every=2)
    return RunOptions(
        method, settings, "cpu", size=cases.SIZE, branches=parts.TINY, calibrate="none", **more
    )  # fmt: skip


def train(datalist, out, chosen, folder=None, should_stop=None, should_finish=None, **wish):
    news = []
    told = Wish(folder, **{"preview_seconds": 1e-9, "validate_seconds": 1e-9, **wish}) if folder else None
    summary = train_model(datalist, out, chosen, None, should_stop, should_finish, told, news.append)
    return summary, news


def rows(out):
    with (out / "history.csv").open(newline="") as stream:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]


@pytest.mark.parametrize("method", ["cross_supervision", "mean_teacher", "semi_cml_original"])
def test_a_run_that_is_looked_at_is_the_same_run(tmp_path, datalist, always, method):
    if method == "semi_cml_original":
        datalist = cases.write_modalities(tmp_path / "data", {"training1": 1, "validation0": 0}, validation=2)
    _, news = train(datalist, tmp_path / "seen", options(method), tmp_path / "pictures")
    assert [n.iteration for n in news] == list(range(1, 7))
    assert all(n.preview and n.validation for n in news)
    _, none = train(datalist, tmp_path / "alone", options(method))
    assert none == []
    assert parts.same(parts.model_weights(tmp_path / "seen"), parts.model_weights(tmp_path / "alone"))
    assert rows(tmp_path / "seen") == rows(tmp_path / "alone")


def test_news_say_what_each_term_adds_to_the_loss(tmp_path, datalist, always):
    _, news = train(datalist, tmp_path / "out", options("dual_uncertainty", 8), tmp_path / "pictures")
    table = rows(tmp_path / "out")
    for first, row in zip(range(0, 8, 2), table, strict=True):
        supervised = [n.terms["supervised"] for n in news[first : first + 2]]
        assert sum(supervised) / 2 == pytest.approx(float(row["supervised"]), rel=1e-4)
        ramped = [n.terms["rectified"] for n in news[first : first + 2]]
        assert sum(ramped) / 2 <= 0.1 * float(row["rectified"]) + 1e-6
    last = news[-1]
    assert list(last.terms) == ["supervised", "mistake", "cross", "rectified", "agreement", "prototype"]
    unsure = sum(abs(v) for k, v in last.terms.items() if k not in ("supervised", "mistake"))
    assert last.unsupervised == pytest.approx(unsure / sum(map(abs, last.terms.values())))
    assert 0 < last.unsupervised < 1
    assert (last.iteration, last.iterations) == (8, 8)
    assert 0 < news[0].seconds < last.seconds
    assert last.memory_gib is None or last.memory_gib > 0.05
    json.dumps([asdict(n) for n in news], allow_nan=False)


def test_news_are_rare_and_the_end_is_always_told(tmp_path, datalist):
    _, news = train(datalist, tmp_path / "out", options(iterations=12), tmp_path / "pictures", preview_seconds=3600.0,
                    validate_seconds=3600.0)  # fmt: skip
    assert len(news) <= 4
    assert [n.iteration for n in news if n.preview] == [1, 12]
    assert [n.iteration for n in news if n.validation] == [1, 12]
    _, news = train(datalist, tmp_path / "none", options(), tmp_path / "pictures", preview_seconds=0.0,
                    validate_seconds=0.0)  # fmt: skip
    assert news[-1].iteration == 6
    assert not any(n.preview or n.validation for n in news)


def test_the_quick_validation_measures_what_the_full_one_does(tmp_path, datalist, always):
    """On images as large as the network's grid both are the same measurement."""
    summary, news = train(datalist, tmp_path / "out", options("supervised", 60), tmp_path / "pictures")
    quick = news[-1].validation
    predictor = Predictor(load_pack(summary["model"]), "cpu", backend="torch")
    run = prepare(datalist, options("supervised"))
    figures = evaluate_model(predictor, run.validation, distances=False)
    one = Validation(run, 1)
    alone = one.measure(predictor.pack.branches, 60, 1.0)
    name = one.entries[0].id
    (same,) = (f for f in figures if f.case == name)
    assert alone.dice == pytest.approx([a.dice for a in same.segments.values()])
    assert alone.cases == 1
    assert (quick.iteration, quick.cases) == (60, 3)
    assert quick.voxels == 3 * cases.SIZE[0] * cases.SIZE[1] == summary["validation"]["voxels"]
    assert quick.mean == pytest.approx(sum(quick.dice) / 2)
    assert quick.mean > 0.5
    assert abs(quick.mean - summary["validation"]["dice"]) < 0.05


def test_the_quick_validation_says_nothing_of_a_segment_that_nobody_has_outlined(tmp_path, datalist):
    """As in the images of the clinic that had only one of the segments drawn."""
    run = prepare(datalist, options("supervised"))
    bright = Completeness(segments=(1,))
    for told, known in ((bright, (True, False)), (Completeness(), (True, True))):
        entries = [with_one_segment(tmp_path, entry, told) for entry in run.validation]
        dice = Validation(replace(run, validation=entries)).measure(run.branches(), 1, 1.0).dice
        assert tuple(value is not None for value in dice) == known


def with_one_segment(folder, entry, told):
    """An entry in whose label map the second segment is not painted."""
    with Image.open(entry.label) as drawn:
        labels = np.asarray(drawn)
    path = folder / f"{entry.id}-{len(told.segments or ())}.png"
    Image.fromarray(np.where(labels == 2, 0, labels).astype(np.uint8)).save(path)
    return replace(entry, label=path, completeness=told)


def test_a_preview_is_what_the_model_would_predict(tmp_path, datalist, always):
    summary, news = train(datalist, tmp_path / "out", options("supervised", 40), tmp_path / "pictures")
    shown = news[-1].preview
    assert (shown.case, shown.slice, shown.aspect) == ("validation0", None, 2.0)
    predictor = Predictor(load_pack(summary["model"]), "cpu", backend="torch")
    (entry, *_) = prepare(datalist, options("supervised")).validation
    expected = predictor.predict(read_image(entry.images, entry.spacing))
    labels = np.load(shown.labels)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, expected.labels)
    assert np.abs(np.load(shown.uncertainty).astype(float) - 100 * expected.uncertainty).max() <= 1
    _, truth = cases.draw(200)
    assert np.array_equal(np.load(shown.reference), truth)
    assert np.load(shown.image).max() == 255
    left = sorted(p.name for p in (tmp_path / "pictures").iterdir())
    assert len(left) == 2 * 4, "those of the last two previews"
    assert all(name.startswith(("preview-39-", "preview-40-")) for name in left)


def test_a_chosen_case_is_shown_and_an_unknown_one_is_no_fault(tmp_path, datalist, always):
    for wish, case in (("unlabeled2", "unlabeled2"), ("left out", "validation0")):
        _, news = train(datalist, tmp_path / case, options(iterations=1), tmp_path / "pictures", case=wish)
        assert news[-1].preview.case == case
        assert (news[-1].preview.reference is None) == (case == "unlabeled2")


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """A sagittal volume that runs against the network's axes, every third slice annotated, on a finer grid."""
    folder = tmp_path_factory.mktemp("volumes")
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[-1:1:20j, -1:1:36j, -1:1:30j]
    entries = []
    for number in range(3):
        labels = ((z - 0.1 * number) ** 2 + y**2 + (2 * x) ** 2 < 0.4).astype(np.uint8)
        labels[np.arange(20) % 3 > 0] = 0
        array = (200.0 * (x > 0) + 100 * (y > 0.2) + 20 * rng.normal(size=z.shape)).astype(np.float32)
        for name, content in ((f"v{number}", array), (f"v{number}_label", labels)):
            image = sitk.GetImageFromArray(content)
            image.SetSpacing((0.8, 0.9, 1.5))
            image.SetDirection((0, 0, -1, 1, 0, 0, 0, -1, 0))
            sitk.WriteImage(image, str(folder / f"{name}.nrrd"))
        entries.append({
            "image": f"v{number}.nrrd", "label": f"v{number}_label.nrrd", "slices": list(range(0, 20, 3)),
        })  # fmt: skip
    content = {"labels": {"0": "background", "1": "bright"}, "training": entries[:2], "validation": entries[2:]}
    return cases.write_datalist(folder, content)


def volume_options(size, **more):
    return RunOptions(
        "supervised", Settings(iterations=3, precision="32-true"), "cpu", size=size, spacing=(1.6, 1.6, 1.6),
        branches=parts.TINY, calibrate="none", **more,
    )  # fmt: skip


@pytest.mark.parametrize("size", [(32, 32, 32), (16, 16, 16)])
def test_a_slice_of_a_volume_that_lies_any_way(tmp_path, volumes, size, always):
    summary, news = train(volumes, tmp_path / "out", volume_options(size), tmp_path / "pictures", slice=7)
    shown = news[-1].preview
    assert (shown.case, shown.slice) == ("v2", 7)
    assert shown.aspect == pytest.approx(0.9 / 0.8)
    predictor = Predictor(load_pack(summary["model"]), "cpu", backend="torch")
    (entry,) = prepare(volumes, volume_options(size)).validation
    image = read_image(entry.images, entry.spacing)
    expected = predictor.predict(image)
    doubt = np.load(shown.uncertainty).astype(float) / 100
    assert doubt.shape == (36, 30)
    # One layer of windows that overlap less, so that where there are several the maps are alike, not equal.
    error = np.abs(doubt - expected.uncertainty[7]).max()
    assert error < (0.011 if size[0] == 32 else 0.15)
    turned = [
        np.abs(doubt - other).max() for other in (expected.uncertainty[7, ::-1], expected.uncertainty[7, :, ::-1])
    ]
    assert error < 0.5 * min(turned)
    picture = np.load(shown.image).astype(float)
    assert np.corrcoef(picture.ravel(), image.array[0, 7].ravel())[0, 1] > 0.99
    assert shown.reference is None, "slice 7 is not annotated"
    quick = news[-1].validation
    assert quick.cases == 1
    assert 0 < quick.voxels < 20 * 36 * 30


@pytest.mark.parametrize("number", [0, 7, 19])
def test_a_slice_that_is_thicker_than_a_window(volumes, number):
    """As of a model of fine voxels that goes on with thick slices."""
    run = prepare(volumes, replace(volume_options((16, 16, 16)), spacing=(1.6, 1.6, 0.15)))
    branches = [branch.eval() for branch in run.branches()]
    doubt = Subject(run, slice_=number).look(branches).uncertainty
    assert doubt.shape == (36, 30)
    assert 0 < doubt.max() <= 100


def test_the_slice_with_most_annotation_is_shown(volumes):
    run = prepare(volumes, volume_options((16, 16, 16)))
    chosen = Subject(run)
    assert chosen.slice == 12
    assert chosen.reference.max() == 1
    assert Subject(run, slice_=99).slice == 12


def test_a_resumed_run_tells_again_what_was_told(tmp_path, datalist, always):
    out, done = tmp_path / "out", []
    chosen = options(iterations=10)
    _, first = train(datalist, out, chosen, tmp_path / "a", lambda: len(done) > 3 or done.append(0))
    assert [n.iteration for n in first] == [1, 2, 3, 4]
    _, second = train(datalist, out, options(iterations=10, resume=True), tmp_path / "b")
    assert [(n.iteration, n.repeated) for n in second] == [(i, i <= 4) for i in range(1, 11)]
    assert not any(n.preview for n in second[:4])
    for before, again in zip(first, second[:4], strict=True):
        assert (again.terms, again.validation, again.seconds) == (before.terms, before.validation, before.seconds)
    assert second[4].seconds > second[3].seconds
    train(datalist, tmp_path / "whole", chosen)
    assert parts.same(parts.model_weights(out), parts.model_weights(tmp_path / "whole"))


def test_a_run_that_was_finished_early_stays_so(tmp_path, datalist, always):
    """Also where it is interrupted before its model is saved."""
    asked = iter([False, False, True])
    out = tmp_path / "out"
    summary, news = train(datalist, out, options(iterations=50), tmp_path / "a", should_finish=lambda: next(asked))
    assert (summary["iterations"], summary["ended_early"], summary["finished"]) == (3, True, True)
    assert summary["validation_also_decided"] == ["stop"]
    assert news[-1].iteration == 3
    before = parts.model_weights(out)
    (out / "model.semiseg").unlink()
    summary, _ = train(datalist, out, options(iterations=50, resume=True), tmp_path / "b")
    assert (summary["iterations"], summary["ended_early"], summary["finished"]) == (3, True, True)
    assert parts.same(before, parts.model_weights(out))
    summary, _ = train(datalist, tmp_path / "full", options(iterations=2), tmp_path / "c")
    assert (summary["ended_early"], summary["validation_also_decided"]) == (False, [])


def test_before_and_after_rest_on_the_same_annotations(tmp_path, datalist):
    first, _ = train(datalist, tmp_path / "first", options("supervised", 60))
    assert first["before"] is None
    chosen = options("supervised", 2, start=tmp_path / "first" / "model.semiseg")
    second, _ = train(datalist, tmp_path / "second", RunOptions(**{**vars(chosen), "size": None, "branches": None}))
    before = second["before"]
    assert before["dice"] == pytest.approx(first["validation"]["dice"])
    assert (before["cases_count"], before["voxels"]) == (3, second["validation"]["voxels"])
    assert [before["segments"][n]["voxels"] for n in ("bright", "dark")] == [
        second["validation"]["segments"][n]["voxels"] for n in ("bright", "dark")
    ]


def test_a_start_with_other_classes_is_measured_on_those_it_knows(tmp_path, datalist):
    first, _ = train(datalist, tmp_path / "first", options("supervised", 60))
    for names, known in ((["dark", "bright"], ["dark", "bright"]), (["new", "dark"], ["dark"]), (["a", "b"], None)):
        content = json.loads(datalist.read_text())
        content["labels"] = {"0": "background", **{str(i): n for i, n in enumerate(names, 1)}}
        other = datalist.with_name("other.json")
        other.write_text(json.dumps(content))
        chosen = options("supervised", 1, start=tmp_path / "first" / "model.semiseg")
        changed = RunOptions(**{**vars(chosen), "size": None, "branches": None})
        summary, _ = train(other, tmp_path / "-".join(names), changed)
        assert (summary["before"] and list(summary["before"]["segments"])) == known
        if names == ["new", "dark"]:
            # Value 2 is dark in both lists.
            assert summary["before"]["segments"]["dark"]["dice"] == first["validation"]["segments"]["dark"]["dice"]
        if names == ["dark", "bright"]:
            assert summary["before"]["dice"] < 0.2, "by name they are exchanged"


def test_a_full_disk_costs_the_picture_alone(tmp_path, datalist, always):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    summary, news = train(datalist, tmp_path / "out", options(), blocked / "pictures")
    assert summary["finished"]
    assert not any(n.preview for n in news)
    assert all(n.validation for n in news)


def test_memory_that_does_not_suffice_for_a_look_ends_the_looking(tmp_path, datalist, always, monkeypatch):
    def too_much(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Subject, "look", too_much)
    summary, news = train(datalist, tmp_path / "out", options(), tmp_path / "pictures")
    assert summary["finished"]
    assert not any(n.preview for n in news)


@pytest.mark.parametrize(
    ("means", "plateau"),
    [
        ([0.5] * 9, False),
        ([0.5] * 10, True),
        ([i / 40 for i in range(40)], False),
        ([min(0.8, i / 20) for i in range(20)], False),
        ([min(0.8, i / 10) for i in range(20)], True),
        ([0.1] * 10 + [0.9] + [0.1] * 4, False),
        ([0.1] * 10 + [0.9] + [0.1] * 5, True),
    ],
)
def test_when_a_run_stands_still(means, plateau):
    assert is_plateau(means) is plateau


def test_many_news_are_thinned_and_measurements_stay(tmp_path, datalist, always, monkeypatch):
    monkeypatch.setattr(observing, "_REMEMBERED", 20)
    run = prepare(datalist, options(iterations=40))
    training = run.training(tmp_path / "checkpoints")
    seen = []
    observer = observing.Observer(run, training, Wish(tmp_path / "pictures", preview_seconds=0.0,
                                                      validate_seconds=3600.0), seen.append)  # fmt: skip
    training.run(observer.look)
    assert len(seen) == 40
    assert 10 <= len(training.told) <= 21
    assert [t["iteration"] for t in training.told if t["validation"]] == [1, 40]
    assert training.told[-1]["iteration"] == 40
