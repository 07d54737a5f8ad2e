"""One network for each modality: which reads what, cases that lack one, and the model that comes of it."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
from SemiSegCervicalLib.engine.files import read_image, read_labels
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import Calibration, InputSpec, SubsetCalibration
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.cli.app import run
from SemiSegTrainerLib.learning.averages import Best, BestAverage, SmoothedLosses
from SemiSegTrainerLib.learning.calibration import Voxels, fit_temperatures
from SemiSegTrainerLib.learning.datalist import read_datalist
from SemiSegTrainerLib.learning.method import get_method
from SemiSegTrainerLib.learning.preparation import prepare
from SemiSegTrainerLib.learning.ranking import drawn_at, rank
from SemiSegTrainerLib.learning.run import RunOptions, train_model
from SemiSegTrainerLib.learning.schedules import Constant, SigmoidRamp, Stage
from SemiSegTrainerLib.learning.step import WeightedTerm
from SemiSegTrainerLib.learning.terms.agreement import CosineAgreement
from SemiSegTrainerLib.learning.terms.supervised import Supervised
from SemiSegTrainerLib.learning.training import NonFiniteLossError, Settings
from TrainingRig import cases, parts

SPEC = InputSpec(modalities=("flair", "t1post"), size=cases.SIZE)
# One labelled and one unlabelled case without the second modality, one labelled case without the first.
MISSING = {"training0": 1, "training1": 0, "unlabeled0": 1}


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return cases.write_modalities(tmp_path_factory.mktemp("data"), MISSING, validation=2)


@pytest.fixture(scope="module")
def data(datalist):
    return parts.load(datalist, SPEC)


def options(method="supervised_modalities", iterations=3, **more):
    settings = Settings(iterations=iterations, precision="32-true")
    return RunOptions(
        **{
            "method": method, "settings": settings, "device": "cpu", "size": cases.SIZE, "branches": parts.TINY,
            "calibrate": "validation", **more,
        }
    )  # fmt: skip


def refused(call, code):
    with pytest.raises(SemiSegError) as caught:
        call()
    assert caught.value.code == code
    return str(caught.value)


# -- data --


def test_a_missing_image_is_null(datalist, data):
    listed = read_datalist(datalist)
    first, second, third = listed["training"]
    assert (first.present, second.present, third.present) == ((0,), (1,), None)
    assert (first.modalities, third.modalities) == ((0,), (0, 1))
    assert [p.name for p in second.images] == ["training1_second.png"]
    assert data.present.tolist() == [[True, False], [False, True], [True, True], [True, False], *[[True, True]] * 3]
    assert not data.images[0][1].any()
    assert not data.images[1][0].any()
    assert data.images[2].flatten(1).any(dim=1).all()
    whole = parts.load(cases.write_modalities(datalist.parent / "whole"), SPEC)
    assert whole.present is None
    assert torch.equal(whole.images[0][0], data.images[0][0]), "each modality is standardised for itself"
    assert whole.fingerprint != data.fingerprint


def test_a_case_has_one_image_for_each_modality(tmp_path):
    path = cases.write_modalities(tmp_path)
    content = json.loads(path.read_text())
    for images, says in (([None, None], "no image"), (["a.png"], "1 image for 2"), ([None], "1 image for 2")):
        content["training"][0]["image"] = images
        path.write_text(json.dumps(content))
        assert says in refused(lambda: read_datalist(path), "bad-datalist")


def test_groups_of_cases(tmp_path):
    path = cases.write_dataset(tmp_path, labelled=2, unlabelled=3)
    content = json.loads(path.read_text())
    assert parts.load(path).groups is None
    content["training"][1]["group"] = content["unlabeled"][2]["group"] = "p1"
    path.write_text(json.dumps(content))
    groups = parts.load(path).groups.tolist()
    assert groups[1] == groups[4]
    assert len(set(groups)) == 4


# -- a step --


def step_of(data, cases_of_views, method="supervised_modalities"):
    """Return a run, and its look at chosen cases."""
    run_ = parts.training(method, data)
    original = run_.plan.build(run_.data, run_.classes, run_.method, 0, 0)
    for name, view in original.items():
        rows = torch.tensor(cases_of_views.get(name, view.cases.tolist()))
        view.images, view.possible = (torch.stack(maps)[rows] for maps in (run_.data.images, run_.data.possible))
        view.inside, view.cases = torch.ones_like(view.possible, dtype=torch.bool), rows

    class Plan:
        def build(self, *_):
            return original

    run_.plan = Plan()
    return run_, run_.look(0, 0.0)


def test_each_network_sees_its_own_modality_of_the_rows_that_have_it(data):
    run_, step = step_of(data, {"labelled": [0, 1, 2, 2]})
    assert step.rows("labelled", 0).tolist() == [0, 2, 3]
    assert step.rows("labelled", 1).tolist() == [1, 2, 3]
    assert step.rows("labelled", 0, 1).tolist() == [2, 3]
    for k, branch in enumerate(run_.branches):
        rows = step.rows("labelled", k)
        logits = step.students[k]["labelled"].logits
        expected = branch(step.views["labelled"].images[rows][:, [k]]).logits
        assert torch.allclose(logits[rows], expected, atol=1e-6)
        lacking = [r for r in range(4) if r not in rows.tolist()]
        assert logits[lacking].isnan().all(), "no opinion is no number"
    _, whole = step_of(data, {"labelled": [2, 2, 2, 2]})
    assert whole.rows("labelled", 0, 1) == slice(None)


def test_what_stands_for_a_missing_image_never_counts(data):
    """Whatever lies in its place: loss, gradients and weights after some steps are the same bits."""
    noise = torch.stack(data.images)
    noise[~data.present] = 5 * torch.randn(int((~data.present).sum()), *cases.SIZE)
    runs = [
        parts.training("supervised_modalities", d, iterations=4) for d in (data, replaced(data, images=tuple(noise)))
    ]
    for run_ in runs:
        run_.run()
    assert parts.same(*map(parts.weights, runs))


def replaced(data, **fields):
    return dataclasses.replace(data, **fields)


def test_a_network_without_a_row_learns_nothing_from_the_step(data):
    run_, step = step_of(data, {"labelled": [0, 0]})
    value = Supervised()(step)
    assert value.loss.isfinite()
    assert value.per_branch.isnan().tolist() == [False, True]
    found = [torch.autograd.grad(value.loss, list(b.parameters()), allow_unused=True, retain_graph=True)
             for b in run_.branches]  # fmt: skip
    assert any(g is not None and g.any() for g in found[0])
    assert all(g is None for g in found[1])
    both, _ = step_of(data, {"labelled": [0, 2]})
    alone = Supervised()(step_of(data, {"labelled": [0]})[1]).per_branch[0]
    assert float(alone) == pytest.approx(float(Supervised()(both.look(0, 0)).per_branch[0]), abs=2)


def test_a_term_that_reads_missing_rows_stops_the_run_by_its_name(data):
    careless = WeightedTerm("careless", CosineAgreement("weak"), Constant(1.0))
    recipe = get_method("supervised_modalities")
    method = dataclasses.replace(recipe, student_views=("labelled", "weak"), terms=(*recipe.terms, careless))
    with pytest.raises(NonFiniteLossError, match="term careless "):
        parts.training(method, data).run()
    whole = replaced(data, present=None)
    assert parts.training(method, whole).run().iterations == 6


def test_resumed_run_is_the_uninterrupted_one(tmp_path, data):
    whole = parts.training("supervised_modalities", data, tmp_path / "whole")
    whole.run()
    first = parts.training("supervised_modalities", data, tmp_path / "parts")
    first.run(should_stop=lambda: first.iteration == 3)
    second = parts.training("supervised_modalities", data, tmp_path / "parts")
    second.run()
    assert parts.same(parts.weights(whole), parts.weights(second))
    assert second.losses.state() == whole.losses.state()


def test_a_branch_that_saw_nothing_keeps_its_smoothed_loss():
    losses = SmoothedLosses(2)
    losses.update([1.0, float("nan")])
    assert losses.values == (1.0, float("inf")), "nothing known is no victory"
    losses.update([1.0, 3.0])
    losses.update([0.0, float("nan")])
    assert losses.values[1] == 3.0
    assert 0.5 < losses.values[0] < 1.0


# -- stages and the average of the best --


def test_a_stage_is_all_there_is_of_a_term():
    weight = Stage(SigmoidRamp(2.0, end=1.0), 0.25, 0.5)
    assert [weight.covers(p) for p in (0.0, 0.25, 0.49, 0.5, 1.0)] == [False, True, True, False, False]
    assert weight(0.3) == SigmoidRamp(2.0, end=1.0)(0.3)
    assert weight(0.6) == 0.0
    assert Stage(Constant(1.0), 0.5)(1.0) == 1.0
    term = WeightedTerm("a", Supervised(), weight)
    assert (term.active(0.3), term.active(0.6)) == (True, False)
    assert WeightedTerm("a", Supervised(), Constant(0.0)).active(0.6)


def test_best_average_follows_its_definition():
    branch = torch.nn.BatchNorm1d(1)

    def set_to(value):
        for tensor in (branch.weight.data, branch.running_mean):
            tensor.fill_(value)

    set_to(1)
    average = BestAverage(branch, Best(start=0.2, end=0.8, every=0.1, pool=2))
    seen = []
    for tenth, (value, loss) in enumerate(
        [(9, 0.01), (8, 0.01), (1, 0.5), (2, 0.4), (3, 0.6), (4, 0.25), (5, 0.001), (6, 0.3), (7, 0.01), (7, 0.01)]
    ):
        set_to(value)
        average.consider(branch, tenth / 10, loss)
        average.consider(branch, tenth / 10 + 0.05, 0.0001)  # between two candidates
        seen.append(float(average.model.weight))
        assert float(average.model.running_mean) == seen[-1], "buffers are averaged as well"
    # Copied until the pool of two is full; 0.6 is worse than both; 0.25 replaces 0.5, 0.001 replaces 0.4.
    third = 0.5 * 2 + 0.5 * 4
    fourth = 0.0025 * third + 0.9975 * 5
    assert seen[2:4] == [1.0, 2.0]
    assert seen[4] == 2.0
    assert seen[5:7] == pytest.approx([third, fourth], rel=1e-5)
    assert seen[7:] == [seen[6]] * 3, "worse than the pool, or too late"
    again = BestAverage(branch, average.plan)
    again.load(average.state())
    assert float(again.model.weight) == seen[-1]
    assert (again.losses, again.seen) == (average.losses, average.seen)


# -- from the command line to the model --


@pytest.fixture(scope="module")
def trained(datalist, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    summary = train_model(datalist, out / "run", options(iterations=30))
    return out, summary


def test_the_model_says_which_network_reads_what(trained):
    _, summary = trained
    pack = load_pack(summary["model"])
    assert [b.modalities for b in pack.manifest.branches] == [(0,), (1,)]
    assert "unet (flair)" in pack.card
    assert summary["validation"]["cases_count"] == 2


def test_predict_with_either_modality_or_both(trained, datalist, capfd):
    out, summary = trained
    folder = datalist.parent
    first, second = folder / "test0.png", folder / "test0_second.png"
    inputs = {"both": f"flair={first},t1post={second}", "flair": f"flair={first}", "t1post": f"t1post={second}"}
    found = {}
    for name, text in inputs.items():
        assert run(["predict", summary["model"], text, "--out", str(out / name), "--uncertainty"]) == 0
        found[name] = read_labels(next((out / name).glob("*_labels.png")))
    pack = load_pack(summary["model"])
    probabilities = []
    for index, file in enumerate((first, second)):
        alone = Predictor(pack.reading([index]), "cpu").predict(read_image([file]), probabilities=True)
        assert alone.disagreement is None
        assert np.array_equal(alone.labels, found[("flair", "t1post")[index]])
    plain = pack.manifest.model_copy(update={"calibration": Calibration(temperatures=(1.0, 1.0))})
    pack.manifest = plain
    probabilities = [
        Predictor(pack.reading(some), "cpu").predict(read_image(files), probabilities=True)
        for some, files in (([0], [first]), ([1], [second]), ([0, 1], [first, second]))
    ]
    mean = (probabilities[0].probabilities + probabilities[1].probabilities) / 2
    assert np.allclose(probabilities[2].probabilities, mean, atol=1e-5)
    assert probabilities[2].disagreement is not None
    capfd.readouterr()
    assert run(["predict", summary["model"], f"t2={first}", "--out", str(out / "none")]) == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "flair and t1post" in lines[0]
    assert not (out / "none").exists()


def test_predict_cases_of_a_datalist_that_lack_a_modality(trained, tmp_path, capfd):
    _, summary = trained
    path = cases.write_modalities(tmp_path / "data", {"test0": 0}, names=("t2", "flair"), test=2)
    content = json.loads(path.read_text())
    assert run(["predict", summary["model"], str(path), "--out", str(tmp_path / "out")]) == 0
    rows = json.loads((tmp_path / "out" / "summary.json").read_text())["cases"]
    assert [row["modalities"] for row in rows] == [["flair"], ["flair"]], "t2 is none of the model's"
    content["test"][0]["image"] = [content["test"][0]["image"][1], None]
    path.write_text(json.dumps(content))
    capfd.readouterr()
    assert run(["predict", summary["model"], str(path), "--out", str(tmp_path / "none")]) == 2
    assert "test0 has none of the model's modalities" in capfd.readouterr().err


def test_every_subset_is_calibrated_for_itself(trained):
    _, summary = trained
    calibration = load_pack(summary["model"]).manifest.calibration
    assert [s.branches for s in calibration.subsets] == [(0,), (1,)]
    assert [s["branches"] for s in summary["calibration"]["subsets"]] == [(0,), (1,)]
    pack = load_pack(summary["model"])
    for k in (0, 1):
        own = pack.reading([k]).manifest.calibration
        assert own.temperatures == calibration.subsets[k].temperatures
        assert own.sharpness == calibration.subsets[k].sharpness
        assert own.fitted_on == calibration.fitted_on
        assert own.subsets == ()
    assert pack.manifest.calibration.of([0]) == pack.reading([0]).manifest.calibration


def test_a_branch_is_calibrated_on_the_cases_that_it_can_read():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (3000,), generator=generator)
    logits = 3 * torch.stack([-(2.0 * labels - 1), 2.0 * labels - 1], dim=1).double()
    logits = logits + 3 * torch.randn(logits.shape, generator=generator)
    both = torch.stack([logits, 4 * logits])
    both[1, 1000:] = torch.nan
    both[0, :500] = torch.nan
    near = torch.zeros(3000, dtype=torch.bool)
    case = torch.arange(3000) // 500
    voxels = Voxels(both, (1 << labels).int(), near, torch.ones(3000, dtype=torch.float64), case, 6)
    assert [voxels.of(some).logits.shape for some in ((0,), (1,), (0, 1))] == [(1, 2500, 2), (1, 1000, 2), (2, 500, 2)]
    assert voxels.of((0, 1)).case.unique().tolist() == [1]
    (first,) = fit_temperatures(voxels.of((0,)))
    (second,) = fit_temperatures(voxels.of((1,)))
    assert second / first == pytest.approx(4, rel=0.15)
    apart = dataclasses.replace(voxels, logits=torch.stack([both[0], both[1].roll(1500, dims=0)]))
    apart.logits[0, 1500:] = torch.nan
    assert apart.of((0, 1)) is None


@pytest.mark.parametrize(
    "wrong",
    [
        SubsetCalibration(branches=(0,), temperatures=(1.0, 1.0)),
        SubsetCalibration(branches=(1, 0), temperatures=(1.0, 1.0)),
        SubsetCalibration(branches=(2,), temperatures=(1.0,)),
    ],
)
def test_a_strange_subset_is_refused(wrong):
    with pytest.raises(ValueError, match="subset"):
        parts.pack(calibration=Calibration(temperatures=(1.0, 1.0), subsets=(wrong,)))


def test_folds_know_which_modalities_a_case_has(datalist, tmp_path):
    summary = train_model(datalist, tmp_path / "run", options(iterations=6, calibrate="folds"))
    assert summary["calibration"]["fitted_on"]
    assert {tuple(s["branches"]) for s in summary["calibration"]["subsets"]} == {(0,), (1,)}


def test_validation_cases_may_lack_a_modality(tmp_path):
    path = cases.write_modalities(tmp_path / "data", {"validation0": 0, "validation1": 1}, validation=2)
    summary = train_model(path, tmp_path / "run", options(iterations=20))
    assert summary["validation"]["cases_count"] == 2
    calibration = load_pack(summary["model"]).manifest.calibration
    assert calibration.temperatures == tuple(s.temperatures[0] for s in calibration.subsets)


def test_a_model_of_modalities_can_be_trained_on(trained, datalist, tmp_path):
    _, summary = trained
    still = options(
        settings=Settings(iterations=1, learning_rate=0.0, precision="32-true"), start=summary["model"], size=None
    )
    again = train_model(datalist, tmp_path / "again", still)
    packs = [load_pack(s["model"]) for s in (summary, again)]
    assert [b.modalities for b in packs[1].manifest.branches] == [(0,), (1,)]
    for one, other in zip(*(p.branches for p in packs), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_modalities_are_told_apart_by_name_whatever_their_order(trained, datalist, tmp_path):
    """A model that is trained further reads the images that it is made for, and keeps its names."""
    _, summary = trained
    content = json.loads(datalist.read_text())
    content["modality"] = {"0": "T1post", "1": "flair"}
    for entry in (entry for key in ("training", "unlabeled", "validation", "test") for entry in content[key]):
        entry["image"] = entry["image"][::-1]
    turned = datalist.parent / "turned.json"
    turned.write_text(json.dumps(content))
    start = options(settings=Settings(iterations=1), start=summary["model"], size=None)
    runs = [prepare(path, start) for path in (datalist, turned)]
    assert runs[0].data.fingerprint == runs[1].data.fingerprint
    assert [e.images for e in runs[0].validation] == [e.images for e in runs[1].validation]
    assert [e.present for e in runs[0].datalist["training"]] == [e.present for e in runs[1].datalist["training"]]
    predictor = Predictor(load_pack(summary["model"]), "cpu")
    ways = [(found, rank(predictor, found)) for found in map(read_datalist, (datalist, turned))]
    assert ways[0][1] == ways[1][1]
    drawn = [[labels for _, labels in drawn_at(predictor, *way)] for way in ways]
    assert all(np.array_equal(a, b) for a, b in zip(*drawn, strict=True))
    content["modality"]["1"] = "t2"
    turned.write_text(json.dumps(content))
    assert "the datalist has T1post, t2" in refused(lambda: prepare(turned, start), "wrong-modalities")


@pytest.mark.parametrize("method", ["semi_cml", "semi_cml_original"])
def test_modalities_teach_each_other_where_some_are_missing(datalist, tmp_path, method):
    summary = train_model(datalist, tmp_path / "run", options(method, iterations=20, calibrate="none"))
    assert summary["finished"]
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    for term in ("areas", "agreement", "relearning", "self_relearning"):
        found = any(float(row[f"{term}_support"]) > 0 for row in rows)
        assert found or (method, term) == ("semi_cml", "areas"), "in these pictures all areas are alike"
    pack = load_pack(summary["model"])
    assert [b.modalities for b in pack.manifest.branches] == [(0,), (1,)]


def test_annotated_cases_that_lack_a_modality_get_a_method_that_can_do_without(tmp_path):
    datalist = cases.write_modalities(tmp_path, {"training0": 1}, unlabelled=0)
    proposal = options("semiseg", calibrate="none")
    assert prepare(datalist, proposal).method.name == "supervised_modalities"
    # What one refusal advises is not refused in turn.
    with pytest.raises(SemiSegError) as caught:
        prepare(datalist, options("supervised", calibrate="none"))
    assert "supervised_modalities" in caught.value.remedy
    with pytest.raises(SemiSegError) as caught:
        prepare(datalist, options("semi_cml", calibrate="none"))
    assert caught.value.remedy.endswith("--method supervised_modalities")
    whole = cases.write_modalities(tmp_path / "whole", unlabelled=0)
    assert prepare(whole, proposal).method.name == "supervised"


def test_data_that_a_method_cannot_use(datalist, trained, tmp_path):
    single = cases.write_dataset(tmp_path / "single", validation=1)
    says = refused(lambda: train_model(single, tmp_path / "a", options()), "one-modality")
    assert "ultrasound is the only one" in says
    says = refused(lambda: train_model(datalist, tmp_path / "b", options("supervised")), "missing-modality")
    assert "training0 lacks t1post" in says
    absent = cases.write_modalities(tmp_path / "absent", dict.fromkeys(("training0", "training1", "training2"), 1))
    says = refused(lambda: train_model(absent, tmp_path / "c", options(calibrate="none")), "absent-modality")
    assert "t1post" in says
    three = (*parts.TINY, parts.TINY[0])
    refused(lambda: train_model(datalist, tmp_path / "d", options(branches=three)), "bad-branches")
    whole = cases.write_modalities(tmp_path / "whole", validation=1)
    fused = train_model(whole, tmp_path / "e", options("supervised", iterations=1))
    start = options(start=fused["model"], size=None)
    refused(lambda: train_model(whole, tmp_path / "f", start), "wrong-start")
