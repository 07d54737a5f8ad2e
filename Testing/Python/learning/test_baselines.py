"""The baselines' pieces: own teachers, their passes, what is certain, what lies apart, and pasted images."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegTrainerLib.learning.method import get_method
from SemiSegTrainerLib.learning.reliability import Certain
from SemiSegTrainerLib.learning.sources import Own, Peer
from SemiSegTrainerLib.learning.step import Step, View
from SemiSegTrainerLib.learning.targets import decided, every_class, membership
from SemiSegTrainerLib.learning.teachers import ask
from SemiSegTrainerLib.learning.terms.agreement import CrossSupervision, SquaredConsistency
from TrainingRig import cases, parts

NOTHING = every_class(parts.CLASSES)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pictures of which the labelled ones are annotated in their left half: both kinds have undecided voxels."""
    loaded = parts.load(cases.write_dataset(tmp_path_factory.mktemp("data")))
    possible = torch.stack(loaded.possible)
    possible[..., possible.shape[-1] // 2 :] = NOTHING
    return dataclasses.replace(loaded, possible=tuple(possible), open=tuple(range(len(possible))))


def look(name, data, iteration=3):
    """One step of a run whose averages differ from their branches and are sure of what they say."""
    run = parts.training(name, data)
    for branch in run.branches:
        for parameter in branch.network.get_submodule(branch.head).parameters():
            parameter.data.mul_(20)
    for seed, (average, branch) in enumerate(zip(run.averages, run.branches, strict=True)):
        average.model.load_state_dict(branch.state_dict())
        torch.manual_seed(seed)
        for parameter in average.model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return run.look(iteration, 0.7)


def gradient(loss, step, branch, view):
    return torch.autograd.grad(loss, step.students[branch][view].logits, allow_unused=True, retain_graph=True)[0]


def undecided(view):
    return view.inside & ~decided(view.possible)


# -- a branch and its own teacher --


@pytest.mark.parametrize("name", ["mean_teacher", "ua_mt", "bcp"])
def test_each_branch_is_taught_by_its_own_average_alone(data, name):
    """Two networks trained for themselves: what the other one's teacher says changes nothing."""
    step = look(name, data)
    term = next(t.term for t in get_method(name).terms if t.name != "supervised")
    before = [gradient(term(step).loss, step, k, term.view) for k in (0, 1)]
    for answers in (step.teachers, step.passes):
        if answers:
            answers[1]["weak"] = answers[1]["weak"].flip(1)
    step._kept.clear()
    after = [gradient(term(step).loss, step, k, term.view) for k in (0, 1)]
    assert before[0].any()
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_consistency_is_its_formula_where_the_case_is_undecided(data):
    step = look("mean_teacher", data)
    seen = step.views["weak"]
    weight = undecided(seen)
    assert 0 < int(weight.sum()) < weight.numel()
    expected = 0.0
    for k in (0, 1):
        p = step.students[k]["weak"].logits.detach().softmax(dim=1)
        q = step.teachers[k]["weak"] * membership(seen.possible, parts.CLASSES)
        q = q / q.sum(dim=1, keepdim=True)
        expected += float((p - q).square().movedim(1, -1)[weight].mean())
    value = SquaredConsistency(Own())(step)
    assert float(value.loss.detach()) == pytest.approx(expected, rel=1e-4)
    assert value.support == int(weight.sum())
    found = gradient(value.loss, step, 0, "weak").movedim(1, -1)
    assert found[weight].any()
    assert not found[~weight].any(), "annotations and padding have no pseudo-label"


def test_cps_is_the_cross_entropy_with_the_other_networks_argmax(data):
    step = look("cps", data)
    weight = undecided(step.views["weak"])
    logits = [step.students[k]["weak"].logits.detach() for k in (0, 1)]
    expected = sum(
        torch.nn.functional.cross_entropy(logits[k].movedim(1, -1)[weight], logits[1 - k].argmax(dim=1)[weight])
        for k in (0, 1)
    )
    term = get_method("cps").terms[1].term
    assert isinstance(term.source, Peer)
    assert float(term(step).loss.detach()) == pytest.approx(float(expected), rel=1e-4)


# -- passes and certainty --


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.75 + 0.25 * math.exp(-5)), (1.0, 1.0)])
def test_certain_is_below_a_rising_share_of_an_even_choice_between_two(classes, progress, share):
    p = torch.zeros(1, classes, 1, 2000)
    p[:, 0] = torch.linspace(0.5, 1.0, 2000)
    p[:, 1] = 1 - p[:, 0]
    nats = -torch.xlogy(p, p).sum(dim=1)
    certain = Certain()(p, progress)
    clear = (nats - share * math.log(2)).abs() > 1e-4
    assert torch.equal(certain[clear], (nats < share * math.log(2))[clear])
    assert certain.any()
    assert not certain[..., 0].any() or share == 1.0, "an even choice teaches nothing"


