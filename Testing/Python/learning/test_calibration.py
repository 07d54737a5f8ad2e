"""Temperatures: restored where they are known, bounded where nothing is, and fitted on what was not trained on."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from Benchmarks._trust import Reliability
from PIL import Image
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.learning import preparation
from SemiSegTrainerLib.learning import run as run_module
from SemiSegTrainerLib.learning.calibration import HeldOut, Voxels, fit_sharpness, fit_temperatures, held_out_voxels
from SemiSegTrainerLib.learning.data import gather_cases, read_case
from SemiSegTrainerLib.learning.datalist import Entry, read_datalist
from SemiSegTrainerLib.learning.folds import learned, split
from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.run import train_model
from SemiSegTrainerLib.learning.targets import Completeness, decided, every_class
from SemiSegTrainerLib.learning.training import Settings
from TrainingRig import cases, parts
from TrainingRig.card import CARD, Card

CPU = torch.device("cpu")


def honest(branches, n=40_000, classes=3, seed=0, spread=2.0):
    """Logits of branches that are right about themselves: all the same, and classes drawn by their softmax."""
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    drawn = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    near = torch.rand(n, generator=generator) < 0.3
    return Voxels(
        logits.expand(branches, -1, -1).clone(),
        (1 << drawn).int(),
        near,
        torch.ones(n, dtype=torch.float64),
        torch.zeros(n, dtype=torch.int64),
        1,
    )


def test_known_temperatures_are_restored():
    voxels = honest(2)
    assert fit_temperatures(voxels) == pytest.approx((1.0, 1.0), abs=0.02)
    factors = torch.tensor([2.5, 0.6], dtype=torch.float64)
    scaled = dataclasses.replace(voxels, logits=voxels.logits * factors[:, None, None])
    found = fit_temperatures(scaled)
    assert found == pytest.approx((2.5, 0.6), rel=0.03)
    assert fit_temperatures(scaled) == found, "the same every time"


def test_calibration_error_falls():
    voxels = honest(1)
    wrong = dataclasses.replace(voxels, logits=2.5 * voxels.logits)

    def error(temperature):
        p = (wrong.logits[0] / temperature).softmax(dim=1)
        confidence, label = p.max(dim=1)
        return Reliability.of(confidence.numpy(), ((wrong.possible >> label) & 1 == 1).numpy()).ece

    assert error(1.0) > 0.1
    assert error(fit_temperatures(wrong)[0]) < 0.012


def test_mean_of_branches_that_disagree_is_calibrated():
    """Two branches, each right about itself, that err apart: their mean is under-confident, and is made sharper."""
    generator = torch.Generator().manual_seed(1)
    n, noise = 40_000, 2.0
    truth = torch.randint(0, 2, (n,), generator=generator)
    sign = (2 * truth - 1).double()
    # A Gaussian measurement of the sign with variance `noise` has exactly the log odds 2 m / noise.
    measured = sign + noise**0.5 * torch.randn(2, n, generator=generator, dtype=torch.float64)
    odds = 2 * measured / noise
    logits = torch.stack([torch.zeros_like(odds), odds], dim=2)
    voxels = Voxels(
        logits, (1 << truth).int(), torch.zeros(n, dtype=torch.bool), torch.ones(n).double(), torch.zeros(n).long(), 1
    )
    alone = [fit_temperatures(dataclasses.replace(voxels, logits=logits[k : k + 1]))[0] for k in (0, 1)]
    assert alone == pytest.approx([1.0, 1.0], abs=0.03)
    both = fit_temperatures(voxels)
    assert max(both) < 0.9

    def loss(temperatures):
        p = torch.stack([(s / t).softmax(dim=1) for s, t in zip(logits, temperatures, strict=True)]).mean(dim=0)
        return float(-p[torch.arange(n), truth].log().mean())

    assert loss(both) < loss((1.0, 1.0)) - 1e-3


def test_band_and_rest_count_as_much_however_few_the_band_has():
    """The band is boastful by 2, the rest right: the fit lies between, and does not depend on how many are easy."""
    voxels = honest(1, 30_000)
    logits = voxels.logits.clone()
    logits[:, voxels.near] *= 2
    mixed = dataclasses.replace(voxels, logits=logits)
    found = fit_temperatures(mixed)[0]
    assert 1.2 < found < 1.9
    more = dataclasses.replace(mixed, weight=torch.where(mixed.near, 1.0, 50.0).double())
    assert fit_temperatures(more)[0] == pytest.approx(found, abs=1e-3)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_few_separable_voxels_leave_the_temperature_within_bounds(scale):
    logits = torch.zeros(2, 5, 3, dtype=torch.float64)
    logits[:, :, 1] = scale
    voxels = Voxels(
        logits,
        torch.full((5,), 2, dtype=torch.int32),
        torch.zeros(5, dtype=torch.bool),
        torch.ones(5).double(),
        torch.zeros(5).long(),
        1,
    )
    right = fit_temperatures(voxels)
    assert all(1 / 8 <= t <= 1.01 for t in right)
    wrong = fit_temperatures(dataclasses.replace(voxels, possible=torch.full((5,), 1, dtype=torch.int32)))
    assert all(1 <= t <= 8 for t in wrong)


def test_a_class_that_is_missing_changes_nothing():
    voxels = honest(1)
    some = (voxels.possible == 1) | (voxels.possible == 2)
    kept = Voxels(
        voxels.logits[:, some], voxels.possible[some], voxels.near[some], voxels.weight[some], voxels.case[some], 1
    )
    found = fit_temperatures(kept)[0]
    assert np.isfinite(found)
    assert 0.4 < found < 1.2


def test_sharpness_makes_the_predicted_dice_right_on_average():
    """A temperature that is too high for the voxels makes expected Dice too low; the exponent takes it back."""
    voxels = honest(1, n=20_000)
    voxels = dataclasses.replace(voxels, case=torch.arange(20_000) % 4, cases=4)
    assert fit_sharpness(voxels, (1.0,)) == pytest.approx(1.0, abs=0.05)
    assert fit_sharpness(voxels, (2.0,)) == pytest.approx(2.0, rel=0.05)
    twice = dataclasses.replace(voxels, logits=voxels.logits.expand(2, -1, -1))
    assert fit_sharpness(twice, (2.0, 2.0)) == pytest.approx(2.0, rel=0.05), "branches at one add nothing"
    nothing = dataclasses.replace(voxels, possible=torch.full((20_000,), 6, dtype=torch.int32))
    assert fit_sharpness(nothing, (1.0,)) == 1.0


def test_a_set_counts_by_its_probability():
    """Classes 1 and 2 told apart nowhere: the fit is that of the two-class problem."""
    voxels = honest(1)
    scaled = 2.0 * voxels.logits
    merged = torch.where(voxels.possible == 1, 1, 6).int()
    found = fit_temperatures(dataclasses.replace(voxels, logits=scaled, possible=merged))[0]
    assert found == pytest.approx(2.0, rel=0.06)


def test_only_annotated_voxels_are_looked_at():
    spec = parts.SPEC
    image = torch.randn(1, *spec.size, generator=torch.Generator().manual_seed(0))
    possible = torch.full(spec.size, every_class(parts.CLASSES), dtype=torch.int32)
    branches = parts.branches()
    blank = [HeldOut(image, possible, (1.0, 1.0))]
    assert held_out_voxels(branches, [[0]] * 2, spec, parts.CLASSES, blank, CPU) is None
    possible[4:20, 5:9] = 1
    possible[4:20, 9:12] = 2
    possible[0, :3] = 0
    case = HeldOut(image, possible, (1.0, 1.0))
    voxels = held_out_voxels(branches, [[0]] * 2, spec, parts.CLASSES, [case, case], CPU)
    assert voxels.cases == 2
    assert voxels.possible.tolist() == 2 * possible[4:20, 5:12].flatten().tolist()
    assert voxels.near.sum() == 2 * 16 * 7, "all within five pixels of the boundary"
    with torch.no_grad():
        expected = [b(image[None]).logits[0, :, 4:20, 5:12].flatten(1).T for b in branches]
    assert torch.allclose(voxels.logits[:, : 16 * 7].float(), torch.stack(expected), atol=1e-5)


def test_logits_of_a_volume_are_those_of_its_windows():
    """A volume as large as one window: merged windows are the network's own output."""
    spec = InputSpec(spatial_dims=3, modalities=("mri",), sampling="windows", size=(16, 16, 16))
    torch.manual_seed(0)
    branch = run_module.Branch("unet", {"channels": (4, 8, 12)}, 1, 2, 3).eval()
    image = torch.randn(1, 16, 16, 16)
    possible = torch.ones(16, 16, 16, dtype=torch.int32)
    possible[:, 4:9, 4:9] = 2
    voxels = held_out_voxels([branch], [[0]], spec, 2, [HeldOut(image, possible, (1.0,) * 3)], CPU)
    with torch.no_grad():
        expected = branch(image[None]).logits[0].flatten(1).T
    assert torch.allclose(voxels.logits[0].float(), expected, atol=1e-4)
    assert torch.equal(voxels.possible, possible.flatten())
    large = torch.randn(1, 30, 20, 18)
    sets = torch.ones(30, 20, 18, dtype=torch.int32)
    sets[11] = 3
    voxels = held_out_voxels([branch], [[0]], spec, 2, [HeldOut(large, sets, (1.0,) * 3)], CPU)
    assert voxels.logits.shape == (1, 29 * 20 * 18, 2)
    assert torch.isfinite(voxels.logits).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_devices_without_float64_calibrate_too(dims):
    spec = (
        parts.SPEC if dims == 2 else InputSpec(spatial_dims=3, modalities=("mri",), sampling="windows", size=(16,) * 3)
    )
    sets = torch.full(spec.size, 2, dtype=torch.int32)
    case = HeldOut(torch.randn(1, *spec.size), sets, (1.0,) * dims)
    with Card() as card:
        voxels = held_out_voxels(parts.branches(dims=dims), [[0]] * 2, spec, parts.CLASSES, [case], CARD)
    assert card.computed
    assert voxels.logits.dtype == torch.float64
    assert voxels.logits.shape == (2, sets.numel(), parts.CLASSES)


