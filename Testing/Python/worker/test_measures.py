"""What a training will take, and models against each other, as jobs of the worker."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.worker.arrays import read_array
from SemiSegTrainerLib.learning.comparing import unseen_by_all
from SemiSegTrainerLib.learning.data import read_sets
from SemiSegTrainerLib.learning.datalist import read_datalist
from SemiSegTrainerLib.learning.evaluation import evaluate_model, summarise
from SemiSegTrainerLib.learning.learned import digests_learned
from SemiSegTrainerLib.learning.preparation import RunOptions, prepare
from SemiSegTrainerLib.worker.protocol import Compare, Measure, Part
from TrainingRig import cases, parts

pytestmark = pytest.mark.torch
PATIENCE = 300
X = "\N{MULTIPLICATION SIGN}"
BRANCHES = tuple(Part(name, arguments) for name, arguments in parts.TINY)


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return cases.write_dataset(tmp_path_factory.mktemp("data"), labelled=9, unlabelled=12, validation=3)


def ask(client, message, **more):
    return client.wait(client.submit(message, **more), PATIENCE)


def test_a_few_steps_say_what_a_training_takes(client, datalist):
    seen = []
    told = ask(
        client, Measure(str(datalist), "cross_supervision", "cpu", size=cases.SIZE, branches=BRANCHES),
        on_progress=seen.append,
    )  # fmt: skip
    assert {p.stage for p in seen} == {"measuring"}
    assert 0.0005 < told.seconds_per_iteration < 20
    assert told.memory_gib is None or 0.05 < told.memory_gib < 8
    assert (told.device, told.precision, told.size, told.spacing) == ("cpu", told.precision, cases.SIZE, None)
    assert told.threads == 1
    assert told.parts == (f"Images of 48 {X} 32 pixels are scaled to 48 {X} 32 pixels, each whole.",), "width first"
    assert told.seconds_besides > 0
    assert told.share_besides == 0.0, "the validation list calibrates"
    folds = Measure(str(datalist), "supervised", "cpu", size=cases.SIZE, branches=BRANCHES, calibrate="folds")
    assert ask(client, folds).share_besides == pytest.approx(2 / 3)
    once = told.seconds_of(100)
    assert told.iterations_in(once / 60) in (99, 100)


def test_what_volumes_become_is_said(client, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.zeros((16, 40, 36), dtype=np.uint8)
    labels[4:12, 8:30, 8:30] = 1
    entries = []
    for number, (depth, mm) in enumerate(((16, 2.0), (12, 3.0))):
        for name, array in ((f"v{number}", rng.normal(size=labels.shape).astype(np.float32)), (f"l{number}", labels)):
            image = sitk.GetImageFromArray(array[:depth])
            image.SetSpacing((0.5, 0.5, mm))
            sitk.WriteImage(image, str(tmp_path / f"{name}.nrrd"))
        entries.append({"image": f"v{number}.nrrd", "label": f"l{number}.nrrd"})
    path = cases.write_datalist(tmp_path, {"labels": {"0": "background", "1": "bright"}, "training": entries})
    told = ask(
        client,
        Measure(str(path), "supervised", "cpu", size=(16, 16, 16), spacing=(2.0, 1.0, 1.0), branches=BRANCHES),
    )
    assert told.parts == (
        f"Volumes of 36 {X} 40 {X} 12 to 36 {X} 40 {X} 16 voxels are seen through windows of 16 {X} 16 {X} 16 voxels.",
        f"Voxels of 0.5 {X} 0.5 {X} 2 to 0.5 {X} 0.5 {X} 3 mm become 1 {X} 1 {X} 2 mm.",
    )
    assert told.spacing == (2.0, 1.0, 1.0)


def test_what_cannot_be_trained_cannot_be_measured(client, datalist):
    with pytest.raises(SemiSegError) as caught:
        ask(client, Measure(str(datalist), "semi_cml", "cpu"))
    assert caught.value.code == "one-modality"


def outcome(call):
    """Return the code of the error that a call raises, nothing where it raises none."""
    try:
        call()
    except SemiSegError as error:
        return error.code
    return ""


def one_of_many(folder, what, at=7):
    """Write annotated cases of which one differs from the others, far from the first and from those evenly spread."""
    if what in ("all but one", "only one"):
        names = [f"training{i}" for i in range(14)]
        lacking = [name for name in names if (name == f"training{at}") == (what == "all but one")]
        return cases.write_modalities(folder, dict.fromkeys(lacking, 1), labelled=14, unlabelled=0)
    path = cases.write_dataset(folder, labelled=14, unlabelled=0)
    content = json.loads(path.read_text())
    for number, entry in enumerate(content["training"]):
        labels = np.array(Image.open(folder / entry["label"]))
        if what == "partly, as is listed" and number == at:
            entry["segments"] = ["bright"]
        elif what == "partly, as is drawn":
            entry["ignore"] = 255
            labels[:4] = 255 if number == at else labels[:4]
        elif what in ("drawn in", "scribbled in"):
            entry["complete"] = what == "drawn in"
            labels *= number == at
        elif what == "none drawn in":
            labels[:] = 0
        Image.fromarray(labels).save(folder / entry["label"])
    return cases.write_datalist(folder, content)


@pytest.mark.parametrize(
    ("what", "method", "refused"),
    [
        ("none differs", "cross_supervision", "nothing-unlabelled"),
        ("partly, as is listed", "cross_supervision", ""),
        ("partly, as is drawn", "cross_supervision", ""),
        ("drawn in", "supervised", ""),
        ("scribbled in", "supervised", ""),
        ("none drawn in", "supervised", "empty-labels"),
        ("all but one", "supervised", "missing-modality"),
        ("all but one", "supervised_modalities", ""),
        ("only one", "supervised_modalities", ""),
    ],
)
def test_what_can_be_trained_can_be_measured(client, tmp_path, what, method, refused):
    path = one_of_many(tmp_path, what)
    options = RunOptions(method, size=cases.SIZE, branches=parts.TINY, device="cpu")
    assert outcome(lambda: prepare(path, options)) == refused
    message = Measure(str(path), method, "cpu", size=cases.SIZE, branches=BRANCHES)
    assert outcome(lambda: ask(client, message)) == refused


def test_of_many_cases_a_few_of_every_kind_are_read(tmp_path):
    path = cases.write_dataset(tmp_path, labelled=14, unlabelled=9)
    content = json.loads(path.read_text())
    content["training"][7]["segments"] = ["bright"]
    del content["training"][9]["label"]
    path.write_text(json.dumps(content))
    few = prepare(path, RunOptions("cross_supervision", size=cases.SIZE, branches=parts.TINY, device="cpu"), 6).datalist
    numbers = [int(entry.id.removeprefix("training")) for entry in few["training"]]
    assert (len(numbers), len(few["unlabeled"])) == (6, 6)
    assert {0, 7, 9} < set(numbers)
    assert max(numbers) > 9, "from everywhere in the list"


@pytest.fixture(scope="module")
def other(tmp_path_factory, trained):
    """The trained model with its segments exchanged by name: it calls dark what is bright."""
    from SemiSegCervicalLib.engine.pack import save_pack

    pack = load_pack(trained)
    bright, dark = pack.manifest.classes
    exchanged = (bright.model_copy(update={"name": "dark"}), dark.model_copy(update={"name": "unknown"}))
    pack.manifest = pack.manifest.model_copy(update={"classes": exchanged, "name": "other"})
    return save_pack(tmp_path_factory.mktemp("other") / "other.semiseg", pack)


def test_models_are_compared_on_the_same_cases(client, datalist, trained, other, tmp_path):
    broken = tmp_path / "broken.semiseg"
    broken.write_bytes(b"nothing")
    seen = []
    packs = (str(trained), str(other), str(broken))
    answer = ask(client, Compare(packs, str(datalist), device="cpu", worst=2), on_progress=seen.append)
    assert answer.classes == ("bright", "dark")
    assert [m.pack for m in answer.models] == list(packs)
    first, second, third = answer.models
    entries = read_datalist(datalist)["validation"]
    figures = summarise(evaluate_model(Predictor(load_pack(trained), "cpu"), entries, distances=False))
    assert first.name == "blobs"
    assert first.mean == pytest.approx(figures["dice"], abs=1e-3)
    assert first.dice == pytest.approx([figures["segments"][n]["dice"] for n in answer.classes], abs=1e-3)
    assert (first.cases, first.voxels) == (3, figures["voxels"])
    assert second.dice[0] is None, "it knows nothing of that name"
    assert second.dice[1] == second.mean < 0.1, "what it calls dark is bright"
    assert third.failure.code
    assert third.failure.remedy
    assert not third.worst
    assert {p.total for p in seen if p.stage == "comparing"} == {9}

    by_case = {c["case"]: c["dice"] for c in figures["cases"]}
    expected = sorted(by_case, key=by_case.get)[:2]
    assert [w.case for w in first.worst] == expected
    shown = first.worst[0]
    assert shown.dice == pytest.approx(by_case[expected[0]], abs=1e-3)
    assert (shown.slice, shown.aspect) == (None, 2.0)
    (entry,) = (e for e in entries if e.id == shown.case)
    assert np.array_equal(read_array(shown.reference), np.asarray(Image.open(entry.label)))
    predicted = Predictor(load_pack(trained), "cpu").predict(read_image(entry.images, entry.spacing))
    assert (read_array(shown.labels) == predicted.labels).mean() > 0.999
    assert read_array(shown.image).max() == 255
    assert 0 < read_array(shown.uncertainty).max() <= 100
    assert set(np.unique(read_array(second.worst[0].labels))) <= {0, 2}


def having_learned(pack, entries, folder):
    """Return a copy of a model that has learned from some cases, its name that of the folder."""
    from SemiSegCervicalLib.engine.pack import save_pack

    learned: set[str] = set()
    for entry in entries:
        image = read_image(entry.images, entry.spacing)
        learned |= digests_learned(image, read_sets(entry, 3, image.spatial_shape, image.affine), 3)
    found = load_pack(pack)
    provenance = found.manifest.provenance.model_copy(update={"learned": tuple(sorted(learned))})
    found.manifest = found.manifest.model_copy(update={"provenance": provenance})
    folder.mkdir()
    return str(save_pack(folder / "model.semiseg", found))


def test_models_are_compared_on_what_none_of_them_has_learned_from(client, datalist, trained, tmp_path):
    """What is held out now may have been learned from when one of them was trained."""
    data = read_datalist(datalist)
    first, second, third = data["validation"]
    one = having_learned(trained, [first, *data["training"]], tmp_path / "one")
    other = having_learned(trained, [*data["training"], second], tmp_path / "other")
    answer = ask(client, Compare((one, other), str(datalist), device="cpu"))
    assert answer.sure
    assert answer.left_out == "2 of 3 validation images were left out: one of the models had learned from them"
    assert [(m.cases, [w.case for w in m.worst]) for m in answer.models] == [(1, [third.id])] * 2
    alone = ask(client, Compare((one,), str(datalist), device="cpu"))
    assert alone.left_out == "1 of 3 validation images was left out: the model had learned from it"
    assert alone.models[0].cases == 2
    every = having_learned(trained, data["validation"], tmp_path / "every")
    with pytest.raises(SemiSegError, match="3 of 3 validation images were left out") as caught:
        ask(client, Compare((one, every), str(datalist), device="cpu"))
    assert "never trained on" in caught.value.remedy
    silent = having_learned(trained, [], tmp_path / "silent")
    answer = ask(client, Compare((one, silent), str(datalist), device="cpu"))
    assert not answer.sure
    assert answer.models[1].cases == 2


def test_slices_that_a_model_has_learned_from_are_left_out(tmp_path):
    array = np.random.default_rng(0).normal(size=(30, 20, 16)).astype(np.float32)
    labels = np.zeros((30, 20, 16), dtype=np.uint8)
    labels[:, 4:12, 4:12] = 1
    for name, values in (("v", array), ("l", labels)):
        sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / f"{name}.nrrd"))
    path = tmp_path / "datalist.json"
    entries = [{"image": "v.nrrd", "label": "l.nrrd"}, {"image": "v.nrrd"}]
    path.write_text(json.dumps({"labels": cases.LABELS, "modality": {"0": "ct"}, "validation": entries}))
    data = read_datalist(path)
    pack = parts.pack()
    (entry,) = (e for e in data["validation"] if e.label)
    image = read_image(entry.images, entry.spacing)
    sets = read_sets(entry, 3, image.spatial_shape, image.affine)
    sets[10:] = 7
    provenance = pack.manifest.provenance.model_copy(update={"learned": tuple(sorted(digests_learned(image, sets, 3)))})
    spec = pack.manifest.input.model_copy(update={"modalities": ("ct",)})
    pack.manifest = pack.manifest.model_copy(update={"provenance": provenance, "input": spec})
    found, said = unseen_by_all([pack], data, "validation")
    (kept,) = found["validation"]
    assert kept.only == tuple(range(11, 30)), "and those beside them"
    assert said.startswith("11 of 30 validation slices were left out")


def test_a_comparison_needs_annotations_that_are_kept_apart(client, trained, tmp_path):
    path = cases.write_dataset(tmp_path, validation=0)
    with pytest.raises(SemiSegError) as caught:
        ask(client, Compare((str(trained),), str(path)))
    assert caught.value.code == "no-validation"
    answer = ask(client, Compare((str(trained),), str(path), "test", "cpu", worst=0))
    assert answer.models[0].cases == 2
    assert answer.models[0].worst == ()


def test_the_worst_slice_of_a_volume_is_the_one_with_most_errors(client, tmp_path):
    from SemiSegCervicalLib.engine.pack import save_pack
    from SemiSegCervicalLib.engine.schema import InputSpec

    spec = InputSpec(spatial_dims=3, modalities=("ct",), sampling="windows", size=(16, 16, 16))
    pack = save_pack(tmp_path / "untrained.semiseg", parts.pack(spec=spec))
    array = np.random.default_rng(0).normal(size=(18, 20, 16)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "v.nrrd"))
    image = read_image([tmp_path / "v.nrrd"])
    labels = Predictor(load_pack(pack), "cpu").predict(image).labels
    truth = labels.copy()
    truth[5] = (labels[5] + 1) % 3
    truth[9, :4] = (labels[9, :4] + 1) % 3
    sitk.WriteImage(sitk.GetImageFromArray(truth), str(tmp_path / "l.nrrd"))
    content = {
        "labels": cases.LABELS, "modality": {"0": "ct"},
        "validation": [{"image": "v.nrrd", "label": "l.nrrd"}],
    }  # fmt: skip
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps(content))
    answer = ask(client, Compare((str(pack),), str(path), device="cpu"))
    (shown,) = answer.models[0].worst
    assert (shown.case, shown.slice) == ("v", 5)
    assert read_array(shown.labels).shape == (20, 16)
    assert np.array_equal(read_array(shown.reference), truth[5])