def test_passes_that_are_no_probabilities_are_refused():
    with pytest.raises(ValueError, match="probabilities"):
        Certain()(torch.randn(1, 3, 4, 4), 0.5)


def test_uncertain_voxels_are_ignored_and_never_background(data):
    step = look("ua_mt", data)
    term = get_method("ua_mt").terms[1].term
    for k, answers in enumerate(step.passes):
        answers["weak"] = answers["weak"].clone()
        answers["weak"][:, :, ::2] = 1 / parts.CLASSES  # in every second row the passes disagree
        target = term.source(step, k, "weak")
        assert not target.weight[:, ::2].any()
        assert target.weight[:, 1::2].any()
        assert not target.weight[~undecided(step.views["weak"])].any()
        assert torch.equal(target.probabilities, Own()(step, k, "weak").probabilities), "passes say where, not what"
    value = term(step)
    for k in (0, 1):
        found = gradient(value.loss, step, k, "weak")
        assert not found[:, :, ::2].any()
        assert found[:, :, 1::2].any()


@pytest.mark.parametrize("dims", [2, 3])
def test_passes_have_noise_and_dropout_of_their_own(dims):
    torch.manual_seed(0)
    arguments = {"channels": (4, 8, 16), "dropout": 0.4}
    models = [Branch(name, arguments, 1, 3, dims).eval() for name in ("unet", "residual_unet")]
    views = {"weak": torch.randn(3, 1, *(8,) * dims), "strong": torch.randn(2, 1, *(8,) * dims)}
    nothing = torch.zeros(0)
    step = Step(0.5, 3, {name: View(images, nothing, nothing, nothing) for name, images in views.items()})
    seen = []
    for model in models:
        model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    quiet = dataclasses.replace(get_method("ua_mt"), monte_carlo=0, teacher_noise=0.0)
    first, passes = ask(models, step, list(views), quiet, seed=7)
    assert passes == []
    with torch.no_grad():
        for model, answers in zip(models, first, strict=True):
            for name, images in views.items():
                assert torch.allclose(answers[name], model(images).logits.softmax(dim=1), atol=1e-5)
    seen.clear()
    noisy, passes = ask(models, step, list(views), get_method("ua_mt"), seed=7)
    batch = torch.cat(list(views.values()))
    noises = [images - batch for images in seen]
    assert len(noises) == 2 * 9
    for a, b in zip(noises[::2], noises[1::2], strict=True):
        assert torch.equal(a, b), "both teachers see the same"
        assert float(a.abs().max()) <= 0.2001
        assert float(a.std()) == pytest.approx(0.096, abs=0.02)
    assert all(not torch.equal(noises[0], other) for other in noises[2::2])
    assert not any(m.training for model in models for m in model.modules()), "dropout is off again"
    for answers, mean in zip(noisy, passes, strict=True):
        for name in views:
            assert torch.allclose(mean[name].sum(dim=1), torch.ones(()), atol=1e-5)
            assert not mean[name].requires_grad
            assert float((mean[name] - answers[name]).abs().max()) > 0.05, "dropout makes passes differ"
    again, _ = ask(models, step, list(views), get_method("ua_mt"), seed=7)
    assert all(torch.equal(again[k][name], noisy[k][name]) for k in (0, 1) for name in views)
    other, _ = ask(models, step, list(views), get_method("ua_mt"), seed=8)
    assert not torch.equal(other[0]["weak"], noisy[0]["weak"])