# -- folds --


def entry(name, group=None, images=()):
    return Entry(name, images, None, None, Completeness(), group)


def blobs(count, seed=0, labelled=None):
    """Cases on the tiny grid; those that are not `labelled` say nothing."""
    pairs = []
    for i in range(count):
        picture, labels = cases.draw(seed + i)
        possible = (1 << torch.from_numpy(labels).int()).int()
        if labelled is not None and i not in labelled:
            possible = torch.full_like(possible, every_class(3))
        pairs.append((torch.from_numpy(picture)[None].float() / 50 - 2, possible))
    return gather_cases(pairs, parts.SPEC, 3)


def known(data, row):
    return decided(data.possible[row]) & (data.possible[row] != 0)


def test_what_is_asked_was_not_learned_and_everything_is_asked_once():
    data = blobs(7, labelled=range(5))
    folds, words = split(data, [entry(str(i)) for i in range(7)], seed=0)
    assert words == "5 training cases"
    assert sorted(i for f in folds for i in f.asked) == [0, 1, 2, 3, 4]
    for fold in folds:
        assert not set(fold.asked) & set(fold.learned)
        assert {5, 6} <= set(fold.learned), "cases without annotation serve both"
        assert len(fold.asked) in (2, 3)
    again, _ = split(data, [entry(str(i)) for i in range(7)], seed=0)
    assert [f.asked for f in again] == [f.asked for f in folds]


