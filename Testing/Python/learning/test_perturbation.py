"""Perturbed features: which rows and levels, what each kind does, and that nothing depends on what ran before."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from SemiSegTrainerLib.learning.method import get_method
from SemiSegTrainerLib.learning.perturbation import KINDS, FeaturePerturbation
from SemiSegTrainerLib.learning.schedules import Constant
from SemiSegTrainerLib.learning.sources import Peer
from SemiSegTrainerLib.learning.step import WeightedTerm
from SemiSegTrainerLib.learning.terms.agreement import CrossSupervision
from TrainingRig import cases, parts

FEATURES = WeightedTerm("features", CrossSupervision(Peer(averaged=True), view="features"), Constant(1.0))
every_kind = pytest.mark.parametrize("kind", sorted(KINDS))
both_shapes = pytest.mark.parametrize("shape", [(3, 40, 12, 16), (3, 40, 6, 8, 8)])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return parts.load(cases.write_dataset(tmp_path_factory.mktemp("data")))


def disturbing(*kinds, views=("features",), name="cross_supervision"):
    """System A with one term more: what is said of the weak view holds when the features are disturbed."""
    method = get_method(name)
    return dataclasses.replace(
        method,
        terms=(*method.terms, FEATURES),
        student_views=(*method.student_views, "features"),
        perturbation=FeaturePerturbation(views, kinds or tuple(KINDS)),
    )


def applied(kind, features, rows=(1, 1, 1), views=("labelled", "features", "strong"), iteration=3, seed=0, branch=0):
    return FeaturePerturbation(kinds=(kind,)).at(views, rows, branch, iteration, seed)("encoder-1", features)


@both_shapes
@every_kind
def test_only_the_rows_of_the_view_change(kind, shape):
    features = torch.randn(shape)
    out = applied(kind, features)
    assert out.shape == features.shape
    assert torch.equal(out[[0, 2]], features[[0, 2]])
    assert not torch.equal(out[1], features[1])


@every_kind
def test_perturbation_is_a_function_of_seed_iteration_branch_view_and_level(kind):
    features = torch.randn(6, 40, 12, 16).add(1.0)
    same = applied(kind, features, (2, 2, 2))
    torch.rand(5)  # the global generator must not matter
    assert torch.equal(applied(kind, features, (2, 2, 2)), same)
    for change in ({"iteration": 4}, {"seed": 1}, {"branch": 1}):
        assert not torch.equal(applied(kind, features, (2, 2, 2), **change), same)
    perturb = FeaturePerturbation(kinds=(kind,)).at(("features",), (6,), 0, 3, 0)
    assert not torch.equal(perturb("encoder-1", features), perturb("encoder-2", features))
    alone = FeaturePerturbation(kinds=(kind,)).at(("features",), (2,), 0, 3, 0)("encoder-1", features[2:4])
    assert torch.equal(alone, same[2:4]), "rows of other views have no say"


@both_shapes
def test_channel_dropout_keeps_the_mean_and_drops_whole_channels(shape):
    out = applied("channel_dropout", torch.ones(shape[0], 4000, *(n // 4 for n in shape[2:])))[1]
    values = out.flatten(1)
    assert bool((values == values[:, :1]).all())
    assert set(values.unique().tolist()) == {0.0, 2.0}
    assert float(values.mean()) == pytest.approx(1.0, abs=0.1)


@both_shapes
def test_noise_is_relative_and_bounded(shape):
    features = torch.randn(shape)
    relative = (applied("noise", features) / features - 1)[1]
    assert float(relative.abs().max()) <= 0.3 + 1e-5
    assert float(relative.std()) == pytest.approx(0.3 / 3**0.5, rel=0.1)


@both_shapes
def test_activation_drop_silences_the_strongest_positions_of_a_row(shape):
    features = torch.rand(shape)
    peak = (1, slice(None), *(n // 2 for n in shape[2:]))
    features[peak] = 5.0
    out = applied("activation_drop", features)
    gone = (out[1] == 0).all(dim=0)
    attention = features[1].mean(dim=0)
    assert bool(gone[peak[2:]])
    assert bool((out[1] == torch.where(gone, 0.0, features[1])).all())
    assert float(attention[gone].min()) > float(attention[~gone].max()), "the strongest, and all of them"
    assert float(attention[gone].min()) > 0.7 * float(attention.max())
    weak = -features
    assert torch.equal(applied("activation_drop", weak), weak), "where nothing is active nothing is silenced"


def test_kinds_take_turns_by_chance():
    drawn = [FeaturePerturbation().kind(iteration, 0) for iteration in range(300)]
    assert all(70 < drawn.count(kind) < 130 for kind in KINDS)
    assert drawn != [FeaturePerturbation().kind(iteration, 1) for iteration in range(300)]


@every_kind
def test_only_perturbed_views_answer_differently_in_one_pass(data, kind):
    run, plain = parts.training(disturbing(kind), data), parts.training(disturbing(kind, views=()), data)
    passes = []
    run.branches[0].network.register_forward_hook(lambda *_: passes.append(1))
    for module in (*run.branches, *plain.branches):
        module.eval()
    step, undisturbed = run.look(3, 0.5), plain.look(3, 0.5)
    assert passes == [1]
    assert step.views["features"] is step.views["weak"]
    for mine, theirs in zip(step.students, undisturbed.students, strict=True):
        for view in ("labelled", "strong"):
            assert torch.equal(mine[view].logits, theirs[view].logits)
        assert not torch.allclose(mine["features"].logits, theirs["features"].logits)
    assert step.teachers[0].keys() == {"weak"}
    assert torch.equal(step.teachers[0]["weak"], undisturbed.teachers[0]["weak"])


def test_resumed_run_with_perturbation_is_the_uninterrupted_one(tmp_path, data):
    method = disturbing()
    whole = parts.training(method, data)
    whole.run()
    first = parts.training(method, data, tmp_path)
    first.run(should_stop=lambda: first.iteration == 3)
    second = parts.training(method, data, tmp_path)
    second.run()
    assert parts.same(parts.weights(whole), parts.weights(second))
    other = parts.training(dataclasses.replace(method, perturbation=FeaturePerturbation(dropout=0.4)), data)
    assert other.identity() != whole.identity()


def test_perturbation_can_be_left_out_and_goes_with_its_views():
    method = disturbing()
    without = method.without(["perturbation"])
    assert without.perturbation is None
    assert without.terms == method.terms
    assert without.name == "cross_supervision without perturbation"
    gone = method.without(["features"])
    assert gone.perturbation is None
    assert "features" not in gone.student_views
    both = dataclasses.replace(method, perturbation=FeaturePerturbation(("strong", "features")))
    assert both.without(["features"]).perturbation == FeaturePerturbation(("strong",))
    assert both.seeing("weak").perturbation is None, "weak views are not disturbed"


@every_kind
def test_half_precision_runs(data, kind):
    assert parts.training(disturbing(kind), data, iterations=2, precision="bf16-mixed").run().iterations == 2