# -- what lies apart, what is below the threshold --


def test_what_lies_apart_from_its_segment_is_ignored_and_never_background(data):
    step = look("bcp", data)
    seen = step.views["weak"]
    seen.possible[:], seen.inside[:] = NOTHING, True
    labels = torch.zeros(seen.possible.shape, dtype=torch.int64)
    labels[:, 2:8, 2:8], labels[:, 20:24, 30:33], labels[:, 10:14, 20:24] = 1, 1, 2
    step.teachers[0]["weak"] = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    target = Own(sharpen=0.0, largest=True)(step, 0, "weak")
    apart = torch.zeros_like(labels, dtype=torch.bool)
    apart[:, 20:24, 30:33] = True
    assert torch.equal(target.weight, (~apart).float())
    assert torch.equal(target.probabilities.argmax(dim=1), labels), "nothing is relabelled"
    assert bool((Own(sharpen=0.0)(step, 0, "weak").weight == 1).all())


@pytest.mark.parametrize("source", [Own(threshold=0.8, sharpen=0.0), Own(averaged=False, threshold=0.8)])
def test_opinions_below_the_threshold_are_ignored(data, source):
    step = look("mean_teacher", data)
    seen = step.views["weak"]
    target = source(step, 1, "weak")
    p = step.teachers[1]["weak"] if source.averaged else step.probabilities(1, "weak").detach()
    p = p * membership(seen.possible, 3)
    highest = (p / p.sum(dim=1, keepdim=True)).amax(dim=1)
    clear = (highest - 0.8).abs() > 1e-5
    assert torch.equal((target.weight > 0)[clear], (undecided(seen) & (highest >= 0.8))[clear])
    assert 0 < int((target.weight > 0).sum()) < int(undecided(seen).sum())
    assert not target.probabilities.requires_grad


# -- pasted images --


def test_pasted_pseudo_labels_lie_in_the_unlabelled_part_alone(data):
    step = look("bcp", data)
    mixed = step.views["mixed"]
    supervised, paste = (t.term for t in get_method("bcp").terms)
    target = paste.source(step, 0, "mixed")
    shows_unlabelled, annotated, follows = mixed.mixing.mask, decided(mixed.possible), target.weight > 0
    assert target.weight.shape == mixed.possible.shape
    assert follows[shows_unlabelled].any()
    assert not follows[~shows_unlabelled].any()
    assert not (follows & annotated).any(), "never at odds with an annotation"
    for part in (shows_unlabelled, ~shows_unlabelled):
        assert (annotated & part).any(), "partly annotated images count on both sides of the box"
    learned = gradient(supervised(step).loss, step, 0, "mixed").movedim(1, -1)
    followed = gradient(paste(step).loss, step, 0, "mixed").movedim(1, -1)
    assert learned[annotated].any()
    assert not learned[mixed.possible == NOTHING].any()
    assert followed[follows].any()
    assert not followed[~follows].any()


def test_pseudo_labels_of_pasted_images_wait_for_the_first_eighth():
    weight = next(t.weight for t in get_method("bcp").terms if t.name == "paste")
    assert [weight(p) for p in (0.0, 0.11, 0.12, 0.5, 1.0)] == [0.0, 0.0, 0.5, 0.5, 0.5]


def test_other_sources_follow_pasted_images_too(data):
    """Copy-paste is open to every recipe: here the peer's soft opinion, as in system A."""
    method = get_method("cross_supervision")
    cross = dataclasses.replace(method.terms[1], term=CrossSupervision(Peer(averaged=True), view="mixed"))
    pasted = dataclasses.replace(
        method, student_views=("labelled", "mixed"), terms=(method.terms[0], cross), embedding_size=0
    )
    assert parts.training(pasted, data, iterations=2).run().history.rows[-1]["cross_support"] > 0