def test_groups_stay_together_with_their_unlabelled_cases():
    data = blobs(8, labelled=range(6))
    groups = ["a", "a", "b", "b", "c", "d", "a", "d"]
    folds, words = split(data, [entry(str(i), g) for i, g in enumerate(groups)], seed=1)
    assert "4 patients or sequences" in words
    for fold in folds:
        assert not {groups[i] for i in fold.asked} & {groups[i] for i in fold.learned}


@pytest.mark.parametrize("group", [None, "only"])
def test_an_image_that_is_listed_twice_is_on_one_side(group):
    data = blobs(8, labelled=range(6))
    files = [Path(f"folder/{name}.png") for name in "abcabcad"]
    files[4] = Path("folder/../folder/b.png")
    folds, _ = split(data, [entry(str(i), group, (file,)) for i, file in enumerate(files)], seed=0)
    assert sorted(i for fold in folds for i in fold.asked) == list(range(6))
    for fold in folds:
        asked, learned_from = ({files[i].resolve() for i in rows} for rows in (fold.asked, fold.learned))
        assert not asked & learned_from


def test_both_halves_hold_every_segment_where_that_is_possible():
    data = blobs(8)
    possible = [sets.clone() for sets in data.possible]
    for row in (0, 1, 2, 3, 4, 5):  # the dark segment is in two cases only
        possible[row][possible[row] == 4] = 1
    data = gather_cases(list(zip(data.images, possible, strict=True)), parts.SPEC, 3)
    for seed in range(5):
        folds, _ = split(data, [entry(str(i)) for i in range(8)], seed)
        assert all(any((data.possible[i] == 4).any() for i in f.asked) for f in folds)


def test_a_single_sequence_is_split_in_time_with_a_gap():
    data = blobs(20)
    folds, words = split(data, [entry(str(i), "only") for i in range(20)], seed=0)
    assert "one patient or sequence" in words
    assert [f.asked for f in folds] == [tuple(range(10)), tuple(range(10, 20))]
    assert [f.learned for f in folds] == [tuple(range(12, 20)), tuple(range(8))]
    assert split(blobs(3, labelled=[1]), [entry(str(i)) for i in range(3)], 0)[0] == []


def test_frames_are_split_in_time_whatever_their_order_in_the_list():
    places = list(range(20))
    random.Random(0).shuffle(places)
    frames = [dataclasses.replace(entry(str(i), "only"), sequence="only", frame=float(n)) for i, n in enumerate(places)]
    folds, _ = split(blobs(20), frames, seed=0)
    for fold in folds:
        asked, learned_from = ([places[i] for i in rows] for rows in (fold.asked, fold.learned))
        assert min(abs(a - b) for a in asked for b in learned_from) == 3


def test_planes_of_a_single_volume_are_held_out_with_a_gap():
    spec = InputSpec(spatial_dims=3, modalities=("mri",), sampling="windows", size=(16, 16, 16))
    possible = torch.full((30, 24, 20), every_class(2), dtype=torch.int32)
    annotated = list(range(2, 24, 2))
    possible[:, annotated] = 1  # the second axis is the annotated one
    possible[10:20, annotated, 5:15] = 2
    data = gather_cases([(torch.zeros(1, 30, 24, 20), possible)], spec, 2)
    folds, words = split(data, [entry("volume")], seed=0)
    assert "planes of one volume" in words
    sides = []
    for fold in folds:
        part, asked = learned(data, fold, spec, 2), next(iter(_asked_sets(data, fold, spec)))
        rows = [torch.nonzero(decided(p).any(dim=2).any(dim=0)).flatten() for p in (part.possible[0], asked)]
        assert int((rows[0][:, None] - rows[1][None]).abs().min()) >= 2
        sides.append(set(rows[1].tolist()))
    assert sides[0] | sides[1] == set(annotated)
    assert not sides[0] & sides[1]


def _asked_sets(data, fold, spec):
    for i in fold.asked:
        yield data.possible[i].masked_fill(~fold.only[i], every_class(2))


# -- whole runs --


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return cases.write_dataset(tmp_path_factory.mktemp("data"), labelled=4)


def options(**more):
    settings = Settings(iterations=more.pop("iterations", 6), precision="32-true", log_every=2)
    return RunOptions(settings=settings, device="cpu", size=cases.SIZE, branches=parts.TINY, **more)


def test_folds_never_learn_from_what_they_are_asked(tmp_path, datalist, monkeypatch):
    """Through a whole run: the annotations of the asked cases are in no training of that fold."""
    trainings = []

    class Watched(preparation.Training):
        def __init__(self, branches, method, data, *rest, **more):
            trainings.append(data)
            super().__init__(branches, method, data, *rest, **more)

    monkeypatch.setattr(preparation, "Training", Watched)
    asked = []
    measure = run_module.calibrate.__globals__["held_out_voxels"]

    def watch(branches, modalities, spec, classes, held_out, *rest):
        held_out = list(held_out)
        asked.append(held_out)
        return measure(branches, modalities, spec, classes, held_out, *rest)

    monkeypatch.setitem(run_module.calibrate.__globals__, "held_out_voxels", watch)
    summary = train_model(datalist, tmp_path / "out", options())
    assert len(trainings) == 3
    assert len(asked) == 2
    whole = trainings[0]
    for data, held_out in zip(trainings[1:], asked, strict=True):
        for case in held_out:
            assert any(torch.equal(case.image, image) for image in whole.images)
            assert not any(torch.equal(case.image, image) for image in data.images)
        assert len(data.images) + len(held_out) == len(whole.images)
    manifest = load_pack(tmp_path / "out" / "model.semiseg").manifest
    assert manifest.calibration.fitted_on == summary["calibration"]["fitted_on"]
    assert "4 training cases" in manifest.calibration.fitted_on
    assert "2 iterations" in manifest.calibration.fitted_on
    assert manifest.calibration.temperatures == pytest.approx(summary["calibration"]["temperatures"], abs=1e-4)


@pytest.mark.parametrize("boastful", [False, True])
def test_networks_that_have_hardly_learned_make_none_surer(tmp_path, datalist, monkeypatch, boastful):
    """Folds that are right more often than they say, as early on: the finished model has learned three times as long.

    Those that are right less often than they say do count.
    """
    measure = run_module.calibrate.__globals__["held_out_voxels"]

    def look(*asked):
        """Replace what the folds say: 0.7 for the right class in most voxels, or 0.999 in three of four."""
        voxels = measure(*asked)
        index = voxels.possible.double().log2().long()
        wrong = torch.arange(len(index)) % 4 == 0
        shown = torch.where(wrong & boastful, (index + 1) % 3, index)
        share = 0.999 if boastful else 0.7
        logits = torch.full_like(voxels.logits, float(np.log((1 - share) / 2)))
        logits.scatter_(2, shown[None, :, None].expand(len(logits), -1, 1), float(np.log(share)))
        return dataclasses.replace(voxels, logits=logits)

    monkeypatch.setitem(run_module.calibrate.__globals__, "held_out_voxels", look)
    found = train_model(datalist, tmp_path / "out", options())["calibration"]
    if boastful:
        assert min(found["temperatures"]) > 2
    else:
        assert found["temperatures"] == [1.0, 1.0]


def test_ways_of_calibrating(tmp_path, datalist):
    stages = []
    summary = train_model(
        datalist, tmp_path / "none", options(calibrate="none"), lambda stage, *_: stages.append(stage)
    )
    assert summary["calibration"] == {"temperatures": [1.0, 1.0], "fitted_on": None, "reason": "as asked for"}
    assert load_pack(tmp_path / "none" / "model.semiseg").manifest.calibration.fitted_on == ""
    for way, code in (("validation", "no-validation"), ("twice", "unknown-calibration")):
        with pytest.raises(SemiSegError) as caught:
            train_model(datalist, tmp_path / way, options(calibrate=way))
        assert caught.value.code == code
        assert not (tmp_path / way).exists()
    listed = cases.write_dataset(tmp_path / "data", validation=2)
    done = []
    summary = train_model(
        listed, tmp_path / "auto", options(), lambda stage, now, total, *_: done.append((stage, now, total))
    )
    assert "2 cases of the validation list" in summary["calibration"]["fitted_on"]
    assert not (tmp_path / "auto" / "checkpoints" / "fold-1").exists()
    assert "calibrating" in {stage for stage, *_ in done}


def test_one_image_cannot_be_held_out(tmp_path):
    path = cases.write_dataset(tmp_path / "data", labelled=1)
    summary = train_model(path, tmp_path / "out", options(iterations=2))
    assert summary["finished"]
    assert summary["calibration"]["fitted_on"] is None
    assert "only one image" in summary["calibration"]["reason"]


@pytest.mark.parametrize("listed", ["validation", "training"])
def test_background_alone_says_nothing_of_certainty(tmp_path, listed):
    """Held-out cases without a segment would make the networks sure of everything."""
    path = cases.write_dataset(tmp_path / "data", labelled=2, validation=1)
    content = json.loads(path.read_text())
    Image.new("L", cases.SIZE[::-1]).save(path.parent / "nothing.png")
    content[listed][-1]["label"] = "nothing.png"
    if listed == "training":
        content["validation"] = []
    summary = train_model(cases.write_datalist(path.parent, content), tmp_path / "out", options(iterations=6))
    assert summary["calibration"]["temperatures"] == [1.0, 1.0]
    assert "belongs to a segment" in summary["calibration"]["reason"]


def test_minutes_are_those_of_the_whole_run(tmp_path, datalist):
    settings = Settings(iterations=None, minutes=0.01, precision="32-true")
    wished = dataclasses.replace(options(), settings=settings)
    summary = train_model(datalist, tmp_path / "out", wished)
    assert summary["finished"]
    assert summary["iterations"] >= 10


def test_stopped_folds_are_resumed(tmp_path, datalist):
    out, said = tmp_path / "out", []

    def watch(stage, done, *_):
        said.append((stage, done))

    first = train_model(datalist, out, options(iterations=9), watch, lambda: ("calibrating", 5) in said)
    assert not first["finished"]
    assert first["iterations"] == 9
    assert not (out / "model.semiseg").exists()
    assert (out / "checkpoints" / "fold-2" / "last.ckpt").exists()
    again = []
    second = train_model(datalist, out, options(iterations=9, resume=True), lambda s, d, *_: again.append((s, d)))
    assert second["finished"]
    assert [d for s, d in again if s == "calibrating"][1:] == [6], "one iteration of the second fold was left"
    whole = train_model(datalist, tmp_path / "whole", options(iterations=9))
    assert whole["calibration"] == second["calibration"]


def test_trained_model_is_less_wrong_about_itself(tmp_path):
    """Noisy annotations make an over-trained tiny network boastful; the folds' temperatures make up for it."""
    folder = tmp_path / "data"
    path = cases.write_dataset(folder, labelled=6, unlabelled=2)
    rng = np.random.default_rng(0)
    for file in sorted(folder.glob("training*_label.png")):
        labels = np.array(Image.open(file))
        shift = rng.integers(-2, 3, 2)
        Image.fromarray(np.roll(labels, shift, (0, 1))).save(file)
    chosen = options(iterations=60, method="supervised")
    summary = train_model(path, tmp_path / "out", chosen)
    pack = load_pack(tmp_path / "out" / "model.semiseg")
    datalist = read_datalist(path)
    held_out = [HeldOut(*read_case(e, pack.manifest.input, 3), (1.0, 1.0)) for e in datalist["test"]]
    voxels = held_out_voxels(pack.branches, [[0]] * 2, pack.manifest.input, 3, held_out, CPU)
    index = voxels.possible.double().log2().long()

    def loss(temperatures):
        p = torch.stack([(s / t).softmax(1) for s, t in zip(voxels.logits, temperatures, strict=True)]).mean(0)
        nll = -p[torch.arange(len(index)), index].log()
        return float(nll[voxels.near].mean() + nll[~voxels.near].mean()) / 2

    assert summary["calibration"]["cases"] == 6
    assert loss(summary["calibration"]["temperatures"]) < loss((1.0, 1.0)) + 0.01
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["calibration"] == summary["calibration"]
